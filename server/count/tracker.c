/* server/count/tracker.c: see tracker.h.
 *
 * One picture: every object is moved to the picture's time, then matched with the boxes in stages, each over
 * what the stages before left: confirmed objects with sure boxes, then with weak ones; confirmed objects
 * by their last observation instead of the filter; then the unconfirmed. What is left and sure begins a new object. */
#include "server/count/tracker.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "config/assert.h"
#include "config/err.h"
#include "server/count/assignment.h"
#include "server/count/tracked.h"

/* Boxes of one group of classes that overlap more are one object (a pickup is found as car and truck). */
#define SAME_OBJECT_IOU 0.65F

/* A box that lies within a surer one by this part of its area may be a part of that object (the rear of a
 * car, a bust): it is no evidence that there is one more. */
#define PART_SHARE 0.7F
/* An object that was not found for no longer than this still has its parts. */
#define BLINK_NS INT64_C(250000000)

/* The least likeness at which a pair is possible, per stage. */
#define LEAST_SURE    0.15F
#define LEAST_WEAK    0.40F
#define LEAST_RECOVER 0.25F
#define LEAST_NEW     0.15F

/* Predicted box and found box are both widened by this many standard deviations of the prediction. */
#define WIDEN_SD 1.5F
/* But by no more than this part of the object's size. */
#define WIDEN_MAX 1.0F

/* A person's box is cut short when it is lower than this part of his height and its upper edge is no farther
 * than the other from where it should be. */
#define SHORT_SHARE 0.8F
#define SHORT_TOP   0.15F

/* How much a way that goes on as before is worth, in units of likeness. */
#define WEIGHT_WAY  0.2F
#define WAY_SPAN_NS INT64_C(300000000)

/* Weak boxes go on with an object only if it was seen so recently. */
#define WEAK_AFTER_NS INT64_C(700000000)
/* An unconfirmed object that is not seen again so soon was a false alarm. */
#define UNCONFIRMED_NS INT64_C(450000000)
/* The sum of scores that confirms. */
#define CONFIRM_SCORE 1.2F

/* Of two persons who walk together, so close that the detector finds one box, the one without a box goes on beside
 * the other: if he was seen apart for so long (sum of scores), if so much of him is within the other's box, for so long. */
#define COMPANION_EVIDENCE 3.0F
#define COMPANION_SHARE    0.7F
#define COMPANION_NS       INT64_C(4000000000)
/* They walk together if they walk the same way, or both stand: slower than this, in sizes a second. */
#define COMPANION_WAY_NS INT64_C(1000000000)
#define COMPANION_COSINE 0.5F
#define COMPANION_STANDS 0.3F

struct found {
    struct box       box;
    enum class_group group;
    bool             sure;
    bool             taken;
    bool             owned; /* by a confirmed object */
};

struct tracker {
    struct tracker_settings settings;
    struct tracked          objects[LIMIT_TRACKS]; /* by id */
    int                     object_count;
    uint64_t                next_id;
    int64_t                 time_ns; /* of the last picture */
    bool                    started;

    struct found found[LIMIT_BOXES]; /* of this picture, by x0 */
    int          found_count;
    float        widest;                 /* of the found boxes */
    int          rows[LIMIT_TRACKS];     /* the objects of the stage */
    bool         matched[LIMIT_TRACKS];  /* object, in this picture */
    int          found_by[LIMIT_TRACKS]; /* if matched: by which box */

    struct assignment assignment;
    struct track      tracks[LIMIT_TRACKS];
    int               track_count;
};

/* What a stage matches. */
struct stage {
    bool    confirmed;  /* objects that are, or those that are not */
    bool    sure, weak; /* boxes */
    bool    by_last;    /* by the last observation instead of the prediction */
    float   least;      /* likeness */
    int64_t age_ns;     /* objects seen so recently */
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

static bool box_usable(const struct box *box)
{
    return isfinite(box->x0) && isfinite(box->y0) && isfinite(box->x1) && isfinite(box->y1) &&
           box->x1 - box->x0 >= 1.0F && box->y1 - box->y0 >= 1.0F &&
           (unsigned)box->object_class < OBJECT_CLASSES && box->score > 0.0F && box->score <= 1.0F;
}

/* The boxes that count, by their left edge, each object once. */
static void take_boxes(struct tracker *tracker, const struct box *boxes, int count)
{
    int kept = 0;

    tracker->found_count = 0;
    tracker->widest      = 0.0F;
    for (int i = 0; i < count && tracker->found_count < LIMIT_BOXES; i++) {
        struct found found = {.box = boxes[i]};
        int          slot  = tracker->found_count;

        if (!box_usable(&boxes[i]))
            continue;
        found.group = class_group_of(boxes[i].object_class);
        found.sure  = boxes[i].score >= tracker->settings.high_score;
        for (; slot > 0 && tracker->found[slot - 1].box.x0 > found.box.x0; slot--)
            tracker->found[slot] = tracker->found[slot - 1];
        tracker->found[slot] = found;
        tracker->found_count++;
        tracker->widest = fmaxf(tracker->widest, found.box.x1 - found.box.x0);
    }
    for (int i = 0; i < tracker->found_count; i++) {
        struct found *a = &tracker->found[i];
        for (int k = i + 1; k < tracker->found_count; k++) {
            struct found *b = &tracker->found[k];
            if (b->box.x0 > a->box.x1)
                break;
            if (a->group != b->group || a->box.object_class == b->box.object_class || a->taken ||
                b->taken || box_iou(&a->box, &b->box) < SAME_OBJECT_IOU)
                continue;
            if (a->box.score >= b->box.score)
                b->taken = true;
            else
                a->taken = true;
        }
    }
    for (int i = 0; i < tracker->found_count; i++)
        if (!tracker->found[i].taken)
            tracker->found[kept++] = tracker->found[i];
    tracker->found_count = kept;
}

/* The first found box whose left edge is at x or right of it. */
static int find_from(const struct tracker *tracker, float x)
{
    int low = 0, high = tracker->found_count;

    while (low < high) {
        int middle = (low + high) / 2;
        if (tracker->found[middle].box.x0 < x)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct box widened(const struct box *box, float x, float y)
{
    return (struct box){box->x0 - x, box->y0 - y, box->x1 + x,
                        box->y1 + y, box->score,  box->object_class};
}

/* Does the object go on as it went? -1 the other way, 1 straight on, 0 if that cannot be said. */
static float way_agreement(const struct tracked *object, const struct box *box)
{
    float   dx, dy, to_x, to_y, length, to_length;
    double  size = sqrt((double)object->now.width.value * object->now.height.value);
    int64_t took_ns;

    if (!tracked_way(object, WAY_SPAN_NS, &dx, &dy, &took_ns))
        return 0.0F;
    to_x      = (box->x0 + box->x1) / 2.0F - (object->last.x0 + object->last.x1) / 2.0F;
    to_y      = (box->y0 + box->y1) / 2.0F - (object->last.y0 + object->last.y1) / 2.0F;
    length    = hypotf(dx, dy);
    to_length = hypotf(to_x, to_y);
    if (length < 0.15 * size || to_length < 0.1 * size)
        return 0.0F;
    return (dx * to_x + dy * to_y) / (length * to_length);
}

/* 1 for a box as large as the object, less the more they differ: overlap alone would let a lost object jump
 * to something of another size. */
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
    float      size     = sqrtf(object->now.width.value * object->now.height.value);
    float      x        = fminf(WIDEN_SD * sqrtf(object->now.x.p00), WIDEN_MAX * size);
    float      y        = fminf(WIDEN_SD * sqrtf(object->now.y.p00), WIDEN_MAX * size);

    if (stage->by_last)
        x = y = 0.0F;
    expected = widened(&expected, x, y);
    assignment_add_row(&tracker->assignment);
    for (int i = find_from(tracker, expected.x0 - x - tracker->widest); i < tracker->found_count;
         i++) {
        const struct found *found = &tracker->found[i];
        struct box          box;
        float               likeness;

        if (found->box.x0 - x > expected.x1)
            break;
        if (found->taken || found->group != object->group ||
            !(found->sure ? stage->sure : stage->weak))
            continue;
        box      = widened(&found->box, x, y);
        likeness = box_iou(&expected, &box) * shape_likeness(object, &found->box);
        if (likeness <= stage->least)
            continue;
        likeness += WEIGHT_WAY * way_agreement(object, &found->box) * found->box.score;
        assignment_add_pair(&tracker->assignment, i, (likeness - stage->least));
    }
}

/* Who stands behind another is found without his legs. If the upper edge is where it was expected, and
 * something found reaches over what is missing below, the box is completed to the object's height: else the
 * point at its feet would jump. */
static struct box completed(const struct tracker *tracker, const struct tracked *object, int index)
{
    const struct box *box      = &tracker->found[index].box;
    struct box        expected = tracked_box(object), whole = *box;
    float             height = expected.y1 - expected.y0, width = box->x1 - box->x0;

    if (!object->confirmed || object->group != GROUP_PERSON ||
        box->y1 - box->y0 >= SHORT_SHARE * height ||
        fabsf(box->y0 - expected.y0) > SHORT_TOP * height)
        return whole;
    for (int i = 0; i < tracker->found_count; i++) {
        const struct box *other = &tracker->found[i].box;

        if (i != index && other->y1 > box->y1 + 0.1F * height &&
            other->y0 < box->y1 + 0.1F * height &&
            fminf(other->x1, box->x1) - fmaxf(other->x0, box->x0) >= 0.5F * width) {
            whole.y1 = box->y0 + height;
            break;
        }
    }
    return whole;
}

static void run_stage(struct tracker *tracker, const struct stage *stage)
{
    int rows = 0;

    assignment_begin(&tracker->assignment, tracker->found_count);
    for (int i = 0; i < tracker->object_count; i++) {
        const struct tracked *object = &tracker->objects[i];

        if (tracker->matched[i] || object->confirmed != stage->confirmed ||
            tracker->time_ns - object->last_ns > stage->age_ns)
            continue;
        tracker->rows[rows++] = i;
        add_row(tracker, stage, object);
    }
    assignment_solve(&tracker->assignment);
    for (int row = 0; row < rows; row++) {
        int        column = tracker->assignment.column_of[row], object = tracker->rows[row];
        struct box box;

        if (column < 0)
            continue;
        box = completed(tracker, &tracker->objects[object], column);
        tracked_observe(&tracker->objects[object], &box, tracker->time_ns);
        tracker->found_by[object]    = column;
        tracker->matched[object]     = true;
        tracker->found[column].taken = true;
        tracker->found[column].owned = stage->confirmed;
    }
}

static float inside_share(const struct box *part, const struct box *whole)
{
    float width  = fminf(part->x1, whole->x1) - fmaxf(part->x0, whole->x0);
    float height = fminf(part->y1, whole->y1) - fmaxf(part->y0, whole->y0);

    if (width <= 0.0F || height <= 0.0F)
        return 0.0F;
    return width * height / ((part->x1 - part->x0) * (part->y1 - part->y0));
}

static bool covers(const struct box *a, const struct box *b)
{
    return inside_share(a, b) >= PART_SHARE || inside_share(b, a) >= PART_SHARE;
}

/* Is the box a part of a surer box, or another view of a confirmed object? */
static bool is_part(const struct tracker *tracker, int index)
{
    const struct found *part = &tracker->found[index];

    for (int i = 0; i < tracker->found_count; i++) {
        const struct found *whole = &tracker->found[i];

        if (whole->box.x0 > part->box.x1)
            break;
        if (i == index || whole->group != part->group)
            continue;
        if (whole->owned && covers(&part->box, &whole->box))
            return true;
        if (whole->box.score > part->box.score &&
            inside_share(&part->box, &whole->box) >= PART_SHARE)
            return true;
    }
    for (int i = 0; i < tracker->object_count; i++) {
        const struct tracked *object = &tracker->objects[i];
        struct box            expected;

        if (tracker->matched[i] || !object->confirmed || object->group != part->group ||
            tracker->time_ns - object->last_ns > BLINK_NS)
            continue;
        expected = tracked_box(object);
        if (covers(&part->box, &expected))
            return true;
    }
    return false;
}

static void begin_objects(struct tracker *tracker)
{
    for (int i = 0; i < tracker->found_count; i++) {
        const struct found *found = &tracker->found[i];

        if (found->taken || found->box.score < tracker->settings.new_score ||
            tracker->object_count == LIMIT_TRACKS)
            continue;
        tracker->matched[tracker->object_count]  = true;
        tracker->found_by[tracker->object_count] = i;
        tracked_init(&tracker->objects[tracker->object_count++], tracker->next_id++, &found->box,
                     tracker->time_ns);
    }
}

/* How long an object may stay unseen: what was seen only briefly is not known well enough to be found again
 * much later. */
static int64_t patience_ns(const struct tracker *tracker, const struct tracked *object)
{
    int64_t lived_ns = object->last_ns - object->first_ns;

    if (!object->confirmed)
        return UNCONFIRMED_NS;
    if (object->covered)
        return COMPANION_NS;
    if (lived_ns > tracker->settings.lost_ns)
        return tracker->settings.lost_ns;
    return lived_ns + UNCONFIRMED_NS < tracker->settings.lost_ns ? lived_ns + UNCONFIRMED_NS
                                                                 : tracker->settings.lost_ns;
}

static void drop_lost(struct tracker *tracker)
{
    int kept = 0;

    for (int i = 0; i < tracker->object_count; i++) {
        const struct tracked *object = &tracker->objects[i];

        if (tracker->time_ns - object->last_ns > patience_ns(tracker, object))
            continue;
        if (kept != i) {
            tracker->objects[kept] = tracker->objects[i];
            tracker->matched[kept] = tracker->matched[i];
        }
        kept++;
    }
    tracker->object_count = kept;
}

/* An object is confirmed by boxes that cannot be a part of another. */
static void confirm_objects(struct tracker *tracker)
{
    for (int i = 0; i < tracker->object_count; i++) {
        struct tracked *object = &tracker->objects[i];

        if (object->evidence >= COMPANION_EVIDENCE || !tracker->matched[i] ||
            is_part(tracker, tracker->found_by[i]))
            continue;
        object->evidence += object->last.score;
        object->evidence_count++;
    }
    /* Only now, so that two that appear at once are not each other's parts by their order. */
    for (int i = 0; i < tracker->object_count; i++) {
        struct tracked *object = &tracker->objects[i];

        if (object->evidence_count >= tracker->settings.confirm_hits &&
            object->evidence >= CONFIRM_SCORE)
            object->confirmed = true;
    }
}

/* By their ways of the last second: a filter's speed is thrown off by the very boxes that merge and part. */
static bool walk_together(const struct tracked *a, const struct tracked *b)
{
    float   size = sqrtf(a->now.width.value * a->now.height.value);
    float   ax, ay, bx, by, speed_a, speed_b;
    int64_t a_ns, b_ns;

    if (!tracked_way(a, COMPANION_WAY_NS, &ax, &ay, &a_ns) ||
        !tracked_way(b, COMPANION_WAY_NS, &bx, &by, &b_ns))
        return false;
    speed_a = hypotf(ax, ay) / ((float)a_ns * 1e-9F);
    speed_b = hypotf(bx, by) / ((float)b_ns * 1e-9F);
    if (speed_a < COMPANION_STANDS * size || speed_b < COMPANION_STANDS * size)
        return speed_a < COMPANION_STANDS * size && speed_b < COMPANION_STANDS * size;
    return ax * bx + ay * by >= COMPANION_COSINE * hypotf(ax, ay) * hypotf(bx, by);
}

/* Who may hide this object: the seen one that covers most of where it should be. -1: nobody. */
static int find_companion(const struct tracker *tracker, const struct tracked *object)
{
    struct box expected = tracked_box(object);
    float      most     = COMPANION_SHARE;
    int        best     = -1;

    for (int i = 0; i < tracker->object_count; i++) {
        const struct tracked *other = &tracker->objects[i];
        float                 share;

        if (!tracker->matched[i] || !other->confirmed || other->group != object->group)
            continue;
        share = inside_share(&expected, &other->last);
        if (share >= most && walk_together(object, other)) {
            most = share;
            best = i;
        }
    }
    return best;
}

static int find_object(const struct tracker *tracker, uint64_t id)
{
    for (int i = 0; i < tracker->object_count; i++)
        if (tracker->objects[i].id == id)
            return i;
    return -1;
}

/* Objects without a box that are hidden by a companion go on beside him. */
static void walk_hidden(struct tracker *tracker)
{
    for (int i = 0; i < tracker->object_count; i++) {
        struct tracked       *object = &tracker->objects[i];
        const struct tracked *other;
        int                   companion;

        object->covered = false;
        if (tracker->matched[i] || tracker->time_ns - object->last_ns > COMPANION_NS) {
            object->companion = 0;
            continue;
        }
        if (object->group != GROUP_PERSON || !object->confirmed ||
            object->evidence < COMPANION_EVIDENCE)
            continue;
        if (object->companion == 0 && tracker->time_ns - object->last_ns <= BLINK_NS &&
            (companion = find_companion(tracker, object)) >= 0) {
            other                = &tracker->objects[companion];
            object->companion    = other->id;
            object->companion_dx = object->now.x.value - other->now.x.value;
            object->companion_dy = object->now.y.value - other->now.y.value;
        }
        if (object->companion == 0)
            continue;
        companion = find_object(tracker, object->companion);
        if (companion < 0 || !tracker->matched[companion]) {
            if (companion < 0)
                object->companion = 0;
            continue;
        }
        other               = &tracker->objects[companion];
        object->now.x.value = other->now.x.value + object->companion_dx;
        object->now.y.value = other->now.y.value + object->companion_dy;
        object->now.x.speed = other->now.x.speed;
        object->now.y.speed = other->now.y.speed;
        object->covered     = true;
    }
}

static void give_out(struct tracker *tracker)
{
    tracker->track_count = 0;
    for (int i = 0; i < tracker->object_count; i++) {
        struct tracked *object = &tracker->objects[i];
        struct track   *track  = &tracker->tracks[tracker->track_count];
        bool            first  = !object->given;
        float           votes  = 0.0F;

        if (!object->confirmed)
            continue;
        tracker->track_count++;
        for (int c = 0; c < OBJECT_CLASSES; c++)
            votes += object->votes[c];
        *track = (struct track){
            .id           = object->id,
            .box          = tracked_box(object),
            .seen         = tracker->matched[i],
            .covered      = object->covered,
            .first_ns     = object->first_ns,
            .last_seen_ns = object->last_ns,
            .observations = object->observations,
            .confidence   = object->score_sum / (float)object->observations,
            .velocity_x   = object->now.x.speed,
            .velocity_y   = object->now.y.speed,
        };
        track->box.object_class = tracked_class(object);
        track->class_share      = object->votes[track->box.object_class] / votes;
        if (first) {
            object->given      = true;
            track->early       = object->early;
            track->early_count = object->early_count - (track->seen ? 1 : 0);
        }
    }
}

void tracker_update(struct tracker *tracker, const struct box *boxes, int count, int64_t time_ns)
{
    const struct stage sure       = {true, true, false, false, LEAST_SURE, INT64_MAX};
    const struct stage weak       = {true, false, true, false, LEAST_WEAK, WEAK_AFTER_NS};
    const struct stage recover    = {true, true, false, true, LEAST_RECOVER, INT64_MAX};
    const struct stage fresh      = {false, true, false, false, LEAST_NEW, INT64_MAX};
    const struct stage fresh_weak = {false, false, true, false, LEAST_WEAK, INT64_MAX};
    float              seconds;

    ASSERT(count >= 0);
    if (tracker->started && time_ns <= tracker->time_ns)
        tracker_reset(tracker);
    seconds = tracker->started ? (float)((double)(time_ns - tracker->time_ns) * 1e-9) : 0.0F;
    tracker->started = true;
    tracker->time_ns = time_ns;
    take_boxes(tracker, boxes, count);
    drop_lost(tracker);
    for (int i = 0; i < tracker->object_count; i++) {
        tracker->matched[i] = false;
        tracked_predict(&tracker->objects[i], seconds);
    }
    run_stage(tracker, &sure);
    run_stage(tracker, &weak);
    run_stage(tracker, &recover);
    run_stage(tracker, &fresh);
    run_stage(tracker, &fresh_weak);
    begin_objects(tracker);
    confirm_objects(tracker);
    walk_hidden(tracker);
    give_out(tracker);
}

const struct track *tracker_tracks(const struct tracker *tracker, int *count)
{
    *count = tracker->track_count;
    return tracker->tracks;
}
