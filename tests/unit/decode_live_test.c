// links: camera
// Packets of a live camera: begun at a key frame, dropped by a policy when nobody has time for
// them. The last packet of each case is a key frame: that one comes out however busy the machine is,
// which is what the test waits for.
#include "tests/decode_seen.h"
#include "tests/tap.h"

#include "server/camera/decode_queue.h"
#include "server/camera/source_file.h"

#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

static struct seen seen; /* too large for the stack of a sanitizer */

/* ---- live packets ---- */

#define MAX_PACKETS 512

struct packets {
    AVCodecParameters *parameters;
    AVRational         time_base;
    AVPacket          *packet[MAX_PACKETS];
    int                count;
};

static bool load_packets(struct packets *packets, const struct clip *clip)
{
    static const atomic_bool never = false;
    struct source_file      *file;

    memset(packets, 0, sizeof *packets);
    if (!clip_make(clip_path("live.mkv"), "matroska", clip) ||
        source_file_open(&file, NULL, clip_path("live.mkv"), &never, NULL) != 0)
        return false;
    packets->parameters = avcodec_parameters_alloc();
    avcodec_parameters_copy(packets->parameters, source_file_parameters(file));
    packets->time_base = source_file_time_base(file);
    for (; packets->count < MAX_PACKETS; packets->count++) {
        packets->packet[packets->count] = av_packet_alloc();
        if (source_file_read(file, packets->packet[packets->count], NULL) != 0)
            break;
    }
    source_file_close(&file);
    unlink(clip_path("live.mkv"));
    return true;
}

static void free_packets(struct packets *packets)
{
    for (int i = 0; i < MAX_PACKETS; i++)
        av_packet_free(&packets->packet[i]);
    avcodec_parameters_free(&packets->parameters);
}

static void send_packet(struct decode_stream *stream, const struct packets *packets, int index)
{
    AVPacket *copy = av_packet_clone(packets->packet[index]);

    decode_stream_packet(stream, copy, 1000 + index);
    av_packet_free(&copy);
}

static void test_queue(const struct packets *packets)
{
    struct decode_queue queue  = {0};
    struct decode_entry entry  = {.packet = av_packet_alloc()};
    AVPacket           *packet = av_packet_alloc();
    int                 taken  = 0;

    for (int i = 0; i < DECODE_QUEUE_PACKETS; i++) {
        av_packet_ref(packet, packets->packet[1]);
        decode_queue_put(&queue, packet, 0, 0);
    }
    is_int(queue.packets, DECODE_QUEUE_PACKETS, "the queue takes %d packets", DECODE_QUEUE_PACKETS);
    av_packet_ref(packet, packets->packet[1]);
    decode_queue_put(&queue, packet, 0, 0);
    ok(queue.dropped == 1 && queue.packets == DECODE_QUEUE_PACKETS && packet->data == NULL,
       "one more is dropped and counted");
    decode_queue_take(&queue, &entry);
    av_packet_ref(packet, packets->packet[1]);
    decode_queue_put(&queue, packet, 0, 0);
    is_int(queue.dropped, 2, "and the next ones as well, though there is room: they refer to it");
    av_packet_ref(packet, packets->packet[0]);
    decode_queue_put(&queue, packet, 0, 0);
    is_int(queue.packets, 1, "a key frame throws out what waited");
    is_int(queue.dropped, 2 + DECODE_QUEUE_PACKETS - 1, "all of it counted");
    ok(decode_queue_take(&queue, &entry) && entry.gap, "the key frame says that there is a gap");
    ok(!decode_queue_take(&queue, &entry), "then the queue is empty");

    for (int i = 0; i < 40; i++) {
        av_new_packet(packet, 256 << 10);
        memset(packet->data, 0, (size_t)packet->size);
        decode_queue_put(&queue, packet, 0, 0);
    }
    is_int(queue.bytes, DECODE_QUEUE_BYTES, "the bound in bytes holds");
    while (decode_queue_take(&queue, &entry))
        taken++;
    is_int(taken, 16, "and what is in comes out");
    decode_queue_free(&queue);
    av_packet_free(&entry.packet);
    av_packet_free(&packet);
}

static void test_live(const struct packets *packets)
{
    struct decode_stream *stream = open_stream(&seen, 0);
    struct decode_status  status;
    AVRational            fps = {25, 1};
    int                   next;

    decode_stream_begin(stream);
    decode_stream_parameters(stream, packets->parameters, packets->time_base, fps);
    for (int i = 3; i <= 30; i++) /* from the middle of a group on */
        send_packet(stream, packets, i);
    wait_for_drawn(&seen, 0, 30);
    decode_stream_status(stream, &status);
    is_int(seen.drawn[0], 10, "decoding begins at the first key frame");
    is_int(status.packets_dropped, 7, "what came before is dropped and counted");
    is_int(status.own_video, CAMERA_VIDEO_H264, "its video is its own H.264");
    if (all_decoded(&status)) {
        is_int(seen.numbers[seen.count - 1], 20, "numbers count the decoded");
        is_int(status.pictures, 21, "the loop can see that pictures came");
    } else {
        skip_behind("numbers of pictures");
    }

    next = seen.count;
    decode_stream_begin(stream);
    decode_stream_parameters(stream, packets->parameters, packets->time_base, fps);
    for (int i = 0; i <= 10; i++)
        send_packet(stream, packets, i);
    wait_for_drawn(&seen, next, 10);
    decode_stream_status(stream, &status);
    ok(seen.generations[next] > seen.generations[next - 1],
       "another connection is another generation");
    if (all_decoded(&status))
        is_int(seen.numbers[seen.count - 1], 10, "numbered from 0");
    else
        skip_behind("numbers of another generation");
    ok(seen.pts_ns[next] > seen.pts_ns[next - 1], "its times go on");
    decode_stream_close(&stream);
}

static void test_overflow(const struct packets *packets)
{
    struct decode_stream *stream = open_stream(&seen, 0);
    struct decode_status  status;

    decode_stream_begin(stream);
    decode_stream_parameters(stream, packets->parameters, packets->time_base, (AVRational){25, 1});
    seen.blocked = true; /* stands for a worker that has no time */
    for (int i = 0; i <= 250; i++)
        send_packet(stream, packets, i);
    decode_stream_status(stream, &status);
    ok(status.packets_dropped >= 251 - DECODE_QUEUE_PACKETS - 10, "a full queue drops, here %d",
       (int)status.packets_dropped);
    pthread_mutex_lock(&seen.lock);
    seen.blocked = false;
    pthread_cond_broadcast(&seen.changed);
    pthread_mutex_unlock(&seen.lock);
    wait_for_drawn(&seen, 0, 250);
    decode_stream_status(stream, &status);
    if (all_decoded(&status))
        is_int(status.frames_decoded + status.packets_dropped, 251,
               "every packet is decoded or counted as dropped");
    else
        skip_behind("the sum of packets");
    is_int(status.decode_errors, 0, "and nothing is decoded without what it refers to");
    decode_stream_close(&stream);
}

/* A worker that comes too late for a live picture gives out the newest, not all of them. */
static void test_late(const struct packets *packets)
{
    struct decode_stream *stream = open_stream(&seen, 0);
    struct decode_status  status;
    struct timespec       until;
    int64_t               may_be;

    decode_stream_begin(stream);
    decode_stream_parameters(stream, packets->parameters, packets->time_base, (AVRational){25, 1});
    seen.blocked = true;
    for (int i = 0; i <= 30; i++)
        send_packet(stream, packets, i);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 1;
    pthread_mutex_lock(&seen.lock);
    while (pthread_cond_timedwait(&seen.changed, &seen.lock, &until) == 0)
        ; /* time itself is what the test needs */
    seen.blocked = false;
    pthread_cond_broadcast(&seen.changed);
    pthread_mutex_unlock(&seen.lock);
    wait_for_drawn(&seen, 0, 30);
    /* One in 0.1 s of catching up, besides the first that waited, the next, and the last. */
    may_be = 3 + (seen.seen_ns[seen.count - 1] - seen.seen_ns[0]) / (NS_PER_S / 10);
    ok(seen.count <= may_be, "a second behind: %d of 31 pictures, the last one among them",
       seen.count);
    decode_stream_status(stream, &status);
    if (all_decoded(&status))
        is_int(status.frames_decoded, 31, "all are decoded");
    else
        skip_behind("all decoded");
    is_int(status.frames_skipped + status.frames_analysed, (int64_t)status.frames_decoded,
           "and each is counted");
    decode_stream_close(&stream);
}

int main(void)
{
    static const struct clip LIVE = {
        "libx264", "preset=ultrafast:tune=zerolatency", AV_PIX_FMT_YUV420P, 192, 128, 256, 25, 10,
        0};
    static struct packets packets;

    open_pool(2);
    if (load_packets(&packets, &LIVE)) {
        test_queue(&packets);
        test_live(&packets);
        test_overflow(&packets);
        test_late(&packets);
        free_packets(&packets);
    } else {
        skip_one("no H.264 encoder");
    }
    return close_pool();
}
