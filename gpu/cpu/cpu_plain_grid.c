/* GridSample: pictures read at places that the network computes. The places and weights of a run of
 * points are worked out once and then used for all channels. */
#include "gpu/cpu/cpu_runner.h"

#include <math.h>

enum { RUN = 64 };

struct point {
    int32_t at[4]; /* within a plane */
    float   weight[4];
};

/* From -1..1 to pixels. Far-off and undefined places become the border or beyond it by one. */
static float unnormalise(float x, int64_t size, bool align_corners)
{
    float place = align_corners ? (x + 1.0F) * 0.5F * (float)(size - 1)
                                : ((x + 1.0F) * (float)size - 1.0F) * 0.5F;

    return place > -1e6F ? fminf(place, 1e6F) : -1e6F;
}

/* Mirrored at the middle of the outer pixels, or at their outer edges, until it lies inside. */
static float reflect(float x, int64_t size, bool align_corners)
{
    float low  = align_corners ? 0.0F : -0.5F;
    float span = align_corners ? (float)(size - 1) : (float)size, rest, turns;

    if (span <= 0.0F)
        return 0.0F;
    x     = fabsf(x - low);
    turns = floorf(x / span);
    rest  = x - turns * span;
    return low + (fmodf(turns, 2.0F) == 0.0F ? rest : span - rest);
}

static float place_of(const struct node *node, float x, int64_t size)
{
    x = unnormalise(x, size, node->grid.align_corners);
    if (node->grid.padding == GRID_REFLECTION)
        x = reflect(x, size, node->grid.align_corners);
    if (node->grid.padding != GRID_ZEROS)
        x = fminf(fmaxf(x, 0.0F), (float)(size - 1));
    return x;
}

static void corner(struct point *point, int i, int64_t x, int64_t y, int64_t width, int64_t height,
                   float weight)
{
    bool inside = x >= 0 && x < width && y >= 0 && y < height;

    point->at[i]     = inside ? (int32_t)(y * width + x) : 0;
    point->weight[i] = inside ? weight : 0.0F;
}

static void find_point(const struct node *node, const float *grid, int64_t width, int64_t height,
                       struct point *point)
{
    float x = place_of(node, grid[0], width), y = place_of(node, grid[1], height);
    float left = floorf(x), top = floorf(y), dx = x - left, dy = y - top;

    if (node->grid.nearest) {
        left = rintf(x);
        top  = rintf(y);
        dx   = 0.0F;
        dy   = 0.0F;
    }
    for (int i = 0; i < 4; i++)
        corner(point, i, (int64_t)left + i % 2, (int64_t)top + i / 2, width, height,
               (i % 2 == 0 ? 1.0F - dx : dx) * (i / 2 == 0 ? 1.0F - dy : dy));
}

static void sample_plane(const float *x, const struct point *points, int64_t count, float *y)
{
    for (int64_t i = 0; i < count; i++) {
        const struct point *p = &points[i];
        y[i]                  = x[p->at[0]] * p->weight[0] + x[p->at[1]] * p->weight[1] +
               x[p->at[2]] * p->weight[2] + x[p->at[3]] * p->weight[3];
    }
}

void cpu_run_grid_sample(const struct cpu_step *step)
{
    const struct cpu_tensor *x = step->input[0], *grid = step->input[1], *y = step->output;
    int64_t height = x->dimension[2], width = x->dimension[3], channels = x->dimension[1];
    int64_t out = y->dimension[2] * y->dimension[3];

    for (int64_t n = 0; n < x->dimension[0]; n++)
        for (int64_t first = 0; first < out; first += RUN) {
            struct point points[RUN];
            int64_t      count = out - first < RUN ? out - first : RUN;
            for (int64_t i = 0; i < count; i++)
                find_point(step->node, grid->data + (n * out + first + i) * 2, width, height,
                           &points[i]);
            for (int64_t c = n * channels; c < (n + 1) * channels; c++)
                sample_plane(x->data + c * height * width, points, count,
                             y->data + c * out + first);
        }
}
