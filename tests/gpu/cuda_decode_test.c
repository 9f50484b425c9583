/* Video that a card decodes, on a card: the same pictures as the processor's decoder gives, bit for bit,
 * and the same boxes, without a copy out of the card's memory; and several streams at once. Skipped
 * where the plug-in, a card or its decoder is missing; tests/gpu/run is the command for it.
 *
 * cuda_decode_test [VIDEO]: H.264 or H.265 of 8 bits; else a clip that is made here. */
#include "config/err.h"
#include "gpu/backend_cuda.h"
#include "gpu/detector.h"
#include "server/camera/decode_device.h"
#include "tests/bright_network.h"
#include "tests/decode_seen.h"

#define PICTURES_MAX 400
#define STREAMS      8

static struct seen   seen;
static struct frame *kept[2][PICTURES_MAX]; /* of the processor, of the card */
static int           counts[2];
static int           filled;

static void keep_copy(void *arg, struct frame *frame)
{
    struct frame *host = frame_in_host(frame, FRAME_COPY_VIEW);

    (void)arg;
    if (host == NULL || counts[filled] == PICTURES_MAX) {
        frame_unref(&frame);
        return;
    }
    seen.on_card += frame->device != NULL;
    kept[filled][counts[filled]++] = frame_ref(host);
    frame_unref(&frame);
}

static struct decode_status decode_all(const char *path)
{
    struct decode_settings settings = {.arg = &seen, .frame = keep_copy, .wake = on_wake};
    struct decode_stream  *stream   = open_stream(&seen, 0);
    struct decode_status   status;
    struct why             why = {""};

    decode_stream_close(&stream);
    if (decode_stream_open(&stream, pool, &settings, &why) != 0)
        exit(1);
    decode_stream_play(stream, path, PACE_FASTEST, false);
    status = wait_for_end(stream, &seen);
    decode_stream_close(&stream);
    return status;
}

static void open_card_pool(void)
{
    open_pool(2);
    decode_pool_use_device(pool, decode_device_open(0, &BACKEND_CUDA, 0));
}

static bool same_row(const struct frame *planar, const struct frame *paired, int y)
{
    for (int k = 1; k < 3; k++)
        for (int x = 0; x < (planar->width_px + 1) / 2; x++)
            if (planar->plane[k][y * planar->stride_bytes[k] + x] !=
                paired->plane[1][y * paired->stride_bytes[1] + 2 * x + k - 1])
                return false;
    return true;
}

static bool same_picture(const struct frame *planar, const struct frame *paired)
{
    bool same = planar->format == FRAME_I420 && paired->format == FRAME_NV12 &&
                planar->width_px == paired->width_px && planar->height_px == paired->height_px &&
                planar->matrix == paired->matrix && planar->full_range == paired->full_range &&
                planar->pts_ns == paired->pts_ns;

    for (int y = 0; same && y < planar->height_px; y++)
        same = memcmp(planar->plane[0] + y * planar->stride_bytes[0],
                      paired->plane[0] + y * paired->stride_bytes[0],
                      (size_t)planar->width_px) == 0;
    for (int y = 0; same && y < (planar->height_px + 1) / 2; y++)
        same = same_row(planar, paired, y);
    return same;
}

static void test_pictures(const char *path)
{
    struct decode_status status;
    int                  same = 0;

    open_pool(2);
    decode_all(path);
    decode_pool_close(&pool);
    filled = 1;
    open_card_pool();
    status = decode_all(path);
    decode_pool_close(&pool);
    if (status.decoder != CAMERA_DECODER_CARD)
        skip_all("the card does not decode: %s", status.decoder_note);
    for (int i = 0; i < counts[0] && i < counts[1]; i++)
        same += same_picture(kept[0][i], kept[1][i]);
    ok(counts[0] == counts[1] && same == counts[0] && same > 0,
       "%d of %d pictures of the card are those of the processor, bit for bit", same, counts[0]);
    is_int(seen.on_card, counts[1], "all of them came in the card's memory");
}

/* ---- to boxes ---- */

static struct detector_session *session;
static struct box               boxes[LIMIT_BOXES], expected[LIMIT_BOXES];
static int                      analysed, agreeing, found;

static int find(struct frame *frame, struct box *to)
{
    struct detector_timing timing;
    struct why             why    = {""};
    int                    count  = 0;
    struct box(*one)[LIMIT_BOXES] = (struct box(*)[LIMIT_BOXES])(void *)to;

    if (detector_session_run(session, &frame, 1, one, &count, &timing, &why) != 0) {
        diag("%s", why.text);
        return -1;
    }
    return count;
}

/* On the decoder's thread: the card's picture where it is, and the processor's of the same number. */
static void analyse(void *arg, struct frame *frame)
{
    int got = find(frame, boxes), wanted;

    (void)arg;
    wanted = analysed < counts[0] ? find(kept[0][analysed], expected) : -1;
    found += got > 0 ? got : 0;
    agreeing += got >= 0 && got == wanted &&
                memcmp(boxes, expected, (size_t)got * sizeof *boxes) == 0;
    analysed++;
    frame_unref(&frame);
}

static void test_boxes(const char *path)
{
    struct detector_settings settings = {.model_path = clip_path("bright.onnx"), .backend = "cuda"};
    struct decode_settings   wanted   = {.arg = &seen, .frame = analyse, .wake = on_wake};
    struct decode_stream    *stream   = open_stream(&seen, 0);
    uint64_t                 copies   = frame_copies(FRAME_COPY_INFERENCE);
    struct detector         *detector;
    struct why               why = {""};

    decode_stream_close(&stream);
    write_model(settings.model_path, false, -8);
    if (detector_open(&detector, &settings, &why) != 0 ||
        detector_session_open(&session, detector, &why) != 0) {
        ok(false, "a detector on the card: %s", why.text);
        return;
    }
    open_card_pool();
    if (decode_stream_open(&stream, pool, &wanted, &why) != 0)
        exit(1);
    decode_stream_play(stream, path, PACE_FASTEST, false);
    wait_for_end(stream, &seen);
    decode_stream_close(&stream);
    decode_pool_close(&pool);
    ok(analysed == counts[0] && agreeing == analysed && found > analysed,
       "%d of %d pictures have the boxes of the processor's, bit for bit; %d boxes", agreeing,
       counts[0], found);
    is_int((long long)(frame_copies(FRAME_COPY_INFERENCE) - copies), 0, "and none was copied");
    detector_session_close(&session);
    detector_close(&detector);
    unlink(settings.model_path);
}

/* Several streams beside each other, and each of them whole. */
static void test_streams(const char *path)
{
    static struct seen    each[STREAMS];
    struct decode_stream *stream[STREAMS];
    int                   whole = 0, on_card = 0;

    open_card_pool();
    for (int i = 0; i < STREAMS; i++) {
        stream[i] = open_stream(&each[i], 0);
        decode_stream_play(stream[i], path, PACE_FASTEST, false);
    }
    for (int i = 0; i < STREAMS; i++) {
        struct decode_status status = wait_for_end(stream[i], &each[i]);

        whole += each[i].count == counts[0] && each[i].luma == each[0].luma &&
                 status.decode_errors == 0;
        on_card += status.decoder == CAMERA_DECODER_CARD;
        decode_stream_close(&stream[i]);
    }
    decode_pool_close(&pool);
    ok(whole == STREAMS && on_card == STREAMS, "%d of %d streams beside each other are whole",
       whole, STREAMS);
}

int main(int argc, char **argv)
{
    struct clip clip = {.encoder   = "libx264",
                        .options   = "preset=fast",
                        .format    = AV_PIX_FMT_YUV420P,
                        .width_px  = 642, /* what is cut off, and no whole blocks */
                        .height_px = 358,
                        .frames    = 150,
                        .fps       = 25,
                        .gop       = 50};
    const char *path = argc > 1 ? argv[1] : clip_path("clip.mkv");
    struct why  why  = {""};
    char        plugin[1200];
    char       *slash = strrchr(argv[0], '/');

    if (getenv("SIGHTLINE_CUDA_PLUGIN") == NULL && slash != NULL) {
        snprintf(plugin, sizeof plugin, "%.*s/../bin/libsightline_cuda.so", (int)(slash - argv[0]),
                 argv[0]);
        setenv("SIGHTLINE_CUDA_PLUGIN", plugin, 1);
    }
    if (!BACKEND_CUDA.available(&why))
        skip_all("%s", why.text);
    if (argc < 2 && !clip_make(path, "matroska", &clip))
        skip_all("no H.264 encoder in this FFmpeg");
    test_pictures(path);
    test_boxes(path);
    test_streams(path);
    for (int i = 0; i < PICTURES_MAX; i++) {
        frame_unref(&kept[0][i]);
        frame_unref(&kept[1][i]);
    }
    if (argc < 2)
        unlink(path);
    rmdir(clip_path(""));
    return done_testing();
}
