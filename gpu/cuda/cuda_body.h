/* gpu/cuda/cuda_body.h: half precision, lanes and addresses: the ground of the kernels' bodies.
 *
 * C and CUDA at once: see gpu/cuda/cuda_kernels.h. */
#ifndef SIGHTLINE_GPU_CUDA_CUDA_BODY_H
#define SIGHTLINE_GPU_CUDA_CUDA_BODY_H

#include "gpu/cuda/cuda_kernels.h"

#include <math.h>
#include <string.h>

#if defined(__CUDACC__)
#include <cuda_fp16.h>
#define BODY static __device__ __forceinline__
#else
#define BODY static inline __attribute__((unused))
#endif

#if defined(__CUDACC__)

BODY float half_load(half_bits bits)
{
    return __half2float(__ushort_as_half(bits));
}

BODY half_bits half_store(float x)
{
    return __half_as_ushort(__float2half_rn(x));
}

#elif defined(CUDA_HALF_AS_FLOAT)

BODY float half_load(half_bits bits)
{
    return bits;
}

BODY half_bits half_store(float x)
{
    return x;
}

#else

BODY float half_load(half_bits bits)
{
    uint32_t sign = (uint32_t)(bits & 0x8000U) << 16, rest = bits & 0x7fffU, word;
    float    x;

    if (rest < 0x400U) { /* zero and what is smaller than normal: a multiple of 2^-24 */
        x = (float)rest * 0x1p-24F;
        memcpy(&word, &x, sizeof word);
        word |= sign;
    } else if (rest >= 0x7c00U) {
        word = sign | 0x7f800000U | (rest & 0x3ffU) << 13;
    } else {
        word = sign | ((rest << 13) + 0x38000000U);
    }
    memcpy(&x, &word, sizeof x);
    return x;
}

/* To the nearest, ties to even. */
BODY half_bits half_store(float x)
{
    uint32_t word, sign, rest;
    float    tiny;

    memcpy(&word, &x, sizeof word);
    sign = word >> 16 & 0x8000U;
    rest = word & 0x7fffffffU;
    if (rest > 0x7f800000U)
        return (half_bits)(sign | 0x7fffU);
    if (rest >= 0x477ff000U)
        return (half_bits)(sign | 0x7c00U);
    if (rest < 0x38800000U) {
        memcpy(&tiny, &rest, sizeof tiny);
        return (half_bits)(sign | (uint32_t)lrintf(tiny * 0x1p24F));
    }
    rest += 0xfffU + (rest >> 13 & 1U);
    return (half_bits)(sign | (rest - 0x38000000U) >> 13);
}

#endif

struct lanes {
    float at[CUDA_LANES];
};

/* `from` lies on 16 bytes. */
BODY struct lanes lanes_load(const half_bits *from)
{
    struct lanes out;
#if defined(__CUDACC__)
    const uint4    packed  = *reinterpret_cast<const uint4 *>(from);
    const unsigned word[4] = {packed.x, packed.y, packed.z, packed.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        out.at[2 * i]     = half_load((half_bits)(word[i] & 0xffffU));
        out.at[2 * i + 1] = half_load((half_bits)(word[i] >> 16));
    }
#else
    for (int i = 0; i < CUDA_LANES; i++)
        out.at[i] = half_load(from[i]);
#endif
    return out;
}

BODY void lanes_store(half_bits *to, const struct lanes *from)
{
#if defined(__CUDACC__)
    unsigned word[4];
#pragma unroll
    for (int i = 0; i < 4; i++)
        word[i] = (unsigned)half_store(from->at[2 * i]) | (unsigned)half_store(from->at[2 * i + 1])
                                                              << 16;
    *reinterpret_cast<uint4 *>(to) = make_uint4(word[0], word[1], word[2], word[3]);
#else
    for (int i = 0; i < CUDA_LANES; i++)
        to[i] = half_store(from->at[i]);
#endif
}

/* Groups of lanes of a picture's channels. */
BODY uint32_t lane_groups(const struct cuda_picture *picture)
{
    return (picture->channels + CUDA_LANES - 1) / CUDA_LANES;
}

BODY half_bits *pixel_at(const struct cuda_picture *picture, uint32_t image, uint32_t y, uint32_t x)
{
    return picture->at + (int64_t)image * picture->image +
           (int64_t)(y * picture->width + x) * picture->pitch;
}

#define ACTIVATION_UNARY 100 /* activation kinds from here on are enum unary_kind */

BODY float softplus(float x)
{
    return x > 20.0F ? x : log1pf(expf(x));
}

/* The same kinds, in the same order, as enum unary_kind. */
BODY float unary(int32_t kind, float a, float x)
{
    switch (kind) {
    case 0:
        return fabsf(x);
    case 1:
        return -x;
    case 2:
        return x * x;
    case 3:
        return sqrtf(x);
    case 4:
        return 1.0F / x;
    case 5:
        return expf(x);
    case 6:
        return logf(x);
    case 7:
        return erff(x);
    case 8:
        return tanhf(x);
    case 9:
        return softplus(x);
    case 10:
        return x * tanhf(softplus(x));
    case 11:
        return 0.5F * x * (1.0F + erff(x * 0.70710678F));
    case 12:
        return 0.5F * x * (1.0F + tanhf(0.79788456F * (x + 0.044715F * x * x * x)));
    case 13:
        return x < 0.0F ? a * (expf(x) - 1.0F) : x;
    case 14:
        return floorf(x);
    case 15:
        return ceilf(x);
    case 16:
        return rintf(x);
    case 17:
        return truncf(x);
    case 18:
        return x > 0.0F ? 1.0F : x < 0.0F ? -1.0F : 0.0F;
    case 19:
        return x == 0.0F ? 1.0F : 0.0F;
    case 20:
        return sinf(x);
    default:
        return cosf(x);
    }
}

/* The same kinds, in the same order, as enum activation_kind. */
BODY float activate(const struct cuda_activation *activation, float x)
{
    float y;

    switch (activation->kind) {
    case 0:
        return x;
    case 1:
        return x < 0.0F ? activation->a * x : x;
    case 2:
        return fminf(fmaxf(x, activation->a), activation->b);
    case 3:
        return 1.0F / (1.0F + expf(-x));
    case 4:
        return x / (1.0F + expf(-x));
    case 5:
        return fminf(fmaxf(activation->a * x + activation->b, 0.0F), 1.0F);
    case 6:
        y = fminf(fmaxf(activation->a * x + activation->b, 0.0F), 1.0F);
        return x * y;
    default:
        return unary(activation->kind - ACTIVATION_UNARY, activation->a, x);
    }
}

/* As enum binary_kind. */
BODY float combine(int32_t kind, float a, float b)
{
    switch (kind) {
    case 0:
        return a + b;
    case 1:
        return a - b;
    case 2:
        return a * b;
    case 3:
        return a / b;
    case 4:
        return fminf(a, b);
    case 5:
        return fmaxf(a, b);
    case 6:
        return powf(a, b);
    case 7:
        return a - b * floorf(a / b);
    case 8:
        return fmodf(a, b);
    case 9:
        return a == b ? 1.0F : 0.0F;
    case 10:
        return a < b ? 1.0F : 0.0F;
    case 11:
        return a <= b ? 1.0F : 0.0F;
    case 12:
        return a != 0.0F && b != 0.0F ? 1.0F : 0.0F;
    case 13:
        return a != 0.0F || b != 0.0F ? 1.0F : 0.0F;
    default:
        return (a != 0.0F) != (b != 0.0F) ? 1.0F : 0.0F;
    }
}

/* Where number `index` of the model's order lies. */
BODY int64_t view_place(const struct cuda_view *view, uint32_t image, uint32_t index)
{
    int64_t base = (int64_t)image * view->image;

    if (!view->is_picture)
        return base + index;
    return base + (int64_t)(index % view->pixels) * view->pitch + index / view->pixels;
}

BODY float view_load(const struct cuda_view *view, uint32_t image, uint32_t index)
{
    int64_t place = view_place(view, image, index);

    return view->is_picture ? half_load(((const half_bits *)view->at)[place])
                            : ((const float *)view->at)[place];
}

BODY void view_store(const struct cuda_view *view, uint32_t image, uint32_t index, float x)
{
    int64_t place = view_place(view, image, index);

    if (view->is_picture)
        ((half_bits *)view->at)[place] = half_store(x);
    else
        ((float *)view->at)[place] = x;
}

/* Threads that write a view: with the lanes that fill up a picture. */
BODY uint32_t view_threads(const struct cuda_view *view)
{
    uint32_t lanes = (view->channels + CUDA_LANES - 1) / CUDA_LANES * CUDA_LANES;

    return view->is_picture ? view->pixels * lanes : view->elements;
}

/* The number that thread `thread` writes, in the order in which the view lies in memory; false for a
 * lane without meaning, which is then set to 0. */
BODY int view_index(const struct cuda_view *view, uint32_t image, uint32_t thread, uint32_t *index)
{
    uint32_t lanes, channel;

    *index = thread;
    if (!view->is_picture)
        return 1;
    lanes   = (view->channels + CUDA_LANES - 1) / CUDA_LANES * CUDA_LANES;
    channel = thread % lanes;
    if (channel >= view->channels) {
        ((half_bits *)view->at)[(int64_t)image * view->image +
                                (int64_t)(thread / lanes) * view->pitch + channel] = 0;
        return 0;
    }
    *index = channel * view->pixels + thread / lanes;
    return 1;
}

#endif
