// links: gpu
// What model_load() makes of good files, and what it says about bad ones.
#include "gpu/model.h"

#include "config/err.h"
#include "gpu/backend.h"
#include "gpu/graph.h"
#include "tests/onnx_writer.h"
#include "tests/tap.h"

static const char *model_path(const char *name)
{
    static char path[700];

    snprintf(path, sizeof path, "%s/models/%s", material(), name);
    return path;
}

static int live_nodes(const struct model *model)
{
    const struct graph *graph = model_graph(model);
    int                 live  = 0;

    for (int i = 0; i < graph->node_count; i++)
        live += graph->nodes[i].kind != NODE_REMOVED;
    return live;
}

static void test_real_models(void)
{
    struct why               why;
    struct model            *model;
    const struct model_info *info;

    is_int(model_load(&model, model_path("yolox_nano_coco_416.onnx"), &why), 0, "YOLOX-nano loads");
    info = model_info(model);
    is_text(info->input.name, "images", "its input has its name");
    is_int(info->input.dimension[2], 416, "and its height");
    is_int(info->output_count, 1, "one output");
    is_int(info->output[0].dimension[1], 3549, "of 3549 rows");
    is_int(info->output[0].dimension[2], 85, "of 85 numbers");
    is_int(info->multiply_adds / 1000000, 522, "the published 0.5 G multiply-adds");
    is_int(info->parameters / 1000, 904, "the published 0.9 M parameters");
    is_int(strlen(info->digest), 64, "it has a digest");
    ok(live_nodes(model) < 140, "370 nodes of the file have become %d", live_nodes(model));
    model_close(&model);
    ok(model == NULL, "close forgets it");

    is_int(model_load(&model, model_path("FastestDet.onnx"), &why), 0, "FastestDet loads");
    is_int(model_info(model)->output[0].dimension[1], 85, "its output has 85 channels");
    model_close(&model);
    is_int(model_load(&model, model_path("nanodet_m.onnx"), &why), 0, "NanoDet-m loads");
    is_int(model_info(model)->output_count, 6, "it has six outputs");
    model_close(&model);
    is_int(model_load(&model, model_path("osnet_x0_25_msmt17.onnx"), &why), ERR_UNSUPPORTED,
           "a model whose weights lie in another file is refused");
    ok(strstr(why.text, "lie in another file") != NULL, "and it is said why: %s", why.text);
}

static void test_files(void)
{
    struct why    why;
    struct model *model;

    is_int(model_load(&model, "/nonexistent/model.onnx", &why), ERR_NOT_FOUND, "no such file");
    is_int(model_load(&model, "/", &why), ERR_INVALID, "a folder is no model");
    is_int(model_load_bytes(&model, (const uint8_t *)"hello", 5, "x", &why), ERR_INVALID,
           "a text is no model");
    is_int(model_load_bytes(&model, (const uint8_t *)"", 0, "x", &why), ERR_INVALID,
           "nothing is no model");
    ok(model == NULL, "a refused model is NULL");
}

static const int64_t PICTURE[] = {1, 2, 8, 8};

/* Loads what was written and checks code and message. */
static void refused(struct onnx_writer *onnx, int code, const char *part, const char *what)
{
    struct why     why = {""};
    struct model  *model;
    size_t         count;
    const uint8_t *bytes = onnx_finish(onnx, &count);
    int            rc    = model_load_bytes(&model, bytes, count, "test", &why);

    ok(rc == code && strstr(why.text, part) != NULL, "%s: %s", what, why.text);
    if (rc != code)
        diag("got %d, expected %d", rc, code);
    model_close(&model);
    onnx_free(onnx);
}

static struct onnx_writer start(int rank, const int64_t *dimension)
{
    struct onnx_writer onnx = {.opset = 13};

    onnx_input(&onnx, "x", rank, dimension);
    onnx_output(&onnx, "y");
    return onnx;
}

static void test_bad_graphs(void)
{
    struct onnx_writer onnx = start(4, PICTURE);

    onnx_node(&onnx, "Frobnicate", "x", "y", "");
    refused(&onnx, ERR_UNSUPPORTED, "Frobnicate_0", "an unknown operator is named with its node");

    onnx = start(4, PICTURE);
    onnx_node(&onnx, "Add", "x,b", "a", "");
    onnx_node(&onnx, "Relu", "a", "b", "");
    onnx_node(&onnx, "Add", "a,b", "y", "");
    refused(&onnx, ERR_INVALID, "depends on itself", "a cycle");

    onnx = start(4, PICTURE);
    onnx_node(&onnx, "Relu", "y", "y", "");
    refused(&onnx, ERR_INVALID, "depends on itself", "a node that feeds itself");

    onnx = start(4, PICTURE);
    onnx_node(&onnx, "Relu", "x", "y", "");
    onnx_node(&onnx, "Sigmoid", "x", "y", "");
    refused(&onnx, ERR_INVALID, "two things", "a name given twice");

    onnx = start(4, PICTURE);
    onnx_node(&onnx, "Relu", "z", "y", "");
    refused(&onnx, ERR_INVALID, "comes from nowhere", "an input that nobody makes");

    onnx = start(4, PICTURE);
    refused(&onnx, ERR_INVALID, "comes from nowhere", "an output that nobody makes");

    onnx = start(3, (int64_t[]){1, 3, -1});
    onnx_node(&onnx, "Relu", "x", "y", "");
    refused(&onnx, ERR_UNSUPPORTED, "no fixed size", "an open size that is none of a picture");

    onnx = start(4, (int64_t[]){8, 3, 8, 8});
    onnx_node(&onnx, "Relu", "x", "y", "");
    refused(&onnx, ERR_UNSUPPORTED, "batch", "a fixed batch of 8");

    onnx = start(4, (int64_t[]){1, 1 << 20, 1 << 20, 1 << 20});
    onnx_node(&onnx, "Relu", "x", "y", "");
    refused(&onnx, ERR_LIMIT, "too large", "an input of 2^60 numbers");

    onnx = start(4, PICTURE);
    onnx_input(&onnx, "x2", 4, PICTURE);
    onnx_node(&onnx, "Add", "x,x2", "y", "");
    refused(&onnx, ERR_UNSUPPORTED, "two inputs", "two inputs");
}

static void test_bad_nodes(void)
{
    const float        weights[36] = {0};
    struct onnx_writer onnx        = start(4, PICTURE);

    onnx_node(&onnx, "Upsample", "x", "y", "mode:s=nearest");
    refused(&onnx, ERR_UNSUPPORTED, "Upsample_0", "a resize without scales");

    onnx = start(4, PICTURE);
    onnx_floats(&onnx, "scales", 1, (int64_t[]){4}, (float[]){1, 1, 4000, 4000});
    onnx_node(&onnx, "Upsample", "x,scales", "a", "");
    onnx_node(&onnx, "Upsample", "a,scales", "y", "");
    refused(&onnx, ERR_LIMIT, "too large", "a resize to 2^28 pixels and more");

    onnx = start(4, PICTURE);
    onnx_floats(&onnx, "w", 4, (int64_t[]){2, 3, 2, 3}, weights);
    onnx_node(&onnx, "Conv", "x,w", "y", "");
    refused(&onnx, ERR_INVALID, "do not fit", "weights for another number of channels");

    onnx = start(4, PICTURE);
    onnx_floats(&onnx, "w", 4, (int64_t[]){2, 2, 3, 3}, weights);
    onnx_node(&onnx, "Conv", "x,w", "y", "strides:is=0,1");
    refused(&onnx, ERR_INVALID, "strides", "a stride of 0");

    onnx = start(4, PICTURE);
    onnx_floats(&onnx, "w", 4, (int64_t[]){2, 2, 3, 3}, weights);
    onnx_node(&onnx, "Conv", "x,w", "y", "dilations:is=4096,4096");
    refused(&onnx, ERR_INVALID, "larger than its input", "a window larger than the picture");

    onnx = start(4, PICTURE);
    onnx_ints(&onnx, "shape", 2, (int64_t[]){-1, 100});
    onnx_node(&onnx, "Reshape", "x,shape", "y", "");
    refused(&onnx, ERR_INVALID, "Reshape_0", "a shape that does not fit");

    onnx = start(4, PICTURE);
    onnx_ints(&onnx, "shape", 3, (int64_t[]){INT64_MAX, INT64_MAX, 4});
    onnx_node(&onnx, "Reshape", "x,shape", "y", "");
    refused(&onnx, ERR_INVALID, "impossible", "a shape that overflows");

    onnx = start(4, PICTURE);
    onnx_ints(&onnx, "sizes", 4, (int64_t[]){1, 2, 4, 4});
    onnx_node(&onnx, "Resize", "x,,,sizes", "y", "mode:s=linear antialias:i=1");
    onnx.opset = 18;
    refused(&onnx, ERR_UNSUPPORTED, "antialias", "a resize of another kind than any here");

    onnx = start(4, PICTURE);
    onnx_ints(&onnx, "sizes", 2, (int64_t[]){4, 6});
    onnx_node(&onnx, "Resize", "x,,,sizes", "y",
              "axes:is=2,3 keep_aspect_ratio_policy:s=not_larger");
    onnx.opset = 18;
    refused(&onnx, ERR_UNSUPPORTED, "aspect ratio", "a resize to a size that is not said");

    onnx = start(4, PICTURE);
    onnx_ints(&onnx, "sizes", 2, (int64_t[]){4, 6});
    onnx_node(&onnx, "Resize", "x,,,sizes", "y", "axes:is=2,2");
    onnx.opset = 18;
    refused(&onnx, ERR_INVALID, "twice", "a resize of one axis twice");

    onnx = start(4, PICTURE);
    onnx_ints(&onnx, "sizes", 4, (int64_t[]){1, 2, 4, 4});
    onnx_node(&onnx, "Resize", "x,,,sizes", "y", "nearest_mode:s=sideways");
    refused(&onnx, ERR_UNSUPPORTED, "nearest_mode", "a rounding that nobody knows");

    onnx = start(4, (int64_t[]){1, 2, 8, 2});
    onnx_node(&onnx, "GridSample", "x,x", "y", "padding_mode:s=mirror");
    refused(&onnx, ERR_UNSUPPORTED, "padding_mode", "an edge that nobody knows");

    onnx = start(4, PICTURE);
    onnx_node(&onnx, "DepthToSpace", "x", "y", "blocksize:i=1 mode:s=SIDEWAYS");
    refused(&onnx, ERR_UNSUPPORTED, "mode", "an order of pixels that nobody knows");

    onnx       = start(4, PICTURE);
    onnx.opset = 6;
    onnx_node(&onnx, "Relu", "x", "y", "");
    refused(&onnx, ERR_UNSUPPORTED, "opset 6", "a file from before shapes broadcast by themselves");

    onnx = start(4, PICTURE);
    onnx_node(&onnx, "NonMaxSuppression", "x,x", "y", "");
    refused(&onnx, ERR_UNSUPPORTED, "export the model without NMS", "boxes cut inside the model");

    onnx = start(4, PICTURE);
    onnx_node(&onnx, "NonZero", "x", "y", "");
    refused(&onnx, ERR_UNSUPPORTED, "NonZero_0", "as many numbers as the picture has");

    onnx = start(4, PICTURE);
    onnx_node(&onnx, "Frobnicate", "x", "y", "");
    refused(&onnx, ERR_UNSUPPORTED, "ask for the operator", "an operator that nobody knows");

    onnx = start(4, PICTURE);
    onnx_tensor(&onnx, "w", 1, 1, (int64_t[]){INT64_MAX}, weights, sizeof weights);
    onnx_node(&onnx, "Add", "x,w", "y", "");
    refused(&onnx, ERR_INVALID, "impossible shape", "a constant of 2^63 numbers");

    onnx = start(4, PICTURE);
    onnx_tensor(&onnx, "w", 1, 1, (int64_t[]){8}, weights, 28);
    onnx_node(&onnx, "Add", "x,w", "y", "");
    refused(&onnx, ERR_INVALID, "does not hold", "a constant with a number missing");
}

static uint8_t *read_all(const char *path, size_t *count)
{
    FILE    *file = fopen(path, "rb");
    uint8_t *bytes;

    if (file == NULL)
        return NULL;
    fseek(file, 0, SEEK_END);
    *count = (size_t)ftell(file);
    rewind(file);
    bytes = malloc(*count);
    if (bytes != NULL && fread(bytes, 1, *count, file) != *count)
        *count = 0;
    fclose(file);
    return bytes;
}

static uint64_t random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* 1 when the bytes are a model that runs, 0 when they are refused with words. */
static int try_bytes(const uint8_t *bytes, size_t count)
{
    struct why     why = {""};
    struct model  *model;
    struct runner *runner;
    float         *input;
    int64_t        elements = 1;
    int            ran      = 0;

    if (model_load_bytes(&model, bytes, count, "mutant", &why) != 0)
        return why.text[0] != '\0' ? 0 : -1;
    for (int i = 0; i < model_info(model)->input.dimension_count; i++)
        elements *= model_info(model)->input.dimension[i];
    input = calloc((size_t)elements, sizeof *input);
    if (input != NULL && model_info(model)->multiply_adds < 1000000000 && elements < 1 << 24 &&
        backend_find("cpu", NULL)->open(&runner, model, &(struct runner_settings){0}, &why) == 0) {
        ran = backend_find("cpu", NULL)->run(runner, input, 1, &why) == 0;
        backend_find("cpu", NULL)->close(&runner);
    }
    free(input);
    model_close(&model);
    return ran;
}

static void test_mutants(void)
{
    size_t   count, spots;
    uint8_t *bytes    = read_all(model_path("FastestDet.onnx"), &count), *mutant;
    uint64_t state    = 88172645463325252;
    int      refusals = 0, runs = 0, silent = 0;

    mutant = malloc(count);
    if (bytes == NULL || mutant == NULL)
        abort();
    for (int i = 0; i < 150; i++) {
        int rc = try_bytes(bytes, count * (size_t)i / 150);
        refusals += rc == 0;
        silent += rc < 0;
    }
    is_int(refusals, 150, "150 files that are cut off are refused");
    refusals = 0;
    for (int i = 0; i < 250; i++) {
        int rc;
        memcpy(mutant, bytes, count);
        spots = 1 + random_next(&state) % 16;
        for (size_t k = 0; k < spots; k++)
            mutant[random_next(&state) % count] = (uint8_t)random_next(&state);
        /* Most of the file is weights; these hit what holds them together. */
        for (size_t k = 0; i % 2 == 1 && k < spots; k++)
            mutant[random_next(&state) % 8000] = (uint8_t)random_next(&state);
        rc = try_bytes(mutant, count);
        refusals += rc == 0;
        runs += rc > 0;
        silent += rc < 0;
    }
    ok(refusals > 0 && refusals + runs == 250, "of 250 damaged files %d are refused, %d run",
       refusals, runs);
    is_int(silent, 0, "every refusal says why");
    free(mutant);
    free(bytes);
}

/* A file of empty messages: two bytes each, a hundred times that in memory. */
static void test_amplification(void)
{
    struct onnx_bytes graph = {0}, file = {0};
    struct why        why;
    struct model     *model;
    const uint8_t     empty_node[] = {1 << 3 | 2, 0};

    for (int i = 0; i < 4000000; i++)
        onnx_put(&graph, empty_node, sizeof empty_node);
    onnx_field_message(&file, 7, &graph);
    is_int(model_load_bytes(&model, file.data, file.used, "bomb", &why), ERR_INVALID,
           "8 MB of empty nodes are refused before they fill the memory");
    free(file.data);
}

/* A chain of 5,000 nodes must not exhaust the stack. */
static void test_depth(void)
{
    struct onnx_writer onnx = start(4, PICTURE);
    struct why         why  = {""};
    struct model      *model;
    size_t             count;
    char               from[16] = "x", to[16];

    for (int i = 0; i < 5000; i++) {
        snprintf(to, sizeof to, i == 4999 ? "y" : "v%d", i);
        onnx_node(&onnx, "Sigmoid", from, to, "");
        memcpy(from, to, sizeof from);
    }
    const uint8_t *bytes = onnx_finish(&onnx, &count);
    is_int(model_load_bytes(&model, bytes, count, "chain", &why), 0, "a chain of 5000 nodes loads");
    model_close(&model);
    onnx_free(&onnx);
}

int main(void)
{
    test_files();
    test_bad_graphs();
    test_bad_nodes();
    test_amplification();
    test_depth();
    if (material() == NULL) {
        skip_one("no ../shared/material: no real models");
        return done_testing();
    }
    test_real_models();
    test_mutants();
    return done_testing();
}
