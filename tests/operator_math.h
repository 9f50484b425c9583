/* tests/operator_math.h: arithmetic, means, products, pools and resizes by plain loops: rows of
 * tests/unit/operator_test.c. */
#ifndef SIGHTLINE_TESTS_OPERATOR_MATH_H
#define SIGHTLINE_TESTS_OPERATOR_MATH_H

#include "tests/operator_conv.h"

/* ---- arithmetic ---- */

static float compute(int op, float a, float b)
{
    return op == 0 ? a + b : op == 1 ? a - b : op == 2 ? a * b : a / b;
}

static int64_t broadcast_index(const struct array *a, const struct array *y, int64_t i)
{
    int64_t at = 0, step = 1;

    for (int k = y->rank - 1; k >= 0; k--) {
        int own = k - (y->rank - a->rank);
        if (own >= 0) {
            at += (a->size[own] == 1 ? 0 : i % y->size[k]) * step;
            step *= a->size[own];
        }
        i /= y->size[k];
    }
    return at;
}

static void case_arithmetic(struct trial *t)
{
    const char  *types[] = {"Add", "Sub", "Mul", "Div"};
    int          op = (int)pick(t, 0, 3), drop = (int)pick(t, 0, 3);
    bool         first = pick(t, 0, 1) == 1;
    struct array b;
    int64_t      size[4];
    char         inputs[64];

    picture(t, 40, 9);
    for (int k = 0; k < 4; k++)
        size[k] = pick(t, 0, 1) == 1 ? t->x.size[k] : 1;
    b = random_array(t, 4 - drop, size + drop);
    for (int64_t i = 0; i < elements(&t->x); i++)
        t->x.at[i] += t->x.at[i] < 0 ? -0.5F : 0.5F; /* nothing is divided by next to nothing */
    for (int64_t i = 0; i < elements(&b); i++)
        b.at[i] += b.at[i] < 0 ? -0.5F : 0.5F;
    constant(t, "b", &b);
    snprintf(inputs, sizeof inputs, "%s,%s", first ? "b" : t->from, first ? t->from : "b");
    onnx_node(&t->onnx, types[op], inputs, "y", "");
    t->y = array_of(4, t->x.size);
    for (int64_t i = 0; i < elements(&t->y); i++) {
        float other = b.at[broadcast_index(&b, &t->y, i)];
        t->y.at[i]  = first ? compute(op, other, t->x.at[i]) : compute(op, t->x.at[i], other);
    }
    free(b.at);
}

/* x * mean(x), as gates by channel do. */
static void case_gate(struct trial *t)
{
    int64_t pixels;
    char    inputs[64];
    bool    swap = pick(t, 0, 1) == 1;

    picture(t, 40, 9);
    onnx_node(&t->onnx, "GlobalAveragePool", t->from, "m", "");
    snprintf(inputs, sizeof inputs, "%s,%s", swap ? "m" : t->from, swap ? t->from : "m");
    onnx_node(&t->onnx, "Mul", inputs, "y", "");
    t->y   = array_of(4, t->x.size);
    pixels = t->x.size[2] * t->x.size[3];
    for (int64_t c = 0; c < t->x.size[1]; c++) {
        double sum = 0;
        for (int64_t i = 0; i < pixels; i++)
            sum += (double)t->x.at[c * pixels + i];
        for (int64_t i = 0; i < pixels; i++)
            t->y.at[c * pixels + i] = t->x.at[c * pixels + i] * (float)(sum / (double)pixels);
    }
}

static void case_mean(struct trial *t)
{
    unsigned    axes = (unsigned)pick(t, 1, 15);
    bool        keep = pick(t, 0, 1) == 1;
    int64_t     size[6], list[4], listed = 0, count = 1;
    int         rank = 0;
    struct form form;

    picture(t, 20, 9);
    if (pick(t, 0, 1) == 1)
        axes = 12;
    for (int k = 0; k < 4; k++) {
        bool gone = (axes >> k & 1U) != 0;
        if (gone)
            list[listed++] = k - (keep ? 4 : 0);
        if (gone)
            count *= t->x.size[k];
        if (!gone || keep)
            size[rank++] = gone ? 1 : t->x.size[k];
    }
    form = form_of(t->from, keep ? "keepdims:i=1" : "keepdims:i=0");
    form_list(t, &form, 18, "axes", listed, list);
    form_node(t, "ReduceMean", &form, "y");
    t->y = array_of(rank, size);
    for (int64_t i = 0; i < elements(&t->x); i++) {
        int64_t rest = i, at = 0, step = 1;
        for (int k = 3; k >= 0; k--) {
            if ((axes >> k & 1U) == 0) {
                at += rest % t->x.size[k] * step;
                step *= t->x.size[k];
            }
            rest /= t->x.size[k];
        }
        t->y.at[at] += t->x.at[i] / (float)count;
    }
}

/* Along one axis; before opset 13 along all from it on. Half of them between two transposes that undo
 * each other, as exporters write one along the channels. */
static void case_softmax(struct trial *t)
{
    int     axis = (int)pick(t, 0, 3), order[4] = {0, 1, 2, 3}, back[4];
    bool    turned = (t->onnx.opset >= 13 || axis == 3) && pick(t, 0, 1) == 1;
    int64_t stride = 1, count;
    char    text[32], there[64], again[64];

    picture(t, 20, 9);
    snprintf(text, sizeof text, "axis:i=%d", axis);
    if (turned) {
        for (int k = 3; k > 0; k--) {
            int other = (int)pick(t, 0, k), swap = order[k];
            order[k]     = order[other];
            order[other] = swap;
        }
        for (int k = 0; k < 4; k++)
            back[order[k]] = k;
        snprintf(there, sizeof there, "perm:is=%d,%d,%d,%d", order[0], order[1], order[2],
                 order[3]);
        snprintf(again, sizeof again, "perm:is=%d,%d,%d,%d", back[0], back[1], back[2], back[3]);
        onnx_node(&t->onnx, "Transpose", t->from[1] == 'b' ? "xb" : "x", "turned", there);
        onnx_node(&t->onnx, "Softmax", "turned", "soft", text);
        onnx_node(&t->onnx, "Transpose", "soft", "y", again);
        axis = order[axis];
    } else {
        node(t, "Softmax", "", text);
    }
    t->y = array_of(4, t->x.size);
    for (int k = axis + 1; k < 4; k++)
        stride *= t->x.size[k];
    count = t->x.size[axis];
    if (t->onnx.opset < 13 && !turned) {
        count *= stride;
        stride = 1;
    }
    for (int64_t i = 0; i < elements(&t->x); i++) {
        int64_t first = i / (stride * count) * stride * count + i % stride;
        double  sum   = 0;
        for (int64_t k = 0; k < count; k++)
            sum += exp((double)t->x.at[first + k * stride]);
        t->y.at[i] = (float)(exp((double)t->x.at[i]) / sum);
    }
}

/* The mean of a distribution over the channels: a softmax, and a convolution of one output channel. */
static void case_expectation(struct trial *t)
{
    int64_t      pixels;
    struct array w, bias;

    picture(t, 20, 9);
    pixels = t->x.size[2] * t->x.size[3];
    w      = random_array(t, 4, (int64_t[]){1, t->x.size[1], 1, 1});
    bias   = random_array(t, 1, (int64_t[]){1});
    constant(t, "w", &w);
    constant(t, "bias", &bias);
    onnx_node(&t->onnx, "Softmax", t->from[1] == 'b' ? "xb" : "x", "soft", "axis:i=1");
    onnx_node(&t->onnx, "Conv", "soft,w,bias", "y", "");
    t->y = array_of(4, (int64_t[]){1, 1, t->x.size[2], t->x.size[3]});
    for (int64_t p = 0; p < pixels; p++) {
        double sum = 0, weighed = 0;
        for (int64_t c = 0; c < t->x.size[1]; c++) {
            double part = exp((double)t->x.at[c * pixels + p]);
            sum += part;
            weighed += part * (double)w.at[c];
        }
        t->y.at[p] = (float)(weighed / sum) + bias.at[0];
    }
    free(w.at);
    free(bias.at);
}

static void case_gemm(struct trial *t)
{
    bool         ta = pick(t, 0, 1) == 1, tb = pick(t, 0, 1) == 1, add = pick(t, 0, 1) == 1;
    int64_t      m = ta ? pick(t, 1, 9) : 1, k = ta ? 1 : pick(t, 1, 40), n = pick(t, 1, 40);
    struct array b, c;
    char         text[96];

    add = add || t->onnx.opset < 11;
    set_input(t, 2, ta ? (int64_t[]){k, m} : (int64_t[]){m, k});
    b = random_array(t, 2, tb ? (int64_t[]){n, k} : (int64_t[]){k, n});
    c = random_array(t, 2, pick(t, 0, 1) == 1 ? (int64_t[]){1, n} : (int64_t[]){m, 1});
    constant(t, "b", &b);
    constant(t, "c", &c);
    snprintf(text, sizeof text, "transA:i=%d transB:i=%d alpha:f=0.5 beta:f=2", ta, tb);
    node(t, "Gemm", add ? "b,c" : "b", text);
    t->y = array_of(2, (int64_t[]){m, n});
    for (int64_t i = 0; i < m * n; i++) {
        double sum = 0;
        for (int64_t p = 0; p < k; p++)
            sum += (double)t->x.at[ta ? p * m + i / n : i / n * k + p] *
                   (double)b.at[tb ? i % n * k + p : p * n + i % n];
        t->y.at[i] = (float)(0.5 * sum);
        if (add)
            t->y.at[i] += 2 * c.at[c.size[1] == 1 && n > 1 ? i / n
                                   : c.size[0] == 1        ? i % n
                                                           : i / n];
    }
    free(b.at);
    free(c.at);
}

static void case_matmul(struct trial *t)
{
    int64_t      stack = pick(t, 1, 3), m = pick(t, 1, 9), k = pick(t, 1, 20), n = pick(t, 1, 20);
    bool         shared = pick(t, 0, 1) == 1;
    struct array b;

    set_input(t, 4, (int64_t[]){1, stack, m, k});
    b = shared ? random_array(t, 2, (int64_t[]){k, n})
               : random_array(t, 4, (int64_t[]){1, stack, k, n});
    constant(t, "b", &b);
    node(t, "MatMul", "b", "");
    t->y = array_of(4, (int64_t[]){1, stack, m, n});
    for (int64_t i = 0; i < elements(&t->y); i++) {
        int64_t row = i / n, layer = shared ? 0 : i / (m * n);
        double  sum = 0;
        for (int64_t p = 0; p < k; p++)
            sum += (double)t->x.at[row * k + p] * (double)b.at[(layer * k + p) * n + i % n];
        t->y.at[i] = (float)sum;
    }
    free(b.at);
}

/* ---- windows ---- */

static void pool_text(char *text, size_t room, const struct conv *c)
{
    snprintf(text, room, "kernel_shape:is=%d,%d strides:is=%d,%d pads:is=%d,%d,%d,%d",
             (int)c->kernel[0], (int)c->kernel[1], (int)c->stride[0], (int)c->stride[1],
             (int)c->begin[0], (int)c->begin[1], (int)c->end[0], (int)c->end[1]);
    if (c->dilation[0] != 1 || c->dilation[1] != 1)
        snprintf(text + strlen(text), room - strlen(text), " dilations:is=%d,%d",
                 (int)c->dilation[0], (int)c->dilation[1]);
}

static void case_pool(struct trial *t)
{
    bool        largest = pick(t, 0, 1) == 1, padding = pick(t, 0, 1) == 1, up = pick(t, 0, 1) == 1;
    bool        wide = pick(t, 0, 3) == 0; /* more than is taken at once */
    struct conv c    = {.groups = 1};
    int64_t     size[4];
    char        text[256];

    random_window(t, &c, wide ? 13 : 5);
    up = up && t->onnx.opset >= 10;
    if (t->onnx.opset < (largest ? 10 : 19))
        c.dilation[0] = c.dilation[1] = 1;
    set_input(t, 4,
              (int64_t[]){1, pick(t, 1, 40), least_side(&c, 0) + pick(t, 0, 12),
                          least_side(&c, 1) + pick(t, 0, wide ? 150 : 20)});
    pool_text(text, sizeof text, &c);
    if (t->onnx.opset >= 10)
        snprintf(text + strlen(text), sizeof text - strlen(text), " ceil_mode:i=%d", up);
    if (!largest)
        snprintf(text + strlen(text), sizeof text - strlen(text), " count_include_pad:i=%d",
                 padding);
    node(t, largest ? "MaxPool" : "AveragePool", "", text);
    memcpy(size, t->x.size, sizeof size);
    for (int i = 0; i < 2; i++) {
        int64_t room = t->x.size[2 + i] + c.begin[i] + c.end[i] - least_side(&c, i);
        size[2 + i]  = room / c.stride[i] + 1;
        /* A last window that would begin in the padding at the end does not count. */
        if (up && room % c.stride[i] != 0 &&
            size[2 + i] * c.stride[i] < t->x.size[2 + i] + c.begin[i])
            size[2 + i]++;
    }
    t->y = array_of(4, size);
    for (int64_t i = 0; i < elements(&t->y); i++) {
        int64_t oy = i / size[3] % size[2], ox = i % size[3], count = 0;
        float   best = -1e30F, sum = 0;
        for (int64_t k = 0; k < c.kernel[0] * c.kernel[1]; k++) {
            int64_t iy     = oy * c.stride[0] - c.begin[0] + k / c.kernel[1] * c.dilation[0];
            int64_t ix     = ox * c.stride[1] - c.begin[1] + k % c.kernel[1] * c.dilation[1];
            bool    inside = iy >= 0 && iy < size[2] * 1000 && iy < t->x.size[2] && ix >= 0 &&
                          ix < t->x.size[3];
            bool padded = iy < t->x.size[2] + c.end[0] && ix < t->x.size[3] + c.end[1];
            if (inside) {
                float v =
                    t->x.at[(i / (size[2] * size[3]) * t->x.size[2] + iy) * t->x.size[3] + ix];
                best = fmaxf(best, v);
                sum += v;
            }
            count += inside || (padding && padded);
        }
        t->y.at[i] = largest ? best : sum / (float)(count > 0 ? count : 1);
    }
}

static float resize_source(const char *mode, int64_t out, int64_t in_size, int64_t out_size)
{
    double scale = (double)out_size / (double)in_size;

    if (strcmp(mode, "asymmetric") == 0)
        return (float)((double)out / scale);
    if (strcmp(mode, "align_corners") == 0)
        return out_size == 1
                   ? 0
                   : (float)((double)out * (double)(in_size - 1) / (double)(out_size - 1));
    return (float)(((double)out + 0.5) / scale - 0.5);
}

static float resize_at(const struct array *x, int64_t c, float y, float x_, bool linear)
{
    int64_t h = x->size[2], w = x->size[3], y0, x0, y1, x1;

    y  = fminf(fmaxf(y, 0), (float)(h - 1));
    x_ = fminf(fmaxf(x_, 0), (float)(w - 1));
    y0 = (int64_t)y;
    x0 = (int64_t)x_;
    if (!linear)
        return x->at[(c * h + y0) * w + x0];
    y1       = y0 + 1 < h ? y0 + 1 : y0;
    x1       = x0 + 1 < w ? x0 + 1 : x0;
    float fy = y - (float)y0, fx = x_ - (float)x0;
    return (x->at[(c * h + y0) * w + x0] * (1 - fx) + x->at[(c * h + y0) * w + x1] * fx) *
               (1 - fy) +
           (x->at[(c * h + y1) * w + x0] * (1 - fx) + x->at[(c * h + y1) * w + x1] * fx) * fy;
}

/* Height and width `factor` times as large, as the trial's opset says that: an Upsample, with scales
 * alone, with a region that is empty, by size, or since opset 18 for those two axes alone. */
static void write_resize(struct trial *t, const char *input, const char *output, bool linear,
                         const char *mode, const int64_t factor[2], const int64_t size[4])
{
    const float scales[4] = {1, 1, (float)factor[0], (float)factor[1]};
    bool        by_size   = pick(t, 0, 1) == 1 && t->onnx.opset >= 11;
    int         from      = pick(t, 0, 1) == 1 && t->onnx.opset >= 18 ? 2 : 0;
    int64_t     count     = 4 - from;
    char        inputs[64], text[160];

    if (by_size)
        onnx_ints(&t->onnx, "sizes", count, size + from);
    else
        onnx_floats(&t->onnx, "scales", 1, &count, scales + from);
    if (t->onnx.opset < 11) {
        snprintf(inputs, sizeof inputs, "%s,scales", input);
        onnx_node(&t->onnx, t->onnx.opset < 10 ? "Upsample" : "Resize", inputs, output,
                  linear ? "mode:s=linear" : "mode:s=nearest");
        return;
    }
    count = 0;
    onnx_floats(&t->onnx, "none", 1, &count, scales);
    snprintf(inputs, sizeof inputs, "%s,%s,%s", input, t->onnx.opset < 13 ? "none" : "",
             !by_size             ? "scales"
             : t->onnx.opset < 13 ? "none,sizes"
                                  : ",sizes");
    snprintf(text, sizeof text,
             "mode:s=%s coordinate_transformation_mode:s=%s nearest_mode:s=floor%s",
             linear ? "linear" : "nearest", mode, from > 0 ? " axes:is=2,3" : "");
    onnx_node(&t->onnx, "Resize", inputs, output, text);
}

static void case_resize(struct trial *t)
{
    const char *modes[]   = {"asymmetric", "half_pixel", "align_corners"};
    bool        linear    = pick(t, 0, 1) == 1;
    const char *mode      = linear && t->onnx.opset >= 11 ? modes[pick(t, 0, 2)] : "asymmetric";
    int64_t     factor[2] = {pick(t, 1, 3), pick(t, 1, 3)}, size[4];

    picture(t, 40, 9);
    memcpy(size, t->x.size, sizeof size);
    size[2] *= factor[0];
    size[3] *= factor[1];
    write_resize(t, t->from, "y", linear, mode, factor, size);
    t->y = array_of(4, size);
    for (int64_t i = 0; i < elements(&t->y); i++)
        t->y.at[i] = resize_at(
            &t->x, i / (size[2] * size[3]),
            linear ? resize_source(mode, i / size[3] % size[2], t->x.size[2], size[2])
                   : (float)(i / size[3] % size[2] / factor[0]),
            linear ? resize_source(mode, i % size[3], t->x.size[3], size[3])
                   : (float)(i % size[3] / factor[1]),
            linear);
}

/* ---- between two convolutions ---- */

/* Numbers on their way, and what each may be off by. */
struct carried {
    struct array at, spread, factors;
};

static void free_carried(struct carried *c)
{
    free(c->at.at);
    free(c->spread.at);
    free(c->factors.at);
}

static void carry(struct carried *to, int64_t i, const struct carried *from, int64_t k)
{
    to->at.at[i]      = from->at.at[k];
    to->spread.at[i]  = from->spread.at[k];
    to->factors.at[i] = from->factors.at[k];
}

static struct carried carried_of(const int64_t *size)
{
    return (struct carried){array_of(4, size), array_of(4, size), array_of(4, size)};
}

/* "m" to "n": the largest of windows. What that is off by is at most what any of them is. */
static struct carried move_pool(struct trial *t, const struct carried *m)
{
    struct conv    c = {.groups = 1, .dilation = {1, 1}};
    int64_t        size[4];
    char           text[160];
    struct carried n;

    memcpy(size, m->at.size, sizeof size);
    for (int i = 0; i < 2; i++) {
        c.kernel[i] = pick(t, 1, size[2 + i] < 3 ? size[2 + i] : 3);
        c.stride[i] = pick(t, 1, 2);
        size[2 + i] = (size[2 + i] - c.kernel[i]) / c.stride[i] + 1;
    }
    pool_text(text, sizeof text, &c);
    onnx_node(&t->onnx, "MaxPool", "m", "n", text);
    n = carried_of(size);
    for (int64_t i = 0; i < elements(&n.at); i++) {
        int64_t plane = i / (size[2] * size[3]), oy = i / size[3] % size[2], ox = i % size[3];
        n.at.at[i]      = largest_in(&m->at, &c, plane, oy, ox);
        n.spread.at[i]  = largest_in(&m->spread, &c, plane, oy, ox);
        n.factors.at[i] = largest_in(&m->factors, &c, plane, oy, ox);
    }
    return n;
}

static struct carried move_resize(struct trial *t, const struct carried *m)
{
    int64_t        factor[2] = {pick(t, 1, 3), pick(t, 1, 3)}, size[4];
    struct carried n;

    memcpy(size, m->at.size, sizeof size);
    size[2] *= factor[0];
    size[3] *= factor[1];
    write_resize(t, "m", "n", false, "asymmetric", factor, size);
    n = carried_of(size);
    for (int64_t i = 0; i < elements(&n.at); i++)
        carry(&n, i, m,
              (i / (size[2] * size[3]) * m->at.size[2] + i / size[3] % size[2] / factor[0]) *
                      m->at.size[3] +
                  i % size[3] / factor[1]);
    return n;
}

/* The last channels before the first. */
static struct carried move_channels(struct trial *t, const struct carried *m)
{
    int64_t        channels = m->at.size[1], pixels = m->at.size[2] * m->at.size[3];
    int64_t        cut = pick(t, 1, channels - 1);
    struct carried n   = carried_of(m->at.size);

    if (pick(t, 0, 1) == 1 && channels > 16)
        cut = 16;
    write_slice(t, "m", "first", 0, cut, 1);
    write_slice(t, "m", "last", cut, INT64_MAX, 1);
    onnx_node(&t->onnx, "Concat", "last,first", "n", "axis:i=1");
    for (int64_t i = 0; i < elements(&n.at); i++)
        carry(&n, i, m, (i / pixels + cut) % channels * pixels + i % pixels);
    return n;
}

/* What n is off by is multiplied as well; and in 8 bits it was rounded to the steps of each channel of
 * m, which may be in another place of n. */
static void carry_on(struct trial *t, const struct carried *n, const struct array *w, double step)
{
    int64_t pixels = n->at.size[2] * n->at.size[3], in = n->at.size[1];

    for (int64_t i = 0; i < elements(&t->y); i++) {
        double spread = 0, factors = 0;
        for (int64_t k = 0; k < in; k++) {
            int64_t at = k * pixels + i % pixels;
            double  a = (double)n->at.at[at], b = (double)w->at[i / pixels * in + k];
            double  s = (double)n->spread.at[at], f = (double)n->factors.at[at];
            spread += a * b * a * b + b * s * b * s;
            factors += a * a + b * b * (f * f + step * step);
        }
        t->spread.at[i]  = (float)sqrt(spread);
        t->factors.at[i] = (float)sqrt(factors);
    }
}

/* What lies between two convolutions: in 8 bits it stays codes. */
static void case_conv_moved(struct trial *t)
{
    struct conv    c = {.groups = 1, .kernel = {1, 1}, .stride = {1, 1}, .dilation = {1, 1}};
    struct carried m, n;
    struct array   w;
    double         widest = 0;

    write_conv(t, &c, pick(t, 5, 40), pick(t, 2, 50), "m");
    m = (struct carried){t->y, t->spread, t->factors};
    n = t->number % 3 == 0   ? move_pool(t, &m)
        : t->number % 3 == 1 ? move_resize(t, &m)
                             : move_channels(t, &m);
    w = random_array(t, 4, (int64_t[]){pick(t, 1, 40), n.at.size[1], 1, 1});
    onnx_floats(&t->onnx, "w2", 4, w.size, w.at);
    onnx_node(&t->onnx, "Conv", "n,w2", "y", "");
    t->y = conv_all(&n.at, &w, NULL, &c, t);
    for (int64_t i = 0; i < elements(&m.at); i++)
        widest = fmax(widest, 2 * fabs((double)m.at.at[i]));
    /* Steps of 1/255 of it, in standard deviations of those of the input's -2..2. */
    carry_on(t, &n, &w, widest / 4);
    free_carried(&m);
    free_carried(&n);
    free(w.at);
}

static void case_pad(struct trial *t)
{
    int64_t     pads[8], size[4];
    float       fill   = pick_float(t);
    bool        pooled = pick(t, 0, 1) == 1; /* then it disappears into the pool behind it */
    struct form form;

    picture(t, 20, 9);
    for (int k = 0; k < 8; k++)
        pads[k] = k % 4 == 0 || (pooled && k % 4 == 1) ? 0 : pick(t, 0, 3);
    for (int k = 0; k < 4; k++)
        size[k] = t->x.size[k] + pads[k] + pads[4 + k];
    form = form_of(t->from, "mode:s=constant");
    form_list(t, &form, 11, "pads", 8, pads);
    if (t->onnx.opset >= 11) {
        onnx_floats(&t->onnx, "fill", 0, NULL, pooled ? (float[]){0} : &fill);
        snprintf(form.inputs + strlen(form.inputs), sizeof form.inputs - strlen(form.inputs),
                 ",fill");
    } else if (!pooled) {
        snprintf(form.attributes + strlen(form.attributes),
                 sizeof form.attributes - strlen(form.attributes), " value:f=%.9g", (double)fill);
    }
    form_node(t, "Pad", &form, pooled ? "p" : "y");
    if (pooled)
        onnx_node(&t->onnx, "AveragePool", "p", "y", "kernel_shape:is=1,1");
    t->y = array_of(4, size);
    for (int64_t i = 0; i < elements(&t->y); i++)
        t->y.at[i] = pooled ? 0 : fill;
    for (int64_t i = 0; i < elements(&t->x); i++) {
        int64_t w = i % t->x.size[3], h = i / t->x.size[3] % t->x.size[2];
        int64_t c = i / t->x.size[3] / t->x.size[2];
        t->y.at[((c + pads[1]) * size[2] + h + pads[2]) * size[3] + w + pads[3]] = t->x.at[i];
    }
}

#endif
