/* gpu/cpu/kernels_number.h: functions of one number, rows that are normalised, softmax by columns.
 *
 * Part of kernels_body.h, which says what B and the V_ macros are. */
#ifndef SIGHTLINE_GPU_CPU_KERNELS_NUMBER_H
#define SIGHTLINE_GPU_CPU_KERNELS_NUMBER_H

#include <float.h>
#include <math.h>

INLINE vec v_exp(vec x)
{
    return v_exp2(x * v_all(1.44269504F));
}

INLINE vec v_absolute(vec x)
{
    return (vec)((ivec)x & 0x7fffffff);
}

/* With the sign of `sign`. */
INLINE vec v_signed(vec x, vec sign)
{
    return (vec)(((ivec)x & 0x7fffffff) | ((ivec)sign & (int32_t)0x80000000));
}

/* The mantissa m within sqrt(1/2)..sqrt(2) by the series of 2 atanh((m - 1) / (m + 1)), whose rest
 * is below 1e-8 there, and the exponent times log(2). */
INLINE vec v_log(vec x)
{
    const ivec tiny = (ivec)(x < v_all(FLT_MIN)); /* brought up by 2^24 */
    vec        m    = v_pick(tiny, x * v_all(16777216.0F), x), e, s, square, sum;
    ivec       bits = (ivec)m, exponent = (bits - 0x3f3504f3) >> 23;

    e      = __builtin_convertvector(exponent, vec) - v_pick(tiny, v_all(24.0F), v_all(0.0F));
    m      = (vec)(bits - (exponent << 23));
    s      = (m - v_all(1.0F)) / (m + v_all(1.0F));
    square = s * s;
    sum    = v_all(0.22222222F);
    sum    = V_FMA(sum, square, v_all(0.28571429F));
    sum    = V_FMA(sum, square, v_all(0.4F));
    sum    = V_FMA(sum, square, v_all(0.66666667F));
    sum    = V_FMA(sum, square, v_all(2.0F));
    sum    = V_FMA(s, sum, e * v_all(0.69314718F));
    sum    = v_pick((ivec)(x == v_all(0.0F)), v_all(-INFINITY), sum);
    sum    = v_pick((ivec)(x > v_all(FLT_MAX)), x, sum);
    return v_pick((ivec)(x >= v_all(0.0F)), sum, v_all(NAN));
}

/* By the series where x is small, where 1 - 2 / (exp(2x) + 1) would cancel. */
INLINE vec v_tanh(vec x)
{
    vec a = v_absolute(x), square = x * x, near, far;

    near = v_all(-0.05396825F); /* x - x^3 / 3 + 2 x^5 / 15 - 17 x^7 / 315 */
    near = V_FMA(near, square, v_all(0.13333333F));
    near = V_FMA(near, square, v_all(-0.33333333F));
    near = V_FMA(near * square, x, x);
    far  = v_all(1.0F) - v_all(2.0F) / (v_exp(V_MIN(a, v_all(20.0F)) * v_all(2.0F)) + v_all(1.0F));
    return v_pick((ivec)(a < v_all(0.15F)), near, v_signed(far, x));
}

/* By the rational approximation of Abramowitz and Stegun, 7.1.26: off by at most 1.5e-7. */
INLINE vec v_erf(vec x)
{
    vec a = v_absolute(x), t = v_all(1.0F) / V_FMA(a, v_all(0.3275911F), v_all(1.0F)), sum;

    sum = v_all(1.061405429F);
    sum = V_FMA(sum, t, v_all(-1.453152027F));
    sum = V_FMA(sum, t, v_all(1.421413741F));
    sum = V_FMA(sum, t, v_all(-0.284496736F));
    sum = V_FMA(sum, t, v_all(0.254829592F));
    return v_signed(v_all(1.0F) - sum * t * v_exp(-a * a), x);
}

/* log(1 + exp(x)), as the larger of x and 0 plus what the smaller adds. */
INLINE vec v_softplus(vec x)
{
    return V_MAX(x, v_all(0.0F)) + v_log(v_all(1.0F) + v_exp(-v_absolute(x)));
}

/* tanh(log(1 + e)) is ((1 + e)^2 - 1) / ((1 + e)^2 + 1). */
INLINE vec v_mish(vec x)
{
    vec e = v_exp(V_MIN(x, v_all(20.0F))), n = e * (e + v_all(2.0F));

    return v_pick((ivec)(x > v_all(20.0F)), x, x * n / (n + v_all(2.0F)));
}

INLINE vec v_elu(float a, vec x)
{
    vec below = V_MIN(x, v_all(0.0F)), near = below * V_FMA(below, v_all(0.5F), v_all(1.0F));

    near = v_pick((ivec)(below > v_all(-0.01F)),
                  V_FMA(below * below * below, v_all(1.0F / 6), near), v_exp(below) - v_all(1.0F));
    return v_pick((ivec)(x < v_all(0.0F)), near * v_all(a), x);
}

INLINE vec v_unary(const enum unary_kind kind, float a, vec x)
{
    switch (kind) {
    case UNARY_ABSOLUTE:
        return v_absolute(x);
    case UNARY_NEGATE:
        return -x;
    case UNARY_SQUARE:
        return x * x;
    case UNARY_RECIPROCAL:
        return v_all(1.0F) / x;
    case UNARY_EXPONENTIAL:
        return v_exp(x);
    case UNARY_LOGARITHM:
        return v_log(x);
    case UNARY_ERROR_FUNCTION:
        return v_erf(x);
    case UNARY_HYPERBOLIC_TANGENT:
        return v_tanh(x);
    case UNARY_SOFTPLUS:
        return v_softplus(x);
    case UNARY_MISH:
        return v_mish(x);
    case UNARY_GELU:
        return x * v_all(0.5F) * (v_all(1.0F) + v_erf(x * v_all(0.70710678F)));
    case UNARY_GELU_TANH:
        return x * v_sigmoid(x * V_FMA(x * x, v_all(0.07135481F), v_all(1.59576912F)));
    case UNARY_ELU:
        return v_elu(a, x);
    case UNARY_NOT:
        return v_pick((ivec)(x == v_all(0.0F)), v_all(1.0F), v_all(0.0F));
    default:
        return x;
    }
}

INLINE void unary_any(const enum unary_kind kind, float a, const float *x, float *y, int64_t count)
{
    int64_t i = 0;

    for (; i + B <= count; i += B)
        v_store(y + i, v_unary(kind, a, v_load(x + i)));
    if (i < count) {
        float last[B] = {0};
        memcpy(last, x + i, (size_t)(count - i) * sizeof *x);
        v_store(last, v_unary(kind, a, v_load(last)));
        memcpy(y + i, last, (size_t)(count - i) * sizeof *x);
    }
}

static void unary(enum unary_kind kind, float a, const float *x, float *y, int64_t count)
{
#define CASE(name)                       \
    case name:                           \
        unary_any(name, a, x, y, count); \
        return
    switch (kind) {
        CASE(UNARY_ABSOLUTE);
        CASE(UNARY_NEGATE);
        CASE(UNARY_SQUARE);
        CASE(UNARY_RECIPROCAL);
        CASE(UNARY_EXPONENTIAL);
        CASE(UNARY_LOGARITHM);
        CASE(UNARY_ERROR_FUNCTION);
        CASE(UNARY_HYPERBOLIC_TANGENT);
        CASE(UNARY_SOFTPLUS);
        CASE(UNARY_MISH);
        CASE(UNARY_GELU);
        CASE(UNARY_GELU_TANH);
        CASE(UNARY_ELU);
        CASE(UNARY_NOT);
    default: /* rare: by the C library */
        for (int64_t i = 0; i < count; i++)
            y[i] = graph_unary(kind, a, x[i]);
    }
#undef CASE
}

INLINE float v_sum(vec x)
{
    float sum = 0.0F;

    for (int i = 0; i < B; i++)
        sum += x[i];
    return sum;
}

static float sum_row(const float *x, int64_t count)
{
    vec     sum[4] = {v_all(0.0F), v_all(0.0F), v_all(0.0F), v_all(0.0F)};
    float   rest   = 0.0F;
    int64_t i      = 0;

    for (; i + 4 * B <= count; i += 4 * B)
        for (int k = 0; k < 4; k++)
            sum[k] += v_load(x + i + k * B);
    for (; i + B <= count; i += B)
        sum[0] += v_load(x + i);
    for (; i < count; i++)
        rest += x[i];
    return v_sum(sum[0] + sum[1] + (sum[2] + sum[3])) + rest;
}

/* Two passes: the mean first, then what is left squared, which does not cancel. */
static void layer_norm(const float *x, const float *scale, const float *shift, float epsilon,
                       float *y, int64_t count)
{
    float   mean = sum_row(x, count) / (float)count, rest = 0.0F, factor;
    vec     sum = v_all(0.0F);
    int64_t i   = 0;

    for (; i + B <= count; i += B) {
        vec d = v_load(x + i) - v_all(mean);
        sum += d * d;
    }
    for (; i < count; i++)
        rest += (x[i] - mean) * (x[i] - mean);
    factor = 1.0F / sqrtf((v_sum(sum) + rest) / (float)count + epsilon);
    for (i = 0; i < count; i++)
        y[i] = (x[i] - mean) * factor;
    for (i = 0; scale != NULL && i < count; i++)
        y[i] *= scale[i];
    for (i = 0; shift != NULL && i < count; i++)
        y[i] += shift[i];
}

/* `lanes` columns, B at most: `count` numbers each, `stride` apart. */
INLINE vec column_load(const float *x, const int64_t lanes)
{
    vec part = v_all(0.0F);

    if (lanes == B)
        return v_load(x);
    memcpy(&part, x, (size_t)lanes * sizeof *x);
    return part;
}

INLINE void softmax_column(const float *x, float *y, int64_t count, int64_t stride,
                           const int64_t lanes)
{
    vec largest = column_load(x, lanes), sum = v_all(0.0F);

    for (int64_t i = 1; i < count; i++)
        largest = V_MAX(column_load(x + i * stride, lanes), largest);
    for (int64_t i = 0; i < count; i++) {
        vec e = v_exp(column_load(x + i * stride, lanes) - largest);
        sum += e;
        memcpy(y + i * stride, &e, (size_t)lanes * sizeof *y);
    }
    sum = v_all(1.0F) / sum;
    for (int64_t i = 0; i < count; i++) {
        vec e = column_load(y + i * stride, lanes) * sum;
        memcpy(y + i * stride, &e, (size_t)lanes * sizeof *y);
    }
}

static void softmax_columns(const float *x, float *y, int64_t count, int64_t stride)
{
    int64_t column = 0;

    for (; column + B <= stride; column += B)
        softmax_column(x + column, y + column, count, stride, B);
    if (column < stride)
        softmax_column(x + column, y + column, count, stride, stride - column);
}

#endif
