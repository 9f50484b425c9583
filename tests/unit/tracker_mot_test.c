/* tests/unit/tracker_mot_test.c: the tracker on the detections of MOT15, scored against ground
 * truth. links: count
 *
 * Scores: CLEAR MOT (Bernardin and Stiefelhagen 2008) with matches at IoU 0.5 that go on as long as
 * they hold, and IDF1 (Ristani et al. 2016) by the best one-to-one assignment of identities over
 * the whole sequence. */
#include "server/count/assignment.h"
#include "server/count/tracker.h"

#include "tests/tap.h"

#include <time.h>

#define FRAMES_MAX     1500
#define PER_FRAME      64
#define IDENTITIES_MAX 512

struct entry {
    uint64_t   id;
    struct box box;
};

struct sequence {
    int          frames;
    int          counts[FRAMES_MAX + 1];
    struct entry entries[FRAMES_MAX + 1][PER_FRAME];
};

struct scores {
    int    objects, hypotheses, matches, missed, wrong, switches, identity_matches;
    double mota, idf1;
};

static struct sequence   truth, boxes, result;
static struct assignment assignment;

static bool add(struct sequence *sequence, int frame, uint64_t id, const struct box *box)
{
    if (frame < 1 || frame > FRAMES_MAX || sequence->counts[frame] == PER_FRAME)
        return false;
    sequence->entries[frame][sequence->counts[frame]++] = (struct entry){id, *box};
    if (frame > sequence->frames)
        sequence->frames = frame;
    return true;
}

/* A file of the MOT challenge: frame,id,x,y,width,height,score,... from frame 1. */
static bool load(struct sequence *sequence, const char *path, bool is_truth)
{
    char  line[256];
    FILE *file = fopen(path, "r");

    memset(sequence, 0, sizeof *sequence);
    if (file == NULL)
        return false;
    while (fgets(line, sizeof line, file) != NULL) {
        int   frame, id;
        float x, y, width, height, score;
        if (sscanf(line, "%d,%d,%f,%f,%f,%f,%f", &frame, &id, &x, &y, &width, &height, &score) != 7)
            continue;
        if (is_truth && score == 0)
            continue;
        score          = fminf(fmaxf(score, 0.01F), 1.0F);
        struct box box = {x, y, x + width, y + height, score, OBJECT_PERSON};
        add(sequence, frame, (uint64_t)id, &box);
    }
    fclose(file);
    return sequence->frames > 0;
}

/* Which dense number an identity has; a new one when it is not known yet. */
static int identity(uint64_t *known, int *count, uint64_t id)
{
    for (int i = 0; i < *count; i++)
        if (known[i] == id)
            return i;
    if (*count == IDENTITIES_MAX)
        return IDENTITIES_MAX - 1;
    known[*count] = id;
    return (*count)++;
}

struct matcher {
    uint64_t objects[IDENTITIES_MAX], tracks[IDENTITIES_MAX];
    int      object_count, track_count;
    int      last[IDENTITIES_MAX]; /* the track an object was last matched with, + 1 */
    bool     held[IDENTITIES_MAX]; /* and was so in the frame before, or has not been seen since */
    int      together[IDENTITIES_MAX][IDENTITIES_MAX]; /* frames of object and track at IoU 0.5 */
};

static struct matcher matcher;

static void score_frame(const struct sequence *a, const struct sequence *b, int frame,
                        struct scores *scores)
{
    int  objects[PER_FRAME], tracks[PER_FRAME];
    bool object_done[PER_FRAME] = {false}, track_done[PER_FRAME] = {false};
    int  n = a->counts[frame], m = b->counts[frame];

    for (int i = 0; i < n; i++)
        objects[i] = identity(matcher.objects, &matcher.object_count, a->entries[frame][i].id);
    for (int k = 0; k < m; k++)
        tracks[k] = identity(matcher.tracks, &matcher.track_count, b->entries[frame][k].id);
    for (int i = 0; i < n; i++)
        for (int k = 0; k < m; k++) {
            if (box_iou(&a->entries[frame][i].box, &b->entries[frame][k].box) < 0.5F)
                continue;
            matcher.together[objects[i]][tracks[k]]++;
            if (!object_done[i] && !track_done[k] && matcher.last[objects[i]] == tracks[k] + 1) {
                object_done[i] = track_done[k] = true;
                scores->matches++;
            }
        }
    assignment_begin(&assignment, m);
    for (int i = 0; i < n; i++) {
        assignment_add_row(&assignment);
        for (int k = 0; k < m && !object_done[i]; k++) {
            float iou = box_iou(&a->entries[frame][i].box, &b->entries[frame][k].box);
            /* As many matches as possible first, then the best overlaps. */
            if (!track_done[k] && iou >= 0.5F)
                assignment_add_pair(&assignment, k, 100.0F + iou);
        }
    }
    assignment_solve(&assignment);
    for (int i = 0; i < n; i++) {
        int k = assignment.column_of[i];
        if (k < 0)
            continue;
        scores->matches++;
        scores->switches += matcher.last[objects[i]] != 0 &&
                            matcher.last[objects[i]] != tracks[k] + 1;
        matcher.last[objects[i]] = tracks[k] + 1;
    }
    scores->objects += n;
    scores->hypotheses += m;
}

static struct scores score(const struct sequence *a, const struct sequence *b)
{
    struct scores scores = {0};

    memset(&matcher, 0, sizeof matcher);
    for (int frame = 1; frame <= a->frames; frame++)
        score_frame(a, b, frame, &scores);
    assignment_begin(&assignment,
                     matcher.track_count < LIMIT_BOXES ? matcher.track_count : LIMIT_BOXES);
    for (int i = 0; i < matcher.object_count; i++) {
        assignment_add_row(&assignment);
        for (int k = 0; k < assignment.column_count; k++)
            assignment_add_pair(&assignment, k, (float)matcher.together[i][k]);
    }
    assignment_solve(&assignment);
    for (int i = 0; i < matcher.object_count; i++)
        if (assignment.column_of[i] >= 0)
            scores.identity_matches += matcher.together[i][assignment.column_of[i]];
    scores.missed = scores.objects - scores.matches;
    scores.wrong  = scores.hypotheses - scores.matches;
    scores.mota   = 1.0 - (double)(scores.missed + scores.wrong + scores.switches) / scores.objects;
    scores.idf1   = 2.0 * scores.identity_matches / (scores.objects + scores.hypotheses);
    return scores;
}

/* Runs the tracker; only boxes that were seen in the picture are the result. Returns the tracks'
 * digest. */
static uint64_t track(const struct sequence *input, struct sequence *output, double fps, bool early,
                      double *us)
{
    struct tracker_settings settings = tracker_settings_default();
    struct tracker         *tracker;
    uint64_t                digest = 14695981039346656037U;
    struct timespec         before, after;

    /* These detections begin at 0.5, and most stand at 0.99: what is weak begins no object. */
    settings.new_score = 0.8F;
    memset(output, 0, sizeof *output);
    if (tracker_open(&tracker, &settings) != 0)
        return 0;
    clock_gettime(CLOCK_MONOTONIC, &before);
    for (int frame = 1; frame <= input->frames; frame++) {
        struct box          found[PER_FRAME];
        const struct track *tracks;
        int                 count;

        for (int i = 0; i < input->counts[frame]; i++)
            found[i] = input->entries[frame][i].box;
        tracker_update(tracker, found, input->counts[frame], (int64_t)((double)frame / fps * 1e9));
        tracks = tracker_tracks(tracker, &count);
        for (int i = 0; i < count; i++) {
            const unsigned char *bytes = (const unsigned char *)&tracks[i].box;
            for (size_t k = 0; k < 4 * sizeof(float); k++)
                digest = (digest ^ bytes[k]) * 1099511628211U;
            digest = (digest ^ tracks[i].id) * 1099511628211U;
            /* What was seen before it was confirmed belongs to the track as well. */
            for (int k = 0; k < tracks[i].early_count && early; k++)
                add(output, (int)lround((double)tracks[i].early[k].time_ns * fps / 1e9),
                    tracks[i].id, &tracks[i].early[k].box);
            if (tracks[i].seen)
                add(output, frame, tracks[i].id, &tracks[i].box);
        }
    }
    clock_gettime(CLOCK_MONOTONIC, &after);
    *us = ((double)(after.tv_sec - before.tv_sec) * 1e6 +
           (double)(after.tv_nsec - before.tv_nsec) * 1e-3) /
          input->frames;
    tracker_close(&tracker);
    return digest;
}

static struct entry entry_at(uint64_t id, float x)
{
    return (struct entry){id, {x, 0, x + 10, 20, 1.0F, OBJECT_PERSON}};
}

/* The scores of a small sequence that can be counted by hand. */
static void check_scores(void)
{
    struct scores scores;
    struct entry  entry;

    memset(&truth, 0, sizeof truth);
    memset(&result, 0, sizeof result);
    for (int frame = 1; frame <= 10; frame++) {
        entry = entry_at(1, 0);
        add(&truth, frame, 1, &entry.box);
        entry = entry_at(2, 100);
        add(&truth, frame, 2, &entry.box);
        /* Object 1: track 7 for 6 frames, then 8 for 4. Object 2: track 9, missed in frame 5. */
        entry = entry_at(0, 1);
        add(&result, frame, frame <= 6 ? 7 : 8, &entry.box);
        entry = entry_at(0, 101);
        if (frame != 5)
            add(&result, frame, 9, &entry.box);
        /* A false alarm in frame 3. */
        entry = entry_at(0, 300);
        if (frame == 3)
            add(&result, frame, 10, &entry.box);
    }
    scores = score(&truth, &result);
    is_int(scores.matches, 19, "matches");
    is_int(scores.missed, 1, "missed");
    is_int(scores.wrong, 1, "wrong");
    is_int(scores.switches, 1, "switches");
    is_near(scores.mota, 1.0 - 3.0 / 20.0, 1e-9, "MOTA");
    is_near(scores.idf1, 2.0 * 15.0 / (20.0 + 20.0), 1e-9, "IDF1");

    /* A match that still holds is kept, though another box fits better. */
    memset(&truth, 0, sizeof truth);
    memset(&result, 0, sizeof result);
    for (int frame = 1; frame <= 2; frame++) {
        entry = entry_at(1, 0);
        add(&truth, frame, 1, &entry.box);
        entry = entry_at(0, frame == 1 ? 0 : 3);
        add(&result, frame, 7, &entry.box);
        entry = entry_at(0, frame == 1 ? 50 : 0);
        add(&result, frame, 8, &entry.box);
    }
    scores = score(&truth, &result);
    is_int(scores.switches, 0, "a match that holds goes on");
    is_int(scores.matches, 2, "and counts");
}

static void tud_campus(const char *folder)
{
    char          path[700];
    struct scores scores;
    double        us;

    snprintf(path, sizeof path, "%s/mot/ground_truth/TUD-Campus.txt", folder);
    if (!ok(load(&truth, path, true), "ground truth of TUD-Campus"))
        return;
    snprintf(path, sizeof path, "%s/mot/detections/TUD-Campus/det/det.txt", folder);
    if (!ok(load(&boxes, path, false), "detections of TUD-Campus"))
        return;
    track(&boxes, &result, 25, false, &us);
    scores = score(&truth, &result);
    is_int(scores.objects, 359, "objects in the ground truth");
    ok(scores.mota >= 0.627, "as given out: MOTA %.2f%% (wrong %d, missed %d, switches %d)",
       scores.mota * 100, scores.wrong, scores.missed, scores.switches);
    ok(scores.idf1 >= 0.717, "as given out: IDF1 %.2f%%", scores.idf1 * 100);
    track(&boxes, &result, 25, true, &us);
    scores = score(&truth, &result);
    ok(scores.mota >= 0.627,
       "with what was seen before: MOTA %.2f%% (wrong %d, missed %d, switches %d)",
       scores.mota * 100, scores.wrong, scores.missed, scores.switches);
    ok(scores.idf1 >= 0.717, "with what was seen before: IDF1 %.2f%%", scores.idf1 * 100);
}

static void all_sequences(const char *folder)
{
    static const char *const names[] = {
        "ADL-Rundle-6", "ADL-Rundle-8", "ETH-Bahnhof", "ETH-Pedcross2",  "ETH-Sunnyday", "KITTI-13",
        "KITTI-17",     "PETS09-S2L1",  "TUD-Campus",  "TUD-Stadtmitte", "Venice-2"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char     path[700];
        uint64_t first, second;
        double   us, again_us;
        int      tracks = 0, seen = 0, found = 0;

        snprintf(path, sizeof path, "%s/mot/detections/%s/det/det.txt", folder, names[i]);
        if (!load(&boxes, path, false)) {
            ok(false, "%s can be read", names[i]);
            continue;
        }
        first  = track(&boxes, &result, 30, false, &us);
        second = track(&boxes, &result, 30, false, &again_us);
        for (int frame = 1; frame <= boxes.frames; frame++) {
            found += boxes.counts[frame];
            seen += result.counts[frame];
            for (int k = 0; k < result.counts[frame]; k++)
                tracks = result.entries[frame][k].id > (uint64_t)tracks
                             ? (int)result.entries[frame][k].id
                             : tracks;
        }
        ok(first == second && seen > found / 2 && seen <= found && tracks < found / 5,
           "%s: the same twice; %d of %d boxes in tracks up to %d, %.1f us a picture", names[i],
           seen, found, tracks, fmin(us, again_us));
    }
}

int main(void)
{
    const char *folder = material();

    check_scores();
    if (folder == NULL) {
        skip_one("no material: the sequences of MOT15 are not there");
        return done_testing();
    }
    tud_campus(folder);
    all_sequences(folder);
    return done_testing();
}
