/* server/count/counter.c: follows every track over every line and zone of one camera.
 *
 * Tracks and what is known of them are both ordered by id, so one merge per picture finds who is
 * new, who goes on and who is gone. The rules themselves are in line.h and zone.h; here they get
 * their observations and become events. Inside, all times are those of the pictures (pts); an
 * event's is moved to the wall clock by the newest picture's pair of both. */
#include "server/count/counter_inside.h"

#include <math.h>
#include <string.h>

#include "config/assert.h"

/* A person stands behind another or a pillar for a few seconds; an exit should not come later. */
#define LEFT_NS INT64_C(5000000000)

void counter_forget_all(struct counter *counter)
{
    counter->follow_count = 0;
    counter->free_count   = LIMIT_TRACKS;
    for (int i = 0; i < LIMIT_TRACKS; i++)
        counter->free_slots[i] = LIMIT_TRACKS - 1 - i;
    counter->all_gone = false;
}

void counter_reset(struct counter *counter)
{
    counter->all_gone = counter->follow_count > 0;
}

static bool wanted(const struct counter *counter, unsigned classes, enum object_class object_class)
{
    return ((classes & counter->settings.classes) >> object_class & 1U) != 0;
}

/* The fields that every event of a track has. */
static void event_begin(const struct counter *counter, struct event *event,
                        const struct follow *follow, const char *name, int64_t wall_ns)
{
    memset(event, 0, sizeof *event);
    event->time_ns = wall_ns;
    memcpy(event->camera, counter->settings.name, sizeof event->camera);
    memcpy(event->counter, name, sizeof event->counter);
    event->object_class = follow->track.box.object_class;
    event->confidence   = follow->track.confidence;
    event->class_share  = follow->track.class_share;
    event->track        = follow->track.id;
    event->frame        = counter->time.frame;
    event->pts_ns       = counter->time.pts_ns;
    event->path_count   = follow->way.count;
    memcpy(event->path, follow->way.points, sizeof event->path);
}

static void emit_crossing(struct counter *counter, const struct follow *follow, int line,
                          const struct line_crossing *crossing)
{
    const struct settings_line *settings = &counter->settings.lines[line];
    struct event                event;

    if (!wanted(counter, settings->classes, follow->track.box.object_class))
        return;
    event_begin(counter, &event, follow, settings->name,
                crossing->time_ns + counter->wall_less_pts_ns);
    event.kind      = EVENT_LINE_CROSSING;
    event.direction = crossing->direction;
    event.rule      = counter->line_rules[line];
    counter->emit(counter->arg, &event);
}

static void emit_entry(struct counter *counter, const struct follow *follow, struct visit *visit,
                       int zone)
{
    const struct settings_zone *settings = &counter->settings.zones[zone];
    struct event                event;

    if (!wanted(counter, settings->classes, follow->track.box.object_class))
        return;
    visit->counted      = true;
    visit->object_class = follow->track.box.object_class;
    event_begin(counter, &event, follow, settings->name,
                visit->state.entry_ns + counter->wall_less_pts_ns);
    event.kind = EVENT_ZONE_ENTRY;
    event.rule = counter->zone_rules[zone];
    counter->emit(counter->arg, &event);
}

static void emit_exit(struct counter *counter, const struct follow *follow, struct visit *visit,
                      int zone, int64_t entry_wall_ns, int64_t exit_wall_ns)
{
    struct event event;
    int64_t      dwell_ms = (exit_wall_ns - entry_wall_ns + 500000) / 1000000;

    if (!visit->counted)
        return;
    visit->counted = false;
    event_begin(counter, &event, follow, counter->settings.zones[zone].name, exit_wall_ns);
    event.kind         = EVENT_ZONE_EXIT;
    event.rule         = counter->zone_rules[zone];
    event.object_class = visit->object_class;
    event.dwell_ms = (uint32_t)(dwell_ms < 0 ? 0 : dwell_ms > UINT32_MAX ? UINT32_MAX : dwell_ms);
    counter->emit(counter->arg, &event);
}

void counter_end_left_visit(struct counter *counter, int zone, int index)
{
    struct left_visit *left = counter_left(counter, zone, index);

    emit_exit(counter, &left->follow, &left->visit, zone, left->entry_wall_ns, left->last_wall_ns);
    counter->states.left_count[zone]--;
    memmove(left, left + 1, (size_t)(counter->states.left_count[zone] - index) * sizeof *left);
}

/* Did the object's box touch the picture's border? Then it did not hide, it left. */
static bool at_border(const struct counter *counter, const struct box *box)
{
    float margin_x = (float)counter->width_px * 0.01F, margin_y = (float)counter->height_px * 0.01F;

    return box->x0 <= margin_x || box->y0 <= margin_y ||
           box->x1 >= (float)counter->width_px - margin_x ||
           box->y1 >= (float)counter->height_px - margin_y;
}

/* When the object was last inside: of one that was on its way out, when it set out. */
static int64_t last_inside_ns(const struct visit *visit)
{
    return visit->state.last_in ? visit->state.last_ns : visit->state.change_ns;
}

void counter_end_visit(struct counter *counter, int slot, int zone)
{
    struct visit *visit = counter_visit(counter, slot, zone);

    if (visit->state.inside)
        emit_exit(counter, &counter->follows[slot], visit, zone,
                  visit->state.entry_ns + counter->wall_less_pts_ns,
                  last_inside_ns(visit) + counter->wall_less_pts_ns);
}

/* The track is gone inside a zone: its visit stays open for a while, for whoever takes it over. */
static void leave_visit(struct counter *counter, int slot, int zone)
{
    const struct visit  *visit  = counter_visit(counter, slot, zone);
    const struct follow *follow = &counter->follows[slot];

    if (!visit->state.inside)
        return;
    if (!visit->state.last_in || at_border(counter, &follow->track.box)) {
        counter_end_visit(counter, slot, zone);
        return;
    }
    if (counter->states.left_count[zone] == COUNTER_LEFT_MAX)
        counter_end_left_visit(counter, zone, 0);
    *counter_left(counter, zone, counter->states.left_count[zone]++) = (struct left_visit){
        *visit, *follow, visit->state.entry_ns + counter->wall_less_pts_ns,
        last_inside_ns(visit) + counter->wall_less_pts_ns};
}

void counter_end_line(struct counter *counter, int slot, int line)
{
    struct line_crossing crossing;

    if (line_end(&counter->lines[line], counter_line_state(counter, slot, line), &crossing))
        emit_crossing(counter, &counter->follows[slot], line, &crossing);
}

/* A track is gone for ever. */
static void end_follow(struct counter *counter, int slot, bool at_once)
{
    for (int i = 0; i < counter->settings.line_count; i++)
        counter_end_line(counter, slot, i);
    for (int i = 0; i < counter->settings.zone_count; i++)
        if (at_once)
            counter_end_visit(counter, slot, i);
        else
            leave_visit(counter, slot, i);
    counter->free_slots[counter->free_count++] = slot;
}

static void end_all(struct counter *counter, bool at_once)
{
    for (int i = 0; i < counter->follow_count; i++)
        end_follow(counter, counter->order[i], at_once);
    counter_forget_all(counter);
}

/* How well a visit left behind by `old` fits `follow`; smaller is better, 1 and more not at all.
 * `gap_ns` is from when the old one was last seen to when the new one was first seen: who was seen
 * beside the old one is not it. */
static double misfit(const struct follow *follow, const struct follow *old, int64_t gap_ns)
{
    double size       = fmax(fmax(follow->size_px, old->size_px), 1.0);
    double away       = hypot(follow->foot.x - old->foot.x, follow->foot.y - old->foot.y);
    bool   is_person  = follow->track.box.object_class == OBJECT_PERSON;
    bool   was_person = old->track.box.object_class == OBJECT_PERSON;

    return gap_ns > 0 && is_person == was_person ? away / size : INFINITY;
}

/* A track began inside a zone: it may be one that was lost there. Takes over the best visit. */
static void take_over_visit(struct counter *counter, int slot, int zone)
{
    const struct follow *follow = &counter->follows[slot];
    struct visit        *visit  = counter_visit(counter, slot, zone);
    double               best   = 1.0, fit;
    int                  index = -1, other = -1;

    for (int i = 0; i < counter->states.left_count[zone]; i++) {
        const struct left_visit *left          = counter_left(counter, zone, i);
        int64_t                  first_wall_ns = follow->track.first_ns + counter->wall_less_pts_ns;

        if ((fit = misfit(follow, &left->follow, first_wall_ns - left->last_wall_ns)) < best) {
            best  = fit;
            index = i;
        }
    }
    for (int i = 0; i < counter->follow_count; i++) {
        int                  candidate = counter->order[i];
        const struct follow *old       = &counter->follows[candidate];
        if (candidate == slot || old->track.seen ||
            !counter_visit(counter, candidate, zone)->state.inside)
            continue;
        if ((fit = misfit(follow, old, follow->track.first_ns - old->track.last_seen_ns)) < best) {
            best  = fit;
            other = candidate;
        }
    }
    if (other >= 0) {
        struct visit *old     = counter_visit(counter, other, zone);
        visit->counted        = old->counted;
        visit->object_class   = old->object_class;
        visit->state.entry_ns = old->state.entry_ns;
        visit->state.inside   = true;
        memset(old, 0, sizeof *old);
    } else if (index >= 0) {
        struct left_visit *left = counter_left(counter, zone, index);
        visit->counted          = left->visit.counted;
        visit->object_class     = left->visit.object_class;
        visit->state.entry_ns   = left->entry_wall_ns - counter->wall_less_pts_ns;
        visit->state.inside     = true;
        left->visit.counted     = false;
        counter_end_left_visit(counter, zone, index);
    }
}

static void step_zone(struct counter *counter, int slot, int zone, int64_t time_ns, double band_px)
{
    struct follow *follow = &counter->follows[slot];
    struct visit  *visit  = counter_visit(counter, slot, zone);
    bool           first  = !visit->state.seen;

    switch (zone_step(&counter->zones[zone], &visit->state, follow->foot, time_ns, band_px)) {
    case ZONE_LEFT:
        emit_exit(counter, follow, visit, zone, visit->state.entry_ns + counter->wall_less_pts_ns,
                  visit->state.change_ns + counter->wall_less_pts_ns);
        break;
    case ZONE_ENTERED:
    case ZONE_NOTHING:
        break;
    }
    if (first && visit->state.born_inside)
        take_over_visit(counter, slot, zone);
    if (visit->state.inside && !visit->counted)
        emit_entry(counter, follow, visit, zone);
}

/* One observation of one track. */
static void observe(struct counter *counter, int slot, const struct box *box, int64_t time_ns)
{
    struct follow       *follow = &counter->follows[slot];
    double               width = box->x1 - box->x0, height = box->y1 - box->y0;
    double               band_px = line_band_px(width, height, counter->height_px);
    struct line_crossing crossings[LINE_STEP_CROSSINGS];
    struct event_point   point;

    follow->foot    = (struct point){((double)box->x0 + box->x1) / 2.0, box->y1};
    follow->size_px = sqrt(fmax(width, 0.0) * fmax(height, 0.0));
    point           = (struct event_point){(float)(follow->foot.x / counter->width_px),
                                           (float)(follow->foot.y / counter->height_px)};
    way_add(&follow->way, point);
    for (int i = 0; i < counter->settings.line_count; i++) {
        int count = line_step(&counter->lines[i], counter_line_state(counter, slot, i),
                              follow->foot, time_ns, band_px, crossings);
        for (int k = 0; k < count; k++)
            emit_crossing(counter, follow, i, &crossings[k]);
    }
    for (int i = 0; i < counter->settings.zone_count; i++)
        step_zone(counter, slot, i, time_ns, band_px);
}

static int begin_follow(struct counter *counter, const struct track *track)
{
    int slot = counter->free_slots[--counter->free_count];

    memset(&counter->follows[slot], 0, sizeof counter->follows[slot]);
    for (int i = 0; i < counter->settings.line_count; i++)
        memset(counter_line_state(counter, slot, i), 0, sizeof *counter->states.lines);
    for (int i = 0; i < counter->settings.zone_count; i++)
        memset(counter_visit(counter, slot, i), 0, sizeof *counter->states.visits);
    counter->follows[slot].track = *track;
    return slot;
}

/* Ends the follows whose tracks are not among `tracks`; the others stay, in order. */
static void end_missing(struct counter *counter, const struct track *tracks, int count)
{
    int kept = 0, next = 0;

    for (int i = 0; i < counter->follow_count; i++) {
        int      slot = counter->order[i];
        uint64_t id   = counter->follows[slot].track.id;

        while (next < count && tracks[next].id < id)
            next++;
        if (next < count && tracks[next].id == id)
            counter->order[kept++] = slot;
        else
            end_follow(counter, slot, false);
    }
    counter->follow_count = kept;
}

/* Puts new tracks among the follows, and every follow's track up to date. */
static void merge(struct counter *counter, const struct track *tracks, int count)
{
    int known = counter->follow_count - 1;

    ASSERT(count <= LIMIT_TRACKS);
    for (int i = count - 1; i >= 0; i--) {
        int slot;

        ASSERT(i == 0 || tracks[i - 1].id < tracks[i].id);
        if (known >= 0 && counter->follows[counter->order[known]].track.id == tracks[i].id)
            slot = counter->order[known--];
        else
            slot = begin_follow(counter, &tracks[i]);
        counter->follows[slot].track = tracks[i];
        counter->order[i]            = slot;
    }
    counter->follow_count = count;
}

static void begin_picture(struct counter *counter, const struct counter_time *time,
                          counter_event_fn *emit, void *arg)
{
    counter->time = *time;
    counter->emit = emit;
    counter->arg  = arg;
    if (counter->all_gone)
        end_all(counter, false); /* on the clock of the pictures before */
    counter->wall_less_pts_ns = time->wall_ns - time->pts_ns;
}

void counter_update(struct counter *counter, const struct track *tracks, int count,
                    const struct counter_time *time, counter_event_fn *emit, void *arg)
{
    begin_picture(counter, time, emit, arg);
    end_missing(counter, tracks, count);
    merge(counter, tracks, count);
    for (int i = 0; i < count; i++) {
        int slot = counter->order[i];

        for (int k = 0; k < tracks[i].early_count; k++)
            observe(counter, slot, &tracks[i].early[k].box, tracks[i].early[k].time_ns);
        if (tracks[i].seen || tracks[i].covered)
            observe(counter, slot, &tracks[i].box, time->pts_ns);
        counter->follows[slot].track.early       = NULL;
        counter->follows[slot].track.early_count = 0;
    }
    for (int zone = 0; zone < counter->settings.zone_count; zone++)
        for (int i = 0; i < counter->states.left_count[zone];)
            if (time->wall_ns - counter_left(counter, zone, i)->last_wall_ns > LEFT_NS)
                counter_end_left_visit(counter, zone, i);
            else
                i++;
}

void counter_finish(struct counter *counter, const struct counter_time *time,
                    counter_event_fn *emit, void *arg)
{
    begin_picture(counter, time, emit, arg);
    end_all(counter, true);
    for (int zone = 0; zone < counter->settings.zone_count; zone++)
        while (counter->states.left_count[zone] > 0)
            counter_end_left_visit(counter, zone, 0);
}

static void rescale_follow(struct follow *follow, double by_x, double by_y)
{
    struct box *box = &follow->track.box;

    box->x0 = (float)(box->x0 * by_x);
    box->x1 = (float)(box->x1 * by_x);
    box->y0 = (float)(box->y0 * by_y);
    box->y1 = (float)(box->y1 * by_y);
    follow->foot.x *= by_x;
    follow->foot.y *= by_y;
    follow->size_px *= sqrt(by_x * by_y);
}

/* What is still to be decided about the old picture's objects is moved to the new one. */
void counter_resize(struct counter *counter, int width_px, int height_px)
{
    double by_x = (double)width_px / counter->width_px;
    double by_y = (double)height_px / counter->height_px;

    for (int i = 0; i < counter->follow_count; i++) {
        int slot = counter->order[i];
        rescale_follow(&counter->follows[slot], by_x, by_y);
        for (int line = 0; line < counter->settings.line_count; line++) {
            struct line_state *state = counter_line_state(counter, slot, line);
            state->last.x *= by_x;
            state->last.y *= by_y;
            state->band_px *= by_y;
            state->deepest_px *= by_y;
        }
    }
    for (int zone = 0; zone < counter->settings.zone_count; zone++)
        for (int i = 0; i < counter->states.left_count[zone]; i++)
            rescale_follow(&counter_left(counter, zone, i)->follow, by_x, by_y);
    counter_reset(counter);
    counter_place(counter, width_px, height_px);
}

void counter_occupancy(const struct counter *counter, int index, uint32_t inside[OBJECT_CLASSES])
{
    ASSERT(index >= 0 && index < counter->settings.zone_count);
    memset(inside, 0, OBJECT_CLASSES * sizeof inside[0]);
    if (counter->all_gone)
        return; /* nothing is known until the next picture */
    for (int i = 0; i < counter->follow_count; i++) {
        const struct visit *visit = counter_visit(counter, counter->order[i], index);
        if (visit->counted)
            inside[visit->object_class]++;
    }
    for (int i = 0; i < counter->states.left_count[index]; i++) {
        const struct visit *visit = &counter_left(counter, index, i)->visit;
        if (visit->counted)
            inside[visit->object_class]++;
    }
}
