#include "server/camera/motion.h"

#include <stdlib.h>
#include <string.h>

#define CELL_PX        8
#define FINE_PX        1280 /* wider pictures have larger cells */
#define SAMPLES        16   /* of a cell: 8 pixels of two rows */
#define FIRST_ROW      2    /* of a cell's eight, and the second */
#define SECOND_ROW     5
#define BACKGROUND_ONE 16 /* a background is kept in parts of a sum of samples */
/* Cells that must differ: two, or one in so many. A walker who is large enough for any detector
 * covers a dozen; noise flips single ones. */
#define CELLS_MIN  2
#define CELLS_PART 4000

struct motion {
    struct settings_motion settings;
    int                    width_px, height_px;
    unsigned               generation;
    int64_t                last_ns;
    int                    cell_px, columns, rows;
    uint16_t              *sums;       /* of one row of cells */
    uint16_t              *background; /* of each cell */
    uint8_t               *watched;    /* 1, or 0 under a mask */
};

struct motion *motion_open(const struct settings_motion *settings)
{
    struct motion *motion = calloc(1, sizeof *motion);

    if (motion != NULL)
        motion->settings = *settings;
    return motion;
}

static void forget(struct motion *motion)
{
    free(motion->sums);
    free(motion->background);
    free(motion->watched);
    motion->sums       = NULL;
    motion->background = NULL;
    motion->watched    = NULL;
    motion->width_px = motion->height_px = 0;
}

void motion_close(struct motion **motion)
{
    if (*motion == NULL)
        return;
    forget(*motion);
    free(*motion);
    *motion = NULL;
}

/* ---- the mask ---- */

static bool is_inside(const struct settings_mask *mask, float x, float y)
{
    bool inside = false;

    for (int i = 0, j = mask->point_count - 1; i < mask->point_count; j = i++) {
        struct settings_point a = mask->points[i], b = mask->points[j];

        if ((a.y > y) != (b.y > y) && x < (b.x - a.x) * (y - a.y) / (b.y - a.y) + a.x)
            inside = !inside;
    }
    return inside;
}

static void draw_masks(struct motion *motion)
{
    for (int row = 0; row < motion->rows; row++) {
        for (int column = 0; column < motion->columns; column++) {
            float x       = ((float)column + 0.5F) / (float)motion->columns;
            float y       = ((float)row + 0.5F) / (float)motion->rows;
            bool  watched = true;

            for (int i = 0; i < motion->settings.mask_count && watched; i++)
                watched = !is_inside(&motion->settings.masks[i], x, y);
            motion->watched[row * motion->columns + column] = watched;
        }
    }
}

/* ---- cells ---- */

static bool begin(struct motion *motion, const struct frame *frame)
{
    int    largest = frame->width_px > frame->height_px ? frame->width_px : frame->height_px;
    size_t cells;

    forget(motion);
    motion->cell_px = CELL_PX * ((largest + FINE_PX - 1) / FINE_PX);
    motion->columns = frame->width_px / motion->cell_px;
    motion->rows    = frame->height_px / motion->cell_px;
    cells           = (size_t)motion->columns * (size_t)motion->rows;
    if (cells == 0)
        return false;
    motion->sums       = calloc((size_t)motion->columns, sizeof motion->sums[0]);
    motion->background = calloc(cells, sizeof motion->background[0]);
    motion->watched    = calloc(cells, 1);
    if (motion->sums == NULL || motion->background == NULL || motion->watched == NULL) {
        forget(motion);
        return false;
    }
    motion->width_px   = frame->width_px;
    motion->height_px  = frame->height_px;
    motion->generation = frame->generation;
    draw_masks(motion);
    return true;
}

/* Sums of the samples of one row of cells: 8 bytes at a time, as four sums of 16 bits. */
static void sum_row(struct motion *motion, const struct frame *frame, int row)
{
    const uint64_t even   = UINT64_C(0x00ff00ff00ff00ff);
    ptrdiff_t      stride = frame->stride_bytes[0];
    const uint8_t *first  = frame->plane[0] + stride * (row * motion->cell_px + FIRST_ROW);
    const uint8_t *second = first + stride * (SECOND_ROW - FIRST_ROW);

    for (int i = 0; i < motion->columns; i++) {
        uint64_t a, b, sum;

        memcpy(&a, first + (ptrdiff_t)i * motion->cell_px, sizeof a);
        memcpy(&b, second + (ptrdiff_t)i * motion->cell_px, sizeof b);
        sum             = (a & even) + (a >> 8 & even) + (b & even) + (b >> 8 & even);
        motion->sums[i] = (uint16_t)(sum * UINT64_C(0x0001000100010001) >> 48);
    }
}

/* How many watched cells of a row differ; the background follows by `part` of 256. */
static int compare_row(struct motion *motion, int row, int part)
{
    uint16_t      *background = motion->background + (ptrdiff_t)row * motion->columns;
    const uint8_t *watched    = motion->watched + (ptrdiff_t)row * motion->columns;
    int            differ     = 0;

    for (int i = 0; i < motion->columns; i++) {
        int delta = motion->sums[i] * BACKGROUND_ONE - background[i];
        int far   = delta > MOTION_LEVELS * SAMPLES * BACKGROUND_ONE ||
                  delta < -MOTION_LEVELS * SAMPLES * BACKGROUND_ONE;

        differ += far & watched[i];
        background[i] = (uint16_t)(background[i] + delta * part / 256);
    }
    return differ;
}

bool motion_look(struct motion *motion, const struct frame *frame)
{
    bool    fresh  = false;
    int     differ = 0;
    int     part   = 256;
    int64_t since_ns;

    if (frame->format == FRAME_BGR24 || frame->format == FRAME_RGB24)
        return true;
    if (motion->width_px != frame->width_px || motion->height_px != frame->height_px ||
        motion->generation != frame->generation) {
        if (!begin(motion, frame))
            return true;
        fresh = true;
    }
    since_ns        = frame->pts_ns - motion->last_ns;
    motion->last_ns = frame->pts_ns;
    if (!fresh && since_ns < MOTION_BACKGROUND_NS)
        part = since_ns > 0 ? (int)(since_ns * 256 / MOTION_BACKGROUND_NS) : 0;
    part = part < 1 ? 1 : part;
    for (int row = 0; row < motion->rows; row++) {
        sum_row(motion, frame, row);
        differ += compare_row(motion, row, part);
    }
    return fresh || differ >= CELLS_MIN + motion->columns * motion->rows / CELLS_PART;
}

bool motion_gate_wants(struct motion_gate *gate, bool moving, bool active, int64_t pts_ns)
{
    if (moving || active || !gate->any)
        gate->moved_ns = pts_ns;
    gate->any = true;
    /* Time that runs backwards is another stream. */
    if (motion_gate_rests(gate, pts_ns) && pts_ns >= gate->wanted_ns &&
        pts_ns - gate->wanted_ns < MOTION_REFRESH_NS)
        return false;
    gate->wanted_ns = pts_ns;
    return true;
}

bool motion_gate_rests(const struct motion_gate *gate, int64_t pts_ns)
{
    return gate->any && pts_ns >= gate->moved_ns && pts_ns - gate->moved_ns > MOTION_HOLD_NS;
}
