/* gpu/cuda/cuda_kernels.h: the arithmetic that the CUDA backend does itself, beside cuDNN.
 *
 * Two layouts. A picture is H×W×C in half precision, `pitch` halves from pixel to pixel (a multiple
 * of 8, more than C where it is a part of a joined picture); the lanes between C and the next
 * multiple of 8 hold finite numbers without meaning, and weights for them are zero. Everything else
 * is plain: row-major float32 in the order of the model. `image` is the step to the next picture of
 * the batch, 0 for constants.
 *
 * The bodies of the kernels (cuda_body*.h) are one text: nvcc compiles it for the device
 * (cuda_kernels.cu, launches on a stream), the C compiler for the tests (tests/cuda_emulated.h,
 * loops over the same grid), where each is compared with the plain C reference. */
#ifndef SIGHTLINE_GPU_CUDA_CUDA_KERNELS_H
#define SIGHTLINE_GPU_CUDA_CUDA_KERNELS_H

#include <stdint.h>

#define CUDA_LANES 8 /* channels that one thread handles: 16 bytes, the widest load */

#if defined(CUDA_HALF_AS_FLOAT)
typedef float half_bits; /* a test's: the same plan and kernels without the rounding */
#else
typedef uint16_t half_bits; /* IEEE 754 binary16 */
#endif

/* As in gpu/graph.h, repeated as the kernels are compiled without it; cuda_plan.c checks. */
struct cuda_activation {
    int32_t kind;
    float   a, b;
};

struct cuda_picture {
    half_bits *at;
    int64_t    image; /* halves */
    uint32_t   channels, height, width, pitch;
};

/* A tensor of either layout, addressed by the model's own row-major number. */
struct cuda_view {
    void    *at; /* half_bits of a picture, or float */
    int64_t  image;
    uint32_t is_picture;
    uint32_t elements;
    uint32_t channels, pixels, pitch; /* of a picture */
};

/* Input of the model: N×C×H×W float32 to a picture. */
struct cuda_input {
    const float        *x;
    struct cuda_picture y;
};

struct cuda_window {
    int32_t kernel[2], stride[2], dilation[2], pad_begin[2];
};

struct cuda_pool {
    struct cuda_picture x, y;
    struct cuda_window  window;
    int32_t             is_max, count_padding;
    int32_t             pad_end[2];
};

struct cuda_resize {
    struct cuda_picture x, y;
    int32_t             is_linear, coordinates, rounding;
    float               scale[2];
};

enum { OPERAND_SAME, OPERAND_SCALAR, OPERAND_CONSTANT_CHANNELS, OPERAND_PICTURE_CHANNELS };

/* y = activation(a op b) over pictures of one shape; without `binary` y = activation(a). */
struct cuda_lanes {
    struct cuda_picture    a, b, y;
    int32_t                has_b, operand, swapped, binary;
    float                  scalar;
    const float           *channel; /* OPERAND_CONSTANT_CHANNELS: a number for each lane */
    struct cuda_activation activation;
    /* A residual of y's shape: 0 none, 1 added before the activation, 2 after it. */
    int32_t             residual;
    struct cuda_picture r;
};

/* y[pixel][i] = x[pixel][map[i]], 0 where map[i] is -1; exactly y.channels numbers are written. */
struct cuda_channels {
    struct cuda_picture x, y;
    const int32_t      *map;
    int32_t             aligned_from; /* >= 0: map[i] = i + this, a multiple of 8, for all i */
};

/* Convolution without cuDNN: depthwise, or any other in groups. */
struct cuda_conv {
    struct cuda_picture x, y, r;
    struct cuda_window  window;
    /* Depthwise: kh×kw×lanes. Otherwise out lanes × kh × kw × lanes of a group's inputs. */
    const half_bits       *weights;
    const float           *bias; /* a number for each lane of y */
    struct cuda_activation activation;
    int32_t                residual; /* as in cuda_lanes */
    int32_t                groups, group_in, group_out, weight_pitch;
};

/* Mean of each channel over all pixels: y is 1×1. */
struct cuda_mean {
    struct cuda_picture x, y;
};

#define KERNEL_RANK_MAX 8

/* y[i] = activation(x[offset + sum of coordinate * stride]), i in row-major order of `dimension`. */
struct cuda_copy {
    struct cuda_view       x, y;
    int32_t                rank;
    int32_t                offset;
    uint32_t               dimension[KERNEL_RANK_MAX];
    int32_t                stride[KERNEL_RANK_MAX];
    struct cuda_activation activation;
};

/* y = activation(a op b), broadcast: dimensions are y's. */
struct cuda_binary {
    struct cuda_view       a, b, y;
    int32_t                rank, binary;
    uint32_t               dimension[KERNEL_RANK_MAX];
    uint32_t               stride_a[KERNEL_RANK_MAX], stride_b[KERNEL_RANK_MAX];
    struct cuda_activation activation;
};

/* Rows of `count` numbers that lie `inner` apart. */
struct cuda_softmax {
    struct cuda_view x, y;
    uint32_t         count, inner;
};

/* Rows of `count` numbers, each normalised, times scale, plus shift (`count` numbers each, where
 * has_scale and has_shift). */
struct cuda_layer_norm {
    struct cuda_view x, scale, shift, y;
    int32_t          has_scale, has_shift;
    uint32_t         count;
    float            epsilon;
};

/* y[i] = sum (or the like: enum reduce_kind) of x over the dimensions whose bit is set in `axes`. */
struct cuda_reduce {
    struct cuda_view x, y;
    int32_t          kind, is_mean; /* a mean is a sum (kind 0), divided */
    int32_t          rank;
    uint32_t         axes;
    uint32_t         dimension[KERNEL_RANK_MAX]; /* of x */
};

/* y filled with `value`, x inside it. */
struct cuda_pad {
    struct cuda_view x, y;
    int32_t          rank;
    uint32_t         dimension[KERNEL_RANK_MAX];   /* of y */
    uint32_t         x_dimension[KERNEL_RANK_MAX]; /* of x */
    int32_t          begin[KERNEL_RANK_MAX];
    float            value;
};

/* A part of a plain concatenation: rows of `count` numbers into rows of `y_row` from `begin` on. */
struct cuda_piece {
    struct cuda_view x, y;
    uint32_t         count, y_row, begin;
};

/* y = activation(alpha * A B + beta * c); float32. Batches of matrices as numpy broadcasts them:
 * matrix i of y reads matrix a_matrix[i], b_matrix[i]: the steps of three outer dimensions. */
struct cuda_matmul {
    struct cuda_view       a, b, y;
    struct cuda_view       c; /* at NULL: none */
    uint32_t               m, n, k;
    uint32_t               outer[3];
    int32_t                a_outer[3], b_outer[3];
    int32_t                a_row, a_column, b_row, b_column, c_row, c_column;
    float                  alpha, beta;
    struct cuda_activation activation;
};

/* y[outer][i][inner] = x[outer][indices[i]][inner]: `count` along x's axis. */
struct cuda_take {
    struct cuda_view x, indices, y;
    uint32_t         count, inner, index_count;
};

/* y[i][j][k] = x[i][indices[i][j][k]][k] for axis 1; dimensions are y's, strides x's. */
struct cuda_take_elements {
    struct cuda_view x, indices, y;
    int32_t          rank, axis;
    uint32_t         count; /* along x's axis */
    uint32_t         dimension[KERNEL_RANK_MAX];
    uint32_t         stride[KERNEL_RANK_MAX];
};

/* y[i][inner] = the slice of `inner` numbers of x that the `depth` numbers of index i name, behind as
 * many pictures of x as there are batches of `rows` indices. */
struct cuda_take_slices {
    struct cuda_view x, indices, y;
    uint32_t         depth, inner, rows, batch_step;
    uint32_t         dimension[KERNEL_RANK_MAX]; /* of x, from the first that an index names */
    uint32_t         stride[KERNEL_RANK_MAX];
};

/* The places of the `best` largest (or smallest) of lists of `count` numbers that lie `inner` apart, of
 * equals the first. */
struct cuda_top_k {
    struct cuda_view x, y;
    uint32_t         count, inner, best;
    int32_t          smallest;
};

/* Pictures read at `points` places of a grid; padding as enum grid_padding. */
struct cuda_grid_sample {
    struct cuda_view x, grid, y;
    uint32_t         channels, height, width, points;
    int32_t          nearest, align_corners, padding;
};

/* y = from[0] != 0 ? from[1] : from[2], broadcast: dimensions are y's. */
struct cuda_where {
    struct cuda_view from[3], y;
    int32_t          rank;
    uint32_t         dimension[KERNEL_RANK_MAX];
    uint32_t         stride[3][KERNEL_RANK_MAX];
};

/* Each starts the kernel for `batch` pictures on `stream` (a cudaStream_t) and returns the cudaError_t
 * of the launch as a number, 0 when it is under way. */
#ifdef __cplusplus
extern "C" {
#endif
int cuda_launch_input(const struct cuda_input *args, int batch, void *stream);
int cuda_launch_pool(const struct cuda_pool *args, int batch, void *stream);
int cuda_launch_resize(const struct cuda_resize *args, int batch, void *stream);
int cuda_launch_lanes(const struct cuda_lanes *args, int batch, void *stream);
int cuda_launch_channels(const struct cuda_channels *args, int batch, void *stream);
int cuda_launch_depthwise(const struct cuda_conv *args, int batch, void *stream);
int cuda_launch_grouped(const struct cuda_conv *args, int batch, void *stream);
int cuda_launch_mean(const struct cuda_mean *args, int batch, void *stream);
int cuda_launch_copy(const struct cuda_copy *args, int batch, void *stream);
int cuda_launch_binary(const struct cuda_binary *args, int batch, void *stream);
int cuda_launch_softmax(const struct cuda_softmax *args, int batch, void *stream);
int cuda_launch_layer_norm(const struct cuda_layer_norm *args, int batch, void *stream);
int cuda_launch_reduce(const struct cuda_reduce *args, int batch, void *stream);
int cuda_launch_pad(const struct cuda_pad *args, int batch, void *stream);
int cuda_launch_piece(const struct cuda_piece *args, int batch, void *stream);
int cuda_launch_matmul(const struct cuda_matmul *args, int batch, void *stream);
int cuda_launch_take(const struct cuda_take *args, int batch, void *stream);
int cuda_launch_take_elements(const struct cuda_take_elements *args, int batch, void *stream);
int cuda_launch_take_slices(const struct cuda_take_slices *args, int batch, void *stream);
int cuda_launch_top_k(const struct cuda_top_k *args, int batch, void *stream);
int cuda_launch_grid_sample(const struct cuda_grid_sample *args, int batch, void *stream);
int cuda_launch_where(const struct cuda_where *args, int batch, void *stream);
#ifdef __cplusplus
}
#endif

#endif
