/* A program of the tests: does cuDNN accept every convolution of a model, with what is fused into it,
 * on cards that are not here? It plans the model as the backend does, asks the heuristics for each
 * convolution with each card described in JSON, and prints a line for each card:
 * MODEL CARD CONVOLUTIONS ACCEPTED. An argument is a model file, or --patterns: a convolution with each
 * activation that a graph of cuDNN can end with, without a residual, with one before it and with one
 * after it. The keys of the description are the library's own; the figures are those of one common
 * card of each architecture. */
#include "gpu/cuda/cuda_cudnn.h"
#include "gpu/cuda/cuda_plan.h"

#include "gpu/model.h"

#include <stdio.h>
#include <string.h>

static const struct card {
    const char *name;
    int         version, processors, shared_optin, shared_reserved, blocks, threads;
    int         clock_khz, memory_clock_khz, l2_bytes;
    long long   memory_bytes;
} CARDS[] = {
    {"sm_75", 750, 40, 65536, 0, 16, 1024, 1590000, 5001000, 4 << 20, 15LL << 30},
    {"sm_80", 800, 108, 166912, 1024, 32, 2048, 1410000, 1215000, 40 << 20, 40LL << 30},
    {"sm_86", 860, 82, 101376, 1024, 16, 1536, 1695000, 9751000, 6 << 20, 24LL << 30},
    {"sm_89", 890, 128, 101376, 1024, 24, 1536, 2520000, 10501000, 72 << 20, 24LL << 30},
    {"sm_90", 900, 132, 232448, 1024, 32, 2048, 1980000, 2619000, 50 << 20, 80LL << 30},
};

static void describe(const struct card *card, char *json, size_t bytes)
{
    snprintf(json, bytes,
             "{\"version\":1,\"deviceVer\":%d,\"cudaDeviceId\":0,\"deviceName\":\"%s\","
             "\"driverVer\":13000,\"multiProcessorCount\":%d,"
             "\"maxGridSize\":[2147483647,65535,65535],\"maxBlockSize\":[1024,1024,64],"
             "\"regsPerBlock\":65536,\"warpSize\":32,\"maxSharedMemoryPerBlock\":49152,"
             "\"maxSharedMemoryPerBlockOptin\":%d,\"reservedSharedMemoryPerBlock\":%d,"
             "\"maxRegistersPerSM\":65536,\"maxCtasPerSM\":%d,\"maxThreadsPerBlock\":1024,"
             "\"maxThreadsPerSM\":%d,\"pciDeviceId\":8880,\"isTccDriver\":0,"
             "\"supportCoopLaunch\":1,\"smClockRateKHz\":%d,\"memClockRateKHz\":%d,"
             "\"l2CacheSize\":%d,\"totalGlobalMem\":%lld}",
             card->version, card->name, card->processors, card->shared_optin, card->shared_reserved,
             card->blocks, card->threads, card->clock_khz, card->memory_clock_khz, card->l2_bytes,
             card->memory_bytes);
}

/* The card for cuDNN's heuristics, which need none of its kind; false, and said why. */
static bool open_card(const struct card *card, cudnnBackendDescriptor_t *device)
{
    struct why why = {""};
    char       json[1200];

    describe(card, json, sizeof json);
    if (cudnn_device_of_json(device, json, &why) == 0)
        return true;
    printf("# %s: %s\n", card->name, why.text);
    return false;
}

/* How many engine configurations there are for one convolution; both modes, as the backend asks. */
static int ask(const struct cudnn_conv_shape *shape, cudnnBackendDescriptor_t device)
{
    static const cudnnBackendHeurMode_t modes[] = {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK};
    cudnnBackendDescriptor_t            configs[CUDNN_CONFIGS_MAX];
    struct cudnn_graph                  graph;
    struct why                          why   = {""};
    int                                 count = cudnn_graph_conv(&graph, shape, &why);

    for (int m = 0; count == 0 && m < 2; m++) {
        count = cudnn_graph_configs(&graph, device, modes[m], configs, CUDNN_CONFIGS_MAX, &why);
        for (int i = 0; i < count; i++)
            cudnnBackendDestroyDescriptor(configs[i]);
    }
    if (count <= 0)
        printf("# refused: %dx%dx%d to %d, window %dx%d, activation %d, residual %d: %s\n",
               shape->in_channels, shape->in_height, shape->in_width, shape->out_channels,
               shape->window.kernel[0], shape->window.kernel[1], (int)shape->activation.kind,
               (int)shape->residual, why.text);
    cudnn_graph_close(&graph);
    return count;
}

static void ask_card(const char *name, const struct cuda_plan *plan, const struct card *card,
                     int batch)
{
    static struct cudnn_conv_shape seen[LIMIT_MODEL_NODES];
    cudnnBackendDescriptor_t       device;
    int                            asked = 0, accepted = 0;

    if (!open_card(card, &device))
        return;
    for (int i = 0; i < plan->step_count; i++) {
        const struct cuda_step *step = &plan->steps[i];
        int                     same = 0;

        if (step->kind != CUDA_STEP_CONV)
            continue;
        seen[asked] = cudnn_conv_shape_of(step, batch);
        while (same < asked && memcmp(&seen[same], &seen[asked], sizeof *seen) != 0)
            same++;
        if (same < asked)
            continue;
        accepted += ask(&seen[asked], device) > 0;
        asked++;
    }
    printf("%s %s %d %d\n", name, card->name, asked, accepted);
    cudnnBackendDestroyDescriptor(device);
}

static struct cudnn_conv_shape pattern(const struct activation *activation,
                                       enum residual_kind       residual)
{
    struct cudnn_conv_shape shape;

    memset(&shape, 0, sizeof shape); /* also between the fields */
    shape.batch       = 8;
    shape.in_channels = shape.in_pitch = 64;
    shape.out_channels = shape.out_pitch = 64;
    shape.in_height = shape.out_height = 40;
    shape.in_width = shape.out_width = 40;
    shape.residual_pitch             = residual != RESIDUAL_NONE ? 64 : 0;
    shape.window                     = (struct window){.kernel    = {3, 3},
                                                       .stride    = {1, 1},
                                                       .dilation  = {1, 1},
                                                       .pad_begin = {1, 1},
                                                       .pad_end   = {1, 1},
                                                       .groups    = 1};
    shape.activation                 = *activation;
    shape.residual                   = residual;
    return shape;
}

static int ask_patterns(const struct card *card)
{
    static const struct activation ACTIVATIONS[] = {
        {.kind = ACTIVATION_NONE},
        {.kind = ACTIVATION_RELU},
        {.kind = ACTIVATION_RELU, .a = 0.1F},
        {.kind = ACTIVATION_CLIP, .b = 6.0F},
        {.kind = ACTIVATION_SIGMOID},
        {.kind = ACTIVATION_SILU},
        {.kind = ACTIVATION_HARD_SIGMOID, .a = 0.2F, .b = 0.5F},
        {.kind = ACTIVATION_HARD_SWISH, .a = 1 / 6.0F, .b = 0.5F},
    };
    cudnnBackendDescriptor_t device;
    int                      asked = 0, accepted = 0;

    if (!open_card(card, &device))
        return 1;
    for (size_t i = 0; i < sizeof ACTIVATIONS / sizeof ACTIVATIONS[0]; i++)
        for (int residual = RESIDUAL_NONE; residual <= RESIDUAL_AFTER_ACTIVATION; residual++) {
            struct cudnn_conv_shape shape = pattern(&ACTIVATIONS[i], (enum residual_kind)residual);
            /* The plan does the others in a step of their own. */
            if (!cudnn_conv_takes(&shape.activation))
                continue;
            asked++;
            accepted += ask(&shape, device) > 0;
        }
    printf("patterns %s %d %d\n", card->name, asked, accepted);
    cudnnBackendDestroyDescriptor(device);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--patterns") == 0) {
        for (size_t k = 0; k < sizeof CARDS / sizeof CARDS[0]; k++)
            if (ask_patterns(&CARDS[k]) != 0)
                return 1;
        return 0;
    }
    for (int i = 1; i < argc; i++) {
        const char   *slash = strrchr(argv[i], '/'), *name = slash != NULL ? slash + 1 : argv[i];
        struct why    why = {""};
        struct model *model;
        struct cuda_plan *plan;

        if (model_load(&model, argv[i], &why) != 0 ||
            cuda_plan_open(&plan, model_graph(model), &why) != 0) {
            fprintf(stderr, "%s\n", why.text);
            return 1;
        }
        for (size_t k = 0; k < sizeof CARDS / sizeof CARDS[0]; k++)
            ask_card(name, plan, &CARDS[k], 8);
        cuda_plan_close(&plan);
        model_close(&model);
    }
    return 0;
}
