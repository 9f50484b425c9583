#include "gpu/cpu/backend_cpu.h"

#include "config/clock.h"
#include "config/err.h"
#include "gpu/calibration.h"
#include "gpu/cpu/bf16.h"
#include "gpu/cpu/cpu_runner.h"
#include "gpu/cpu/cpu_shared.h"
#include "gpu/cpu/int8.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Of libgomp, with which Debian's oneDNN is built: without this call each of our threads would
 * start a team of its own. It counts for the calling thread. Weak: another build may not bring it.
 */
extern void omp_set_num_threads(int count) __attribute__((weak));

static void stay_on_this_thread(void)
{
    if (omp_set_num_threads != NULL)
        omp_set_num_threads(1);
}

static bool cpu_available(struct why *why)
{
    (void)why;
    return true;
}

static int cpu_best_batch(const struct model *model)
{
    (void)model;
    return 1;
}

static void cpu_close(struct runner **out)
{
    struct cpu_runner *runner = (struct cpu_runner *)*out;

    if (runner == NULL)
        return;
    for (int i = 0; i < runner->step_count; i++)
        cpu_dnnl_close(runner->steps[i].dnnl);
    if (runner->stream != NULL)
        dnnl_stream_destroy(runner->stream);
    if (runner->engine != NULL)
        dnnl_engine_destroy(runner->engine);
    cpu_shared_release(runner);
    graph_memory_free(&runner->memory);
    free(runner->arena);
    free(runner);
    *out = NULL;
}

static void place_tensor(const struct cpu_runner *runner, struct cpu_tensor *tensor)
{
    if (tensor != NULL && tensor->buffer != BUFFER_NONE)
        tensor->data = runner->arena + runner->buffers[tensor->buffer].offset + tensor->offset;
}

/* The arena, and in it the addresses of all tensors. */
static int allocate_arena(struct cpu_runner *runner, struct why *why)
{
    int    rc    = cpu_arena_place(runner);
    size_t bytes = (size_t)(runner->arena_floats + KERNELS_MAX_BLOCK) * sizeof(float);

    if (rc != 0)
        return why_set(why, rc, "the model needs more than %lld bytes to run",
                       (long long)LIMIT_MODEL_ARENA_BYTES);
    runner->arena = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (runner->arena == NULL)
        return why_set(why, ERR_MEMORY, "out of memory for %zu bytes to run the model", bytes);
    /* The lanes that fill up blocks must be finite from the start. */
    memset(runner->arena, 0, bytes);
    for (int i = 0; i < runner->step_count; i++) {
        place_tensor(runner, runner->steps[i].output);
        for (int k = 0; k < runner->steps[i].input_count; k++)
            place_tensor(runner, runner->steps[i].input[k]);
    }
    for (int i = 0; i < model_graph(runner->base.model)->output_count; i++)
        place_tensor(runner, runner->outputs[i]);
    return 0;
}

/* Without this oneDNN would go on using what our own kernels are told not to. It counts for the
 * process, and only before oneDNN has looked at the machine. */
static void limit_dnnl(void)
{
    const char *name = getenv(BACKEND_CPU_ISA_VARIABLE);

    if (name != NULL && strncmp(name, "avx2", 4) == 0)
        dnnl_set_max_cpu_isa(dnnl_cpu_isa_avx2);
    else if (name != NULL && strcmp(name, "plain") == 0)
        dnnl_set_max_cpu_isa(dnnl_cpu_isa_sse41);
}

/* The instruction set that is asked for; NULL or "": the best. */
static const char *asked_isa(const char *name)
{
    return name != NULL ? name : getenv(BACKEND_CPU_ISA_VARIABLE);
}

static const struct kernels *choose_kernels(const char *name)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, limit_dnnl);
    name = asked_isa(name);
    return name != NULL && *name != '\0' ? kernels_find(name) : kernels_best();
}

/* Plans the runner; in 8 bits with the calibration, which is not looked at otherwise. */
static int open_planned(struct runner **out, const struct model *model, const char *kernels,
                        enum precision precision, const struct calibration *calibration,
                        bool shows_all, struct why *why)
{
    struct cpu_runner *runner = calloc(1, sizeof *runner);
    int                rc     = ERR_MEMORY;

    *out = NULL;
    why_set(why, 0, "out of memory");
    if (runner == NULL)
        return rc;
    runner->base.ops         = &BACKEND_CPU;
    runner->base.model       = model;
    runner->base.precision   = precision;
    runner->kernels          = choose_kernels(kernels);
    runner->memory.max_bytes = (size_t)LIMIT_MODEL_ARENA_BYTES;
    if (runner->kernels == NULL) {
        rc = why_set(why, ERR_UNSUPPORTED, "this machine has no %s", asked_isa(kernels));
        goto fail;
    }
    runner->shows_all = shows_all;
    if (precision == PRECISION_INT8) {
        runner->calibration = calibration;
        runner->int8        = int8_beside(asked_isa(kernels));
    } else if (precision == PRECISION_BF16) {
        runner->bf16 = bf16_beside(asked_isa(kernels));
    }
    stay_on_this_thread();
    if (dnnl_engine_create(&runner->engine, dnnl_cpu, 0) != dnnl_success ||
        dnnl_stream_create(&runner->stream, runner->engine, dnnl_stream_default_flags) !=
            dnnl_success)
        goto fail;
    rc = cpu_plan(runner, why);
    if (rc == 0)
        rc = allocate_arena(runner, why);
    if (rc != 0)
        goto fail;
    runner->calibration = NULL;
    why_set(why, 0, "%s", "");
    *out = &runner->base;
    return 0;

fail:
    cpu_close((struct runner **)&runner);
    return rc;
}

int backend_cpu_open_calibrated(struct runner **out, const struct model *model, const char *kernels,
                                const struct calibration *calibration, struct why *why)
{
    return open_planned(out, model, kernels, PRECISION_INT8, calibration, false, why);
}

int backend_cpu_open_observed(struct runner **out, const struct model *model, struct why *why)
{
    return open_planned(out, model, NULL, PRECISION_F32, NULL, true, why);
}

/* Below so much work a network gains little by bfloat16, and its boxes lose most. */
#define BF16_MULTIPLY_ADDS_MIN 300000000

/* What "auto" takes where 8 bits are out of the question. */
static enum precision without_codes(const struct model *model, const char *isa)
{
    return model_info(model)->multiply_adds >= BF16_MULTIPLY_ADDS_MIN && bf16_gains(isa)
               ? PRECISION_BF16
               : PRECISION_F32;
}

/* In what to run, never PRECISION_AUTO; with the model's calibration for 8 bits. */
static int choose_precision(const struct model *model, const char *kernels,
                            enum precision precision, struct calibration *calibration,
                            enum precision *chosen, struct why *why)
{
    const char *isa = asked_isa(kernels);
    int         rc;

    *chosen = precision;
    memset(calibration, 0, sizeof *calibration);
    switch (precision) {
    case PRECISION_F32:
        return 0;
    case PRECISION_BF16:
        return bf16_beside(isa) != NULL
                   ? 0
                   : why_set(why, ERR_UNSUPPORTED, "this machine has no bf16 in AVX-512 or AMX");
    case PRECISION_INT8:
        rc = calibration_read(calibration, model_info(model), why);
        return rc == ERR_NOT_FOUND ? ERR_UNSUPPORTED : rc;
    case PRECISION_AUTO:
        break;
    default:
        return why_set(why, ERR_UNSUPPORTED, "the CPU backend has no %s",
                       precision_name(precision));
    }
    *chosen = without_codes(model, isa);
    if (choose_kernels(kernels) == NULL || !int8_gains(isa))
        return 0;
    if (calibration_read(calibration, model_info(model), why) != 0)
        why_set(why, 0, "%s", "");
    else if (calibration->agreement >= CALIBRATION_AGREEMENT_MIN)
        *chosen = PRECISION_INT8;
    return 0;
}

int backend_cpu_open_with(struct runner **out, const struct model *model, const char *kernels,
                          enum precision precision, struct why *why)
{
    struct calibration calibration;
    int rc = choose_precision(model, kernels, precision, &calibration, &precision, why);

    *out = NULL;
    if (rc == 0)
        rc = open_planned(out, model, kernels, precision, &calibration, false, why);
    calibration_free(&calibration);
    return rc;
}

static int cpu_open(struct runner **out, const struct model *model,
                    const struct runner_settings *settings, struct why *why)
{
    return backend_cpu_open_with(out, model, NULL, settings->precision, why);
}

static int cpu_supports(const struct model *model, const struct runner_settings *settings,
                        struct why *why)
{
    struct calibration calibration;
    enum precision     chosen;
    int rc = choose_precision(model, NULL, settings->precision, &calibration, &chosen, why);

    calibration_free(&calibration);
    return rc;
}

static int cpu_run(struct runner *base, const float *input, int batch, struct why *why)
{
    struct cpu_runner *runner = (struct cpu_runner *)base;

    if (batch != 1)
        return why_set(why, ERR_LIMIT, "the CPU takes one picture at a time, not %d", batch);
    stay_on_this_thread(); /* a runner may have been opened by another thread */
    /* The steps only read it; the tensor's type serves both inputs and outputs. */
    memcpy(&runner->input->data, &input, sizeof input);
    runner->failed = false;
    for (int i = 0; i < runner->step_count; i++)
        runner->steps[i].run(&runner->steps[i]);
    return runner->failed ? why_set(why, ERR_MEMORY, "a layer could not be computed: out of memory")
                          : 0;
}

static const float *cpu_output(const struct runner *base, int index)
{
    const struct cpu_runner *runner = (const struct cpu_runner *)base;

    if (index < 0 || index >= model_graph(base->model)->output_count)
        return NULL;
    return runner->outputs[index]->data;
}

static int64_t multiply_adds_of(const struct cpu_runner *runner, const struct cpu_step *step)
{
    const struct graph *graph = model_graph(runner->base.model);
    const struct value *w, *y;

    if (step->node == NULL || step->node->kind != NODE_CONV ||
        (step->conv.weights == NULL && step->dnnl == NULL && step->bf16 == NULL))
        return 0;
    w = &graph->values[step->node->input[1]];
    y = &graph->values[step->node->output];
    return y->elements * (w->elements / w->dimension[0]);
}

int backend_cpu_profile(struct runner *base, const float *input, struct backend_cpu_step *steps,
                        int capacity)
{
    struct cpu_runner *runner = (struct cpu_runner *)base;

    stay_on_this_thread();
    memcpy(&runner->input->data, &input, sizeof input);
    for (int i = 0; i < runner->step_count; i++) {
        struct cpu_step *step  = &runner->steps[i];
        int64_t          start = clock_monotonic_ns();
        step->run(step);
        step->spent_ns = clock_monotonic_ns() - start;
        if (i < capacity)
            steps[i] = (struct backend_cpu_step){
                .node = step->node != NULL && step->node->name != NULL ? step->node->name : "",
                .what = step->what,
                .implementation = step->implementation,
                .spent_ns       = step->spent_ns,
                .multiply_adds  = multiply_adds_of(runner, step),
            };
    }
    return runner->step_count;
}

void backend_cpu_observe(struct runner *base, const float *input,
                         void (*see)(void *context, const struct backend_cpu_value *value),
                         void *context)
{
    struct cpu_runner  *runner = (struct cpu_runner *)base;
    const struct graph *graph  = model_graph(base->model);
    const struct value *x      = &graph->values[graph->input];

    stay_on_this_thread();
    memcpy(&runner->input->data, &input, sizeof input);
    see(context, &(struct backend_cpu_value){.name     = x->name,
                                             .channels = x->dimension[1],
                                             .pixels   = x->dimension[2] * x->dimension[3],
                                             .lanes    = 1,
                                             .numbers  = input});
    for (int i = 0; i < runner->step_count; i++) {
        const struct cpu_step   *step = &runner->steps[i];
        const struct cpu_tensor *y    = step->output;
        step->run(step);
        /* A value is there when the last step that writes to it has run. */
        if (y->layout != LAYOUT_BLOCKED || step->node == NULL || step->node->output < 0 ||
            runner->tensors[step->node->output].blocked != y ||
            (i + 1 < runner->step_count && runner->steps[i + 1].output == y))
            continue;
        see(context, &(struct backend_cpu_value){.name     = graph->values[step->node->output].name,
                                                 .channels = y->dimension[1],
                                                 .pixels   = y->dimension[2] * y->dimension[3],
                                                 .lanes    = runner->kernels->block,
                                                 .numbers  = y->data,
                                                 .convolution = step->node->kind == NODE_CONV});
    }
}

int64_t backend_cpu_arena_bytes(const struct runner *base)
{
    return ((const struct cpu_runner *)base)->arena_floats * (int64_t)sizeof(float);
}

int64_t backend_cpu_table_bytes(const struct runner *base)
{
    return (int64_t)((const struct cpu_runner *)base)->memory.used_bytes;
}

int64_t backend_cpu_shared_bytes(const struct runner *base)
{
    return ((const struct cpu_runner *)base)->shared_bytes;
}

const struct backend_ops BACKEND_CPU = {
    .name       = "cpu",
    .available  = cpu_available,
    .best_batch = cpu_best_batch,
    .supports   = cpu_supports,
    .open       = cpu_open,
    .run        = cpu_run,
    .output     = cpu_output,
    .close      = cpu_close,
};
