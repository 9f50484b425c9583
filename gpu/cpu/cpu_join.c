/* Concatenation in plain layout, and how most of it is avoided.
 *
 * Heads bring each of their levels from blocks into plain order and then join them. An input that
 * exists in plain order for that alone need not be written twice: the steps that write it are
 * pointed into the joined value, and what they were to write is forgotten, so that whoever asks for
 * it later has it made anew. */
#include "gpu/cpu/cpu_plan.h"

#include "config/err.h"

#include <string.h>

/* Where an input goes: `row` floats of each of the output's rows, from `begin` on. */
struct joint {
    struct plan       *plan;
    int                value;
    struct cpu_tensor *y;
    struct cpu_piece   piece;
    int64_t            rows, row_floats; /* of the output */
};

static bool lies_in(const struct cpu_tensor *tensor, int buffer)
{
    return tensor != NULL && tensor->buffer == buffer;
}

/* True when what the step writes may lie elsewhere: anything, where the output is one row; else what
 * fills each row of the piece with a channel. oneDNN was promised the alignment of a whole tensor. */
static bool can_write(const struct joint *joint, const struct cpu_step *step)
{
    if (joint->rows == 1)
        return step->dnnl == NULL && step->output->layout == LAYOUT_PLAIN;
    return step->run == cpu_run_to_plain && step->pitch == joint->piece.floats;
}

/* True when nobody but the concatenation reads the input, now or later. */
static bool can_move(const struct joint *joint, int buffer)
{
    const struct plan       *plan   = joint->plan;
    const struct cpu_runner *runner = plan->runner;
    const struct cpu_tensor *x      = runner->tensors[joint->value].plain;

    if (buffer == BUFFER_NONE || plan->graph->values[joint->value].uses != 1 || x->offset != 0 ||
        x->floats != runner->buffers[buffer].floats)
        return false;
    for (int i = 0; i < runner->step_count; i++) {
        const struct cpu_step *step = &runner->steps[i];
        for (int k = 0; k < step->input_count; k++)
            if (lies_in(step->input[k], buffer))
                return false;
        if (lies_in(step->output, buffer) && !can_write(joint, step))
            return false;
    }
    for (int i = 0; i < plan->graph->value_count; i++)
        if (i != joint->value && lies_in(runner->tensors[i].plain, buffer) &&
            runner->tensors[i].blocked == NULL && plan->channels[i] == NULL)
            return false; /* it could not be made anew */
    return true;
}

/* The steps that write the buffer write into the output. */
static void move(const struct joint *joint, int buffer)
{
    struct plan       *plan   = joint->plan;
    struct cpu_runner *runner = plan->runner;

    /* Forgotten first: the values' tensors may be the same as the steps'. */
    for (int i = 0; i < plan->graph->value_count; i++)
        if (lies_in(runner->tensors[i].plain, buffer)) {
            runner->tensors[i].plain = NULL;
            plan->homes[i].plain     = NULL;
        }
    for (int i = 0; i < runner->step_count; i++) {
        struct cpu_step *step = &runner->steps[i];
        int64_t          row;
        if (!lies_in(step->output, buffer))
            continue;
        row                  = step->output->offset / joint->piece.floats;
        step->output->buffer = joint->y->buffer;
        step->output->offset = joint->y->offset + joint->piece.begin + row * joint->row_floats +
                               step->output->offset % joint->piece.floats;
        if (joint->rows > 1)
            step->pitch = joint->row_floats;
    }
    runner->buffers[buffer].floats = 0;
}

int cpu_join(struct plan *plan, const struct node *node, struct cpu_tensor *y)
{
    struct cpu_runner  *runner = plan->runner;
    struct cpu_piece   *pieces = plan_alloc(plan, node->input_count, sizeof *pieces);
    struct cpu_tensor **inputs = plan_alloc(plan, node->input_count, sizeof(struct cpu_tensor *));
    struct joint        joint  = {.plan = plan, .y = y, .row_floats = 1};
    int64_t             begin = 0, inner = 1;
    int                 left = 0;
    struct cpu_step    *step;

    if (pieces == NULL || inputs == NULL)
        return ERR_MEMORY;
    for (int k = node->axis; k < y->rank; k++)
        joint.row_floats *= y->dimension[k];
    inner      = joint.row_floats / y->dimension[node->axis];
    joint.rows = y->floats / joint.row_floats;
    for (int i = 0; i < node->input_count; i++) {
        struct cpu_tensor *x = runner->tensors[node->input[i]].plain;
        joint.value          = node->input[i];
        joint.piece          = (struct cpu_piece){.begin  = begin,
                                                  .floats = x->dimension[node->axis] * inner};
        begin += joint.piece.floats;
        if (can_move(&joint, x->buffer)) {
            move(&joint, x->buffer);
            continue;
        }
        inputs[left]   = x;
        pieces[left++] = joint.piece;
    }
    if (left == 0)
        return 0;
    step = cpu_add_step(runner, node, "concat", left);
    if (step == NULL)
        return ERR_MEMORY;
    memcpy(step->input, inputs, (size_t)left * sizeof(struct cpu_tensor *));
    step->run    = cpu_run_join;
    step->output = y;
    step->pieces = pieces;
    return 0;
}

void cpu_run_join(const struct cpu_step *step)
{
    const struct cpu_tensor *y   = step->output;
    int64_t                  row = 1, rows;

    for (int k = step->node->axis; k < y->rank; k++)
        row *= y->dimension[k];
    rows = y->floats / row;
    for (int i = 0; i < step->input_count; i++) {
        const struct cpu_piece *piece = &step->pieces[i];
        for (int64_t k = 0; k < rows; k++)
            memcpy(y->data + k * row + piece->begin, step->input[i]->data + k * piece->floats,
                   (size_t)piece->floats * sizeof(float));
    }
}
