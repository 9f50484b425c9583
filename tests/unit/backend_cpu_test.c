// links: gpu
// Every operator on every instruction set against a plain loop, over random shapes.
//
// How to add an operator (say, Mish):
//   1. gpu/onnx_operators.c: a row {"Mish", 1, 1, lower_mish}.
//   2. gpu/onnx_math.c (or the file of its family): lower_mish() checks the node and adds nodes of the
//      kinds in gpu/graph.h; a new activation is also a case in graph_activate() and in
//      v_activate() of gpu/cpu/kernels_body.h.
//   3. Here: a function like those below, which writes a model with random sizes and computes what it
//      must give, and its row in CASES.
#include "gpu/cpu/backend_cpu.h"

#include "gpu/cpu/kernels.h"
#include "tests/onnx_writer.h"
#include "tests/tap.h"

#define TRIALS 24

struct array {
    int     rank;
    int64_t size[6];
    float  *at;
};

struct trial {
    uint64_t           random;
    struct onnx_writer onnx;
    struct array       x;    /* the model's input */
    struct array       y;    /* what must come out */
    const char        *from; /* name of the input, or of a copy of it that lies in blocks */
};

static int64_t pick(struct trial *t, int64_t low, int64_t high)
{
    t->random ^= t->random << 13;
    t->random ^= t->random >> 7;
    t->random ^= t->random << 17;
    return low + (int64_t)(t->random >> 11) % (high - low + 1);
}

static float pick_float(struct trial *t)
{
    return (float)pick(t, -1000000, 1000000) / 500000.0F;
}

static int64_t elements(const struct array *a)
{
    return (int64_t)onnx_elements(a->rank, a->size);
}

static struct array array_of(int rank, const int64_t *size)
{
    struct array a = {.rank = rank};

    memcpy(a.size, size, (size_t)rank * sizeof *size);
    a.at = calloc((size_t)elements(&a) + 1, sizeof *a.at);
    if (a.at == NULL)
        abort();
    return a;
}

static struct array random_array(struct trial *t, int rank, const int64_t *size)
{
    struct array a = array_of(rank, size);

    for (int64_t i = 0; i < elements(&a); i++)
        a.at[i] = pick_float(t);
    return a;
}

/* The input of the model. Half of the pictures pass through a 1×1 pool, which changes nothing but
 * brings them into blocks. */
static void set_input(struct trial *t, int rank, const int64_t *size)
{
    t->x = random_array(t, rank, size);
    onnx_input(&t->onnx, "x", rank, size);
    t->from = "x";
    if (rank == 4 && pick(t, 0, 1) == 1) {
        onnx_node(&t->onnx, "MaxPool", "x", "xb", "kernel_shape:is=1,1");
        t->from = "xb";
    }
}

static void picture(struct trial *t, int64_t channels_max, int64_t side_max)
{
    int64_t channels = pick(t, 1, channels_max), height = pick(t, 1, side_max);
    int64_t width = pick(t, 1, side_max);

    set_input(t, 4, (int64_t[]){1, channels, height, width});
}

static void constant(struct trial *t, const char *name, const struct array *a)
{
    onnx_floats(&t->onnx, name, a->rank, a->size, a->at);
}

/* A node from the trial's input to the model's output. */
static void node(struct trial *t, const char *type, const char *others, const char *attributes)
{
    char inputs[128];

    snprintf(inputs, sizeof inputs, "%s%s%s", t->from, others[0] != '\0' ? "," : "", others);
    onnx_node(&t->onnx, type, inputs, "y", attributes);
}

/* ---- convolution ---- */

struct conv {
    int64_t groups, kernel[2], stride[2], dilation[2], begin[2], end[2];
};

static float conv_at(const struct array *x, const struct array *w, const struct conv *c, int64_t m,
                     int64_t oy, int64_t ox)
{
    int64_t first = m / (w->size[0] / c->groups) * w->size[1];
    double  sum   = 0;

    for (int64_t k = 0; k < w->size[1]; k++)
        for (int64_t ky = 0; ky < c->kernel[0]; ky++)
            for (int64_t kx = 0; kx < c->kernel[1]; kx++) {
                int64_t iy = oy * c->stride[0] - c->begin[0] + ky * c->dilation[0];
                int64_t ix = ox * c->stride[1] - c->begin[1] + kx * c->dilation[1];
                if (iy < 0 || iy >= x->size[2] || ix < 0 || ix >= x->size[3])
                    continue;
                sum += (double)x->at[((first + k) * x->size[2] + iy) * x->size[3] + ix] *
                       (double)
                           w->at[((m * w->size[1] + k) * c->kernel[0] + ky) * c->kernel[1] + kx];
            }
    return (float)sum;
}

static struct array conv_all(const struct array *x, const struct array *w, const float *bias,
                             const struct conv *c)
{
    int64_t      size[4] = {1, w->size[0], 0, 0};
    struct array y;

    for (int i = 0; i < 2; i++)
        size[2 + i] = (x->size[2 + i] + c->begin[i] + c->end[i] -
                       (c->dilation[i] * (c->kernel[i] - 1) + 1)) /
                          c->stride[i] +
                      1;
    y = array_of(4, size);
    for (int64_t i = 0; i < elements(&y); i++) {
        int64_t m = i / (size[2] * size[3]);
        y.at[i]   = conv_at(x, w, c, m, i / size[3] % size[2], i % size[3]) +
                  (bias != NULL ? bias[m] : 0.0F);
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
    t->y = conv_all(&t->x, &w, bias.at, c);
    free(w.at);
    free(bias.at);
}

static void case_conv_dense(struct trial *t)
{
    struct conv c = {.groups = 1};

    random_window(t, &c, 5);
    write_conv(t, &c, pick(t, 1, 40), pick(t, 1, 40), "y");
}

static void case_conv_stem(struct trial *t)
{
    struct conv c = {.groups = 1};

    random_window(t, &c, 7);
    c.dilation[0] = c.dilation[1] = 1;
    write_conv(t, &c, pick(t, 1, 4), pick(t, 1, 40), "y");
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
} ACTS[] = {
    {"Relu", "", act_relu},
    {"LeakyRelu", "alpha:f=0.125", act_leaky},
    {"Clip", "min:f=-0.5 max:f=1.5", act_clip},
    {"Sigmoid", "", act_sigmoid},
    {"Silu", "", act_silu}, /* not an operator: x * Sigmoid(x) */
    {"HardSigmoid", "alpha:f=0.25 beta:f=0.5", act_hard_sigmoid},
    {"HardSwish", "", act_hard_swish},
};

#define ACT_COUNT (int)(sizeof ACTS / sizeof ACTS[0])

static void write_act(struct trial *t, const struct act *act, const char *from, const char *to)
{
    char inputs[64];

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
    for (int64_t i = 0; i < elements(&t->y); i++)
        t->y.at[i] = order < 2 ? act->function(t->y.at[i] + t->x.at[i])
                               : act->function(t->y.at[i]) + t->x.at[i];
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
    unsigned axes     = (unsigned)pick(t, 1, 15);
    bool     keep     = pick(t, 0, 1) == 1;
    char     text[96] = "axes:is=";
    int64_t  size[6], count = 1;
    int      rank = 0;

    picture(t, 20, 9);
    if (pick(t, 0, 1) == 1)
        axes = 12;
    for (int k = 0; k < 4; k++) {
        bool gone = (axes >> k & 1U) != 0;
        if (gone)
            snprintf(text + strlen(text), sizeof text - strlen(text), "%d,", k - (keep ? 4 : 0));
        if (gone)
            count *= t->x.size[k];
        if (!gone || keep)
            size[rank++] = gone ? 1 : t->x.size[k];
    }
    text[strlen(text) - 1] = '\0';
    snprintf(text + strlen(text), sizeof text - strlen(text), " keepdims:i=%d", keep);
    node(t, "ReduceMean", "", text);
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

static void case_softmax(struct trial *t)
{
    int     axis   = (int)pick(t, 0, 3);
    int64_t stride = 1, count;
    char    text[32];

    picture(t, 20, 9);
    snprintf(text, sizeof text, "axis:i=%d", axis);
    node(t, "Softmax", "", text);
    t->y = array_of(4, t->x.size);
    for (int k = axis + 1; k < 4; k++)
        stride *= t->x.size[k];
    count = t->x.size[axis];
    for (int64_t i = 0; i < elements(&t->x); i++) {
        int64_t first = i / (stride * count) * stride * count + i % stride;
        double  sum   = 0;
        for (int64_t k = 0; k < count; k++)
            sum += exp((double)t->x.at[first + k * stride]);
        t->y.at[i] = (float)(exp((double)t->x.at[i]) / sum);
    }
}

static void case_gemm(struct trial *t)
{
    bool         ta = pick(t, 0, 1) == 1, tb = pick(t, 0, 1) == 1, add = pick(t, 0, 1) == 1;
    int64_t      m = ta ? pick(t, 1, 9) : 1, k = ta ? 1 : pick(t, 1, 40), n = pick(t, 1, 40);
    struct array b, c;
    char         text[96];

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

static void case_pool(struct trial *t)
{
    bool        largest = pick(t, 0, 1) == 1, padding = pick(t, 0, 1) == 1, up = pick(t, 0, 1) == 1;
    struct conv c = {.groups = 1};
    int64_t     size[4];
    char        text[256];

    random_window(t, &c, 5);
    if (!largest)
        c.dilation[0] = c.dilation[1] = 1;
    set_input(t, 4,
              (int64_t[]){1, pick(t, 1, 40), least_side(&c, 0) + pick(t, 0, 12),
                          least_side(&c, 1) + pick(t, 0, 20)});
    snprintf(text, sizeof text, "%s ceil_mode:i=%d count_include_pad:i=%d", conv_text(&c), up,
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

static void case_resize(struct trial *t)
{
    const char *modes[]   = {"asymmetric", "half_pixel", "align_corners"};
    bool        linear    = pick(t, 0, 1) == 1;
    const char *mode      = linear ? modes[pick(t, 0, 2)] : "asymmetric";
    int64_t     factor[2] = {pick(t, 1, 3), pick(t, 1, 3)}, size[4];
    char        text[128];

    picture(t, 40, 9);
    memcpy(size, t->x.size, sizeof size);
    size[2] *= factor[0];
    size[3] *= factor[1];
    snprintf(text, sizeof text,
             "mode:s=%s coordinate_transformation_mode:s=%s nearest_mode:s=floor",
             linear ? "linear" : "nearest", mode);
    if (pick(t, 0, 1) == 1) {
        onnx_ints(&t->onnx, "sizes", 4, size);
        node(t, "Resize", ",,sizes", text);
    } else {
        float scales[4] = {1, 1, (float)factor[0], (float)factor[1]};
        onnx_floats(&t->onnx, "scales", 1, (int64_t[]){4}, scales);
        node(t, "Resize", ",scales", text);
    }
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

static void case_pad(struct trial *t)
{
    int64_t pads[8], size[4];
    float   fill   = pick_float(t);
    bool    pooled = pick(t, 0, 1) == 1; /* then it disappears into the pool behind it */

    picture(t, 20, 9);
    for (int k = 0; k < 8; k++)
        pads[k] = k % 4 == 0 || (pooled && k % 4 == 1) ? 0 : pick(t, 0, 3);
    for (int k = 0; k < 4; k++)
        size[k] = t->x.size[k] + pads[k] + pads[4 + k];
    onnx_ints(&t->onnx, "pads", 8, pads);
    onnx_floats(&t->onnx, "fill", 0, NULL, pooled ? (float[]){0} : &fill);
    onnx_node(&t->onnx, "Pad", t->from[1] == 'b' ? "xb,pads,fill" : "x,pads,fill",
              pooled ? "p" : "y", "mode:s=constant");
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

/* ---- moving ---- */

static void transpose(const struct array *x, const int *order, struct array *y)
{
    int64_t size[4], stride[4] = {0, 0, 0, 1};

    for (int k = 2; k >= 0; k--)
        stride[k] = stride[k + 1] * x->size[k + 1];
    for (int k = 0; k < 4; k++)
        size[k] = x->size[order[k]];
    *y = array_of(4, size);
    for (int64_t i = 0; i < elements(y); i++) {
        int64_t rest = i, at = 0;
        for (int k = 3; k >= 0; k--) {
            at += rest % size[k] * stride[order[k]];
            rest /= size[k];
        }
        y->at[i] = x->at[at];
    }
}

static void case_transpose(struct trial *t)
{
    int  order[4] = {0, 1, 2, 3};
    char text[64];

    picture(t, 40, 9);
    for (int k = 3; k > 0; k--) {
        int other = (int)pick(t, 0, k), swap = order[k];
        order[k]     = order[other];
        order[other] = swap;
    }
    snprintf(text, sizeof text, "perm:is=%d,%d,%d,%d", order[0], order[1], order[2], order[3]);
    node(t, "Transpose", "", text);
    transpose(&t->x, order, &t->y);
}

/* Parts of the channels by Slice, in another order by Concat. */
static void case_slice_concat(struct trial *t)
{
    int64_t cut, pixels, channels;

    picture(t, 70, 9);
    channels = t->x.size[1];
    cut      = pick(t, 0, 1) == 1 ? channels / 16 * 16 : pick(t, 1, channels);
    if (cut < 1 || cut >= channels)
        cut = channels / 2;
    pixels = t->x.size[2] * t->x.size[3];
    t->y   = array_of(4, t->x.size);
    if (cut == 0) {
        node(t, "Identity", "", "");
        memcpy(t->y.at, t->x.at, (size_t)elements(&t->x) * sizeof *t->x.at);
        return;
    }
    onnx_ints(&t->onnx, "zero", 1, (int64_t[]){0});
    onnx_ints(&t->onnx, "cut", 1, &cut);
    onnx_ints(&t->onnx, "end", 1, (int64_t[]){INT64_MAX});
    onnx_ints(&t->onnx, "one", 1, (int64_t[]){1});
    onnx_node(&t->onnx, "Slice", t->from[1] == 'b' ? "xb,zero,cut,one" : "x,zero,cut,one", "a", "");
    onnx_node(&t->onnx, "Slice", t->from[1] == 'b' ? "xb,cut,end,one" : "x,cut,end,one", "b", "");
    onnx_node(&t->onnx, "Relu", "a", "ra", "");
    onnx_node(&t->onnx, "Concat", "b,ra", "y", "axis:i=1");
    memcpy(t->y.at, t->x.at + cut * pixels, (size_t)((channels - cut) * pixels) * sizeof(float));
    for (int64_t i = 0; i < cut * pixels; i++)
        t->y.at[(channels - cut) * pixels + i] = act_relu(t->x.at[i]);
}

/* A slice with steps in both directions of height and width. */
static void case_slice_steps(struct trial *t)
{
    int64_t from[2], to[2], step[2], count[2];

    set_input(t, 4, (int64_t[]){1, pick(t, 1, 20), pick(t, 2, 12), pick(t, 2, 12)});
    for (int k = 0; k < 2; k++) {
        int64_t size = t->x.size[2 + k];
        bool    back = pick(t, 0, 2) == 0;
        step[k]      = back ? -pick(t, 1, 2) : pick(t, 1, 3);
        from[k]      = back ? size - 1 : pick(t, 0, size - 1);
        to[k]        = back ? INT64_MIN : pick(t, 0, 1) == 1 ? INT64_MAX : size;
        count[k]     = back ? (size - step[k] * -1 - 1) / -step[k] + 1
                            : (size - from[k] - 1) / step[k] + 1;
        if (back)
            count[k] = (from[k]) / -step[k] + 1;
    }
    onnx_ints(&t->onnx, "from", 2, from);
    onnx_ints(&t->onnx, "to", 2, to);
    onnx_ints(&t->onnx, "axes", 2, (int64_t[]){2, -1});
    onnx_ints(&t->onnx, "step", 2, step);
    node(t, "Slice", "from,to,axes,step", "");
    t->y = array_of(4, (int64_t[]){1, t->x.size[1], count[0], count[1]});
    for (int64_t i = 0; i < elements(&t->y); i++) {
        int64_t iy = from[0] + i / count[1] % count[0] * step[0],
                ix = from[1] + i % count[1] * step[1];
        t->y.at[i] = t->x.at[(i / (count[0] * count[1]) * t->x.size[2] + iy) * t->x.size[3] + ix];
    }
}

/* ShuffleNet: channels of two groups dealt out in turn, then split; both ways of writing it. */
static void case_shuffle(struct trial *t)
{
    int64_t half = pick(t, 1, 40), side = pick(t, 1, 9), pixels = side * side;
    int64_t keep = pick(t, 0, 1);

    set_input(t, 4, (int64_t[]){1, 2 * half, side, side});
    onnx_ints(&t->onnx, "deal", 5, (int64_t[]){1, 2, half, side, side});
    onnx_ints(&t->onnx, "back", 4, (int64_t[]){1, -1, side, side});
    onnx_node(&t->onnx, "Reshape", t->from[1] == 'b' ? "xb,deal" : "x,deal", "d", "");
    onnx_node(&t->onnx, "Transpose", "d", "e", "perm:is=0,2,1,3,4");
    onnx_node(&t->onnx, "Reshape", "e,back", "f", "");
    onnx_node(&t->onnx, "Split", "f", keep == 0 ? "y,other" : "other,y", "axis:i=1");
    t->y = array_of(4, (int64_t[]){1, half, side, side});
    for (int64_t i = 0; i < elements(&t->y); i++) {
        int64_t c  = keep * half + i / pixels;
        t->y.at[i] = t->x.at[(c % 2 * half + c / 2) * pixels + i % pixels];
    }
}

static void case_gather(struct trial *t)
{
    int64_t index, pixels;

    picture(t, 40, 9);
    index  = pick(t, -t->x.size[1], t->x.size[1] - 1);
    pixels = t->x.size[2] * t->x.size[3];
    onnx_tensor(&t->onnx, "index", 7, 0, NULL, &index, sizeof index);
    node(t, "Gather", "index", "axis:i=1");
    t->y = array_of(3, (int64_t[]){1, t->x.size[2], t->x.size[3]});
    if (index < 0)
        index += t->x.size[1];
    memcpy(t->y.at, t->x.at + index * pixels, (size_t)pixels * sizeof(float));
}

/* What exporters write for x.reshape(1, c, -1).transpose(1, 2): the arithmetic on shapes must vanish. */
static void case_shape_arithmetic(struct trial *t)
{
    int64_t zero = 0, one = 1;

    picture(t, 40, 9);
    onnx_tensor(&t->onnx, "i0", 7, 0, NULL, &zero, sizeof zero);
    onnx_tensor(&t->onnx, "i1", 7, 0, NULL, &one, sizeof one);
    onnx_ints(&t->onnx, "axis0", 1, &zero);
    onnx_ints(&t->onnx, "rest", 1, (int64_t[]){-1});
    onnx_node(&t->onnx, "Shape", t->from, "s", "");
    onnx_node(&t->onnx, "Gather", "s,i0", "n", "axis:i=0");
    onnx_node(&t->onnx, "Gather", "s,i1", "c", "axis:i=0");
    onnx_node(&t->onnx, "Cast", "c", "cf", "to:i=1");
    onnx_node(&t->onnx, "Floor", "cf", "cr", "");
    onnx_node(&t->onnx, "Cast", "cr", "ci", "to:i=7");
    onnx_node(&t->onnx, "Mul", "n,ci", "nc", "");
    onnx_node(&t->onnx, "Unsqueeze", "n,axis0", "nu", "");
    onnx_node(&t->onnx, "Unsqueeze", "nc,axis0", "cu", "");
    onnx_node(&t->onnx, "Concat", "nu,cu,rest", "shape", "axis:i=0");
    onnx_node(&t->onnx, "Reshape", t->from[1] == 'b' ? "xb,shape" : "x,shape", "r", "");
    onnx_node(&t->onnx, "Transpose", "r", "y", "perm:is=0,2,1");
    int64_t pixels = t->x.size[2] * t->x.size[3], channels = t->x.size[1];
    t->y = array_of(3, (int64_t[]){1, pixels, channels});
    for (int64_t i = 0; i < elements(&t->y); i++)
        t->y.at[i] = t->x.at[i % channels * pixels + i / channels];
}

/* Squeeze, Unsqueeze, Flatten, Dropout, Identity: only the shape changes. */
static void case_same_numbers(struct trial *t)
{
    int64_t count;

    picture(t, 40, 9);
    count = elements(&t->x);
    onnx_ints(&t->onnx, "axis0", 1, (int64_t[]){0});
    onnx_node(&t->onnx, "Dropout", t->from, "a", "");
    onnx_node(&t->onnx, "Squeeze", "a,axis0", "b", "");
    onnx_node(&t->onnx, "Identity", "b", "c", "");
    onnx_node(&t->onnx, "Unsqueeze", "c,axis0", "d", "");
    onnx_node(&t->onnx, "Flatten", "d", "y", "axis:i=1");
    t->y = array_of(2, (int64_t[]){1, count});
    memcpy(t->y.at, t->x.at, (size_t)count * sizeof(float));
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
    t->y = conv_all(&wide, &w, NULL, &c);
    free(wide.at);
    free(w.at);
}

static const struct {
    const char *name;
    void (*write)(struct trial *trial);
    double tolerance; /* of each number, beside 1 + its size */
} CASES[] = {
    {"Conv with any window", case_conv_dense, 3e-5},
    {"Conv of few channels", case_conv_stem, 3e-5},
    {"Conv 1x1", case_conv_pointwise, 3e-5},
    {"Conv by channel", case_conv_depthwise, 1e-5},
    {"Conv in groups", case_conv_grouped, 2e-5},
    {"Conv, activation and residual", case_conv_fused, 1e-4},
    {"activations", case_activation, 1e-6},
    {"BatchNormalization", case_batch_normalization, 1e-5},
    {"Add, Sub, Mul, Div", case_arithmetic, 1e-6},
    {"GlobalAveragePool and a gate", case_gate, 1e-5},
    {"ReduceMean", case_mean, 1e-5},
    {"Softmax", case_softmax, 1e-6},
    {"Gemm", case_gemm, 1e-5},
    {"MatMul", case_matmul, 1e-5},
    {"MaxPool, AveragePool", case_pool, 1e-6},
    {"Resize", case_resize, 1e-5},
    {"Pad", case_pad, 0},
    {"Transpose", case_transpose, 0},
    {"Slice and Concat of channels", case_slice_concat, 0},
    {"Slice with steps", case_slice_steps, 0},
    {"Reshape, Transpose, Split: a shuffle", case_shuffle, 0},
    {"Gather", case_gather, 0},
    {"Shape, Cast, Unsqueeze, Floor", case_shape_arithmetic, 0},
    {"Dropout, Squeeze, Identity, Flatten", case_same_numbers, 0},
    {"Focus", case_focus, 3e-5},
};

/* The greatest error of one trial on one instruction set; negative when it did not run at all. */
static double run_trial(struct trial *t, const struct model *model, const char *kernels)
{
    struct why               why = {""};
    struct runner           *runner;
    const struct model_info *info = model_info(model);
    const float             *y;
    double                   worst = 0;
    struct backend_cpu_step  steps[64];
    int                      count;

    if (backend_cpu_open_with(&runner, model, kernels, &why) != 0) {
        diag("%s", why.text);
        return -1;
    }
    count = backend_cpu_profile(runner, t->x.at, steps, 64);
    for (int i = 0; i < count && i < 64; i++)
        if (strncmp(steps[i].implementation, "ref", 3) == 0) {
            diag("%s %s is oneDNN's %s", steps[i].node, steps[i].what, steps[i].implementation);
            worst = INFINITY;
        }
    y = BACKEND_CPU.output(runner, 0);
    for (int64_t i = 0; i < elements(&t->y); i++) {
        double error = fabs((double)y[i] - (double)t->y.at[i]) / (1 + fabs((double)t->y.at[i]));
        worst        = error <= worst ? worst : error; /* also when it is not a number */
    }
    if (info->output[0].dimension_count != t->y.rank ||
        memcmp(info->output[0].dimension, t->y.size, (size_t)t->y.rank * sizeof(int64_t)) != 0)
        worst = INFINITY;
    BACKEND_CPU.close(&runner);
    return worst;
}

static void test_case(size_t row, const char *kernels)
{
    double worst   = 0;
    int    refused = 0;

    for (int i = 0; i < TRIALS; i++) {
        struct trial   t   = {.random = 0x9e3779b97f4a7c15U + (uint64_t)i * 7919 + row * 104729};
        struct why     why = {""};
        struct model  *model;
        size_t         count;
        const uint8_t *bytes;
        double         error;

        t.onnx.opset = 13;
        for (int k = 0; k < 20; k++)
            pick(&t, 0, 1);
        if (CASES[row].write == case_activation || CASES[row].write == case_conv_fused)
            t.onnx.opset = 10; /* Clip's limits as attributes */
        onnx_output(&t.onnx, "y");
        CASES[row].write(&t);
        bytes = onnx_finish(&t.onnx, &count);
        if (model_load_bytes(&model, bytes, count, "trial", &why) != 0) {
            diag("trial %d: %s", i, why.text);
            refused++;
        } else {
            error = run_trial(&t, model, kernels);
            if (!(error >= 0) || error > CASES[row].tolerance)
                diag("trial %d: error %g", i, error);
            if (!(error >= 0))
                refused++;
            else if (error > worst)
                worst = error;
        }
        model_close(&model);
        onnx_free(&t.onnx);
        free(t.x.at);
        free(t.y.at);
    }
    ok(refused == 0 && worst <= CASES[row].tolerance, "%s: %s: %d shapes, worst error %.1e",
       kernels, CASES[row].name, TRIALS, worst);
}

static float *read_floats(const char *name, size_t count)
{
    char   path[700];
    float *data = malloc(count * sizeof *data);
    FILE  *file;

    snprintf(path, sizeof path, "%s/models/%s", material(), name);
    file = fopen(path, "rb");
    if (file == NULL || data == NULL || fread(data, sizeof *data, count, file) != count)
        abort();
    fclose(file);
    return data;
}

/* The whole of YOLOX-nano against the output that another engine gave for the same picture. */
static void test_yolox(const char *kernels)
{
    const size_t   in = 3 * 416 * 416, out = 3549 * 85;
    float         *input    = read_floats("ref_bus_input_1x3x416x416_f32.bin", in);
    float         *expected = read_floats("ref_bus_output_1x3549x85_f32.bin", out);
    float         *first    = malloc(out * sizeof *first);
    char           path[700];
    struct why     why = {""};
    struct model  *model;
    struct runner *runner;
    double         worst = 0;

    snprintf(path, sizeof path, "%s/models/yolox_nano_coco_416.onnx", material());
    if (model_load(&model, path, &why) != 0 || first == NULL ||
        backend_cpu_open_with(&runner, model, kernels, &why) != 0) {
        ok(false, "%s: YOLOX-nano runs: %s", kernels, why.text);
        return;
    }
    BACKEND_CPU.run(runner, input, 1, &why);
    memcpy(first, BACKEND_CPU.output(runner, 0), out * sizeof *first);
    for (size_t i = 0; i < out; i++) {
        double error = fabs((double)first[i] - (double)expected[i]) /
                       (1 + fabs((double)expected[i]));
        worst = error <= worst ? worst : error;
    }
    ok(worst < 1e-3, "%s: YOLOX-nano gives the reference output, worst error %.1e", kernels, worst);
    BACKEND_CPU.run(runner, input, 1, &why);
    ok(memcmp(first, BACKEND_CPU.output(runner, 0), out * sizeof *first) == 0,
       "%s: the same picture gives the same bytes", kernels);
    ok(backend_cpu_arena_bytes(runner) < 8 << 20, "%s: it runs in %.1f MB", kernels,
       (double)backend_cpu_arena_bytes(runner) / 1e6);
    BACKEND_CPU.close(&runner);
    model_close(&model);
    free(input);
    free(expected);
    free(first);
}

int main(void)
{
    const char *kernels[] = {"plain", "avx2", "avx512"};

    for (int k = 0; k < 3; k++) {
        if (kernels_find(kernels[k]) == NULL) {
            skip_one("this machine has no %s", kernels[k]);
            continue;
        }
        for (size_t row = 0; row < sizeof CASES / sizeof CASES[0]; row++)
            test_case(row, kernels[k]);
        if (material() != NULL)
            test_yolox(kernels[k]);
        else
            skip_one("no ../shared/material: no real model");
    }
    return done_testing();
}
