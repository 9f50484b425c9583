/* What the training asks of the engine: pictures as tensors on standard input, the numbers of all
 * outputs on standard output, one picture after the other, until the input ends.
 *
 *     training_engine MODEL [auto|f32|f16|bf16|int8]
 *
 * or which size of input the server would take for pictures: width and height of each, in words, on
 * standard input, the size's on standard output.
 *
 *     training_engine MODEL shape */
#include "gpu/backend.h"
#include "gpu/input_shape.h"
#include "gpu/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t numbers_of(const struct model_tensor *tensor)
{
    size_t count = 1;

    for (int k = 0; k < tensor->dimension_count; k++)
        count *= (size_t)tensor->dimension[k];
    return count;
}

static int answer_all(struct runner *runner, const struct model_info *info, struct why *why)
{
    size_t count = numbers_of(&info->input);
    float *input = calloc(count, sizeof *input);
    int    rc    = 0;

    if (input == NULL)
        return why_set(why, -1, "no memory for a picture");
    while (rc == 0 && fread(input, sizeof *input, count, stdin) == count) {
        rc = runner->ops->run(runner, input, 1, why);
        for (int i = 0; i < info->output_count; i++)
            if (rc == 0)
                fwrite(runner->ops->output(runner, i), sizeof *input, numbers_of(&info->output[i]),
                       stdout);
        if (fflush(stdout) != 0)
            break; /* nobody reads any more */
    }
    free(input);
    return rc;
}

static int answer_shapes(const struct model_info *info)
{
    struct input_shape own = {(int)info->input.dimension[3], (int)info->input.dimension[2]};
    int                width_px, height_px;

    while (scanf("%6d %6d", &width_px, &height_px) == 2 && width_px > 0 && height_px > 0) {
        struct input_shape shape = info->size_is_open ? input_shape_for(own, width_px, height_px)
                                                      : own;

        printf("%d %d\n", shape.width_px, shape.height_px);
        if (fflush(stdout) != 0)
            break; /* nobody reads any more */
    }
    return 0;
}

int main(int count, char **words)
{
    bool                      shape    = count == 3 && strcmp(words[2], "shape") == 0;
    struct runner_settings    settings = {.precision = PRECISION_F32};
    const struct backend_ops *backend;
    struct model             *model  = NULL;
    struct runner            *runner = NULL;
    struct why                why    = {""};
    int                       rc     = -1;

    if (count < 2 || count > 3 ||
        (count == 3 && !shape && !precision_find(words[2], &settings.precision))) {
        fputs("usage: training_engine MODEL [auto|f32|f16|bf16|int8|shape]\n", stderr);
        return 2;
    }
    backend = backend_find("cpu", &why);
    if (backend != NULL && model_load(&model, words[1], &why) == 0 && shape)
        rc = answer_shapes(model_info(model));
    else if (model != NULL && backend->open(&runner, model, &settings, &why) == 0)
        rc = answer_all(runner, model_info(model), &why);
    if (rc != 0)
        fprintf(stderr, "%s\n", why.text);
    if (runner != NULL)
        backend->close(&runner);
    model_close(&model);
    return rc == 0 ? 0 : 1;
}
