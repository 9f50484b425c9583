#include "server/camera/camera_http.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>
#include <openssl/crypto.h>

#include "config/err.h"
#include "server/camera/camera_lookup.h"

#define ADDRESS_BYTES (INET6_ADDRSTRLEN + 2)

struct camera_http {
    uv_loop_t                *loop;
    uv_timer_t                timer; /* libcurl's */
    struct camera_http_events events;
    unsigned                  reach, resolve_ms, silence_s, connect_ms, whole_ms;
    bool                      unverified, any_status;
    char                      fingerprint[SETTINGS_FINGERPRINT_BYTES];
    CURLM                    *multi;
    CURL                     *easy;
    struct curl_slist        *resolved; /* "host:port:address,..." */
    struct camera_lookup     *lookup;
    struct camera_url         url;     /* of the request under way */
    struct curl_slist        *headers; /* of a POST; NULL: a GET */
    char                     *sent;    /* its body */
    size_t                    sent_bytes;
    unsigned                  redirects, request_reach;
    bool                      added; /* the request is with libcurl */
    bool                      begun; /* head() was told */
    bool                      enough;
    bool                      closed;
    char                      error[CURL_ERROR_SIZE];
};

/* A socket that libcurl wants watched. It outlives the request for as long as the loop needs. */
struct watched {
    uv_poll_t           poll;
    struct camera_http *http;
    curl_socket_t       socket;
};

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void set_up_curl(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* ---- the end of a request ---- */

static const struct {
    CURLcode    code;
    int         result;
    const char *reason;
} FAILURES[] = {
    {CURLE_COULDNT_RESOLVE_HOST, ERR_NOT_FOUND, "the camera's name has no address"},
    {CURLE_COULDNT_CONNECT, ERR_IO, "cannot connect to the camera"},
    {CURLE_OPERATION_TIMEDOUT, ERR_TIMEOUT, "the camera does not answer in time"},
    {CURLE_PEER_FAILED_VERIFICATION, ERR_DENIED, "the camera's certificate is not trusted"},
    {CURLE_PARTIAL_FILE, ERR_CLOSED, "the camera broke off its answer"},
    {CURLE_RECV_ERROR, ERR_CLOSED, "the connection to the camera broke"},
    {CURLE_SEND_ERROR, ERR_CLOSED, "the connection to the camera broke"},
    {CURLE_GOT_NOTHING, ERR_CLOSED, "the camera closed the connection without an answer"},
    {CURLE_OUT_OF_MEMORY, ERR_MEMORY, "out of memory"},
    {CURLE_SSL_CONNECT_ERROR, ERR_CORRUPT, "the camera does not speak TLS as it should"},
};

static void tell(struct camera_http *http, int code, const char *reason)
{
    if (!http->closed)
        http->events.done(http->events.arg, code, reason);
}

static void tell_status(struct camera_http *http, long status)
{
    char reason[80];

    switch (status) {
    case 401:
        tell(http, ERR_UNAUTHORIZED,
             http->url.user[0] != '\0' ? "the camera refuses the user name or the password (401)"
                                       : "the camera asks for a user name and a password (401)");
        return;
    case 403:
        tell(http, ERR_DENIED, "the camera forbids this user to see the stream (403)");
        return;
    case 404:
        tell(http, ERR_NOT_FOUND, "the camera has nothing at this path (404)");
        return;
    default:
        snprintf(reason, sizeof reason, "the camera answers with status %ld", status);
        tell(http, ERR_CORRUPT, reason);
    }
}

static void begin(struct camera_http *http);

/* The kind of the address that the last answer came from; 0: not known. */
static unsigned answered_from(const struct camera_http *http)
{
    char               *address = NULL;
    struct sockaddr_in  ipv4    = {.sin_family = AF_INET};
    struct sockaddr_in6 ipv6    = {.sin6_family = AF_INET6};
    int                 kind    = 0;

    curl_easy_getinfo(http->easy, CURLINFO_PRIMARY_IP, &address);
    if (address != NULL && inet_pton(AF_INET, address, &ipv4.sin_addr) == 1)
        kind = camera_url_reach((struct sockaddr *)&ipv4, NULL);
    else if (address != NULL && inet_pton(AF_INET6, address, &ipv6.sin6_addr) == 1)
        kind = camera_url_reach((struct sockaddr *)&ipv6, NULL);
    return kind > 0 ? (unsigned)kind : 0;
}

static void follow(struct camera_http *http)
{
    char       asked[CAMERA_URL_HOST_BYTES];
    char      *location = NULL;
    struct why why      = {"the camera redirects to nowhere"};
    int        rc       = ERR_DENIED;

    memcpy(asked, http->url.host, sizeof asked);
    curl_easy_getinfo(http->easy, CURLINFO_REDIRECT_URL, &location);
    if (location != NULL)
        rc = camera_url_redirect(&http->url, location, &why);
    if (rc == 0 && ++http->redirects > CAMERA_URL_REDIRECTS)
        rc = why_set(&why, ERR_DENIED, "the camera redirects more than %d times",
                     CAMERA_URL_REDIRECTS);
    if (rc == 0 && http->headers != NULL && strcmp(asked, http->url.host) != 0)
        rc = why_set(&why, ERR_DENIED,
                     "the camera redirects what it is told to another host: that is not followed");
    http->request_reach = camera_url_redirect_reach(http->request_reach, answered_from(http));
    if (rc != 0)
        tell(http, rc, why.text);
    else
        begin(http);
}

static bool is_answer(const struct camera_http *http, long status)
{
    return (status >= 200 && status < 300) ||
           (http->any_status && status >= 400 && status != 401 && status != 404);
}

static void finish(struct camera_http *http, CURLcode code)
{
    long status = 0;

    curl_easy_getinfo(http->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_multi_remove_handle(http->multi, http->easy);
    http->added = false;
    if (http->enough) {
        tell(http, ERR_LIMIT, "the camera sends more than is taken");
    } else if (code == CURLE_OK && status >= 300 && status < 400) {
        follow(http);
    } else if (code == CURLE_OK && !is_answer(http, status)) {
        tell_status(http, status);
    } else if (code == CURLE_OK) {
        tell(http, 0, "the camera ended the stream");
    } else {
        for (size_t i = 0; i < sizeof FAILURES / sizeof FAILURES[0]; i++) {
            if (FAILURES[i].code == code) {
                tell(http, FAILURES[i].result, FAILURES[i].reason);
                return;
            }
        }
        tell(http, ERR_CORRUPT, curl_easy_strerror(code));
    }
}

static void look_for_end(struct camera_http *http)
{
    CURLMsg *message;
    int      left;

    while (!http->closed && (message = curl_multi_info_read(http->multi, &left)) != NULL) {
        if (message->msg == CURLMSG_DONE)
            finish(http, message->data.result);
    }
}

/* ---- libcurl on the loop ---- */

static void on_watched_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void on_socket_event(uv_poll_t *poll, int status, int events)
{
    struct watched     *watched = poll->data;
    struct camera_http *http    = watched->http;
    int                 flags   = ((events & UV_READABLE) != 0 ? CURL_CSELECT_IN : 0) |
                ((events & UV_WRITABLE) != 0 ? CURL_CSELECT_OUT : 0);
    int running;

    if (http->closed)
        return;
    curl_multi_socket_action(http->multi, watched->socket, status < 0 ? CURL_CSELECT_ERR : flags,
                             &running);
    look_for_end(http);
}

static int watch_socket(CURL *easy, curl_socket_t socket, int what, void *arg, void *known)
{
    struct camera_http *http    = arg;
    struct watched     *watched = known;

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (watched != NULL) {
            uv_poll_stop(&watched->poll);
            curl_multi_assign(http->multi, socket, NULL);
            uv_close((uv_handle_t *)&watched->poll, on_watched_closed);
        }
        return 0;
    }
    if (watched == NULL) {
        if ((watched = calloc(1, sizeof *watched)) == NULL)
            return -1;
        watched->http   = http;
        watched->socket = socket;
        if (uv_poll_init_socket(http->loop, &watched->poll, socket) != 0) {
            free(watched);
            return -1;
        }
        watched->poll.data = watched;
        curl_multi_assign(http->multi, socket, watched);
    }
    uv_poll_start(&watched->poll,
                  ((what & CURL_POLL_IN) != 0 ? UV_READABLE : 0) |
                      ((what & CURL_POLL_OUT) != 0 ? UV_WRITABLE : 0),
                  on_socket_event);
    return 0;
}

static void on_timer(uv_timer_t *timer)
{
    struct camera_http *http = timer->data;
    int                 running;

    curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    look_for_end(http);
}

static int set_timer(CURLM *multi, long timeout_ms, void *arg)
{
    struct camera_http *http = arg;

    (void)multi;
    if (http->closed)
        return 0;
    if (timeout_ms < 0)
        uv_timer_stop(&http->timer);
    else
        uv_timer_start(&http->timer, on_timer, (uint64_t)timeout_ms, 0);
    return 0;
}

/* The last word before a connection: whatever libcurl believes, only what is allowed is opened. */
static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct camera_http *http = arg;

    if (purpose != CURLSOCKTYPE_IPCXN ||
        camera_url_allow(&address->addr, http->request_reach, NULL) != 0)
        return CURL_SOCKET_BAD;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    struct camera_http *http   = arg;
    size_t              bytes  = size * count;
    long                status = 0;
    char               *type   = NULL;

    if (http->closed)
        return 0;
    curl_easy_getinfo(http->easy, CURLINFO_RESPONSE_CODE, &status);
    if (!is_answer(http, status))
        return bytes; /* the text of an error */
    if (!http->begun) {
        http->begun = true;
        curl_easy_getinfo(http->easy, CURLINFO_CONTENT_TYPE, &type);
        http->events.head(http->events.arg, type != NULL ? type : "", &http->url);
        if (http->closed)
            return 0;
    }
    http->enough = !http->events.body(http->events.arg, (const uint8_t *)data, bytes);
    return http->enough || http->closed ? 0 : bytes;
}

static CURLcode trust_pinned(CURL *easy, void *context, void *arg)
{
    struct camera_http *http = arg;

    (void)easy;
    camera_tls_pin(context, http->fingerprint);
    return CURLE_OK;
}

/* ---- a request ---- */

static void set_trust(struct camera_http *http)
{
    bool pinned = http->fingerprint[0] != '\0';

    /* With a pin the callback judges in place of the library's authorities. */
    curl_easy_setopt(http->easy, CURLOPT_SSL_VERIFYPEER, pinned || !http->unverified ? 1L : 0L);
    curl_easy_setopt(http->easy, CURLOPT_SSL_VERIFYHOST, pinned || http->unverified ? 0L : 2L);
    curl_easy_setopt(http->easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(http->easy, CURLOPT_SSL_CTX_FUNCTION, trust_pinned);
    curl_easy_setopt(http->easy, CURLOPT_SSL_CTX_DATA, http);
}

static void set_account(struct camera_http *http)
{
    const struct camera_url *url = &http->url;

    if (url->user[0] == '\0' && url->password.value[0] == '\0')
        return;
    curl_easy_setopt(http->easy, CURLOPT_HTTPAUTH, (long)(CURLAUTH_DIGEST | CURLAUTH_BASIC));
    curl_easy_setopt(http->easy, CURLOPT_USERNAME, url->user);
    curl_easy_setopt(http->easy, CURLOPT_PASSWORD, url->password.value);
}

/* The empty Expect: libcurl would wait for a 100 that cameras do not send. */
static int set_body(struct camera_http *http, const char *content_type, const char *body,
                    size_t bytes)
{
    char               type[300];
    struct curl_slist *longer;

    curl_slist_free_all(http->headers);
    free(http->sent);
    http->headers = NULL;
    http->sent    = NULL;
    if (content_type == NULL)
        return 0;
    snprintf(type, sizeof type, "Content-Type: %s", content_type);
    http->headers = curl_slist_append(NULL, type);
    longer        = http->headers == NULL ? NULL : curl_slist_append(http->headers, "Expect:");
    http->sent    = malloc(bytes + 1);
    if (longer == NULL || http->sent == NULL)
        return ERR_MEMORY;
    memcpy(http->sent, body, bytes);
    http->sent_bytes = bytes;
    return 0;
}

static int request(struct camera_http *http)
{
    char  address[LIMIT_URL_BYTES];
    CURL *easy = http->easy;

    camera_url_format(&http->url, address);
    curl_easy_reset(easy);
    curl_easy_setopt(easy, CURLOPT_URL, address);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "Sightline/" SIGHTLINE_VERSION);
    curl_easy_setopt(easy, CURLOPT_RESOLVE, http->resolved);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, http);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)http->connect_ms);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)http->silence_s);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, http);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, http->error);
    if (http->whole_ms > 0)
        curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)http->whole_ms);
    if (http->headers != NULL) {
        curl_easy_setopt(easy, CURLOPT_HTTPHEADER, http->headers);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)http->sent_bytes);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, http->sent);
    }
    set_trust(http);
    set_account(http);
    http->begun = http->enough = false;
    if (curl_multi_add_handle(http->multi, easy) != CURLM_OK)
        return ERR_MEMORY;
    http->added = true;
    return 0;
}

/* "host:port:[address],[address]": libcurl looks nothing up by itself. */
static bool give_addresses(struct camera_http *http, const struct sockaddr_storage *addresses,
                           int count)
{
    char   line[CAMERA_URL_HOST_BYTES + CAMERA_LOOKUP_ADDRESSES * (ADDRESS_BYTES + 1) + 16];
    size_t used = (size_t)snprintf(line, sizeof line, "%s:%u:", http->url.host,
                                   (unsigned)http->url.port);

    for (int i = 0; i < count && used < sizeof line; i++) {
        char text[INET6_ADDRSTRLEN] = "";
        bool ipv6                   = addresses[i].ss_family == AF_INET6;

        inet_ntop(addresses[i].ss_family,
                  ipv6 ? (const void *)&((const struct sockaddr_in6 *)&addresses[i])->sin6_addr
                       : (const void *)&((const struct sockaddr_in *)&addresses[i])->sin_addr,
                  text, sizeof text);
        used += (size_t)snprintf(line + used, sizeof line - used, ipv6 ? "%s[%s]" : "%s%s",
                                 i > 0 ? "," : "", text);
    }
    curl_slist_free_all(http->resolved);
    http->resolved = curl_slist_append(NULL, line);
    return http->resolved != NULL;
}

static void on_looked_up(void *arg, int code, const char *reason,
                         const struct sockaddr_storage *addresses, int count)
{
    struct camera_http *http = arg;

    if (code != 0)
        tell(http, code == ERR_TIMEOUT ? ERR_NOT_FOUND : code, reason);
    else if (!give_addresses(http, addresses, count) || request(http) != 0)
        tell(http, ERR_MEMORY, "out of memory");
}

/* Looks up also what was looked up for the request before: a camera may move, and a number is free. */
static int look_up(struct camera_http *http, struct why *why)
{
    const struct camera_lookup_request lookup = {.host       = http->url.host,
                                                 .port       = http->url.port,
                                                 .reach      = http->request_reach,
                                                 .timeout_ms = http->resolve_ms,
                                                 .arg        = http,
                                                 .done       = on_looked_up};

    return camera_lookup_start(&http->lookup, http->loop, &lookup, why);
}

static void begin(struct camera_http *http)
{
    if (look_up(http, NULL) != 0)
        tell(http, ERR_MEMORY, "out of memory");
}

int camera_http_post(struct camera_http *http, const struct camera_url *url,
                     const char *content_type, const char *body, size_t bytes, struct why *why)
{
    if (set_body(http, content_type, body, bytes) != 0)
        return why_set(why, ERR_MEMORY, "out of memory");
    http->url           = *url;
    http->redirects     = 0;
    http->request_reach = http->reach;
    return look_up(http, why);
}

int camera_http_get(struct camera_http *http, const struct camera_url *url, struct why *why)
{
    return camera_http_post(http, url, NULL, NULL, 0, why);
}

void camera_http_narrow(struct camera_http *http)
{
    http->reach = camera_url_redirect_reach(http->request_reach, answered_from(http));
}

int camera_http_resolve(const struct camera_url *base, const char *reference,
                        struct camera_url *url, struct why *why)
{
    char   text[LIMIT_URL_BYTES];
    char  *whole  = NULL;
    CURLU *parser = curl_url();
    int    rc     = ERR_DENIED;

    *url = *base;
    camera_url_format(base, text);
    if (parser != NULL && curl_url_set(parser, CURLUPART_URL, text, 0) == CURLUE_OK &&
        curl_url_set(parser, CURLUPART_URL, reference, 0) == CURLUE_OK &&
        curl_url_get(parser, CURLUPART_URL, &whole, 0) == CURLUE_OK)
        rc = camera_url_redirect(url, whole, why);
    else
        why_set(why, rc, "the camera's playlist names an address that is none");
    curl_free(whole);
    curl_url_cleanup(parser);
    return rc;
}

/* ---- open, close ---- */

static void on_timer_closed(uv_handle_t *handle)
{
    struct camera_http *http = handle->data;

    if (http->added)
        curl_multi_remove_handle(http->multi, http->easy);
    curl_easy_cleanup(http->easy);
    curl_multi_cleanup(http->multi);
    curl_slist_free_all(http->resolved);
    curl_slist_free_all(http->headers);
    free(http->sent);
    OPENSSL_cleanse(http, sizeof *http);
    free(http);
}

void camera_http_close(struct camera_http **out)
{
    struct camera_http *http = *out;

    if (http == NULL)
        return;
    *out         = NULL;
    http->closed = true;
    camera_lookup_cancel(&http->lookup);
    /* What of libcurl is running may be what we were called from: it is taken apart later. */
    uv_close((uv_handle_t *)&http->timer, on_timer_closed);
}

int camera_http_open(struct camera_http **out, uv_loop_t *loop,
                     const struct camera_http_settings *settings,
                     const struct camera_http_events *events, struct why *why)
{
    struct camera_http *http = calloc(1, sizeof *http);

    *out = NULL;
    pthread_once(&curl_once, set_up_curl);
    if (http == NULL || (http->multi = curl_multi_init()) == NULL ||
        (http->easy = curl_easy_init()) == NULL) {
        if (http != NULL)
            curl_multi_cleanup(http->multi);
        free(http);
        return why_set(why, ERR_MEMORY, "out of memory");
    }
    http->loop       = loop;
    http->events     = *events;
    http->reach      = settings->reach;
    http->resolve_ms = settings->resolve_ms;
    http->connect_ms = settings->connect_ms;
    http->silence_s  = settings->silence_s;
    http->whole_ms   = settings->whole_ms;
    http->any_status = settings->any_status;
    http->unverified = settings->trust.unverified;
    snprintf(http->fingerprint, sizeof http->fingerprint, "%s", settings->trust.fingerprint);
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, set_timer);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
    curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, 2L);
    uv_timer_init(loop, &http->timer);
    http->timer.data = http;
    *out             = http;
    return 0;
}
