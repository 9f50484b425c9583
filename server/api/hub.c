#include "server/api/hub_inside.h"

#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "config/assert.h"
#include "config/clock.h"
#include "config/err.h"
#include "config/log.h"

#define FLUSH_MS    10 /* changes that come together are told together */
#define TICK_MS     1000
#define CLOSE_NS    (2 * NS_PER_S) /* for a client to take its leave */
#define HEALTH_NS   (2 * NS_PER_S)
#define REAP_NS     (5 * NS_PER_S)
#define SEND_BUFFER (256 << 10) /* of the kernel, for one client: 20 Mbit/s at 100 ms */
#define UNSENT_LOW \
    (32 << 10) /* so much not sent yet makes the socket "full": newer state overtakes sooner */

static int on_lws(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                  size_t bytes);

static const struct lws_protocols protocols[] = {
    {"sightline", on_lws, 0, LIMIT_WS_MESSAGE_BYTES, 0, NULL, 0},
    {NULL, NULL, 0, 0, 0, NULL, 0},
};

/* ---- texts ---- */

struct hub_text *hub_text_ref(struct hub_text *text)
{
    text->references++;
    return text;
}

void hub_text_unref(struct hub_text **text)
{
    if (*text != NULL && --(*text)->references == 0)
        free(*text);
    *text = NULL;
}

struct hub_text *hub_text_from(struct json_writer *json)
{
    size_t           bytes;
    const char      *from = json_text(json, &bytes);
    struct hub_text *text = from == NULL ? NULL : malloc(sizeof *text + bytes);

    if (text == NULL)
        return NULL;
    text->references = 1;
    text->bytes      = bytes;
    memcpy(text->data, from, bytes);
    return text;
}

/* ---- clients ---- */

void client_ask(struct client *client)
{
    if (client->gone || client->wsi == NULL || client->asked_ns != 0)
        return;
    client->asked_ns = clock_monotonic_ns();
    lws_callback_on_writable(client->wsi);
}

void client_end(struct client *client, int code, const char *reason)
{
    if (client->close_code != 0)
        return;
    client->close_code = code;
    snprintf(client->close_reason, sizeof client->close_reason, "%s", reason);
    client_ask(client);
}

void client_answer(struct client *client, struct hub_text *text)
{
    struct queued_text *answer = text == NULL ? NULL : malloc(sizeof *answer);

    if (answer == NULL) {
        hub_text_unref(&text);
        client_end(client, LWS_CLOSE_STATUS_UNEXPECTED_CONDITION, "out of memory");
        return;
    }
    *answer = (struct queued_text){text, NULL};
    if (client->answers_last != NULL)
        client->answers_last->next = answer;
    else
        client->answers = answer;
    client->answers_last = answer;
    client->answer_bytes += text->bytes;
    if (client->answer_bytes > LIMIT_WS_QUEUE_HARD_BYTES) {
        client->hub->stats.closed_behind++;
        client_end(client, LWS_CLOSE_STATUS_POLICY_VIOLATION, "asks for more than it reads");
    }
    client_ask(client);
}

static struct client *client_new(struct hub *hub, uint64_t session, const struct peer *peer)
{
    struct client *client = calloc(1, sizeof *client);

    if (client == NULL)
        return NULL;
    client->hub          = hub;
    client->session      = session;
    client->peer         = *peer;
    client->cameras_seen = hub->cameras_version;
    client->heard_ns     = clock_monotonic_ns();
    client->pinged_ns    = client->heard_ns;
    client->next         = hub->clients;
    if (hub->clients != NULL)
        hub->clients->previous = client;
    hub->clients = client;
    hub->stats.clients++;
    return client;
}

static void client_free(struct client *client)
{
    struct hub *hub = client->hub;

    hub_unsubscribe_all(client);
    client_drop_video(client, 0);
    outgoing_clear(&client->outgoing);
    while (client->answers != NULL) {
        struct queued_text *next = client->answers->next;
        hub_text_unref(&client->answers->text);
        free(client->answers);
        client->answers = next;
    }
    if (client->previous != NULL)
        client->previous->next = client->next;
    else
        hub->clients = client->next;
    if (client->next != NULL)
        client->next->previous = client->previous;
    hub->stats.clients--;
    if (!hub->closing)
        hub->settings.left(hub->settings.arg, &client->peer);
    free(client->incoming);
    free(client);
}

static void tune_socket(int fd)
{
    int send_buffer = SEND_BUFFER, low = UNSENT_LOW, one = 1;

    /* Only hints: a local socket has none of them. */
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_buffer, sizeof send_buffer);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &low, sizeof low);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

void hub_upgrade(struct hub *hub, int fd, struct http_text key, uint64_t session,
                 const struct peer *peer)
{
    struct client *client = client_new(hub, session, peer);
    struct lws    *wsi;
    char           head[256];
    int            used;

    if (client == NULL) {
        close(fd);
        hub->settings.left(hub->settings.arg, peer);
        return;
    }
    tune_socket(fd);
    used = snprintf(head, sizeof head,
                    "GET / HTTP/1.1\r\nHost: sightline\r\nUpgrade: websocket\r\n"
                    "Connection: Upgrade\r\nSec-WebSocket-Key: %.*s\r\n"
                    "Sec-WebSocket-Version: 13\r\n\r\n",
                    (int)key.bytes, key.at);
    ASSERT(used > 0 && used < (int)sizeof head);
    /* The whole request is there, so libwebsockets answers it before it returns. */
    hub->arriving = client;
    wsi           = lws_adopt_socket_vhost_readbuf(hub->vhost, fd, head, (size_t)used);
    if (hub->arriving == NULL)
        return;
    hub->arriving = NULL;
    log_warning("websocket", "an upgrade from %s could not be completed", peer->text);
    client_free(client);
    if (wsi != NULL)
        lws_set_timeout(wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
}

static int client_established(struct hub *hub, struct lws *wsi)
{
    struct client *client = hub->arriving;

    if (client == NULL) /* nobody but hub_upgrade() brings connections */
        return -1;
    hub->arriving = NULL;
    client->wsi   = wsi;
    lws_set_opaque_user_data(wsi, client);
    hub->stats.opened++;
    hub_answer_hello(client);
    return 0;
}

/* ---- what clients say ---- */

static int refuse_message(struct client *client, enum lws_close_status code, const char *reason)
{
    lws_close_reason(client->wsi, code, (unsigned char *)(uintptr_t)reason, strlen(reason));
    if (code == LWS_CLOSE_STATUS_MESSAGE_TOO_LARGE)
        client->hub->stats.closed_oversized++;
    else
        client->hub->stats.closed_policy++;
    client->gone = true;
    return -1;
}

static bool keep_fragment(struct client *client, const char *in, size_t bytes)
{
    size_t room = client->incoming_room == 0 ? 1024 : client->incoming_room;
    char  *grown;

    while (room < client->incoming_bytes + bytes)
        room *= 2;
    if (room > client->incoming_room) {
        grown = realloc(client->incoming, room);
        if (grown == NULL)
            return false;
        client->incoming      = grown;
        client->incoming_room = room;
    }
    if (bytes > 0)
        memcpy(client->incoming + client->incoming_bytes, in, bytes);
    client->incoming_bytes += bytes;
    return true;
}

static int client_received(struct client *client, const char *in, size_t bytes)
{
    client->heard_ns = clock_monotonic_ns();
    if (client->gone || client->close_code != 0)
        return 0;
    if (lws_frame_is_binary(client->wsi))
        return refuse_message(client, LWS_CLOSE_STATUS_UNACCEPTABLE_OPCODE,
                              "only text is understood");
    if (client->incoming_bytes + bytes > LIMIT_WS_MESSAGE_BYTES)
        return refuse_message(client, LWS_CLOSE_STATUS_MESSAGE_TOO_LARGE,
                              "a message may have 64 KiB");
    if (!keep_fragment(client, in, bytes))
        return refuse_message(client, LWS_CLOSE_STATUS_UNEXPECTED_CONDITION, "out of memory");
    if (!lws_is_final_fragment(client->wsi) || lws_remaining_packet_payload(client->wsi) > 0)
        return 0;
    if (!message_rate_allows(&client->rate, client->heard_ns))
        return refuse_message(client, LWS_CLOSE_STATUS_POLICY_VIOLATION,
                              "more than 20 messages a second");
    client->hub->stats.messages_in++;
    hub_handle_message(client, client->incoming, client->incoming_bytes);
    client->incoming_bytes = 0;
    if (client->incoming_room > 4096) { /* large ones are rare: do not keep their memory */
        free(client->incoming);
        client->incoming      = NULL;
        client->incoming_room = 0;
    }
    return 0;
}

static int on_lws(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                  size_t bytes)
{
    struct hub    *hub    = lws_context_user(lws_get_context(wsi));
    struct client *client = wsi == NULL ? NULL : lws_get_opaque_user_data(wsi);

    (void)user;
    switch (reason) {
    case LWS_CALLBACK_ESTABLISHED:
        return client_established(hub, wsi);
    case LWS_CALLBACK_RECEIVE:
        return client == NULL ? -1 : client_received(client, in, bytes);
    case LWS_CALLBACK_RECEIVE_PONG:
        if (client != NULL)
            client->heard_ns = clock_monotonic_ns();
        return 0;
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return client == NULL ? 0 : client_write(client);
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
    case LWS_CALLBACK_WS_SERVER_DROP_PROTOCOL:
        if (client != NULL)
            client->gone = true;
        return 0;
    case LWS_CALLBACK_CLOSED:
    case LWS_CALLBACK_WSI_DESTROY:
        if (client != NULL) {
            lws_set_opaque_user_data(wsi, NULL);
            client_free(client);
        }
        return 0;
    case LWS_CALLBACK_HTTP: /* only our own upgrades come here */
        return -1;
    default:
        return 0;
    }
}

/* ---- time ---- */

static void flush(uv_timer_t *timer)
{
    struct hub *hub = timer->data;

    hub_refresh(hub);
    for (struct client *client = hub->clients; client != NULL; client = client->next) {
        if (client->asked_ns == 0 && client_has_due(client))
            client_ask(client);
    }
}

void hub_flush_soon(struct hub *hub)
{
    if (!hub->closing && hub->clients != NULL && !uv_is_active((uv_handle_t *)&hub->flush))
        uv_timer_start(&hub->flush, flush, FLUSH_MS, 0);
}

/* A client that takes nothing gets no close frame either, and what the kernel still holds for it is thrown away: the
 * connection just ends. libwebsockets hears of that from the socket. */
static void kill_client(struct client *client)
{
    struct linger none = {.l_onoff = 1, .l_linger = 0};
    int           fd   = lws_get_socket_fd(client->wsi);

    client->gone = true;
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    (void)shutdown(fd, SHUT_RDWR);
}

void client_close_soon(struct client *client)
{
    client->gone    = true;
    client->kill_ns = clock_monotonic_ns() + CLOSE_NS;
    (void)shutdown(lws_get_socket_fd(client->wsi), SHUT_WR);
}

static void check_client(struct client *client, int64_t now_ns)
{
    const struct hub_settings *settings = &client->hub->settings;

    if (client->kill_ns != 0 && now_ns >= client->kill_ns)
        kill_client(client);
    if (client->wsi == NULL || client->gone)
        return;
    if (client->asked_ns != 0 && now_ns - client->asked_ns > settings->behind_ms * NS_PER_MS) {
        client->hub->stats.closed_behind++;
        kill_client(client);
    } else if (now_ns - client->heard_ns > settings->silent_ms * NS_PER_MS) {
        client->hub->stats.closed_silent++;
        kill_client(client);
    } else if (now_ns - client->pinged_ns >= settings->ping_ms * NS_PER_MS) {
        client->pinged_ns = now_ns;
        client->ping_due  = true;
        client_ask(client);
    }
}

static void tick(uv_timer_t *timer)
{
    struct hub    *hub    = timer->data;
    int64_t        now_ns = clock_monotonic_ns();
    struct client *next;

    for (struct client *client = hub->clients; client != NULL; client = next) {
        next = client->next;
        check_client(client, now_ns);
    }
    if (now_ns - hub->health_ns >= HEALTH_NS) {
        hub->health_ns = now_ns;
        hub_health_changed(hub);
        for (struct hub_camera *camera = hub->cameras; camera != NULL; camera = camera->next)
            hub_video_refresh(camera);
    }
}

/* ---- open and close ---- */

/* Always as debugging text: it reports its ordinary steps as errors, and real ones come back to us as codes. */
static void emit_log(int level, const char *line)
{
    (void)level;
    log_debug("libwebsockets", "%.*s", (int)strcspn(line, "\r\n"), line);
}

static int open_context(struct hub *hub)
{
    struct lws_context_creation_info info     = {0};
    void                            *loops[1] = {hub->settings.loop};

    lws_set_log_level(LLL_ERR, emit_log);
    info.port                 = CONTEXT_PORT_NO_LISTEN; /* sockets come from http_server.c */
    info.protocols            = protocols;
    info.foreign_loops        = loops;
    info.user                 = hub;
    info.fd_limit_per_thread  = LIMIT_CLIENTS + 64;
    info.max_http_header_pool = 16; /* one at a time is in use */
    info.options              = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS |
                   LWS_SERVER_OPTION_VALIDATE_UTF8;
    hub->context = lws_create_context(&info);
    if (hub->context != NULL)
        hub->vhost = lws_create_vhost(hub->context, &info);
    return hub->vhost == NULL ? ERR_IO : 0;
}

static void own_handle_closed(uv_handle_t *handle)
{
    struct hub *hub        = handle->data;
    void       *arg        = hub->settings.arg;
    void (*closed)(void *) = hub->settings.closed;

    if (--hub->own_handles > 0)
        return;
    hub_free_topics(hub);
    json_free(&hub->json);
    free(hub->chunk);
    free(hub->page);
    free(hub);
    if (closed != NULL)
        closed(arg);
}

static void close_own_handles(struct hub *hub)
{
    uv_close((uv_handle_t *)&hub->flush, own_handle_closed);
    uv_close((uv_handle_t *)&hub->tick, own_handle_closed);
    uv_close((uv_handle_t *)&hub->reaper, own_handle_closed);
}

int hub_open(struct hub **out, const struct hub_settings *settings, struct why *why)
{
    struct hub *hub = calloc(1, sizeof *hub);
    int         rc;

    *out = NULL;
    if (hub == NULL)
        return why_set(why, ERR_MEMORY, "no memory for the WebSocket hub");
    hub->settings        = *settings;
    hub->counts_version  = 1;
    hub->cameras_version = 1;
    hub->counts_dirty    = true;
    hub->health_dirty    = true;
    json_init(&hub->json, HUB_MESSAGE_BYTES);
    uv_timer_init(settings->loop, &hub->flush);
    uv_timer_init(settings->loop, &hub->tick);
    uv_idle_init(settings->loop, &hub->reaper);
    hub->flush.data = hub->tick.data = hub->reaper.data = hub;
    hub->own_handles                                    = 3;
    hub->chunk = malloc(LWS_PRE + HUB_VIDEO_HEADER + HUB_CHUNK_BYTES);
    hub->page  = malloc(HUB_EVENT_PAGE * sizeof *hub->page);
    rc         = hub->chunk == NULL || hub->page == NULL ? ERR_MEMORY : open_context(hub);
    if (rc == 0)
        rc = uv_timer_start(&hub->tick, tick, TICK_MS, TICK_MS);
    if (rc != 0) {
        hub->settings.closed = NULL;
        hub_close(&hub);
        return why_set(why, rc,
                       "libwebsockets cannot be started (is its libuv plug-in, "
                       "libwebsockets-evlib-uv, installed?)");
    }
    *out = hub;
    return 0;
}

static void see_closing(uv_handle_t *handle, void *arg)
{
    if (uv_is_closing(handle))
        *(bool *)arg = true;
}

/* libwebsockets closes its handles over some turns of a loop that is not its own, each from the close callback of the one
 * before, and does not tell when it is done; only then may the context be destroyed a second time, which
 * frees it. While it is at work some handle of the loop is always closing. */
static void reap(uv_idle_t *idle)
{
    struct hub *hub     = idle->data;
    bool        closing = false;

    uv_walk(hub->settings.loop, see_closing, &closing);
    hub->quiet_turns = closing || hub->clients != NULL ? 0 : hub->quiet_turns + 1;
    if (hub->quiet_turns < 2 && clock_monotonic_ns() < hub->reap_until_ns)
        return;
    lws_context_destroy(hub->context);
    hub->context = NULL;
    close_own_handles(hub);
}

void hub_close(struct hub **hub)
{
    struct hub *closing = *hub;

    *hub = NULL;
    if (closing == NULL)
        return;
    closing->closing = true;
    uv_timer_stop(&closing->flush);
    uv_timer_stop(&closing->tick);
    if (closing->context == NULL) {
        close_own_handles(closing);
        return;
    }
    closing->reap_until_ns = clock_monotonic_ns() + REAP_NS;
    lws_context_destroy(closing->context);
    uv_idle_start(&closing->reaper, reap);
}

void hub_end_session(struct hub *hub, uint64_t session)
{
    for (struct client *client = hub->clients; client != NULL; client = client->next) {
        if (client->session == session && client->wsi != NULL)
            client_end(client, LWS_CLOSE_STATUS_POLICY_VIOLATION, "signed out");
    }
}

void hub_stats(const struct hub *hub, struct hub_stats *stats)
{
    *stats = hub->stats;
}
