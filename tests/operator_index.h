/* tests/operator_index.h: reading and writing where other numbers say, repeats, products of stacks,
 * grids, transposed convolutions: rows of tests/unit/operator_test.c. */
#ifndef SIGHTLINE_TESTS_OPERATOR_INDEX_H
#define SIGHTLINE_TESTS_OPERATOR_INDEX_H

#include "tests/operator_axis.h"

/* ---- indices, computed while the model runs ---- */

static void case_gather_computed(struct trial *t)
{
    struct array parts[2] = {random_shape(t, 1, 4, 7), random_shape(t, 0, 2, 5)};
    struct lists l        = random_axis(t, &parts[0]);
    int64_t      count, size[8];
    int          rank = 0;
    char         text[32];

    set_parts(t, 2, parts);
    make_whole(t, &parts[1], t->onnx.opset < 11 ? 0 : -l.count, l.count - 1);
    cast_part(t, "b");
    snprintf(text, sizeof text, "axis:i=%d", l.axis);
    onnx_node(&t->onnx, "Gather", "a,b64", "y", text);
    for (int k = 0; k < l.axis; k++)
        size[rank++] = parts[0].size[k];
    for (int k = 0; k < parts[1].rank; k++)
        size[rank++] = parts[1].size[k];
    for (int k = l.axis + 1; k < parts[0].rank; k++)
        size[rank++] = parts[0].size[k];
    t->y  = array_of(rank, size);
    count = elements(&parts[1]);
    for (int64_t i = 0; i < elements(&t->y); i++) {
        int64_t at = (int64_t)parts[1].at[i / l.inner % count];
        at         = at < 0 ? at + l.count : at;
        t->y.at[i] = parts[0].at[(i / l.inner / count * l.count + at) * l.inner + i % l.inner];
    }
}

/* The place in x of element i of the indices, with `index` on the axis. */
static int64_t element_place(const struct array *x, const struct array *indices, int axis,
                             int64_t i, int64_t index)
{
    int64_t at = 0, step = 1;

    if (index < 0)
        index += x->size[axis];
    for (int k = x->rank - 1; k >= 0; k--) {
        at += (k == axis ? index : i % indices->size[k]) * step;
        step *= x->size[k];
        i /= indices->size[k];
    }
    return at;
}

static void case_gather_elements(struct trial *t)
{
    struct array parts[2] = {random_shape(t, 1, 4, 9)};
    int          axis;
    char         text[32];

    axis     = (int)pick(t, 0, parts[0].rank - 1);
    parts[1] = parts[0];
    for (int k = 0; k < parts[0].rank; k++)
        parts[1].size[k] = pick(t, 1, k == axis ? 12 : parts[0].size[k]);
    set_parts(t, 2, parts);
    make_whole(t, &parts[1], -parts[0].size[axis], parts[0].size[axis] - 1);
    cast_part(t, "b");
    snprintf(text, sizeof text, "axis:i=%d", axis);
    onnx_node(&t->onnx, "GatherElements", "a,b64", "y", text);
    t->y = array_of(parts[1].rank, parts[1].size);
    for (int64_t i = 0; i < elements(&t->y); i++)
        t->y.at[i] =
            parts[0].at[element_place(&parts[0], &parts[1], axis, i, (int64_t)parts[1].at[i])];
}

static void case_scatter_elements(struct trial *t)
{
    struct array parts[3] = {random_shape(t, 1, 4, 9)};
    int          axis;
    char         text[32];

    axis     = (int)pick(t, 0, parts[0].rank - 1);
    parts[1] = parts[0];
    for (int k = 0; k < parts[0].rank; k++)
        parts[1].size[k] = pick(t, 1, parts[0].size[k]);
    parts[2] = parts[1];
    set_parts(t, 3, parts);
    make_whole(t, &parts[1], t->onnx.opset < 11 ? 0 : -parts[0].size[axis],
               parts[0].size[axis] - 1);
    cast_part(t, "b");
    snprintf(text, sizeof text, "axis:i=%d", axis);
    onnx_node(&t->onnx, t->onnx.opset < 11 ? "Scatter" : "ScatterElements", "a,b64,c", "y", text);
    t->y = array_of(parts[0].rank, parts[0].size);
    memcpy(t->y.at, parts[0].at, (size_t)elements(&t->y) * sizeof *t->y.at);
    for (int64_t i = 0; i < elements(&parts[1]); i++)
        t->y.at[element_place(&parts[0], &parts[1], axis, i, (int64_t)parts[1].at[i])] =
            parts[2].at[i];
}

/* Rows of `depth` indices behind `batch` dimensions, as part b; the slices that they name. */
struct slices {
    int     batch, depth;
    int64_t batches, rows, slice;
};

static struct slices random_slices(struct trial *t, int batch_max, const struct array *x,
                                   struct array *indices)
{
    struct slices s = {.batch = (int)pick(t, 0, batch_max), .batches = 1, .rows = 1, .slice = 1};

    indices->rank = 0;
    for (int k = 0; k < s.batch; k++) {
        indices->size[indices->rank++] = x->size[k];
        s.batches *= x->size[k];
    }
    s.depth = (int)pick(t, 1, x->rank - s.batch);
    for (int64_t k = pick(t, 0, 1); k >= 0; k--) {
        indices->size[indices->rank] = pick(t, 1, 6);
        s.rows *= indices->size[indices->rank++];
    }
    indices->size[indices->rank++] = s.depth;
    for (int k = s.batch + s.depth; k < x->rank; k++)
        s.slice *= x->size[k];
    return s;
}

static int64_t slice_place(const struct array *x, const struct slices *s, const float *index,
                           int64_t batch)
{
    int64_t at = batch;

    for (int k = 0; k < s->depth; k++) {
        int64_t size = x->size[s->batch + k], i = (int64_t)index[k];
        at = at * size + (i < 0 ? i + size : i);
    }
    return at * s->slice;
}

static void fill_indices(struct trial *t, const struct array *x, const struct slices *s,
                         const struct array *indices)
{
    for (int64_t i = 0; i < elements(indices); i++) {
        int64_t size   = x->size[s->batch + i % s->depth];
        indices->at[i] = (float)pick(t, -size, size - 1);
    }
}

static void case_gather_nd(struct trial *t)
{
    struct array  parts[2] = {random_shape(t, 2, 4, 6)}, y = {.rank = 0};
    struct slices s = random_slices(t, 1, &parts[0], &parts[1]);
    char          text[32];

    set_parts(t, 2, parts);
    fill_indices(t, &parts[0], &s, &parts[1]);
    cast_part(t, "b");
    snprintf(text, sizeof text, "batch_dims:i=%d", s.batch);
    onnx_node(&t->onnx, "GatherND", "a,b64", "y", text);
    for (int k = 0; k < parts[1].rank - 1; k++)
        y.size[y.rank++] = parts[1].size[k];
    for (int k = s.batch + s.depth; k < parts[0].rank; k++)
        y.size[y.rank++] = parts[0].size[k];
    t->y = array_of(y.rank, y.size);
    for (int64_t i = 0; i < elements(&t->y); i++) {
        int64_t row = i / s.slice;
        t->y.at[i] =
            parts[0].at[slice_place(&parts[0], &s, parts[1].at + row * s.depth, row / s.rows) +
                        i % s.slice];
    }
}

static void case_scatter_nd(struct trial *t)
{
    struct array  parts[3] = {random_shape(t, 1, 4, 6)};
    struct slices s        = random_slices(t, 0, &parts[0], &parts[1]);

    parts[2].rank = 0;
    for (int k = 0; k < parts[1].rank - 1; k++)
        parts[2].size[parts[2].rank++] = parts[1].size[k];
    for (int k = s.depth; k < parts[0].rank; k++)
        parts[2].size[parts[2].rank++] = parts[0].size[k];
    set_parts(t, 3, parts);
    fill_indices(t, &parts[0], &s, &parts[1]);
    cast_part(t, "b");
    onnx_node(&t->onnx, "ScatterND", "a,b64,c", "y", "");
    t->y = array_of(parts[0].rank, parts[0].size);
    memcpy(t->y.at, parts[0].at, (size_t)elements(&t->y) * sizeof *t->y.at);
    for (int64_t row = 0; row < s.rows; row++)
        memcpy(t->y.at + slice_place(&parts[0], &s, parts[1].at + row * s.depth, 0),
               parts[2].at + row * s.slice, (size_t)s.slice * sizeof *t->y.at);
}

/* ---- repeats and rearrangements ---- */

static void case_expand_tile(struct trial *t)
{
    struct array x      = random_shape(t, 1, 4, 6), y;
    bool         expand = t->number % 2 == 0;
    int64_t      numbers[4];

    y = x;
    for (int k = 0; k < x.rank; k++) {
        if (expand && pick(t, 0, 1) == 1)
            x.size[k] = 1;
        numbers[k] = expand ? y.size[k] : pick(t, 1, 3);
        y.size[k]  = expand ? y.size[k] : x.size[k] * numbers[k];
    }
    set_parts(t, 1, &x);
    onnx_ints(&t->onnx, "numbers", x.rank, numbers);
    onnx_node(&t->onnx, expand ? "Expand" : "Tile", "a,numbers", "y", "");
    t->y = array_of(y.rank, y.size);
    for (int64_t i = 0; i < elements(&t->y); i++) {
        int64_t rest = i, at = 0, step = 1;
        for (int k = x.rank - 1; k >= 0; k--) {
            at += rest % y.size[k] % x.size[k] * step;
            step *= x.size[k];
            rest /= y.size[k];
        }
        t->y.at[i] = x.at[at];
    }
}

static void case_depth_space(struct trial *t)
{
    int64_t block = pick(t, 1, 3), c = pick(t, 1, 6), h = pick(t, 1, 6), w = pick(t, 1, 6);
    int     which = t->number % 3; /* DCR, CRD (since opset 11), back */
    bool    back  = which == 2;
    char    text[48];
    int64_t deep[4] = {1, c * block * block, h, w}, wide[4] = {1, c, h * block, w * block};

    since(t, which == 1 ? 11 : 0);
    set_input(t, 4, back ? wide : deep);
    snprintf(text, sizeof text, "blocksize:i=%d%s", (int)block, which == 1 ? " mode:s=CRD" : "");
    node(t, back ? "SpaceToDepth" : "DepthToSpace", "", text);
    t->y = array_of(4, back ? deep : wide);
    for (int64_t i = 0; i < elements(&t->x); i++) {
        int64_t x = i % wide[3], y = i / wide[3] % wide[2], m = i / (wide[2] * wide[3]);
        int64_t phase = y % block * block + x % block;
        int64_t from  = which == 1 ? m * block * block + phase : phase * c + m;
        int64_t there = (from * h + y / block) * w + x / block;
        if (back)
            t->y.at[there] = t->x.at[i];
        else
            t->y.at[i] = t->x.at[there];
    }
}

/* Constants from nodes, ranges, sizes and what is not 0, added to the input. */
static void case_constants(struct trial *t)
{
    struct array x = random_shape(t, 1, 1, 40);

    set_parts(t, 1, &x);
    onnx_tensor(&t->onnx, "from", 7, 0, NULL, &(int64_t){3}, 8);
    onnx_tensor(&t->onnx, "by", 7, 0, NULL, &(int64_t){2}, 8);
    onnx_node(&t->onnx, "Size", "a", "n", "");
    onnx_node(&t->onnx, "Mul", "n,by", "twice", "");
    onnx_node(&t->onnx, "Add", "twice,from", "to", "");
    onnx_node(&t->onnx, "Range", "from,to,by", "r", "");
    onnx_node(&t->onnx, "NonZero", "r", "nz", "");
    write_squeeze(t, "Squeeze", "nz", "places", 0);
    onnx_node(&t->onnx, "Gather", "r,places", "same", "");
    onnx_node(&t->onnx, "Greater", "same,from", "later", "");
    onnx_node(&t->onnx, "Where", "later,same,by", "chosen", "");
    if (t->onnx.opset < 15)
        onnx_node(&t->onnx, "Cast", "chosen", "f", "to:i=1");
    else
        onnx_node(&t->onnx, "CastLike", "chosen,a", "f", "");
    onnx_node(&t->onnx, "Add", "a,f", "sum", "");
    onnx_node(&t->onnx, "Shape", "a", "shape", "");
    onnx_node(&t->onnx, "ConstantOfShape", "shape", "filled", "value:t=0.5");
    onnx_node(&t->onnx, "Constant", "", "factor",
              t->onnx.opset < 12 || t->number % 2 == 0 ? "value:t=0.25" : "value_float:f=0.25");
    onnx_node(&t->onnx, "Mul", "filled,factor", "more", "");
    onnx_node(&t->onnx, "Add", "sum,more", "y", "");
    t->y = array_of(1, x.size);
    for (int64_t i = 0; i < x.size[0]; i++)
        t->y.at[i] = x.at[i] + (i == 0 ? 2.0F : (float)(3 + 2 * i)) + 0.125F;
}

/* ---- products ---- */

/* Stacks of matrices, both computed, with dimensions of 1 that repeat. */
static void case_stacks(struct trial *t)
{
    int64_t m = pick(t, 1, 20), k = pick(t, 1, 20), n = pick(t, 1, 20), b = pick(t, 1, 3),
            c = pick(t, 1, 4), ca = pick(t, 0, 1) == 1 ? c : 1, cb = pick(t, 0, 1) == 1 ? c : 1;
    struct array parts[2] = {{.rank = 4, .size = {b, ca, m, k}},
                             {.rank = 4, .size = {b, cb, k, n}}};

    if (t->number % 4 == 3) { /* many matrices times one */
        parts[1] = (struct array){.rank = 2, .size = {k, n}};
        c        = ca;
    } else {
        c = ca > cb ? ca : cb;
    }
    set_parts(t, 2, parts);
    onnx_node(&t->onnx, "MatMul", "a,b", "y", "");
    t->y = array_of(4, (int64_t[]){b, c, m, n});
    for (int64_t i = 0; i < elements(&t->y); i++) {
        int64_t      row = i / n % m, column = i % n, s = i / n / m;
        const float *x   = parts[0].at + ((s / c * ca + (ca == 1 ? 0 : s % c)) * m + row) * k;
        const float *w   = parts[1].rank == 2
                               ? parts[1].at + column
                               : parts[1].at + (s / c * cb + (cb == 1 ? 0 : s % c)) * k * n + column;
        double       sum = 0;
        for (int64_t j = 0; j < k; j++)
            sum += (double)x[j] * (double)w[j * n];
        t->y.at[i] = (float)sum;
    }
}

static void case_einsum(struct trial *t)
{
    static const char *const equations[] = {"bqhc,bkhc->bhqk", "bhqk,bkhc->bqhc", "bchw,bkc->bkhw",
                                            "ij,jk->ki", "i,j->ij"};
    const char              *equation = equations[t->number % 5], *comma = strchr(equation, ','),
               *arrow       = strstr(equation, "->");
    int64_t      sizes[128] = {0};
    struct array parts[2] = {{.rank = 0}, {.rank = 0}}, y = {.rank = 0};
    char         text[64];

    for (const char *c = equation; *c != '\0'; c++) {
        struct array *at = c < comma ? &parts[0] : c < arrow ? &parts[1] : &y;
        if (*c < 'a')
            continue;
        if (sizes[(int)*c] == 0)
            sizes[(int)*c] = pick(t, 1, 7);
        at->size[at->rank++] = sizes[(int)*c];
    }
    set_parts(t, 2, parts);
    snprintf(text, sizeof text, "equation:s=%s", equation);
    onnx_node(&t->onnx, "Einsum", "a,b", "y", text);
    t->y = array_of(y.rank, y.size);
    /* Every combination of all letters, counted up like digits. */
    int64_t digit[128] = {0}, total = 1;
    for (int c = 'a'; c <= 'z'; c++)
        total *= sizes[c] > 0 ? sizes[c] : 1;
    for (int64_t i = 0; i < total; i++) {
        int64_t rest = i, at[3] = {0, 0, 0};
        for (int c = 'a'; c <= 'z'; c++)
            if (sizes[c] > 0) {
                digit[c] = rest % sizes[c];
                rest /= sizes[c];
            }
        for (const char *c = equation; *c != '\0'; c++)
            if (*c >= 'a') {
                int part = c < comma ? 0 : c < arrow ? 1 : 2;
                at[part] = at[part] * sizes[(int)*c] + digit[(int)*c];
            }
        t->y.at[at[2]] += parts[0].at[at[0]] * parts[1].at[at[1]];
    }
}

/* Each input pixel adds its kernel to the output. */
static void case_conv_transpose(struct trial *t)
{
    int64_t      groups = pick(t, 1, 2), in = groups * pick(t, 1, 8), out = pick(t, 1, 9);
    int64_t      kernel[2], stride[2], begin[2], end[2], extra[2], dilation[2], size[4], full[2];
    struct array w, bias;
    char         inputs[32], text[200];

    for (int i = 0; i < 2; i++) {
        stride[i]   = pick(t, 1, 3);
        kernel[i]   = pick(t, 1, 4);
        dilation[i] = pick(t, 1, 4) == 4 ? 2 : 1;
        extra[i]    = pick(t, 0, stride[i] - 1);
        begin[i]    = pick(t, 0, kernel[i] / 2);
        end[i]      = pick(t, 0, kernel[i] / 2);
    }
    /* Not smaller than a window: for such pictures oneDNN has reference code alone. */
    set_input(t, 4, (int64_t[]){1, in, pick(t, 7, 12), pick(t, 7, 12)});
    w    = random_array(t, 4, (int64_t[]){in, out, kernel[0], kernel[1]});
    bias = random_array(t, 1, &(int64_t){out * groups});
    constant(t, "w", &w);
    constant(t, "bias", &bias);
    snprintf(inputs, sizeof inputs, "%s,w,bias", t->from);
    snprintf(text, sizeof text,
             "strides:is=%d,%d pads:is=%d,%d,%d,%d output_padding:is=%d,%d dilations:is=%d,%d "
             "group:i=%d",
             (int)stride[0], (int)stride[1], (int)begin[0], (int)begin[1], (int)end[0], (int)end[1],
             (int)extra[0], (int)extra[1], (int)dilation[0], (int)dilation[1], (int)groups);
    onnx_node(&t->onnx, "ConvTranspose", inputs, "y", text);
    size[0] = 1;
    size[1] = out * groups;
    for (int i = 0; i < 2; i++) {
        full[i]     = stride[i] * (t->x.size[2 + i] - 1) + dilation[i] * (kernel[i] - 1) + 1;
        size[2 + i] = full[i] + extra[i] - begin[i] - end[i];
    }
    t->y = array_of(4, size);
    for (int64_t i = 0; i < elements(&t->y); i++)
        t->y.at[i] = bias.at[i / (size[2] * size[3])];
    for (int64_t i = 0; i < elements(&t->x); i++)
        for (int64_t j = 0; j < out * kernel[0] * kernel[1]; j++) {
            int64_t c = i / (t->x.size[2] * t->x.size[3]), m = j / (kernel[0] * kernel[1]);
            int64_t y = i / t->x.size[3] % t->x.size[2] * stride[0] +
                        j / kernel[1] % kernel[0] * dilation[0] - begin[0];
            int64_t x = i % t->x.size[3] * stride[1] + j % kernel[1] * dilation[1] - begin[1];
            if (y < 0 || x < 0 || y >= size[2] || x >= size[3])
                continue;
            m += c / (in / groups) * out;
            t->y.at[(m * size[2] + y) * size[3] + x] += t->x.at[i] *
                                                        w.at[c * out * kernel[0] * kernel[1] + j];
        }
    free(w.at);
    free(bias.at);
}

/* ---- grid ---- */

static double grid_pixel(const struct array *x, int64_t plane, double px, double py, int padding)
{
    int64_t w = x->size[3], h = x->size[2], ix = (int64_t)px, iy = (int64_t)py;

    if (padding != 0) { /* what reflects lies inside already, but for its right neighbour */
        ix = ix < 0 ? 0 : ix >= w ? w - 1 : ix;
        iy = iy < 0 ? 0 : iy >= h ? h - 1 : iy;
    }
    if (ix < 0 || iy < 0 || ix >= w || iy >= h)
        return 0;
    return (double)x->at[(plane * h + iy) * w + ix];
}

static double grid_place(double at, int64_t size, bool align, int padding)
{
    double place = align ? (at + 1) / 2 * (double)(size - 1) : ((at + 1) * (double)size - 1) / 2;
    double low = align ? 0 : -0.5, high = align ? (double)(size - 1) : (double)size - 0.5;

    while (padding == 2 && high > low && (place < low || place > high))
        place = place < low ? 2 * low - place : 2 * high - place;
    if (padding == 2 && high <= low)
        place = 0;
    if (padding != 0)
        place = fmin(fmax(place, 0), (double)(size - 1));
    return place;
}

static void case_grid_sample(struct trial *t)
{
    static const char *const paddings[] = {"zeros", "border", "reflection"};
    int64_t      n = pick(t, 1, 3), c = pick(t, 1, 5), out = pick(t, 1, 9), across = pick(t, 1, 9);
    struct array parts[2] = {{.rank = 4, .size = {n, c, pick(t, 1, 9), pick(t, 1, 9)}},
                             {.rank = 4, .size = {n, out, across, 2}}};
    int          padding  = t->number % 3;
    bool         align = pick(t, 0, 1) == 1, nearest = pick(t, 0, 2) == 0;
    char         text[96];

    set_parts(t, 2, parts);
    for (int64_t i = 0; i < elements(&parts[1]); i++)
        parts[1].at[i] *= 0.8F;
    snprintf(text, sizeof text, "mode:s=%s padding_mode:s=%s align_corners:i=%d",
             nearest               ? "nearest"
             : t->onnx.opset >= 20 ? "linear"
                                   : "bilinear",
             paddings[padding], align);
    onnx_node(&t->onnx, "GridSample", "a,b", "y", text);
    t->y = array_of(4, (int64_t[]){n, c, out, across});
    for (int64_t i = 0; i < elements(&t->y); i++) {
        int64_t plane = i / (out * across), point = plane / c * out * across + i % (out * across);
        const float *grid = parts[1].at + point * 2;
        double       px   = grid_place((double)grid[0], parts[0].size[3], align, padding);
        double       py   = grid_place((double)grid[1], parts[0].size[2], align, padding);
        double       x0 = nearest ? rint(px) : floor(px), y0 = nearest ? rint(py) : floor(py);
        double       dx = nearest ? 0 : px - x0, dy = nearest ? 0 : py - y0, sum = 0;
        for (int k = 0; k < 4; k++)
            sum += grid_pixel(&parts[0], plane, x0 + k % 2, y0 + k / 2, padding) *
                   (k % 2 == 1 ? dx : 1 - dx) * (k / 2 == 1 ? dy : 1 - dy);
        t->y.at[i] = (float)sum;
    }
}

#endif
