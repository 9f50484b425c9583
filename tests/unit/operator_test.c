// links: gpu
// Every operator on every backend and precision against plain loops, over random shapes.
//
//   operator_test                  all rows; SIGHTLINE_OPERATOR_TRIALS=200 for more shapes of each
//   operator_test --seeds FOLDER   writes one small model of each row: seeds for the fuzzer
//   operator_test --cases FOLDER   writes all models, each with its input and what it must give:
//                                  tests/integration/onnxruntime.t asks another engine
//
// How to add an operator (say, Mish):
//   1. gpu/onnx_operators.c: a row {"Mish", 1, 1, lower_unary}.
//   2. gpu/onnx_number.c (or the file of its family): the function of the row checks the node and
//      adds nodes of the kinds in gpu/graph.h. A new kind of node is also a row in plan_rare() of
//      gpu/cpu/cpu_plan.c and a step beside cpu_run_unary(); a new function of one number a case in
//      graph_unary() and in v_unary() of gpu/cpu/kernels_number.h.
//   3. tests/operator_number.h (or its neighbours): a function case_mish(), which writes a model
//      with random sizes and computes what it must give, and its row in CASES here.
#include "gpu/cpu/backend_cpu.h"

#include "gpu/cpu/kernels.h"
#include "gpu/model_about.h"
#include "tests/operator_index.h"
#include "tests/operator_move.h"

/* As many as any row has variants; fewer where each takes long and none has a second thread. */
#define TRIALS_ALL 24
#if defined(__SANITIZE_THREAD__)
#define TRIALS 4
#else
#define TRIALS TRIALS_ALL
#endif
#define OPSET_MAX 24

#define RANGES_MAX    64
#define OPERATORS_MAX 256

/* Beside the bound of f32, what rounding every number between layers to 16 bits may do. Rows that
 * make whole numbers jump where that happens are left out with EXACT. */
#define EXACT 0.0

/* What a convolution in bfloat16 may be off by, beside the bound of f32, which everything else keeps
 * there too. Numbers have 8 significant bits, so rounding one is off by at most 2^-8 of it, evenly to
 * both sides: a standard deviation of at most 2^-8 / sqrt(3). A product of two has sqrt(2) of that;
 * products have independent errors and are added up in float32, so the sum's deviation is that times
 * the root of the sum of squared products (trial.spread). Of a million numbers none is expected
 * beyond six deviations. */
#define BF16_DEVIATIONS (6 * 0.8165 / 256)

/* And one in 8 bits, where everything else keeps the bound of f32 as well. Trials have inputs and
 * weights of -2..2: a step of an input's codes is at most 4 / 255, one of a weight's 2 / 127, and what
 * is off is spread evenly over a step, which is 0.0046 in standard deviation. A product of a and b is
 * then off by 0.0046 * sqrt(a^2 + b^2), and their sum by that of all (trial.factors). */
#define CODE_DEVIATIONS (6 * 0.0046)
/* What it gives is rounded to codes, on its way through a function twice; so is a residual. */
#define CODE_STEPS    2
#define CODE_RESIDUAL (4.0 / 255)

static const struct {
    const char *name;
    void (*write)(struct trial *trial);
    double tolerance; /* of each number in f32, beside 1 + its size */
    double rough;     /* the same in f16; EXACT: not tried there */
    int opset; /* the first that has it, of 9 to 24: each trial is written as another one wants it */
} CASES[] = {
    {"Conv with any window", case_conv_dense, 1e-4, 0.1, 9},
    {"Conv 3x3", case_conv_square, 2e-4, 0.1, 9},
    {"Conv of few channels", case_conv_stem, 3e-5, 0.1, 9},
    {"Conv of few channels, MaxPool", case_conv_stem_pool, 3e-5, 0.1, 9},
    {"Conv 1x1", case_conv_pointwise, 3e-5, 0.1, 9},
    {"Conv by channel", case_conv_depthwise, 1e-5, 0.1, 9},
    {"Conv in groups", case_conv_grouped, 2e-5, 0.1, 9},
    {"Conv, activation and residual", case_conv_fused, 2e-4, 0.15, 9},
    {"MaxPool, Resize, Slice and Concat between Convs", case_conv_moved, 1e-4, 0.2, 9},
    {"ConvTranspose", case_conv_transpose, 3e-5, 0.1, 9},
    {"activations", case_activation, 2e-6, 0.02, 9},
    {"BatchNormalization", case_batch_normalization, 1e-5, 0.05, 9},
    {"Add, Sub, Mul, Div", case_arithmetic, 1e-6, 0.05, 9},
    {"functions of one number", case_function, 4e-6, 0.05, 9},
    {"Floor, Ceil, Round, Sign", case_step_function, 0, EXACT, 9},
    {"GELU, Mish, HardSwish written out", case_written_out, 2e-6, 0.05, 9},
    {"Min, Max, Mod, Pow", case_two_numbers, 1e-5, EXACT, 10},
    {"comparisons and logic", case_compare, 0, EXACT, 9},
    {"Div, Mod, Mul, Sub of integers", case_whole_numbers, 0, EXACT, 10},
    {"Min, Max, Sum, Mean of three", case_many, 1e-6, 0.02, 9},
    {"Where", case_where, 0, 0.02, 9},
    {"Clip with computed limits, PRelu", case_clip_and_prelu, 1e-6, 0.02, 11},
    {"QuantizeLinear, DequantizeLinear", case_quantize, 1e-5, EXACT, 10},
    {"GlobalAveragePool and a gate", case_gate, 1e-5, 0.05, 9},
    {"GlobalMaxPool", case_global_max, 0, 0.02, 9},
    {"ReduceMean", case_mean, 1e-5, 0.05, 9},
    {"ReduceSum, Max, Min, Prod, L1, L2, SumSquare", case_reduce, 2e-5, EXACT, 9},
    {"Softmax", case_softmax, 1e-6, 0.02, 9},
    {"Softmax of channels, Conv to one", case_expectation, 1e-6, 0.05, 13},
    {"LogSoftmax", case_log_softmax, 2e-6, 0.05, 9},
    {"LayerNormalization, also written out", case_layer_norm, 2e-5, 0.1, 9},
    {"InstanceNormalization, GroupNormalization", case_group_norm, 2e-5, 0.1, 9},
    {"LpNormalization", case_lp_norm, 1e-6, 0.02, 9},
    {"TopK, ArgMax, ArgMin", case_top_k, 0, EXACT, 9},
    {"CumSum", case_cum_sum, 1e-5, EXACT, 11},
    {"Gemm", case_gemm, 1e-5, 0.1, 9},
    {"MatMul", case_matmul, 1e-5, 0.1, 9},
    {"MatMul of stacks", case_stacks, 1e-5, 0.1, 9},
    {"Einsum", case_einsum, 1e-5, 0.1, 12},
    {"MaxPool, AveragePool", case_pool, 1e-6, 0.02, 9},
    {"Resize", case_resize, 1e-5, 0.05, 9},
    {"GridSample", case_grid_sample, 2e-5, EXACT, 16},
    {"Pad", case_pad, 0, 0.02, 9},
    {"Transpose", case_transpose, 0, 0.02, 9},
    {"Slice and Concat of channels", case_slice_concat, 0, 0.02, 9},
    {"Concat of levels, Split, Concat", case_levels, 0, 0.02, 13},
    {"Slice between lanes", case_slice_lanes, 0, 0.02, 9},
    {"Slice between lanes, Conv", case_slice_conv, 3e-5, 0.1, 9},
    {"Slice with steps", case_slice_steps, 0, 0.02, 10},
    {"Reshape, Transpose, Split: a shuffle", case_shuffle, 0, 0.02, 9},
    {"DepthToSpace, SpaceToDepth", case_depth_space, 0, 0.02, 9},
    {"Expand, Tile", case_expand_tile, 0, 0.02, 9},
    {"Gather", case_gather, 0, 0.02, 9},
    {"Gather with computed indices", case_gather_computed, 0, EXACT, 9},
    {"GatherElements", case_gather_elements, 0, EXACT, 11},
    {"GatherND", case_gather_nd, 0, EXACT, 12},
    {"ScatterElements", case_scatter_elements, 0, EXACT, 9},
    {"ScatterND", case_scatter_nd, 0, EXACT, 11},
    {"Shape, Cast, Unsqueeze, Floor", case_shape_arithmetic, 0, 0.02, 9},
    {"Constant, ConstantOfShape, Range, Size, NonZero, CastLike", case_constants, 1e-6, EXACT, 11},
    {"Dropout, Squeeze, Identity, Flatten", case_same_numbers, 0, 0.02, 9},
    {"Focus", case_focus, 3e-5, 0.1, 10},
};

#define CASE_COUNT (sizeof CASES / sizeof CASES[0])

/* The least, the greatest and the mean of each channel, as quantizing measures them. */
struct ranges {
    struct calibration calibration;
    struct calibrated  values[RANGES_MAX];
};

static void see_range(void *context, const struct backend_cpu_value *value)
{
    struct ranges     *ranges = context;
    struct calibrated *range  = &ranges->values[ranges->calibration.count];
    size_t             room   = (size_t)value->channels * 3;

    if (value->name == NULL || ranges->calibration.count == RANGES_MAX)
        return;
    range->name     = value->name;
    range->channels = (int)value->channels;
    range->low      = calloc(room, sizeof *range->low);
    if (range->low == NULL)
        abort();
    range->high = range->low + value->channels;
    range->mean = range->high + value->channels;
    for (int64_t c = 0; c < value->channels; c++)
        for (int64_t i = 0; i < value->pixels; i++) {
            float x        = value->numbers[(c / value->lanes * value->pixels + i) * value->lanes +
                                     c % value->lanes];
            range->low[c]  = fminf(range->low[c], x);
            range->high[c] = fmaxf(range->high[c], x);
            range->mean[c] += x / (float)value->pixels;
        }
    ranges->calibration.count++;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct calibrated *)a)->name, ((const struct calibrated *)b)->name);
}

/* In 8 bits, with the ranges that this very input gives; convolutions even where nothing is gained
 * by it. */
static int open_calibrated(struct runner **runner, const struct trial *t, const struct model *model,
                           const char *kernels, struct why *why)
{
    struct ranges  ranges = {.calibration = {.eager = true, .agreement = 1, .boxes = 1}};
    struct runner *observed;
    int            rc = backend_cpu_open_observed(&observed, model, why);

    if (rc != 0)
        return rc;
    backend_cpu_observe(observed, t->x.at, see_range, &ranges);
    BACKEND_CPU.close(&observed);
    qsort(ranges.values, (size_t)ranges.calibration.count, sizeof *ranges.values, by_name);
    ranges.calibration.values = ranges.values;
    rc = backend_cpu_open_calibrated(runner, model, kernels, &ranges.calibration, why);
    for (int i = 0; i < ranges.calibration.count; i++)
        free(ranges.values[i].low);
    return rc;
}

/* What runs the trials: a backend in one precision, the CPU also with each set of kernels. */
struct target {
    const struct backend_ops *backend;
    const char               *kernels; /* NULL: whatever the backend takes */
    enum precision            precision;
};

/* No step may be oneDNN's reference code, which is a hundred times slower. */
static bool runs_fast(struct runner *runner, const float *x)
{
    struct backend_cpu_step steps[64];
    int                     count = backend_cpu_profile(runner, x, steps, 64);

    for (int i = 0; i < count && i < 64; i++)
        if (strncmp(steps[i].implementation, "ref", 3) == 0) {
            diag("%s %s is oneDNN's %s", steps[i].node, steps[i].what, steps[i].implementation);
            return false;
        }
    return true;
}

/* What a number that comes out of a convolution in 8 bits may be off by. */
static double code_error(const struct trial *t, int64_t number)
{
    int64_t pixels = t->y.size[2] * t->y.size[3], first = number / pixels * pixels;
    float   low = 0, high = 0;

    for (int64_t i = first; i < first + pixels; i++) {
        low  = fminf(low, t->y.at[i]);
        high = fmaxf(high, t->y.at[i]);
    }
    return CODE_DEVIATIONS * (double)t->factors.at[number] +
           CODE_STEPS * ((double)high - (double)low) / 255 + (t->residual ? CODE_RESIDUAL : 0);
}

/* The greatest error of one trial on one target; infinite when it did not run at all. *rounding: the
 * greatest share of what rounding may do, which is not in the error. */
static double run_trial(const struct trial *t, const struct model *model,
                        const struct target *target, double *rounding)
{
    struct runner_settings   settings = {.precision = target->precision};
    const struct model_info *info     = model_info(model);
    struct why               why      = {""};
    struct runner           *runner;
    const float             *y;
    double                   worst = 0;
    int                      rc;

    if (target->kernels != NULL && target->precision == PRECISION_INT8)
        rc = open_calibrated(&runner, t, model, target->kernels, &why);
    else if (target->kernels != NULL)
        rc = backend_cpu_open_with(&runner, model, target->kernels, target->precision, &why);
    else
        rc = target->backend->open(&runner, model, &settings, &why);
    if (rc != 0 || target->backend->run(runner, t->x.at, 1, &why) != 0) {
        diag("%s", why.text);
        return INFINITY;
    }
    if (target->backend == &BACKEND_CPU && !runs_fast(runner, t->x.at))
        worst = INFINITY;
    y = target->backend->output(runner, 0);
    for (int64_t i = 0; i < elements(&t->y); i++) {
        double error = fabs((double)y[i] - (double)t->y.at[i]);
        if (target->precision == PRECISION_INT8 && t->factors.at != NULL) {
            double allowed = code_error(t, i);
            *rounding      = fmax(*rounding, error / allowed);
            error          = error - fmin(error, allowed);
        }
        if (target->precision == PRECISION_BF16 && t->spread.at != NULL) {
            double spread = (double)t->spread.at[i];
            *rounding     = fmax(*rounding, spread > 0 ? error / (BF16_DEVIATIONS * spread) : 0);
            error         = error - fmin(error, BF16_DEVIATIONS * spread);
        }
        error /= 1 + fabs((double)t->y.at[i]);
        worst = error <= worst ? worst : error; /* also when it is not a number */
    }
    if (info->output[0].dimension_count != t->y.rank ||
        memcmp(info->output[0].dimension, t->y.size, (size_t)t->y.rank * sizeof(int64_t)) != 0)
        worst = INFINITY;
    target->backend->close(&runner);
    return worst;
}

static int  written[OPERATORS_MAX]; /* nodes of each operator, by its number */
static bool all_known = true;

static void note_operator(const char *type)
{
    for (int i = 0; model_about_known(i) != NULL && i < OPERATORS_MAX; i++)
        if (strcmp(model_about_known(i), type) == 0) {
            written[i]++;
            return;
        }
    diag("%s is not known", type);
    all_known = false;
}

/* What a model may use stands in some row. */
static void test_completeness(void)
{
    int count = 0, missing = 0;

    for (; model_about_known(count) != NULL; count++)
        if (count >= OPERATORS_MAX || written[count] == 0) {
            diag("no row has %s", model_about_known(count));
            missing++;
        }
    ok(all_known && missing == 0, "all %d operators that a model may use are in the table", count);
}

/* All of 9 to 24 that have what the row is of; the variants, which follow the number too, meet others
 * of them in each eight trials. */
static int opset_of(size_t row, int number)
{
    return CASES[row].opset + (number + number / 8) % (OPSET_MAX - CASES[row].opset + 1);
}

static const uint8_t *write_trial(struct trial *t, size_t row, int number, size_t *count)
{
    memset(t, 0, sizeof *t);
    t->onnx.wrote = note_operator;
    t->number     = number;
    t->random     = 0x9e3779b97f4a7c15U + (uint64_t)number * 7919 + row * 104729;
    t->onnx.opset = opset_of(row, number);
    for (int k = 0; k < 20; k++)
        pick(t, 0, 1);
    onnx_output(&t->onnx, "y");
    CASES[row].write(t);
    return onnx_finish(&t->onnx, count);
}

static void free_trial(struct trial *t)
{
    onnx_free(&t->onnx);
    free(t->x.at);
    free(t->y.at);
    free(t->spread.at);
    free(t->factors.at);
}

static void test_case(size_t row, const struct target *target, int trials)
{
    bool   exact = target->precision != PRECISION_F16;
    double bound = exact ? CASES[row].tolerance : CASES[row].rough, worst = 0, rounding = 0;

    if (!exact && CASES[row].rough == EXACT)
        return;
    for (int i = 0; i < trials; i++) {
        struct trial   t;
        struct why     why = {""};
        struct model  *model;
        size_t         count;
        const uint8_t *bytes = write_trial(&t, row, i, &count);
        double         error = INFINITY;

        if (model_load_bytes(&model, bytes, count, "trial", &why) != 0)
            diag("trial %d: %s", i, why.text);
        else
            error = run_trial(&t, model, target, &rounding);
        if (!(error <= bound))
            diag("trial %d: error %g", i, error);
        if (!(error <= worst))
            worst = error;
        model_close(&model);
        free_trial(&t);
    }
    ok(worst <= bound, "%s %s %s: %s: %d shapes, worst error %.1e", target->backend->name,
       target->kernels != NULL ? target->kernels : "", precision_name(target->precision),
       CASES[row].name, trials, worst);
    if (rounding > 0)
        diag("at most %.0f %% of what rounding may do", 100 * rounding);
}

static void test_target(const struct target *target, int trials)
{
    for (size_t row = 0; row < CASE_COUNT; row++)
        test_case(row, target, trials);
}

/* A model of one operator decides whether the precision is there at all. */
static bool has_precision(const struct backend_ops *backend, enum precision precision,
                          struct why *why)
{
    struct runner_settings settings = {.precision = precision};
    struct trial           t;
    struct model          *model;
    size_t                 count;
    const uint8_t         *bytes = write_trial(&t, 0, 0, &count);
    bool                   has   = false;

    if (model_load_bytes(&model, bytes, count, "trial", why) == 0)
        has = backend_supports(backend, model, &settings, why) == 0;
    model_close(&model);
    free_trial(&t);
    return has;
}

static void test_backend(const struct backend_ops *backend, int trials)
{
    struct why why = {""};

    if (!backend->available(&why)) {
        skip_one("%s: %s", backend->name, why.text);
        return;
    }
    for (int p = PRECISION_F32; p < PRECISION_COUNT; p++) {
        struct target target = {backend, NULL, (enum precision)p};
        if (backend == &BACKEND_CPU && (p == PRECISION_F32 || p == PRECISION_INT8))
            continue; /* with each set of kernels instead */
        if (has_precision(backend, target.precision, &why))
            test_target(&target, trials);
        else
            skip_one("%s %s: %s", backend->name, precision_name(target.precision), why.text);
    }
}

/* The smallest of a few trials of each row. */
static int write_seeds(const char *folder)
{
    for (size_t row = 0; row < CASE_COUNT; row++) {
        struct trial   t;
        char           path[600];
        size_t         least  = SIZE_MAX, count;
        int            chosen = 0;
        const uint8_t *bytes;
        FILE          *file;
        for (int i = 0; i < TRIALS; i++) {
            write_trial(&t, row, i, &count);
            if (count < least) {
                least  = count;
                chosen = i;
            }
            free_trial(&t);
        }
        bytes = write_trial(&t, row, chosen, &count);
        snprintf(path, sizeof path, "%s/row%02zu.onnx", folder, row);
        file = fopen(path, "wb");
        if (file == NULL || fwrite(bytes, 1, count, file) != count || fclose(file) != 0)
            return 1;
        free_trial(&t);
    }
    return 0;
}

static bool write_whole(const char *folder, size_t row, int number, const char *end,
                        const void *bytes, size_t count)
{
    char  path[600];
    FILE *file;

    snprintf(path, sizeof path, "%s/%02zu_%03d.%s", folder, row, number, end);
    file = fopen(path, "wb");
    return file != NULL && fwrite(bytes, 1, count, file) == count && fclose(file) == 0;
}

static int write_cases(const char *folder, int trials)
{
    bool good = true;

    for (size_t row = 0; row < CASE_COUNT; row++)
        for (int i = 0; i < trials; i++) {
            struct trial   t;
            size_t         count;
            const uint8_t *bytes = write_trial(&t, row, i, &count);
            good                 = good && write_whole(folder, row, i, "onnx", bytes, count) &&
                   write_whole(folder, row, i, "name", CASES[row].name, strlen(CASES[row].name)) &&
                   write_whole(folder, row, i, "in", t.x.at,
                               (size_t)elements(&t.x) * sizeof *t.x.at) &&
                   write_whole(folder, row, i, "out", t.y.at,
                               (size_t)elements(&t.y) * sizeof *t.y.at);
            free_trial(&t);
        }
    return good ? 0 : 1;
}

int main(int argc, char **argv)
{
    const char *kernels[] = {"plain", "avx2", "avx512"};
    const char *codes[]   = {"plain", "avx2", "avx2_vnni", "avx512", "avx512_amx"};
    const char *wanted    = getenv("SIGHTLINE_OPERATOR_TRIALS");
    int         trials    = wanted != NULL ? (int)strtol(wanted, NULL, 10) : TRIALS;

    if (argc == 3 && strcmp(argv[1], "--seeds") == 0)
        return write_seeds(argv[2]);
    if (argc == 3 && strcmp(argv[1], "--cases") == 0)
        return write_cases(argv[2], trials);
    for (int k = 0; k < 3; k++) {
        struct target target = {&BACKEND_CPU, kernels[k], PRECISION_F32};
        if (kernels_find(kernels[k]) != NULL)
            test_target(&target, trials);
        else
            skip_one("this machine has no %s", kernels[k]);
    }
    for (int k = 0; k < 5; k++) {
        struct target target = {&BACKEND_CPU, codes[k], PRECISION_INT8};
        if (kernels_find(codes[k]) != NULL)
            test_target(&target, trials);
        else
            skip_one("this machine has no %s for 8 bits", codes[k]);
    }
    for (int i = 0; BACKENDS[i] != NULL; i++)
        test_backend(BACKENDS[i], trials);
    if (trials >= TRIALS_ALL)
        test_completeness();
    return done_testing();
}
