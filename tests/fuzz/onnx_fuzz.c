// links: gpu
// libFuzzer: any bytes as a model; what loads and is small is also planned and run.
#include "gpu/backend.h"
#include "gpu/model.h"

#include <stdlib.h>

#define MULTIPLY_ADDS_MAX 10000000
#define ELEMENTS_MAX      1000000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct why     why;
    struct model  *model;
    struct runner *runner;
    float         *input;
    int64_t        elements = 1;

    if (model_load_bytes(&model, data, size, "fuzz", &why) != 0)
        return 0;
    for (int i = 0; i < model_info(model)->input.dimension_count; i++)
        elements *= model_info(model)->input.dimension[i];
    if (elements <= ELEMENTS_MAX && model_info(model)->multiply_adds <= MULTIPLY_ADDS_MAX &&
        (input = calloc((size_t)elements, sizeof *input)) != NULL) {
        if (BACKENDS[0]->open(&runner, model, &(struct runner_settings){0}, &why) == 0) {
            BACKENDS[0]->run(runner, input, 1, &why);
            BACKENDS[0]->close(&runner);
        }
        free(input);
    }
    model_close(&model);
    return 0;
}
