/* server/count/assignment.h: which row goes with which column, at the greatest sum of gains.
 *
 * The optimum over all partial assignments (a row or column may stay alone, at gain 0), by shortest
 * augmenting paths with potentials (Kuhn, Munkres; Jonker and Volgenant 1987) over the pairs that
 * are possible at all. Rows and columns that no pair joins cost nothing. Deterministic: the same
 * pairs give the same answer. */
#ifndef SIGHTLINE_SERVER_COUNT_ASSIGNMENT_H
#define SIGHTLINE_SERVER_COUNT_ASSIGNMENT_H

#include "config/limits.h"

#include <stdbool.h>

#define ASSIGNMENT_ROWS_MAX    LIMIT_TRACKS
#define ASSIGNMENT_COLUMNS_MAX LIMIT_BOXES
#define ASSIGNMENT_PAIRS_MAX   (LIMIT_TRACKS * 16)

/* A row and a column that may go together, at a gain above 0. */
struct assignment_pair {
    int   column;
    float gain;
};

/* Work space and answer, reused from call to call; big, so it lives in its owner's memory. */
struct assignment {
    int row_count, column_count, pair_count;
    /* Row r's pairs are pairs[first[r]] .. pairs[first[r + 1] - 1]. */
    int                    first[ASSIGNMENT_ROWS_MAX + 1];
    struct assignment_pair pairs[ASSIGNMENT_PAIRS_MAX];

    int column_of[ASSIGNMENT_ROWS_MAX]; /* the answer; -1: alone */
    int row_of[ASSIGNMENT_COLUMNS_MAX]; /* the same, the other way round */

    /* Of the search. */
    double row_price[ASSIGNMENT_ROWS_MAX];
    double column_price[ASSIGNMENT_COLUMNS_MAX];
    double distance[ASSIGNMENT_COLUMNS_MAX];
    int    from_row[ASSIGNMENT_COLUMNS_MAX];
    int reached[ASSIGNMENT_COLUMNS_MAX]; /* columns with a distance, in the order they were found */
    bool done[ASSIGNMENT_COLUMNS_MAX];
};

/* Begins a problem with that many columns and no rows. */
void assignment_begin(struct assignment *assignment, int column_count);
/* Adds a row; its pairs follow. At most ASSIGNMENT_ROWS_MAX. */
void assignment_add_row(struct assignment *assignment);
/* Adds a pair to the newest row. Pairs past ASSIGNMENT_PAIRS_MAX and gains not above 0 are left
 * out. */
void assignment_add_pair(struct assignment *assignment, int column, float gain);
/* Fills column_of and row_of. */
void assignment_solve(struct assignment *assignment);

#endif
