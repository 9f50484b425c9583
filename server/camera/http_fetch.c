#include "server/camera/http_fetch.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <curl/curl.h>

#include "config/assert.h"
#include "config/err.h"
#include "server/camera/camera_url.h"

struct http_fetch {
    uv_loop_t         *loop;
    CURLM             *multi;
    CURL              *easy;
    struct curl_slist *headers;
    uv_timer_t         timer;
    unsigned           reach;
    size_t             max_bytes;
    char              *body;
    size_t             body_bytes, body_room, head_bytes;
    bool               too_large;
    struct why         denied;  /* why the policy refused the address; empty text: it did not */
    int                handles; /* of the loop, open or closing */
    bool               stopped;
    void (*done)(void *arg, int rc, int status, const char *body, size_t bytes,
                 const struct why *why);
    void *arg;
};

/* One socket of libcurl's, watched by the loop. */
struct watch {
    uv_poll_t          poll;
    struct http_fetch *fetch;
};

/* ---- the end ---- */

static void let_go(struct http_fetch *fetch)
{
    if (--fetch->handles > 0)
        return;
    free(fetch->body);
    free(fetch);
}

static void on_timer_closed(uv_handle_t *handle)
{
    let_go(handle->data);
}

static void on_watch_closed(uv_handle_t *handle)
{
    struct watch *watch = handle->data;

    let_go(watch->fetch);
    free(watch);
}

void http_fetch_stop(struct http_fetch **out)
{
    struct http_fetch *fetch = *out;

    *out = NULL;
    if (fetch == NULL)
        return;
    ASSERT(!fetch->stopped);
    fetch->stopped = true;
    /* Removing the transfer ends the watches, through on_socket(). */
    if (fetch->easy != NULL) {
        curl_multi_remove_handle(fetch->multi, fetch->easy);
        curl_easy_cleanup(fetch->easy);
    }
    if (fetch->multi != NULL)
        curl_multi_cleanup(fetch->multi);
    curl_slist_free_all(fetch->headers);
    uv_close((uv_handle_t *)&fetch->timer, on_timer_closed);
}

/* ---- the outcome ---- */

static int words(const struct http_fetch *fetch, CURLcode code, struct why *why)
{
    if (fetch->denied.text[0] != '\0') {
        *why = fetch->denied;
        return ERR_DENIED;
    }
    if (fetch->too_large)
        return why_set(why, ERR_LIMIT, "the answer is larger than anything we asked for");
    switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
        return why_set(why, ERR_TIMEOUT, "the camera does not answer over HTTP");
    case CURLE_COULDNT_RESOLVE_HOST:
        return why_set(why, ERR_IO, "no host has this name");
    case CURLE_COULDNT_CONNECT:
        return why_set(why, ERR_IO, "cannot connect to the camera over HTTP");
    case CURLE_PEER_FAILED_VERIFICATION:
        return why_set(why, ERR_IO, "the camera's certificate is not valid for it");
    default:
        return why_set(why, ERR_IO, "the camera's HTTP answer failed: %s",
                       curl_easy_strerror(code));
    }
}

static void look_for_end(struct http_fetch *fetch)
{
    int        left;
    CURLMsg   *message;
    struct why why    = {.text = ""};
    long       status = 0;
    int        rc;

    while (!fetch->stopped && (message = curl_multi_info_read(fetch->multi, &left)) != NULL) {
        if (message->msg != CURLMSG_DONE)
            continue;
        rc = message->data.result == CURLE_OK ? 0 : words(fetch, message->data.result, &why);
        curl_easy_getinfo(fetch->easy, CURLINFO_RESPONSE_CODE, &status);
        fetch->done(fetch->arg, rc, (int)status, fetch->body, fetch->body_bytes, &why);
        return;
    }
}

/* ---- what libcurl wants of the loop ---- */

/* Held while libcurl works: done() may stop the fetch from within. */
static void act(struct http_fetch *fetch, curl_socket_t socket, int events)
{
    int running;

    fetch->handles++;
    curl_multi_socket_action(fetch->multi, socket, events, &running);
    look_for_end(fetch);
    let_go(fetch);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct watch *watch = poll->data;
    uv_os_fd_t    fd;
    int           what = 0;

    if (watch->fetch->stopped || uv_fileno((uv_handle_t *)poll, &fd) != 0)
        return;
    if (status < 0)
        what = CURL_CSELECT_ERR;
    if ((events & UV_READABLE) != 0)
        what |= CURL_CSELECT_IN;
    if ((events & UV_WRITABLE) != 0)
        what |= CURL_CSELECT_OUT;
    act(watch->fetch, fd, what);
}

static int on_socket(CURL *easy, curl_socket_t socket, int what, void *arg, void *socket_arg)
{
    struct http_fetch *fetch = arg;
    struct watch      *watch = socket_arg;
    int                events;

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (watch != NULL) {
            uv_poll_stop(&watch->poll);
            if (!fetch->stopped)
                curl_multi_assign(fetch->multi, socket, NULL);
            uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
        }
        return 0;
    }
    if (watch == NULL) {
        watch = calloc(1, sizeof *watch);
        if (watch == NULL || uv_poll_init_socket(fetch->loop, &watch->poll, socket) != 0) {
            free(watch);
            return -1;
        }
        watch->fetch     = fetch;
        watch->poll.data = watch;
        fetch->handles++;
        curl_multi_assign(fetch->multi, socket, watch);
    }
    events = (what != CURL_POLL_OUT ? UV_READABLE : 0) | (what != CURL_POLL_IN ? UV_WRITABLE : 0);
    return uv_poll_start(&watch->poll, events, on_poll);
}

static void on_time(uv_timer_t *timer)
{
    act(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

static int on_wants_time(CURLM *multi, long wait_ms, void *arg)
{
    struct http_fetch *fetch = arg;

    (void)multi;
    if (fetch->stopped)
        return 0;
    if (wait_ms < 0)
        uv_timer_stop(&fetch->timer);
    else
        uv_timer_start(&fetch->timer, on_time, (uint64_t)wait_ms, 0);
    return 0;
}

/* ---- what comes ---- */

static size_t on_body(char *bytes, size_t size, size_t count, void *arg)
{
    struct http_fetch *fetch = arg;
    size_t             more  = size * count;

    if (more > fetch->max_bytes - fetch->body_bytes) {
        fetch->too_large = true;
        return 0;
    }
    if (fetch->body_bytes + more > fetch->body_room) {
        size_t room  = 2 * (fetch->body_bytes + more);
        char  *grown = realloc(fetch->body, room);
        if (grown == NULL)
            return 0;
        fetch->body      = grown;
        fetch->body_room = room;
    }
    memcpy(fetch->body + fetch->body_bytes, bytes, more);
    fetch->body_bytes += more;
    return more;
}

static size_t on_head(char *bytes, size_t size, size_t count, void *arg)
{
    struct http_fetch *fetch = arg;

    /* A body of a 401 that is asked again belongs to nobody. */
    if (size * count > 5 && strncmp(bytes, "HTTP/", 5) == 0)
        fetch->body_bytes = 0;
    fetch->head_bytes += size * count;
    if (fetch->head_bytes > HTTP_FETCH_HEAD_BYTES) {
        fetch->too_large = true;
        return 0;
    }
    return size * count;
}

static curl_socket_t on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct http_fetch *fetch = arg;

    (void)purpose;
    if (camera_url_allow(&address->addr, fetch->reach, &fetch->denied) != 0)
        return CURL_SOCKET_BAD;
    fetch->denied.text[0] = '\0';
    return socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
                  address->protocol);
}

/* ---- the beginning ---- */

static bool set_body(struct http_fetch *fetch, const struct http_fetch_settings *settings)
{
    char type[300];

    if (settings->body == NULL)
        return true;
    /* The empty Expect keeps libcurl from waiting for a 100 that cameras do not send. */
    snprintf(type, sizeof type, "Content-Type: %s", settings->content_type);
    fetch->headers               = curl_slist_append(NULL, type);
    struct curl_slist *with_more = curl_slist_append(fetch->headers, "Expect:");
    return fetch->headers != NULL && with_more != NULL &&
           curl_easy_setopt(fetch->easy, CURLOPT_HTTPHEADER, fetch->headers) == CURLE_OK &&
           curl_easy_setopt(fetch->easy, CURLOPT_POSTFIELDSIZE, (long)settings->body_bytes) ==
               CURLE_OK &&
           curl_easy_setopt(fetch->easy, CURLOPT_COPYPOSTFIELDS, settings->body) == CURLE_OK;
}

static bool set_sign_in(struct http_fetch *fetch, const struct http_fetch_settings *settings)
{
    if (settings->user == NULL || settings->user[0] == '\0')
        return true;
    return curl_easy_setopt(fetch->easy, CURLOPT_USERNAME, settings->user) == CURLE_OK &&
           curl_easy_setopt(fetch->easy, CURLOPT_PASSWORD, settings->password->value) == CURLE_OK &&
           curl_easy_setopt(fetch->easy, CURLOPT_HTTPAUTH, CURLAUTH_DIGEST | CURLAUTH_BASIC) ==
               CURLE_OK;
}

static bool set_up(struct http_fetch *fetch, const struct http_fetch_settings *settings)
{
    CURL *easy    = fetch->easy;
    long  timeout = settings->timeout_ms > 0 ? settings->timeout_ms : HTTP_FETCH_TIMEOUT_MS;
    long  verify  = settings->tls_unverified ? 0L : 1L;

    return curl_easy_setopt(easy, CURLOPT_URL, settings->url) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PROXY, "") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, timeout) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)HTTP_FETCH_CONNECT_TIMEOUT_MS) ==
               CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, verify) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2 * verify) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEDATA, fetch) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_head) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HEADERDATA, fetch) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, fetch) == CURLE_OK &&
           set_body(fetch, settings) && set_sign_in(fetch, settings) &&
           curl_multi_setopt(fetch->multi, CURLMOPT_SOCKETFUNCTION, on_socket) == CURLM_OK &&
           curl_multi_setopt(fetch->multi, CURLMOPT_SOCKETDATA, fetch) == CURLM_OK &&
           curl_multi_setopt(fetch->multi, CURLMOPT_TIMERFUNCTION, on_wants_time) == CURLM_OK &&
           curl_multi_setopt(fetch->multi, CURLMOPT_TIMERDATA, fetch) == CURLM_OK;
}

int http_fetch_start(struct http_fetch **out, uv_loop_t *loop,
                     const struct http_fetch_settings *settings, struct why *why)
{
    struct http_fetch *fetch = calloc(1, sizeof *fetch);

    *out = NULL;
    if (fetch == NULL)
        return why_set(why, ERR_MEMORY, "no memory for an HTTP request");
    fetch->loop       = loop;
    fetch->done       = settings->done;
    fetch->arg        = settings->arg;
    fetch->reach      = settings->reach != 0 ? settings->reach : SETTINGS_REACH_DEFAULT;
    fetch->max_bytes  = settings->max_bytes != 0 ? settings->max_bytes : HTTP_FETCH_MAX_BYTES;
    fetch->handles    = 1;
    fetch->timer.data = fetch;
    uv_timer_init(loop, &fetch->timer);
    fetch->multi = curl_multi_init();
    fetch->easy  = curl_easy_init();
    if (fetch->multi == NULL || fetch->easy == NULL || !set_up(fetch, settings) ||
        curl_multi_add_handle(fetch->multi, fetch->easy) != CURLM_OK) {
        http_fetch_stop(&fetch);
        return why_set(why, ERR_INVALID, "\"%.100s\" cannot be asked over HTTP", settings->url);
    }
    *out = fetch;
    return 0;
}
