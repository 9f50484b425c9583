/* server/count/counter_rules.c: which lines and zones a counter has, and how they change. */
#include "server/count/counter_inside.h"

#include "config/assert.h"
#include "config/err.h"

#include <stdlib.h>
#include <string.h>

/* Part of every rule's digest: grows whenever the meaning of a line or a zone changes. */
#define RULE_VERSION 1U

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

static uint32_t line_digest(const struct settings_line *line)
{
    return rule_digest(line->points, line->point_count, line->classes, 0);
}

static uint32_t zone_digest(const struct settings_zone *zone)
{
    return rule_digest(zone->points, zone->point_count, zone->classes, zone->inertia);
}

void counter_place(struct counter *counter, int width_px, int height_px)
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

static void give_rules(struct counter *counter, const struct settings_camera *camera)
{
    counter->settings = *camera;
    memset(&counter->settings.password, 0, sizeof counter->settings.password);
    for (int i = 0; i < camera->line_count; i++)
        counter->line_rules[i] = line_digest(&camera->lines[i]);
    for (int i = 0; i < camera->zone_count; i++)
        counter->zone_rules[i] = zone_digest(&camera->zones[i]);
}

static void states_free(struct counter_states *states)
{
    free(states->lines);
    free(states->visits);
    free(states->left);
    *states = (struct counter_states){.lines = NULL};
}

static int states_make(struct counter_states *states, const struct settings_camera *camera,
                       struct why *why)
{
    /* At least one of each: an allocation of nothing may be NULL. */
    size_t lines = camera->line_count > 0 ? (size_t)camera->line_count : 1;
    size_t zones = camera->zone_count > 0 ? (size_t)camera->zone_count : 1;

    *states = (struct counter_states){
        .lines  = calloc(LIMIT_TRACKS * lines, sizeof *states->lines),
        .visits = calloc(LIMIT_TRACKS * zones, sizeof *states->visits),
        .left   = calloc(COUNTER_LEFT_MAX * zones, sizeof *states->left),
    };
    if (states->lines != NULL && states->visits != NULL && states->left != NULL)
        return 0;
    states_free(states);
    return why_set(why, ERR_MEMORY, "not enough memory to count on %s", camera->name);
}

int counter_open(struct counter **out, const struct settings_camera *camera, int width_px,
                 int height_px, struct why *why)
{
    struct counter *counter;
    int             rc;

    *out = NULL;
    if ((rc = check(camera, width_px, height_px, why)) != 0)
        return rc;
    if ((counter = calloc(1, sizeof *counter)) == NULL ||
        (counter->follows = calloc(LIMIT_TRACKS, sizeof *counter->follows)) == NULL) {
        rc = why_set(why, ERR_MEMORY, "not enough memory to count on one more camera");
        goto fail;
    }
    if ((rc = states_make(&counter->states, camera, why)) != 0)
        goto fail;
    give_rules(counter, camera);
    counter_forget_all(counter);
    counter_place(counter, width_px, height_px);
    *out = counter;
    return 0;

fail:
    counter_close(&counter);
    return rc;
}

void counter_close(struct counter **counter)
{
    if (*counter == NULL)
        return;
    free((*counter)->follows);
    states_free(&(*counter)->states);
    free(*counter);
    *counter = NULL;
}

/* ---- change ---- */

/* Of each new rule, which of the old ones it is, or -1; and of each old one, whether it goes on. */
struct kept {
    int  line_from[LIMIT_LINES], zone_from[LIMIT_ZONES];
    bool line[LIMIT_LINES], zone[LIMIT_ZONES];
};

static bool same_points(const struct settings_point *a, const struct settings_point *b, int count)
{
    for (int i = 0; i < count; i++)
        if (a[i].x != b[i].x || a[i].y != b[i].y)
            return false;
    return true;
}

/* Not by the digest alone: two rules may share one. What the directions are called is no matter. */
static bool same_line(const struct settings_line *a, const struct settings_line *b)
{
    return strcmp(a->name, b->name) == 0 && line_digest(a) == line_digest(b) &&
           a->point_count == b->point_count && a->classes == b->classes &&
           same_points(a->points, b->points, a->point_count);
}

static bool same_zone(const struct settings_zone *a, const struct settings_zone *b)
{
    return strcmp(a->name, b->name) == 0 && zone_digest(a) == zone_digest(b) &&
           a->point_count == b->point_count && a->classes == b->classes &&
           a->inertia == b->inertia && same_points(a->points, b->points, a->point_count);
}

static void find_kept(struct kept *kept, const struct settings_camera *old,
                      const struct settings_camera *camera)
{
    memset(kept, 0, sizeof *kept);
    for (int i = 0; i < camera->line_count; i++) {
        int from = old->line_count - 1;

        while (from >= 0 && (kept->line[from] || !same_line(&old->lines[from], &camera->lines[i])))
            from--;
        kept->line_from[i] = from;
        if (from >= 0)
            kept->line[from] = true;
    }
    for (int i = 0; i < camera->zone_count; i++) {
        int from = old->zone_count - 1;

        while (from >= 0 && (kept->zone[from] || !same_zone(&old->zones[from], &camera->zones[i])))
            from--;
        kept->zone_from[i] = from;
        if (from >= 0)
            kept->zone[from] = true;
    }
}

/* In the order of counter_finish(). */
static void end_dropped(struct counter *counter, const struct kept *kept)
{
    for (int i = 0; i < counter->follow_count; i++) {
        for (int line = 0; line < counter->settings.line_count; line++)
            if (!kept->line[line])
                counter_end_line(counter, counter->order[i], line);
        for (int zone = 0; zone < counter->settings.zone_count; zone++)
            if (!kept->zone[zone])
                counter_end_visit(counter, counter->order[i], zone);
    }
    for (int zone = 0; zone < counter->settings.zone_count; zone++)
        while (!kept->zone[zone] && counter->states.left_count[zone] > 0)
            counter_end_left_visit(counter, zone, 0);
}

/* From the states of the old rules into those of the new ones. */
static void carry(const struct counter *counter, const struct kept *kept,
                  struct counter_states *states, const struct settings_camera *camera)
{
    for (int i = 0; i < counter->follow_count; i++) {
        int slot = counter->order[i];

        for (int line = 0; line < camera->line_count; line++)
            if (kept->line_from[line] >= 0)
                states->lines[slot * camera->line_count + line] = *counter_line_state(
                    counter, slot, kept->line_from[line]);
        for (int zone = 0; zone < camera->zone_count; zone++)
            if (kept->zone_from[zone] >= 0)
                states->visits[slot * camera->zone_count + zone] = *counter_visit(
                    counter, slot, kept->zone_from[zone]);
    }
    for (int zone = 0; zone < camera->zone_count; zone++) {
        int from = kept->zone_from[zone];

        if (from < 0)
            continue;
        states->left_count[zone] = counter->states.left_count[from];
        memcpy(&states->left[zone * COUNTER_LEFT_MAX], counter_left(counter, from, 0),
               (size_t)states->left_count[zone] * sizeof states->left[0]);
    }
}

static bool has(unsigned classes, enum object_class object_class)
{
    return (classes >> object_class & 1U) != 0;
}

/* What the camera counts from now on: of other classes every visit ends; of new ones, whoever is
 * inside comes in now, for before nobody was counted. */
static void change_classes(struct counter *counter, int zone, unsigned before)
{
    unsigned now     = counter->settings.zones[zone].classes & counter->settings.classes;
    unsigned dropped = ~now, added = now & ~before;

    for (int i = 0; i < counter->follow_count; i++) {
        struct visit     *visit = counter_visit(counter, counter->order[i], zone);
        enum object_class is    = counter->follows[counter->order[i]].track.box.object_class;

        if (visit->counted && has(dropped, visit->object_class))
            counter_end_visit(counter, counter->order[i], zone);
        else if (!visit->counted && has(added, is))
            visit->state.entry_ns = visit->state.last_ns;
    }
    for (int i = 0; i < counter->states.left_count[zone];) {
        struct left_visit *left = counter_left(counter, zone, i);

        if (left->visit.counted && has(dropped, left->visit.object_class)) {
            counter_end_left_visit(counter, zone, i);
            continue;
        }
        if (!left->visit.counted && has(added, left->follow.track.box.object_class))
            left->entry_wall_ns = left->last_wall_ns;
        i++;
    }
}

int counter_change(struct counter *counter, const struct settings_camera *camera,
                   counter_event_fn *emit, void *arg, struct why *why)
{
    unsigned              before = counter->settings.classes;
    struct counter_states states;
    struct kept           kept;
    int                   rc;

    ASSERT(strcmp(camera->name, counter->settings.name) == 0);
    if ((rc = check(camera, counter->width_px, counter->height_px, why)) != 0 ||
        (rc = states_make(&states, camera, why)) != 0)
        return rc;
    find_kept(&kept, &counter->settings, camera);
    counter->emit = emit;
    counter->arg  = arg;
    end_dropped(counter, &kept);
    carry(counter, &kept, &states, camera);
    states_free(&counter->states);
    counter->states = states;
    give_rules(counter, camera);
    counter_place(counter, counter->width_px, counter->height_px);
    for (int zone = 0; zone < camera->zone_count && camera->classes != before; zone++)
        change_classes(counter, zone, before);
    return 0;
}
