/* tests/bright_network.h: a detector that finds what is bright, written as a file of Sightline's own
 * family with its size open or fixed. */
#ifndef SIGHTLINE_TESTS_BRIGHT_NETWORK_H
#define SIGHTLINE_TESTS_BRIGHT_NETWORK_H

#include <stdio.h>
#include <stdlib.h>

#include "tests/onnx_writer.h"

#define OWN_WIDTH_PX  512
#define OWN_HEIGHT_PX 288

/* Every cell: sides of one stride, and a person where it is bright; never a car. */
static void add_stage(struct onnx_writer *onnx, int stride, float person_bias)
{
    const int64_t size[] = {6, 3, stride, stride}, six = 6;
    const float   bias[]  = {0, 0, 0, 0, person_bias, -1000};
    size_t        count   = onnx_elements(4, size);
    float        *weights = calloc(count, sizeof *weights);
    char          name[3][16], inputs[64], attributes[64];

    if (weights == NULL)
        abort();
    for (size_t i = count / 6 * 4; i < count / 6 * 5; i++)
        weights[i] = 0.6F / (float)count; /* a tenth of the mean */
    snprintf(name[0], sizeof name[0], "weights%d", stride);
    snprintf(name[1], sizeof name[1], "bias%d", stride);
    snprintf(name[2], sizeof name[2], "cells%d", stride);
    snprintf(inputs, sizeof inputs, "picture,%s,%s", name[0], name[1]);
    snprintf(attributes, sizeof attributes, "strides:is=%d,%d", stride, stride);
    onnx_floats(onnx, name[0], 4, size, weights);
    onnx_floats(onnx, name[1], 1, &six, bias);
    onnx_node(onnx, "Conv", inputs, name[2], attributes);
    onnx_output(onnx, name[2]);
    free(weights);
}

static void write_model(const char *path, bool open, float person_bias)
{
    const int64_t      any[] = {1, 3, -1, -1}, fixed[] = {1, 3, OWN_HEIGHT_PX, OWN_WIDTH_PX};
    struct onnx_writer onnx = {.opset = 13};
    FILE              *file = fopen(path, "wb");
    size_t             count;

    onnx_input(&onnx, "picture", 4, open ? any : fixed);
    add_stage(&onnx, 8, person_bias);
    add_stage(&onnx, 16, -1000);
    add_stage(&onnx, 32, -1000);
    onnx_entry(&onnx.file, 14, "names", "person,car");
    onnx_entry(&onnx.file, 14, "imgsz", "[288, 512]");
    const uint8_t *bytes = onnx_finish(&onnx, &count);
    if (file == NULL || fwrite(bytes, 1, count, file) != count || fclose(file) != 0)
        abort();
    onnx_free(&onnx);
}

#endif
