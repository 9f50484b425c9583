/* How wide the ranges are, and which layers stay in float32.
 *
 * First each layer is run in 8 bits alone and the boxes are looked at. One that cannot give floats
 * (a convolution by channel, or with a residual) runs with the one that reads it, and what that does
 * alone is taken off. Then the layers that do most
 * are kept in float32, the worst first, until the boxes agree; then those of them that are much work
 * are tried in 8 bits again, one at a time, and stay there while the boxes still agree.
 *
 * Layers are compared by a sum of squares, not by boxes that are lost: that says something of each
 * box, and what several layers do adds up in it. */
#include "config/err.h"
#include "gpu/cpu/backend_cpu.h"
#include "gpu/quantize_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Pictures on which one layer alone is looked at. */
#define SENSITIVITY_PICTURES 10
/* More of a network's multiplications in float32 are too dear for the last percent. */
#define FLOAT_WORK_MAX 0.15
/* Added to a layer's share of the work before what it does is divided by that: what is left of a
 * layer's price when it has little work. */
#define PRICE_MIN 0.01
/* A kept layer of less work is not worth a trial. */
#define TRIAL_WORK_MIN 0.005
#define TRIALS_MAX     12
/* Layers that are measured together, as only the last of them gives floats. */
#define CHAIN_MAX 4
/* Of one box: a box that is lost is not worse than this. */
#define APART_MAX 4.0

/* Between the mean of the pictures' extremes (0) and the extreme of all (1), or beyond. */
static const float WIDTHS[] = {1.25F, 1.0F, 1.6F, 0.7F};

/* ---- how far it is ---- */

/* Parts of the whole, by what they take of a network whose layers are looked at; each begins where the
 * one before ends. */
static const struct quantize_step ALL_LAYERS = {0.30F, 0.32F, "8 bits everywhere"},
                                  WIDTH      = {0.32F, 0.40F, "how wide the ranges are"},
                                  EACH_LAYER = {0.40F, 0.70F, "what each layer does"},
                                  INTO_FLOAT = {0.70F, 0.80F, "layers into float32"},
                                  WIDTH_THEN = {0.80F, 0.85F, "how wide the ranges are"},
                                  MORE_FLOAT = {0.85F, 0.90F, "layers into float32"},
                                  BACK       = {0.90F, 1.00F, "layers back into 8 bits"};

/* The number-th of `count` parts of a step is in hand. */
static void begin_part(struct quantizer *q, const struct quantize_step *step, int number, int count)
{
    float each = (step->to - step->from) / (float)count;

    q->step = (struct quantize_step){step->from + each * (float)number,
                                     step->from + each * (float)(number + 1), step->what};
}

/* ---- what a calibration gives ---- */

/* The candidate that runners of this thread are opened with: one for each size of input, when the
 * first picture comes that needs it. */
static _Thread_local const struct calibration *candidate;

static int open_candidate(struct runner **out, const struct model *model,
                          const struct runner_settings *settings, struct why *why)
{
    (void)settings;
    return backend_cpu_open_calibrated(out, model, NULL, candidate, why);
}

static int open_session(struct quantizer *q, const struct calibration *calibration,
                        struct detector_session **session)
{
    q->candidate_ops      = BACKEND_CPU;
    q->candidate_ops.open = open_candidate;
    candidate             = calibration;
    return detector_session_open_on(session, q->detector, &q->candidate_ops, PRECISION_AUTO,
                                    q->why);
}

/* How far boxes are from those in float32, in parts of what the rule of quantize.h allows. */
static double boxes_apart(const struct box *a, int a_count, const struct box *b, int b_count)
{
    const double score_unit = (double)(QUANTIZE_SCORE - QUANTIZE_PARTNER_SCORE);
    double       apart      = 0;

    for (int i = 0; i < a_count; i++) {
        double best = APART_MAX;
        if (a[i].score <= QUANTIZE_SCORE)
            continue;
        for (int k = 0; k < b_count; k++)
            if (a[i].object_class == b[k].object_class) {
                double place = (1 - (double)box_iou(&a[i], &b[k])) / (1 - (double)QUANTIZE_IOU);
                double score = ((double)a[i].score - (double)b[k].score) / score_unit;
                best         = fmin(best, place * place + score * score);
            }
        apart += best;
    }
    return apart;
}

enum part { PART_RANGES, PART_HELD_BACK, PART_COUNT };

/* What a calibration gives on the pictures that the ranges come from, and on the others. */
struct verdict {
    int    found[PART_COUNT], asked[PART_COUNT];
    double apart[PART_COUNT];
};

static int judge_picture(struct quantizer *q, struct detector_session *session, int index,
                         struct verdict *verdict)
{
    const struct quantize_boxes *exact = &q->exact[index];
    enum part                    part  = quantize_held_back(index) ? PART_HELD_BACK : PART_RANGES;
    struct box                   boxes[LIMIT_BOXES];
    int                          count, asked, rc;

    rc = quantize_run(q, session, index, boxes, &count);
    verdict->found[part] += quantize_matches(exact->box, exact->count, boxes, count, &asked);
    verdict->asked[part] += asked;
    verdict->apart[part] += boxes_apart(exact->box, exact->count, boxes, count);
    return rc;
}

/* On at most so many pictures, spread evenly over all of them. */
static int judge(struct quantizer *q, const struct calibration *calibration, int most,
                 struct verdict *verdict)
{
    struct detector_session *session;
    int                      all = q->settings->picture_count;
    int                      rc  = open_session(q, calibration, &session);

    *verdict = (struct verdict){0};
    if (rc != 0)
        goto done;
    if (most > all)
        most = all;
    for (int i = 0; rc == 0 && i < most; i++) {
        rc = judge_picture(q, session, (int)((int64_t)i * all / most), verdict);
        if (rc == 0)
            rc = quantize_tell(q, (float)(i + 1) / (float)most);
    }
    detector_session_close(&session);
done:
    candidate = NULL;
    return rc;
}

static int judge_all(struct quantizer *q, const struct calibration *calibration,
                     struct verdict *verdict)
{
    return judge(q, calibration, q->settings->picture_count, verdict);
}

static float share(const struct verdict *verdict, enum part part)
{
    return verdict->asked[part] > 0 ? (float)verdict->found[part] / (float)verdict->asked[part] : 0;
}

/* On the pictures held back, and on all of them: few boxes agree by chance. */
static bool agrees(const struct verdict *verdict, float wanted)
{
    int found = verdict->found[PART_RANGES] + verdict->found[PART_HELD_BACK];
    int asked = verdict->asked[PART_RANGES] + verdict->asked[PART_HELD_BACK];

    return share(verdict, PART_HELD_BACK) >= wanted && (float)found >= wanted * (float)asked;
}

/* ---- layers ---- */

struct layer {
    int    value; /* of the calibration */
    double hurt;  /* what it does alone, by what it costs to keep it */
    double work;  /* its part of the network's multiplications */
};

struct search {
    struct quantizer   *q;
    struct calibration *calibration;
    int                 count, kept; /* kept: the first ones of `layers`, but for those put back */
    struct layer       *layers;      /* the worst for their work first */
    int                *next;        /* by value of the calibration: see next_of() */
    double             *apart;       /* by value: what measure_chain() has found */
    float               wanted;      /* of the boxes */
    float               enough;      /* where the work in float32 is too much */
    double              float_work;
};

static int by_hurt(const void *a, const void *b)
{
    const struct layer *x = a, *y = b;

    return x->hurt != y->hurt ? (x->hurt < y->hurt ? 1 : -1) : x->value - y->value;
}

static const struct node *node_of(const struct graph *graph, const char *name)
{
    for (int i = 0; i < graph->node_count; i++) {
        const struct node *node = &graph->nodes[i];
        const char        *made = graph->values[node->output].name;
        if (node->kind == NODE_CONV && made != NULL && strcmp(made, name) == 0)
            return node;
    }
    return NULL;
}

static double work_of(const struct graph *graph, const struct node *node)
{
    const struct value *y = &graph->values[node->output], *w = &graph->values[node->input[1]];
    int64_t             terms = w->elements / w->dimension[0]; /* of one output */

    return (double)y->elements * (double)terms / (double)graph_multiply_adds(graph);
}

/* The first convolution that reads a value, if only on the way of codes. */
static const struct node *reader_of(const struct graph *graph, int value)
{
    for (int i = 0; i < graph->node_count; i++) {
        const struct node *node  = &graph->nodes[i];
        bool               reads = false;
        if (node->kind != NODE_CONV && node->kind != NODE_COPY && node->kind != NODE_CONCAT &&
            node->kind != NODE_MAX_POOL && node->kind != NODE_RESIZE)
            continue;
        for (int k = 0; k < node->input_count; k++)
            reads = reads || node->input[k] == value;
        if (reads && node->kind == NODE_CONV)
            return node;
        if (reads)
            value = node->output; /* nodes stand in the order in which they run */
    }
    return NULL;
}

/* The layer that turns what layer `i` gives into floats again, if that cannot do so itself; -1: it
 * can. */
static int next_of(const struct search *search, const struct graph *graph, int i)
{
    const struct calibration *calibration = search->calibration;
    const struct node        *node        = node_of(graph, calibration->values[i].name);
    const struct calibrated  *next        = NULL;

    if (node == NULL || (node->input[3] < 0 && node->window.groups == 1))
        return -1;
    node = reader_of(graph, node->output);
    if (node != NULL)
        next = calibration_find(calibration, graph->values[node->output].name);
    return next != NULL && quantize_is_layer(search->q, next->name)
               ? (int)(next - calibration->values)
               : -1;
}

static void keep_all(struct calibration *calibration, bool keep)
{
    for (int i = 0; i < calibration->count; i++)
        calibration->values[i].keep_float = keep;
    calibration->eager = keep; /* one layer alone must not be left out */
}

/* What a layer does together with those that bring its codes back to floats. */
static int measure_chain(struct search *search, int first, double *apart)
{
    struct calibration *calibration = search->calibration;
    struct verdict      verdict;
    int                 rc, count = 0;

    for (int i = first; i >= 0 && count < CHAIN_MAX; i = search->next[i], count++)
        calibration->values[i].keep_float = false;
    rc     = judge(search->q, calibration, SENSITIVITY_PICTURES, &verdict);
    *apart = verdict.apart[PART_RANGES] + verdict.apart[PART_HELD_BACK];
    for (int i = first; i >= 0 && count > 0; i = search->next[i], count--)
        calibration->values[i].keep_float = true;
    return rc;
}

/* What each layer alone does to the boxes, by its price. */
static int measure_layers(struct search *search)
{
    struct quantizer   *q           = search->q;
    struct calibration *calibration = search->calibration;
    const struct graph *graph       = model_graph(detector_graph(q->detector));
    int                 rc          = 0;

    for (int i = 0; i < calibration->count; i++)
        search->next[i] = next_of(search, graph, i);
    keep_all(calibration, true);
    for (int i = 0; rc == 0 && i < calibration->count; i++) {
        if (!quantize_is_layer(q, calibration->values[i].name))
            continue;
        search->layers[search->count++].value = i;
        begin_part(q, &EACH_LAYER, i, calibration->count);
        rc = measure_chain(search, i, &search->apart[i]);
    }
    keep_all(calibration, false);
    for (int i = 0; i < search->count; i++) {
        struct layer      *layer = &search->layers[i];
        int                next  = search->next[layer->value];
        const struct node *node  = node_of(graph, calibration->values[layer->value].name);
        double alone = search->apart[layer->value] - (next >= 0 ? search->apart[next] : 0);
        layer->work  = node != NULL ? work_of(graph, node) : 0;
        layer->hurt  = fmax(alone, 0) / (layer->work + PRICE_MIN);
    }
    qsort(search->layers, (size_t)search->count, sizeof *search->layers, by_hurt);
    return rc;
}

static void set_kept(struct search *search, const struct layer *layer, bool kept)
{
    search->calibration->values[layer->value].keep_float = kept;
    search->float_work += kept ? layer->work : -layer->work;
    search->q->report->kept += kept ? 1 : -1;
}

static bool is_good(const struct search *search, const struct verdict *verdict)
{
    return agrees(verdict, search->wanted) ||
           (search->float_work > FLOAT_WORK_MAX && agrees(verdict, search->enough));
}

/* Into float32, the worst first, until the boxes agree. */
static int keep_layers(struct search *search, const struct quantize_step *step,
                       struct verdict *verdict)
{
    int rc = 0;

    while (rc == 0 && search->kept < search->count && !is_good(search, verdict)) {
        int more = search->kept / 8 + 1;
        begin_part(search->q, step, search->kept, search->count);
        for (int i = 0; i < more && search->kept < search->count; i++)
            set_kept(search, &search->layers[search->kept++], true);
        rc = judge_all(search->q, search->calibration, verdict);
    }
    return rc;
}

/* Back into 8 bits what the agreement does not need, those that hurt least first. */
static int put_back(struct search *search, struct verdict *verdict)
{
    int rc = 0, trials = 0;

    for (int i = search->kept - 1; rc == 0 && i >= 0 && trials < TRIALS_MAX; i--) {
        struct verdict without;
        if (search->layers[i].work < TRIAL_WORK_MIN)
            continue;
        set_kept(search, &search->layers[i], false);
        begin_part(search->q, &BACK, trials, TRIALS_MAX);
        rc = judge_all(search->q, search->calibration, &without);
        if (rc == 0 && agrees(&without, search->wanted))
            *verdict = without;
        else
            set_kept(search, &search->layers[i], true);
        trials++;
    }
    return rc;
}

/* ---- the search ---- */

/* The width whose boxes are nearest, with the layers that are kept so far: on the pictures held back,
 * as those that the ranges come from never leave them. */
static int choose_width(struct search *search, const struct quantize_step *step,
                        struct verdict *verdict)
{
    static const int COUNT = sizeof WIDTHS / sizeof WIDTHS[0];

    struct calibration *best = search->calibration;
    struct quantizer   *q    = search->q;
    int                 rc   = 0;

    for (int i = 1; rc == 0 && i < COUNT; i++) {
        struct calibration other;
        struct verdict     judged;
        rc = quantize_ranges_finish(q, WIDTHS[i], &other);
        if (rc != 0)
            break;
        for (int k = 0; k < best->count; k++)
            other.values[k].keep_float = best->values[k].keep_float;
        begin_part(q, step, i - 1, COUNT - 1);
        rc = judge_all(q, &other, &judged);
        if (rc == 0 && judged.apart[PART_HELD_BACK] < verdict->apart[PART_HELD_BACK]) {
            struct calibration worse = *best;
            *best                    = other;
            other                    = worse;
            *verdict                 = judged;
        }
        calibration_free(&other);
    }
    return rc;
}

static int choose_layers(struct search *search, struct verdict *verdict)
{
    size_t room = (size_t)search->calibration->count + 1;

    search->layers = calloc(room, sizeof *search->layers);
    search->next   = calloc(room, sizeof *search->next);
    search->apart  = calloc(room, sizeof *search->apart);
    int rc         = search->layers != NULL && search->next != NULL && search->apart != NULL
                         ? choose_width(search, &WIDTH, verdict)
                         : why_set(search->q->why, ERR_MEMORY, "out of memory for the layers");
    if (rc == 0)
        rc = measure_layers(search);
    if (rc == 0)
        rc = keep_layers(search, &INTO_FLOAT, verdict);
    if (rc == 0)
        rc = choose_width(search, &WIDTH_THEN, verdict);
    if (rc == 0)
        rc = keep_layers(search, &MORE_FLOAT, verdict);
    if (rc == 0)
        rc = put_back(search, verdict);
    free(search->layers);
    free(search->next);
    free(search->apart);
    return rc;
}

int quantize_search(struct quantizer *q, struct calibration *best)
{
    float          asked  = q->settings->agreement_min;
    struct search  search = {.q           = q,
                             .calibration = best,
                             .wanted      = asked > 0 ? asked : QUANTIZE_AGREEMENT_WANTED,
                             .enough      = asked > 0 ? asked : QUANTIZE_AGREEMENT_ENOUGH};
    struct verdict verdict;
    int            rc = quantize_ranges_finish(q, WIDTHS[0], best);

    begin_part(q, &ALL_LAYERS, 0, 1);
    if (rc == 0)
        rc = judge_all(q, best, &verdict);
    if (rc != 0)
        return rc;
    for (int i = 0; i < best->count; i++)
        q->report->layers += quantize_is_layer(q, best->values[i].name);
    q->report->agreement_all = share(&verdict, PART_HELD_BACK);
    if (verdict.asked[PART_HELD_BACK] == 0)
        return why_set(q->why, ERR_LIMIT,
                       "the network finds nothing above %.1f on the pictures that are held back: "
                       "take pictures of what it is to find",
                       (double)QUANTIZE_SCORE);
    if (!is_good(&search, &verdict))
        rc = choose_layers(&search, &verdict);
    best->agreement      = share(&verdict, PART_HELD_BACK);
    best->boxes          = verdict.asked[PART_HELD_BACK];
    q->report->agreement = best->agreement;
    q->report->boxes     = best->boxes;
    return rc;
}
