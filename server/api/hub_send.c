/* What is due to a client, in which order, and the writing of it. */
#include "server/api/hub_inside.h"

#include <string.h>
#include <sys/socket.h>

#include "config/clock.h"

#define WRITES_AT_ONCE 64 /* then it is another client's turn */

void outgoing_clear(struct outgoing *outgoing)
{
    hub_text_unref(&outgoing->text);
    camera_unit_unref(&outgoing->unit);
    memset(outgoing, 0, sizeof *outgoing);
}

/* True if this "latest wins" topic has something that the client has not seen. */
static bool subscription_has_due(const struct hub *hub, const struct subscription *subscription)
{
    switch (subscription->topic.kind) {
    case TOPIC_COUNTS:
        return subscription->seen != hub->counts_version;
    case TOPIC_HEALTH:
        return hub->health != NULL && subscription->seen != hub->health_version;
    case TOPIC_TRACKS:
        return subscription->camera->tracks != NULL &&
               subscription->seen != subscription->camera->tracks_version;
    case TOPIC_EVENTS:
    case TOPIC_VIDEO:
        break;
    }
    return false;
}

bool client_has_due(const struct client *client)
{
    const struct hub *hub = client->hub;

    if (client->outgoing.total_bytes > 0 || client->answers != NULL || client->video_count > 0 ||
        client->ping_due || client->close_code != 0 || client->cameras_seen != hub->cameras_version)
        return true;
    if (client->events && client->cursor < ledger_last_seq(hub->settings.ledger))
        return true;
    for (const struct subscription *subscription = client->subscriptions; subscription != NULL;
         subscription                            = subscription->next) {
        if (subscription_has_due(hub, subscription))
            return true;
    }
    return false;
}

/* ---- choosing ---- */

static void begin_text(struct client *client, struct hub_text *text)
{
    client->outgoing = (struct outgoing){.text = text, .total_bytes = text->bytes};
}

static bool take_answer(struct client *client)
{
    struct queued_text *answer = client->answers;

    if (answer == NULL)
        return false;
    client->answers = answer->next;
    if (client->answers == NULL)
        client->answers_last = NULL;
    client->answer_bytes -= answer->text->bytes;
    begin_text(client, answer->text);
    free(answer);
    return true;
}

static bool take_notice(struct client *client)
{
    struct hub_text *text;

    if (client->cameras_seen == client->hub->cameras_version)
        return false;
    text = hub_cameras_notice(client->hub);
    if (text == NULL)
        return false;
    client->cameras_seen = client->hub->cameras_version;
    begin_text(client, text);
    return true;
}

static bool take_event(struct client *client)
{
    struct hub_text *text;

    if (!client->events || client->cursor >= ledger_last_seq(client->hub->settings.ledger))
        return false;
    text = hub_event_after(client->hub, client->cursor);
    if (text == NULL) /* the ledger cannot be read now: asked again with the next change */
        return false;
    client->cursor++;
    begin_text(client, text);
    return true;
}

static bool take_latest(struct client *client)
{
    struct hub *hub = client->hub;

    for (struct subscription *subscription = client->subscriptions; subscription != NULL;
         subscription                      = subscription->next) {
        struct hub_text *text = NULL;
        if (!subscription_has_due(hub, subscription))
            continue;
        switch (subscription->topic.kind) {
        case TOPIC_COUNTS:
            text               = hub_counts_since(hub, subscription->seen);
            subscription->seen = hub->counts_version;
            break;
        case TOPIC_HEALTH:
            text               = hub_text_ref(hub->health);
            subscription->seen = hub->health_version;
            break;
        case TOPIC_TRACKS:
            text               = hub_text_ref(subscription->camera->tracks);
            subscription->seen = subscription->camera->tracks_version;
            break;
        case TOPIC_EVENTS:
        case TOPIC_VIDEO:
            break;
        }
        if (text != NULL) {
            begin_text(client, text);
            return true;
        }
    }
    return false;
}

static bool take_unit(struct client *client)
{
    struct queued_unit queued;

    if (client->video_count == 0)
        return false;
    queued              = client->video[client->video_first];
    client->video_first = (client->video_first + 1) % HUB_VIDEO_UNITS;
    client->video_count--;
    client->video_bytes -= queued.unit->bytes;
    client->outgoing = (struct outgoing){.unit        = queued.unit,
                                         .channel     = queued.channel,
                                         .shift_ns    = queued.shift_ns,
                                         .total_bytes = HUB_VIDEO_HEADER + queued.unit->bytes};
    return true;
}

/* What must not be late or lost goes before what will come again. */
static bool take_next(struct client *client)
{
    return take_answer(client) || take_notice(client) || take_event(client) ||
           take_latest(client) || take_unit(client);
}

/* ---- writing ---- */

static void put_little_endian(unsigned char *at, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        at[i] = (unsigned char)(value >> (8 * i));
}

static void write_video_header(const struct outgoing *outgoing, unsigned char *at)
{
    const struct camera_unit *unit = outgoing->unit;

    at[0] = 1;
    at[1] = (unsigned char)unit->video;
    at[2] = unit->key ? 1 : 0;
    at[3] = 0;
    put_little_endian(at + 4, outgoing->channel, 4);
    put_little_endian(at + 8, (uint64_t)unit->width_px, 2);
    put_little_endian(at + 10, (uint64_t)unit->height_px, 2);
    put_little_endian(at + 12, (uint64_t)((unit->pts_ns + outgoing->shift_ns) / NS_PER_US), 8);
    put_little_endian(at + 20, (uint64_t)(unit->wall_ns / NS_PER_US), 8);
}

/* The next piece of the outgoing message, as a WebSocket fragment. libwebsockets puts its header in
 * front of the bytes, so they are copied: the original is shared. */
static int write_chunk(struct client *client)
{
    struct outgoing *outgoing = &client->outgoing;
    unsigned char   *chunk    = client->hub->chunk + LWS_PRE;
    size_t           bytes    = outgoing->total_bytes - outgoing->sent_bytes;
    const char      *from;
    int              flags;

    if (bytes > HUB_CHUNK_BYTES)
        bytes = HUB_CHUNK_BYTES;
    if (outgoing->text != NULL) {
        from = outgoing->text->data + outgoing->sent_bytes;
        memcpy(chunk, from, bytes);
    } else if (outgoing->sent_bytes == 0) {
        write_video_header(outgoing, chunk);
        memcpy(chunk + HUB_VIDEO_HEADER, outgoing->unit->data, bytes - HUB_VIDEO_HEADER);
    } else {
        memcpy(chunk, outgoing->unit->data + outgoing->sent_bytes - HUB_VIDEO_HEADER, bytes);
    }
    flags = lws_write_ws_flags(outgoing->text != NULL ? LWS_WRITE_TEXT : LWS_WRITE_BINARY,
                               outgoing->sent_bytes == 0,
                               outgoing->sent_bytes + bytes == outgoing->total_bytes);
    if (lws_write(client->wsi, chunk, bytes, (enum lws_write_protocol)flags) < (int)bytes)
        return -1;
    client->hub->stats.bytes_out += bytes;
    outgoing->sent_bytes += bytes;
    if (outgoing->sent_bytes == outgoing->total_bytes) {
        client->hub->stats.messages_out++;
        outgoing_clear(outgoing);
    }
    return 0;
}

/* With a payload: libwebsockets keeps the answer to an empty ping to itself. */
static int write_ping(struct client *client)
{
    static const char payload[] = "sightline";
    unsigned char    *chunk     = client->hub->chunk + LWS_PRE;

    client->ping_due = false;
    memcpy(chunk, payload, sizeof payload - 1);
    return lws_write(client->wsi, chunk, sizeof payload - 1, LWS_WRITE_PING) < 0 ? -1 : 0;
}

/* libwebsockets 4.1 sends no close frame when a writeable callback asks for the end, and has no call to write one: the
 * bytes go to the socket here, which is empty enough. The client's own close, or the deadline, ends the connection. */
static int write_close(struct client *client)
{
    size_t        bytes = strlen(client->close_reason);
    unsigned char frame[4 + sizeof client->close_reason];

    client->hub->stats.closed_policy++;
    frame[0] = 0x88;
    frame[1] = (unsigned char)(bytes + 2);
    frame[2] = (unsigned char)(client->close_code >> 8);
    frame[3] = (unsigned char)client->close_code;
    memcpy(frame + 4, client->close_reason, bytes);
    if (send(lws_get_socket_fd(client->wsi), frame, bytes + 4, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        return -1;
    client_close_soon(client);
    return 0;
}

int client_write(struct client *client)
{
    int rc = 0;

    client->asked_ns = 0;
    if (client->gone)
        return 0;
    for (int i = 0; i < WRITES_AT_ONCE && rc == 0; i++) {
        if (lws_send_pipe_choked(client->wsi))
            break;
        if (client->ping_due)
            rc = write_ping(client);
        else if (client->outgoing.total_bytes == 0 && client->close_code != 0)
            return write_close(client);
        else if (client->outgoing.total_bytes == 0 && !take_next(client))
            return 0;
        else
            rc = write_chunk(client);
    }
    if (rc == 0 && client_has_due(client))
        client_ask(client);
    return rc;
}
