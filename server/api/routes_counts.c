/* What was counted: now, over time, and event by event. */
#include "server/api/routes.h"

#include <stdlib.h>
#include <string.h>

#include "config/clock.h"
#include "config/err.h"
#include "server/api/documents.h"

#define COUNTS_JSON_BYTES  (64 << 20) /* 65,536 counters */
#define EVENTS_JSON_BYTES  (4 << 20)  /* 1,000 events of at most 2 KiB, with room */
#define HISTORY_JSON_BYTES (16 << 20)
#define HISTORY_BUCKETS    10080 /* a week of minutes, 14 months of hours, 27 years of days */
#define EVENTS_DEFAULT     100

enum { HISTORY_CAMERA, HISTORY_COUNTER, HISTORY_BUCKET, HISTORY_FROM, HISTORY_TO };
enum { EVENTS_SINCE, EVENTS_LIMIT };

static const char *const bucket_names[] = {"minute", "hour", "day", NULL};

const struct query_rule HISTORY_RULES[] = {
    [HISTORY_CAMERA]  = {.name = "camera", .kind = QUERY_NAME, .required = true},
    [HISTORY_COUNTER] = {.name = "counter", .kind = QUERY_NAME, .required = true},
    [HISTORY_BUCKET]  = {.name = "bucket", .kind = QUERY_CHOICE, .choices = bucket_names},
    [HISTORY_FROM]    = {.name = "from", .kind = QUERY_TIME},
    [HISTORY_TO]      = {.name = "to", .kind = QUERY_TIME},
    {0},
};

const struct query_rule EVENTS_RULES[] = {
    [EVENTS_SINCE] = {.name = "since", .kind = QUERY_NUMBER, .max = UINT64_C(999999999999999999)},
    [EVENTS_LIMIT] = {.name = "limit", .kind = QUERY_NUMBER, .max = LIMIT_PAGE_EVENTS},
    {0},
};

void handle_counts(struct call *call)
{
    const struct api_house    *house = &call->api->house;
    struct json_writer         json;
    int                        count;
    const struct live_counter *counters = live_counters(call->api->settings.live, &count);
    uint64_t                   seq      = 0;

    for (int i = 0; i < count; i++) {
        if (counters[i].last_seq > seq)
            seq = counters[i].last_seq;
    }
    json_init(&json, COUNTS_JSON_BYTES);
    document_counts_begin(&json, seq);
    for (int i = 0; i < count; i++)
        document_counter(&json, &counters[i], document_is_zone(house, &counters[i]));
    document_counts_end(&json);
    reply_json(&call->exchange->reply, 200, &json);
    json_free(&json);
}

/* ---- history ---- */

struct history {
    const char        *camera, *counter;
    enum rollup_bucket bucket;
    int64_t            length_s; /* of a bucket */
    int64_t            from_s, to_s;
    bool               zone;
};

static int read_range(const struct call *call, struct history *history, int64_t now_s,
                      struct why *why)
{
    static const struct {
        int64_t length_s;
        int64_t buckets; /* by default */
    } kinds[]                           = {{60, 60}, {3600, 48}, {86400, 31}};
    const struct query_value *arguments = call->arguments;
    int64_t                   default_buckets;

    history->camera   = arguments[HISTORY_CAMERA].text;
    history->counter  = arguments[HISTORY_COUNTER].text;
    history->bucket   = (enum rollup_bucket)arguments[HISTORY_BUCKET].number;
    history->length_s = kinds[history->bucket].length_s;
    default_buckets   = kinds[history->bucket].buckets;
    history->to_s     = arguments[HISTORY_TO].present ? arguments[HISTORY_TO].time_s : now_s + 1;
    /* The bucket that is running is the last of the default range. */
    history->from_s = (history->to_s - 1) / history->length_s * history->length_s -
                      (default_buckets - 1) * history->length_s;
    if (history->from_s < 0)
        history->from_s = 0;
    if (arguments[HISTORY_FROM].present)
        history->from_s = arguments[HISTORY_FROM].time_s;
    if (history->from_s >= history->to_s)
        return why_set(why, ERR_INVALID, "from must be earlier than to");
    if ((history->to_s - history->from_s) / history->length_s > HISTORY_BUCKETS)
        return why_set(why, ERR_INVALID, "at most %d buckets can be asked for at one time",
                       HISTORY_BUCKETS);
    return 0;
}

/* A counter of the configuration, or one that the ledger remembers. */
static int find_counter(const struct call *call, struct history *history, struct why *why)
{
    const struct api_house *house   = &call->api->house;
    struct live_counter     counter = {0};
    int                     index   = house->camera_index(house->arg, history->camera);
    struct api_camera       camera;
    struct rollup           total;
    uint64_t                sum = 0;
    int                     rc;

    rc = ledger_read_total(call->api->settings.ledger, history->camera, history->counter, &total);
    if (rc < 0)
        return why_set(why, rc, "the ledger cannot be read: %s", err_text(rc));
    for (int i = 0; i < OBJECT_CLASSES; i++) {
        counter.entries[i] = total.entries[i];
        counter.exits[i]   = total.exits[i];
        sum += (uint64_t)total.crossings[i][0] + total.crossings[i][1] + total.entries[i] +
               total.exits[i];
    }
    memcpy(counter.camera, history->camera, strlen(history->camera) + 1);
    memcpy(counter.counter, history->counter, strlen(history->counter) + 1);
    history->zone = document_is_zone(house, &counter);
    if (sum > 0 || history->zone)
        return 0;
    if (index < 0 || !house->camera(house->arg, index, &camera))
        return why_set(why, ERR_NOT_FOUND, "no camera named %s", history->camera);
    for (int i = 0; i < camera.settings->line_count; i++) {
        if (strcmp(camera.settings->lines[i].name, history->counter) == 0)
            return 0;
    }
    return why_set(why, ERR_NOT_FOUND, "camera %s has no line or zone named %s", history->camera,
                   history->counter);
}

static void write_history(struct call *call, const struct history *history,
                          const struct rollup *rollups, int count, int64_t now_s)
{
    struct json_writer json;

    json_init(&json, HISTORY_JSON_BYTES);
    json_begin_object(&json);
    json_key(&json, "camera");
    json_put_string(&json, history->camera);
    json_key(&json, "counter");
    json_put_string(&json, history->counter);
    json_key(&json, "kind");
    json_put_string(&json, history->zone ? "zone" : "line");
    json_key(&json, "bucket");
    json_put_string(&json, bucket_names[history->bucket]);
    json_key(&json, "from");
    document_time(&json, history->from_s * NS_PER_S);
    json_key(&json, "to");
    document_time(&json, history->to_s * NS_PER_S);
    json_key(&json, "buckets");
    json_begin_array(&json);
    for (int i = 0; i < count; i++)
        document_bucket(&json, &rollups[i], history->zone, history->length_s, now_s);
    json_end_array(&json);
    json_end_object(&json);
    reply_json(&call->exchange->reply, 200, &json);
    json_free(&json);
}

void handle_history(struct call *call)
{
    struct history history = {0};
    struct rollup *rollups = NULL;
    struct why     why     = {0};
    int64_t        now_s   = clock_wall_ns() / NS_PER_S;
    int            capacity, rc;

    rc = read_range(call, &history, now_s, &why);
    if (rc == 0)
        rc = find_counter(call, &history, &why);
    if (rc == 0) {
        capacity = (int)((history.to_s - history.from_s) / history.length_s) + 1;
        rollups  = malloc((size_t)capacity * sizeof *rollups);
        rc       = rollups == NULL ? ERR_MEMORY
                                   : ledger_read_history(call->api->settings.ledger, history.camera,
                                                         history.counter, history.bucket, history.from_s,
                                                         history.to_s, rollups, capacity);
    }
    if (rc < 0)
        reply_failure(&call->exchange->reply, rc, &why);
    else
        write_history(call, &history, rollups, rc, now_s);
    free(rollups);
}

/* ---- events ---- */

void handle_events(struct call *call)
{
    struct ledger            *ledger   = call->api->settings.ledger;
    const struct query_value *limit    = &call->arguments[EVENTS_LIMIT];
    int                       capacity = limit->present ? (int)limit->number : EVENTS_DEFAULT;
    struct event             *events   = malloc((size_t)(capacity + 1) * sizeof *events);
    struct json_writer        json;
    int                       count;

    if (events == NULL) {
        reply_failure(&call->exchange->reply, ERR_MEMORY, NULL);
        return;
    }
    count = capacity == 0 ? 0
                          : ledger_read_events(ledger, call->arguments[EVENTS_SINCE].number, events,
                                               capacity);
    if (count < 0) {
        reply_failure(&call->exchange->reply, count, NULL);
        free(events);
        return;
    }
    json_init(&json, EVENTS_JSON_BYTES);
    json_begin_object(&json);
    json_key(&json, "events");
    json_begin_array(&json);
    for (int i = 0; i < count; i++)
        event_write_json(&events[i], &json);
    json_end_array(&json);
    json_key(&json, "last_seq");
    json_put_uint(&json, ledger_last_seq(ledger));
    json_end_object(&json);
    reply_json(&call->exchange->reply, 200, &json);
    json_free(&json);
    free(events);
}
