/* server/count/counter.c: follows every track over every line and zone of one camera.
 *
 * Tracks and what is known of them are both ordered by id, so one merge per picture finds who is
 * new, who goes on and who is gone. The rules themselves are in line.h and zone.h; here they get
 * their observations and become events. Inside, all times are those of the pictures (pts); an
 * event's is moved to the wall clock by the newest picture's pair of both. */
#include "server/count/counter.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "config/assert.h"
#include "config/err.h"
#include "server/count/line.h"
#include "server/count/way.h"
#include "server/count/zone.h"

/* Part of every rule's digest: grows whenever the meaning of a line or a zone changes. */
#define RULE_VERSION 1U

/* Visits of lost objects that one zone keeps open; of more, the oldest ends at once. */
#define LEFT_MAX 32

/* A person stands behind another or a pillar for a few seconds; an exit should not come later. */
#define LEFT_NS INT64_C(5000000000)

/* The stay of one object in one zone. */
struct visit {
    struct zone_state state;
    bool              counted;      /* its entry was emitted: its exit must be */
    enum object_class object_class; /* as its entry said */
};

/* What is known of one track. */
struct follow {
    struct track track; /* as last given out; `early` is not kept */
    struct point foot;  /* at its last observation, px */
    double       size_px;
    struct way   way;
};

/* A visit whose track is gone; times are of the wall clock, which outlives a stream's. */
struct left_visit {
    struct visit  visit;
    struct follow follow;
    int64_t       entry_wall_ns, last_wall_ns;
};

struct counter {
    struct settings_camera settings;
    int                    width_px, height_px;
    struct line            lines[LIMIT_LINES];
    struct zone            zones[LIMIT_ZONES];
    uint32_t               line_rules[LIMIT_LINES];
    uint32_t               zone_rules[LIMIT_ZONES];

    struct follow     *follows;     /* LIMIT_TRACKS slots */
    struct line_state *line_states; /* [slot * line_count + line] */
    struct visit      *visits;      /* [slot * zone_count + zone] */
    struct left_visit *left;        /* [zone * LEFT_MAX + n] */
    int                left_count[LIMIT_ZONES];
    int                order[LIMIT_TRACKS]; /* slots in use, by track id */
    int                follow_count;
    int                free_slots[LIMIT_TRACKS];
    int                free_count;
    bool               all_gone; /* reset: the lives of all follows are over */

    /* Of the picture that is being counted. */
    struct counter_time time;
    int64_t             wall_less_pts_ns;
    counter_event_fn   *emit;
    void               *arg;
};

static void forget_all(struct counter *counter)
{
    counter->follow_count = 0;
    counter->free_count   = LIMIT_TRACKS;
    for (int i = 0; i < LIMIT_TRACKS; i++)
        counter->free_slots[i] = LIMIT_TRACKS - 1 - i;
    counter->all_gone = false;
}

/* FNV-1a over the bytes of the word, the lowest first: the same on every machine. */
static uint32_t digest_word(uint32_t hash, uint32_t word)
{
    for (int shift = 0; shift < 32; shift += 8)
        hash = (hash ^ (word >> shift & 0xff)) * 16777619U;
    return hash;
}

static uint32_t digest_float(uint32_t hash, float number)
{
    uint32_t word;

    memcpy(&word, &number, sizeof word);
    return digest_word(hash, word);
}

static uint32_t rule_digest(const struct settings_point *points, int count, unsigned classes,
                            int inertia)
{
    uint32_t hash = digest_word(2166136261U, RULE_VERSION);

    hash = digest_word(hash, (uint32_t)count);
    hash = digest_word(hash, classes);
    hash = digest_word(hash, (uint32_t)inertia);
    for (int i = 0; i < count; i++)
        hash = digest_float(digest_float(hash, points[i].x), points[i].y);
    return hash;
}

static void place(struct counter *counter, int width_px, int height_px)
{
    const struct settings_camera *settings = &counter->settings;

    counter->width_px  = width_px;
    counter->height_px = height_px;
    for (int i = 0; i < settings->line_count; i++)
        line_init(&counter->lines[i], &settings->lines[i], width_px, height_px);
    for (int i = 0; i < settings->zone_count; i++)
        zone_init(&counter->zones[i], &settings->zones[i], width_px, height_px);
}

static int check(const struct settings_camera *settings, int width_px, int height_px,
                 struct why *why)
{
    if (width_px < 1 || height_px < 1 || width_px > LIMIT_PICTURE_PX ||
        height_px > LIMIT_PICTURE_PX)
        return why_set(why, ERR_INVALID, "a picture of %d x %d px cannot be counted on", width_px,
                       height_px);
    ASSERT(settings->line_count >= 0 && settings->line_count <= LIMIT_LINES);
    ASSERT(settings->zone_count >= 0 && settings->zone_count <= LIMIT_ZONES);
    return 0;
}

int counter_open(struct counter **out, const struct settings_camera *camera, int width_px,
                 int height_px, struct why *why)
{
    struct counter *counter = NULL;
    size_t          lines, zones;
    int             rc;

    *out = NULL;
    if ((rc = check(camera, width_px, height_px, why)) != 0)
        return rc;
    /* At least one of each: an allocation of nothing may be NULL. */
    lines = camera->line_count > 0 ? (size_t)camera->line_count : 1;
    zones = camera->zone_count > 0 ? (size_t)camera->zone_count : 1;
    rc    = ERR_MEMORY;
    if ((counter = calloc(1, sizeof *counter)) == NULL)
        goto fail;
    counter->follows     = calloc(LIMIT_TRACKS, sizeof *counter->follows);
    counter->line_states = calloc(LIMIT_TRACKS * lines, sizeof *counter->line_states);
    counter->visits      = calloc(LIMIT_TRACKS * zones, sizeof *counter->visits);
    counter->left        = calloc(LEFT_MAX * zones, sizeof *counter->left);
    if (counter->follows == NULL || counter->line_states == NULL || counter->visits == NULL ||
        counter->left == NULL)
        goto fail;
    counter->settings = *camera;
    memset(&counter->settings.password, 0, sizeof counter->settings.password);
    for (int i = 0; i < camera->line_count; i++)
        counter->line_rules[i] = rule_digest(camera->lines[i].points, camera->lines[i].point_count,
                                             camera->lines[i].classes, 0);
    for (int i = 0; i < camera->zone_count; i++)
        counter->zone_rules[i] = rule_digest(camera->zones[i].points, camera->zones[i].point_count,
                                             camera->zones[i].classes, camera->zones[i].inertia);
    forget_all(counter);
    place(counter, width_px, height_px);
    *out = counter;
    return 0;

fail:
    counter_close(&counter);
    return why_set(why, rc, "not enough memory to count on one more camera");
}

void counter_close(struct counter **counter)
{
    if (*counter == NULL)
        return;
    free((*counter)->follows);
    free((*counter)->line_states);
    free((*counter)->visits);
    free((*counter)->left);
    free(*counter);
    *counter = NULL;
}

void counter_reset(struct counter *counter)
{
    counter->all_gone = counter->follow_count > 0;
}

static struct line_state *line_state(struct counter *counter, int slot, int line)
{
    return &counter->line_states[slot * counter->settings.line_count + line];
}

static struct visit *visit_of(const struct counter *counter, int slot, int zone)
{
    return &counter->visits[slot * counter->settings.zone_count + zone];
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

static void end_left_visit(struct counter *counter, int zone, int index)
{
    struct left_visit *left = &counter->left[zone * LEFT_MAX + index];

    emit_exit(counter, &left->follow, &left->visit, zone, left->entry_wall_ns, left->last_wall_ns);
    counter->left_count[zone]--;
    memmove(left, left + 1, (size_t)(counter->left_count[zone] - index) * sizeof *left);
}

/* Did the object's box touch the picture's border? Then it did not hide, it left. */
static bool at_border(const struct counter *counter, const struct box *box)
{
    float margin_x = (float)counter->width_px * 0.01F, margin_y = (float)counter->height_px * 0.01F;

    return box->x0 <= margin_x || box->y0 <= margin_y ||
           box->x1 >= (float)counter->width_px - margin_x ||
           box->y1 >= (float)counter->height_px - margin_y;
}

/* The track is gone inside a zone: its visit stays open for a while, for whoever takes it over. */
static void leave_visit(struct counter *counter, int slot, int zone, bool at_once)
{
    struct visit        *visit  = visit_of(counter, slot, zone);
    const struct follow *follow = &counter->follows[slot];
    int64_t              entry  = visit->state.entry_ns + counter->wall_less_pts_ns;
    int64_t              last   = visit->state.last_ns + counter->wall_less_pts_ns;
    struct left_visit   *left;

    if (!visit->state.inside)
        return;
    if (!visit->state.last_in) /* it was on its way out */
        last = visit->state.change_ns + counter->wall_less_pts_ns;
    if (at_once || !visit->state.last_in || at_border(counter, &follow->track.box)) {
        emit_exit(counter, follow, visit, zone, entry, last);
        return;
    }
    if (counter->left_count[zone] == LEFT_MAX)
        end_left_visit(counter, zone, 0);
    left  = &counter->left[zone * LEFT_MAX + counter->left_count[zone]++];
    *left = (struct left_visit){*visit, *follow, entry, last};
}

/* A track is gone for ever. */
static void end_follow(struct counter *counter, int slot, bool at_once)
{
    struct line_crossing crossing;

    for (int i = 0; i < counter->settings.line_count; i++)
        if (line_end(&counter->lines[i], line_state(counter, slot, i), &crossing))
            emit_crossing(counter, &counter->follows[slot], i, &crossing);
    for (int i = 0; i < counter->settings.zone_count; i++)
        leave_visit(counter, slot, i, at_once);
    counter->free_slots[counter->free_count++] = slot;
}

static void end_all(struct counter *counter, bool at_once)
{
    for (int i = 0; i < counter->follow_count; i++)
        end_follow(counter, counter->order[i], at_once);
    forget_all(counter);
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
    struct visit        *visit  = visit_of(counter, slot, zone);
    double               best   = 1.0, fit;
    int                  index = -1, other = -1;

    for (int i = 0; i < counter->left_count[zone]; i++) {
        const struct left_visit *left          = &counter->left[zone * LEFT_MAX + i];
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
            !visit_of(counter, candidate, zone)->state.inside)
            continue;
        if ((fit = misfit(follow, old, follow->track.first_ns - old->track.last_seen_ns)) < best) {
            best  = fit;
            other = candidate;
        }
    }
    if (other >= 0) {
        struct visit *old     = visit_of(counter, other, zone);
        visit->counted        = old->counted;
        visit->object_class   = old->object_class;
        visit->state.entry_ns = old->state.entry_ns;
        visit->state.inside   = true;
        memset(old, 0, sizeof *old);
    } else if (index >= 0) {
        struct left_visit *left = &counter->left[zone * LEFT_MAX + index];
        visit->counted          = left->visit.counted;
        visit->object_class     = left->visit.object_class;
        visit->state.entry_ns   = left->entry_wall_ns - counter->wall_less_pts_ns;
        visit->state.inside     = true;
        left->visit.counted     = false;
        end_left_visit(counter, zone, index);
    }
}

static void step_zone(struct counter *counter, int slot, int zone, int64_t time_ns, double band_px)
{
    struct follow *follow = &counter->follows[slot];
    struct visit  *visit  = visit_of(counter, slot, zone);
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
        int count = line_step(&counter->lines[i], line_state(counter, slot, i), follow->foot,
                              time_ns, band_px, crossings);
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
        memset(line_state(counter, slot, i), 0, sizeof *counter->line_states);
    for (int i = 0; i < counter->settings.zone_count; i++)
        memset(visit_of(counter, slot, i), 0, sizeof *counter->visits);
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
        for (int i = 0; i < counter->left_count[zone];)
            if (time->wall_ns - counter->left[zone * LEFT_MAX + i].last_wall_ns > LEFT_NS)
                end_left_visit(counter, zone, i);
            else
                i++;
}

void counter_finish(struct counter *counter, const struct counter_time *time,
                    counter_event_fn *emit, void *arg)
{
    begin_picture(counter, time, emit, arg);
    end_all(counter, true);
    for (int zone = 0; zone < counter->settings.zone_count; zone++)
        while (counter->left_count[zone] > 0)
            end_left_visit(counter, zone, 0);
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
            struct line_state *state = line_state(counter, slot, line);
            state->last.x *= by_x;
            state->last.y *= by_y;
            state->band_px *= by_y;
            state->deepest_px *= by_y;
        }
    }
    for (int zone = 0; zone < counter->settings.zone_count; zone++)
        for (int i = 0; i < counter->left_count[zone]; i++)
            rescale_follow(&counter->left[zone * LEFT_MAX + i].follow, by_x, by_y);
    counter_reset(counter);
    place(counter, width_px, height_px);
}

void counter_occupancy(const struct counter *counter, int index, uint32_t inside[OBJECT_CLASSES])
{
    ASSERT(index >= 0 && index < counter->settings.zone_count);
    memset(inside, 0, OBJECT_CLASSES * sizeof inside[0]);
    if (counter->all_gone)
        return; /* nothing is known until the next picture */
    for (int i = 0; i < counter->follow_count; i++) {
        const struct visit *visit = visit_of(counter, counter->order[i], index);
        if (visit->counted)
            inside[visit->object_class]++;
    }
    for (int i = 0; i < counter->left_count[index]; i++) {
        const struct visit *visit = &counter->left[index * LEFT_MAX + i].visit;
        if (visit->counted)
            inside[visit->object_class]++;
    }
}
