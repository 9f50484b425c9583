// links: gpu
// libFuzzer: any text as the calibration of a small network, which then runs in 8 bits; and any
// bytes as the file that a calibration is attached to.
#include "gpu/calibration.h"
#include "gpu/cpu/backend_cpu.h"
#include "tests/onnx_writer.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHANNELS 6
#define SIDE     9

/* A stem, a window for each channel, a join, a residual: every kind of 8-bit step but a shuffle. */
static struct model *small_model(void)
{
    static struct model *model;
    struct onnx_writer   onnx          = {.opset = 13};
    static float         weights[1024] = {0};
    struct why           why;
    const uint8_t       *bytes;
    size_t               count;

    if (model != NULL)
        return model;
    for (int i = 0; i < 1024; i++)
        weights[i] = (float)(i * 37 % 21 - 10) / 10;
    onnx_input(&onnx, "x", 4, (int64_t[]){1, 3, SIDE, SIDE});
    onnx_floats(&onnx, "w1", 4, (int64_t[]){CHANNELS, 3, 3, 3}, weights);
    onnx_floats(&onnx, "w2", 4, (int64_t[]){CHANNELS, 1, 3, 3}, weights);
    onnx_floats(&onnx, "w3", 4, (int64_t[]){CHANNELS, 2 * CHANNELS, 1, 1}, weights);
    onnx_node(&onnx, "Conv", "x,w1", "a", "pads:is=1,1,1,1");
    onnx_node(&onnx, "Sigmoid", "a", "as", "");
    onnx_node(&onnx, "Mul", "a,as", "a2", "");
    onnx_node(&onnx, "Conv", "a2,w2", "b", "pads:is=1,1,1,1 group:i=6");
    onnx_node(&onnx, "Relu", "b", "b2", "");
    onnx_node(&onnx, "Concat", "a2,b2", "c", "axis:i=1");
    onnx_node(&onnx, "Conv", "c,w3", "d", "");
    onnx_node(&onnx, "Add", "d,a2", "e", "");
    onnx_node(&onnx, "Conv", "e,w2", "y", "pads:is=1,1,1,1 group:i=6");
    onnx_output(&onnx, "y");
    bytes = onnx_finish(&onnx, &count);
    if (model_load_bytes(&model, bytes, count, "small", &why) != 0)
        abort();
    onnx_free(&onnx);
    return model;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const float input[3 * SIDE * SIDE] = {1, 2, 3};
    struct calibration calibration;
    struct why         why;
    struct runner     *runner;
    char              *text = malloc(size + 1);
    size_t             count;
    uint8_t           *copy = calibration_attach(data, size, "1 0 0 0\n", &count, &why);

    if (text == NULL)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    if (calibration_parse(&calibration, text, &why) == 0) {
        if (backend_cpu_open_calibrated(&runner, small_model(), NULL, &calibration, &why) == 0) {
            BACKEND_CPU.run(runner, input, 1, &why);
            BACKEND_CPU.close(&runner);
        }
        char *again = calibration_text(&calibration);
        free(again);
    }
    calibration_free(&calibration);
    free(text);
    free(copy);
    return 0;
}
