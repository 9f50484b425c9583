/* A card that decodes, without a card: FFmpeg's own way to NVIDIA's decoder, with a driver in its place
 * that draws its pictures (tests/driver_nvcuvid.c). What a card would decode is not seen here:
 * tests/gpu/run. And what is done without one: the usual decoder, with the reason.
 * links: camera */
#include "tests/decode_seen.h"

#include <dlfcn.h>
#include <libavutil/hwcontext.h>
#include <stdatomic.h>

#include "gpu/backend_cuda.h"
#include "server/camera/decode_device.h"
#include "tests/driver_nvcuvid.h"

#define PICTURES 60
#define GROUP    10
#define HELD     (DECODE_DEVICE_HELD + 6)
#define PLAIN    "preset=ultrafast"
#define LATE \
    PLAIN    \
    ":x264-params=bframes=2" /* pictures that refer to later ones: the decoder keeps some back */

static struct seen            seen;
static struct driver_control *driver;

/* ---- a backend whose devices hold what the driver draws ---- */

static atomic_int holders, holds_refused;
static char       context_mark;

static int hold_device(int device, void **context, struct why *why)
{
    if (atomic_load(&holds_refused) > 0) {
        atomic_fetch_sub(&holds_refused, 1);
        return why_set(why, ERR_DEVICE_LOST, "device %d is not there", device);
    }
    atomic_fetch_add(&holders, 1);
    *context = &context_mark;
    return 0;
}

static void let_go_device(int device)
{
    (void)device;
    atomic_fetch_sub(&holders, 1);
}

static int copy_out(const struct frame *frame, struct frame *to, struct why *why)
{
    (void)why;
    for (int k = 0; k < 2; k++) {
        struct frame_plane size = frame_plane_of(frame->format, k, frame->width_px,
                                                 frame->height_px);

        for (int y = 0; y < size.rows; y++)
            memcpy((uint8_t *)(uintptr_t)to->plane[k] + y * to->stride_bytes[k],
                   frame->plane[k] + y * frame->stride_bytes[k], (size_t)size.row_bytes);
    }
    return 0;
}

static const struct backend_ops DRAWN = {
    .name = "drawn", .hold = hold_device, .let_go = let_go_device, .copy_out = copy_out};

/* ---- helpers ---- */

static enum camera_decoder usual(void)
{
    return getenv("SIGHTLINE_TEST_PROCESSES") != NULL ? CAMERA_DECODER_PROCESS
                                                      : CAMERA_DECODER_THREAD;
}

static void open_card_pool(const struct backend_ops *backend, int64_t retry_ns)
{
    struct decode_device *card = decode_device_open(0, backend, retry_ns);

    open_pool(1);
    if (card == NULL)
        exit(1);
    decode_pool_use_device(pool, card);
    atomic_store(&holds_refused, 0);
    if (driver != NULL)
        *driver = (struct driver_control){.refuse_decoders = 0};
}

static void close_card_pool(const char *what)
{
    decode_pool_close(&pool);
    is_int(atomic_load(&holders), 0, "%s: the device is let go", what);
    if (driver != NULL)
        ok(driver->decoders == 0 && driver->mapped == 0 && driver->lost == 0 &&
               driver->overwritten == 0,
           "%s: all that the driver made was given back, and nothing was overwritten", what);
}

static void make_clip(const char *name, enum AVPixelFormat format, const char *options)
{
    struct clip clip = {.encoder   = "libx264",
                        .options   = options,
                        .format    = format,
                        .width_px  = 320,
                        .height_px = 240,
                        .frames    = PICTURES,
                        .fps       = 100,
                        .gop       = GROUP};

    if (!clip_make(clip_path(name), "matroska", &clip))
        skip_all("no H.264 encoder in this FFmpeg");
}

static struct decode_status play_in_real_time(const char *name)
{
    struct decode_stream *stream = open_stream(&seen, 0);
    struct decode_status  status;

    decode_stream_play(stream, clip_path(name), PACE_REAL_TIME, false);
    status = wait_for_end(stream, &seen);
    decode_stream_close(&stream);
    return status;
}

static bool all_in_order(int from)
{
    bool right = seen.count == PICTURES;

    for (int i = from; right && i < PICTURES; i++)
        right = seen.drawn[i] == i;
    return right;
}

/* ---- without a card ---- */

static void test_nothing_there(const char *what, const struct backend_ops *backend)
{
    struct decode_status status;

    open_card_pool(backend, 0);
    status = play_all(clip_path("plain.mkv"), 0, &seen);
    ok(all_in_order(0) && seen.on_card == 0 && status.decode_errors == 0,
       "%s: every picture is decoded as usual", what);
    ok(status.decoder == usual() && status.decoder_note[0] != '\0', "%s: and told: %s", what,
       status.decoder_note);
    close_card_pool(what);
}

/* ---- with one ---- */

static void *load(const char *name)
{
    char    path[600];
    ssize_t bytes = readlink("/proc/self/exe", path, sizeof path - 64);
    char   *slash;
    void   *library;

    path[bytes > 0 ? bytes : 0] = '\0';
    slash                       = strrchr(path, '/');
    if (slash == NULL)
        exit(1);
    memcpy(slash + 1, name, strlen(name) + 1);
    library = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
    if (library == NULL) {
        diag("%s", dlerror());
        exit(1);
    }
    return library;
}

static bool is_in_ffmpeg(void)
{
    enum AVHWDeviceType type = AV_HWDEVICE_TYPE_NONE;

    while ((type = av_hwdevice_iterate_types(type)) != AV_HWDEVICE_TYPE_NONE) {
        if (type == AV_HWDEVICE_TYPE_CUDA)
            return true;
    }
    return false;
}

/* From here on FFmpeg finds these by the names of the true ones. */
static void load_drivers(void)
{
    load("driver_cuda.so");
    driver = dlsym(load("driver_nvcuvid.so"), "driver_control");
    if (driver == NULL)
        exit(1);
}

static void test_all_on_card(void)
{
    struct decode_status status;
    uint64_t             copies = frame_copies(FRAME_COPY_HELD);

    open_card_pool(&DRAWN, 0);
    status = play_all(clip_path("plain.mkv"), 0, &seen);
    ok(all_in_order(0) && seen.on_card == PICTURES && driver->decoded == PICTURES,
       "the card decodes %d pictures, and %d stay there", driver->decoded, seen.on_card);
    ok(seen.format == FRAME_NV12 && seen.width_px == 320 && seen.height_px == 240,
       "they are NV12 of the stream's size");
    ok(status.decoder == CAMERA_DECODER_CARD && status.decoder_note[0] == '\0' &&
           status.decode_errors == 0,
       "which is told");
    is_int((long long)(frame_copies(FRAME_COPY_HELD) - copies), 0, "none had to be copied");
    close_card_pool("all on the card");
}

static struct frame *kept[PICTURES];
static atomic_int    kept_count;

static void keep_frame(void *arg, struct frame *frame)
{
    (void)arg;
    kept[atomic_fetch_add(&kept_count, 1)] = frame;
}

/* Who keeps pictures keeps the decoder's surfaces: some, and then copies. They outlive it all. */
static void test_kept_pictures(void)
{
    struct decode_settings settings = {.arg = &seen, .frame = keep_frame, .wake = on_wake};
    struct decode_stream  *stream   = open_stream(&seen, 0);
    struct decode_status   status;
    int                    on_card = 0, right = 0;
    struct why             why;

    decode_stream_close(&stream);
    if (decode_stream_open(&stream, pool, &settings, &why) != 0)
        exit(1);
    decode_stream_play(stream, clip_path("plain.mkv"), PACE_FASTEST, false);
    status = wait_for_end(stream, &seen);
    decode_stream_close(&stream);
    decode_pool_close(&pool);
    for (int i = 0; i < atomic_load(&kept_count); i++) {
        struct frame *host = frame_in_host(kept[i], FRAME_COPY_VIEW);

        on_card += kept[i]->device != NULL;
        right += host != NULL && clip_number(host->plane[0], host->stride_bytes[0]) == i;
    }
    ok(atomic_load(&kept_count) == PICTURES && right == PICTURES && status.decode_errors == 0,
       "%d of %d pictures that are kept are right", right, PICTURES);
    is_int(on_card, DECODE_DEVICE_HELD, "so many of them stay on the card");
    ok(atomic_load(&holders) == 1, "and keep the device after the decoder and the pool are gone");
    for (int i = 0; i < atomic_load(&kept_count); i++)
        frame_unref(&kept[i]);
    ok(driver->mapped == 0 && driver->overwritten == 0 && atomic_load(&holders) == 0,
       "until they go");
}

static void test_refused(void)
{
    struct decode_status status;

    open_card_pool(&DRAWN, 0);
    driver->refuse_decoders = 1;
    status                  = play_all(clip_path("plain.mkv"), 0, &seen);
    ok(all_in_order(0) && seen.on_card == 0, "a card that refuses the stream costs no picture");
    ok(status.decoder == usual() && status.decoder_note[0] != '\0', "told: %s",
       status.decoder_note);
    close_card_pool("refused");
    open_card_pool(&DRAWN, 0);
    status = play_all(clip_path("wide.mkv"), 0, &seen);
    ok(all_in_order(0) && seen.on_card == 0 && status.decoder == usual(),
       "nor does one that is not asked: %s", status.decoder_note);
    close_card_pool("another format");
}

/* In real time some pictures may come too late on a busy machine: those decoded are counted. */
static void test_failure(void)
{
    struct decode_status status;

    open_card_pool(&DRAWN, 0);
    driver->fail_at = PICTURES / 3 + 1;
    status          = play_in_real_time("plain.mkv");
    is_int((long long)status.frames_decoded, PICTURES,
           "a card that fails in the middle of a stream costs no picture");
    is_int(driver->decoded, PICTURES / 3, "the rest is decoded as usual");
    ok(status.decoder == usual() && status.decoder_note[0] != '\0', "told: %s",
       status.decoder_note);
    close_card_pool("failed");

    open_card_pool(&DRAWN, 1);
    driver->fail_at = PICTURES / 3 + 1;
    status          = play_in_real_time("plain.mkv");
    is_int((long long)status.frames_decoded, PICTURES, "nor when it is tried again");
    ok(driver->decoded == PICTURES - GROUP && status.decoder == CAMERA_DECODER_CARD,
       "which has it back at the next key frame");
    close_card_pool("tried again");

    open_card_pool(&DRAWN, 1);
    driver->fail_at = PICTURES / 3 + 1;
    status          = play_all(clip_path("plain.mkv"), 0, &seen);
    ok(status.end == SOURCE_END_ERROR && status.reason[0] != '\0',
       "a file that is counted whole or not at all ends: %s", status.reason);
    close_card_pool("a file");

    open_card_pool(&DRAWN, 1);
    driver->fail_map_at = PICTURES;
    status              = play_all(clip_path("late.mkv"), 0, &seen);
    ok(status.end == SOURCE_END_ERROR && status.frames_decoded == PICTURES - 1,
       "so does one of which only what the decoder kept back fails: %s", status.reason);
    close_card_pool("the last picture");
}

/* A device that is not there at first, and one that goes with what it has. */
static void test_comes_and_goes(void)
{
    struct decode_status status;

    open_card_pool(&DRAWN, 1);
    atomic_store(&holds_refused, 1);
    status = play_in_real_time("plain.mkv");
    ok(status.frames_decoded == PICTURES && status.decoder == CAMERA_DECODER_CARD,
       "a device that comes late is used from a key frame on");
    is_int(driver->decoded, PICTURES, "which is the first one here");
    driver->decoded = 0;
    driver->fail_at = PICTURES / 3 + 1;
    atomic_store(&holds_refused, 2); /* lost, and once more when it is tried */
    status = play_in_real_time("plain.mkv");
    ok(status.frames_decoded == PICTURES && status.decoder == CAMERA_DECODER_CARD,
       "and so is one that was lost");
    ok(driver->decoded >= PICTURES / 3 && driver->decoded < PICTURES - GROUP,
       "with %d pictures decoded as usual meanwhile", PICTURES - driver->decoded);
    close_card_pool("comes and goes");
}

static void test_with_card(void)
{
    load_drivers();
    test_all_on_card();
    open_card_pool(&DRAWN, 0);
    test_kept_pictures();
    test_refused();
    test_failure();
    test_comes_and_goes();
}

int main(void)
{
    bool has_driver = access("/dev/nvidiactl", F_OK) == 0 || access("/dev/dxg", F_OK) == 0;

    setenv("SIGHTLINE_CUDA_PLUGIN", "", 1); /* no plug-in, wherever this runs */
    make_clip("plain.mkv", AV_PIX_FMT_YUV420P, PLAIN);
    make_clip("wide.mkv", AV_PIX_FMT_YUV422P, PLAIN);
    make_clip("late.mkv", AV_PIX_FMT_YUV420P, LATE);
    test_nothing_there("no CUDA", &BACKEND_CUDA);
    if (!has_driver)
        test_nothing_there("no driver", &DRAWN);
    else
        diag("this machine has a CUDA driver: not seen what happens without");
    if (is_in_ffmpeg())
        test_with_card();
    else
        diag("this FFmpeg was built without CUDA: nothing more to see");
    unlink(clip_path("plain.mkv"));
    unlink(clip_path("wide.mkv"));
    unlink(clip_path("late.mkv"));
    rmdir(clip_path(""));
    return done_testing();
}
