#include "gpu/prepare.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "config/assert.h"
#include "config/err.h"
#include "config/limits.h"
#include "gpu/cpu/backend_cpu.h"
#include "gpu/prepare_kernels.h"

#define PLAN_ALIGNMENT_BYTES 64
#define FEEDS_MAX            2
#define ROWS_AT_ONCE         8 /* that one call of a kernel filters */

/* Components (Y, U, V or B, G, R) whose rows are filtered together. */
struct feed {
    int  first_component;
    int  component_count;
    int  plane; /* of the first; the others in the next planes, or in the same if interleaved */
    bool interleaved;
    int  subsampled; /* 1: chroma filters, 0: luma filters */
    int  next_row;   /* of the source, not yet filtered */
};

struct prepare_plan {
    struct prepare_tables         tables;
    const struct prepare_kernels *kernels;
    int                           feed_count;
    struct feed                   feeds[FEEDS_MAX];
    /* Filtered rows that the next output rows still need: source row r is in place r % taps. */
    int16_t        *ring[3];
    size_t          ring_pitch; /* values */
    const int16_t **ring_rows[3];
    uint8_t        *parts[3]; /* one source row of each interleaved component */
};

const struct prepare_kernels *const PREPARE_KERNELS[] = {
#if defined(__x86_64__)
    &PREPARE_AVX512,
    &PREPARE_AVX2,
#endif
    &PREPARE_C,
    NULL,
};

/* For components that a grey picture does not have. */
static const int16_t NO_WEIGHTS[2];

static const struct prepare_kernels *best_kernels(void);
static void                          set_feeds(struct prepare_plan *plan);
static int                           open_buffers(struct prepare_plan *plan);
static void filter_source_rows(struct prepare_plan *plan, const struct frame *frame,
                               struct feed *feed, int end);

int prepare_plan_open(struct prepare_plan **out, const struct prepare_settings *settings,
                      const struct frame *frame, struct why *why)
{
    return prepare_plan_open_with(out, settings, frame, best_kernels(), why);
}

int prepare_plan_open_with(struct prepare_plan **out, const struct prepare_settings *settings,
                           const struct frame *frame, const struct prepare_kernels *kernels,
                           struct why *why)
{
    struct prepare_plan *plan;
    int                  rc;

    *out = NULL;
    if ((plan = calloc(1, sizeof *plan)) == NULL)
        return why_set(why, ERR_MEMORY, "no memory to prepare pictures");
    /* The chroma row, half as wide, must fill a window too. */
    plan->kernels = (frame->width_px + 1) / 2 < kernels->window_bytes_min ? &PREPARE_C : kernels;
    rc            = prepare_tables_open(&plan->tables, settings, frame, plan->kernels, why);
    if (rc == 0) {
        set_feeds(plan);
        if ((rc = open_buffers(plan)) != 0)
            why_set(why, rc, "no memory to prepare pictures of %dx%d", frame->width_px,
                    frame->height_px);
    }
    if (rc != 0) {
        prepare_plan_close(&plan);
        return rc;
    }
    *out = plan;
    return 0;
}

void prepare_plan_close(struct prepare_plan **plan)
{
    struct prepare_plan *old = *plan;

    *plan = NULL;
    if (old == NULL)
        return;
    prepare_tables_close(&old->tables);
    for (int k = 0; k < 3; k++) {
        free(old->ring[k]);
        free(old->ring_rows[k]);
        free(old->parts[k]);
    }
    free(old);
}

bool prepare_plan_fits(const struct prepare_plan *plan, const struct frame *frame)
{
    return prepare_tables_fit(&plan->tables, frame);
}

struct prepare_area prepare_plan_area(const struct prepare_plan *plan)
{
    return plan->tables.area;
}

const char *prepare_kernels_name(void)
{
    return best_kernels()->name;
}

void prepare_pad(const struct prepare_plan *plan, float *tensor)
{
    const struct prepare_settings *settings = &plan->tables.settings;
    const struct prepare_area     *area     = &plan->tables.area;

    for (int c = 0; c < 3; c++) {
        float value = (settings->pad - settings->mean[c]) * settings->scale[c];

        for (int y = 0; y < settings->height_px; y++) {
            bool   crosses = y >= area->y_px && y < area->y_px + area->height_px;
            float *row     = tensor + ((ptrdiff_t)c * settings->height_px + y) * settings->width_px;

            for (int x = 0; x < settings->width_px; x++) {
                if (crosses && x == area->x_px)
                    x += area->width_px;
                if (x < settings->width_px)
                    row[x] = value;
            }
        }
    }
}

void prepare_run(struct prepare_plan *plan, const struct frame *frame, float *tensor)
{
    const struct prepare_area *area = &plan->tables.area;
    struct blend_rows          rows[3];

    ASSERT(prepare_plan_fits(plan, frame));
    for (int k = 0; k < 3; k++)
        rows[k] = (struct blend_rows){.taps = 2, .rows = plan->ring_rows[k], .weights = NO_WEIGHTS};
    for (int i = 0; i < plan->feed_count; i++)
        plan->feeds[i].next_row = 0;
    for (int y = 0; y < area->height_px; y++) {
        ptrdiff_t place = ((ptrdiff_t)area->y_px + y) * plan->tables.settings.width_px + area->x_px;
        ptrdiff_t plane = (ptrdiff_t)plan->tables.settings.height_px *
                          plan->tables.settings.width_px;
        float *channel[3] = {tensor + place, tensor + plane + place, tensor + 2 * plane + place};

        for (int i = 0; i < plan->feed_count; i++) {
            struct feed                *feed   = &plan->feeds[i];
            const struct column_filter *column = &plan->tables.column[feed->subsampled];
            int                         first = column->start[y], end = first + column->taps;

            end = end < column->source_px ? end : column->source_px;
            if (feed->next_row < first)
                feed->next_row = first;
            filter_source_rows(plan, frame, feed, end);
            for (int k = feed->first_component; k < feed->first_component + feed->component_count;
                 k++) {
                for (int tap = 0; tap < column->taps; tap++) {
                    int row = first + tap < end ? first + tap : end - 1;

                    plan->ring_rows[k][tap] = plan->ring[k] +
                                              (size_t)(row % column->taps) * plan->ring_pitch;
                }
                rows[k].taps    = column->taps;
                rows[k].weights = column->weights + (ptrdiff_t)y * column->taps;
            }
        }
        plan->kernels->blend(rows, &plan->tables.colours, area->width_px, channel);
    }
}

/* The best that this machine has and the environment allows. */
static const struct prepare_kernels *best_kernels(void)
{
    const char *limit = getenv(BACKEND_CPU_ISA_VARIABLE);
    int         first = 0;

    if (limit != NULL && strcmp(limit, "plain") == 0)
        return &PREPARE_C;
    for (int i = 0; limit != NULL && PREPARE_KERNELS[i] != NULL; i++)
        if (strncmp(PREPARE_KERNELS[i]->name, limit, strlen(PREPARE_KERNELS[i]->name)) == 0)
            first = i; /* "avx2" also for "avx2_vnni" */
    while (PREPARE_KERNELS[first] != NULL && !PREPARE_KERNELS[first]->available())
        first++;
    ASSERT(PREPARE_KERNELS[first] != NULL); /* the last one runs everywhere */
    return PREPARE_KERNELS[first];
}

static void set_feeds(struct prepare_plan *plan)
{
    bool packed = plan->tables.format == FRAME_BGR24 || plan->tables.format == FRAME_RGB24;

    plan->feeds[0]   = (struct feed){.component_count = packed ? 3 : 1, .interleaved = packed};
    plan->feed_count = 1;
    if (packed || plan->tables.format == FRAME_GRAY8)
        return;
    plan->feeds[1]   = (struct feed){.first_component = 1,
                                     .component_count = 2,
                                     .plane           = 1,
                                     .interleaved     = plan->tables.format == FRAME_NV12,
                                     .subsampled      = plan->tables.format != FRAME_I444};
    plan->feed_count = 2;
}

static int open_buffers(struct prepare_plan *plan)
{
    plan->ring_pitch = (size_t)plan->tables.row[0].groups * ROW_GROUP_PX;
    for (int k = 0; k < 3; k++) {
        int    taps        = plan->tables.column[0].taps;
        size_t row_bytes   = plan->ring_pitch * sizeof(int16_t);
        size_t parts_bytes = ((size_t)plan->tables.width_px + PLAN_ALIGNMENT_BYTES) &
                             ~(size_t)(PLAN_ALIGNMENT_BYTES - 1);

        if (plan->tables.column[1].taps > taps)
            taps = plan->tables.column[1].taps;
        plan->ring[k]      = aligned_alloc(PLAN_ALIGNMENT_BYTES, row_bytes * (size_t)taps);
        plan->ring_rows[k] = calloc((size_t)taps, sizeof *plan->ring_rows[k]);
        plan->parts[k]     = aligned_alloc(PLAN_ALIGNMENT_BYTES, parts_bytes);
        if (plan->ring[k] == NULL || plan->ring_rows[k] == NULL || plan->parts[k] == NULL)
            return ERR_MEMORY;
        memset(plan->ring[k], 0, row_bytes * (size_t)taps);
        for (int tap = 0; tap < taps; tap++)
            plan->ring_rows[k][tap] = plan->ring[k];
    }
    return 0;
}

/* Row `row` of a component: where it lies in the picture, or, of an interleaved one, taken apart. */
static const uint8_t *source_row(struct prepare_plan *plan, const struct frame *frame,
                                 const struct feed *feed, int component, int row)
{
    int plane = feed->plane + (feed->interleaved ? 0 : component - feed->first_component);
    const uint8_t *source   = frame->plane[plane] + (ptrdiff_t)row * frame->stride_bytes[plane];
    int            count_px = plan->tables.row[feed->subsampled].source_px;

    if (!feed->interleaved)
        return source;
    if (component > feed->first_component)
        return plan->parts[component]; /* taken apart with the first */
    if (feed->component_count == 2)
        plan->kernels->split_pairs(source, count_px, plan->parts[1], plan->parts[2]);
    else
        plan->kernels->split_triples(source, count_px, plan->parts);
    return plan->parts[component];
}

/* The feed's rows up to `end` into the ring. */
static void filter_source_rows(struct prepare_plan *plan, const struct frame *frame,
                               struct feed *feed, int end)
{
    const struct row_filter *filter = &plan->tables.row[feed->subsampled];
    int                      taps   = plan->tables.column[feed->subsampled].taps;
    const uint8_t           *source[ROWS_AT_ONCE];
    int16_t                 *output[ROWS_AT_ONCE];
    int                      count = 0;

    for (; feed->next_row < end; feed->next_row++) {
        for (int k = feed->first_component; k < feed->first_component + feed->component_count;
             k++) {
            source[count]   = source_row(plan, frame, feed, k, feed->next_row);
            output[count++] = plan->ring[k] + (size_t)(feed->next_row % taps) * plan->ring_pitch;
        }
        /* What was taken apart lies in the same place for the next row. */
        if (feed->interleaved || count + feed->component_count > ROWS_AT_ONCE) {
            plan->kernels->filter_rows(filter, source, output, count);
            count = 0;
        }
    }
    if (count > 0)
        plan->kernels->filter_rows(filter, source, output, count);
}
