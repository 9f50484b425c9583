// links: camera
// RTP packets in any order: in order again, doubled ones once, gaps given up in time, restarts, and
// every permutation that fits the window.
#include "tests/tap.h"

#include "config/clock.h"
#include "server/camera/rtsp_reorder.h"

#define SEEN_MAX 5000

static struct {
    uint16_t sequence[SEEN_MAX];
    int      count;
} seen;

static void on_packet(void *arg, const uint8_t *packet, size_t bytes)
{
    (void)arg;
    if (bytes >= 4 && seen.count < SEEN_MAX)
        seen.sequence[seen.count++] = (uint16_t)(packet[2] << 8 | packet[3]);
}

static void add(struct rtsp_reorder *reorder, unsigned sequence, unsigned ssrc, int64_t now_ns)
{
    const uint8_t packet[14] = {
        0x80, 96, (uint8_t)(sequence >> 8), (uint8_t)sequence, 0, 0, 0, 0, 0, 0, 0, (uint8_t)ssrc,
        65,   1};

    rtsp_reorder_add(reorder, packet, sizeof packet, now_ns);
}

static bool in_order(unsigned first, int count)
{
    if (seen.count != count)
        return false;
    for (int i = 0; i < count; i++) {
        if (seen.sequence[i] != (uint16_t)(first + (unsigned)i))
            return false;
    }
    return true;
}

static struct rtsp_reorder *fresh(void)
{
    struct rtsp_reorder *reorder;

    seen.count = 0;
    if (rtsp_reorder_open(&reorder, on_packet, NULL) != 0)
        exit(1);
    return reorder;
}

static struct rtsp_reorder_counters counters_of(const struct rtsp_reorder *reorder)
{
    struct rtsp_reorder_counters counters;

    rtsp_reorder_counters(reorder, &counters);
    return counters;
}

static void test_orders(void)
{
    static const int orders[][6] = {{0, 1, 2, 3, 4, 5}, {0, 2, 1, 3, 4, 5}, {0, 5, 4, 3, 2, 1},
                                    {0, 3, 1, 5, 2, 4}, {0, 1, 1, 2, 2, 3}, {0, 4, 4, 1, 2, 3}};
    static const int wanted[]    = {6, 6, 6, 6, 4, 5};

    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
        struct rtsp_reorder *reorder = fresh();

        /* The numbers wrap in the middle. */
        for (int j = 0; j < 6; j++)
            add(reorder, 65533U + (unsigned)orders[i][j], 1, 0);
        ok(in_order(65533, wanted[i]), "order %zu comes out in order, each once", i);
        rtsp_reorder_close(&reorder);
    }
}

static void test_gaps(void)
{
    struct rtsp_reorder *reorder = fresh();

    add(reorder, 1, 1, 0);
    add(reorder, 3, 1, 10 * NS_PER_MS);
    is_int(seen.count, 1, "behind a gap a packet waits");
    is_int(rtsp_reorder_tick(reorder, 10 * NS_PER_MS), RTSP_REORDER_NS, "for the whole time");
    is_int(rtsp_reorder_tick(reorder, 9 * NS_PER_MS + RTSP_REORDER_NS), NS_PER_MS, "and no longer");
    is_int(rtsp_reorder_tick(reorder, 10 * NS_PER_MS + RTSP_REORDER_NS), -1,
           "then the gap is over");
    ok(seen.count == 2 && seen.sequence[1] == 3, "and it passes");
    add(reorder, 2, 1, 11 * NS_PER_MS + RTSP_REORDER_NS);
    is_int(seen.count, 2, "what comes then is late");
    is_int((int)counters_of(reorder).late, 1, "and counted");
    add(reorder, 2000, 1, 0);
    ok(seen.count == 3 && seen.sequence[2] == 2000, "a long gap with nothing waiting ends at once");
    rtsp_reorder_close(&reorder);

    reorder = fresh();
    add(reorder, 0, 1, 0);
    for (unsigned i = 2; i < 2 + RTSP_REORDER_PACKETS; i++)
        add(reorder, i, 1, 0);
    is_int(seen.count, RTSP_REORDER_PACKETS + 1, "a full window gives the gap up");
    rtsp_reorder_close(&reorder);
}

static void test_restarts(void)
{
    struct rtsp_reorder *reorder = fresh();

    add(reorder, 10, 1, 0);
    add(reorder, 12, 1, 0);
    add(reorder, 500, 2, 0);
    ok(seen.count == 3 && seen.sequence[1] == 12 && seen.sequence[2] == 500,
       "another sender: what waited passes, and its own begin");
    add(reorder, 30000, 2, 0);
    ok(seen.count == 4 && seen.sequence[3] == 30000, "a jump is a restart");
    rtsp_reorder_add(reorder, (const uint8_t *)"junk", 4, 0);
    is_int(seen.count, 5, "what is no RTP passes on, to be counted there");
    add(reorder, 30002, 2, 0);
    rtsp_reorder_close(&reorder);
    ok(reorder == NULL, "closes with packets waiting");
}

static uint32_t seed = 12345;
static uint32_t next_random(uint32_t below)
{
    seed = seed * 1664525U + 1013904223U;
    return (seed >> 8) % below;
}

/* Loss, doubling and disorder within the window: what comes out only grows, and nothing comes twice. */
static void test_property(void)
{
    int wrong = 0, missing = 0;

    for (int round = 0; round < 200; round++) {
        struct rtsp_reorder *reorder = fresh();
        unsigned             sent[1200];
        int                  count = 0;

        for (unsigned i = 0; i < 1000; i++) {
            if (i > 0 && next_random(10) == 0)
                continue;
            sent[count++] = i;
            if (next_random(20) == 0)
                sent[count++] = i;
        }
        for (int i = 1; i + 20 < count; i++) {
            int      other = i + (int)next_random(20);
            unsigned kept  = sent[i];

            sent[i]     = sent[other];
            sent[other] = kept;
        }
        for (int i = 0; i < count; i++)
            add(reorder, 60000U + sent[i], 9, i * NS_PER_MS / 4);
        rtsp_reorder_tick(reorder, 10 * NS_PER_S);
        for (int i = 1; i < seen.count; i++)
            wrong += (uint16_t)(seen.sequence[i] - seen.sequence[i - 1]) - 1U >= 0x7fffU;
        missing += seen.count + (int)counters_of(reorder).late +
                       (int)counters_of(reorder).duplicates !=
                   count;
        rtsp_reorder_close(&reorder);
    }
    is_int(wrong, 0, "200,000 packets with loss and disorder only go forward");
    is_int(missing, 0, "and each is passed, doubled or late");
}

int main(void)
{
    test_orders();
    test_gaps();
    test_restarts();
    test_property();
    return done_testing();
}
