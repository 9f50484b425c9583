/* server/count/tracker.c: see tracker.h.
 *
 * One picture: every object is moved to the picture's time, then matched with the boxes in stages,
 * each over what the stages before left: confirmed objects with sure boxes, then with weak ones;
 * confirmed objects by their last observation instead of the filter; then the unconfirmed. What is
 * left and sure begins a new object. Likeness is the overlap of the predicted and the found box,
 * both widened by how uncertain the prediction is: so a new, fast object is found again far from
 * where it was, and an old one only near. */
#include "server/count/tracker.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "config/assert.h"
#include "config/err.h"
#include "server/count/assignment.h"
#include "server/count/companion.h"
#include "server/count/found.h"
#include "server/count/tracked.h"

/* The least likeness at which a pair is possible, per stage. A weak box must fit better: it may be
 * anything. */
#define LEAST_SURE    0.15F
#define LEAST_WEAK    0.40F
#define LEAST_RECOVER 0.25F

/* Boxes are widened by this many standard deviations, but by no more than this part of the object's
 * size. */
#define WIDEN_SD  1.2F
#define WIDEN_MAX 1.0F

/* How much a way that goes on as before is worth, in units of likeness; over how long the way is
 * taken. */
#define WEIGHT_WAY  0.2F
#define WAY_SPAN_NS INT64_C(300000000)
/* Shorter ways have no direction, in sizes: until now, and to the box. */
#define WAY_LEAST    0.15F
#define WAY_TO_LEAST 0.10F

/* A person's box is cut short when it is lower than this part of his height and its upper edge is
 * no farther than the other from where it should be. */
#define SHORT_SHARE 0.8F
#define SHORT_TOP   0.15F

/* Weak boxes go on with an object only if it was seen so recently. */
#define WEAK_AFTER_NS INT64_C(700000000)
/* An unconfirmed object that is not seen again so soon was a false alarm: two pictures at 5 a
 * second. */
#define UNCONFIRMED_NS INT64_C(450000000)
/* The sum of scores that confirms: two good boxes or three poor ones. */
#define CONFIRM_SCORE 1.2F
/* What a box that is a part of another takes away from the evidence, of its score. */
#define PART_DOUBT 0.5F
/* An object that was not found for no longer than this still has its parts. */
#define BLINK_NS INT64_C(250000000)

struct tracker {
    struct tracker_settings settings;
    struct tracked          objects[LIMIT_TRACKS]; /* by id */
    int                     object_count;
    uint64_t                next_id;
    int64_t                 time_ns; /* of the last picture */
    bool                    started;

    struct found_boxes found;              /* of this picture */
    int                rows[LIMIT_TRACKS]; /* the objects of a stage */
    struct assignment  assignment;

    struct track tracks[LIMIT_TRACKS]; /* given out */
    int          track_count;
};

/* What a stage matches. */
struct stage {
    bool    confirmed; /* objects that are, or those that are not */
    bool    sure;      /* boxes that are, or those that are not */
    bool    by_last;   /* by the last observation instead of the prediction */
    float   least;     /* likeness */
    int64_t age_ns;    /* objects seen so recently */
};

struct tracker_settings tracker_settings_default(void)
{
    return (struct tracker_settings){
        .high_score = 0.35F, .new_score = 0.40F, .confirm_hits = 2, .lost_ns = INT64_C(2000000000)};
}

int tracker_open(struct tracker **out, const struct tracker_settings *settings)
{
    struct tracker *tracker = calloc(1, sizeof *tracker);

    *out = NULL;
    if (tracker == NULL)
        return ERR_MEMORY;
    tracker->settings = *settings;
    tracker->next_id  = 1;
    *out              = tracker;
    return 0;
}

void tracker_close(struct tracker **tracker)
{
    free(*tracker);
    *tracker = NULL;
}

void tracker_reset(struct tracker *tracker)
{
    tracker->object_count = 0;
    tracker->track_count  = 0;
    tracker->started      = false;
}

static struct box widened(const struct box *box, float x, float y)
{
    return (struct box){box->x0 - x, box->y0 - y, box->x1 + x,
                        box->y1 + y, box->score,  box->object_class};
}

/* Does the object go on as it went? -1 the other way, 1 straight on, 0 if that cannot be said. */
static float way_agreement(const struct tracked *object, const struct box *box)
{
    float   size = tracked_size(object), dx, dy, to_x, to_y, length, to_length;
    int64_t took_ns;

    if (!tracked_way(object, WAY_SPAN_NS, &dx, &dy, &took_ns))
        return 0.0F;
    to_x      = (box->x0 + box->x1) / 2.0F - (object->last.x0 + object->last.x1) / 2.0F;
    to_y      = (box->y0 + box->y1) / 2.0F - (object->last.y0 + object->last.y1) / 2.0F;
    length    = hypotf(dx, dy);
    to_length = hypotf(to_x, to_y);
    if (length < WAY_LEAST * size || to_length < WAY_TO_LEAST * size)
        return 0.0F;
    return (dx * to_x + dy * to_y) / (length * to_length);
}

/* 1 for a box as large as the object, less the more they differ: overlap alone would let a lost
 * object jump to something of another size. */
static float shape_likeness(const struct tracked *object, const struct box *box)
{
    float width = object->now.width.value, height = object->now.height.value;
    float found_width = box->x1 - box->x0, found_height = box->y1 - box->y0;
    float share = fminf(width, found_width) * fminf(height, found_height) /
                  (fmaxf(width, found_width) * fmaxf(height, found_height));

    return sqrtf(sqrtf(share));
}

static void add_row(struct tracker *tracker, const struct stage *stage,
                    const struct tracked *object)
{
    struct box expected = stage->by_last ? object->last : tracked_box(object);
    float      most     = WIDEN_MAX * tracked_size(object);
    float      x        = fminf(WIDEN_SD * sqrtf(object->now.x.p00), most);
    float      y        = fminf(WIDEN_SD * sqrtf(object->now.y.p00), most);

    if (stage->by_last)
        x = y = 0.0F;
    expected = widened(&expected, x, y);
    assignment_add_row(&tracker->assignment);
    for (int i = found_from(&tracker->found, expected.x0 - x - tracker->found.widest);
         i < tracker->found.count; i++) {
        const struct found *found = &tracker->found.list[i];
        struct box          box;
        float               likeness;

        if (found->box.x0 - x > expected.x1)
            break;
        if (found->taken || found->group != object->group || found->sure != stage->sure)
            continue;
        box      = widened(&found->box, x, y);
        likeness = box_iou(&expected, &box);
        if (likeness <= stage->least)
            continue;
        likeness *= shape_likeness(object, &found->box);
        if (likeness <= stage->least)
            continue;
        likeness += WEIGHT_WAY * way_agreement(object, &found->box) * found->box.score;
        assignment_add_pair(&tracker->assignment, i, likeness - stage->least);
    }
}

/* Who stands behind another is found without his legs. If the upper edge is where it was expected,
 * and something found reaches over what is missing below, the box is completed to the object's
 * height: else the point at its feet would jump. */
static struct box completed(const struct tracker *tracker, const struct tracked *object, int index)
{
    struct box box      = tracker->found.list[index].box;
    struct box expected = tracked_box(object);
    float      height   = expected.y1 - expected.y0;

    if (object->confirmed && object->group == GROUP_PERSON &&
        box.y1 - box.y0 < SHORT_SHARE * height &&
        fabsf(box.y0 - expected.y0) <= SHORT_TOP * height &&
        found_is_hidden_below(&tracker->found, index, height))
        box.y1 = box.y0 + height;
    return box;
}

static void run_stage(struct tracker *tracker, const struct stage *stage)
{
    int rows = 0;

    assignment_begin(&tracker->assignment, tracker->found.count);
    for (int i = 0; i < tracker->object_count; i++) {
        const struct tracked *object = &tracker->objects[i];

        if (object->seen || object->confirmed != stage->confirmed ||
            tracker->time_ns - object->last_ns > stage->age_ns)
            continue;
        tracker->rows[rows++] = i;
        add_row(tracker, stage, object);
    }
    assignment_solve(&tracker->assignment);
    for (int row = 0; row < rows; row++) {
        int             column = tracker->assignment.column_of[row];
        struct tracked *object = &tracker->objects[tracker->rows[row]];
        struct box      box;

        if (column < 0)
            continue;
        box = completed(tracker, object, column);
        tracked_observe(object, &box, tracker->time_ns);
        object->found_by                  = column;
        tracker->found.list[column].taken = true;
        tracker->found.list[column].owned = stage->confirmed;
    }
}

static void begin_objects(struct tracker *tracker)
{
    for (int i = 0; i < tracker->found.count; i++) {
        const struct found *found = &tracker->found.list[i];
        struct tracked     *object;

        if (found->taken || found->box.score < tracker->settings.new_score ||
            tracker->object_count == LIMIT_TRACKS)
            continue;
        object = &tracker->objects[tracker->object_count++];
        tracked_init(object, tracker->next_id++, &found->box, tracker->time_ns);
        object->found_by = i;
    }
}

/* How long an object may stay unseen: what was seen only briefly is not known well enough to be
 * found again much later. */
static int64_t patience_ns(const struct tracker *tracker, const struct tracked *object)
{
    int64_t known_ns = object->last_ns - object->first_ns + UNCONFIRMED_NS;

    if (!object->confirmed)
        return UNCONFIRMED_NS;
    if (object->covered)
        return COMPANION_NS;
    return known_ns < tracker->settings.lost_ns ? known_ns : tracker->settings.lost_ns;
}

static void drop_lost(struct tracker *tracker)
{
    int kept = 0;

    for (int i = 0; i < tracker->object_count; i++) {
        const struct tracked *object = &tracker->objects[i];

        if (tracker->time_ns - object->last_ns > patience_ns(tracker, object))
            continue;
        if (kept != i)
            tracker->objects[kept] = *object;
        kept++;
    }
    tracker->object_count = kept;
}

/* Is the object's box a part of another, or of an object that is just not found in this picture? */
static bool is_part(const struct tracker *tracker, const struct tracked *object)
{
    const struct found *found = &tracker->found.list[object->found_by];

    if (found_is_part(&tracker->found, object->found_by))
        return true;
    for (int i = 0; i < tracker->object_count; i++) {
        const struct tracked *other = &tracker->objects[i];
        struct box            expected;

        if (other->seen || !other->confirmed || other->group != object->group ||
            tracker->time_ns - other->last_ns > BLINK_NS)
            continue;
        expected = tracked_box(other);
        if (box_covers(&found->box, &expected))
            return true;
    }
    return false;
}

/* Evidence for an object are boxes that cannot be a part of another. */
static void confirm_objects(struct tracker *tracker)
{
    for (int i = 0; i < tracker->object_count; i++) {
        struct tracked *object = &tracker->objects[i];

        if (!object->seen || object->evidence >= COMPANION_EVIDENCE)
            continue;
        if (!is_part(tracker, object)) {
            object->evidence += object->last.score;
            object->evidence_count++;
        } else if (!object->confirmed) {
            object->evidence = fmaxf(object->evidence - PART_DOUBT * object->last.score, 0.0F);
        }
    }
    /* Only now, so that of two that appear at once none is the other's part by their order. */
    for (int i = 0; i < tracker->object_count; i++) {
        struct tracked *object = &tracker->objects[i];

        if (object->evidence_count >= tracker->settings.confirm_hits &&
            object->evidence >= CONFIRM_SCORE)
            object->confirmed = true;
    }
}

static void give_out(struct tracker *tracker)
{
    tracker->track_count = 0;
    for (int i = 0; i < tracker->object_count; i++) {
        struct tracked *object = &tracker->objects[i];
        struct track   *track  = &tracker->tracks[tracker->track_count];
        float           votes  = 0.0F;

        if (!object->confirmed)
            continue;
        tracker->track_count++;
        for (int c = 0; c < OBJECT_CLASSES; c++)
            votes += object->votes[c];
        *track = (struct track){
            .id           = object->id,
            .box          = tracked_box(object),
            .seen         = object->seen,
            .covered      = object->covered,
            .first_ns     = object->first_ns,
            .last_seen_ns = object->last_ns,
            .observations = object->observations,
            .confidence   = object->score_sum / (float)object->observations,
            .velocity_x   = object->now.x.speed,
            .velocity_y   = object->now.y.speed,
        };
        track->class_share = object->votes[track->box.object_class] / votes;
        if (!object->given) {
            object->given      = true;
            track->early       = object->early;
            track->early_count = object->early_count - (track->seen ? 1 : 0);
        }
    }
}

void tracker_update(struct tracker *tracker, const struct box *boxes, int count, int64_t time_ns)
{
    static const struct stage stages[] = {
        {.confirmed = true, .sure = true, .least = LEAST_SURE, .age_ns = INT64_MAX},
        {.confirmed = true, .sure = false, .least = LEAST_WEAK, .age_ns = WEAK_AFTER_NS},
        {.confirmed = true,
         .sure      = true,
         .by_last   = true,
         .least     = LEAST_RECOVER,
         .age_ns    = INT64_MAX},
        {.confirmed = false, .sure = true, .least = LEAST_SURE, .age_ns = INT64_MAX},
        {.confirmed = false, .sure = false, .least = LEAST_WEAK, .age_ns = INT64_MAX},
    };
    float seconds;

    ASSERT(count >= 0);
    if (tracker->started && time_ns <= tracker->time_ns)
        tracker_reset(tracker);
    seconds = tracker->started ? (float)((double)(time_ns - tracker->time_ns) * 1e-9) : 0.0F;
    tracker->started = true;
    tracker->time_ns = time_ns;
    found_take(&tracker->found, boxes, count, tracker->settings.high_score);
    drop_lost(tracker);
    for (int i = 0; i < tracker->object_count; i++)
        tracked_predict(&tracker->objects[i], seconds);
    for (size_t i = 0; i < sizeof stages / sizeof stages[0]; i++)
        run_stage(tracker, &stages[i]);
    begin_objects(tracker);
    confirm_objects(tracker);
    companions_walk(tracker->objects, tracker->object_count, time_ns);
    give_out(tracker);
}

const struct track *tracker_tracks(const struct tracker *tracker, int *count)
{
    *count = tracker->track_count;
    return tracker->tracks;
}
