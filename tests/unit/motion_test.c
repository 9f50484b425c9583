// links: camera
// What moves and what does not, in pictures drawn here; which pictures are analysed.
#include "config/clock.h"
#include "server/camera/decode.h"
#include "server/camera/motion.h"
#include "tests/tap.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#define FPS 5

static uint64_t random_state = 7;

static int noise(int amplitude)
{
    random_state = random_state * 6364136223846793005U + 1442695040888963407U;
    return amplitude == 0 ? 0 : (int)(random_state >> 33) % (2 * amplitude + 1) - amplitude;
}

static void fill(struct frame *frame, int level, int amplitude)
{
    for (int y = 0; y < frame->height_px; y++) {
        uint8_t *row = (uint8_t *)frame->plane[0] + (ptrdiff_t)y * frame->stride_bytes[0];

        for (int x = 0; x < frame->width_px; x++)
            row[x] = (uint8_t)(level + (x / 16 + y / 16) % 3 * 20 + noise(amplitude));
    }
}

static void draw(struct frame *frame, int left, int top, int width, int height, int more)
{
    for (int y = top; y < top + height; y++) {
        uint8_t *row = (uint8_t *)frame->plane[0] + (ptrdiff_t)y * frame->stride_bytes[0];

        for (int x = left; x < left + width; x++)
            row[x] = (uint8_t)(row[x] + more);
    }
}

/* The next picture of a scene: how far it is into it decides its time. */
static bool look(struct motion *motion, struct frame *frame, int index)
{
    frame->pts_ns = index * NS_PER_S / FPS;
    return motion_look(motion, frame);
}

static void test_look(int width_px, int height_px)
{
    static const struct settings_motion NO_MASK = {.enabled = true};
    struct motion                      *motion  = motion_open(&NO_MASK);
    struct frame                       *frame   = frame_alloc(FRAME_I420, width_px, height_px);
    int walker_px = width_px / 40; /* as wide as a detector can still see */
    int moving = 0, seen = 0, index = 0;

    fill(frame, 90, 4);
    ok(look(motion, frame, index++), "%dx%d: the first picture might show anything", width_px,
       height_px);
    for (; index < 50; index++) {
        fill(frame, 90, 4);
        moving += look(motion, frame, index);
    }
    is_int(moving, 0, "noise does not move");
    for (int i = 0; i < 20; i++, index++) {
        fill(frame, 90, 4);
        draw(frame, i * width_px / 25, height_px / 2, walker_px, 2 * walker_px, 10);
        seen += look(motion, frame, index);
    }
    is_int(seen, 20, "a small walker in grey before grey is seen in every picture");
    for (int i = 0; i < 100; i++, index++) {
        fill(frame, 90 + i / 20, 4);
        moving += look(motion, frame, index) && i >= 50; /* the walker has left by then */
    }
    is_int(moving, 0, "an evening falls, a quarter of a level a second, and wakes nobody");
    frame->generation++;
    ok(look(motion, frame, index), "another stream might show anything again");
    motion_close(&motion);
    frame_unref(&frame);
}

static void test_mask(void)
{
    struct settings_motion settings = {
        .enabled    = true,
        .mask_count = 1,
        .masks      = {{4, {{0.5F, 0}, {1, 0}, {1, 0.25F}, {0.5F, 0.25F}}}}};
    struct motion *motion = motion_open(&settings);
    struct frame  *frame  = frame_alloc(FRAME_NV12, 640, 360);

    fill(frame, 90, 0);
    look(motion, frame, 0);
    draw(frame, 400, 10, 60, 40, 60);
    ok(!look(motion, frame, 1), "what moves under the mask does not count");
    draw(frame, 100, 10, 60, 40, 60);
    ok(look(motion, frame, 2), "beside it, it does");
    motion_close(&motion);
    frame_unref(&frame);
    frame  = frame_alloc(FRAME_BGR24, 64, 64);
    motion = motion_open(&settings);
    ok(look(motion, frame, 0) && look(motion, frame, 1), "packed colours are not looked into");
    motion_close(&motion);
    frame_unref(&frame);
    frame  = frame_alloc(FRAME_GRAY8, 5, 5);
    motion = motion_open(&settings);
    ok(look(motion, frame, 0) && look(motion, frame, 1), "nor are pictures smaller than a cell");
    motion_close(&motion);
    frame_unref(&frame);
}

static void test_gate(void)
{
    struct motion_gate gate    = {.any = false};
    int                wanted  = 0;
    int64_t            last_ns = 0, longest_ns = 0;

    for (int i = 0; i <= 3 * FPS; i++)
        wanted += motion_gate_wants(&gate, false, false, i * NS_PER_S / FPS);
    is_int(wanted, 3 * FPS + 1, "a stream begins with three seconds of attention");
    for (int i = 3 * FPS + 1; i < 60 * FPS; i++) {
        int64_t pts_ns = i * NS_PER_S / FPS;

        if (!motion_gate_wants(&gate, false, false, pts_ns))
            continue;
        if (last_ns != 0 && pts_ns - last_ns > longest_ns)
            longest_ns = pts_ns - last_ns;
        last_ns = pts_ns;
    }
    is_int(longest_ns, MOTION_REFRESH_NS, "then it is looked at every two seconds");
    ok(motion_gate_wants(&gate, true, false, 60 * NS_PER_S) &&
           motion_gate_wants(&gate, false, false, 60 * NS_PER_S + 1),
       "the first movement is analysed, and what follows it");
    for (int i = 64 * FPS; i < 70 * FPS; i++)
        motion_gate_wants(&gate, false, false, i * NS_PER_S / FPS);
    ok(motion_gate_wants(&gate, false, true, 70 * NS_PER_S) &&
           motion_gate_wants(&gate, false, false, 70 * NS_PER_S + 1),
       "so is what is followed, though it stands");
    ok(motion_gate_wants(&gate, false, false, 0), "time that runs back is another stream");
}

/* ---- a real camera, through the decoder ---- */

#define CLIP_PICTURES 1000

static struct {
    pthread_mutex_t lock;
    pthread_cond_t  changed;
    int             count;
    int64_t         pts_ns[CLIP_PICTURES];
    bool            still[CLIP_PICTURES];
    bool            woken;
} clip = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void on_frame(void *arg, struct frame *frame)
{
    (void)arg;
    pthread_mutex_lock(&clip.lock);
    if (clip.count < CLIP_PICTURES) {
        clip.pts_ns[clip.count]  = frame->pts_ns;
        clip.still[clip.count++] = frame->still;
    }
    pthread_mutex_unlock(&clip.lock);
    frame_unref(&frame);
}

static void on_wake(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&clip.lock);
    clip.woken = true;
    pthread_cond_signal(&clip.changed);
    pthread_mutex_unlock(&clip.lock);
}

static int still_between(int64_t from_ns, int64_t until_ns, int *of)
{
    int still = 0;

    *of = 0;
    for (int i = 0; i < clip.count; i++) {
        if (clip.pts_ns[i] < from_ns || clip.pts_ns[i] >= until_ns)
            continue;
        (*of)++;
        still += clip.still[i];
    }
    return still;
}

static void test_real(void)
{
    static const struct settings_motion MOTION   = {.enabled = true};
    struct decode_settings              settings = {
                     .fps = 5, .motion = &MOTION, .frame = on_frame, .wake = on_wake};
    char                  path[1024];
    struct decode_pool   *pool;
    struct decode_stream *stream;
    struct decode_status  status = {.ended = false};
    struct why            why;
    int                   of;

    snprintf(path, sizeof path, "%s/videos/one-by-one-person-detection.mp4",
             material() != NULL ? material() : "");
    if (access(path, R_OK) != 0 || decode_pool_open(&pool, 1, &why) != 0 ||
        decode_stream_open(&stream, pool, &settings, &why) != 0) {
        skip_one("no test material");
        return;
    }
    decode_stream_play(stream, path, PACE_FASTEST, false);
    while (!status.ended) {
        pthread_mutex_lock(&clip.lock);
        while (!clip.woken)
            pthread_cond_wait(&clip.changed, &clip.lock);
        clip.woken = false;
        pthread_mutex_unlock(&clip.lock);
        decode_stream_status(stream, &status);
    }
    decode_stream_close(&stream);
    decode_pool_close(&pool);
    is_int(clip.count, 697, "offline every picture is given out, marked");
    ok(still_between(NS_PER_S, 5 * NS_PER_S, &of) == of && of == 20,
       "a real room in which nobody is, is still");
    is_int(still_between(7 * NS_PER_S, 15 * NS_PER_S, &of), 0, "until somebody comes");
}

int main(void)
{
    test_look(640, 360);
    test_look(1920, 1080);
    test_mask();
    test_gate();
    test_real();
    return done_testing();
}
