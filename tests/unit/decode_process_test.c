// links: camera
// Decoder processes that die, hang, and what that costs whom. SIGHTLINE_TEST_PROCESSES=1 runs the
// other decode tests in processes; this one always does.
#include "tests/decode_seen.h"
#include "tests/tap.h"

#include "server/camera/decode_process.h"

#include <signal.h>

#define CAMERAS 4

/* It takes 0.05 s, and 1.6 s after a hang, where the machine has time. Who has it not would be given up
 * on after so long: one that hangs must be seen by what it does, before. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define BACK_S (1.5 * DECODE_PROCESS_STARVED_MS / 1e3) /* its process takes seconds to start */
#else
#define BACK_S (DECODE_PROCESS_STARVED_MS / 1e3)
#endif

/* One key frame in 4 s: waiting for it would be seen, by the pictures that are missing. */
static const struct clip LONG_GROUP = {"libx264",
                                       "preset=ultrafast:x264-params=bframes=2\\:scenecut=0",
                                       AV_PIX_FMT_YUV420P,
                                       320,
                                       192,
                                       100,
                                       25,
                                       100,
                                       0};

static struct seen           seen[CAMERAS];
static struct decode_stream *stream[CAMERAS];

static struct decode_stream *play(struct seen *into, const char *path)
{
    struct decode_stream *opened = open_stream(into, 0);

    decode_stream_play(opened, path, PACE_REAL_TIME, true);
    return opened;
}

/* The longest time without a picture. */
static double longest_gap_s(struct seen *of)
{
    int64_t longest_ns = 0;

    pthread_mutex_lock(&of->lock);
    for (int i = 1; i < of->count && i < MAX_FRAMES; i++) {
        if (of->seen_ns[i] - of->seen_ns[i - 1] > longest_ns)
            longest_ns = of->seen_ns[i] - of->seen_ns[i - 1];
    }
    pthread_mutex_unlock(&of->lock);
    return (double)longest_ns / 1e9;
}

/* Pictures that were never decoded between two that were seen. One that was decoded late and given
 * up for a newer one is not among them: it has its number. */
static int missing(struct seen *of)
{
    int lost = 0;

    pthread_mutex_lock(&of->lock);
    for (int i = 1; i < of->count && i < MAX_FRAMES; i++) {
        if (of->generations[i] == of->generations[i - 1])
            lost += of->drawn[i] - of->drawn[i - 1] - (int)(of->numbers[i] - of->numbers[i - 1]);
    }
    pthread_mutex_unlock(&of->lock);
    return lost;
}

static int count_of(struct seen *of)
{
    int count;

    pthread_mutex_lock(&of->lock);
    count = of->count;
    pthread_mutex_unlock(&of->lock);
    return count;
}

static void test_crash(const char *path)
{
    struct decode_pool_stats stats;
    struct decode_status     status;
    int                      pids[8];
    int                      count;

    for (int i = 0; i < CAMERAS; i++)
        stream[i] = play(&seen[i], path);
    for (int i = 0; i < CAMERAS; i++)
        wait_for_frames(&seen[i], 30);
    count = decode_pool_pids(pool, pids, 8);
    is_int(count, 2, "two workers, two processes");
    kill(pids[0], SIGSEGV);
    for (int i = 0; i < CAMERAS; i++)
        wait_for_frames(&seen[i], count_of(&seen[i]) + 40);
    for (int i = 0; i < CAMERAS; i++) {
        double gap_s = longest_gap_s(&seen[i]);

        ok(gap_s < BACK_S, "camera %d goes on after %.2f s", i, gap_s);
        decode_stream_status(stream[i], &status);
        if (all_decoded(&status))
            is_int(missing(&seen[i]), 0, "camera %d has lost no picture", i);
        else
            skip_behind("lost pictures");
    }
    decode_pool_stats(pool, &stats);
    is_int((int64_t)stats.restarts, 1, "one process was started again");
    is_int(stats.quarantined, 0, "nobody is to blame for one crash");
    for (int i = 0; i < CAMERAS; i++)
        decode_stream_close(&stream[i]);
}

static void stop_all(void)
{
    int pids[8];
    int count = decode_pool_pids(pool, pids, 8);

    for (int i = 0; i < count; i++)
        kill(pids[i], SIGSTOP);
}

static void test_hang(const char *path)
{
    struct decode_pool_stats stats;
    struct decode_status     status;

    stream[0] = play(&seen[0], path);
    wait_for_frames(&seen[0], 10);
    stop_all(); /* one of the two has nothing to do, and may stop for ever */
    wait_for_frames(&seen[0], count_of(&seen[0]) + 30);
    ok(longest_gap_s(&seen[0]) < BACK_S && longest_gap_s(&seen[0]) > 1.4,
       "a process that hangs is noticed and replaced: %.2f s", longest_gap_s(&seen[0]));
    decode_stream_status(stream[0], &status);
    if (all_decoded(&status))
        ok(missing(&seen[0]) <= 1, "the packet that it hung at is left out: %d pictures",
           missing(&seen[0]));
    else
        skip_behind("pictures left out");
    stop_all();
    status = wait_for_end(stream[0], &seen[0]);
    ok(strstr(status.reason, "decoder: hung") != NULL && strstr(status.reason, "3 times") != NULL,
       "again: the stream ends and says why: %s", status.reason);
    decode_stream_play(stream[0], path, PACE_REAL_TIME, true);
    wait_for_frames(&seen[0], count_of(&seen[0]) + 30);
    decode_pool_stats(pool, &stats);
    is_int(stats.quarantined, 1, "tried again it plays, among its like");
    is_int(stats.workers, 3, "who have a worker of their own");
    decode_stream_close(&stream[0]);
    decode_pool_stats(pool, &stats);
    is_int(stats.quarantined, 0, "a camera that is gone is quarantined no more");
}

static void test_offline(const char *path)
{
    struct decode_stream *offline = open_stream(&seen[0], 0);
    struct decode_status  status;
    int                   pids[8];
    int                   count;

    decode_stream_play(offline, path, PACE_FASTEST, false);
    wait_for_frames(&seen[0], 10);
    pthread_mutex_lock(&seen[0].lock);
    seen[0].blocked = true;
    pthread_mutex_unlock(&seen[0].lock);
    count = decode_pool_pids(pool, pids, 8);
    for (int i = 0; i < count; i++)
        kill(pids[i], SIGKILL);
    pthread_mutex_lock(&seen[0].lock);
    seen[0].blocked = false;
    pthread_cond_broadcast(&seen[0].changed);
    pthread_mutex_unlock(&seen[0].lock);
    status = wait_for_end(offline, &seen[0]);
    ok(status.end == SOURCE_END_OF_FILE
           ? seen[0].count == LONG_GROUP.frames
           : strstr(status.reason, "decoder: crashed, signal 9") != NULL,
       "a file that is counted offline is counted whole or not at all: %s", status.reason);
    decode_stream_close(&offline);
}

static bool has_line(const char *text, const char *name, const char *value)
{
    const char *at = strstr(text, name);

    return at != NULL && strncmp(at + strlen(name), value, strlen(value)) == 0;
}

static void test_shut_in(void)
{
    char   path[64], text[4096];
    int    pids[8];
    size_t got;
    FILE  *file;

    decode_pool_pids(pool, pids, 8);
    snprintf(path, sizeof path, "/proc/%d/status", pids[0]);
    file      = fopen(path, "re");
    got       = file != NULL ? fread(text, 1, sizeof text - 1, file) : 0;
    text[got] = '\0';
    if (file != NULL)
        fclose(file);
    ok(has_line(text, "\nSeccomp:\t", "2"), "its system calls are filtered");
    ok(has_line(text, "\nNoNewPrivs:\t", "1"), "it gains no privileges");
}

int main(void)
{
    struct why why;

    log_set_level(LOG_ERROR);
    if (decode_pool_open_isolated(&pool, 2, ISOLATION_PROCESS, &why) != 0) {
        diag("%s", why.text);
        return 1;
    }
    if (!clip_make(clip_path("long.mp4"), "mp4", &LONG_GROUP)) {
        skip_one("no encoder");
    } else {
        test_shut_in();
        test_crash(clip_path("long.mp4"));
        test_hang(clip_path("long.mp4"));
        test_offline(clip_path("long.mp4"));
        unlink(clip_path("long.mp4"));
    }
    return close_pool();
}
