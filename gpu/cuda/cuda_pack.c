#include "gpu/cuda/cuda_pack.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "config/assert.h"
#include "config/err.h"
#include "config/limits.h"
#include "gpu/cuda/cuda_body_ends.h"
#include "gpu/head.h"
#include "gpu/suppress.h"

/* The kernels are compiled without these headers. */
_Static_assert(PREPARE_GROUP_PX == ROW_GROUP_PX && PREPARE_QUAD_TAPS == ROW_QUAD_TAPS,
               "prepare_sum() of cuda_body_ends.h");
_Static_assert(DISTRIBUTION_DISTANCES == YOLOV8_DISTANCES, "find_distance() of cuda_body_ends.h");
_Static_assert(CUDA_FIND_BEST == CANDIDATES_MAX && CUDA_FIND_BOXES == LIMIT_BOXES &&
                   CUDA_FIND_CLASSES >= OBJECT_CLASSES && CUDA_HEAD_STAGES >= HEAD_STAGES_MAX,
               "the bounds of cuda_ends.h");
_Static_assert(sizeof(struct cuda_box) == sizeof(struct box) &&
                   offsetof(struct cuda_box, y1) == offsetof(struct box, y1) &&
                   offsetof(struct cuda_box, score) == offsetof(struct box, score) &&
                   offsetof(struct cuda_box, object_class) == offsetof(struct box, object_class),
               "struct cuda_box is struct box");

static int64_t aligned(int64_t bytes)
{
    return (bytes + CUDA_ALIGN_BYTES - 1) / CUDA_ALIGN_BYTES * CUDA_ALIGN_BYTES;
}

/* ---- pictures ---- */

int cuda_planes_of(struct cuda_planes *planes, const struct frame *frame, struct why *why)
{
    *planes = (struct cuda_planes){.bytes = 0};
    if (frame->width_px < 1 || frame->width_px > LIMIT_PICTURE_PX || frame->height_px < 1 ||
        frame->height_px > LIMIT_PICTURE_PX || (unsigned)frame->format > FRAME_RGB24)
        return why_set(why, ERR_INVALID, "a picture of %dx%d in format %d cannot be analysed",
                       frame->width_px, frame->height_px, (int)frame->format);
    for (int k = 0; k < 3; k++) {
        planes->size[k] = frame_plane_of(frame->format, k, frame->width_px, frame->height_px);
        planes->pitch_bytes[k] = planes->size[k].row_bytes;
        planes->offset[k]      = planes->bytes;
        planes->bytes += aligned(planes->pitch_bytes[k] * planes->size[k].rows);
    }
    return 0;
}

void cuda_planes_copy(const struct cuda_planes *planes, const struct frame *frame, uint8_t *to)
{
    for (int k = 0; k < 3; k++) {
        size_t row_bytes = (size_t)planes->size[k].row_bytes;

        for (int row = 0; row < planes->size[k].rows; row++)
            memcpy(to + planes->offset[k] + row * planes->pitch_bytes[k],
                   frame->plane[k] + (ptrdiff_t)row * frame->stride_bytes[k], row_bytes);
    }
}

/* Each axis shrinks as the side that fits, or on its own; what is then less than two pixels is one. */
int64_t cuda_tables_bytes(const struct prepare_settings *input)
{
    int64_t width = input->width_px, height = input->height_px;
    int64_t outputs = (width + 2 * ROW_GROUP_PX - 1) / (2 * ROW_GROUP_PX) * 2 * ROW_GROUP_PX;
    int64_t taps    = 2 * LIMIT_PICTURE_PX / (width < height ? width : height) + 3 + ROW_QUAD_TAPS;

    return 2 * (aligned(outputs * 4) + aligned(outputs * taps) + aligned(height * 4) +
                aligned(height * taps * 2));
}

/* Appends `bytes`; where they will be read, or NULL when they do not fit. */
static const void *append(uint8_t *to, int64_t room, const uint8_t *at, int64_t *used,
                          const void *from, size_t bytes)
{
    int64_t begin = *used;

    if (bytes > (size_t)(room - begin) || aligned((int64_t)bytes) > room - begin)
        return NULL;
    memcpy(to + begin, from, bytes);
    *used += aligned((int64_t)bytes);
    return at + begin;
}

static void set_colours(struct cuda_prepare *args, const struct prepare_tables *tables)
{
    for (int c = 0; c < 3; c++) {
        memcpy(args->coefficient[c], tables->colours.coefficient[c], sizeof args->coefficient[c]);
        args->offset[c] = tables->colours.offset[c];
        args->low[c]    = tables->colours.low[c];
        args->high[c]   = tables->colours.high[c];
        args->pad[c]    = (tables->settings.pad - tables->settings.mean[c]) *
                       tables->settings.scale[c];
    }
}

int cuda_tables_pack(struct cuda_prepare *args, const struct prepare_tables *tables, uint8_t *to,
                     int64_t room, const uint8_t *at, struct why *why)
{
    int64_t used = 0;

    *args = (struct cuda_prepare){.x_px          = (uint32_t)tables->area.x_px,
                                  .y_px          = (uint32_t)tables->area.y_px,
                                  .width_px      = (uint32_t)tables->area.width_px,
                                  .height_px     = (uint32_t)tables->area.height_px,
                                  .tensor_width  = (uint32_t)tables->settings.width_px,
                                  .tensor_height = (uint32_t)tables->settings.height_px};
    set_colours(args, tables);
    for (int i = 0; i < 2; i++) {
        const struct row_filter    *row    = &tables->row[i];
        const struct column_filter *column = &tables->column[i];
        size_t                      starts = (size_t)row->groups * ROW_GROUP_PX;
        size_t                      rows   = (size_t)column->output_px;

        if (row->start == NULL || column->start == NULL)
            continue;
        args->row[i]         = (struct cuda_rows){.quads     = (uint32_t)row->quads,
                                                  .source_px = (uint32_t)row->source_px};
        args->column[i]      = (struct cuda_columns){.taps      = (uint32_t)column->taps,
                                                     .source_px = (uint32_t)column->source_px};
        args->row[i].start   = append(to, room, at, &used, row->start, starts * sizeof *row->start);
        args->row[i].weights = append(to, room, at, &used, row->weights,
                                      starts * (size_t)row->quads * ROW_QUAD_TAPS);
        args->column[i].start   = append(to, room, at, &used, column->start,
                                         rows * sizeof *column->start);
        args->column[i].weights = append(to, room, at, &used, column->weights,
                                         rows * (size_t)column->taps * sizeof *column->weights);
        if (args->row[i].start == NULL || args->row[i].weights == NULL ||
            args->column[i].start == NULL || args->column[i].weights == NULL)
            return why_set(why, ERR_LIMIT,
                           "the filters of a picture of %dx%d take more than %lld bytes",
                           tables->width_px, tables->height_px, (long long)room);
    }
    return 0;
}

static void set_planes(struct cuda_prepare *args, enum frame_format format,
                       const uint8_t *const plane[3], const int64_t pitch_bytes[3])
{
    bool packed = format == FRAME_BGR24 || format == FRAME_RGB24;
    bool halved = format == FRAME_I420 || format == FRAME_I422 || format == FRAME_NV12;

    args->components = format == FRAME_GRAY8 ? 1 : 3;
    for (int k = 0; k < 3; k++) {
        bool paired = format == FRAME_NV12 && k > 0;
        int  from   = packed ? 0 : paired ? 1 : k;
        int  within = packed ? k : paired ? k - 1 : 0;

        if ((uint32_t)k >= args->components)
            from = within = 0; /* never read */
        args->component[k]   = plane[from] + within;
        args->pitch_bytes[k] = pitch_bytes[from];
        args->step_bytes[k]  = packed ? 3 : paired ? 2 : 1;
        args->table[k]       = k > 0 && halved;
    }
}

void cuda_prepare_from(struct cuda_prepare *args, const struct frame *frame,
                       const struct cuda_planes *planes, const uint8_t *at)
{
    const uint8_t *plane[3] = {at + planes->offset[0], at + planes->offset[1],
                               at + planes->offset[2]};

    set_planes(args, frame->format, plane, planes->pitch_bytes);
}

void cuda_prepare_in_place(struct cuda_prepare *args, const struct frame *frame)
{
    int64_t pitch_bytes[3] = {frame->stride_bytes[0], frame->stride_bytes[1],
                              frame->stride_bytes[2]};

    set_planes(args, frame->format, frame->plane, pitch_bytes);
}

int cuda_prepare_first_step(const struct cuda_plan *plan)
{
    if (plan->input_picture == NULL || plan->step_count == 0 ||
        plan->steps[0].kind != CUDA_STEP_INPUT)
        return 0;
    for (int i = 1; i < plan->step_count; i++)
        for (int k = 0; k < CUDA_STEP_INPUTS; k++)
            if (plan->steps[i].input[k] != NULL &&
                plan->steps[i].input[k]->buffer == CUDA_BUFFER_INPUT)
                return 0;
    return 1;
}

/* ---- boxes ---- */

static int unknown(const struct boxes_settings *settings, struct why *why)
{
    return why_set(why, ERR_UNSUPPORTED,
                   "the CUDA backend does not decode the head \"%s\" as this model gives it",
                   settings->head->ops->name);
}

static void add_stage(struct cuda_find *find, const struct head_stage *stage, uint32_t numbers,
                      bool planes)
{
    uint32_t cells = (uint32_t)(stage->columns * stage->rows);

    find->stage[find->stage_count++] = (struct cuda_cells){
        .cell_step   = planes ? 1 : numbers,
        .number_step = planes ? cells : 1,
        .columns     = (uint32_t)stage->columns,
        .count       = cells,
        .first       = find->room,
        .stride_px   = (float)stage->stride_px,
    };
    find->room += cells;
}

/* Which kind of head, and its stages; false when it is none. */
static bool describe_head(struct cuda_find *find, const struct head *head)
{
    const char *name   = head->ops->name;
    bool        planes = strcmp(name, "yolox") != 0;

    if (strcmp(name, "yolov8") == 0 && head->layout != YOLOV8_RAW) {
        struct head_stage all = {.columns = head->row_count, .rows = 1};

        find->kind = CUDA_HEAD_CENTRED;
        add_stage(find, &all, (uint32_t)head->row_numbers, head->layout == YOLOV8_PLANES);
        return true;
    }
    if (strcmp(name, "yolox") == 0)
        find->kind = head->layout == YOLOX_RAW ? CUDA_HEAD_CELLS : CUDA_HEAD_OBJECTS;
    else if (strcmp(name, "yolov8") == 0)
        find->kind = CUDA_HEAD_DISTRIBUTION;
    else if (strcmp(name, "sightline") == 0)
        find->kind = CUDA_HEAD_LOGARITHMS;
    else
        return false;
    find->logits = find->kind == CUDA_HEAD_LOGARITHMS ||
                   (find->kind == CUDA_HEAD_DISTRIBUTION && head->logits);
    for (int s = 0; s < head->stage_count; s++)
        add_stage(find, &head->stages[s], 5 + (uint32_t)head->class_count, planes);
    return true;
}

/* Where a stage's numbers are: the outputs, and the first of each among a cell's numbers. */
struct cell_source {
    int      sides, scores;
    uint32_t first_side,
        first_score; /* in cells of a plane, or numbers of a row: a number's place */
    uint32_t begin;  /* floats before the stage's first cell */
};

static struct cell_source source_of(const struct cuda_find *find, const struct head *head, int s)
{
    const struct head_stage *stage = &head->stages[s];

    switch (find->kind) {
    case CUDA_HEAD_CELLS:
    case CUDA_HEAD_OBJECTS:
        return (struct cell_source){.first_score = 5,
                                    .begin       = find->stage[s].first * find->stage[s].cell_step};
    case CUDA_HEAD_CENTRED:
        return (struct cell_source){
            .sides = head->boxes_output, .scores = head->boxes_output, .first_score = 4};
    case CUDA_HEAD_DISTRIBUTION:
        return (struct cell_source){
            .sides       = stage->sides_output,
            .scores      = stage->scores_output,
            .first_score = stage->sides_output == stage->scores_output ? 4 * YOLOV8_DISTANCES : 0};
    default:
        return (struct cell_source){.sides = s, .scores = s, .first_score = 4};
    }
}

/* Whether the last number of each stage lies inside its output. */
static bool sources_fit(const struct cuda_find *find, const struct head *head,
                        const struct cuda_plan *plan)
{
    for (uint32_t s = 0; s < find->stage_count; s++) {
        const struct cuda_cells *stage  = &find->stage[s];
        struct cell_source       source = source_of(find, head, (int)s);
        uint32_t                 sides = find->kind == CUDA_HEAD_DISTRIBUTION ? 4 * YOLOV8_DISTANCES
                                                                              : source.first_score;
        uint32_t                 classes = source.first_score + find->class_count;
        int64_t before = source.begin + (int64_t)(stage->count - 1) * stage->cell_step;

        if (source.sides < 0 || source.sides >= plan->graph->output_count || source.scores < 0 ||
            source.scores >= plan->graph->output_count || stage->count < 1 ||
            before + (int64_t)(sides - 1) * stage->number_step >=
                plan->outputs[source.sides]->elements ||
            before + (int64_t)(classes - 1) * stage->number_step >=
                plan->outputs[source.scores]->elements)
            return false;
    }
    return true;
}

int cuda_find_describe(struct cuda_find *find, const struct boxes_settings *settings,
                       const struct cuda_plan *plan, struct why *why)
{
    const struct head *head = settings->head;

    *find = (struct cuda_find){.class_count   = (uint32_t)head->class_count,
                               .counted_count = (uint32_t)settings->classes->counted_count,
                               .min_score     = settings->min_score,
                               .least         = settings->min_score,
                               .score_max     = SUPPRESS_SCORE_MAX,
                               .side_px_max   = settings->side_px_max};
    /* Keys are in the order of scores above 0 only. */
    if (!(settings->min_score > 0.0F) || head->class_count < 1 ||
        head->class_count != settings->classes->count || !describe_head(find, head) ||
        !sources_fit(find, head, plan))
        return unknown(settings, why);
    if (find->logits)
        find->least = settings->min_logit;
    for (int a = 0; a < OBJECT_CLASSES; a++)
        for (int b = 0; b < OBJECT_CLASSES; b++)
            find->overlap[a][b] = suppress_overlap((enum object_class)a, (enum object_class)b,
                                                   settings->nms_iou);
    return 0;
}

void cuda_find_classes(const struct boxes_settings *settings, uint8_t *to)
{
    const struct class_map *classes = settings->classes;

    memset(to, 0, CUDA_CLASSES_BYTES);
    for (int i = 0; i < classes->counted_count; i++)
        memcpy(to + i * (ptrdiff_t)sizeof(int16_t), &classes->counted[i], sizeof(int16_t));
    memcpy(to + CLASS_MAP_MAX * sizeof(int16_t), classes->object_class, CLASS_MAP_MAX);
}

/* The lists, one after the other; with `base` the pointers are set. Returns how many bytes. */
static int64_t place_lists(struct cuda_find *find, int batch, uint8_t *base)
{
    int64_t lists[] = {
        4 * (int64_t)sizeof(float),
        (int64_t)sizeof(uint32_t),
        (int64_t)sizeof(uint64_t) * find->room,
        (int64_t)sizeof(struct cuda_box) * find->room,
        (int64_t)sizeof(struct cuda_box) * CUDA_FIND_BEST,
        (int64_t)sizeof(uint32_t) * CUDA_FIND_BEST * CUDA_OVERLAP_WORDS,
        (int64_t)sizeof(struct cuda_boxes),
    };
    uint8_t *at[sizeof lists / sizeof *lists];
    int64_t  bytes = 0;

    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        at[i] = base != NULL ? base + bytes : NULL;
        bytes += aligned(lists[i] * batch);
    }
    if (base != NULL) {
        find->area     = (float *)(void *)at[0];
        find->count    = (uint32_t *)(void *)at[1];
        find->key      = (uint64_t *)(void *)at[2];
        find->found    = (struct cuda_box *)(void *)at[3];
        find->best     = (struct cuda_box *)(void *)at[4];
        find->overlaps = (uint32_t *)(void *)at[5];
        find->boxes    = (struct cuda_boxes *)(void *)at[6];
    }
    return bytes;
}

int64_t cuda_find_bytes(const struct cuda_find *find, int batch)
{
    struct cuda_find copy = *find;

    return place_lists(&copy, batch, NULL);
}

void cuda_find_bind(struct cuda_find *find, const struct boxes_settings *settings,
                    const struct cuda_plan *plan, const struct cuda_memory *memory, uint8_t *lists,
                    const uint8_t *classes)
{
    place_lists(find, memory->batch, lists);
    find->counted      = (const int16_t *)(const void *)classes;
    find->object_class = (const int8_t *)(classes + CLASS_MAP_MAX * sizeof(int16_t));
    for (uint32_t s = 0; s < find->stage_count; s++) {
        struct cuda_cells        *stage  = &find->stage[s];
        struct cell_source        source = source_of(find, settings->head, (int)s);
        const struct cuda_tensor *sides  = plan->outputs[source.sides];
        const struct cuda_tensor *scores = plan->outputs[source.scores];

        stage->sides  = (const float *)cuda_bind_tensor(plan, sides, memory) + source.begin;
        stage->scores = (const float *)cuda_bind_tensor(plan, scores, memory) + source.begin +
                        (int64_t)source.first_score * stage->number_step;
        stage->sides_image  = sides->image_bytes / (int64_t)sizeof(float);
        stage->scores_image = scores->image_bytes / (int64_t)sizeof(float);
    }
}
