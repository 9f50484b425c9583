/* tests/cuda_cases.h: the operators that the CUDA backend has, with a bound for each.
 *
 * tests/unit/cuda_plan_test.c runs them on the processor, tests/gpu/cuda_device_test.c on a card. */
#ifndef SIGHTLINE_TESTS_CUDA_CASES_H
#define SIGHTLINE_TESTS_CUDA_CASES_H

#include "gpu/model.h"
#include "tests/tap.h"

/* Cases of operators that only the CPU has are not used here. */
#pragma GCC diagnostic ignored "-Wunused-function"
#include "tests/operator_axis.h"
#include "tests/operator_conv.h"
#include "tests/operator_index.h"
#include "tests/operator_math.h"
#include "tests/operator_move.h"

#ifndef TRIALS
#define TRIALS 16
#endif
#define BATCH 2

/* Half precision has 11 bits: one rounding is 5e-4 of a number, and sums of many terms carry the
 * roundings of their inputs. */
static const struct {
    const char *name;
    void (*write)(struct trial *trial);
    double tolerance; /* of each number, beside 1 + its size */
} CASES[] = {
    {"Conv with any window", case_conv_dense, 2e-2},
    {"Conv of few channels", case_conv_stem, 1e-2},
    {"Conv 1x1", case_conv_pointwise, 2e-2},
    {"Conv by channel", case_conv_depthwise, 1e-2},
    {"Conv in groups", case_conv_grouped, 1e-2},
    {"Conv, activation and residual", case_conv_fused, 2e-2},
    {"activations", case_activation, 2e-3},
    {"Conv 3x3", case_conv_square, 3e-2},
    {"Add, Sub, Mul, Div", case_arithmetic, 5e-3},
    {"Shape, Cast, Unsqueeze, Floor", case_shape_arithmetic, 1e-3},
    {"BatchNormalization", case_batch_normalization, 4e-3},
    {"GlobalAveragePool and a gate", case_gate, 4e-3},
    {"ReduceMean", case_mean, 2e-3},
    {"Softmax", case_softmax, 2e-3},
    {"Softmax of channels, Conv to one", case_expectation, 5e-3},
    {"LayerNormalization, also written out", case_layer_norm, 5e-3},
    {"Gemm", case_gemm, 2e-3},
    {"MatMul", case_matmul, 5e-3},
    {"MaxPool, AveragePool", case_pool, 2e-3},
    {"Resize", case_resize, 3e-3},
    {"Pad", case_pad, 1e-3},
    {"Transpose", case_transpose, 1e-3},
    {"Slice and Concat of channels", case_slice_concat, 1e-3},
    {"Concat of levels, Split, Concat", case_levels, 1e-3},
    {"Slice between lanes", case_slice_lanes, 1e-3},
    {"Slice between lanes, Conv", case_slice_conv, 2e-2},
    {"Slice with steps", case_slice_steps, 1e-3},
    {"Reshape, Transpose, Split: a shuffle", case_shuffle, 1e-3},
    {"Gather", case_gather, 1e-3},
    {"Dropout, Squeeze, Identity, Flatten", case_same_numbers, 1e-3},
    {"Focus", case_focus, 2e-2},
    {"Gather at computed places", case_gather_computed, 1e-3},
    {"GatherElements", case_gather_elements, 1e-3},
    {"GatherND", case_gather_nd, 1e-3},
    {"TopK, ArgMax", case_top_k, 1e-3},
    {"GridSample", case_grid_sample, 5e-3},
    {"Where", case_where, 1e-3},
    {"MatMul of stacks", case_stacks, 5e-3},
    {"Einsum", case_einsum, 5e-3},
    {"GELU, Mish, HardSwish written out", case_written_out, 5e-3},
    {"Min, Max, Mod, Pow", case_two_numbers, 5e-3},
    {"comparisons and logic", case_compare, 1e-3},
    {"Div, Mod, Mul, Sub of integers", case_whole_numbers, 1e-3},
    {"Min, Max, Sum, Mean of three", case_many, 5e-3},
    {"Clip with computed limits, PRelu", case_clip_and_prelu, 5e-3},
    {"GlobalMaxPool", case_global_max, 5e-3},
    {"ReduceSum, Max, Min, Prod, L1, L2, SumSquare", case_reduce, 5e-3},
    {"LogSoftmax", case_log_softmax, 5e-3},
    {"InstanceNormalization, GroupNormalization", case_group_norm, 5e-3},
    {"LpNormalization", case_lp_norm, 5e-3},
    {"Expand, Tile", case_expand_tile, 1e-3},
    {"DepthToSpace, SpaceToDepth", case_depth_space, 1e-3},
    {"ConvTranspose", case_conv_transpose, 2e-2},
#if defined(CUDA_HALF_AS_FLOAT) /* half precision has neither such large nor such fine numbers */
    {"functions of one number", case_function, 0},
    {"Floor, Ceil, Round, Sign", case_step_function, 0},
#endif
};

/* Without the rounding only the order of sums is the kernels' own. */
static double tolerance_of(size_t row)
{
#if defined(CUDA_HALF_AS_FLOAT)
    (void)row;
    return 2e-4;
#else
    return CASES[row].tolerance;
#endif
}

/* The model on one picture twice in a batch; the greatest error, negative when it was refused. */
typedef double run_trial_fn(struct trial *trial, const struct model *model);

static double worst_of(const struct trial *t, const float *y)
{
    int64_t out   = elements(&t->y);
    double  worst = 0;

    for (int64_t i = 0; i < out * BATCH; i++) {
        double expected = (double)t->y.at[i % out];
        double error    = fabs((double)y[i] - expected) / (1 + fabs(expected));
        worst           = error <= worst ? worst : error; /* also when it is not a number */
    }
    return worst;
}

/* BATCH times the trial's input; freed by the caller. */
static float *repeat_input(const struct trial *t)
{
    int64_t in    = elements(&t->x);
    float  *input = malloc((size_t)in * BATCH * sizeof *input);

    if (input == NULL)
        abort();
    for (int i = 0; i < BATCH; i++)
        memcpy(input + i * in, t->x.at, (size_t)in * sizeof *input);
    return input;
}

static void test_case(size_t row, run_trial_fn *run_trial)
{
    double worst   = 0;
    int    refused = 0;

    for (int i = 0; i < TRIALS; i++) {
        struct trial   t   = {.number = i,
                              .random = 0x9e3779b97f4a7c15U + (uint64_t)i * 7919 + row * 104729};
        struct why     why = {""};
        struct model  *model;
        size_t         count;
        const uint8_t *bytes;
        double         error;

        t.onnx.opset = CASES[row].write == case_layer_norm ? 17 : 13;
        for (int k = 0; k < 20; k++)
            pick(&t, 0, 1);
        onnx_output(&t.onnx, "y");
        CASES[row].write(&t);
        bytes = onnx_finish(&t.onnx, &count);
        if (model_load_bytes(&model, bytes, count, "trial", &why) != 0) {
            diag("trial %d: %s", i, why.text);
            refused++;
        } else {
            error = run_trial(&t, model);
            if (!(error >= 0) || error > tolerance_of(row))
                diag("trial %d: error %g", i, error);
            refused += !(error >= 0);
            worst = error > worst ? error : worst;
        }
        model_close(&model);
        onnx_free(&t.onnx);
        free(t.x.at);
        free(t.y.at);
        free(t.spread.at);
        free(t.factors.at);
    }
    ok(refused == 0 && worst <= tolerance_of(row), "%s: %d shapes, worst error %.1e",
       CASES[row].name, TRIALS, worst);
}

static void test_cases(run_trial_fn *run_trial)
{
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++)
        test_case(i, run_trial);
}

#endif
