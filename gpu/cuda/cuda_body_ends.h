/* gpu/cuda/cuda_body_ends.h: the bodies of the kernels of gpu/cuda/cuda_ends.h.
 *
 * Each function is one thread, as in gpu/cuda/cuda_body_pictures.h. From outputs to boxes the order
 * is clear, decode, rank, overlap, keep; each needs all threads of the one before. */
#ifndef SIGHTLINE_GPU_CUDA_CUDA_BODY_ENDS_H
#define SIGHTLINE_GPU_CUDA_CUDA_BODY_ENDS_H

#include "gpu/cuda/cuda_body.h"
#include "gpu/cuda/cuda_ends.h"

/* As in gpu/prepare_kernels.h; cuda_pack.c checks. */
#define PREPARE_GROUP_PX  16
#define PREPARE_QUAD_TAPS 4

/* YOLOV8_DISTANCES of gpu/head.h. */
#define DISTRIBUTION_DISTANCES 16

/* ---- pictures ---- */

/* A component filtered in both directions, before the colours. */
BODY int32_t prepare_sum(const struct cuda_prepare *args, uint32_t k, uint32_t x, uint32_t y)
{
    const struct cuda_rows    *row    = &args->row[args->table[k]];
    const struct cuda_columns *column = &args->column[args->table[k]];
    uint32_t                   taps = PREPARE_QUAD_TAPS * row->quads, step = args->step_bytes[k];
    const uint8_t             *from = args->component[k] + (int64_t)row->start[x] * step;
    const uint8_t             *weights;
    int32_t                    sum = 0;

    if (taps > row->source_px)
        taps = row->source_px;
    weights = row->weights + ((int64_t)(x / PREPARE_GROUP_PX) * row->quads * PREPARE_GROUP_PX +
                              x % PREPARE_GROUP_PX) *
                                 PREPARE_QUAD_TAPS;
    for (uint32_t t = 0; t < column->taps; t++) {
        uint32_t       source = (uint32_t)column->start[y] + t;
        int32_t        weight = column->weights[y * column->taps + t], line = 0;
        const uint8_t *pixels;

        if (weight == 0)
            continue;
        source = source < column->source_px ? source : column->source_px - 1;
        pixels = from + (int64_t)source * args->pitch_bytes[k];
        for (uint32_t tap = 0; tap < taps; tap++)
            line += weights[tap / PREPARE_QUAD_TAPS * PREPARE_GROUP_PX * PREPARE_QUAD_TAPS +
                            tap % PREPARE_QUAD_TAPS] *
                    (pixels[tap * step] - 128);
        sum += weight * line;
    }
    return sum;
}

BODY void prepare_colours(const struct cuda_prepare *args, uint32_t x, uint32_t y, float colour[3])
{
    float value[3] = {0.0F, 0.0F, 0.0F};

    for (uint32_t k = 0; k < args->components; k++)
        value[k] = (float)prepare_sum(args, k, x, y);
    for (uint32_t c = 0; c < 3; c++) {
        const float *coefficient = args->coefficient[c];
        float        sum         = fmaf(coefficient[0], value[0], args->offset[c]);

        sum       = fmaf(coefficient[1], value[1], sum);
        sum       = fmaf(coefficient[2], value[2], sum);
        sum       = sum > args->low[c] ? sum : args->low[c];
        colour[c] = sum < args->high[c] ? sum : args->high[c];
    }
}

/* One pixel of the tensor. */
BODY void body_prepare(const struct cuda_prepare *args, uint32_t image, uint32_t thread)
{
    uint32_t     x = thread % args->tensor_width, y = thread / args->tensor_width;
    uint32_t     plane  = args->tensor_width * args->tensor_height;
    struct lanes values = {{args->pad[0], args->pad[1], args->pad[2]}};

    /* Unsigned: what lies before the area is far behind it. */
    if (x - args->x_px < args->width_px && y - args->y_px < args->height_px)
        prepare_colours(args, x - args->x_px, y - args->y_px, values.at);
    if (args->y.at != NULL) {
        lanes_store(pixel_at(&args->y, image, y, x), &values);
        return;
    }
    for (uint32_t c = 0; c < 3; c++)
        args->plain[((int64_t)image * 3 + c) * plane + thread] = values.at[c];
}

/* ---- boxes ---- */

BODY uint32_t claim_place(uint32_t *count)
{
#if defined(__CUDACC__)
    return atomicAdd(count, 1U);
#else
    return (*count)++;
#endif
}

BODY void body_clear(const struct cuda_find *args, uint32_t image, uint32_t thread)
{
    args->count[image + thread] = 0;
}

BODY float find_sigmoid(float x)
{
    return 1.0F / (1.0F + expf(-x));
}

/* False for what is not a number, too. */
BODY int find_counted_reaches(const struct cuda_find *args, const float *scores, uint32_t step)
{
    for (uint32_t i = 0; i < args->counted_count; i++)
        if (scores[(uint32_t)args->counted[i] * step] >= args->least)
            return 1;
    return 0;
}

BODY int32_t find_best_class(const struct cuda_find *args, const float *scores, uint32_t step,
                             float *best)
{
    int32_t found = -1;

    *best = -INFINITY;
    for (uint32_t k = 0; k < args->class_count; k++) {
        float score = scores[k * step];

        if (score > *best) {
            *best = score;
            found = (int32_t)k;
        }
    }
    return found;
}

/* Expected distance, in strides. */
BODY float find_distance(const float *logits, uint32_t step)
{
    float most = logits[0], sum = 0.0F, weighted = 0.0F;

    for (uint32_t i = 1; i < DISTRIBUTION_DISTANCES; i++)
        most = logits[i * step] > most ? logits[i * step] : most;
    for (uint32_t i = 0; i < DISTRIBUTION_DISTANCES; i++) {
        float weight = expf(logits[i * step] - most);

        sum += weight;
        weighted += weight * (float)i;
    }
    return weighted / sum;
}

BODY void find_centred(struct cuda_box *box, float x, float y, float width, float height)
{
    float half_width = width / 2.0F, half_height = height / 2.0F;

    box->x0 = x - half_width;
    box->y0 = y - half_height;
    box->x1 = x + half_width;
    box->y1 = y + half_height;
}

/* The box of a cell from the numbers of its sides; its score becomes the final one. */
BODY void find_sides(const struct cuda_find *args, const struct cuda_cells *stage, uint32_t cell,
                     const float *sides, struct cuda_box *box)
{
    uint32_t step = stage->number_step, row_number = cell / stage->columns;
    float    stride = stage->stride_px, column = (float)(cell % stage->columns);
    float    row = (float)row_number, x, y, far[4];

    if (args->kind == CUDA_HEAD_CELLS || args->kind == CUDA_HEAD_OBJECTS)
        box->score = sides[4 * step] * box->score;
    if (args->kind == CUDA_HEAD_CELLS) {
        find_centred(box, (sides[0] + column) * stride, (sides[step] + row) * stride,
                     expf(sides[2 * step]) * stride, expf(sides[3 * step]) * stride);
        return;
    }
    if (args->kind == CUDA_HEAD_OBJECTS || args->kind == CUDA_HEAD_CENTRED) {
        find_centred(box, sides[0], sides[step], sides[2 * step], sides[3 * step]);
        return;
    }
    for (uint32_t i = 0; i < 4; i++)
        far[i] = (args->kind == CUDA_HEAD_DISTRIBUTION
                      ? find_distance(sides + i * DISTRIBUTION_DISTANCES * step, step)
                      : expf(sides[i * step])) *
                 stride;
    if (args->logits)
        box->score = find_sigmoid(box->score);
    x       = (column + 0.5F) * stride;
    y       = (row + 0.5F) * stride;
    box->x0 = x - far[0];
    box->y0 = y - far[1];
    box->x1 = x + far[2];
    box->y1 = y + far[3];
}

/* As usable() of gpu/suppress.c: each comparison is false for what is not a number. */
BODY int find_usable(const struct cuda_find *args, const float *area, const struct cuda_box *box)
{
    return box->score >= args->min_score && box->score <= args->score_max && isfinite(box->x0) &&
           isfinite(box->y0) && isfinite(box->x1) && isfinite(box->y1) && box->x1 > box->x0 &&
           box->y1 > box->y0 && box->x1 - box->x0 <= args->side_px_max &&
           box->y1 - box->y0 <= args->side_px_max && box->x0 < area[2] && box->x1 > area[0] &&
           box->y0 < area[3] && box->y1 > area[1];
}

/* By score, then by number, the smaller first. A score that is taken is above 0, and such numbers
 * are in the order of their bits. */
BODY uint64_t find_key(float score, uint32_t number)
{
    uint32_t word;

    memcpy(&word, &score, sizeof word);
    return (uint64_t)word << 32 | (0xffffffffU - number);
}

/* One cell of all stages. */
BODY void body_decode(const struct cuda_find *args, uint32_t image, uint32_t thread)
{
    const struct cuda_cells *stage = &args->stage[0];
    const float             *sides, *scores;
    struct cuda_box          box;
    uint32_t                 cell, place;
    int32_t                  best;

    for (uint32_t s = 1; s < args->stage_count && thread >= args->stage[s].first; s++)
        stage = &args->stage[s];
    cell   = thread - stage->first;
    sides  = stage->sides + (int64_t)image * stage->sides_image + (int64_t)cell * stage->cell_step;
    scores = stage->scores + (int64_t)image * stage->scores_image +
             (int64_t)cell * stage->cell_step;
    if (args->kind == CUDA_HEAD_CELLS || args->kind == CUDA_HEAD_OBJECTS) {
        if (!(sides[4 * stage->number_step] >= args->min_score))
            return;
    } else if (!find_counted_reaches(args, scores, stage->number_step)) {
        return;
    }
    best = find_best_class(args, scores, stage->number_step, &box.score);
    if (best < 0 || args->object_class[best] < 0)
        return;
    find_sides(args, stage, cell, sides, &box);
    box.object_class = (uint8_t)args->object_class[best]; /* not negative, as seen above */
    if (!find_usable(args, args->area + 4 * image, &box))
        return;
    box.score                                        = box.score > 1.0F ? 1.0F : box.score;
    place                                            = claim_place(&args->count[image]);
    args->key[(int64_t)image * args->room + place]   = find_key(box.score, thread);
    args->found[(int64_t)image * args->room + place] = box;
}

BODY uint32_t find_best_count(const struct cuda_find *args, uint32_t image)
{
    return args->count[image] < CUDA_FIND_BEST ? args->count[image] : CUDA_FIND_BEST;
}

/* One box: its place is the number of better ones. */
BODY void body_rank(const struct cuda_find *args, uint32_t image, uint32_t thread)
{
    const uint64_t *key  = args->key + (int64_t)image * args->room;
    uint32_t        rank = 0, count = args->count[image];

    if (thread >= count)
        return;
    for (uint32_t i = 0; i < count; i++)
        rank += key[i] > key[thread];
    if (rank < CUDA_FIND_BEST)
        args->best[(int64_t)image * CUDA_FIND_BEST + rank] =
            args->found[(int64_t)image * args->room + thread];
}

/* As box_iou() of gpu/box.c. */
BODY float find_iou(const struct cuda_box *a, const struct cuda_box *b)
{
    float width  = (a->x1 < b->x1 ? a->x1 : b->x1) - (a->x0 > b->x0 ? a->x0 : b->x0);
    float height = (a->y1 < b->y1 ? a->y1 : b->y1) - (a->y0 > b->y0 ? a->y0 : b->y0);
    float shared, all;

    if (!(width > 0.0F) || !(height > 0.0F))
        return 0.0F;
    shared = width * height;
    all    = (a->x1 - a->x0) * (a->y1 - a->y0) + (b->x1 - b->x0) * (b->y1 - b->y0) - shared;
    return all > 0.0F ? shared / all : 0.0F;
}

/* One box against 32 behind it. Words that lie wholly before a box are not written, nor read. */
BODY void body_overlap(const struct cuda_find *args, uint32_t image, uint32_t thread)
{
    uint32_t               first = thread / CUDA_OVERLAP_WORDS, word = thread % CUDA_OVERLAP_WORDS;
    uint32_t               count = find_best_count(args, image), bits = 0;
    const struct cuda_box *best = args->best + (int64_t)image * CUDA_FIND_BEST;

    if (first >= count || word * 32 >= count || word < first / 32)
        return;
    for (uint32_t bit = 0; bit < 32; bit++) {
        uint32_t second = word * 32 + bit;
        float    least;

        if (second <= first || second >= count)
            continue;
        least = args->overlap[best[first].object_class][best[second].object_class];
        if (least <= 1.0F && find_iou(&best[first], &best[second]) > least)
            bits |= 1U << bit;
    }
    args->overlaps[(int64_t)image * CUDA_FIND_BEST * CUDA_OVERLAP_WORDS + thread] = bits;
}

/* One picture: best first, each takes away those behind it that are the same object. */
BODY void body_keep(const struct cuda_find *args, uint32_t image, uint32_t thread)
{
    const struct cuda_box *best = args->best + (int64_t)image * CUDA_FIND_BEST;
    const uint32_t    *rows = args->overlaps + (int64_t)image * CUDA_FIND_BEST * CUDA_OVERLAP_WORDS;
    struct cuda_boxes *boxes = &args->boxes[image];
    uint32_t           count = find_best_count(args, image), gone[CUDA_OVERLAP_WORDS];
    int32_t            kept  = 0;

    (void)thread;
    for (uint32_t word = 0; word < CUDA_OVERLAP_WORDS; word++)
        gone[word] = 0;
    for (uint32_t i = 0; i < count && kept < CUDA_FIND_BOXES; i++) {
        if ((gone[i / 32] >> (i % 32) & 1U) != 0)
            continue;
        boxes->box[kept++] = best[i];
        for (uint32_t word = i / 32; word * 32 < count; word++)
            gone[word] |= rows[i * CUDA_OVERLAP_WORDS + word];
    }
    boxes->count = kept;
}

#endif
