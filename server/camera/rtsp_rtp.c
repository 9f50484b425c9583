#include "server/camera/rtsp_rtp.h"

#include <math.h>
#include <string.h>

#include "config/clock.h"

#define NTP_TO_UNIX_S 2208988800 /* from 1900 to 1970 */
#define DROPOUT_MAX   3000       /* a larger jump of the sequence is a restart (RFC 3550, A.1) */
#define MISORDER_MAX  100

enum { RTCP_SENDER = 200, RTCP_RECEIVER = 201, RTCP_DESCRIPTION = 202, RTCP_BYE = 203 };

static uint16_t read16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t read32(const uint8_t *at)
{
    return (uint32_t)read16(at) << 16 | read16(at + 2);
}

static void write32(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 24);
    at[1] = (uint8_t)(value >> 16);
    at[2] = (uint8_t)(value >> 8);
    at[3] = (uint8_t)value;
}

bool rtp_read(struct rtp_header *header, const uint8_t *packet, size_t bytes)
{
    size_t start;

    if (bytes < 12 || packet[0] >> 6 != 2)
        return false;
    start = 12 + 4 * (size_t)(packet[0] & 15);
    if ((packet[0] & 0x10) != 0) {
        if (bytes < start + 4)
            return false;
        start += 4 + 4 * (size_t)read16(packet + start + 2);
    }
    if ((packet[0] & 0x20) != 0) {
        if (packet[bytes - 1] == 0 || packet[bytes - 1] > bytes)
            return false;
        start += packet[bytes - 1];
    }
    if (start >= bytes)
        return false;
    header->payload_type = packet[1] & 0x7f;
    header->marker       = (packet[1] & 0x80) != 0;
    header->sequence     = read16(packet + 2);
    header->timestamp    = read32(packet + 4);
    header->ssrc         = read32(packet + 8);
    return true;
}

/* ---- loss and jitter ---- */

static void restart(struct rtp_receiver *receiver, const struct rtp_header *header)
{
    uint64_t lost = receiver->lost;

    memset(receiver, 0, sizeof *receiver);
    receiver->started = true;
    receiver->lost    = lost;
    receiver->ssrc    = header->ssrc;
    /* One turn ahead, so that a late packet of before does not go below zero. */
    receiver->first = receiver->highest = 0x10000U + header->sequence;
    receiver->received                  = 1;
}

static void add_jitter(struct rtp_receiver *receiver, uint32_t timestamp, uint32_t clock_hz,
                       int64_t now_ns)
{
    uint32_t arrival = (uint32_t)(uint64_t)(now_ns / 1000 * (int64_t)(clock_hz / 1000) / 1000);
    uint32_t transit = arrival - timestamp;
    int32_t  step    = (int32_t)(transit - receiver->transit);

    if (receiver->received > 1)
        receiver->jitter += (fabs((double)step) - receiver->jitter) / 16;
    receiver->transit = transit;
}

unsigned rtp_receiver_add(struct rtp_receiver *receiver, const struct rtp_header *header,
                          uint32_t clock_hz, int64_t now_ns)
{
    uint16_t ahead   = (uint16_t)(header->sequence - (uint16_t)receiver->highest);
    unsigned missing = 0;

    if (!receiver->started || header->ssrc != receiver->ssrc ||
        (ahead >= DROPOUT_MAX && ahead < 0x10000 - MISORDER_MAX)) {
        restart(receiver, header);
        add_jitter(receiver, header->timestamp, clock_hz, now_ns);
        return 0;
    }
    receiver->received++;
    if (ahead > 0 && ahead < DROPOUT_MAX) {
        missing = ahead - 1U;
        receiver->highest += ahead;
        receiver->lost += missing;
    }
    add_jitter(receiver, header->timestamp, clock_hz, now_ns);
    return missing;
}

/* ---- RTCP ---- */

bool rtcp_read(struct rtcp_report *report, const uint8_t *packet, size_t bytes)
{
    memset(report, 0, sizeof *report);
    while (bytes > 0) {
        size_t length;

        if (bytes < 4 || packet[0] >> 6 != 2 || packet[1] < RTCP_SENDER || packet[1] > 207)
            return false;
        length = 4 * ((size_t)read16(packet + 2) + 1);
        if (length > bytes)
            return false;
        if (packet[1] == RTCP_SENDER && length >= 28) {
            report->has_sender = true;
            report->ssrc       = read32(packet + 4);
            report->ntp        = (uint64_t)read32(packet + 8) << 32 | read32(packet + 12);
            report->timestamp  = read32(packet + 16);
        } else if (packet[1] == RTCP_BYE) {
            report->bye = true;
        }
        packet += length;
        bytes -= length;
    }
    return true;
}

size_t rtcp_write(struct rtp_receiver *receiver, uint32_t own_ssrc, int64_t now_ns,
                  uint8_t out[static RTCP_REPORT_BYTES])
{
    static const char name[]       = "sightline";
    uint64_t          expected     = (uint64_t)receiver->highest - receiver->first + 1;
    uint64_t          expected_now = expected - receiver->expected_before;
    uint64_t          received_now = receiver->received - receiver->received_before;
    uint64_t          lost     = expected > receiver->received ? expected - receiver->received : 0;
    uint64_t          fraction = expected_now > received_now && expected_now > 0
                                     ? (expected_now - received_now) * 256 / expected_now
                                     : 0;
    int64_t           delay_ns = now_ns - receiver->report_ns;

    if (!receiver->started)
        return 0;
    receiver->expected_before = expected;
    receiver->received_before = receiver->received;
    memset(out, 0, RTCP_REPORT_BYTES);
    out[0] = 0x81; /* version 2, one report */
    out[1] = RTCP_RECEIVER;
    out[3] = 7;
    write32(out + 4, own_ssrc);
    write32(out + 8, receiver->ssrc);
    write32(out + 12, (uint32_t)(lost > 0x7fffff ? 0x7fffff : lost));
    out[12] = (uint8_t)(fraction > 255 ? 255 : fraction);
    write32(out + 16, receiver->highest - 0x10000U);
    write32(out + 20, receiver->jitter < 4e9 ? (uint32_t)receiver->jitter : UINT32_MAX);
    if (receiver->report_middle_ntp != 0 && delay_ns >= 0 && delay_ns < 60000 * NS_PER_S) {
        write32(out + 24, receiver->report_middle_ntp);
        write32(out + 28, (uint32_t)(delay_ns / 1000 * 65536 / 1000000));
    }
    out[32] = 0x81;
    out[33] = RTCP_DESCRIPTION;
    out[35] = 4;
    write32(out + 36, own_ssrc);
    out[40] = 1; /* the name of the participant (CNAME) */
    out[41] = sizeof name - 1;
    memcpy(out + 42, name, sizeof name - 1);
    return RTCP_REPORT_BYTES;
}

/* ---- time ---- */

void rtp_clock_init(struct rtp_clock *clock, uint32_t clock_hz)
{
    memset(clock, 0, sizeof *clock);
    clock->clock_hz = clock_hz;
}

static int64_t ns_to_units(const struct rtp_clock *clock, int64_t ns)
{
    return ns / 1000 * (int64_t)clock->clock_hz / 1000000;
}

static int64_t units_to_ns(const struct rtp_clock *clock, int64_t units)
{
    int64_t whole = units / (int64_t)clock->clock_hz, rest = units % (int64_t)clock->clock_hz;

    return whole * NS_PER_S + rest * NS_PER_S / (int64_t)clock->clock_hz;
}

int64_t rtp_clock_pts(struct rtp_clock *clock, uint32_t timestamp, int64_t now_ns)
{
    int32_t step        = (int32_t)(timestamp - clock->last);
    int64_t elapsed     = ns_to_units(clock, now_ns - clock->last_ns);
    int64_t unexplained = step - elapsed;

    if (!clock->started) {
        clock->started = true;
    } else if (unexplained > 10 * (int64_t)clock->clock_hz ||
               unexplained < -10 * (int64_t)clock->clock_hz) {
        clock->pts += elapsed > 0 ? elapsed : 1;
        clock->has_report = false;
    } else {
        clock->pts += step;
    }
    clock->last    = timestamp;
    clock->last_ns = now_ns;
    return clock->pts;
}

void rtp_clock_report(struct rtp_clock *clock, const struct rtcp_report *report, int64_t wall_ns)
{
    int64_t seconds  = (int64_t)(report->ntp >> 32) - NTP_TO_UNIX_S;
    int64_t fraction = (int64_t)((report->ntp & 0xffffffff) * (uint64_t)NS_PER_S >> 32);
    int64_t said_ns  = seconds * NS_PER_S + fraction;

    clock->has_report = false;
    if (!clock->started || said_ns < wall_ns - RTP_CLOCK_TRUST_NS ||
        said_ns > wall_ns + RTP_CLOCK_TRUST_NS)
        return;
    clock->has_report     = true;
    clock->report_pts     = clock->pts + (int32_t)(report->timestamp - clock->last);
    clock->report_wall_ns = said_ns;
}

int64_t rtp_clock_wall(struct rtp_clock *clock, int64_t pts, int64_t arrival_wall_ns)
{
    int64_t wall_ns = arrival_wall_ns;

    if (clock->has_report) {
        int64_t said_ns = clock->report_wall_ns + units_to_ns(clock, pts - clock->report_pts);

        if (said_ns > arrival_wall_ns - RTP_CLOCK_TRUST_NS &&
            said_ns < arrival_wall_ns + RTP_CLOCK_TRUST_NS)
            wall_ns = said_ns;
    }
    if (wall_ns < clock->wall_ns && clock->wall_ns - wall_ns < RTP_CLOCK_TRUST_NS)
        wall_ns = clock->wall_ns;
    clock->wall_ns = wall_ns;
    return wall_ns;
}
