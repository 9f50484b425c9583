/* Operators with a sliding window: convolution, pools, resize; and BatchNormalization, which
 * becomes a scale and a shift that graph_optimize() puts into the convolution before it. */
#include "gpu/onnx_import.h"

#include "config/err.h"

#include <math.h>
#include <string.h>

static int window_pair(struct importer *import, const char *name, int fallback, int pair[2])
{
    int            count;
    const int64_t *ints = import_ints(import, name, &count);

    pair[0] = pair[1] = fallback;
    if (count == 0)
        return 0;
    if (count != 2)
        return import_refuse(import, ERR_UNSUPPORTED,
                             "%s needs two numbers: only pictures in two "
                             "dimensions are possible",
                             name);
    for (int i = 0; i < 2; i++) {
        if (ints[i] < 1 || ints[i] > LIMIT_WINDOW)
            return import_refuse(import, ERR_INVALID, "%s is impossible", name);
        pair[i] = (int)ints[i];
    }
    return 0;
}

static int window_pads(struct importer *import, const int64_t *in, struct window *window)
{
    int            count;
    const int64_t *pads = import_ints(import, "pads", &count);

    if (import_text_is(import, "auto_pad", "SAME_UPPER", "") ||
        import_text_is(import, "auto_pad", "SAME_LOWER", "")) {
        for (int i = 0; i < 2; i++) {
            int64_t out  = (in[i] + window->stride[i] - 1) / window->stride[i];
            int64_t span = (int64_t)window->dilation[i] * (window->kernel[i] - 1) + 1;
            int64_t pad  = (out - 1) * window->stride[i] + span - in[i];
            if (pad < 0)
                pad = 0;
            if (pad > LIMIT_WINDOW)
                return import_refuse(import, ERR_INVALID, "needs impossible padding");
            window->pad_begin[i] = (int)(pad / 2);
            window->pad_end[i]   = (int)(pad - pad / 2);
            if (import_text_is(import, "auto_pad", "SAME_LOWER", "")) {
                window->pad_end[i]   = (int)(pad / 2);
                window->pad_begin[i] = (int)(pad - pad / 2);
            }
        }
        return 0;
    }
    if (count == 0)
        return 0;
    if (count != 4)
        return import_refuse(import, ERR_UNSUPPORTED, "pads needs four numbers");
    for (int i = 0; i < 4; i++)
        if (pads[i] < 0 || pads[i] > LIMIT_WINDOW)
            return import_refuse(import, ERR_INVALID, "pads is impossible");
    for (int i = 0; i < 2; i++) {
        window->pad_begin[i] = (int)pads[i];
        window->pad_end[i]   = (int)pads[i + 2];
    }
    return 0;
}

/* Everything of a window but its kernel, and the size of what it gives. */
static int read_window(struct importer *import, const int64_t *in, struct window *window,
                       int64_t *out)
{
    bool ceil_mode = import_int(import, "ceil_mode", 0) != 0;
    int  rc;

    window->groups = 1;
    rc             = window_pair(import, "strides", 1, window->stride);
    if (rc == 0)
        rc = window_pair(import, "dilations", 1, window->dilation);
    if (rc == 0)
        rc = window_pads(import, in, window);
    if (rc != 0)
        return rc;
    for (int i = 0; i < 2; i++) {
        int64_t span = (int64_t)window->dilation[i] * (window->kernel[i] - 1) + 1;
        int64_t room = in[i] + window->pad_begin[i] + window->pad_end[i] - span;
        if (room < 0)
            return import_refuse(import, ERR_INVALID, "its window is larger than its input");
        out[i] = room / window->stride[i] + 1;
        if (ceil_mode && room % window->stride[i] != 0 &&
            out[i] * window->stride[i] < in[i] + window->pad_begin[i])
            out[i]++;
    }
    return 0;
}

static int need_picture(struct importer *import)
{
    const struct value *x = import_input(import, 0);

    if (x->rank != 4 || x->type != VALUE_F32)
        return import_refuse(import, ERR_UNSUPPORTED,
                             "its input has %d dimensions: only N×C×H×W is possible", x->rank);
    return 0;
}

int lower_conv(struct importer *import)
{
    const struct value *x = import_input(import, 0), *w = import_input(import, 1);
    int64_t             groups    = import_int(import, "group", 1), dimension[4];
    int                 inputs[4] = {import->input[0], import->input[1], -1, -1};
    struct window       window    = {.groups = 1};
    struct node        *node;
    int                 rc = need_picture(import);

    if (rc != 0)
        return rc;
    if (w->floats == NULL || w->rank != 4)
        return import_refuse(import, ERR_UNSUPPORTED,
                             "its weights must be a constant of four "
                             "dimensions");
    if (groups < 1 || w->elements < 1 || x->dimension[1] % groups != 0 ||
        w->dimension[0] % groups != 0 || x->dimension[1] / groups != w->dimension[1])
        return import_refuse(import, ERR_INVALID,
                             "its weights do not fit %lld channels in %lld groups",
                             (long long)x->dimension[1], (long long)groups);
    if (import_has_input(import, 2)) {
        const struct value *bias = import_input(import, 2);
        if (bias->floats == NULL || bias->elements != w->dimension[0])
            return import_refuse(import, ERR_UNSUPPORTED,
                                 "its bias must be a constant with one "
                                 "number per output channel");
        inputs[2] = import->input[2];
    }
    for (int i = 0; i < 2; i++) {
        if (w->dimension[2 + i] > LIMIT_WINDOW)
            return import_refuse(import, ERR_LIMIT, "its window is too large");
        window.kernel[i] = (int)w->dimension[2 + i];
    }
    rc = read_window(import, &x->dimension[2], &window, &dimension[2]);
    if (rc != 0)
        return rc;
    window.groups = (int)groups;
    dimension[0]  = x->dimension[0];
    dimension[1]  = w->dimension[0];
    rc            = import_emit(import, NODE_CONV, 4, inputs, 4, dimension, &node);
    if (rc < 0)
        return rc;
    node->window      = window;
    import->output[0] = rc;
    return 0;
}

static int lower_pool(struct importer *import, enum node_kind kind)
{
    const struct value *x = import_input(import, 0);
    struct window       window;
    int64_t             dimension[4];
    struct node        *node;
    int                 rc = need_picture(import);

    if (rc != 0)
        return rc;
    memset(&window, 0, sizeof window);
    rc = window_pair(import, "kernel_shape", 1, window.kernel);
    if (rc == 0)
        rc = read_window(import, &x->dimension[2], &window, &dimension[2]);
    if (rc != 0)
        return rc;
    for (int i = 0; i < 2; i++)
        if (window.pad_begin[i] >= window.kernel[i] * window.dilation[i] ||
            window.pad_end[i] >= window.kernel[i] * window.dilation[i])
            return import_refuse(import, ERR_INVALID, "has more padding than its window is large");
    window.count_padding = import_int(import, "count_include_pad", 0) != 0;
    dimension[0]         = x->dimension[0];
    dimension[1]         = x->dimension[1];
    rc                   = import_emit(import, kind, 1, import->input, 4, dimension, &node);
    if (rc < 0)
        return rc;
    node->window      = window;
    import->output[0] = rc;
    return 0;
}

int lower_max_pool(struct importer *import)
{
    return lower_pool(import, NODE_MAX_POOL);
}

int lower_average_pool(struct importer *import)
{
    return lower_pool(import, NODE_AVERAGE_POOL);
}

/* y = x * scale + shift for each channel: two nodes of constants shaped C×1×1. */
int lower_batch_normalization(struct importer *import)
{
    const struct value *x       = import_input(import, 0);
    float               epsilon = import_float(import, "epsilon", 1e-5F);
    int64_t             channels, shape[MODEL_MAX_DIMENSIONS] = {0};
    float              *scale, *shift;
    struct node        *node;
    int                 input[2], rc;

    if (x->rank < 2)
        return import_refuse(import, ERR_UNSUPPORTED, "its input has no channels");
    if (import_int(import, "training_mode", 0) != 0)
        return import_refuse(import, ERR_UNSUPPORTED, "is in training mode: export for inference");
    channels = x->dimension[1];
    for (int i = 1; i < 5; i++)
        if (import_input(import, i)->floats == NULL ||
            import_input(import, i)->elements != channels)
            return import_refuse(import, ERR_UNSUPPORTED,
                                 "its input %d must be a constant with one "
                                 "number per channel",
                                 i);
    scale = graph_memory_alloc(&import->graph->memory, (size_t)channels, sizeof *scale);
    shift = graph_memory_alloc(&import->graph->memory, (size_t)channels, sizeof *shift);
    if (scale == NULL || shift == NULL)
        return import_refuse(import, ERR_MEMORY, "the model needs too much memory");
    for (int64_t c = 0; c < channels; c++) {
        scale[c] = import_input(import, 1)->floats[c] /
                   sqrtf(import_input(import, 4)->floats[c] + epsilon);
        shift[c] = import_input(import, 2)->floats[c] -
                   import_input(import, 3)->floats[c] * scale[c];
    }
    shape[0] = channels;
    for (int i = 1; i < x->rank - 1; i++)
        shape[i] = 1;
    input[0] = import->input[0];
    for (int i = 0; i < 2; i++) {
        int64_t dimension[MODEL_MAX_DIMENSIONS];
        int     rank = import->graph->values[input[0]].rank;
        memcpy(dimension, import->graph->values[input[0]].dimension, sizeof dimension);
        input[1] = import_emit_floats(import, rank - 1, shape, i == 0 ? scale : shift);
        if (input[1] < 0)
            return input[1];
        rc = import_emit(import, NODE_BINARY, 2, input, rank, dimension, &node);
        if (rc < 0)
            return rc;
        node->binary = i == 0 ? BINARY_MULTIPLY : BINARY_ADD;
        input[0]     = rc;
    }
    import->output[0] = input[0];
    return 0;
}

/* Sizes and scales of all dimensions, or since opset 18 of some: where in their list each stands, or
 * -1; how many there are through *count. */
static int resize_places(struct importer *import, int place[4], int *count)
{
    const int64_t *axes = import_ints(import, "axes", count);

    for (int i = 0; i < 4; i++)
        place[i] = *count == 0 ? i : -1;
    for (int i = 0; i < *count; i++) {
        int axis = import_axis(import, axes[i], 4);
        if (axis < 0)
            return axis;
        if (place[axis] >= 0)
            return import_refuse(import, ERR_INVALID, "names an axis twice");
        place[axis] = i;
    }
    if (*count == 0)
        *count = 4;
    return 0;
}

static int resize_by_sizes(struct importer *import, const int place[4], int wanted,
                           int64_t *dimension, float scale[2])
{
    const int64_t *sizes;
    int            count, rc = import_input_ints(import, 3, &sizes, &count);

    if (rc != 0)
        return rc;
    if (count != wanted)
        return import_refuse(import, ERR_INVALID, "has %d sizes, wanted are %d", count, wanted);
    if (!import_text_is(import, "keep_aspect_ratio_policy", "stretch", "stretch"))
        return import_refuse(import, ERR_UNSUPPORTED,
                             "keeps the aspect ratio: export the model with a fixed picture size");
    for (int i = 0; i < 4; i++) {
        int64_t size = place[i] >= 0 ? sizes[place[i]] : dimension[i];
        if (i < 2 && size != dimension[i])
            return import_refuse(import, ERR_UNSUPPORTED, "resizes more than height and width");
        if (i >= 2)
            scale[i - 2] = (float)size / (float)dimension[i];
        dimension[i] = size;
    }
    return 0;
}

/* One factor of the list, which is an input, or in old files an attribute; 0: there is none. */
static float resize_factor(const struct importer *import, int place, int wanted)
{
    const Onnx__AttributeProto *attribute = import_attribute(import, "scales");
    int                         input = import->op->name[0] == 'U' || import->opset < 11 ? 1 : 2;

    if (import_has_input(import, input) && import_input(import, input)->floats != NULL &&
        import_input(import, input)->elements == wanted)
        return import_input(import, input)->floats[place];
    return attribute != NULL && attribute->n_floats == (size_t)wanted ? attribute->floats[place]
                                                                      : 0.0F;
}

/* Output size and scale from the scales or sizes input, whichever is there. */
static int resize_size(struct importer *import, int64_t *dimension, float scale[2])
{
    const struct value *x = import_input(import, 0);
    int                 place[4], count, rc = resize_places(import, place, &count);

    if (rc != 0)
        return rc;
    memcpy(dimension, x->dimension, 4 * sizeof *dimension);
    if (import_has_input(import, 3))
        return resize_by_sizes(import, place, count, dimension, scale);
    for (int i = 0; i < 4; i++) {
        float factor = place[i] >= 0 ? resize_factor(import, place[i], count) : 1.0F;
        if (factor == 0.0F)
            return import_refuse(import, ERR_UNSUPPORTED,
                                 "its scales must be %d constants: "
                                 "simplify the model (onnx-simplifier)",
                                 count);
        if (i < 2 && factor != 1.0F)
            return import_refuse(import, ERR_UNSUPPORTED, "resizes more than height and width");
        if (!(factor > 0.0F) || factor > (float)LIMIT_WINDOW)
            return import_refuse(import, ERR_INVALID, "its scale is impossible");
        dimension[i] = (int64_t)floorf((float)dimension[i] * factor);
        if (i >= 2)
            scale[i - 2] = factor;
    }
    return 0;
}

static int resize_mode(struct importer *import, struct node *node)
{
    bool        old      = import->op->name[0] == 'U' || import->opset < 11;
    const char *mode     = "coordinate_transformation_mode",
               *standard = old ? "asymmetric" : "half_pixel";

    if (import_text_is(import, "mode", "nearest", "nearest"))
        node->resize.kind = RESIZE_NEAREST;
    else if (import_text_is(import, "mode", "linear", "nearest"))
        node->resize.kind = RESIZE_LINEAR;
    else
        return import_refuse(import, ERR_UNSUPPORTED, "only nearest and linear are possible");
    if (import_text_is(import, mode, "asymmetric", standard))
        node->resize.coordinates = RESIZE_ASYMMETRIC;
    else if (import_text_is(import, mode, "align_corners", standard))
        node->resize.coordinates = RESIZE_ALIGN_CORNERS;
    else if (import_text_is(import, mode, "half_pixel", standard) ||
             import_text_is(import, mode, "pytorch_half_pixel", standard))
        node->resize.coordinates = RESIZE_HALF_PIXEL;
    else
        return import_refuse(import, ERR_UNSUPPORTED, "its %s is not known", mode);
    standard = old ? "floor" : "round_prefer_floor";
    if (import_text_is(import, "nearest_mode", "floor", standard))
        node->resize.rounding = RESIZE_FLOOR;
    else if (import_text_is(import, "nearest_mode", "ceil", standard))
        node->resize.rounding = RESIZE_CEIL;
    else if (import_text_is(import, "nearest_mode", "round_prefer_ceil", standard))
        node->resize.rounding = RESIZE_PREFER_CEIL;
    else if (import_text_is(import, "nearest_mode", "round_prefer_floor", standard))
        node->resize.rounding = RESIZE_PREFER_FLOOR;
    else
        return import_refuse(import, ERR_UNSUPPORTED, "its nearest_mode is not known");
    if (import_int(import, "antialias", 0) != 0)
        return import_refuse(import, ERR_UNSUPPORTED, "antialias is not possible");
    return 0;
}

int lower_resize(struct importer *import)
{
    int64_t      dimension[4];
    float        scale[2];
    struct node *node;
    int          value, rc = need_picture(import);

    if (rc == 0)
        rc = resize_size(import, dimension, scale);
    if (rc != 0)
        return rc;
    value = import_emit(import, NODE_RESIZE, 1, import->input, 4, dimension, &node);
    if (value < 0)
        return value;
    node->resize.scale[0] = scale[0];
    node->resize.scale[1] = scale[1];
    import->output[0]     = value;
    return resize_mode(import, node);
}
