/* tests/head_network.h: a small network of random weights with the heads of Sightline's own. */
#ifndef SIGHTLINE_TESTS_HEAD_NETWORK_H
#define SIGHTLINE_TESTS_HEAD_NETWORK_H

#include <stdio.h>
#include <stdlib.h>

#include "gpu/model.h"
#include "tests/onnx_writer.h"
#include "tests/random_shapes.h"
#include "tests/tap.h"

#define WIDTH_PX  96
#define HEIGHT_PX 64
#define CHANNELS  16
#define CLASSES   80

static void add_conv(struct onnx_writer *onnx, const char *from, const char *to, int out, int in,
                     int kernel, float scale)
{
    float *w = room_for((int64_t)out * in * kernel * kernel, sizeof *w), *b = room_for(out, 4);
    char   weights[32], bias[32], inputs[96], attributes[96];

    for (int i = 0; i < out * in * kernel * kernel; i++)
        w[i] = (float)pick(-1000, 1000) * 1e-3F * scale;
    for (int i = 0; i < out; i++)
        b[i] = (float)pick(-1000, 1000) * 1e-3F;
    snprintf(weights, sizeof weights, "%s_w", to);
    snprintf(bias, sizeof bias, "%s_b", to);
    snprintf(inputs, sizeof inputs, "%s,%s,%s", from, weights, bias);
    snprintf(attributes, sizeof attributes, "kernel_shape:is=%d,%d strides:is=%d,%d", kernel,
             kernel, kernel, kernel);
    onnx_floats(onnx, weights, 4, (int64_t[]){out, in, kernel, kernel}, w);
    onnx_floats(onnx, bias, 1, (int64_t[]){out}, b);
    onnx_node(onnx, "Conv", inputs, to, attributes);
    free(w);
    free(b);
}

/* Never NULL. */
static struct model *head_network(void)
{
    struct model      *model = NULL;
    struct onnx_writer onnx  = {.opset = 13};
    struct why         why   = {""};
    const uint8_t     *bytes;
    size_t             count;

    onnx_input(&onnx, "x", 4, (int64_t[]){1, 3, HEIGHT_PX, WIDTH_PX});
    add_conv(&onnx, "x", "a", CHANNELS, 3, 8, 0.001F);
    onnx_node(&onnx, "Relu", "a", "ra", "");
    add_conv(&onnx, "ra", "cells8", 4 + CLASSES, CHANNELS, 1, 0.5F);
    add_conv(&onnx, "ra", "b", CHANNELS, CHANNELS, 2, 0.2F);
    onnx_node(&onnx, "Relu", "b", "rb", "");
    add_conv(&onnx, "rb", "cells16", 4 + CLASSES, CHANNELS, 1, 0.5F);
    add_conv(&onnx, "rb", "c", CHANNELS, CHANNELS, 2, 0.2F);
    onnx_node(&onnx, "Relu", "c", "rc", "");
    add_conv(&onnx, "rc", "cells32", 4 + CLASSES, CHANNELS, 1, 0.5F);
    onnx_output(&onnx, "cells8");
    onnx_output(&onnx, "cells16");
    onnx_output(&onnx, "cells32");
    bytes = onnx_finish(&onnx, &count);
    if (model_load_bytes(&model, bytes, count, "small", &why) != 0) {
        diag("%s", why.text);
        abort();
    }
    onnx_free(&onnx);
    return model;
}

#endif
