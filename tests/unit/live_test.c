/* links: storage With arguments, the helper of tests/integration/redis.t: `live_test serve
 * FOLDER` with the URL in REDIS_URL. */
#include "tests/tap.h"

#include "config/err.h"
#include "storage/live.h"
#include "storage/redis_url.h"
#include "tests/storage_kit.h"

#include <unistd.h>

#define START_NS (INT64_C(1767225600) * NS_PER_S)

static void wake_loop(void *arg)
{
    uv_async_send(arg);
}

struct house {
    uv_loop_t      loop;
    uv_async_t     wake;
    struct ledger *ledger;
    struct live   *live;
    uint64_t       applied;
};

static void apply(void *arg, const struct event *event)
{
    struct house *house = arg;

    live_apply(house->live, event);
    house->applied = event->seq;
}

static void on_wake(uv_async_t *async)
{
    struct house *house = async->data;

    ledger_dispatch(house->ledger, apply, house);
}

static void house_start(struct house *house)
{
    memset(house, 0, sizeof *house);
    uv_loop_init(&house->loop);
    house->wake.data = house;
    uv_async_init(&house->loop, &house->wake, on_wake);
}

static void house_fill(struct house *house, const char *path, const char *url)
{
    struct ledger_settings settings = {.wake = wake_loop, .arg = &house->wake};
    struct live_settings   live     = {.loop = &house->loop, .redis_url = url};
    struct why             why      = {""};

    if (ledger_open(&house->ledger, path, &settings, &why) == 0) {
        live.ledger = house->ledger;
        if (live_open(&house->live, &live, &why) == 0)
            return;
    }
    printf("Bail out! %s\n", why.text);
    exit(1);
}

static void house_open(struct house *house, const char *path, const char *url)
{
    house_start(house);
    house_fill(house, path, url);
}

static int house_close(struct house *house)
{
    live_close(&house->live);
    ledger_close(&house->ledger);
    uv_close((uv_handle_t *)&house->wake, NULL);
    uv_run(&house->loop, UV_RUN_DEFAULT);
    return uv_loop_close(&house->loop);
}

/* ---- in this process alone ---- */

static struct event crossing(const char *camera, const char *counter,
                             enum event_direction direction)
{
    struct event event = {.time_ns      = START_NS,
                          .kind         = EVENT_LINE_CROSSING,
                          .direction    = direction,
                          .object_class = OBJECT_CAR};

    snprintf(event.camera, sizeof event.camera, "%s", camera);
    snprintf(event.counter, sizeof event.counter, "%s", counter);
    return event;
}

static struct event visit(enum event_kind kind)
{
    struct event event = crossing("gate", "yard", DIRECTION_NONE);

    event.kind         = kind;
    event.object_class = OBJECT_PERSON;
    return event;
}

static void append_and_apply(struct house *house, const struct event *event)
{
    ledger_append(house->ledger, event);
    ledger_flush(house->ledger, 10000);
    ledger_dispatch(house->ledger, apply, house);
}

static void alone(void)
{
    char                       path[64];
    struct house               house;
    const struct live_counter *counters;
    struct event               event;
    uint32_t                   inside[OBJECT_CLASSES] = {[OBJECT_PERSON] = 5};
    int                        count;

    house_open(&house, kit_folder(path), NULL);
    is_int(live_health(house.live).redis, LIVE_REDIS_OFF, "without Redis");
    is_int(live_register(house.live, "gate", "in"), 0, "a line is registered");
    is_int(live_register(house.live, "gate", "yard"), 0, "a zone is registered");
    is_int(live_register(house.live, "gate", "in"), 0, "again");
    live_counters(house.live, &count);
    is_int(count, 2, "two counters");
    event = crossing("gate", "in", DIRECTION_A_TO_B);
    append_and_apply(&house, &event);
    append_and_apply(&house, &event);
    event = crossing("gate", "in", DIRECTION_B_TO_A);
    append_and_apply(&house, &event);
    event = visit(EVENT_ZONE_ENTRY);
    append_and_apply(&house, &event);
    append_and_apply(&house, &event);
    event = visit(EVENT_ZONE_EXIT);
    append_and_apply(&house, &event);
    event = crossing("late", "one", DIRECTION_A_TO_B);
    append_and_apply(&house, &event);
    counters = live_counters(house.live, &count);
    is_int(count, 3, "an event registers its counter");
    ok(strcmp(counters[0].counter, "in") == 0 && strcmp(counters[1].counter, "yard") == 0 &&
           strcmp(counters[2].camera, "late") == 0,
       "in order of registration");
    ok(counters[0].crossings[OBJECT_CAR][0] == 2 && counters[0].crossings[OBJECT_CAR][1] == 1,
       "crossings by direction");
    is_int(counters[0].last_seq, 3, "the last event of the line");
    ok(counters[1].entries[OBJECT_PERSON] == 2 && counters[1].exits[OBJECT_PERSON] == 1 &&
           counters[1].occupancy[OBJECT_PERSON] == 1,
       "visits, and who is inside");
    is_int(counters[2].crossings[OBJECT_CAR][0], 1, "the event that registered is counted once");
    live_set_occupancy(house.live, "gate", "yard", inside);
    is_int(counters[1].occupancy[OBJECT_PERSON], 5, "the true occupancy replaces it");
    event = visit(EVENT_ZONE_ENTRY);
    append_and_apply(&house, &event);
    counters = live_counters(house.live, &count);
    ok(counters[1].occupancy[OBJECT_PERSON] == 5 && counters[1].entries[OBJECT_PERSON] == 3,
       "and the event of that change does not count it once more");
    live_set_occupancy(house.live, "no", "zone", inside);
    is_int(house_close(&house), 0, "the loop is left empty");

    house_open(&house, path, NULL);
    live_register(house.live, "gate", "in");
    counters = live_counters(house.live, &count);
    ok(counters[0].crossings[OBJECT_CAR][0] == 2 && counters[0].crossings[OBJECT_CAR][1] == 1 &&
           counters[0].last_seq == 3,
       "a restart continues the counts");
    house_close(&house);
    kit_remove(path);
}

/* Registered between the commit and the dispatch: the total has the event already. */
static void registered_late(void)
{
    char                       path[64];
    struct house               house;
    struct event               event = crossing("gate", "in", DIRECTION_A_TO_B);
    const struct live_counter *counters;
    int                        count;

    house_open(&house, kit_folder(path), NULL);
    ledger_append(house.ledger, &event);
    ledger_flush(house.ledger, 10000);
    live_register(house.live, "gate", "in");
    ledger_dispatch(house.ledger, apply, &house);
    counters = live_counters(house.live, &count);
    is_int(counters[0].crossings[OBJECT_CAR][0], 1, "an event is never counted twice");
    house_close(&house);
    kit_remove(path);
}

static void many(void)
{
    char                       path[64];
    struct house               house;
    const struct live_counter *counters;
    int                        count, wrong = 0;

    house_open(&house, kit_folder(path), NULL);
    for (int i = 0; i < 1000; i++) {
        char name[32];

        snprintf(name, sizeof name, "line %d", i);
        wrong += live_register(house.live, "gate", name) != 0;
    }
    counters = live_counters(house.live, &count);
    for (int i = 0; i < count; i++) {
        char name[32];

        snprintf(name, sizeof name, "line %d", i);
        wrong += strcmp(counters[i].counter, name) != 0;
    }
    ok(wrong == 0 && count == 1000, "a thousand counters keep their order");
    house_close(&house);
    kit_remove(path);
}

/* ---- addresses ---- */

static void addresses(void)
{
    static const struct {
        const char *text;
        int         rc;
        const char *host, *port, *user, *password, *database;
    } rows[] = {
        {"redis://localhost", 0, "localhost", "6379", "", "", ""},
        {"redis://10.0.0.7:7000/3", 0, "10.0.0.7", "7000", "", "", "3"},
        {"redis://:s3cret@redis.example/", 0, "redis.example", "6379", "", "s3cret", ""},
        {"redis://me:s%40c%2Fr@h:1", 0, "h", "1", "me", "s@c/r", ""},
        {"redis://me:a@b@h", 0, "h", "6379", "me", "a@b", ""},
        {"redis://[::1]:6380/15", 0, "::1", "6380", "", "", "15"},
        {"redis://[::1]", 0, "::1", "6379", "", "", ""},
        {"rediss://h", ERR_UNSUPPORTED, NULL, NULL, NULL, NULL, NULL},
        {"http://h", ERR_INVALID, NULL, NULL, NULL, NULL, NULL},
        {"redis://", ERR_INVALID, NULL, NULL, NULL, NULL, NULL},
        {"redis://secret@h", ERR_INVALID, NULL, NULL, NULL, NULL, NULL},
        {"redis://u:@h", ERR_INVALID, NULL, NULL, NULL, NULL, NULL},
        {"redis://:a%0@h", ERR_INVALID, NULL, NULL, NULL, NULL, NULL},
        {"redis://:a%00b@h", ERR_INVALID, NULL, NULL, NULL, NULL, NULL},
        {"redis://h:", ERR_INVALID, NULL, NULL, NULL, NULL, NULL},
        {"redis://h:65536", ERR_INVALID, NULL, NULL, NULL, NULL, NULL},
        {"redis://h:1x", ERR_INVALID, NULL, NULL, NULL, NULL, NULL},
        {"redis://h/x", ERR_INVALID, NULL, NULL, NULL, NULL, NULL},
        {"redis://h/1/2", ERR_INVALID, NULL, NULL, NULL, NULL, NULL},
        {"redis://[::1", ERR_INVALID, NULL, NULL, NULL, NULL, NULL},
        {"redis://[::1]x", ERR_INVALID, NULL, NULL, NULL, NULL, NULL},
        {"redis://h h", ERR_INVALID, NULL, NULL, NULL, NULL, NULL},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct redis_url url;
        struct why       why = {""};
        int              rc  = redis_url_parse(&url, rows[i].text, &why);

        if (rows[i].rc != 0)
            ok(rc == rows[i].rc && why.text[0] != '\0' && strstr(why.text, "secret") == NULL,
               "%s is refused", rows[i].text);
        else
            ok(rc == 0 && strcmp(url.host, rows[i].host) == 0 &&
                   strcmp(url.port, rows[i].port) == 0 && strcmp(url.user, rows[i].user) == 0 &&
                   strcmp(url.password, rows[i].password) == 0 &&
                   strcmp(url.database, rows[i].database) == 0,
               "%s is taken apart", rows[i].text);
    }
}

/* ---- a Redis that is none ---- */

struct fake {
    uv_tcp_t    server, client;
    bool        has_client;
    const char *answer; /* to whatever comes; NULL: silence */
    int         port, connections;
};

static void on_alloc(uv_handle_t *handle, size_t wanted, uv_buf_t *buffer)
{
    static char bytes[65536];

    (void)handle;
    (void)wanted;
    *buffer = uv_buf_init(bytes, sizeof bytes);
}

static void on_client_closed(uv_handle_t *handle)
{
    ((struct fake *)handle->data)->has_client = false;
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer)
{
    struct fake *fake = stream->data;

    (void)buffer;
    if (count < 0) {
        uv_close((uv_handle_t *)stream, on_client_closed);
    } else if (fake->answer != NULL) {
        uv_buf_t answer = uv_buf_init((char *)(uintptr_t)fake->answer,
                                      (unsigned)strlen(fake->answer));

        uv_try_write(stream, &answer, 1);
    }
}

static void on_connection(uv_stream_t *server, int status)
{
    struct fake *fake = server->data;

    fake->connections++;
    if (status != 0 || fake->has_client)
        return;
    uv_tcp_init(server->loop, &fake->client);
    fake->client.data = fake;
    fake->has_client  = true;
    uv_accept(server, (uv_stream_t *)&fake->client);
    uv_read_start((uv_stream_t *)&fake->client, on_alloc, on_read);
}

static void fake_open(struct fake *fake, uv_loop_t *loop)
{
    struct sockaddr_in      address;
    struct sockaddr_storage bound;
    int                     bytes = sizeof bound;

    uv_ip4_addr("127.0.0.1", 0, &address);
    uv_tcp_init(loop, &fake->server);
    fake->server.data = fake;
    uv_tcp_bind(&fake->server, (struct sockaddr *)&address, 0);
    uv_listen((uv_stream_t *)&fake->server, 8, on_connection);
    uv_tcp_getsockname(&fake->server, (struct sockaddr *)&bound, &bytes);
    fake->port = ntohs(((struct sockaddr_in *)(void *)&bound)->sin_port);
}

/* Runs until the reason says `wanted`, or ten seconds are over. */
static bool run_until_reason(struct house *house, const char *wanted)
{
    int64_t end_ns = clock_monotonic_ns() + 10 * NS_PER_S;

    while (clock_monotonic_ns() < end_ns) {
        if (strstr(live_health(house->live).reason, wanted) != NULL)
            return true;
        uv_run(&house->loop, UV_RUN_ONCE);
    }
    diag("reason: %s", live_health(house->live).reason);
    return false;
}

static void strange_redis(void)
{
    static const struct {
        const char *answer, *reason;
    } rows[] = {
        {NULL, "does not answer"},
        {"HTTP/1.1 400 Bad Request\r\n\r\n", "Protocol error"},
        {"-NOAUTH Authentication required.\r\n", "refuses the user or password"},
        {"-ERR unknown command 'AUTH', with args beginning with: 'canary7' \r\n",
         "refuses the user"},
        {"$1000000000\r\nxxxxxxxx", "does not answer"},
        {"*100000000\r\n*100000000\r\n", "does not answer"},
    };
    char path[64];

    kit_folder(path);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fake  fake = {.answer = rows[i].answer};
        struct house house;
        char         url[128];
        bool         told;

        house_start(&house);
        fake_open(&fake, &house.loop);
        snprintf(url, sizeof url, "redis://:canary7@127.0.0.1:%d/2", fake.port);
        house_fill(&house, path, url);
        live_register(house.live, "gate", "in");
        told = run_until_reason(&house, rows[i].reason);
        ok(told, "answer %zu: %s", i, live_health(house.live).reason);
        ok(strstr(live_health(house.live).reason, "canary7") == NULL, "no password in it");
        uv_close((uv_handle_t *)&fake.server, NULL);
        is_int(house_close(&house), 0, "the loop is left empty");
    }
    kit_remove(path);
}

/* ---- the helper ---- */

static void print_status(struct house *house)
{
    struct live_health         health = live_health(house->live);
    int                        count;
    const struct live_counter *counters = live_counters(house->live, &count);
    uint64_t                   sum      = 0;
    FILE                      *status   = fopen("/proc/self/statm", "r");
    long                       pages = 0, resident = 0;

    if (status != NULL) {
        if (fscanf(status, "%ld %ld", &pages, &resident) != 2)
            resident = 0;
        fclose(status);
    }
    for (int i = 0; i < count; i++) {
        for (int k = 0; k < OBJECT_CLASSES; k++)
            sum += counters[i].crossings[k][0] + counters[i].crossings[k][1] +
                   counters[i].entries[k] + counters[i].exits[k];
    }
    printf(
        "{\"redis\":%d,\"reason\":\"%s\",\"reconnects\":%llu,\"published\":%llu,\"applied\":%llu,"
        "\"last_seq\":%llu,\"sum\":%llu,\"resident_kb\":%ld}\n",
        (int)health.redis, health.reason, (unsigned long long)health.reconnects,
        (unsigned long long)health.published_seq, (unsigned long long)house->applied,
        (unsigned long long)ledger_last_seq(house->ledger), (unsigned long long)sum,
        resident * (sysconf(_SC_PAGESIZE) / 1024));
    fflush(stdout);
}

struct helper {
    struct house house;
    uv_pipe_t    input;
    char         line[64];
    size_t       used;
    uint64_t     state;
    int64_t      time_ns;
};

static void print_counters(struct house *house)
{
    int                        count;
    const struct live_counter *counters = live_counters(house->live, &count);

    printf("{\"\":0");
    for (int i = 0; i < count; i++) {
        const struct live_counter *counter = &counters[i];

        for (int k = 0; k < OBJECT_CLASSES; k++) {
            const char    *class_name = object_class_name((enum object_class)k);
            const uint64_t cells[]    = {counter->crossings[k][0], counter->crossings[k][1],
                                         counter->entries[k], counter->exits[k]};
            const char    *names[]    = {"a_to_b", "b_to_a", "entries", "exits"};

            for (int cell = 0; cell < 4; cell++) {
                if (cells[cell] != 0)
                    printf(",\"%s/%s/%s/%s\":%llu", counter->camera, counter->counter, class_name,
                           names[cell], (unsigned long long)cells[cell]);
            }
            if (counter->occupancy[k] != 0)
                printf(",\"%s/%s/%s\":%u", counter->camera, counter->counter, class_name,
                       (unsigned)counter->occupancy[k]);
        }
    }
    printf("}\n");
    fflush(stdout);
}

static void run_line(struct helper *helper, const char *line)
{
    int count = 0;

    if (sscanf(line, "append %d", &count) == 1) {
        for (int i = 0; i < count; i++) {
            struct event event;

            helper->time_ns += 50 * NS_PER_MS;
            event = kit_event(&helper->state, 8, helper->time_ns);
            ledger_append(helper->house.ledger, &event);
        }
        ledger_flush(helper->house.ledger, 20000);
        ledger_dispatch(helper->house.ledger, apply, &helper->house);
    }
    if (strcmp(line, "quit") == 0) {
        uv_close((uv_handle_t *)&helper->input, NULL);
        live_close(&helper->house.live);
        ledger_close(&helper->house.ledger);
        uv_close((uv_handle_t *)&helper->house.wake, NULL);
        printf("bye\n");
        fflush(stdout);
    } else if (strcmp(line, "counters") == 0) {
        print_counters(&helper->house);
    } else {
        print_status(&helper->house);
    }
}

static void on_input(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer)
{
    struct helper *helper = stream->data;

    if (count < 0)
        exit(1);
    for (ssize_t i = 0; i < count; i++) {
        if (buffer->base[i] != '\n') {
            if (helper->used < sizeof helper->line - 1)
                helper->line[helper->used++] = buffer->base[i];
            continue;
        }
        helper->line[helper->used] = '\0';
        helper->used               = 0;
        run_line(helper, helper->line);
    }
}

static int serve(const char *path)
{
    static struct helper helper = {.state = 42, .time_ns = START_NS};

    house_open(&helper.house, path, getenv("REDIS_URL"));
    for (int camera = 0; camera < 8; camera++) {
        for (int counter = 0; counter < 3; counter++) {
            char names[2][LIMIT_NAME_BYTES];

            snprintf(names[0], sizeof names[0], "camera %d", camera);
            snprintf(names[1], sizeof names[1], "%s %d", counter < 2 ? "line" : "zone", counter);
            live_register(helper.house.live, names[0], names[1]);
        }
    }
    helper.state += ledger_last_seq(helper.house.ledger);
    uv_pipe_init(&helper.house.loop, &helper.input, 0);
    helper.input.data = &helper;
    uv_pipe_open(&helper.input, 0);
    uv_read_start((uv_stream_t *)&helper.input, on_alloc, on_input);
    uv_run(&helper.house.loop, UV_RUN_DEFAULT);
    return uv_loop_close(&helper.house.loop) == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "serve") == 0)
        return serve(argv[2]);
    alone();
    registered_late();
    many();
    addresses();
    strange_redis();
    return done_testing();
}
