/* Steps that read or write where other numbers say: gathers, scatters, the best K. Indices come
 * from the data that the network sees: they are brought into range before each use. */
#include "gpu/cpu/cpu_runner.h"

#include <math.h>
#include <string.h>

/* A whole number within 0..size-1 from whatever `x` is, also when it is not a number. */
static int64_t index_in(float x, int64_t size)
{
    int64_t i;

    if (!(x > -2e9F))
        return 0;
    i = x < 2e9F ? (int64_t)x : size - 1;
    if (i < 0)
        i += size;
    return i < 0 ? 0 : i >= size ? size - 1 : i;
}

/* What comes before, at, and behind an axis. */
static int64_t product(const struct cpu_tensor *tensor, int from, int to)
{
    int64_t size = 1;

    for (int k = from; k < to; k++)
        size *= tensor->dimension[k];
    return size;
}

void cpu_run_take(const struct cpu_step *step)
{
    const struct cpu_tensor *x = step->input[0], *indices = step->input[1];
    int                      axis  = step->node->axis;
    int64_t                  count = x->dimension[axis], inner = product(x, axis + 1, x->rank);
    int64_t                  outer = product(x, 0, axis);
    float                   *y     = step->output->data;

    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < indices->floats; i++) {
            const float *from = x->data + (o * count + index_in(indices->data[i], count)) * inner;
            memcpy(y, from, (size_t)inner * sizeof *y);
            y += inner;
        }
}

/* Walks over the elements of an index tensor, beside a tensor of the same rank: for element i of
 * the first, where it would lie in the second with its place on `axis` taken as 0. */
struct walk {
    const struct cpu_tensor *indices;
    int                      axis;
    int64_t                  stride[MODEL_MAX_DIMENSIONS];
};

static void walk_init(struct walk *walk, const struct cpu_step *step)
{
    walk->indices = step->input[1];
    walk->axis    = step->node->axis;
    graph_strides(step->input[0]->rank, step->input[0]->dimension, walk->stride);
}

static int64_t walk_base(const struct walk *walk, int64_t i)
{
    int64_t base = 0;

    for (int k = walk->indices->rank - 1; k >= 0; k--) {
        if (k != walk->axis)
            base += i % walk->indices->dimension[k] * walk->stride[k];
        i /= walk->indices->dimension[k];
    }
    return base;
}

void cpu_run_take_elements(const struct cpu_step *step)
{
    const struct cpu_tensor *x = step->input[0], *indices = step->input[1];
    struct walk              walk;

    walk_init(&walk, step);
    for (int64_t i = 0; i < indices->floats; i++) {
        int64_t index         = index_in(indices->data[i], x->dimension[walk.axis]);
        step->output->data[i] = x->data[walk_base(&walk, i) + index * walk.stride[walk.axis]];
    }
}

void cpu_run_put_elements(const struct cpu_step *step)
{
    const struct cpu_tensor *x = step->input[0], *indices = step->input[1];
    struct walk              walk;

    walk_init(&walk, step);
    memcpy(step->output->data, x->data, (size_t)x->floats * sizeof *x->data);
    for (int64_t i = 0; i < indices->floats; i++) {
        int64_t index = index_in(indices->data[i], x->dimension[walk.axis]);
        step->output->data[walk_base(&walk, i) + index * walk.stride[walk.axis]] =
            step->input[2]->data[i];
    }
}

/* Where the slice lies that `depth` numbers of an index name, behind `batch` dimensions. */
static int64_t slice_at(const struct cpu_tensor *x, const int64_t *stride, int batch, int64_t depth,
                        const float *index)
{
    int64_t at = 0;

    for (int64_t d = 0; d < depth; d++)
        at += index_in(index[d], x->dimension[batch + d]) * stride[batch + d];
    return at;
}

void cpu_run_take_slices(const struct cpu_step *step)
{
    const struct cpu_tensor *x = step->input[0], *indices = step->input[1];
    int                      batch = step->node->axis;
    int64_t depth = indices->dimension[indices->rank - 1], stride[MODEL_MAX_DIMENSIONS];
    int64_t slice = product(x, batch + (int)depth, x->rank), batches = product(x, 0, batch);
    int64_t rows = indices->floats / depth / batches;

    graph_strides(x->rank, x->dimension, stride);
    for (int64_t i = 0; i < batches * rows; i++) {
        int64_t at = i / rows * (x->floats / batches) +
                     slice_at(x, stride, batch, depth, indices->data + i * depth);
        memcpy(step->output->data + i * slice, x->data + at, (size_t)slice * sizeof *x->data);
    }
}

void cpu_run_put_slices(const struct cpu_step *step)
{
    const struct cpu_tensor *x = step->input[0], *indices = step->input[1];
    int64_t depth = indices->dimension[indices->rank - 1], stride[MODEL_MAX_DIMENSIONS];
    int64_t slice = product(x, (int)depth, x->rank), rows = indices->floats / depth;

    graph_strides(x->rank, x->dimension, stride);
    memcpy(step->output->data, x->data, (size_t)x->floats * sizeof *x->data);
    for (int64_t i = 0; i < rows; i++) {
        int64_t at = slice_at(x, stride, 0, depth, indices->data + i * depth);
        memcpy(step->output->data + at, step->input[2]->data + i * slice,
               (size_t)slice * sizeof *x->data);
    }
}

/* ---- the best K ---- */

struct ranking {
    const float *x;
    int64_t      stride;
    bool         smallest;
    float       *heap; /* indices; the worst of the best on top */
    int64_t      step; /* between them */
};

/* True when index a comes behind index b: one order of all numbers, those that are none at its end.
 * Whole numbers in float32 compare exactly. */
static bool behind(const struct ranking *r, float a, float b)
{
    float xa = r->x[(int64_t)a * r->stride], xb = r->x[(int64_t)b * r->stride];

    if (xa < xb || xa > xb)
        return r->smallest ? xa > xb : xa < xb;
    if (isnan(xa) != isnan(xb))
        return isnan(xa);
    return a > b;
}

static void sink(const struct ranking *r, int64_t at, int64_t count)
{
    float moved = r->heap[at * r->step];

    for (int64_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count &&
            behind(r, r->heap[(child + 1) * r->step], r->heap[child * r->step]))
            child++;
        if (!behind(r, r->heap[child * r->step], moved))
            break;
        r->heap[at * r->step] = r->heap[child * r->step];
    }
    r->heap[at * r->step] = moved;
}

/* A heap of the best K so far, then sorted in place: no memory of its own. */
static void rank_one(const struct ranking *r, int64_t count, int64_t best)
{
    for (int64_t i = 0; i < best; i++)
        r->heap[i * r->step] = (float)i;
    for (int64_t i = best / 2 - 1; i >= 0; i--)
        sink(r, i, best);
    for (int64_t i = best; i < count; i++)
        if (behind(r, r->heap[0], (float)i)) {
            r->heap[0] = (float)i;
            sink(r, 0, best);
        }
    for (int64_t end = best - 1; end > 0; end--) {
        float worst            = r->heap[0];
        r->heap[0]             = r->heap[end * r->step];
        r->heap[end * r->step] = worst;
        sink(r, 0, end);
    }
}

void cpu_run_top_k(const struct cpu_step *step)
{
    const struct cpu_tensor *x = step->input[0], *y = step->output;
    int                      axis  = step->node->axis;
    int64_t                  inner = product(x, axis + 1, x->rank), outer = product(x, 0, axis);
    int64_t                  count = x->dimension[axis], best = y->dimension[axis];

    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < inner; i++) {
            struct ranking r = {
                .x        = x->data + o * count * inner + i,
                .stride   = inner,
                .smallest = step->node->topk.smallest,
                .heap     = y->data + o * best * inner + i,
                .step     = inner,
            };
            rank_one(&r, count, best);
        }
}
