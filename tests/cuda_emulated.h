/* tests/cuda_emulated.h: the CUDA backend's steps on the processor.
 *
 * The bodies of the kernels (gpu/cuda/cuda_body*.h) are the text that nvcc compiles; here loops stand
 * for the grid. What cuDNN does is a plain convolution over the same half-precision numbers. So the
 * plan, the layouts, the packed weights, the places in the arena and every kernel's arithmetic are
 * the device's; cuDNN, copies and streams are not. */
#ifndef SIGHTLINE_TESTS_CUDA_EMULATED_H
#define SIGHTLINE_TESTS_CUDA_EMULATED_H

#include "gpu/cuda/cuda_body_ends.h"
#include "gpu/cuda/cuda_body_index.h"
#include "gpu/cuda/cuda_body_pictures.h"
#include "gpu/cuda/cuda_body_plain.h"
#include "gpu/cuda/cuda_plan.h"
#include "tests/tap.h"

/* How a launch is started: at once, unless the includer has streams of its own. `run` takes the
 * arguments, of which there are `bytes`, and the batch. */
#ifndef EMULATED_START
#define EMULATED_START(run, args, bytes, batch, stream) emulated_at_once(run, args, batch, stream)

static int emulated_at_once(void (*run)(const void *args, int batch), const void *args, int batch,
                            void *stream)
{
    (void)stream;
    run(args, batch);
    return 0;
}
#endif

#define EMULATED_LAUNCH(NAME, ARGS)                                               \
    int cuda_launch_##NAME(const struct ARGS *args, int batch, void *stream)      \
    {                                                                             \
        return EMULATED_START(emulate_##NAME, args, sizeof *args, batch, stream); \
    }

#define EMULATED(NAME, ARGS, THREADS)                              \
    static void emulate_##NAME(const void *at, int batch)          \
    {                                                              \
        const struct ARGS *args    = at;                           \
        uint32_t           threads = (THREADS);                    \
        for (uint32_t image = 0; image < (uint32_t)batch; image++) \
            for (uint32_t thread = 0; thread < threads; thread++)  \
                body_##NAME(args, image, thread);                  \
    }                                                              \
    EMULATED_LAUNCH(NAME, ARGS)

EMULATED(input, cuda_input, picture_threads(&args->y))
EMULATED(pool, cuda_pool, picture_threads(&args->y))
EMULATED(resize, cuda_resize, picture_threads(&args->y))
EMULATED(lanes, cuda_lanes, picture_threads(&args->y))
EMULATED(depthwise, cuda_conv, picture_threads(&args->y))
EMULATED(grouped, cuda_conv, picture_threads(&args->y))
EMULATED(copy, cuda_copy, view_threads(&args->y))
EMULATED(binary, cuda_binary, view_threads(&args->y))
EMULATED(softmax, cuda_softmax, args->x.elements / args->count)
EMULATED(layer_norm, cuda_layer_norm, args->x.elements / args->count)
EMULATED(reduce, cuda_reduce, view_threads(&args->y))
EMULATED(pad, cuda_pad, view_threads(&args->y))
EMULATED(piece, cuda_piece, args->x.elements)
EMULATED(matmul, cuda_matmul, matmul_threads(args))
EMULATED(take, cuda_take, view_threads(&args->y))
EMULATED(take_elements, cuda_take_elements, view_threads(&args->y))
EMULATED(take_slices, cuda_take_slices, view_threads(&args->y))
EMULATED(top_k, cuda_top_k, args->x.elements)
EMULATED(grid_sample, cuda_grid_sample, view_threads(&args->y))
EMULATED(where, cuda_where, view_threads(&args->y))

EMULATED(prepare, cuda_prepare, args->tensor_width * args->tensor_height)

/* From the last thread to the first: the boxes must not depend on the order. */
#define EMULATED_FIND(NAME, THREADS)                           \
    for (uint32_t image = 0; image < (uint32_t)batch; image++) \
        for (uint32_t thread = (THREADS); thread-- > 0;)       \
    body_##NAME(args, image, thread)

static void emulate_find(const void *at, int batch)
{
    const struct cuda_find *args = at;
    EMULATED_FIND(clear, 1);
    EMULATED_FIND(decode, args->room);
    EMULATED_FIND(rank, args->room);
    EMULATED_FIND(overlap, CUDA_FIND_BEST * CUDA_OVERLAP_WORDS);
    EMULATED_FIND(keep, 1);
}
EMULATED_LAUNCH(find, cuda_find)

static void emulate_channels(const void *at, int batch)
{
    const struct cuda_channels *args    = at;
    uint32_t                    threads = picture_threads(&args->y);

    for (uint32_t image = 0; image < (uint32_t)batch; image++)
        for (uint32_t thread = 0; thread < threads; thread++)
            if (args->aligned_from >= 0)
                body_channels_aligned(args, image, thread);
            else
                body_channels(args, image, thread);
}
EMULATED_LAUNCH(channels, cuda_channels)

static void emulate_mean(const void *at, int batch)
{
    const struct cuda_mean *args = at;
    for (uint32_t image = 0; image < (uint32_t)batch; image++)
        for (uint32_t group = 0; group < lane_groups(&args->x); group++) {
            struct lanes part[MEAN_THREADS];

            for (uint32_t member = 0; member < MEAN_THREADS; member++)
                part[member] = mean_part(args, image, group, member);
            for (int step = MEAN_THREADS / 2; step > 0; step /= 2)
                for (int member = 0; member < step; member++)
                    for (int i = 0; i < CUDA_LANES; i++)
                        part[member].at[i] += part[member + step].at[i];
            mean_finish(args, image, group, &part[0]);
        }
}
EMULATED_LAUNCH(mean, cuda_mean)

/* ---- what cuDNN does ---- */

/* One picture of a convolution: numbers unpacked to float32 once, then plain loops. */
static void emulate_conv_picture(const struct cuda_conv *c, uint32_t image, const float *w)
{
    uint32_t in = (uint32_t)c->group_in, out = c->y.channels;
    uint32_t lanes = (out + CUDA_LANES - 1) / CUDA_LANES * CUDA_LANES;
    float   *x     = malloc((size_t)c->x.height * c->x.width * in * sizeof *x);

    if (x == NULL)
        abort();
    for (uint32_t p = 0; p < c->x.height * c->x.width; p++)
        for (uint32_t k = 0; k < in; k++)
            x[p * in + k] = half_load(
                c->x.at[(int64_t)image * c->x.image + (int64_t)p * c->x.pitch + k]);
    for (uint32_t p = 0; p < c->y.height * c->y.width; p++)
        for (uint32_t m = 0; m < lanes; m++) {
            int32_t top  = (int32_t)(p / c->y.width) * c->window.stride[0] - c->window.pad_begin[0];
            int32_t left = (int32_t)(p % c->y.width) * c->window.stride[1] - c->window.pad_begin[1];
            half_bits *y = c->y.at + (int64_t)image * c->y.image + (int64_t)p * c->y.pitch + m;
            float      sum = 0.0F, r;

            for (int32_t ky = 0; ky < c->window.kernel[0]; ky++)
                for (int32_t kx = 0; kx < c->window.kernel[1]; kx++) {
                    int32_t      iy = top + ky * c->window.dilation[0];
                    int32_t      ix = left + kx * c->window.dilation[1];
                    const float *a, *b;
                    float        part = 0.0F;
                    if (iy < 0 || ix < 0 || iy >= (int32_t)c->x.height || ix >= (int32_t)c->x.width)
                        continue;
                    a = x + ((size_t)iy * c->x.width + (size_t)ix) * in;
                    b = w + ((size_t)m * (size_t)(c->window.kernel[0] * c->window.kernel[1]) +
                             (size_t)(ky * c->window.kernel[1] + kx)) *
                                in;
                    for (uint32_t k = 0; k < in; k++)
                        part += a[k] * b[k];
                    sum += part;
                }
            sum += c->bias[m];
            r   = c->residual != 0
                      ? half_load(c->r.at[(int64_t)image * c->r.image + (int64_t)p * c->r.pitch + m])
                      : 0.0F;
            sum = activate(&c->activation, c->residual == 1 ? sum + r : sum);
            *y  = half_store(c->residual == 2 ? sum + r : sum);
        }
    free(x);
}

static void emulate_conv(const struct cuda_conv *c, int batch)
{
    size_t count = (size_t)(c->y.channels + CUDA_LANES - 1) / CUDA_LANES * CUDA_LANES *
                   (size_t)c->weight_pitch;
    float *w = malloc(count * sizeof *w);

    if (w == NULL)
        abort();
    for (size_t i = 0; i < count; i++)
        w[i] = half_load(c->weights[i]);
    for (uint32_t image = 0; image < (uint32_t)batch; image++)
        emulate_conv_picture(c, image, w);
    free(w);
}

/* ---- a whole run ---- */

struct emulated {
    const struct cuda_plan *plan;
    struct cuda_memory      memory;
};

/* The arena is filled with what no kernel may read before it was written: not-a-numbers. */
__attribute__((unused)) static void emulated_open(struct emulated        *run,
                                                  const struct cuda_plan *plan, int batch)
{
    size_t bytes = (size_t)plan->arena_bytes * (size_t)batch + CUDA_ALIGN_BYTES;

    run->plan         = plan;
    run->memory       = (struct cuda_memory){.constants = plan->constants, .batch = batch};
    run->memory.arena = aligned_alloc(CUDA_ALIGN_BYTES,
                                      (bytes + CUDA_ALIGN_BYTES - 1) & ~(size_t)255);
    if (run->memory.arena == NULL)
        abort();
    memset(run->memory.arena, 0xff, bytes);
}

__attribute__((unused)) static void emulated_close(struct emulated *run)
{
    free(run->memory.arena);
}

/* What a buffer holds before its first step is what others left there: not-a-numbers at worst. */
__attribute__((unused)) static void emulated_step(struct emulated *run, int number)
{
    const struct cuda_step *step = &run->plan->steps[number];
    union cuda_args         args;

    for (int i = 0; i < run->plan->buffer_count; i++) {
        const struct cuda_buffer *buffer = &run->plan->buffers[i];

        if (buffer->first_step == number)
            memset(run->memory.arena + buffer->offset * run->memory.batch, 0xff,
                   (size_t)buffer->bytes * (size_t)run->memory.batch);
    }
    cuda_bind_step(run->plan, step, &run->memory, &args);
    if (step->kind == CUDA_STEP_CONV)
        emulate_conv(&args.conv, run->memory.batch);
    else
        cuda_start_step(step->kind, &args, run->memory.batch, NULL);
}

/* From step `first` on: 1 when the input's picture is there already. */
__attribute__((unused)) static void emulated_run(struct emulated *run, const float *input,
                                                 int first)
{
    run->memory.input = input;
    for (int i = first; i < run->plan->step_count; i++)
        emulated_step(run, i);
}

__attribute__((unused)) static const float *emulated_output(const struct emulated *run, int index)
{
    return cuda_bind_tensor(run->plan, run->plan->outputs[index], &run->memory);
}

#endif
