// links: camera
// A live stream that changes on its way: another picture size, codec or rate, times that are missing, that jump and
// that turn over, pictures out of order. Decoded in threads, then in processes.
#include "tests/decode_seen.h"
#include "tests/tap.h"

#include "server/camera/source_file.h"

#include <stdatomic.h>

#define PACKETS   60
#define STREAM_HZ 90000
#define STEP      (STREAM_HZ / 25)

static struct seen seen; /* too large for the stack of a sanitizer */

struct packets {
    AVCodecParameters *parameters;
    AVRational         time_base;
    AVPacket          *packet[PACKETS];
    int                count;
};

/* With parameter sets before each key frame, as cameras send them. */
static bool load_packets(struct packets *packets, const struct clip *clip)
{
    static const atomic_bool never = false;
    struct source_file      *file;

    memset(packets, 0, sizeof *packets);
    if (!clip_make(clip_path("change.ts"), "mpegts", clip) ||
        source_file_open(&file, NULL, clip_path("change.ts"), &never, NULL) != 0)
        return false;
    packets->parameters = avcodec_parameters_alloc();
    avcodec_parameters_copy(packets->parameters, source_file_parameters(file));
    packets->time_base = source_file_time_base(file);
    for (; packets->count < PACKETS; packets->count++) {
        packets->packet[packets->count] = av_packet_alloc();
        if (source_file_read(file, packets->packet[packets->count], NULL) != 0)
            break;
    }
    source_file_close(&file);
    unlink(clip_path("change.ts"));
    return packets->count > 0;
}

static void free_packets(struct packets *packets)
{
    for (int i = 0; i < PACKETS; i++)
        av_packet_free(&packets->packet[i]);
    avcodec_parameters_free(&packets->parameters);
}

/* Its times moved so that the first of the clip would be at `first`. */
static void send_packet(struct decode_stream *stream, const struct packets *packets, int index,
                        int64_t first)
{
    AVPacket *copy    = av_packet_clone(packets->packet[index]);
    int64_t   shifted = first - packets->packet[0]->dts;

    copy->pts = first == AV_NOPTS_VALUE ? AV_NOPTS_VALUE : copy->pts + shifted;
    copy->dts = first == AV_NOPTS_VALUE ? AV_NOPTS_VALUE : copy->dts + shifted;
    decode_stream_packet(stream, copy, 1000 + index);
    av_packet_free(&copy);
}

static struct decode_stream *begin(const struct packets *packets)
{
    struct decode_stream *stream = open_stream(&seen, 0);

    decode_stream_begin(stream);
    decode_stream_parameters(stream, packets->parameters, packets->time_base, (AVRational){25, 1});
    return stream;
}

/* The longest and the shortest time from one picture to the next, from the from-th on, in ms. */
static void steps(int from, int *shortest_ms, int *longest_ms)
{
    *shortest_ms = INT32_MAX;
    *longest_ms  = INT32_MIN;
    for (int i = from + 1; i < seen.count; i++) {
        int step_ms = (int)((seen.pts_ns[i] - seen.pts_ns[i - 1]) / NS_PER_MS);

        if (step_ms < *shortest_ms)
            *shortest_ms = step_ms;
        if (step_ms > *longest_ms)
            *longest_ms = step_ms;
    }
}

static bool time_grows(void)
{
    for (int i = 1; i < seen.count; i++) {
        if (seen.pts_ns[i] <= seen.pts_ns[i - 1])
            return false;
    }
    return true;
}

/* Nothing but the parameter sets in the stream says so, as with a camera whose settings somebody changes. */
static void test_size(const struct packets *small, const struct packets *large)
{
    struct decode_stream *stream = begin(small);
    struct decode_status  status;
    int                   before;

    for (int i = 0; i < 20; i++)
        send_packet(stream, small, i, 0);
    wait_for_drawn(&seen, 0, 19);
    is_int(seen.width_px, 192, "a small picture");
    before = seen.count;
    for (int i = 0; i < 20; i++)
        send_packet(stream, large, i, (int64_t)20 * STEP);
    wait_for_drawn(&seen, before, 19);
    decode_stream_status(stream, &status);
    ok(seen.width_px == 320 && seen.height_px == 240 && status.width_px == 320 &&
           status.height_px == 240,
       "a larger one in the middle of the stream: it goes on");
    is_int(status.decode_errors, 0, "without an error");
    if (all_decoded(&status))
        is_int(seen.count, 40, "and without a loss");
    else
        skip_behind("every picture of both sizes");
    ok(seen.generations[before] > seen.generations[before - 1] && seen.numbers[before] == 0,
       "it is told apart from the one before");
    ok(time_grows(), "and time goes on");
    before = seen.count;
    for (int i = 0; i < 20; i++)
        send_packet(stream, small, i, (int64_t)40 * STEP);
    wait_for_drawn(&seen, before, 19);
    is_int(seen.width_px, 192, "and back");
    decode_stream_close(&stream);
}

static void test_codec(const struct packets *first, const struct packets *other, const char *name)
{
    struct decode_stream *stream = begin(first);
    struct decode_status  status;
    int                   before;

    for (int i = 0; i < 20; i++)
        send_packet(stream, first, i, 0);
    wait_for_drawn(&seen, 0, 19);
    before = seen.count;
    decode_stream_parameters(stream, other->parameters, other->time_base, (AVRational){25, 1});
    for (int i = 0; i < 20; i++)
        send_packet(stream, other, i, (int64_t)20 * STEP);
    wait_for_drawn(&seen, before, 19);
    decode_stream_status(stream, &status);
    is_text(status.codec, name, "another codec in the middle of the stream: it goes on");
    is_int(status.decode_errors, 0, "without an error");
    ok(time_grows() && seen.generations[before] > seen.generations[before - 1],
       "time goes on, and it is told apart");
    before = seen.count;
    decode_stream_parameters(stream, first->parameters, first->time_base, (AVRational){25, 1});
    for (int i = 0; i < 20; i++)
        send_packet(stream, first, i, (int64_t)40 * STEP);
    wait_for_drawn(&seen, before, 19);
    decode_stream_status(stream, &status);
    is_text(status.codec, "h264", "and back");
    decode_stream_close(&stream);
}

static void test_rate(const struct packets *packets)
{
    struct decode_stream *stream = begin(packets);
    int                   before, shortest_ms, longest_ms;

    for (int i = 0; i < 20; i++)
        send_packet(stream, packets, i, 0);
    wait_for_drawn(&seen, 0, 19);
    before = seen.count;
    for (int i = 20; i < 40; i++) /* its times twice as far apart */
        send_packet(stream, packets, i, (int64_t)(i - 19) * STEP);
    wait_for_drawn(&seen, before, 39);
    steps(before, &shortest_ms, &longest_ms);
    if (seen.count == 40)
        ok(shortest_ms == 80 && longest_ms == 80, "half the rate: times as the stream has them");
    else
        skip_behind("times of each picture");
    decode_stream_close(&stream);
}

/* From `first` on, and in the middle from `then` on. */
static void check_times(const struct packets *packets, int64_t first, int64_t then,
                        const char *what)
{
    struct decode_stream *stream = begin(packets);
    struct decode_status  status;
    int                   shortest_ms, longest_ms;

    for (int i = 0; i < 40; i++)
        send_packet(stream, packets, i, i < 20 ? first : then);
    wait_for_drawn(&seen, 0, 39);
    decode_stream_status(stream, &status);
    steps(0, &shortest_ms, &longest_ms);
    if (all_decoded(&status) && seen.count == 40)
        ok(shortest_ms >= 0 && longest_ms <= 80 && time_grows(),
           "%s: time goes on, %d to %d ms from picture to picture", what, shortest_ms, longest_ms);
    else
        skip_behind(what);
    is_int(status.decode_errors, 0, "%s: without an error", what);
    decode_stream_close(&stream);
}

static void test_times(const struct packets *packets)
{
    const int64_t turn = INT64_C(1) << 33;

    check_times(packets, AV_NOPTS_VALUE, AV_NOPTS_VALUE, "no times at all");
    check_times(packets, 0, AV_NOPTS_VALUE, "no times from the middle on");
    check_times(packets, AV_NOPTS_VALUE, 0, "no times at first");
    check_times(packets, 0, INT64_C(3600) * STREAM_HZ, "a clock that is set an hour ahead");
    check_times(packets, INT64_C(3600) * STREAM_HZ, 0, "a clock that is set an hour back");
    check_times(packets, turn - 20 * STEP, -20 * (int64_t)STEP,
                "a clock of 33 bits that turns over");
    check_times(packets, INT64_MAX / 2, INT64_MIN / 2, "absurd times");
}

static void test_order(const struct packets *packets)
{
    struct decode_stream *stream = begin(packets);
    struct decode_status  status;
    bool                  in_order = true;

    for (int i = 0; i < packets->count; i++)
        send_packet(stream, packets, i, 0);
    wait_for_drawn(&seen, 0, 39); /* what comes later stays in the decoder until more is sent */
    decode_stream_status(stream, &status);
    for (int i = 1; i < seen.count; i++)
        in_order = in_order && seen.drawn[i] > seen.drawn[i - 1];
    ok(in_order && time_grows() && status.decode_errors == 0,
       "B pictures come out in the order in which they are seen");
    decode_stream_close(&stream);
}

static void test_all(void)
{
    static const struct clip SMALL = {
        "libx264", "preset=ultrafast:tune=zerolatency", AV_PIX_FMT_YUV420P, 192, 128, 40, 25, 10,
        0};
    static const struct clip LARGE = {
        "libx264", "preset=ultrafast:tune=zerolatency", AV_PIX_FMT_YUV420P, 320, 240, 40, 25, 10,
        0};
    static const struct clip ORDER = {"libx264",
                                      "preset=ultrafast:x264-params=bframes=3\\:scenecut=0",
                                      AV_PIX_FMT_YUV420P,
                                      192,
                                      128,
                                      50,
                                      25,
                                      25,
                                      0};
    static const struct clip OTHER = {"mpeg4", NULL, AV_PIX_FMT_YUV420P, 256, 144, 40, 25, 10, 0};
    static struct packets    small, large, order, other;

    if (!load_packets(&small, &SMALL) || !load_packets(&large, &LARGE) ||
        !load_packets(&order, &ORDER) || !load_packets(&other, &OTHER)) {
        skip_one("no H.264 encoder");
        return;
    }
    test_size(&small, &large);
    test_codec(&small, &other, "mpeg4");
    test_rate(&small);
    test_times(&small);
    test_order(&order);
    free_packets(&small);
    free_packets(&large);
    free_packets(&order);
    free_packets(&other);
}

int main(void)
{
    open_pool(2);
    test_all();
    decode_pool_close(&pool);
    setenv("SIGHTLINE_TEST_PROCESSES", "1", 1);
    open_pool(2);
    test_all();
    return close_pool();
}
