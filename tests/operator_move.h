/* tests/operator_move.h: what moves numbers without changing them, by plain loops: rows of
 * tests/unit/operator_test.c. */
#ifndef SIGHTLINE_TESTS_OPERATOR_MOVE_H
#define SIGHTLINE_TESTS_OPERATOR_MOVE_H

#include "tests/operator_math.h"

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
    write_slice(t, t->from, "a", 0, cut, 1);
    write_slice(t, t->from, "b", cut, INT64_MAX, 1);
    onnx_node(&t->onnx, "Relu", "a", "ra", "");
    onnx_node(&t->onnx, "Concat", "b,ra", "y", "axis:i=1");
    memcpy(t->y.at, t->x.at + cut * pixels, (size_t)((channels - cut) * pixels) * sizeof(float));
    for (int64_t i = 0; i < cut * pixels; i++)
        t->y.at[(channels - cut) * pixels + i] = act_relu(t->x.at[i]);
}

/* Channels from the middle of a block to the one before the last lane of another: the lanes behind
 * them must not be taken for channels that follow. */
static void case_slice_lanes(struct trial *t)
{
    int64_t from = pick(t, 1, 15), channels = pick(t, 2, 4) * 16 - 1, pixels;

    set_input(t, 4, (int64_t[]){1, channels, pick(t, 1, 9), pick(t, 1, 9)});
    pixels = t->x.size[2] * t->x.size[3];
    write_slice(t, t->from, "a", from, INT64_MAX, 1);
    onnx_node(&t->onnx, "Relu", "a", "y", "");
    t->y = array_of(4, (int64_t[]){1, channels - from, t->x.size[2], t->x.size[3]});
    for (int64_t i = 0; i < elements(&t->y); i++)
        t->y.at[i] = act_relu(t->x.at[from * pixels + i]);
}

/* The same before a convolution, which adds up all lanes: those behind the last channel must be
 * numbers. */
static void case_slice_conv(struct trial *t)
{
    struct conv  c    = {.groups = 1, .kernel = {1, 1}, .stride = {1, 1}, .dilation = {1, 1}};
    int64_t      from = pick(t, 1, 15), channels = pick(t, 2, 40), end = from + channels, pixels;
    struct array part, w;

    set_input(t, 4, (int64_t[]){1, end + pick(t, 0, 9), pick(t, 1, 9), pick(t, 1, 9)});
    pixels = t->x.size[2] * t->x.size[3];
    write_slice(t, t->from, "a", from, end, 1);
    w = random_array(t, 4, (int64_t[]){pick(t, 9, 40), channels, 1, 1});
    constant(t, "w", &w);
    onnx_node(&t->onnx, "Conv", "a,w", "y", "");
    part         = t->x;
    part.size[1] = channels;
    part.at += from * pixels;
    t->y = conv_all(&part, &w, NULL, &c, t);
    free(w.at);
}

/* What heads do: two levels, each as channels × pixels, are joined, parted by channels, and joined the
 * other way round. The first level may be read once more, as it was joined or anew. */
static void case_levels(struct trial *t)
{
    int64_t channels, cut, pixels, columns, small, row, again = pick(t, 0, 2), at = 0;

    picture(t, 40, 9);
    channels = t->x.size[1];
    columns  = t->x.size[3];
    pixels   = t->x.size[2] * columns;
    small    = (t->x.size[2] + 1) / 2 * ((columns + 1) / 2);
    row      = pixels + small;
    cut      = pick(t, 0, 1) == 1 && channels > 16 ? 16 : (channels + 1) / 2;
    onnx_ints(&t->onnx, "planes", 3, (int64_t[]){1, channels, -1});
    onnx_ints(&t->onnx, "line", 3, (int64_t[]){1, 1, -1});
    onnx_ints(&t->onnx, "parts", 2, (int64_t[]){cut, channels - cut});
    onnx_node(&t->onnx, "Relu", t->from[1] == 'b' ? "xb" : "x", "a", "");
    onnx_node(&t->onnx, "MaxPool", "a", "b", "kernel_shape:is=1,1 strides:is=2,2");
    onnx_node(&t->onnx, "Reshape", "a,planes", "fa", "");
    onnx_node(&t->onnx, "Reshape", "b,planes", "fb", "");
    onnx_node(&t->onnx, "Concat", "fa,fb", "j", "axis:i=2");
    if (cut < channels) {
        onnx_node(&t->onnx, "Split", "j,parts", "top,bottom", "axis:i=1");
        onnx_node(&t->onnx, "Neg", "top", "minus", "");
        onnx_node(&t->onnx, "Concat", "bottom,minus", "turned", "axis:i=1");
    } else {
        onnx_node(&t->onnx, "Neg", "j", "turned", "");
    }
    onnx_node(&t->onnx, "Reshape", "turned,line", again == 0 ? "y" : "numbers", "");
    if (again > 0) {
        onnx_node(&t->onnx, "Reshape", again == 1 ? "fa,line" : "a,line", "more", "");
        onnx_node(&t->onnx, "Concat", "numbers,more", "y", "axis:i=2");
    }
    t->y = array_of(3, (int64_t[]){1, 1, channels * row + (again > 0 ? channels * pixels : 0)});
    for (int64_t i = 0; i < channels; i++) {
        int64_t      channel = (i + cut) % channels;
        const float *x       = t->x.at + channel * pixels;
        float        sign    = channel < cut ? -1.0F : 1.0F;
        for (int64_t p = 0; p < pixels; p++)
            t->y.at[at++] = sign * act_relu(x[p]);
        for (int64_t oy = 0; oy < t->x.size[2]; oy += 2)
            for (int64_t ox = 0; ox < columns; ox += 2)
                t->y.at[at++] = sign * act_relu(x[oy * columns + ox]);
    }
    for (int64_t i = 0; again > 0 && i < channels * pixels; i++)
        t->y.at[at++] = act_relu(t->x.at[i]);
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
    /* halves: whoever does not say so has to name their number since opset 18 */
    onnx_node(&t->onnx, "Split", "f", keep == 0 ? "y,other" : "other,y",
              t->onnx.opset < 18 ? "axis:i=1" : "axis:i=1 num_outputs:i=2");
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
    index  = pick(t, t->onnx.opset < 11 ? 0 : -t->x.size[1], t->x.size[1] - 1);
    pixels = t->x.size[2] * t->x.size[3];
    onnx_tensor(&t->onnx, "index", 7, 0, NULL, &index, sizeof index);
    node(t, "Gather", "index", "axis:i=1");
    t->y = array_of(3, (int64_t[]){1, t->x.size[2], t->x.size[3]});
    if (index < 0)
        index += t->x.size[1];
    memcpy(t->y.at, t->x.at + index * pixels, (size_t)pixels * sizeof(float));
}

/* What exporters write for x.reshape(1, c, -1).transpose(1, 2): the arithmetic on shapes must
 * vanish. */
static void case_shape_arithmetic(struct trial *t)
{
    int64_t zero = 0, one = 1;

    picture(t, 40, 9);
    onnx_tensor(&t->onnx, "i0", 7, 0, NULL, &zero, sizeof zero);
    onnx_tensor(&t->onnx, "i1", 7, 0, NULL, &one, sizeof one);
    onnx_ints(&t->onnx, "rest", 1, (int64_t[]){-1});
    onnx_node(&t->onnx, "Shape", t->from, "s", "");
    onnx_node(&t->onnx, "Gather", "s,i0", "n", "axis:i=0");
    onnx_node(&t->onnx, "Gather", "s,i1", "c", "axis:i=0");
    onnx_node(&t->onnx, "Cast", "c", "cf", "to:i=1");
    onnx_node(&t->onnx, "Floor", "cf", "cr", "");
    onnx_node(&t->onnx, "Cast", "cr", "ci", "to:i=7");
    onnx_node(&t->onnx, "Mul", "n,ci", "nc", "");
    write_squeeze(t, "Unsqueeze", "n", "nu", 0);
    write_squeeze(t, "Unsqueeze", "nc", "cu", 0);
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
    onnx_node(&t->onnx, "Dropout", t->from, "a", "");
    write_squeeze(t, "Squeeze", "a", "b", 0);
    onnx_node(&t->onnx, "Identity", "b", "c", "");
    write_squeeze(t, "Unsqueeze", "c", "d", 0);
    onnx_node(&t->onnx, "Flatten", "d", "y", "axis:i=1");
    t->y = array_of(2, (int64_t[]){1, count});
    memcpy(t->y.at, t->x.at, (size_t)count * sizeof(float));
}

#endif
