/* tests/operator_conv.h: convolutions and activations by plain loops: rows of
 * tests/unit/operator_test.c. */
#ifndef SIGHTLINE_TESTS_OPERATOR_CONV_H
#define SIGHTLINE_TESTS_OPERATOR_CONV_H

#include "tests/operator_trial.h"

/* ---- convolution ---- */

struct conv {
    int64_t groups, kernel[2], stride[2], dilation[2], begin[2], end[2];
};

/* One number; *spread: the root of the sum of its squared products; *factors: of the squares of what
 * they are products of. */
static float conv_at(const struct array *x, const struct array *w, const struct conv *c, int64_t m,
                     int64_t oy, int64_t ox, float *spread, float *factors)
{
    int64_t first = m / (w->size[0] / c->groups) * w->size[1];
    double  sum = 0, squares = 0, both = 0;

    for (int64_t k = 0; k < w->size[1]; k++)
        for (int64_t ky = 0; ky < c->kernel[0]; ky++)
            for (int64_t kx = 0; kx < c->kernel[1]; kx++) {
                int64_t iy = oy * c->stride[0] - c->begin[0] + ky * c->dilation[0];
                int64_t ix = ox * c->stride[1] - c->begin[1] + kx * c->dilation[1];
                if (iy < 0 || iy >= x->size[2] || ix < 0 || ix >= x->size[3])
                    continue;
                double a = (double)x->at[((first + k) * x->size[2] + iy) * x->size[3] + ix];
                double b =
                    (double)w->at[((m * w->size[1] + k) * c->kernel[0] + ky) * c->kernel[1] + kx];
                sum += a * b;
                squares += a * b * a * b;
                both += a * a + b * b;
            }
    *spread  = (float)sqrt(squares);
    *factors = (float)sqrt(both);
    return (float)sum;
}

/* With what it may be off by, unless `t` is NULL. */
static struct array conv_all(const struct array *x, const struct array *w, const float *bias,
                             const struct conv *c, struct trial *t)
{
    int64_t      size[4] = {1, w->size[0], 0, 0};
    struct array y;

    for (int i = 0; i < 2; i++)
        size[2 + i] = (x->size[2 + i] + c->begin[i] + c->end[i] -
                       (c->dilation[i] * (c->kernel[i] - 1) + 1)) /
                          c->stride[i] +
                      1;
    y = array_of(4, size);
    if (t != NULL) {
        t->spread  = array_of(4, size);
        t->factors = array_of(4, size);
    }
    for (int64_t i = 0; i < elements(&y); i++) {
        int64_t m = i / (size[2] * size[3]);
        float   spread, factors;
        y.at[i] = conv_at(x, w, c, m, i / size[3] % size[2], i % size[3], &spread, &factors) +
                  (bias != NULL ? bias[m] : 0.0F);
        if (t != NULL) {
            t->spread.at[i]  = spread;
            t->factors.at[i] = factors;
        }
    }
    return y;
}

static void random_window(struct trial *t, struct conv *c, int64_t kernel_max)
{
    for (int i = 0; i < 2; i++) {
        c->kernel[i]   = pick(t, 1, kernel_max);
        c->stride[i]   = pick(t, 1, 2);
        c->dilation[i] = pick(t, 1, 4) == 4 ? 2 : 1;
        c->begin[i]    = pick(t, 0, c->kernel[i] / 2);
        c->end[i]      = pick(t, 0, c->kernel[i] / 2);
    }
}

static int64_t least_side(const struct conv *c, int i)
{
    return c->dilation[i] * (c->kernel[i] - 1) + 1;
}

static const char *conv_text(const struct conv *c)
{
    static char text[256];

    snprintf(text, sizeof text,
             "kernel_shape:is=%d,%d strides:is=%d,%d dilations:is=%d,%d pads:is=%d,%d,%d,%d "
             "group:i=%d",
             (int)c->kernel[0], (int)c->kernel[1], (int)c->stride[0], (int)c->stride[1],
             (int)c->dilation[0], (int)c->dilation[1], (int)c->begin[0], (int)c->begin[1],
             (int)c->end[0], (int)c->end[1], (int)c->groups);
    return text;
}

/* Input, weights, bias and expected output of a convolution whose sizes are chosen. */
static void write_conv(struct trial *t, const struct conv *c, int64_t in, int64_t out,
                       const char *output)
{
    int64_t size[4] = {1, in, least_side(c, 0) + pick(t, 0, 20), least_side(c, 1) + pick(t, 0, 40)};
    struct array w, bias;
    char         inputs[64];

    set_input(t, 4, size);
    w    = random_array(t, 4, (int64_t[]){out, in / c->groups, c->kernel[0], c->kernel[1]});
    bias = random_array(t, 1, &out);
    constant(t, "w", &w);
    constant(t, "bias", &bias);
    snprintf(inputs, sizeof inputs, "%s,w,bias", t->from);
    onnx_node(&t->onnx, "Conv", inputs, output, conv_text(c));
    t->y = conv_all(&t->x, &w, bias.at, c, t);
    free(w.at);
    free(bias.at);
}

static void case_conv_dense(struct trial *t)
{
    struct conv c = {.groups = 1};

    random_window(t, &c, 5);
    write_conv(t, &c, pick(t, 1, 40), pick(t, 1, 40), "y");
}

/* As most convolutions of a detector are. */
static void case_conv_square(struct trial *t)
{
    struct conv c = {.groups = 1, .kernel = {3, 3}, .dilation = {1, 1}};

    c.stride[0] = c.stride[1] = pick(t, 0, 3) == 0 ? 2 : 1;
    for (int i = 0; i < 2; i++) {
        c.begin[i] = pick(t, 0, 1);
        c.end[i]   = pick(t, 0, 1);
    }
    write_conv(t, &c, pick(t, 3, 70), pick(t, 1, 90), "y");
}

static void case_conv_stem(struct trial *t)
{
    struct conv c = {.groups = 1};

    random_window(t, &c, 7);
    c.dilation[0] = c.dilation[1] = 1;
    write_conv(t, &c, pick(t, 1, 4), pick(t, 1, 40), "y");
}

static float largest_in(const struct array *x, const struct conv *c, int64_t plane, int64_t oy,
                        int64_t ox)
{
    float largest = -INFINITY;

    for (int64_t ky = 0; ky < c->kernel[0]; ky++)
        for (int64_t kx = 0; kx < c->kernel[1]; kx++) {
            int64_t iy = oy * c->stride[0] - c->begin[0] + ky;
            int64_t ix = ox * c->stride[1] - c->begin[1] + kx;
            if (iy >= 0 && iy < x->size[2] && ix >= 0 && ix < x->size[3])
                largest = fmaxf(largest, x->at[(plane * x->size[2] + iy) * x->size[3] + ix]);
        }
    return largest;
}

/* As many networks begin: both are computed as one. */
static void case_conv_stem_pool(struct trial *t)
{
    struct conv  c       = {.groups = 1, .kernel = {3, 3}, .dilation = {1, 1}, .begin = {1, 1}};
    struct conv  pool    = {.dilation = {1, 1}};
    int64_t      size[4] = {1, pick(t, 1, 50), 0, 0};
    char         text[128];
    struct array x, factors;

    c.stride[0] = c.stride[1] = pick(t, 1, 2);
    for (int i = 0; i < 2; i++) {
        c.end[i]       = pick(t, 0, 1);
        pool.kernel[i] = pick(t, 1, 3);
        pool.stride[i] = pick(t, 1, pool.kernel[i]);
        pool.begin[i]  = pick(t, 0, pool.kernel[i] - 1);
        pool.end[i]    = pick(t, 0, pool.kernel[i] - 1);
    }
    write_conv(t, &c, pick(t, 1, 4), size[1], "c");
    x       = t->y;
    factors = t->factors;
    free(t->spread.at); /* bfloat16 leaves so few channels in float32 */
    t->spread = (struct array){0};
    for (int i = 0; i < 2; i++)
        size[2 + i] = (x.size[2 + i] + pool.begin[i] + pool.end[i] - pool.kernel[i]) /
                          pool.stride[i] +
                      1;
    snprintf(text, sizeof text, "kernel_shape:is=%d,%d strides:is=%d,%d pads:is=%d,%d,%d,%d",
             (int)pool.kernel[0], (int)pool.kernel[1], (int)pool.stride[0], (int)pool.stride[1],
             (int)pool.begin[0], (int)pool.begin[1], (int)pool.end[0], (int)pool.end[1]);
    onnx_node(&t->onnx, "MaxPool", "c", "y", text);
    t->y       = array_of(4, size);
    t->factors = array_of(4, size);
    for (int64_t i = 0; i < elements(&t->y); i++) {
        int64_t plane = i / (size[2] * size[3]), oy = i / size[3] % size[2], ox = i % size[3];
        t->y.at[i]       = largest_in(&x, &pool, plane, oy, ox);
        t->factors.at[i] = largest_in(&factors, &pool, plane, oy, ox);
    }
    free(x.at);
    free(factors.at);
}

static void case_conv_pointwise(struct trial *t)
{
    struct conv c = {.groups = 1, .kernel = {1, 1}, .stride = {1, 1}, .dilation = {1, 1}};

    write_conv(t, &c, pick(t, 1, 90), pick(t, 1, 150), "y");
}

static void case_conv_depthwise(struct trial *t)
{
    struct conv c = {0};

    random_window(t, &c, 5);
    if (pick(t, 0, 2) > 0) {
        c.kernel[0] = c.kernel[1] = pick(t, 1, 2) * 2 + 1;
        c.stride[0] = c.stride[1] = pick(t, 1, 2);
        c.dilation[0] = c.dilation[1] = 1;
    }
    c.groups = pick(t, 2, 50);
    write_conv(t, &c, c.groups, c.groups, "y");
}

static void case_conv_grouped(struct trial *t)
{
    struct conv c = {.groups = pick(t, 2, 4)};

    random_window(t, &c, 3);
    write_conv(t, &c, c.groups * pick(t, 1, 12), c.groups * pick(t, 1, 12), "y");
}

/* ---- activations ---- */

static float act_relu(float x)
{
    return x > 0 ? x : 0;
}

static float act_leaky(float x)
{
    return x > 0 ? x : 0.125F * x;
}

static float act_clip(float x)
{
    return x < -0.5F ? -0.5F : x > 1.5F ? 1.5F : x;
}

static float act_sigmoid(float x)
{
    return (float)(1.0 / (1.0 + exp(-(double)x)));
}

static float act_silu(float x)
{
    return x * act_sigmoid(x);
}

static float act_hard_sigmoid(float x)
{
    return fminf(fmaxf(0.25F * x + 0.5F, 0), 1);
}

static float act_hard_swish(float x)
{
    return x * fminf(fmaxf(x / 6 + 0.5F, 0), 1);
}

static const struct act {
    const char *type, *attributes;
    float (*function)(float);
    float slope; /* the steepest */
} ACTS[] = {
    {"Relu", "", act_relu, 1},
    {"LeakyRelu", "alpha:f=0.125", act_leaky, 1},
    {"Clip", "", act_clip, 1}, /* to -0.5..1.5 */
    {"Sigmoid", "", act_sigmoid, 0.25F},
    {"Silu", "", act_silu, 1.1F}, /* not an operator: x * Sigmoid(x) */
    {"HardSigmoid", "alpha:f=0.25 beta:f=0.5", act_hard_sigmoid, 0.25F},
    {"HardSwish", "", act_hard_swish, 1.5F},
};

#define ACT_COUNT (int)(sizeof ACTS / sizeof ACTS[0])

static void write_act(struct trial *t, const struct act *act, const char *from, const char *to)
{
    char inputs[64];

    if (strcmp(act->type, "Clip") == 0) {
        write_clip(t, from, to, -0.5F, 1.5F);
        return;
    }
    if (strcmp(act->type, "HardSwish") == 0 && t->onnx.opset < 14) {
        onnx_node(&t->onnx, "HardSigmoid", from, "gate", "alpha:f=0.16666667 beta:f=0.5");
        snprintf(inputs, sizeof inputs, "%s,gate", from);
        onnx_node(&t->onnx, "Mul", inputs, to, "");
        return;
    }
    if (strcmp(act->type, "Silu") != 0) {
        onnx_node(&t->onnx, act->type, from, to, act->attributes);
        return;
    }
    onnx_node(&t->onnx, "Sigmoid", from, "gate", "");
    snprintf(inputs, sizeof inputs, "%s,gate", from);
    onnx_node(&t->onnx, "Mul", inputs, to, "");
}

static void case_activation(struct trial *t)
{
    const struct act *act = &ACTS[pick(t, 0, ACT_COUNT - 1)];

    picture(t, 40, 12);
    for (int64_t i = 0; i < elements(&t->x); i++)
        t->x.at[i] *= 8;
    write_act(t, act, t->from, "y");
    t->y = array_of(t->x.rank, t->x.size);
    for (int64_t i = 0; i < elements(&t->y); i++)
        t->y.at[i] = act->function(t->x.at[i]);
}

/* A convolution of any kind, then activation and residual in both orders: what the fusions make. */
static void case_conv_fused(struct trial *t)
{
    const struct act *act = &ACTS[pick(t, 0, ACT_COUNT - 1)];
    struct conv       c   = {.groups = 1, .kernel = {1, 1}, .stride = {1, 1}, .dilation = {1, 1}};
    int64_t           channels = pick(t, 5, 40), order = pick(t, 0, 3);
    char              sum[64];

    if (pick(t, 0, 1) == 1) {
        c.kernel[0] = c.kernel[1] = 3;
        c.begin[0] = c.begin[1] = c.end[0] = c.end[1] = 1;
        c.groups                                      = pick(t, 0, 1) == 1 ? channels : 1;
    }
    write_conv(t, &c, channels, channels, "c");
    snprintf(sum, sizeof sum, "%s,%s", order % 2 == 0 ? "c" : t->from,
             order % 2 == 0 ? t->from : "c");
    if (order < 2) {
        onnx_node(&t->onnx, "Add", sum, "s", "");
        write_act(t, act, "s", "y");
    } else {
        write_act(t, act, "c", "a");
        snprintf(sum, sizeof sum, "a,%s", t->from);
        onnx_node(&t->onnx, "Add", sum, "y", "");
    }
    t->residual = true;
    for (int64_t i = 0; i < elements(&t->y); i++) {
        t->y.at[i] = order < 2 ? act->function(t->y.at[i] + t->x.at[i])
                               : act->function(t->y.at[i]) + t->x.at[i];
        t->spread.at[i] *= act->slope;
        t->factors.at[i] *= act->slope;
    }
}

static void case_batch_normalization(struct trial *t)
{
    const char  *names[] = {"scale", "shift", "mean", "variance"};
    struct array p[4];
    int64_t      pixels;

    picture(t, 40, 9);
    for (int i = 0; i < 4; i++) {
        p[i] = random_array(t, 1, &t->x.size[1]);
        for (int64_t c = 0; i == 3 && c < t->x.size[1]; c++)
            p[i].at[c] = fabsf(p[i].at[c]) + 0.1F;
        constant(t, names[i], &p[i]);
    }
    node(t, "BatchNormalization", "scale,shift,mean,variance", "epsilon:f=0.001");
    t->y   = array_of(4, t->x.size);
    pixels = t->x.size[2] * t->x.size[3];
    for (int64_t i = 0; i < elements(&t->y); i++) {
        int64_t c  = i / pixels;
        t->y.at[i] = (t->x.at[i] - p[2].at[c]) / sqrtf(p[3].at[c] + 0.001F) * p[0].at[c] +
                     p[1].at[c];
    }
    for (int i = 0; i < 4; i++)
        free(p[i].at);
}

/* Every other pixel four times, joined, before a convolution. */
static void case_focus(struct trial *t)
{
    struct conv  c       = {.groups   = 1,
                            .kernel   = {3, 3},
                            .stride   = {1, 1},
                            .dilation = {1, 1},
                            .begin    = {1, 1},
                            .end      = {1, 1}};
    int64_t      half[2] = {pick(t, 2, 12), pick(t, 2, 20)}, out = pick(t, 1, 20), channels = 3;
    const char  *parts[] = {"tl", "bl", "tr", "br"};
    struct array wide, w;

    set_input(t, 4, (int64_t[]){1, channels, 2 * half[0], 2 * half[1]});
    wide = array_of(4, (int64_t[]){1, 4 * channels, half[0], half[1]});
    onnx_ints(&t->onnx, "axes", 2, (int64_t[]){2, 3});
    onnx_ints(&t->onnx, "ends", 2, (int64_t[]){INT64_MAX, INT64_MAX});
    onnx_ints(&t->onnx, "two", 2, (int64_t[]){2, 2});
    for (int q = 0; q < 4; q++) {
        char name[16], inputs[64];
        snprintf(name, sizeof name, "from%d", q);
        snprintf(inputs, sizeof inputs, "x,%s,ends,axes,two", name);
        onnx_ints(&t->onnx, name, 2, (int64_t[]){q % 2, q / 2});
        onnx_node(&t->onnx, "Slice", inputs, parts[q], "");
        for (int64_t i = 0; i < channels * half[0] * half[1]; i++)
            wide.at[q * channels * half[0] * half[1] + i] =
                t->x.at[(i / half[1] * 2 + q % 2) * 2 * half[1] + i % half[1] * 2 + q / 2];
    }
    onnx_node(&t->onnx, "Concat", "tl,bl,tr,br", "wide", "axis:i=1");
    w = random_array(t, 4, (int64_t[]){out, 4 * channels, 3, 3});
    constant(t, "w", &w);
    onnx_node(&t->onnx, "Conv", "wide,w", "y", conv_text(&c));
    t->y = conv_all(&wide, &w, NULL, &c, t);
    free(t->spread.at); /* as above */
    t->spread = (struct array){0};
    free(wide.at);
    free(w.at);
}

#endif
