/* gpu/cpu/kernels_vector.h: the vector type of the kernels and what it can do.
 *
 * Part of kernels_body.h, which says what B and the V_ macros are. */
#include "gpu/cpu/kernels.h"

#include <string.h>

typedef float   vec __attribute__((vector_size(B * 4)));
typedef int32_t ivec __attribute__((vector_size(B * 4)));

#define INLINE static inline __attribute__((always_inline))

INLINE vec v_load(const float *p)
{
    vec v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE void v_store(float *p, vec v)
{
    memcpy(p, &v, sizeof v);
}

INLINE vec v_all(float x)
{
#ifdef V_ALL
    return V_ALL(x);
#else
    vec v;

    for (int i = 0; i < B; i++)
        v[i] = x;
    return v;
#endif
}

INLINE vec v_pick(ivec mask, vec a, vec b)
{
    return (vec)(((ivec)a & mask) | ((ivec)b & ~mask));
}

#ifndef V_MAX
#define V_MAX(a, b) v_pick((ivec)((a) > (b)), a, b)
#define V_MIN(a, b) v_pick((ivec)((a) < (b)), a, b)
#endif

#ifndef V_ROUND
INLINE vec v_round(vec x)
{
    const vec rounder = v_all(12582912.0F); /* 1.5 * 2^23: adding it rounds to an integer */

    return (x + rounder) - rounder;
}
#define V_ROUND(x) v_round(x)
#endif

#ifndef V_SCALE
/* x * 2^n for whole n within -126..127. */
INLINE vec v_scale(vec x, vec n)
{
    return (vec)((ivec)x + (__builtin_convertvector(n, ivec) << 23));
}
#define V_SCALE(x, n) v_scale(x, n)
#define V_SCALE_LIMIT 126.0F
#endif

#ifndef V_RECIPROCAL
#define V_RECIPROCAL(x) (v_all(1.0F) / (x))
#endif

/* 2^t: 2 to the whole part times a polynomial of the rest, fitted to a relative error of 1e-7. */
INLINE vec v_exp2(vec t)
{
    vec n, f, p;

#ifdef V_SCALE_LIMIT
    t = V_MAX(V_MIN(t, v_all(V_SCALE_LIMIT)), v_all(-V_SCALE_LIMIT));
#endif
    n = V_ROUND(t);
    f = t - n;
    p = v_all(0.001327647129073739F);
    p = V_FMA(p, f, v_all(0.009675540961325169F));
    p = V_FMA(p, f, v_all(0.05550713092088699F));
    p = V_FMA(p, f, v_all(0.24022120237350464F));
    p = V_FMA(p, f, v_all(0.6931469440460205F));
    p = V_FMA(p, f, v_all(1.0000001192092896F));
    return V_SCALE(p, n);
}

/* 1 / (1 + exp(-x)). */
INLINE vec v_sigmoid(vec x)
{
    return V_RECIPROCAL(v_all(1.0F) + v_exp2(x * v_all(-1.44269504F)));
}

INLINE vec v_activate(const struct activation *activation, vec x)
{
    const vec zero = v_all(0.0F), one = v_all(1.0F);
    vec       gate;

    switch (activation->kind) {
    case ACTIVATION_NONE:
        return x;
    case ACTIVATION_RELU:
        return V_MAX(x, zero) + V_MIN(x, zero) * v_all(activation->a);
    case ACTIVATION_CLIP:
        return V_MIN(V_MAX(x, v_all(activation->a)), v_all(activation->b));
    case ACTIVATION_SIGMOID:
        return v_sigmoid(x);
    case ACTIVATION_SILU:
        return x * v_sigmoid(x);
    case ACTIVATION_HARD_SIGMOID:
    case ACTIVATION_HARD_SWISH:
        gate = V_FMA(x, v_all(activation->a), v_all(activation->b));
        gate = V_MIN(V_MAX(gate, zero), one);
        return activation->kind == ACTIVATION_HARD_SWISH ? x * gate : gate;
    }
    return x;
}

static int64_t blocks_of(int64_t channels)
{
    return (channels + B - 1) / B;
}
