/* Strided copies: the one form to which slices, transposes, reshapes and splits are lowered, and
 * how two of them become one. */
#include "gpu/graph.h"

#include <string.h>

void graph_strided_simplify(struct strided *strided)
{
    int kept = 0;

    for (int i = 0; i < strided->rank; i++) {
        if (strided->dimension[i] == 1)
            continue;
        if (kept > 0 && strided->stride[kept - 1] == strided->dimension[i] * strided->stride[i]) {
            strided->dimension[kept - 1] *= strided->dimension[i];
            strided->stride[kept - 1] = strided->stride[i];
            continue;
        }
        strided->dimension[kept] = strided->dimension[i];
        strided->stride[kept]    = strided->stride[i];
        kept++;
    }
    if (kept == 0) {
        strided->dimension[0] = 1;
        strided->stride[0]    = 1;
        kept                  = 1;
    }
    strided->rank = kept;
}

int64_t graph_strided_plane(const struct strided *strided, int64_t pixels, int64_t plane)
{
    int64_t rest = plane * pixels, at = strided->offset;

    if (pixels > 1 && (strided->stride[strided->rank - 1] != 1 ||
                       strided->dimension[strided->rank - 1] % pixels != 0))
        return -1;
    for (int k = strided->rank - 1; k >= 0; k--) {
        at += rest % strided->dimension[k] * strided->stride[k];
        rest /= strided->dimension[k];
    }
    return at % pixels == 0 ? at / pixels : -1;
}

bool graph_strided_is_reshape(const struct strided *strided, int64_t source_elements)
{
    struct strided simple = *strided;

    graph_strided_simplify(&simple);
    return simple.offset == 0 && simple.dimension[0] == source_elements &&
           graph_strided_is_run(strided);
}

bool graph_strided_is_run(const struct strided *strided)
{
    struct strided simple = *strided;

    graph_strided_simplify(&simple);
    return simple.rank == 1 && (simple.stride[0] == 1 || simple.dimension[0] == 1);
}

struct composition {
    const struct strided *inner;
    int64_t               contiguous[STRIDED_MAX_DIMENSIONS]; /* strides of inner's output */
    int64_t               low[STRIDED_MAX_DIMENSIONS];  /* least coordinate met in each dimension */
    int64_t               high[STRIDED_MAX_DIMENSIONS]; /* greatest */
    struct strided       *out;
};

/* One loop of the outer copy, `count` steps of `step` elements of inner's output, as steps within
 * one of inner's dimensions; a loop that runs over several of them is split. */
static bool compose_loop(struct composition *work, int64_t count, int64_t step)
{
    const struct strided *inner = work->inner;
    int64_t               size  = step < 0 ? -step : step, inside, reach;
    int                   k     = 0;

    while (k < inner->rank && (work->contiguous[k] > size || size % work->contiguous[k] != 0))
        k++;
    if (k == inner->rank)
        return false;
    reach = work->contiguous[k] * inner->dimension[k]; /* where the next dimension begins */
    if (k > 0 && size < reach && size * (count - 1) >= reach && reach % size == 0) {
        inside = reach / size;
        if (count % inside != 0 || step < 0)
            return false;
        return compose_loop(work, count / inside, reach) && compose_loop(work, inside, step);
    }
    if (work->out->rank == STRIDED_MAX_DIMENSIONS)
        return false;
    step /= work->contiguous[k];
    if (step < 0)
        work->low[k] += step * (count - 1);
    else
        work->high[k] += step * (count - 1);
    work->out->dimension[work->out->rank] = count;
    work->out->stride[work->out->rank]    = step * inner->stride[k];
    work->out->rank++;
    return true;
}

bool graph_strided_compose(const struct strided *inner_as_given,
                           const struct strided *outer_as_given, struct strided *out)
{
    struct strided     inner = *inner_as_given, outer = *outer_as_given;
    struct composition work;

    graph_strided_simplify(&inner);
    graph_strided_simplify(&outer);
    memset(&work, 0, sizeof work);
    memset(out, 0, sizeof *out);
    work.inner = &inner;
    work.out   = out;
    graph_strides(inner.rank, inner.dimension, work.contiguous);
    out->offset = inner.offset;
    for (int k = 0; k < inner.rank; k++) {
        int64_t start = outer.offset / work.contiguous[k] % inner.dimension[k];
        work.low[k]   = start;
        work.high[k]  = start;
        out->offset += start * inner.stride[k];
    }
    for (int i = 0; i < outer.rank; i++)
        if (outer.dimension[i] > 1 && !compose_loop(&work, outer.dimension[i], outer.stride[i]))
            return false;
    /* No step may carry from one of inner's dimensions into the next. */
    for (int k = 0; k < inner.rank; k++)
        if (work.low[k] < 0 || work.high[k] >= inner.dimension[k])
            return false;
    graph_strided_simplify(out);
    return true;
}
