/* Convolutions in 8 bits: weights and what follows the sums, from the ranges that were measured.
 *
 * The scale of an input channel goes into the weights of that channel before these are rounded;
 * then each output channel has one scale for all its weights. The zeros of the input, times the
 * rounded weights, go into the bias. */
#include "gpu/cpu/cpu_codes.h"

#include "config/err.h"
#include "gpu/cpu/cpu_shared.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WEIGHT_MAX    127
#define STEM_CHANNELS INT8_QUAD
#define KERNEL_MAX    7  /* rows of a depthwise window: three groups of four */
#define COLUMNS_MAX   16 /* of a depthwise window */
#define STRIDE_MAX    4
/* Beyond it a SiLU is the line within 1/350 of 1. */
#define BUMP_RANGE 8.0F

/* Everything about one convolution while it is planned. */
struct conv_plan {
    struct plan        *plan;
    const struct node  *node;
    const struct value *w, *y;
    struct cpu_tensor  *x, *residual, *out;
    const float        *in_scale; /* by input channel */
    const uint8_t      *in_zero;
    const float        *in_mean;
    int64_t             taps;         /* of the window */
    int64_t             row;          /* weights of one output channel */
    int64_t             lanes;        /* output channels, filled up */
    int8_t             *codes;        /* lanes × row; only until they are packed */
    float              *weight_scale; /* by output channel */
    double             *offset;       /* by output channel: what the zeros of the input add up to */
    struct int8_finish  finish;
    /* What it points to, while it is written. */
    float   *finish_scale, *finish_bias, *line_scale, *line_bias;
    int16_t *gain, *zero, *residual_gain;
};

static bool is_depthwise(const struct plan *plan, const struct node *node)
{
    int64_t in = plan->graph->values[node->input[0]].dimension[1];

    return node->window.groups > 1 && node->window.groups == in &&
           plan->graph->values[node->output].dimension[1] == in;
}

bool cpu_codes_is_stem(const struct plan *plan, const struct node *node)
{
    const struct value *x = &plan->graph->values[node->input[0]];

    return node->window.groups == 1 && x->dimension[1] <= STEM_CHANNELS &&
           node->window.kernel[0] * node->window.kernel[1] > 1 &&
           !plan_has_blocked(plan, node->input[0]) && x->is_input;
}

bool cpu_codes_conv_fits(const struct plan *plan, const struct node *node)
{
    const struct value  *x      = &plan->graph->values[node->input[0]];
    const struct value  *w      = &plan->graph->values[node->input[1]];
    const struct window *window = &node->window;

    if (x->rank != 4 || x->dimension[0] != 1 || w->floats == NULL || w->rank != 4 ||
        (node->input[2] >= 0 && plan->graph->values[node->input[2]].floats == NULL))
        return false;
    if (w->elements / w->dimension[0] > INT8_PRODUCTS_MAX || plan_is_expectation(plan, node))
        return false;
    for (int i = 0; i < 2; i++)
        if (window->pad_begin[i] > (window->kernel[i] - 1) * window->dilation[i])
            return false;
    if (window->groups == 1)
        return true;
    return is_depthwise(plan, node) && window->kernel[0] <= KERNEL_MAX &&
           window->kernel[1] <= COLUMNS_MAX && window->stride[1] <= STRIDE_MAX &&
           window->dilation[0] == 1 && window->dilation[1] == 1;
}

/* ---- weights ---- */

static int round_weights(struct conv_plan *p)
{
    int64_t in_group = p->w->dimension[1], out = p->w->dimension[0];

    p->codes        = calloc((size_t)(p->lanes * p->row), sizeof *p->codes);
    p->weight_scale = plan_alloc(p->plan, p->lanes, sizeof *p->weight_scale);
    p->offset       = plan_alloc(p->plan, p->lanes, sizeof *p->offset);
    if (p->codes == NULL || p->weight_scale == NULL || p->offset == NULL)
        return ERR_MEMORY;
    for (int64_t o = 0; o < out; o++) {
        const float *w     = p->w->floats + o * p->row;
        int64_t      first = p->node->window.groups > 1 ? o * in_group : 0;
        float        most  = 0;
        double       error = 0;
        for (int64_t k = 0; k < p->row; k++)
            most = fmaxf(most, fabsf(w[k] * p->in_scale[first + k / p->taps]));
        if (!(most > 1e-30F && most < 1e30F))
            most = 1e-30F;
        p->weight_scale[o] = most / WEIGHT_MAX;
        for (int64_t k = 0; k < p->row; k++) {
            const int64_t in         = first + k / p->taps;
            float         code       = rintf(w[k] * p->in_scale[in] / p->weight_scale[o]);
            code                     = fminf(fmaxf(code, -WEIGHT_MAX), WEIGHT_MAX);
            p->codes[o * p->row + k] = (int8_t)code;
            p->offset[o] += (double)code * p->in_zero[in];
            /* What rounding adds to the mean output goes as well. */
            error += ((double)code * (double)p->weight_scale[o] -
                      (double)w[k] * (double)p->in_scale[in]) *
                     (double)p->in_mean[in] / (double)p->in_scale[in];
        }
        p->offset[o] = p->offset[o] * (double)p->weight_scale[o] + error;
    }
    return 0;
}

/* ---- what follows the sums ---- */

static double bias_of(const struct conv_plan *p, int64_t channel)
{
    const struct graph *graph = p->plan->graph;
    int                 bias  = p->node->input[2];

    return (bias >= 0 ? (double)graph->values[bias].floats[channel] : 0) - p->offset[channel];
}

/* The smallest range over which the activation reaches from `low` to `high`. */
static float curve_range(const struct activation *activation, float low, float high)
{
    bool  below = false; /* it has no least value */
    float range = 8.0F;

    switch (activation->kind) {
    case ACTIVATION_SIGMOID:
    case ACTIVATION_HARD_SIGMOID:
        return range;
    case ACTIVATION_CLIP:
        return fmaxf(fminf(fmaxf(fabsf(activation->a), fabsf(activation->b)), 1e4F), 1e-3F) * 1.01F;
    case ACTIVATION_NONE:
    case ACTIVATION_RELU:
        range = fmaxf(fmaxf(high, -low), 1e-3F) * 1.01F;
        below = activation->kind == ACTIVATION_NONE || activation->a > 0;
        break;
    default:
        break;
    }
    for (int i = 0; i < 100; i++) {
        float from = graph_activate(activation, -range), to = graph_activate(activation, range);
        if (to >= high && (!below || from <= low))
            break;
        range *= 1.1F;
    }
    return range;
}

static bool is_narrow(const struct conv_plan *p)
{
    const struct activation *a = &p->node->activation;

    return p->residual == NULL &&
           (a->kind == ACTIVATION_NONE || (a->kind == ACTIVATION_RELU && a->a == 0));
}

/* Sums become codes at once; a ReLU is where codes end. */
static void finish_narrow(struct conv_plan *p, const struct calibrated *range,
                          struct cpu_scales *scales)
{
    float *scale = p->finish_scale, *bias = p->finish_bias;

    for (int c = 0; c < range->channels; c++) {
        float low        = p->node->activation.kind == ACTIVATION_RELU ? 0 : range->low[c];
        float out        = fmaxf(range->high[c] - low, 1e-6F) / 255;
        scales->scale[c] = out;
        scales->zero[c]  = (uint8_t)fminf(rintf(-low / out), 255);
        scale[c]         = p->weight_scale[c] / out;
        bias[c]          = (float)(bias_of(p, c) / (double)out + scales->zero[c]);
    }
}

struct curve_plan {
    float in_range, out_range;
    bool  each;  /* the curve has no scale of its own: each channel has its range */
    bool  bump;  /* a line, and a curve for what is beside it */
    bool  first; /* residual before the curve */
};

/* curve_range() has looked at what the residual adds. */
static bool reaches_by_itself(const struct activation *activation)
{
    return activation->kind == ACTIVATION_NONE || activation->kind == ACTIVATION_RELU;
}

static float channel_range(const struct conv_plan *p, const struct calibrated *range, int c)
{
    float reach = p->residual != NULL ? p->residual->scales->scale[c] * 255 : 0;
    float most  = curve_range(&p->node->activation, range->low[c] - reach, range->high[c] + reach);

    /* A sum must not saturate where the residual that is added to it could bring it back. */
    if (p->node->residual == RESIDUAL_BEFORE_ACTIVATION && !reaches_by_itself(&p->node->activation))
        most += reach * 1.01F;
    /* With the residual before the curve, its gain must stay within 16 bits. */
    return p->residual != NULL ? fmaxf(most, reach * 1.01F) : most;
}

static void choose_curve(const struct conv_plan *p, const struct calibrated *range,
                         struct curve_plan *curve)
{
    enum activation_kind kind = p->node->activation.kind;

    *curve       = (struct curve_plan){.first = p->node->residual == RESIDUAL_BEFORE_ACTIVATION};
    curve->each  = kind == ACTIVATION_NONE || kind == ACTIVATION_RELU;
    curve->bump  = kind == ACTIVATION_SILU || kind == ACTIVATION_HARD_SWISH;
    curve->first = curve->first && p->residual != NULL;
    if (curve->each) {
        curve->in_range = 1;
    } else if (curve->bump) {
        curve->in_range = BUMP_RANGE;
    } else {
        for (int c = 0; c < range->channels; c++)
            curve->in_range = fmaxf(curve->in_range, channel_range(p, range, c));
    }
}

static void finish_channel(struct conv_plan *p, const struct calibrated *range,
                           const struct curve_plan *curve, struct cpu_scales *scales, int c)
{
    float *scale = p->finish_scale, *bias = p->finish_bias;
    double steps = curve->bump || (p->residual != NULL && !curve->first) ? INT8_FRACTION : 1;
    double reach = curve->each ? (double)channel_range(p, range, c) : 1;
    double unit = 32768.0 / ((double)curve->in_range * reach), r = 0, r_zero = 0, wanted, out;

    if (p->residual != NULL) {
        r      = (double)p->residual->scales->scale[c];
        r_zero = p->residual->scales->zero[c];
    }
    out    = (double)curve->out_range * reach;
    wanted = fmax((double)(range->high[c] - range->low[c]), 1e-6) / 255;
    wanted = fmax(wanted, curve->first ? 0 : r / 7.9);
    /* The gain is a whole number, and the scale what it makes it. */
    p->gain[c]       = (int16_t)fmax(fmin(floor(steps * out / wanted), 32767), 1);
    scales->scale[c] = (float)(steps * out / p->gain[c]);
    scales->zero[c]  = (uint8_t)fmin(rint((double)-range->low[c] / (double)scales->scale[c]), 255);
    p->zero[c]       = (int16_t)(steps * scales->zero[c]);
    scale[c]         = (float)((double)p->weight_scale[c] * unit);
    bias[c]          = (float)(bias_of(p, c) * unit);
    if (curve->bump) {
        double line      = steps / (double)scales->scale[c];
        p->line_scale[c] = (float)((double)p->weight_scale[c] * line);
        p->line_bias[c]  = (float)(bias_of(p, c) * line);
    }
    if (p->residual == NULL)
        return;
    if (curve->first) {
        p->residual_gain[c] = (int16_t)fmin(rint(256 * r * unit), 32767);
        bias[c] -= (float)(r_zero * p->residual_gain[c] / 256);
    } else {
        p->residual_gain[c] = (int16_t)fmin(rint(4096 * r / (double)scales->scale[c]), 32767);
        p->zero[c]          = (int16_t)rint(p->zero[c] - r_zero * p->residual_gain[c] / 256.0);
    }
}

static int finish_curve(struct conv_plan *p, const struct calibrated *range,
                        struct cpu_scales *scales)
{
    struct int8_curve *made = plan_alloc(p->plan, 1, sizeof *made);
    struct curve_plan  curve;

    p->gain          = plan_alloc(p->plan, p->lanes, sizeof *p->gain);
    p->zero          = plan_alloc(p->plan, p->lanes, sizeof *p->zero);
    p->residual_gain = plan_alloc(p->plan, p->lanes, sizeof *p->residual_gain);
    p->line_scale    = plan_alloc(p->plan, p->lanes, sizeof *p->line_scale);
    p->line_bias     = plan_alloc(p->plan, p->lanes, sizeof *p->line_bias);
    if (made == NULL || p->gain == NULL || p->zero == NULL || p->residual_gain == NULL ||
        p->line_scale == NULL || p->line_bias == NULL)
        return ERR_MEMORY;
    choose_curve(p, range, &curve);
    int8_curve_make(&p->node->activation, curve.bump, curve.in_range, &curve.out_range, made);
    for (int c = 0; c < range->channels; c++)
        finish_channel(p, range, &curve, scales, c);
    p->finish.curve          = made;
    p->finish.gain           = p->gain;
    p->finish.zero           = p->zero;
    p->finish.residual_gain  = p->residual != NULL ? p->residual_gain : NULL;
    p->finish.residual_first = curve.first;
    p->finish.line_scale     = curve.bump ? p->line_scale : NULL;
    p->finish.line_bias      = curve.bump ? p->line_bias : NULL;
    return 0;
}

static int plan_finish(struct conv_plan *p)
{
    const struct calibrated *range = cpu_codes_range(p->plan, p->node->output);
    float                   *scale = plan_alloc(p->plan, p->lanes, sizeof *scale);
    float                   *bias  = plan_alloc(p->plan, p->lanes, sizeof *bias);

    p->finish.scale = p->finish_scale = scale;
    p->finish.bias = p->finish_bias = bias;
    if (scale == NULL || bias == NULL)
        return ERR_MEMORY;
    if (p->out->layout == LAYOUT_CODES) {
        struct cpu_scales *scales = cpu_codes_scales(p->plan, p->y->dimension[1]);
        if (scales == NULL)
            return ERR_MEMORY;
        p->out->scales = scales;
        memcpy(scales->mean, range->mean, (size_t)range->channels * sizeof *scales->mean);
        if (!is_narrow(p))
            return finish_curve(p, range, scales);
        finish_narrow(p, range, scales);
        return 0;
    }
    for (int64_t c = 0; c < p->y->dimension[1]; c++) {
        scale[c] = p->weight_scale[c];
        bias[c]  = (float)bias_of(p, c);
    }
    return 0;
}

/* ---- steps ---- */

/* A place for bytes that only this step uses. */
static struct cpu_tensor *scratch_of(struct plan *plan, int64_t bytes)
{
    struct value value = {.rank = 1, .elements = (bytes + 3) / 4 + 16};

    value.dimension[0] = value.elements;
    return cpu_add_tensor(plan->runner, LAYOUT_PLAIN, &value);
}

/* Packed weights (malloc, freed here) as all runners have them that round to the same codes. */
static const int8_t *share(struct conv_plan *p, const char *what, int8_t *packed, size_t bytes)
{
    struct cpu_shared_key key    = {.node     = p->node,
                                    .kernels  = p->plan->runner->kernels,
                                    .what     = what,
                                    .bytes    = bytes,
                                    .contents = packed};
    const int8_t         *shared = cpu_shared_get(p->plan->runner, &key, NULL, NULL);

    free(packed);
    return shared;
}

static int dense_weights(struct conv_plan *p, struct int8_conv *conv, const int32_t *channel)
{
    size_t  bytes  = (size_t)int8_conv_weights(conv->out_blocks, conv->step_count);
    int8_t *packed = calloc(bytes, 1), *to = packed;
    int     group;

    if (packed == NULL)
        return ERR_MEMORY;
    for (int64_t first = 0; first < conv->out_blocks; first += group) {
        group = int8_group(conv->out_blocks, first);
        for (int k = 0; k < conv->step_count; k++)
            for (int64_t o = first * INT8_BLOCK; o < (first + group) * INT8_BLOCK; o++)
                for (int j = 0; j < INT8_QUAD; j++, to++)
                    /* channel[k] is the place in a row of the first of four channels */
                    if (channel[k] / p->taps + j < p->w->dimension[1])
                        *to = p->codes[o * p->row + channel[k] + j * p->taps];
    }
    conv->weights = share(p, "codes", packed, bytes);
    return conv->weights != NULL ? 0 : ERR_MEMORY;
}

/* The place of each tap and each four channels in the padded input, and in a row of weights. */
static int dense_steps(struct conv_plan *p, struct int8_conv *conv, int64_t height, int64_t width)
{
    const struct window *window = &p->node->window;
    int64_t              in = p->w->dimension[1], quads = (in + INT8_QUAD - 1) / INT8_QUAD;
    int32_t             *steps   = plan_alloc(p->plan, quads * p->taps, sizeof *steps);
    int32_t             *channel = plan_alloc(p->plan, quads * p->taps, sizeof *channel);
    int64_t              each    = width / window->stride[1];
    int                  k       = 0;

    if (steps == NULL || channel == NULL)
        return ERR_MEMORY;
    for (int64_t block = 0; block * INT8_BLOCK < in; block++)
        for (int64_t tap = 0; tap < p->taps; tap++)
            for (int64_t q = 0; q < INT8_BLOCK / INT8_QUAD; q++) {
                int64_t ky    = tap / window->kernel[1] * window->dilation[0];
                int64_t kx    = tap % window->kernel[1] * window->dilation[1];
                int64_t first = block * INT8_BLOCK + q * INT8_QUAD;
                int64_t at    = (block * height + ky) * width + kx % window->stride[1] * each +
                             kx / window->stride[1];
                if (first >= in)
                    break;
                steps[k]     = (int32_t)(at * conv->pixel_bytes + q * INT8_QUAD);
                channel[k++] = (int32_t)(first * p->taps + tap);
            }
    conv->step_count = k;
    conv->steps      = steps;
    return dense_weights(p, conv, channel);
}

static int plan_dense(struct conv_plan *p, struct cpu_step *step, bool stem)
{
    const struct window *window = &p->node->window;
    struct cpu_codes    *codes  = step->codes;
    int64_t              size[2];

    for (int i = 0; i < 2; i++)
        size[i] = (p->y->dimension[2 + i] - 1) * window->stride[i] +
                  (int64_t)(window->kernel[i] - 1) * window->dilation[i] + 1;
    size[1]       = (size[1] + window->stride[1] - 1) / window->stride[1] * window->stride[1];
    codes->padded = stem || p->taps > 1 || window->stride[0] > 1 || window->stride[1] > 1 ||
                    window->pad_end[0] > 0 || window->pad_end[1] > 0;
    codes->conv = (struct int8_conv){
        .out_blocks  = p->lanes / INT8_BLOCK,
        .rows        = codes->padded ? p->y->dimension[2] : 1,
        .columns     = codes->padded ? p->y->dimension[3] : p->y->dimension[2] * p->y->dimension[3],
        .pixel_bytes = stem ? INT8_QUAD : INT8_BLOCK,
    };
    if (!codes->padded) {
        size[0] = 1;
        size[1] = codes->conv.columns;
    }
    codes->conv.row_bytes = size[1] * window->stride[0] * codes->conv.pixel_bytes;
    codes->conv.finish    = p->finish;
    if (codes->padded) {
        int64_t blocks = stem ? 1 : (p->w->dimension[1] + INT8_BLOCK - 1) / INT8_BLOCK;
        int64_t bytes  = blocks * size[0] * size[1] * codes->conv.pixel_bytes;
        codes->pad     = (struct int8_pad){.blocks     = blocks,
                                           .in_height  = p->x->dimension[2],
                                           .in_width   = p->x->dimension[3],
                                           .out_height = size[0],
                                           .out_width  = size[1],
                                           .top        = window->pad_begin[0],
                                           .left       = window->pad_begin[1],
                                           .stride     = window->stride[1],
                                           .zero       = p->in_zero};
        step->input[2] = scratch_of(p->plan, bytes + 64);
        if (step->input[2] == NULL)
            return ERR_MEMORY;
        if (bytes > INT32_MAX)
            return ERR_LIMIT;
    }
    return dense_steps(p, &codes->conv, size[0], size[1]);
}

static void plan_stem(struct conv_plan *p, struct cpu_step *step)
{
    const struct int8_pad *pad = &step->codes->pad;

    step->codes->stem = (struct int8_stem){.channels   = p->w->dimension[1],
                                           .in_height  = pad->in_height,
                                           .in_width   = pad->in_width,
                                           .out_height = pad->out_height,
                                           .out_width  = pad->out_width,
                                           .top        = pad->top,
                                           .left       = pad->left,
                                           .stride     = pad->stride,
                                           .scale      = 1 / p->in_scale[0],
                                           .zero       = p->in_zero[0]};
}

static int plan_depthwise(struct conv_plan *p, struct cpu_step *step)
{
    struct int8_depthwise *conv   = &step->codes->depthwise;
    int64_t                blocks = p->lanes / INT8_BLOCK;
    size_t                 bytes  = (size_t)int8_depthwise_weights(blocks, &p->node->window);
    int8_t                *packed = calloc(bytes, 1);
    const int8_t          *shared;

    if (packed == NULL)
        return ERR_MEMORY;
    int8_depthwise_pack(p->codes, blocks, &p->node->window, packed);
    if ((shared = share(p, "depthwise codes", packed, bytes)) == NULL)
        return ERR_MEMORY;
    *conv          = (struct int8_depthwise){.blocks     = blocks,
                                             .in_height  = p->x->dimension[2],
                                             .in_width   = p->x->dimension[3],
                                             .out_height = p->y->dimension[2],
                                             .out_width  = p->y->dimension[3],
                                             .window     = p->node->window,
                                             .zero       = p->in_zero,
                                             .weights    = shared,
                                             .finish     = p->finish};
    step->input[2] = scratch_of(p->plan, int8_depthwise_scratch(conv));
    return step->input[2] != NULL ? 0 : ERR_MEMORY;
}

/* The network's input has one scale for all channels: bytes of a picture stay what they are. */
static int scale_input(struct conv_plan *p)
{
    const struct calibrated *range  = cpu_codes_range(p->plan, p->node->input[0]);
    struct cpu_scales       *scales = cpu_codes_scales(p->plan, range->channels);
    float                    low = 0, high = 1e-6F;

    if (scales == NULL)
        return ERR_MEMORY;
    for (int c = 0; c < range->channels; c++) {
        low  = fminf(low, range->low[c]);
        high = fmaxf(high, range->high[c]);
    }
    for (int c = 0; c < INT8_BLOCK; c++) {
        if (c < range->channels)
            scales->mean[c] = range->mean[c];
        scales->scale[c] = (high - low) / 255;
        scales->zero[c]  = (uint8_t)fminf(rintf(-low / scales->scale[c]), 255);
    }
    p->in_scale = scales->scale;
    p->in_zero  = scales->zero;
    p->in_mean  = scales->mean;
    return 0;
}

static int find_inputs(struct conv_plan *p, bool stem)
{
    struct plan *plan = p->plan;
    int          rc   = 0;

    p->x = stem ? plan_tensor(plan, p->node->input[0], LAYOUT_PLAIN)
                : cpu_codes_tensor(plan, p->node->input[0]);
    if (p->node->input[3] >= 0 && (p->residual = cpu_codes_tensor(plan, p->node->input[3])) == NULL)
        return ERR_MEMORY;
    if (p->x == NULL)
        return ERR_MEMORY;
    if (stem) {
        rc = scale_input(p);
    } else {
        p->in_scale = p->x->scales->scale;
        p->in_zero  = p->x->scales->zero;
        p->in_mean  = p->x->scales->mean;
    }
    return rc;
}

static int plan_conv(struct conv_plan *p)
{
    const struct node *node = p->node;
    bool               stem = cpu_codes_is_stem(p->plan, node), depthwise = node->window.groups > 1;
    bool               codes = p->plan->wants_codes[node->output] &&
                 cpu_codes_range(p->plan, node->output) != NULL;
    struct cpu_step *step;
    int              rc = find_inputs(p, stem);

    if (rc != 0)
        return rc;
    p->taps  = (int64_t)node->window.kernel[0] * node->window.kernel[1];
    p->row   = p->w->elements / p->w->dimension[0];
    p->lanes = (p->y->dimension[1] + INT8_BLOCK - 1) / INT8_BLOCK * INT8_BLOCK;
    p->out   = plan_output(p->plan, node->output, codes ? LAYOUT_CODES : LAYOUT_BLOCKED);
    rc       = p->out != NULL ? round_weights(p) : ERR_MEMORY;
    if (rc == 0)
        rc = plan_finish(p);
    if (rc != 0)
        return rc;
    step = cpu_codes_step(p->plan, node,
                          stem           ? "stem"
                          : depthwise    ? "depthwise"
                          : p->taps == 1 ? "pointwise"
                                         : "convolution",
                          3);
    if (step == NULL)
        return ERR_MEMORY;
    step->input[0]          = p->x;
    step->input[1]          = p->residual;
    step->output            = p->out;
    step->codes->activation = node->activation;
    step->run               = stem        ? cpu_codes_run_stem
                              : depthwise ? cpu_codes_run_depthwise
                                          : cpu_codes_run_conv;
    rc                      = depthwise ? plan_depthwise(p, step) : plan_dense(p, step, stem);
    if (rc == 0 && stem)
        plan_stem(p, step);
    return rc;
}

int cpu_codes_conv(struct plan *plan, const struct node *node)
{
    struct conv_plan p  = {.plan = plan,
                           .node = node,
                           .w    = &plan->graph->values[node->input[1]],
                           .y    = &plan->graph->values[node->output]};
    int              rc = plan_conv(&p);

    free(p.codes);
    return rc;
}
