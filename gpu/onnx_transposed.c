/* ConvTranspose as an ordinary convolution. With stride S each output pixel lies in one of S×S
 * phases, and each phase is a small convolution of the input: together one convolution with S×S
 * times the channels, whose result is interleaved and cut to size. */
#include "gpu/onnx_import.h"

#include "config/err.h"

#include <string.h>

struct transposed {
    int64_t groups, in, out; /* channels; `out` of one group */
    int64_t kernel[2], stride[2], dilation[2], taps[2], begin[2], end[2], extra[2];
    int64_t size[2]; /* of the result */
};

static int pair(struct importer *import, const char *name, int64_t fallback, int64_t high,
                int64_t low, int64_t out[2])
{
    int            count;
    const int64_t *list = import_ints(import, name, &count);

    out[0] = out[1] = fallback;
    if (count != 0 && count != 2)
        return import_refuse(import, ERR_UNSUPPORTED, "%s needs two numbers", name);
    for (int i = 0; i < count; i++) {
        if (list[i] < low || list[i] > high)
            return import_refuse(import, ERR_INVALID, "%s is impossible", name);
        out[i] = list[i];
    }
    return 0;
}

static int read_pads(struct importer *import, const struct value *x, struct transposed *t)
{
    int            count, sizes;
    const int64_t *pads  = import_ints(import, "pads", &count);
    const int64_t *shape = import_ints(import, "output_shape", &sizes);
    bool           lower = import_text_is(import, "auto_pad", "SAME_LOWER", "NOTSET");
    bool           same  = lower || import_text_is(import, "auto_pad", "SAME_UPPER", "NOTSET");

    if ((count != 0 && count != 4) || (sizes != 0 && sizes < 2))
        return import_refuse(import, ERR_UNSUPPORTED, "pads needs four numbers");
    for (int i = 0; i < 2; i++) {
        int64_t span = t->dilation[i] * (t->kernel[i] - 1) + 1, pad, wanted;
        int64_t full = t->stride[i] * (x->dimension[2 + i] - 1) + t->extra[i] + span;
        t->begin[i]  = count == 4 ? pads[i] : 0;
        t->end[i]    = count == 4 ? pads[2 + i] : 0;
        if (same || sizes != 0) {
            wanted      = sizes != 0 ? shape[sizes - 2 + i] : x->dimension[2 + i] * t->stride[i];
            pad         = full - wanted;
            t->begin[i] = lower ? pad - pad / 2 : pad / 2;
            t->end[i]   = pad - t->begin[i];
        }
        if (t->begin[i] < 0 || t->begin[i] > LIMIT_WINDOW || t->end[i] < 0 ||
            t->end[i] > LIMIT_WINDOW || full - t->begin[i] - t->end[i] < 1)
            return import_refuse(import, ERR_INVALID, "pads is impossible");
        t->size[i] = full - t->begin[i] - t->end[i];
        /* What output_padding adds beyond the last pixel's reach: one tap more, of zeros, since
         * oneDNN has no fast code for more padding than its window. */
        if (t->begin[i] + t->size[i] > (x->dimension[2 + i] + t->taps[i] - 1) * t->stride[i])
            t->taps[i]++;
    }
    return 0;
}

static int read_transposed(struct importer *import, struct transposed *t)
{
    const struct value *x = import_input(import, 0), *w = import_input(import, 1);
    int                 rc;

    if (x->rank != 4 || x->type != VALUE_F32 || w->floats == NULL || w->rank != 4)
        return import_refuse(import, ERR_UNSUPPORTED,
                             "only N×C×H×W and constant weights are possible");
    t->groups = import_int(import, "group", 1);
    t->in     = x->dimension[1];
    t->out    = w->dimension[1];
    if (t->groups < 1 || t->in % t->groups != 0 || w->dimension[0] != t->in || w->elements < 1)
        return import_refuse(import, ERR_INVALID, "its weights do not fit its input");
    rc = pair(import, "strides", 1, 64, 1, t->stride);
    if (rc == 0)
        rc = pair(import, "dilations", 1, LIMIT_WINDOW, 1, t->dilation);
    if (rc == 0)
        rc = pair(import, "output_padding", 0, 64, 0, t->extra);
    for (int i = 0; i < 2 && rc == 0; i++) {
        t->kernel[i] = w->dimension[2 + i];
        t->taps[i]   = (t->dilation[i] * (t->kernel[i] - 1) + t->stride[i]) / t->stride[i];
        if (t->kernel[i] > LIMIT_WINDOW || t->taps[i] > LIMIT_WINDOW || t->extra[i] > t->stride[i])
            return import_refuse(import, ERR_LIMIT, "its window is too large");
    }
    return rc == 0 ? read_pads(import, x, t) : rc;
}

/* Output channels are group, channel, phase; tap j of a phase reads the input taps - 1 - j back. */
static int phase_weights(struct importer *import, const struct transposed *t)
{
    struct value w      = *import_input(import, 1);
    int64_t      phases = t->stride[0] * t->stride[1], group = t->in / t->groups, elements;
    int64_t      size[4] = {t->groups * t->out * phases, group, t->taps[0], t->taps[1]};
    float       *packed;

    elements = graph_elements(4, size, LIMIT_MODEL_TENSOR_ELEMENTS);
    packed   = elements < 0
                   ? NULL
                   : graph_memory_alloc(&import->graph->memory, (size_t)elements, sizeof *packed);
    if (packed == NULL)
        return import_refuse(import, ERR_MEMORY, "the model needs too much memory");
    for (int64_t i = 0; i < w.elements; i++) {
        int64_t kx    = i % t->kernel[1] * t->dilation[1];
        int64_t ky    = i / t->kernel[1] % t->kernel[0] * t->dilation[0];
        int64_t m     = i / (t->kernel[0] * t->kernel[1]) % t->out;
        int64_t c     = i / (t->kernel[0] * t->kernel[1] * t->out);
        int64_t phase = ky % t->stride[0] * t->stride[1] + kx % t->stride[1];
        int64_t row   = (c / group * t->out + m) * phases + phase;
        int64_t jy    = t->taps[0] - 1 - ky / t->stride[0];
        int64_t jx    = t->taps[1] - 1 - kx / t->stride[1];
        packed[((row * group + c % group) * t->taps[0] + jy) * t->taps[1] + jx] = w.floats[i];
    }
    return import_emit_floats(import, 4, size, packed);
}

static int phase_bias(struct importer *import, const struct transposed *t)
{
    int64_t      phases = t->stride[0] * t->stride[1], count = t->groups * t->out * phases;
    struct value bias = *import_input(import, 2);
    float       *packed;

    if (bias.floats == NULL || bias.elements != t->groups * t->out)
        return import_refuse(import, ERR_UNSUPPORTED,
                             "its bias must be a constant with one number per output channel");
    packed = graph_memory_alloc(&import->graph->memory, (size_t)count, sizeof *packed);
    if (packed == NULL)
        return import_refuse(import, ERR_MEMORY, "the model needs too much memory");
    for (int64_t i = 0; i < count; i++)
        packed[i] = bias.floats[i / phases];
    return import_emit_floats(import, 1, &count, packed);
}

/* From the phases to pixels, cut to size: one strided copy of rank 6, and a slice of it. */
static int interleave(struct importer *import, int source, const struct transposed *t)
{
    struct value y        = import->graph->values[source];
    int64_t      channels = t->groups * t->out, n = y.dimension[0];
    int64_t      rows = y.dimension[2], columns = y.dimension[3], stride[4];
    int64_t      split[6] = {n, channels, t->stride[0], t->stride[1], rows, columns};
    int64_t      whole[4] = {n, channels, rows * t->stride[0], columns * t->stride[1]};
    const int    order[6] = {0, 1, 4, 2, 5, 3};
    int          value    = import_emit_reshape(import, source, 6, split);

    if (value >= 0)
        value = import_emit_transpose(import, value, order);
    if (value >= 0)
        value = import_emit_reshape(import, value, 4, whole);
    if (value < 0)
        return value;
    graph_strides(4, whole, stride);
    return import_emit_strided(import, value, 4, (int64_t[]){n, channels, t->size[0], t->size[1]},
                               stride, t->begin[0] * stride[2] + t->begin[1]);
}

int lower_conv_transpose(struct importer *import)
{
    struct transposed t;
    struct window     window    = {.stride = {1, 1}, .dilation = {1, 1}};
    struct value      x         = *import_input(import, 0);
    int               inputs[4] = {import->input[0], -1, -1, -1}, rc, value;
    int64_t           size[4];
    struct node      *node;

    memset(&t, 0, sizeof t);
    rc = read_transposed(import, &t);
    if (rc != 0)
        return rc;
    inputs[1] = phase_weights(import, &t);
    if (inputs[1] >= 0 && import_has_input(import, 2))
        inputs[2] = phase_bias(import, &t);
    if (inputs[1] < 0 || (import_has_input(import, 2) && inputs[2] < 0))
        return inputs[1] < 0 ? inputs[1] : inputs[2];
    size[0] = x.dimension[0];
    size[1] = t.groups * t.out * t.stride[0] * t.stride[1];
    for (int i = 0; i < 2; i++) {
        window.kernel[i]    = (int)t.taps[i];
        window.pad_begin[i] = (int)t.taps[i] - 1;
        window.pad_end[i]   = (int)t.taps[i] - 1;
        size[2 + i]         = x.dimension[2 + i] + t.taps[i] - 1;
    }
    window.groups = (int)t.groups;
    value         = import_emit(import, NODE_CONV, 4, inputs, 4, size, &node);
    if (value < 0)
        return value;
    node->window = window;
    return import_set(import, interleave(import, value, &t));
}
