#include "gpu/detector_shape.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "config/assert.h"
#include "config/err.h"
#include "config/log.h"
#include "gpu/input_shape.h"

struct failed_shape {
    struct input_shape size;
    struct why         why;
};

struct detector_shapes {
    int                names_count; /* immutable, as the next two and all shapes below `count` */
    bool               may_grow;
    struct input_shape own;

    pthread_mutex_t       opening; /* one runner at a time */
    pthread_mutex_t       telling; /* a leaf: guards the next two */
    int                   failed_count;
    struct failed_shape   failed[DETECTOR_SHAPES_FAILED];
    pthread_mutex_t       lock;  /* guards all below; held while a model is loaded */
    atomic_int            count; /* this and the next are read without the lock, too */
    atomic_uint_fast64_t  refused;
    struct input_shape    size[DETECTOR_SHAPES_MAX];
    struct detector_shape shape[DETECTOR_SHAPES_MAX];
    struct model         *model[DETECTOR_SHAPES_MAX]; /* ours; NULL for the first */
};

int detector_shapes_open(struct detector_shapes **out, const struct detector_shape *own,
                         int names_count, bool may_grow, struct why *why)
{
    const struct prepare_settings *input  = &own->head.input;
    struct detector_shapes        *shapes = calloc(1, sizeof *shapes);

    *out = shapes;
    if (shapes == NULL)
        return why_set(why, ERR_MEMORY, "no memory for the detector");
    shapes->names_count = names_count;
    /* A stretched picture fills any size. */
    shapes->may_grow = may_grow && own->info->size_is_open && input->fit != PREPARE_STRETCH;
    shapes->own      = (struct input_shape){input->width_px, input->height_px};
    atomic_init(&shapes->count, 1);
    atomic_init(&shapes->refused, 0);
    shapes->size[0]  = shapes->own;
    shapes->shape[0] = *own;
    pthread_mutex_init(&shapes->opening, NULL);
    pthread_mutex_init(&shapes->telling, NULL);
    pthread_mutex_init(&shapes->lock, NULL);
    return 0;
}

void detector_shapes_close(struct detector_shapes **out)
{
    struct detector_shapes *shapes = *out;

    *out = NULL;
    if (shapes == NULL)
        return;
    for (int i = 0; i < shapes->count; i++)
        model_close(&shapes->model[i]);
    pthread_mutex_destroy(&shapes->lock);
    pthread_mutex_destroy(&shapes->telling);
    pthread_mutex_destroy(&shapes->opening);
    free(shapes);
}

/* The head of the same network at another size; how pictures are prepared stays. */
static int open_head(const struct detector_shapes *shapes, struct detector_shape *shape,
                     struct why *why)
{
    const struct head *own  = &shapes->shape[0].head;
    const char        *name = own->named ? own->ops->name : NULL;
    int                rc   = head_open(&shape->head, name, shape->info, shapes->names_count, why);

    if (rc != 0)
        return rc;
    if (shape->head.ops != own->ops || shape->head.class_count != own->class_count ||
        shape->head.background != own->background || shape->head.distinct != own->distinct)
        return why_set(why, ERR_UNSUPPORTED, "its outputs are another family's there");
    shape->head.input           = own->input;
    shape->head.input.width_px  = (int)shape->info->input.dimension[3];
    shape->head.input.height_px = (int)shape->info->input.dimension[2];
    return 0;
}

static int load(const struct detector_shapes *shapes, struct input_shape size,
                struct detector_shape *shape, struct model **model, struct why *why)
{
    const struct detector_shape *own     = &shapes->shape[0];
    struct model_options         options = {
                .height = size.height_px, .width = size.width_px, .twin = own->model};
    int rc = model_load_with(model, own->info->path, &options, why);

    if (rc != 0)
        return rc;
    *shape = (struct detector_shape){.info = model_info(*model), .model = *model};
    if (strcmp(shape->info->digest, own->info->digest) != 0)
        return why_set(why, ERR_INVALID, "the file has changed since it was loaded");
    return open_head(shapes, shape, why);
}

/* With the other lock held. */
static bool has_failed(const struct detector_shapes *shapes, struct input_shape size)
{
    for (int i = 0; i < shapes->failed_count; i++)
        if (shapes->failed[i].size.width_px == size.width_px &&
            shapes->failed[i].size.height_px == size.height_px)
            return true;
    return false;
}

static void note_failed(struct detector_shapes *shapes, struct input_shape size,
                        const struct why *why)
{
    struct failed_shape failed = {.size = size};

    why_set(&failed.why, 0, "an input of %dx%d fails, its pictures go through another size: %s",
            size.width_px, size.height_px, why->text);
    pthread_mutex_lock(&shapes->telling);
    if (shapes->failed_count < DETECTOR_SHAPES_FAILED && !has_failed(shapes, size)) {
        shapes->failed[shapes->failed_count++] = failed;
        log_warning("detector", "%s", failed.why.text);
    }
    pthread_mutex_unlock(&shapes->telling);
}

static bool may_try(struct detector_shapes *shapes, struct input_shape size)
{
    bool may;

    pthread_mutex_lock(&shapes->telling);
    may = shapes->failed_count < DETECTOR_SHAPES_FAILED && !has_failed(shapes, size);
    pthread_mutex_unlock(&shapes->telling);
    return may;
}

/* Under the lock. The number of the new shape, or -1. */
static int add(struct detector_shapes *shapes, struct input_shape size)
{
    int                    number = shapes->count;
    struct detector_shape *shape  = &shapes->shape[number];
    struct why             why    = {""};

    if (load(shapes, size, shape, &shapes->model[number], &why) != 0) {
        model_close(&shapes->model[number]);
        note_failed(shapes, size, &why);
        return -1;
    }
    shapes->size[number] = size;
    shapes->count++;
    return number;
}

/* Under the lock. */
static int find(struct detector_shapes *shapes, int picture_width_px, int picture_height_px)
{
    struct input_shape wanted = input_shape_for(shapes->own, picture_width_px, picture_height_px);
    int                number = -1;

    for (int i = 0; i < shapes->count; i++)
        if (shapes->size[i].width_px == wanted.width_px &&
            shapes->size[i].height_px == wanted.height_px)
            return i;
    if (shapes->count < DETECTOR_SHAPES_MAX && may_try(shapes, wanted))
        number = add(shapes, wanted);
    if (number >= 0)
        return number;
    shapes->refused++;
    return input_shape_nearest(shapes->size, shapes->count, picture_width_px, picture_height_px);
}

int detector_shapes_find(struct detector_shapes *shapes, int picture_width_px,
                         int picture_height_px)
{
    int number;

    if (!shapes->may_grow || picture_width_px < 1 || picture_height_px < 1)
        return 0;
    pthread_mutex_lock(&shapes->lock);
    number = find(shapes, picture_width_px, picture_height_px);
    pthread_mutex_unlock(&shapes->lock);
    return number;
}

const struct detector_shape *detector_shapes_at(const struct detector_shapes *shapes, int number)
{
    ASSERT(number >= 0 && number < DETECTOR_SHAPES_MAX);
    return &shapes->shape[number];
}

bool detector_shapes_may_grow(const struct detector_shapes *shapes)
{
    return shapes->may_grow;
}

size_t detector_shapes_floats_max(const struct detector_shapes *shapes)
{
    size_t own = (size_t)shapes->own.width_px * (size_t)shapes->own.height_px;

    return 3 * (shapes->may_grow ? (size_t)input_shape_area_max(shapes->own) : own);
}

int detector_shapes_runner(struct detector_shapes *shapes, int number,
                           const struct backend_ops *backend, struct runner **runner,
                           const struct runner_settings *settings, struct why *why)
{
    int rc;

    pthread_mutex_lock(&shapes->opening);
    rc = backend->open(runner, detector_shapes_at(shapes, number)->model, settings, why);
    pthread_mutex_unlock(&shapes->opening);
    return rc;
}

void detector_shapes_fail(struct detector_shapes *shapes, int number, const struct why *why)
{
    const struct prepare_settings *input = &detector_shapes_at(shapes, number)->head.input;

    note_failed(shapes, (struct input_shape){input->width_px, input->height_px}, why);
}

struct detector_shape_stats detector_shapes_stats(struct detector_shapes *shapes)
{
    struct detector_shape_stats stats = {.count   = atomic_load(&shapes->count),
                                         .refused = atomic_load(&shapes->refused)};

    pthread_mutex_lock(&shapes->telling);
    stats.failed = shapes->failed_count;
    pthread_mutex_unlock(&shapes->telling);
    return stats;
}

void detector_shapes_problem(struct detector_shapes *shapes, int index, struct why *why)
{
    ASSERT(index >= 0 && index < DETECTOR_SHAPES_FAILED);
    pthread_mutex_lock(&shapes->telling);
    *why = shapes->failed[index].why;
    pthread_mutex_unlock(&shapes->telling);
}
