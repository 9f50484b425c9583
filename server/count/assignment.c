/* server/count/assignment.c: see assignment.h.
 *
 * Costs are the gains with their sign turned. Staying alone is a column of the row's own, at cost
 * 0, that is never written down: only its row can use it, and a row that had to give up its place
 * for it never gets one again, because rows that come later only make places dearer. */
#include "server/count/assignment.h"

#include <math.h>
#include <string.h>

#include "config/assert.h"

void assignment_begin(struct assignment *assignment, int column_count)
{
    ASSERT(column_count >= 0 && column_count <= ASSIGNMENT_COLUMNS_MAX);
    assignment->row_count    = 0;
    assignment->column_count = column_count;
    assignment->pair_count   = 0;
    assignment->first[0]     = 0;
}

void assignment_add_row(struct assignment *assignment)
{
    ASSERT(assignment->row_count < ASSIGNMENT_ROWS_MAX);
    assignment->first[++assignment->row_count] = assignment->pair_count;
}

void assignment_add_pair(struct assignment *assignment, int column, float gain)
{
    ASSERT(assignment->row_count > 0);
    ASSERT(column >= 0 && column < assignment->column_count);
    if (assignment->pair_count == ASSIGNMENT_PAIRS_MAX || !(gain > 0.0F))
        return;
    assignment->pairs[assignment->pair_count++] = (struct assignment_pair){column, gain};
    assignment->first[assignment->row_count]    = assignment->pair_count;
}

/* Where a search ended: in a free column, or at a row that is better off alone. */
struct path_end {
    double length;
    int    column; /* -1: `row` goes alone */
    int    row;
};

/* Relaxes the pairs of a row that is `distance` away. Returns how many columns are reached now. */
static int scan_row(struct assignment *assignment, int row, double distance, int reached_count)
{
    for (int i = assignment->first[row]; i < assignment->first[row + 1]; i++) {
        int    column = assignment->pairs[i].column;
        double next   = distance - (double)assignment->pairs[i].gain - assignment->row_price[row] -
                      assignment->column_price[column];

        if (assignment->distance[column] <= next || assignment->done[column])
            continue;
        if (assignment->distance[column] == INFINITY)
            assignment->reached[reached_count++] = column;
        assignment->distance[column] = next;
        assignment->from_row[column] = row;
    }
    return reached_count;
}

/* Dijkstra from `start` to the nearest place to be. */
static struct path_end find_path(struct assignment *assignment, int start, int *reached_count)
{
    struct path_end end = {-assignment->row_price[start], -1, start};
    int             row = start, count = 0;
    double          here = 0.0;

    for (;;) {
        int nearest = -1;

        count = scan_row(assignment, row, here, count);
        for (int i = 0; i < count; i++) {
            int column = assignment->reached[i];
            if (!assignment->done[column] &&
                (nearest < 0 || assignment->distance[column] < assignment->distance[nearest]))
                nearest = column;
        }
        if (nearest < 0 || assignment->distance[nearest] >= end.length)
            break;
        here = assignment->distance[nearest];
        row  = assignment->row_of[nearest];
        if (row < 0) {
            end = (struct path_end){here, nearest, -1};
            break;
        }
        assignment->done[nearest] = true;
        if (here - assignment->row_price[row] < end.length)
            end = (struct path_end){here - assignment->row_price[row], -1, row};
    }
    *reached_count = count;
    return end;
}

/* Turns the places along the path round: each row takes the column through which it was left. */
static void augment(struct assignment *assignment, int start, const struct path_end *end)
{
    int column = end->column;

    if (column < 0) {
        column                          = assignment->column_of[end->row];
        assignment->column_of[end->row] = -1;
        if (end->row == start)
            return;
    }
    for (;;) {
        int row      = assignment->from_row[column];
        int previous = assignment->column_of[row];

        assignment->row_of[column] = row;
        assignment->column_of[row] = column;
        if (row == start)
            return;
        column = previous;
    }
}

void assignment_solve(struct assignment *assignment)
{
    for (int i = 0; i < assignment->column_count; i++) {
        assignment->row_of[i]       = -1;
        assignment->column_price[i] = 0.0;
        assignment->distance[i]     = INFINITY;
        assignment->done[i]         = false;
    }
    for (int row = 0; row < assignment->row_count; row++) {
        struct path_end end;
        int             reached_count;
        double          price = 0.0;

        for (int i = assignment->first[row]; i < assignment->first[row + 1]; i++)
            price = fmin(price, -(double)assignment->pairs[i].gain -
                                    assignment->column_price[assignment->pairs[i].column]);
        assignment->row_price[row] = price;
        assignment->column_of[row] = -1;
        end                        = find_path(assignment, row, &reached_count);
        assignment->row_price[row] += end.length;
        for (int i = 0; i < reached_count; i++) {
            int column = assignment->reached[i];
            if (assignment->done[column]) {
                double less = end.length - assignment->distance[column];
                assignment->column_price[column] -= less;
                assignment->row_price[assignment->row_of[column]] += less;
            }
            assignment->distance[column] = INFINITY;
            assignment->done[column]     = false;
        }
        augment(assignment, row, &end);
    }
}
