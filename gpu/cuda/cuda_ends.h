/* gpu/cuda/cuda_ends.h: the arithmetic at the two ends of a network: from a decoded picture to its
 * input, and from its outputs to boxes.
 *
 * As in gpu/cuda/cuda_kernels.h the bodies (cuda_body_ends.h) are one text for the device and for the
 * tests. The first end gives the same bits as gpu/prepare.c: its sums are integers, and what is
 * fused is written so. The second gives the boxes of the heads (gpu/head_*.c) and of gpu/suppress.c
 * in their order, whatever order the threads come in: each box's place is the number of better ones.
 * Only the exponential is the device's own, whose last bit may differ. */
#ifndef SIGHTLINE_GPU_CUDA_CUDA_ENDS_H
#define SIGHTLINE_GPU_CUDA_CUDA_ENDS_H

#include "gpu/cuda/cuda_kernels.h"

/* ---- pictures ---- */

/* The tables of gpu/prepare_kernels.h, in device memory. */
struct cuda_rows {
    const int32_t *start;
    const uint8_t *weights;
    uint32_t       quads, source_px;
};

struct cuda_columns {
    const int32_t *start;
    const int16_t *weights;
    uint32_t       taps, source_px;
};

/* One picture into the network's input, its padding with it. */
struct cuda_prepare {
    /* Y, U, V or the bytes of a packed pixel; a grey picture has one. */
    uint32_t            components;
    const uint8_t      *component[3];
    int64_t             pitch_bytes[3];
    uint32_t            step_bytes[3]; /* from pixel to pixel */
    uint32_t            table[3];      /* 0: as luma, 1: as chroma */
    struct cuda_rows    row[2];
    struct cuda_columns column[2];
    float               coefficient[3][3], offset[3], low[3], high[3], pad[3];
    uint32_t            x_px, y_px, width_px, height_px; /* where it lies in the tensor */
    uint32_t            tensor_width, tensor_height;
    struct cuda_picture y;     /* at NULL: into the next instead */
    float              *plain; /* 3×H×W */
};

/* ---- boxes ---- */

#define CUDA_HEAD_STAGES   4
#define CUDA_FIND_BEST     1024 /* boxes that go into suppression: CANDIDATES_MAX */
#define CUDA_FIND_BOXES    256  /* that remain at most: LIMIT_BOXES */
#define CUDA_FIND_CLASSES  8    /* kinds of objects: OBJECT_CLASSES at most */
#define CUDA_OVERLAP_WORDS (CUDA_FIND_BEST / 32)

/* As struct box. */
struct cuda_box {
    float   x0, y0, x1, y1, score;
    int32_t object_class;
};

struct cuda_boxes {
    int32_t         count;
    struct cuda_box box[CUDA_FIND_BOXES];
};

enum cuda_head_kind {
    CUDA_HEAD_CELLS,   /* centre in strides from the cell, logarithms of the size; objectness */
    CUDA_HEAD_OBJECTS, /* centre and size in pixels; objectness */
    CUDA_HEAD_CENTRED, /* centre and size in pixels */
    CUDA_HEAD_DISTRIBUTION, /* four distributions over distances from the cell's centre */
    CUDA_HEAD_LOGARITHMS,   /* four logarithms of distances from the cell's centre */
};

/* Number n of cell c lies at c * cell_step + n * number_step. */
struct cuda_cells {
    const float *sides, *scores;
    int64_t      sides_image, scores_image; /* from picture to picture */
    uint32_t     cell_step, number_step;
    uint32_t     columns, count, first;
    float        stride_px;
};

/* All the arguments of the steps from outputs to boxes. The lists hold one picture after the other:
 * `room` is the number of cells, and no cell gives two boxes. */
struct cuda_find {
    int32_t           kind, logits;
    uint32_t          stage_count, class_count, counted_count, room;
    struct cuda_cells stage[CUDA_HEAD_STAGES];
    const int8_t     *object_class;     /* by the model's class; -1: not counted */
    const int16_t    *counted;          /* the model's classes that are */
    float             min_score, least; /* least: the same before the sigmoid */
    float             score_max, side_px_max;
    float             overlap[CUDA_FIND_CLASSES][CUDA_FIND_CLASSES]; /* above 1: never one object */
    const float      *area; /* four numbers for each picture: where it lies in the tensor */
    uint32_t         *count;
    uint64_t         *key; /* greater is better, none twice */
    struct cuda_box  *found;
    struct cuda_box  *best; /* CUDA_FIND_BEST, in order */
    uint32_t *overlaps;     /* CUDA_FIND_BEST×CUDA_OVERLAP_WORDS: bit k: k is the same object */
    struct cuda_boxes *boxes;
};

#ifdef __cplusplus
extern "C" {
#endif
/* As those of gpu/cuda/cuda_kernels.h. The first is for one picture; the others follow each other. */
int cuda_launch_prepare(const struct cuda_prepare *args, int batch, void *stream);
int cuda_launch_find(const struct cuda_find *args, int batch, void *stream);
#ifdef __cplusplus
}
#endif

#endif
