/* Tensors, constants and the arena of a plan for a CUDA device. */
#include "gpu/cuda/cuda_builder.h"

#include "config/assert.h"
#include "config/err.h"
#include "gpu/cuda/cuda_body.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

void *builder_alloc(struct cuda_builder *builder, int64_t count, size_t size)
{
    return graph_memory_alloc(&builder->plan->memory, (size_t)count, size);
}

int64_t round_lanes(int64_t channels)
{
    return (channels + CUDA_LANES - 1) / CUDA_LANES * CUDA_LANES;
}

static int64_t align(int64_t bytes)
{
    return (bytes + CUDA_ALIGN_BYTES - 1) / CUDA_ALIGN_BYTES * CUDA_ALIGN_BYTES;
}

/* ---- lists that grow; the old one stays in the plan's memory, which doubling bounds ---- */

static bool grow(struct cuda_builder *builder, void **items, int *room, int count, size_t size)
{
    int   wanted = *room == 0 ? 64 : *room * 2;
    void *larger;

    if (count < *room)
        return true;
    if ((larger = builder_alloc(builder, wanted, size)) == NULL)
        return false;
    if (count > 0)
        memcpy(larger, *items, (size_t)count * size);
    *items = larger;
    *room  = wanted;
    return true;
}

struct cuda_step *builder_step(struct cuda_builder *builder, enum cuda_step_kind kind)
{
    struct cuda_plan *plan  = builder->plan;
    void             *items = plan->steps;
    struct cuda_step *step;

    if (!grow(builder, &items, &plan->step_room, plan->step_count, sizeof *step))
        return NULL;
    plan->steps = items;
    step        = &plan->steps[plan->step_count++];
    memset(step, 0, sizeof *step);
    step->kind    = kind;
    step->node    = builder->node;
    step->weights = step->bias = step->table = -1;
    return step;
}

static int add_buffer(struct cuda_builder *builder, int64_t bytes)
{
    struct cuda_plan *plan  = builder->plan;
    void             *items = plan->buffers;

    if (!grow(builder, &items, &plan->buffer_room, plan->buffer_count, sizeof *plan->buffers))
        return ERR_MEMORY;
    plan->buffers                     = items;
    plan->buffers[plan->buffer_count] = (struct cuda_buffer){
        .bytes = align(bytes), .first_step = INT_MAX, .last_step = -1, .offset = -1};
    return plan->buffer_count++;
}

int64_t builder_constant(struct cuda_builder *builder, int64_t bytes)
{
    struct cuda_plan *plan = builder->plan;
    int64_t           at   = plan->constant_bytes, end;
    uint8_t          *larger;

    if (bytes > CUDA_PLAN_CONSTANT_BYTES || at + align(bytes) > CUDA_PLAN_CONSTANT_BYTES)
        return why_set(builder->why, ERR_LIMIT, "the weights take more than %lld bytes",
                       (long long)CUDA_PLAN_CONSTANT_BYTES);
    end = at + align(bytes);
    if (end > plan->constant_room) {
        int64_t room = end > 2 * plan->constant_room ? end : 2 * plan->constant_room;

        if ((larger = realloc(plan->constants, (size_t)room)) == NULL)
            return why_set(builder->why, ERR_MEMORY, "no memory for the weights");
        plan->constants     = larger;
        plan->constant_room = room;
    }
    memset(plan->constants + at, 0, (size_t)(end - at));
    plan->constant_bytes = end;
    return at;
}

/* ---- tensors ---- */

bool builder_is_picture(const struct value *value)
{
    return value->rank == 4 && value->dimension[0] == 1;
}

static bool has_shape(const struct cuda_tensor *tensor, const struct value *value)
{
    return tensor != NULL && tensor->is_picture && builder_is_picture(value) &&
           tensor->channels == value->dimension[1] && tensor->height == value->dimension[2] &&
           tensor->width == value->dimension[3];
}

bool builder_has_picture(const struct cuda_builder *builder, int value)
{
    const struct cuda_place *place = &builder->places[value];

    return place->picture != NULL || has_shape(place->any, &builder->graph->values[value]);
}

static struct cuda_tensor *describe(struct cuda_builder *builder, const struct value *value,
                                    bool is_picture)
{
    struct cuda_tensor *tensor = builder_alloc(builder, 1, sizeof *tensor);

    if (tensor == NULL)
        return NULL;
    tensor->is_picture  = is_picture;
    tensor->elements    = value->elements;
    tensor->image_bytes = value->elements * (int64_t)sizeof(float);
    if (is_picture) {
        tensor->channels    = value->dimension[1];
        tensor->height      = value->dimension[2];
        tensor->width       = value->dimension[3];
        tensor->pitch       = round_lanes(tensor->channels);
        tensor->image_bytes = tensor->height * tensor->width * tensor->pitch *
                              (int64_t)sizeof(half_bits);
    }
    return tensor;
}

struct cuda_tensor *builder_new_plain(struct cuda_builder *builder, int value)
{
    struct cuda_tensor *tensor = describe(builder, &builder->graph->values[value], false);

    if (tensor == NULL || (tensor->buffer = add_buffer(builder, tensor->image_bytes)) < 0)
        return NULL;
    builder->places[value].plain = tensor;
    if (builder->places[value].any == NULL)
        builder->places[value].any = tensor;
    return tensor;
}

struct cuda_tensor *builder_new_picture(struct cuda_builder *builder, int value)
{
    struct cuda_place  *place  = &builder->places[value];
    struct cuda_tensor *tensor = place->picture, *parent;

    if (tensor != NULL) /* made when the first of its parts was */
        return tensor;
    if ((tensor = describe(builder, &builder->graph->values[value], true)) == NULL)
        return NULL;
    if (place->parent >= 0) {
        if ((parent = builder_new_picture(builder, place->parent)) == NULL)
            return NULL;
        tensor->buffer      = parent->buffer;
        tensor->offset      = parent->offset + place->parent_channel * (int64_t)sizeof(half_bits);
        tensor->pitch       = parent->pitch;
        tensor->image_bytes = parent->image_bytes;
    } else if ((tensor->buffer = add_buffer(builder, tensor->image_bytes)) < 0) {
        return NULL;
    }
    place->picture = tensor;
    if (place->any == NULL)
        place->any = tensor;
    return tensor;
}

struct cuda_tensor *builder_alias(struct cuda_builder *builder, int value,
                                  const struct cuda_tensor *of)
{
    struct cuda_place  *place  = &builder->places[value];
    struct cuda_tensor *tensor = builder_alloc(builder, 1, sizeof *tensor);

    if (tensor == NULL)
        return NULL;
    *tensor    = *of;
    place->any = tensor;
    if (has_shape(tensor, &builder->graph->values[value]))
        place->picture = tensor;
    if (!tensor->is_picture)
        place->plain = tensor;
    return tensor;
}

static struct cuda_tensor *constant_tensor(struct cuda_builder *builder, int number)
{
    const struct value *value  = &builder->graph->values[number];
    struct cuda_tensor *tensor = describe(builder, value, false);
    int64_t             at;

    if (tensor == NULL)
        return NULL;
    at = builder_constant(builder, value->elements * (int64_t)sizeof(float));
    if (at < 0)
        return NULL;
    for (int64_t i = 0; i < value->elements; i++) {
        float x = value->floats != NULL ? value->floats[i] : (float)value->ints[i];

        memcpy(builder->plan->constants + at + i * (int64_t)sizeof x, &x, sizeof x);
    }
    tensor->buffer                = CUDA_BUFFER_CONSTANT;
    tensor->offset                = at;
    tensor->image_bytes           = 0;
    builder->places[number].any   = tensor;
    builder->places[number].plain = tensor;
    return tensor;
}

struct cuda_tensor *builder_any(struct cuda_builder *builder, int value)
{
    const struct value *of    = &builder->graph->values[value];
    struct cuda_place  *place = &builder->places[value];

    if (place->plain != NULL)
        return place->plain;
    if (place->any == NULL && (of->floats != NULL || of->ints != NULL))
        return constant_tensor(builder, value);
    return place->any;
}

/* A step that brings a value into another layout. */
static struct cuda_tensor *convert(struct cuda_builder *builder, int value, bool to_picture)
{
    struct cuda_tensor *x = builder_any(builder, value), *y;
    struct cuda_step   *step;
    int                 parent = builder->places[value].parent;

    if (x == NULL)
        return NULL;
    /* A converted value is no part of a joined one: whoever joins takes it from where it lies. */
    builder->places[value].parent = -1;
    y = to_picture ? builder_new_picture(builder, value) : builder_new_plain(builder, value);
    builder->places[value].parent = parent;
    if (y == NULL || (step = builder_step(builder, CUDA_STEP_COPY)) == NULL)
        return NULL;
    step->input[0]               = x;
    step->output                 = y;
    step->args.copy.x            = view_of(x);
    step->args.copy.y            = view_of(y);
    step->args.copy.rank         = 1;
    step->args.copy.dimension[0] = (uint32_t)x->elements;
    step->args.copy.stride[0]    = 1;
    return y;
}

struct cuda_tensor *builder_picture(struct cuda_builder *builder, int value)
{
    struct cuda_place *place = &builder->places[value];

    if (place->picture != NULL)
        return place->picture;
    if (has_shape(place->any, &builder->graph->values[value]))
        return place->any;
    return convert(builder, value, true);
}

struct cuda_tensor *builder_plain(struct cuda_builder *builder, int value)
{
    struct cuda_tensor *any = builder_any(builder, value);

    return any == NULL || !any->is_picture ? any : convert(builder, value, false);
}

/* ---- the arena ---- */

static void use(struct cuda_plan *plan, const struct cuda_tensor *tensor, int step)
{
    struct cuda_buffer *buffer;

    if (tensor == NULL || tensor->buffer < 0)
        return;
    buffer = &plan->buffers[tensor->buffer];
    if (step < buffer->first_step)
        buffer->first_step = step;
    if (step > buffer->last_step)
        buffer->last_step = step;
}

static void find_lifetimes(struct cuda_plan *plan)
{
    for (int i = 0; i < plan->step_count; i++) {
        const struct cuda_step *step = &plan->steps[i];

        use(plan, step->output, i);
        for (int k = 0; k < CUDA_STEP_INPUTS; k++)
            use(plan, step->input[k], i);
    }
    for (int i = 0; i < plan->graph->output_count; i++)
        use(plan, plan->outputs[i], INT_MAX);
}

/* The lowest free place among the buffers already placed. */
static int64_t lowest_place(const struct cuda_plan *plan, const struct cuda_buffer *buffer)
{
    int64_t place = 0;
    bool    moved = true;

    while (moved) {
        moved = false;
        for (int i = 0; i < plan->buffer_count; i++) {
            const struct cuda_buffer *other = &plan->buffers[i];

            if (other == buffer || other->offset < 0 || other->first_step > buffer->last_step ||
                buffer->first_step > other->last_step)
                continue;
            if (place < other->offset + other->bytes && other->offset < place + buffer->bytes) {
                place = other->offset + other->bytes;
                moved = true;
            }
        }
    }
    return place;
}

/* The largest first, each at the lowest place where nothing lies that lives at the same time. */
int builder_place_buffers(struct cuda_plan *plan)
{
    find_lifetimes(plan);
    for (int placed = 0; placed < plan->buffer_count; placed++) {
        struct cuda_buffer *largest = NULL;

        for (int i = 0; i < plan->buffer_count; i++) {
            struct cuda_buffer *buffer = &plan->buffers[i];
            if (buffer->offset < 0 && (largest == NULL || buffer->bytes > largest->bytes))
                largest = buffer;
        }
        ASSERT(largest != NULL); /* each round has placed one of them */
        largest->offset = lowest_place(plan, largest);
        if (largest->offset + largest->bytes > plan->arena_bytes)
            plan->arena_bytes = largest->offset + largest->bytes;
        if (plan->arena_bytes > LIMIT_MODEL_ARENA_BYTES)
            return ERR_LIMIT;
    }
    return 0;
}

/* ---- descriptions ---- */

struct cuda_picture picture_of(const struct cuda_tensor *tensor)
{
    return (struct cuda_picture){.image    = tensor->image_bytes / (int64_t)sizeof(half_bits),
                                 .channels = (uint32_t)tensor->channels,
                                 .height   = (uint32_t)tensor->height,
                                 .width    = (uint32_t)tensor->width,
                                 .pitch    = (uint32_t)tensor->pitch};
}

struct cuda_view view_of(const struct cuda_tensor *tensor)
{
    size_t size = tensor->is_picture ? sizeof(half_bits) : sizeof(float);

    return (struct cuda_view){.image      = tensor->image_bytes / (int64_t)size,
                              .is_picture = tensor->is_picture,
                              .elements   = (uint32_t)tensor->elements,
                              .channels   = (uint32_t)tensor->channels,
                              .pixels     = (uint32_t)(tensor->height * tensor->width),
                              .pitch      = (uint32_t)tensor->pitch};
}

struct cuda_activation activation_of(const struct activation *activation)
{
    return (struct cuda_activation){(int32_t)activation->kind, activation->a, activation->b};
}

struct cuda_activation builder_activation(const struct cuda_builder *builder)
{
    const struct node *node = builder->node;

    if (node->kind == NODE_UNARY)
        return (struct cuda_activation){ACTIVATION_UNARY + (int32_t)node->unary, node->unary_a, 0};
    return activation_of(&node->activation);
}
