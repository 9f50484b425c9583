#include "storage/publisher.h"

#include "config/assert.h"
#include "config/err.h"
#include "config/json_writer.h"
#include "config/log.h"
#include "storage/redis_link.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX "sightline:"
/* What the stream keeps, about: a consumer that is away for longer asks the API. */
#define STREAM_EVENTS 10000
/* Events and counters of one round: with those a round is below REDIS_LINK_COMMANDS. */
#define ROUND_EVENTS   64
#define ROUND_COUNTERS 48
_Static_assert(ROUND_EVENTS + 2 * ROUND_COUNTERS + 8 <= REDIS_LINK_COMMANDS,
               "a round fits the link");
#define RETRY_MS 1000

/* One command: every cell of a counter with its name, or an event as JSON. */
#define PARTS_MAX  (2 + 2 * 4 * OBJECT_CLASSES)
#define TEXT_BYTES (16 << 10)
#define JSON_BYTES (8 << 10)

enum phase {
    DOWN,
    ASKING, /* how far Redis is */
    TOTALS, /* all counts into new keys, which then replace the old */
    EVENTS, /* the stream, and the counts that changed */
};

enum request { REPLY_SEQ, REPLY_PART, REPLY_END, REPLY_EXEC };

struct told {
    bool changed;
    bool inside[OBJECT_CLASSES]; /* the field of this class is in Redis */
};

struct publisher {
    const struct live *live;
    struct ledger     *ledger;
    struct redis_link *link;
    uv_timer_t         timer;
    enum phase         phase;
    bool               under_way; /* a round */
    bool               caught_up;
    struct told       *told; /* [index of the counter] */
    int                told_room;
    int                next_total;
    bool               totals_any, inside_any;
    uint64_t           applied_seq;
    uint64_t           sent_seq;
    uint64_t           round_seq;
    uint64_t           published_seq;
    struct event      *events; /* [ROUND_EVENTS] */
    struct json_writer json;

    /* The command being written. */
    const char *parts[PARTS_MAX];
    size_t      bytes[PARTS_MAX];
    int         part_count;
    size_t      text_bytes;
    char        text[TEXT_BYTES];
};

/* ---- commands ---- */

static void add_part(struct publisher *publisher, const char *text, size_t bytes)
{
    char *at = publisher->text + publisher->text_bytes;

    ASSERT(publisher->part_count < PARTS_MAX && bytes <= TEXT_BYTES - publisher->text_bytes);
    memcpy(at, text, bytes);
    publisher->parts[publisher->part_count] = at;
    publisher->bytes[publisher->part_count] = bytes;
    publisher->part_count++;
    publisher->text_bytes += bytes;
}

static void add_text(struct publisher *publisher, const char *text)
{
    add_part(publisher, text, strlen(text));
}

static void add_number(struct publisher *publisher, uint64_t value)
{
    char text[24];

    snprintf(text, sizeof text, "%" PRIu64, value);
    add_text(publisher, text);
}

static void begin(struct publisher *publisher, const char *name)
{
    publisher->part_count = 0;
    publisher->text_bytes = 0;
    add_text(publisher, name);
}

/* False: the link has been given up, and with it the round. */
static bool send_command(struct publisher *publisher, enum request request)
{
    if (publisher->phase == DOWN)
        return false;
    if (redis_link_send(publisher->link, (int)request, publisher->part_count, publisher->parts,
                        publisher->bytes))
        return true;
    redis_link_fail(publisher->link, "Redis could not be written to");
    return false;
}

static bool send_words(struct publisher *publisher, enum request request, const char *name,
                       const char *first, const char *second)
{
    begin(publisher, name);
    if (first != NULL)
        add_text(publisher, first);
    if (second != NULL)
        add_text(publisher, second);
    return send_command(publisher, request);
}

static void add_cell(struct publisher *publisher, const struct live_counter *counter,
                     int object_class, const char *what, uint64_t value)
{
    char field[2 * LIMIT_NAME_BYTES + 32];

    snprintf(field, sizeof field, "%s/%s/%s%s%s", counter->camera, counter->counter,
             object_class_name((enum object_class)object_class), what[0] != '\0' ? "/" : "", what);
    add_text(publisher, field);
    add_number(publisher, value);
}

/* Writes the counts of one counter that are not zero; they never become zero again. */
static bool send_counts(struct publisher *publisher, const char *key,
                        const struct live_counter *counter, bool *any)
{
    begin(publisher, "HSET");
    add_text(publisher, key);
    for (int i = 0; i < OBJECT_CLASSES; i++) {
        if (counter->crossings[i][0] != 0)
            add_cell(publisher, counter, i, "a_to_b", counter->crossings[i][0]);
        if (counter->crossings[i][1] != 0)
            add_cell(publisher, counter, i, "b_to_a", counter->crossings[i][1]);
        if (counter->entries[i] != 0)
            add_cell(publisher, counter, i, "entries", counter->entries[i]);
        if (counter->exits[i] != 0)
            add_cell(publisher, counter, i, "exits", counter->exits[i]);
    }
    if (publisher->part_count == 2)
        return true;
    *any = true;
    return send_command(publisher, REPLY_PART);
}

/* Writes who is inside, and the zeros of those who were. */
static bool send_inside(struct publisher *publisher, const char *key,
                        const struct live_counter *counter, struct told *told, bool *any)
{
    begin(publisher, "HSET");
    add_text(publisher, key);
    for (int i = 0; i < OBJECT_CLASSES; i++) {
        if (counter->occupancy[i] == 0 && !told->inside[i])
            continue;
        add_cell(publisher, counter, i, "", counter->occupancy[i]);
        told->inside[i] = true;
    }
    if (publisher->part_count == 2)
        return true;
    *any = true;
    return send_command(publisher, REPLY_PART);
}

static bool send_event(struct publisher *publisher, const struct event *event)
{
    char        id[32];
    const char *text;
    size_t      bytes;

    json_reset(&publisher->json);
    event_write_json(event, &publisher->json);
    text = json_text(&publisher->json, &bytes);
    if (text == NULL) {
        redis_link_fail(publisher->link, "out of memory");
        return false;
    }
    snprintf(id, sizeof id, "%" PRIu64 "-0", event->seq);
    begin(publisher, "XADD");
    add_text(publisher, PREFIX "events");
    add_text(publisher, "MAXLEN");
    add_text(publisher, "~");
    add_number(publisher, STREAM_EVENTS);
    add_text(publisher, id);
    add_text(publisher, "event");
    add_part(publisher, text, bytes);
    return send_command(publisher, REPLY_PART);
}

/* ---- rounds ---- */

static void on_timer(uv_timer_t *timer);

static void next_round_in(struct publisher *publisher, uint64_t wait_ms)
{
    uv_timer_start(&publisher->timer, on_timer, wait_ms, 0);
}

static void ask(struct publisher *publisher)
{
    publisher->phase     = ASKING;
    publisher->under_way = true;
    send_words(publisher, REPLY_SEQ, "GET", PREFIX "last_seq", NULL);
}

/* The new keys become the current ones in one step: nobody sees half of the counts. */
static bool replace_key(struct publisher *publisher, const char *from, const char *to, bool any,
                        enum request request)
{
    return any ? send_words(publisher, request, "RENAME", from, to)
               : send_words(publisher, request, "DEL", to, NULL);
}

static void send_totals(struct publisher *publisher)
{
    int                        count, sent = 0;
    const struct live_counter *counters = live_counters(publisher->live, &count);

    publisher->under_way = true;
    if (publisher->next_total == 0) {
        publisher->totals_any = publisher->inside_any = false;
        for (int i = 0; i < count; i++)
            memset(publisher->told[i].inside, 0, sizeof publisher->told[i].inside);
        if (!send_words(publisher, REPLY_PART, "DEL", PREFIX "counts:new", PREFIX "occupancy:new"))
            return;
    }
    for (; publisher->next_total < count && sent < ROUND_COUNTERS;
         sent++, publisher->next_total++) {
        struct told *told = &publisher->told[publisher->next_total];

        if (!send_counts(publisher, PREFIX "counts:new", &counters[publisher->next_total],
                         &publisher->totals_any) ||
            !send_inside(publisher, PREFIX "occupancy:new", &counters[publisher->next_total], told,
                         &publisher->inside_any))
            return;
        told->changed = false;
    }
    if (publisher->next_total < count) {
        send_words(publisher, REPLY_END, "PING", NULL, NULL);
        return;
    }
    if (!replace_key(publisher, PREFIX "counts:new", PREFIX "counts", publisher->totals_any,
                     REPLY_PART))
        return;
    publisher->phase = EVENTS;
    replace_key(publisher, PREFIX "occupancy:new", PREFIX "occupancy", publisher->inside_any,
                REPLY_END);
}

static bool send_changes(struct publisher *publisher, bool *more)
{
    int                        count, sent = 0;
    bool                       any;
    const struct live_counter *counters = live_counters(publisher->live, &count);

    for (int i = 0; i < count; i++) {
        if (!publisher->told[i].changed)
            continue;
        if (sent++ == ROUND_COUNTERS) {
            *more = true;
            return true;
        }
        publisher->told[i].changed = false;
        if (!send_counts(publisher, PREFIX "counts", &counters[i], &any) ||
            !send_inside(publisher, PREFIX "occupancy", &counters[i], &publisher->told[i], &any))
            return false;
    }
    return true;
}

static bool has_changes(const struct publisher *publisher)
{
    int count;

    live_counters(publisher->live, &count);
    for (int i = 0; i < count; i++) {
        if (publisher->told[i].changed)
            return true;
    }
    return publisher->sent_seq != publisher->applied_seq;
}

/* Events that Redis has not, then what changed, then how far that is: all or nothing. */
static void send_events(struct publisher *publisher)
{
    int  count = 0;
    bool more  = false;

    if (publisher->sent_seq < publisher->applied_seq) {
        uint64_t left = publisher->applied_seq - publisher->sent_seq;

        count = ledger_read_events(publisher->ledger, publisher->sent_seq, publisher->events,
                                   left < ROUND_EVENTS ? (int)left : ROUND_EVENTS);
        if (count <= 0) {
            next_round_in(publisher, RETRY_MS);
            return;
        }
    }
    publisher->round_seq = publisher->sent_seq + (uint64_t)count;
    publisher->under_way = true;
    if (!send_words(publisher, REPLY_PART, "MULTI", NULL, NULL))
        return;
    for (int i = 0; i < count; i++) {
        if (!send_event(publisher, &publisher->events[i]))
            return;
    }
    /* Counts hold up to applied_seq; they go with the round that reaches it. */
    if (publisher->round_seq == publisher->applied_seq && !send_changes(publisher, &more))
        return;
    begin(publisher, "SET");
    add_text(publisher, PREFIX "last_seq");
    add_number(publisher, publisher->round_seq);
    if (send_command(publisher, REPLY_PART))
        send_words(publisher, REPLY_EXEC, "EXEC", NULL, NULL);
}

static void next_round(struct publisher *publisher)
{
    if (publisher->under_way || !redis_link_is_up(publisher->link))
        return;
    if (publisher->phase == TOTALS)
        send_totals(publisher);
    else if (publisher->phase == EVENTS && (has_changes(publisher) || !publisher->caught_up))
        send_events(publisher);
}

static void on_timer(uv_timer_t *timer)
{
    next_round(timer->data);
}

/* ---- answers ---- */

static void start_behind(struct publisher *publisher, uint64_t seq)
{
    /* Redis keeps no more than these: older ones are not worth sending. */
    uint64_t oldest = publisher->applied_seq > STREAM_EVENTS
                          ? publisher->applied_seq - STREAM_EVENTS
                          : 0;

    publisher->sent_seq      = seq > oldest ? seq : oldest;
    publisher->published_seq = seq;
    publisher->next_total    = 0;
    publisher->phase         = TOTALS;
    if (seq == 0 || seq >= oldest)
        return;
    /* What is left in the stream ends before the first event to come: a hole that nobody could
     * see. */
    begin(publisher, "XTRIM");
    add_text(publisher, PREFIX "events");
    add_text(publisher, "MAXLEN");
    add_text(publisher, "0");
    send_command(publisher, REPLY_PART);
}

static bool read_number(const redisReply *reply, uint64_t *value)
{
    *value = 0;
    if (reply->type != REDIS_REPLY_STRING || reply->len == 0 || reply->len > 19)
        return false;
    for (size_t i = 0; i < reply->len; i++) {
        if (reply->str[i] < '0' || reply->str[i] > '9')
            return false;
        *value = *value * 10 + (uint64_t)(reply->str[i] - '0');
    }
    return true;
}

static void learn_seq(struct publisher *publisher, const redisReply *reply)
{
    uint64_t seq;

    if (!read_number(reply, &seq))
        seq = 0;
    if (seq <= publisher->applied_seq) {
        start_behind(publisher, seq);
        return;
    }
    /* It was filled from another ledger; its stream would refuse our lower numbers for ever. */
    log_warning("redis", "holds the counts of another ledger: they are replaced");
    begin(publisher, "DEL");
    add_text(publisher, PREFIX "events");
    add_text(publisher, PREFIX "last_seq");
    add_text(publisher, PREFIX "counts");
    add_text(publisher, PREFIX "occupancy");
    if (send_command(publisher, REPLY_PART))
        start_behind(publisher, 0);
}

/* An event that is in the stream already was told by a round whose answer was lost. */
static bool is_told_already(const redisReply *reply)
{
    static const char text[] = "ERR The ID specified in XADD is equal or smaller";

    return reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, text, sizeof text - 1) == 0;
}

static void give_up(struct publisher *publisher, const char *answer)
{
    char reason[96];
    int  length = (int)strcspn(answer, "'\"\r\n");

    snprintf(reason, sizeof reason, "Redis refuses: %.*s", length < 64 ? length : 64, answer);
    redis_link_fail(publisher->link, reason);
}

static const redisReply *first_error(const redisReply *reply)
{
    if (reply->type == REDIS_REPLY_ERROR)
        return reply;
    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++) {
        if (reply->element[i]->type == REDIS_REPLY_ERROR && !is_told_already(reply->element[i]))
            return reply->element[i];
    }
    return NULL;
}

static void on_reply(void *arg, int request, const redisReply *reply)
{
    struct publisher *publisher = arg;
    const redisReply *error     = first_error(reply);

    if (error != NULL) {
        give_up(publisher, error->str);
        return;
    }
    if (request == REPLY_PART)
        return;
    publisher->under_way = false;
    if (request == REPLY_SEQ)
        learn_seq(publisher, reply);
    if (request == REPLY_EXEC) {
        publisher->sent_seq      = publisher->round_seq;
        publisher->published_seq = publisher->round_seq;
        if (publisher->sent_seq == publisher->applied_seq)
            publisher->caught_up = true;
        redis_link_settled(publisher->link);
    }
    next_round(publisher);
}

static void on_up(void *arg)
{
    struct publisher *publisher = arg;

    publisher->caught_up = false;
    ask(publisher);
}

static void on_down(void *arg)
{
    struct publisher *publisher = arg;

    publisher->phase     = DOWN;
    publisher->under_way = false;
    publisher->caught_up = false;
}

/* ---- the life of a publisher ---- */

static void free_publisher(struct publisher *publisher)
{
    json_free(&publisher->json);
    free(publisher->told);
    free(publisher->events);
    free(publisher);
}

static void on_timer_closed(uv_handle_t *handle)
{
    free_publisher(handle->data);
}

int publisher_open(struct publisher **out, const struct live_settings *settings,
                   const struct live *live, uint64_t applied_seq, struct why *why)
{
    struct publisher        *publisher = calloc(1, sizeof *publisher);
    struct redis_link_events events    = {.up = on_up, .down = on_down, .reply = on_reply};
    int                      rc;

    *out = NULL;
    if (publisher == NULL)
        return why_set(why, ERR_MEMORY, "out of memory");
    json_init(&publisher->json, JSON_BYTES);
    publisher->live        = live;
    publisher->ledger      = settings->ledger;
    publisher->applied_seq = applied_seq;
    publisher->timer.data  = publisher;
    publisher->events      = calloc(ROUND_EVENTS, sizeof *publisher->events);
    events.arg             = publisher;
    if (publisher->events == NULL)
        rc = why_set(why, ERR_MEMORY, "out of memory");
    else
        rc = redis_link_open(&publisher->link, settings->loop, settings->redis_url, &events, why);
    if (rc != 0) {
        free_publisher(publisher);
        return rc;
    }
    uv_timer_init(settings->loop, &publisher->timer);
    *out = publisher;
    return 0;
}

void publisher_close(struct publisher **publisher)
{
    if (*publisher == NULL)
        return;
    redis_link_close(&(*publisher)->link);
    uv_close((uv_handle_t *)&(*publisher)->timer, on_timer_closed);
    *publisher = NULL;
}

int publisher_changed(struct publisher *publisher, int index)
{
    if (index >= publisher->told_room) {
        int          room = publisher->told_room == 0 ? 64 : publisher->told_room * 2;
        struct told *told;

        while (room <= index)
            room *= 2;
        told = realloc(publisher->told, (size_t)room * sizeof *told);
        if (told == NULL)
            return ERR_MEMORY;
        memset(told + publisher->told_room, 0,
               (size_t)(room - publisher->told_room) * sizeof *told);
        publisher->told      = told;
        publisher->told_room = room;
    }
    publisher->told[index].changed = true;
    /* Told at the next turn of the loop, together with all else of this one. */
    next_round_in(publisher, 0);
    return 0;
}

void publisher_applied(struct publisher *publisher, uint64_t seq)
{
    if (seq > publisher->applied_seq)
        publisher->applied_seq = seq;
    next_round_in(publisher, 0);
}

struct live_health publisher_health(const struct publisher *publisher)
{
    struct live_health health = {.redis         = LIVE_REDIS_CONNECTING,
                                 .reconnects    = redis_link_reconnects(publisher->link),
                                 .published_seq = publisher->published_seq};

    if (redis_link_is_up(publisher->link))
        health.redis = publisher->caught_up ? LIVE_REDIS_UP : LIVE_REDIS_SYNCING;
    snprintf(health.reason, sizeof health.reason, "%s", redis_link_reason(publisher->link));
    if (health.redis == LIVE_REDIS_SYNCING)
        snprintf(health.reason, sizeof health.reason, "counts are being sent");
    return health;
}
