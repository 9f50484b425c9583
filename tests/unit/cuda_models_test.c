// links: gpu
// The real networks through the CUDA backend's plan and kernels, on the processor: all of a network
// in half precision against float32, a batch against its pictures one by one, and what the plan does
// not move. See tests/cuda_emulated.h for what is the device's and what is not. The same text is
// cuda_models_wide_test, with pictures in float32: what differs then is no rounding.
//
// Networks that choose the best of many candidates choose others where two are as good but for the
// rounding: all behind the choice is then of other candidates. So each choice is checked by itself,
// and what comes behind it works on the choice that was made in float32.
#include "gpu/cuda/cuda_plan.h"

#include "gpu/backend.h"
#include "tests/cuda_emulated.h"

/* How much of a bound for half precision is allowed. */
#if defined(CUDA_HALF_AS_FLOAT)
#define PRECISION_NAME "without the rounding"
#define BOUND_SHARE    3e-3
#else
#define PRECISION_NAME "half precision"
#define BOUND_SHARE    1.0
#endif

/* A picture's numbers, the same on every machine. */
static float *pattern(int64_t count, float scale)
{
    float   *data   = malloc((size_t)count * sizeof *data);
    uint32_t random = 12345;

    if (data == NULL)
        abort();
    for (int64_t i = 0; i < count; i++) {
        random  = random * 1664525U + 1013904223U;
        data[i] = ((float)(random >> 16 & 0xffU) + 64.0F * sinf((float)i * 0.01F)) * scale;
    }
    return data;
}

static float *read_floats(const char *name, size_t count)
{
    char   path[700];
    float *data = malloc(count * sizeof *data);
    FILE  *file;

    snprintf(path, sizeof path, "%s/models/%s", material(), name);
    file = fopen(path, "rb");
    if (file == NULL || data == NULL || fread(data, sizeof *data, count, file) != count)
        abort();
    fclose(file);
    return data;
}

static int count_steps(const struct cuda_plan *plan, enum cuda_step_kind kind)
{
    int count = 0;

    for (int i = 0; i < plan->step_count; i++)
        count += plan->steps[i].kind == kind;
    return count;
}

/* Two buffers that live at the same time never share a byte, and all lie in the arena. */
static bool places_are_sound(const struct cuda_plan *plan)
{
    for (int i = 0; i < plan->buffer_count; i++) {
        const struct cuda_buffer *a = &plan->buffers[i];

        if (a->offset < 0 || a->offset % CUDA_ALIGN_BYTES != 0 ||
            a->offset + a->bytes > plan->arena_bytes)
            return false;
        for (int k = 0; k < i; k++) {
            const struct cuda_buffer *b = &plan->buffers[k];

            if (a->first_step <= b->last_step && b->first_step <= a->last_step &&
                a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes)
                return false;
        }
    }
    return true;
}

static double worst_error(const float *got, const float *expected, int64_t count)
{
    double worst = 0;

    for (int64_t i = 0; i < count; i++) {
        double error = fabs((double)got[i] - (double)expected[i]) / (1 + fabs((double)expected[i]));
        worst        = error <= worst ? worst : error; /* also when it is not a number */
    }
    return worst;
}

/* ---- the CPU backend in float32 ---- */

/* Its outputs are the model's and, behind them, what every choice of the best chose from and what it
 * chose. */
struct reference {
    const struct backend_ops *cpu;
    struct model             *model;
    struct runner            *runner;
    int                       outputs; /* the model's own */
};

static int add_output(struct graph *graph, int value)
{
    if (graph->output_count == MODEL_MAX_OUTPUTS)
        abort();
    graph->values[value].uses++;
    graph->outputs[graph->output_count] = value;
    return graph->output_count++;
}

static void reference_open(struct reference *reference, const char *path, const float *input)
{
    struct runner_settings settings = {.precision = PRECISION_F32};
    struct why             why      = {""};
    struct graph          *graph;

    reference->cpu = backend_find("cpu", NULL);
    if (model_load(&reference->model, path, &why) != 0)
        abort();
    /* This model is the test's alone, and nobody has read its graph yet. */
    graph              = (struct graph *)(uintptr_t)model_graph(reference->model);
    reference->outputs = graph->output_count;
    for (int i = 0; i < graph->node_count; i++)
        if (graph->nodes[i].kind == NODE_TOP_K) {
            add_output(graph, graph->nodes[i].input[0]);
            add_output(graph, graph->nodes[i].output);
        }
    if (reference->cpu->open(&reference->runner, reference->model, &settings, &why) != 0 ||
        reference->cpu->run(reference->runner, input, 1, &why) != 0) {
        diag("%s", why.text);
        abort();
    }
}

static void reference_close(struct reference *reference)
{
    reference->cpu->close(&reference->runner);
    model_close(&reference->model);
}

/* The greatest error of all outputs. */
static double against_reference(const struct emulated *run, const struct reference *reference)
{
    const struct graph *graph = run->plan->graph;
    double              worst = 0;

    for (int i = 0; i < reference->outputs; i++) {
        double error = worst_error(emulated_output(run, i),
                                   reference->cpu->output(reference->runner, i),
                                   graph->values[graph->outputs[i]].elements);

        worst = error <= worst ? worst : error;
    }
    return worst;
}

/* ---- choices: which are the best turns on the last bit, so each is checked by itself ---- */

/* A list of candidates as the steps have it and as the reference has it, and what each chose. */
struct choice {
    const float *from, *expected_from;
    float       *best; /* places; `step` apart, as all of these */
    const float *expected_best;
    uint32_t     count, kept, step;
    bool         smallest;
};

static bool is_behind(const struct choice *c, uint32_t a, uint32_t b)
{
    float x = c->from[a * c->step], y = c->from[b * c->step];

    if (x == y)
        return a > b;
    return c->smallest ? x > y : x < y;
}

/* The best of the candidates are chosen, in their order: each before the next, and whoever is not
 * chosen behind the last. */
static bool chooses_best(const struct choice *c)
{
    uint32_t last = (uint32_t)c->best[(c->kept - 1) * c->step], chosen = 0;

    for (uint32_t k = 0; k < c->kept; k++) {
        float place = c->best[k * c->step];

        if (!(place >= 0.0F && place < (float)c->count) ||
            (k > 0 && !is_behind(c, (uint32_t)place, (uint32_t)c->best[(k - 1) * c->step])))
            return false;
    }
    for (uint32_t i = 0; i < c->count; i++)
        chosen += i == last || is_behind(c, last, i);
    return chosen == c->kept;
}

/* What candidates that lie within `error` of each other may be taken for: the others' places differ,
 * their numbers by no more than twice that. */
static bool chooses_near(const struct choice *c, double error, int *others)
{
    for (uint32_t k = 0; k < c->kept; k++) {
        uint32_t place    = (uint32_t)c->best[k * c->step];
        uint32_t expected = (uint32_t)c->expected_best[k * c->step];
        double   x        = (double)c->expected_from[place * c->step];
        double   y        = (double)c->expected_from[expected * c->step];

        *others += place != expected;
        if (fabs(x - y) > 2 * error)
            return false;
    }
    return true;
}

/* Checks the choice that step `number` made, and puts the reference's in its place, so that what
 * comes behind works on the same candidates. `pair`: the reference's outputs of this choice. */
static void check_choice(const struct emulated *run, int number, int pair,
                         const struct reference *reference, double bound)
{
    const float      *expected_from = reference->cpu->output(reference->runner, pair);
    const float      *expected_best = reference->cpu->output(reference->runner, pair + 1);
    struct cuda_top_k args;
    union cuda_args   bound_args;
    bool              best = true, near = true;
    double            error = 0;
    int               lists, others = 0;
    float            *from;

    cuda_bind_step(run->plan, &run->plan->steps[number], &run->memory, &bound_args);
    args  = bound_args.top_k;
    lists = (int)(args.x.elements / args.count);
    from  = malloc(args.x.elements * sizeof *from);
    if (from == NULL)
        abort();
    for (uint32_t i = 0; i < args.x.elements; i++) {
        double apart;

        from[i] = view_load(&args.x, 0, i);
        apart   = fabs((double)from[i] - (double)expected_from[i]);
        error   = apart <= error ? error : apart;
    }
    for (int i = 0; i < lists; i++) {
        uint32_t      outer = (uint32_t)i / args.inner, inner = (uint32_t)i % args.inner;
        uint32_t      at = outer * args.count * args.inner + inner;
        uint32_t      to = outer * args.best * args.inner + inner;
        struct choice c  = {.from          = from + at,
                            .expected_from = expected_from + at,
                            .best          = (float *)args.y.at + to,
                            .expected_best = expected_best + to,
                            .count         = args.count,
                            .kept          = args.best,
                            .step          = args.inner,
                            .smallest      = args.smallest != 0};

        best = best && chooses_best(&c);
        near = near && best && chooses_near(&c, error, &others);
    }
    ok(error <= bound, "%d candidates within %.1e of float32's", (int)args.x.elements, error);
    ok(best, "the best %d of them are chosen, in order", (int)args.best);
    ok(near, "%d places differ from float32's choice, none by more than the candidates do", others);
    memcpy(args.y.at, expected_best, args.y.elements * sizeof *expected_best);
    free(from);
}

/* Once more where choices are made: the greatest error with the reference's own. */
static double with_choices(struct emulated *run, const float *input,
                           const struct reference *reference, double bound)
{
    int pair = reference->outputs;

    run->memory.input = input;
    for (int i = 0; i < run->plan->step_count; i++) {
        emulated_step(run, i);
        if (run->plan->steps[i].kind == CUDA_STEP_TOP_K) {
            check_choice(run, i, pair, reference, bound);
            pair += 2;
        }
    }
    return against_reference(run, reference);
}

/* `bound`: of the greatest error of any output number, beside 1 + its size. */
static void test_model(const char *name, float scale, double bound)
{
    char              path[700];
    struct why        why = {""};
    struct model     *model;
    struct cuda_plan *plan;
    struct emulated   one, two;
    struct reference  reference;
    int64_t           in, out;
    float            *input;
    double            error;

    snprintf(path, sizeof path, "%s/models/%s", material(), name);
    if (name[0] == '/')
        snprintf(path, sizeof path, "%s", name);
    if (model_load(&model, path, &why) != 0 ||
        cuda_plan_open(&plan, model_graph(model), &why) != 0) {
        ok(false, "%s: %s", name, why.text);
        return;
    }
    bound *= BOUND_SHARE;
    in    = plan->input->elements;
    out   = plan->outputs[0]->elements;
    input = pattern(2 * in, scale);
    emulated_open(&one, plan, 1);
    emulated_run(&one, input + in, 0);
    emulated_open(&two, plan, 2);
    emulated_run(&two, input, 0);
    ok(memcmp(emulated_output(&two, 0) + out, emulated_output(&one, 0),
              (size_t)out * sizeof(float)) == 0,
       "%s: a picture gives the same bytes alone and in a batch", name);
    reference_open(&reference, path, input + in);
    error = count_steps(plan, CUDA_STEP_TOP_K) > 0
                ? with_choices(&one, input + in, &reference, bound)
                : against_reference(&one, &reference);
    reference_close(&reference);
    ok(error <= bound, "%s: %s against float32: worst error %.1e", name, PRECISION_NAME, error);
    ok(places_are_sound(plan), "%s: %d buffers in %.1f MiB for a picture", name, plan->buffer_count,
       (double)plan->arena_bytes / 1048576.0);
    diag("%s: %d steps: %d convolutions, %d depthwise, %d copies, %d channels, %d pieces", name,
         plan->step_count, count_steps(plan, CUDA_STEP_CONV),
         count_steps(plan, CUDA_STEP_DEPTHWISE), count_steps(plan, CUDA_STEP_COPY),
         count_steps(plan, CUDA_STEP_CHANNELS), count_steps(plan, CUDA_STEP_PIECE));
    emulated_close(&one);
    emulated_close(&two);
    cuda_plan_close(&plan);
    model_close(&model);
    free(input);
}

/* YOLOX-nano on a real picture against what another engine gave in float32. */
static void test_yolox(void)
{
    const size_t      in = 3 * 416 * 416, out = 3549 * 85;
    float            *input    = read_floats("ref_bus_input_1x3x416x416_f32.bin", in);
    float            *expected = read_floats("ref_bus_output_1x3549x85_f32.bin", out);
    char              path[700];
    struct why        why = {""};
    struct model     *model;
    struct cuda_plan *plan;
    struct emulated   run;
    double            sides = 0, scores = 0;
    const float      *y;

    snprintf(path, sizeof path, "%s/models/yolox_nano_coco_416.onnx", material());
    if (model_load(&model, path, &why) != 0 ||
        cuda_plan_open(&plan, model_graph(model), &why) != 0) {
        ok(false, "YOLOX-nano: %s", why.text);
        return;
    }
    emulated_open(&run, plan, 1);
    emulated_run(&run, input, 0);
    y = emulated_output(&run, 0);
    for (size_t i = 0; i < out; i++) {
        double *worst = i % 85 < 4 ? &sides : &scores;
        double  error = fabs((double)y[i] - (double)expected[i]);

        /* Boxes matter where something is seen. */
        if (i % 85 < 4 && expected[i / 85 * 85 + 4] < 0.1F)
            continue;
        *worst = error <= *worst ? *worst : error;
    }
    ok(sides <= 0.05 * BOUND_SHARE && scores <= 0.05 * BOUND_SHARE,
       "YOLOX-nano on a real picture: sides within %.4f cells, scores within %.4f", sides, scores);
    ok(count_steps(plan, CUDA_STEP_CHANNELS) <= 9,
       "YOLOX-nano: only the heads' odd parts are copied when channels are joined");
    emulated_close(&run);
    cuda_plan_close(&plan);
    model_close(&model);
    free(input);
    free(expected);
}

/* Arguments: other models, with their whole paths. */
int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        test_model(argv[i], 1.0F / 255.0F, 0.10);
    if (argc > 1)
        return done_testing();
    if (material() == NULL)
        skip_all("no ../shared/material");
    test_yolox();
    test_model("FastestDet.onnx", 1.0F / 255.0F, 0.10);
    test_model("nanodet_m.onnx", 0.01F, 0.05);
    return done_testing();
}
