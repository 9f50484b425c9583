/* links: storage */
#include "tests/tap.h"

#include "config/err.h"
#include "config/json_writer.h"
#include "storage/event.h"
#include "storage/varint.h"
#include "tests/storage_kit.h"

static void names(void)
{
    is_text(event_kind_name(EVENT_LINE_CROSSING), "line_crossing", "kind of a line");
    is_text(event_kind_name(EVENT_ZONE_ENTRY), "zone_entry", "kind of an entry");
    is_text(event_kind_name(EVENT_ZONE_EXIT), "zone_exit", "kind of an exit");
    is_text(event_kind_name((enum event_kind)9), "unknown", "kind that is none");
    is_text(event_direction_name(DIRECTION_NONE), "none", "no direction");
    is_text(event_direction_name(DIRECTION_A_TO_B), "a_to_b", "a to b");
    is_text(event_direction_name(DIRECTION_B_TO_A), "b_to_a", "b to a");
    is_text(event_direction_name((enum event_direction)7), "unknown", "direction that is none");
}

static void numbers(void)
{
    const int64_t values[] = {0,   1,     -1,    63,        -64,       64,       127,
                              128, 16383, 16384, INT32_MIN, INT64_MAX, INT64_MIN};
    int           wrong    = 0;

    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        uint8_t             bytes[2 * VARINT_MAX_BYTES];
        struct bytes_writer out = {.at = bytes, .end = bytes + sizeof bytes};
        struct bytes_reader in  = {.at = bytes};

        signed_put(&out, values[i]);
        varint_put(&out, (uint64_t)values[i]);
        in.end = out.at;
        wrong += signed_take(&in) != values[i] || varint_take(&in) != (uint64_t)values[i];
        wrong += out.failed || in.failed || in.at != in.end;
        varint_take(&in);
        wrong += !in.failed;
    }
    is_int(wrong, 0, "numbers of all sizes come back, and reading past the end fails");
}

static void too_long_number(void)
{
    uint8_t             bytes[11] = {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02, 0};
    struct bytes_reader in        = {.at = bytes, .end = bytes + sizeof bytes};

    varint_take(&in);
    ok(in.failed, "a number of more than 64 bits is refused");
}

static void round_trips(void)
{
    uint64_t state    = 7;
    int      unequal  = 0;
    int      unstable = 0;
    size_t   bytes    = 0;

    for (int i = 0; i < 20000; i++) {
        uint8_t      first[EVENT_ENCODED_MAX_BYTES], second[EVENT_ENCODED_MAX_BYTES];
        struct event event = kit_event(&state, 100, (int64_t)(kit_random(&state) >> 2));
        struct event back;
        size_t       count = event_encode(&event, first);

        if (event_decode(&back, first, count) != 0 || !kit_event_equal(&event, &back))
            unequal++;
        else if (event_encode(&back, second) != count || memcmp(first, second, count) != 0)
            unstable++;
        bytes += count;
    }
    is_int(unequal, 0, "20000 random events come back equal");
    is_int(unstable, 0, "encoding what was decoded gives the same bytes");
    diag("%.1f bytes for an event with its names", (double)bytes / 20000);
}

static struct event extreme(void)
{
    struct event event = {.kind        = EVENT_ZONE_EXIT,
                          .time_ns     = INT64_MAX,
                          .confidence  = NAN,
                          .class_share = INFINITY,
                          .track       = UINT64_MAX,
                          .frame       = UINT64_MAX,
                          .pts_ns      = INT64_MIN,
                          .dwell_ms    = UINT32_MAX,
                          .rule        = UINT32_MAX,
                          .path_count  = LIMIT_EVENT_PATH_POINTS};

    memset(event.camera, 'c', LIMIT_NAME_BYTES - 1);
    memset(event.counter, 'z', LIMIT_NAME_BYTES - 1);
    for (int i = 0; i < event.path_count; i++) {
        event.path[i].x = i % 2 == 0 ? -1e30F : 1e30F;
        event.path[i].y = i % 2 == 0 ? NAN : -INFINITY;
    }
    return event;
}

static void extremes(void)
{
    uint8_t      bytes[EVENT_ENCODED_MAX_BYTES];
    struct event event = extreme(), back;
    size_t       count = event_encode(&event, bytes);

    ok(count <= EVENT_ENCODED_MAX_BYTES, "the largest event takes %zu bytes", count);
    is_int(event_decode(&back, bytes, count), 0, "and is read back");
    ok(back.time_ns == event.time_ns && back.track == event.track && back.pts_ns == event.pts_ns &&
           back.dwell_ms == event.dwell_ms,
       "with its exact numbers");
    ok(back.confidence == 0 && back.class_share == 1 && back.path[0].x == -8 &&
           back.path[1].x == 8 && back.path[0].y == 0,
       "and its shares and points where numbers can be");
    for (size_t i = 0; i < count; i++) {
        if (event_decode(&back, bytes, i) != ERR_CORRUPT) {
            ok(false, "cut to %zu bytes it is refused", i);
            return;
        }
    }
    ok(true, "cut anywhere it is refused");
}

static void validity(void)
{
    uint64_t     state = 3;
    struct event good  = kit_event(&state, 1, 1), event;

    good.kind      = EVENT_LINE_CROSSING;
    good.direction = DIRECTION_A_TO_B;
    ok(event_valid(&good), "a crossing is valid");
    event = good, event.direction = DIRECTION_NONE;
    ok(!event_valid(&event), "not without a direction");
    event = good, event.kind = EVENT_ZONE_ENTRY;
    ok(!event_valid(&event), "an entry has no direction");
    event = good, event.kind = (enum event_kind)0;
    ok(!event_valid(&event), "no kind");
    event = good, event.object_class = OBJECT_CLASSES;
    ok(!event_valid(&event), "no such class");
    event = good, event.time_ns = -1;
    ok(!event_valid(&event), "before 1970");
    event = good, event.camera[0] = '\0';
    ok(!event_valid(&event), "no camera");
    event = good, memset(event.counter, 'x', sizeof event.counter);
    ok(!event_valid(&event), "a name without an end");
    event = good, event.path_count = LIMIT_EVENT_PATH_POINTS + 1;
    ok(!event_valid(&event), "too long a path");
}

static void random_bytes(void)
{
    uint64_t     state = 11;
    int          read  = 0;
    struct event event;

    /* Bytes that nearly are an event: one changed. The fuzzer does this at length. */
    for (int i = 0; i < 200000; i++) {
        uint8_t      bytes[EVENT_ENCODED_MAX_BYTES];
        struct event source = kit_event(&state, 3, (int64_t)(kit_random(&state) >> 2));
        size_t       count  = event_encode(&source, bytes);

        bytes[kit_below(&state, count)] = (uint8_t)kit_random(&state);
        if (event_decode(&event, bytes, count) == 0) {
            read++;
            if (!event_valid(&event)) {
                ok(false, "what is read is valid");
                return;
            }
        }
    }
    ok(read > 0 && read < 200000, "damaged events are refused or valid (%d of 200000 valid)", read);
}

static void json(void)
{
    struct json_writer writer;
    struct event       event = {.seq          = 1017,
                                .time_ns      = INT64_C(1764000000123) * NS_PER_MS,
                                .kind         = EVENT_LINE_CROSSING,
                                .direction    = DIRECTION_A_TO_B,
                                .camera       = "gate",
                                .counter      = "a \"line\"",
                                .object_class = OBJECT_CAR,
                                .confidence   = 0.83F,
                                .class_share  = 0.97F,
                                .track        = 12,
                                .frame        = 815,
                                .pts_ns       = 32600 * NS_PER_MS,
                                .rule         = 0x0f2c41aa,
                                .path_count   = 1,
                                .path         = {{0.25F, 0.5F}}};

    json_init(&writer, 4096);
    event_write_json(&event, &writer);
    is_text(json_text(&writer, NULL),
            "{\"seq\":1017,\"time\":\"2025-11-24T16:00:00.123Z\",\"kind\":\"line_crossing\","
            "\"camera\":\"gate\",\"counter\":\"a \\\"line\\\"\",\"direction\":\"a_to_b\","
            "\"class\":\"car\",\"confidence\":0.83,\"class_share\":0.97,\"track\":12,\"frame\":815,"
            "\"pts_ms\":32600,\"dwell_ms\":0,\"rule\":\"0f2c41aa\",\"path\":[[0.25,0.5]]}",
            "the JSON of the protocol");
    json_free(&writer);
}

int main(void)
{
    names();
    numbers();
    too_long_number();
    round_trips();
    extremes();
    validity();
    random_bytes();
    json();
    return done_testing();
}
