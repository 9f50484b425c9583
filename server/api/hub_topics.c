/* Subscriptions, and the newest state of every topic. */
#include "server/api/hub_inside.h"

#include <stdlib.h>
#include <string.h>

#include "config/assert.h"
#include "config/clock.h"
#include "config/err.h"
#include "config/log.h"
#include "server/api/documents.h"
#include "server/api/reply.h"

/* ---- answers ---- */

static void answer(struct client *client)
{
    client_answer(client, hub_text_from(&client->hub->json));
}

void hub_answer_hello(struct client *client)
{
    struct json_writer *json = &client->hub->json;

    json_reset(json);
    json_begin_object(json);
    json_key(json, "type");
    json_put_string(json, "hello");
    json_key(json, "protocol");
    json_put_int(json, 1);
    json_key(json, "version");
    json_put_string(json, SIGHTLINE_VERSION);
    json_key(json, "last_seq");
    json_put_uint(json, ledger_last_seq(client->hub->settings.ledger));
    json_key(json, "time");
    document_time(json, clock_wall_ns());
    json_end_object(json);
    answer(client);
}

static void answer_error(struct client *client, int code, const char *topic, const struct why *why)
{
    struct json_writer *json = &client->hub->json;

    json_reset(json);
    json_begin_object(json);
    json_key(json, "type");
    json_put_string(json, "error");
    json_key(json, "error");
    json_put_string(json, reply_error_name(err_http_status(code)));
    if (topic != NULL) {
        json_key(json, "topic");
        json_put_string(json, topic);
    }
    json_key(json, "message");
    json_put_string(json, why->text);
    json_end_object(json);
    answer(client);
}

static void write_subscription(struct json_writer *json, const struct subscription *subscription)
{
    char name[TOPIC_NAME_BYTES];

    topic_name(&subscription->topic, name);
    json_begin_object(json);
    json_key(json, "topic");
    json_put_string(json, name);
    if (subscription->topic.kind == TOPIC_VIDEO) {
        json_key(json, "channel");
        json_put_uint(json, subscription->channel);
        json_key(json, "codec");
        json_put_string(json, subscription->codec[0] == '\0' ? NULL : subscription->codec);
        if (subscription->main) {
            json_key(json, "stream");
            json_put_string(json, subscription->on_main ? "main" : "sub");
            json_key(json, "note");
            json_put_string(json, subscription->note[0] == '\0' ? NULL : subscription->note);
        }
    }
    json_end_object(json);
}

static void begin_subscribed(struct json_writer *json)
{
    json_reset(json);
    json_begin_object(json);
    json_key(json, "type");
    json_put_string(json, "subscribed");
    json_key(json, "topics");
    json_begin_array(json);
}

void hub_answer_subscribed(struct client *client, const struct subscription *subscription)
{
    struct json_writer *json = &client->hub->json;

    begin_subscribed(json);
    write_subscription(json, subscription);
    json_end_array(json);
    json_end_object(json);
    answer(client);
}

/* ---- subscribing ---- */

static struct hub_camera *find_camera(struct hub *hub, const char *name)
{
    const struct api_house *house  = hub->settings.house;
    struct hub_camera      *camera = hub->cameras;

    while (camera != NULL && strcmp(camera->name, name) != 0)
        camera = camera->next;
    if (camera != NULL || house->camera_index(house->arg, name) < 0)
        return camera != NULL && camera->index >= 0 ? camera : NULL;
    camera = calloc(1, sizeof *camera);
    if (camera == NULL)
        return NULL;
    camera->hub   = hub;
    camera->index = house->camera_index(house->arg, name);
    memcpy(camera->name, name, strlen(name) + 1);
    camera->next = hub->cameras;
    hub->cameras = camera;
    return camera;
}

/* A camera that nobody looks at needs no place; the list stays as long as what is subscribed to. */
static void free_camera_if_unused(struct hub_camera *camera)
{
    struct hub_camera **link = &camera->hub->cameras;

    if (camera->subscriptions != NULL)
        return;
    while (*link != camera)
        link = &(*link)->next;
    *link = camera->next;
    hub_text_unref(&camera->tracks);
    free(camera);
}

static struct subscription *find_subscription(const struct client *client,
                                              const struct topic  *topic)
{
    struct subscription *subscription = client->subscriptions;

    while (subscription != NULL && (subscription->topic.kind != topic->kind ||
                                    strcmp(subscription->topic.camera, topic->camera) != 0))
        subscription = subscription->next;
    return subscription;
}

static void unsubscribe(struct client *client, struct subscription *subscription)
{
    struct subscription **link   = &client->subscriptions;
    struct hub_camera    *camera = subscription->camera;

    while (*link != subscription)
        link = &(*link)->next;
    *link = subscription->next;
    client->subscription_count--;
    client->hub->stats.subscriptions--;
    if (subscription->topic.kind == TOPIC_EVENTS)
        client->events = false;
    if (subscription->topic.kind == TOPIC_VIDEO)
        client_drop_video(client, subscription->channel);
    if (camera != NULL) {
        if (subscription->camera_previous != NULL)
            subscription->camera_previous->camera_next = subscription->camera_next;
        else
            camera->subscriptions = subscription->camera_next;
        if (subscription->camera_next != NULL)
            subscription->camera_next->camera_previous = subscription->camera_previous;
        hub_video_refresh(camera);
        free_camera_if_unused(camera);
    }
    free(subscription);
}

void hub_unsubscribe_all(struct client *client)
{
    while (client->subscriptions != NULL)
        unsubscribe(client, client->subscriptions);
}

static int check_subscribe(struct client *client, const struct topic *topic,
                           struct hub_camera **camera, struct why *why)
{
    bool of_camera = topic->kind == TOPIC_TRACKS || topic->kind == TOPIC_VIDEO;

    *camera = NULL;
    if (client->subscription_count >= LIMIT_SUBSCRIPTIONS)
        return why_set(why, ERR_LIMIT, "a client may have %d topics", LIMIT_SUBSCRIPTIONS);
    if (!of_camera)
        return 0;
    *camera = find_camera(client->hub, topic->camera);
    return *camera != NULL ? 0 : why_set(why, ERR_NOT_FOUND, "no camera named %s", topic->camera);
}

static struct subscription *subscribe(struct client *client, const struct topic *topic,
                                      const struct client_message *message, struct why *why,
                                      int *rc)
{
    struct subscription *subscription;
    struct hub_camera   *camera;

    *rc = check_subscribe(client, topic, &camera, why);
    if (*rc != 0)
        return NULL;
    subscription = calloc(1, sizeof *subscription);
    if (subscription == NULL) {
        *rc = why_set(why, ERR_MEMORY, "out of memory");
        if (camera != NULL)
            free_camera_if_unused(camera);
        return NULL;
    }
    *subscription         = (struct subscription){.topic  = *topic,
                                                  .client = client,
                                                  .camera = camera,
                                                  .h264   = message->h264,
                                                  .main   = message->main,
                                                  .next   = client->subscriptions};
    client->subscriptions = subscription;
    client->subscription_count++;
    client->hub->stats.subscriptions++;
    if (topic->kind == TOPIC_VIDEO)
        subscription->channel = ++client->last_channel;
    if (camera != NULL) {
        subscription->camera_next = camera->subscriptions;
        if (camera->subscriptions != NULL)
            camera->subscriptions->camera_previous = subscription;
        camera->subscriptions = subscription;
    }
    return subscription;
}

/* Where a new subscription to the events begins. */
static void begin_events(struct client *client, const struct client_message *message)
{
    uint64_t   last = ledger_last_seq(client->hub->settings.ledger);
    struct why why  = {0};

    client->events = true;
    client->cursor = message->since_given ? message->since : last;
    if (client->cursor <= last)
        return;
    client->cursor = last;
    why_set(&why, ERR_INVALID, "since is ahead of the last event, %llu: going on from there",
            (unsigned long long)last);
    answer_error(client, ERR_INVALID, "events", &why);
}

/* True if an earlier topic of the message is the same. */
static bool is_repeated(const struct client_message *message, int index)
{
    for (int i = 0; i < index; i++) {
        if (message->topics[i].kind == message->topics[index].kind &&
            strcmp(message->topics[i].camera, message->topics[index].camera) == 0)
            return true;
    }
    return false;
}

/* From those topics of the message to which the client is subscribed. */
static void unsubscribe_all(struct client *client, const struct client_message *message)
{
    for (int i = 0; i < message->topic_count; i++) {
        struct subscription *subscription = find_subscription(client, &message->topics[i]);
        if (subscription != NULL)
            unsubscribe(client, subscription);
    }
}

static void handle_subscribe(struct client *client, const struct client_message *message)
{
    struct subscription *fresh[LIMIT_SUBSCRIPTIONS];
    int                  count = 0;

    /* Again: begin anew, with what this message says. */
    unsubscribe_all(client, message);
    for (int i = 0; i < message->topic_count; i++) {
        const struct topic  *topic = &message->topics[i];
        struct subscription *subscription;
        struct why           why = {0};
        char                 name[TOPIC_NAME_BYTES];
        int                  rc = 0;
        if (is_repeated(message, i))
            continue;
        subscription = subscribe(client, topic, message, &why, &rc);
        if (subscription == NULL) {
            topic_name(topic, name);
            answer_error(client, rc, name, &why);
            continue;
        }
        fresh[count++] = subscription;
    }
    for (int i = 0; i < count; i++) {
        if (fresh[i]->topic.kind == TOPIC_EVENTS)
            begin_events(client, message);
        else if (fresh[i]->topic.kind == TOPIC_HEALTH)
            client->hub->health_dirty = true;
    }
    /* Before any picture, so that the client knows the channel. */
    begin_subscribed(&client->hub->json);
    for (int i = 0; i < count; i++) {
        if (fresh[i]->topic.kind == TOPIC_VIDEO) {
            enum camera_video video = fresh[i]->h264 ? CAMERA_VIDEO_H264 : CAMERA_VIDEO_JPEG;
            ASSERT(fresh[i]->camera != NULL); /* check_subscribe() */
            memcpy(fresh[i]->codec, fresh[i]->camera->codec[video], sizeof fresh[i]->codec);
        }
        write_subscription(&client->hub->json, fresh[i]);
    }
    json_end_array(&client->hub->json);
    json_end_object(&client->hub->json);
    if (count > 0)
        answer(client);
    for (int i = 0; i < count; i++) {
        if (fresh[i]->topic.kind == TOPIC_VIDEO)
            hub_video_begin(fresh[i]);
    }
    hub_refresh(client->hub);
    client_ask(client);
}

void hub_handle_message(struct client *client, const char *text, size_t bytes)
{
    struct client_message *message = malloc(sizeof *message);
    struct why             why     = {0};
    int                    rc      = ERR_MEMORY;

    if (message != NULL)
        rc = client_message_parse(message, text, bytes, &why);
    if (rc != 0) {
        answer_error(client, rc, NULL, &why);
    } else if (message->verb == CLIENT_SUBSCRIBE) {
        handle_subscribe(client, message);
    } else {
        unsubscribe_all(client, message);
    }
    free(message);
}

/* ---- the newest state ---- */

void hub_begin_message(struct json_writer *json, const char *topic, uint64_t seq)
{
    json_reset(json);
    json_begin_object(json);
    json_key(json, "topic");
    json_put_string(json, topic);
    json_key(json, "seq");
    json_put_uint(json, seq);
    json_key(json, "ts");
    document_time(json, clock_wall_ns());
    json_key(json, "data");
}

static struct hub_text *end_message(struct hub *hub)
{
    json_end_object(&hub->json);
    return hub_text_from(&hub->json);
}

static void keep_event(struct hub *hub, const struct event *event)
{
    size_t place = event->seq % HUB_EVENT_RING;

    if (hub->ring_seq[place] == event->seq && hub->ring[place] != NULL)
        return;
    hub_text_unref(&hub->ring[place]);
    hub_begin_message(&hub->json, "events", event->seq);
    event_write_json(event, &hub->json);
    hub->ring[place]     = end_message(hub);
    hub->ring_seq[place] = event->seq;
}

struct hub_text *hub_event_after(struct hub *hub, uint64_t seq)
{
    size_t place = (seq + 1) % HUB_EVENT_RING;
    int    count;

    if (hub->ring[place] == NULL || hub->ring_seq[place] != seq + 1) {
        count = ledger_read_events(hub->settings.ledger, seq, hub->page, HUB_EVENT_PAGE);
        if (count < 0)
            log_error("websocket", "the ledger cannot be read after event %llu: %s",
                      (unsigned long long)seq, err_text(count));
        for (int i = 0; i < count; i++)
            keep_event(hub, &hub->page[i]);
    }
    if (hub->ring[place] == NULL || hub->ring_seq[place] != seq + 1)
        return NULL;
    return hub_text_ref(hub->ring[place]);
}

static void refresh_counts(struct hub *hub)
{
    int                        count;
    const struct live_counter *counters = live_counters(hub->settings.live, &count);
    bool                       changed  = false;

    hub->counts_dirty = false;
    if (count > hub->counter_count) {
        struct counter_seen *grown = realloc(hub->counters, (size_t)count * sizeof *grown);
        if (grown == NULL)
            return;
        memset(grown + hub->counter_count, 0, (size_t)(count - hub->counter_count) * sizeof *grown);
        hub->counters      = grown;
        hub->counter_count = count;
    }
    for (int i = 0; i < count; i++) {
        struct counter_seen *seen = &hub->counters[i];
        if (seen->version != 0 && seen->last_seq == counters[i].last_seq &&
            memcmp(seen->occupancy, counters[i].occupancy, sizeof seen->occupancy) == 0)
            continue;
        if (seen->version == 0)
            seen->zone = document_is_zone(hub->settings.house, &counters[i]);
        seen->last_seq = counters[i].last_seq;
        seen->version  = hub->counts_version + 1;
        memcpy(seen->occupancy, counters[i].occupancy, sizeof seen->occupancy);
        changed = true;
    }
    if (changed)
        hub->counts_version++;
}

struct hub_text *hub_counts_since(struct hub *hub, uint64_t version)
{
    struct counts_text        *cached = &hub->counts_text[version == 0 ? 0 : 1];
    int                        count;
    const struct live_counter *counters = live_counters(hub->settings.live, &count);
    uint64_t                   seq      = 0;

    if (cached->text != NULL && cached->from == version && cached->to == hub->counts_version)
        return hub_text_ref(cached->text);
    for (int i = 0; i < count; i++) {
        if (counters[i].last_seq > seq)
            seq = counters[i].last_seq;
    }
    hub_begin_message(&hub->json, "counts", seq);
    document_counts_begin(&hub->json, seq);
    for (int i = 0; i < count && i < hub->counter_count; i++) {
        if (version == 0 || hub->counters[i].version > version)
            document_counter(&hub->json, &counters[i], hub->counters[i].zone);
    }
    document_counts_end(&hub->json);
    hub_text_unref(&cached->text);
    *cached = (struct counts_text){version, hub->counts_version, end_message(hub)};
    return cached->text == NULL ? NULL : hub_text_ref(cached->text);
}

static bool anybody_wants(const struct hub *hub, enum topic_kind kind)
{
    const struct topic topic = {.kind = kind};

    for (const struct client *client = hub->clients; client != NULL; client = client->next) {
        if (find_subscription(client, &topic) != NULL)
            return true;
    }
    return false;
}

static void refresh_health(struct hub *hub)
{
    hub->health_dirty = false;
    if (!anybody_wants(hub, TOPIC_HEALTH))
        return;
    hub_begin_message(&hub->json, "health", hub->health_version + 1);
    document_health(&hub->json, hub->settings.house);
    hub_text_unref(&hub->health);
    hub->health = end_message(hub);
    hub->health_version++;
}

void hub_refresh(struct hub *hub)
{
    if (hub->counts_dirty)
        refresh_counts(hub);
    if (hub->health_dirty)
        refresh_health(hub);
}

struct hub_text *hub_cameras_notice(struct hub *hub)
{
    if (hub->cameras_text == NULL || hub->cameras_text_version != hub->cameras_version) {
        hub_begin_message(&hub->json, "cameras", 0);
        json_begin_object(&hub->json);
        json_end_object(&hub->json);
        hub_text_unref(&hub->cameras_text);
        hub->cameras_text         = end_message(hub);
        hub->cameras_text_version = hub->cameras_version;
    }
    return hub->cameras_text == NULL ? NULL : hub_text_ref(hub->cameras_text);
}

void hub_free_topics(struct hub *hub)
{
    for (int i = 0; i < HUB_EVENT_RING; i++)
        hub_text_unref(&hub->ring[i]);
    for (int i = 0; i < 2; i++)
        hub_text_unref(&hub->counts_text[i].text);
    hub_text_unref(&hub->health);
    hub_text_unref(&hub->cameras_text);
    free(hub->counters);
}

/* ---- what has happened ---- */

void hub_event_committed(struct hub *hub, const struct event *event)
{
    if (hub->clients != NULL)
        keep_event(hub, event);
    hub_counts_changed(hub);
}

void hub_counts_changed(struct hub *hub)
{
    hub->counts_dirty = true;
    hub_flush_soon(hub);
}

void hub_health_changed(struct hub *hub)
{
    hub->health_dirty = true;
    hub_flush_soon(hub);
}

void hub_cameras_changed(struct hub *hub)
{
    const struct api_house *house = hub->settings.house;

    for (struct hub_camera *camera = hub->cameras; camera != NULL; camera = camera->next) {
        camera->index = house->camera_index(house->arg, camera->name);
        /* It may be a new camera of the same name: it is asked again. */
        camera->wanted      = 0;
        camera->main_wanted = false;
        hub_video_refresh(camera);
    }
    for (int i = 0; i < hub->counter_count; i++)
        hub->counters[i].version = 0;
    hub->cameras_version++;
    hub->counts_dirty = hub->health_dirty = true;
    hub_flush_soon(hub);
}

void hub_tracks(struct hub *hub, int camera_index, const struct frame *frame,
                const struct track *tracks, int count)
{
    struct topic       topic  = {.kind = TOPIC_TRACKS};
    struct hub_camera *camera = hub->cameras;
    char               name[TOPIC_NAME_BYTES];

    while (camera != NULL && camera->index != camera_index)
        camera = camera->next;
    if (camera == NULL)
        return;
    memcpy(topic.camera, camera->name, sizeof topic.camera);
    topic_name(&topic, name);
    hub_begin_message(&hub->json, name, frame->number);
    document_tracks(&hub->json, frame, tracks, count);
    hub_text_unref(&camera->tracks);
    camera->tracks = end_message(hub);
    camera->tracks_version++;
    for (struct subscription *subscription = camera->subscriptions; subscription != NULL;
         subscription                      = subscription->camera_next) {
        if (subscription->topic.kind == TOPIC_TRACKS)
            client_ask(subscription->client);
    }
}
