#include "server/camera/onvif_client.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "config/clock.h"
#include "config/err.h"
#include "server/camera/camera_http.h"
#include "server/camera/camera_url.h"
#include "server/camera/xml_tree.h"

#define RESOLVE_MS 4000
#define CONNECT_MS 4000
#define SILENCE_S  6
#define REQUEST_MS 10000 /* of each question */

struct onvif_client {
    uv_loop_t                   *loop;
    struct onvif_client_settings settings;
    char                         user[LIMIT_NAME_BYTES];
    struct secret                password;
    char                         host[CAMERA_URL_HOST_BYTES];
    char                         device[LIMIT_URL_BYTES], media[LIMIT_URL_BYTES];
    int64_t                      clock_ahead_s;
    enum onvif_request           step;
    int                          stream; /* whose address is asked for */
    struct camera_http          *http;
    char                        *answer; /* XML_BYTES_MAX, the limit of what is read */
    size_t                       answer_bytes;
    struct onvif_camera          camera;
};

static void ask(struct onvif_client *client);

static void end(struct onvif_client *client, int rc, const struct why *why)
{
    client->settings.done(client->settings.arg, rc, &client->camera, why);
}

void onvif_client_stop(struct onvif_client **out)
{
    struct onvif_client *client = *out;

    *out = NULL;
    if (client == NULL)
        return;
    camera_http_close(&client->http);
    free(client->answer);
    OPENSSL_cleanse(client, sizeof *client);
    free(client);
}

double onvif_client_progress(const struct onvif_client *client)
{
    int steps = ONVIF_GET_SNAPSHOT_URI + client->camera.stream_count;

    return ((int)client->step + client->stream) / (double)(steps + 1);
}

/* ---- answers ---- */

static int read_profiles(struct onvif_client *client, const char *body, size_t bytes,
                         struct why *why)
{
    struct onvif_profile profiles[ONVIF_PROFILES_MAX];
    int                  count = onvif_read_profiles(body, bytes, profiles, why);

    if (count < 0)
        return count;
    client->camera.stream_count = count;
    for (int i = 0; i < count; i++)
        client->camera.streams[i].profile = profiles[i];
    client->camera.view   = onvif_main_profile(profiles, count);
    client->camera.detect = onvif_sub_profile(profiles, count, ONVIF_DETECT_WIDTH);
    return 0;
}

static int read_address(struct onvif_client *client, const char *body, size_t bytes,
                        const char *schemes, char out[static LIMIT_URL_BYTES], struct why *why)
{
    char uri[LIMIT_URL_BYTES];
    int  rc = onvif_read_uri(body, bytes, uri, why);

    return rc != 0 ? rc : onvif_place_at(uri, client->host, schemes, out, why);
}

static int read_answer(struct onvif_client *client, const char *body, size_t bytes, struct why *why)
{
    char    media[LIMIT_URL_BYTES];
    int64_t unix_s;
    int     rc;

    switch (client->step) {
    case ONVIF_GET_TIME:
        rc = onvif_read_time(body, bytes, &unix_s, why);
        if (rc == 0)
            client->clock_ahead_s = unix_s - clock_wall_ns() / NS_PER_S;
        return rc;
    case ONVIF_GET_CAPABILITIES:
        rc = onvif_read_capabilities(body, bytes, media, why);
        return rc != 0 ? rc : onvif_place_at(media, client->host, "http https", client->media, why);
    case ONVIF_GET_INFORMATION:
        return onvif_read_information(body, bytes, &client->camera.information, why);
    case ONVIF_GET_PROFILES:
        return read_profiles(client, body, bytes, why);
    case ONVIF_GET_STREAM_URI:
        return read_address(client, body, bytes, "rtsp rtsps",
                            client->camera.streams[client->stream].address, why);
    case ONVIF_GET_SNAPSHOT_URI:
        return read_address(client, body, bytes, "http https", client->camera.snapshot, why);
    }
    return ERR_INVALID;
}

/* What a camera may lack without being less of a camera. */
static bool is_needed(const struct onvif_client *client)
{
    return client->step != ONVIF_GET_TIME && client->step != ONVIF_GET_INFORMATION &&
           client->step != ONVIF_GET_SNAPSHOT_URI;
}

static void on_head(void *arg, const char *content_type, const struct camera_url *url)
{
    (void)arg;
    (void)content_type;
    (void)url;
}

static bool on_body(void *arg, const uint8_t *data, size_t bytes)
{
    struct onvif_client *client = arg;

    if (bytes > XML_BYTES_MAX - client->answer_bytes)
        return false;
    memcpy(client->answer + client->answer_bytes, data, bytes);
    client->answer_bytes += bytes;
    return true;
}

static void on_done(void *arg, int rc, const char *reason)
{
    struct onvif_client *client = arg;
    struct why           why;
    bool                 silent = rc != 0; /* not an answer that we do not like: none at all */

    why_set(&why, rc, "%s", reason);
    if (rc == 0)
        rc = read_answer(client, client->answer, client->answer_bytes, &why);
    if (rc != 0 && (silent || is_needed(client) || rc == ERR_UNAUTHORIZED) &&
        !(client->step == ONVIF_GET_TIME && !silent)) {
        end(client, rc, &why);
        return;
    }
    if (client->step == ONVIF_GET_SNAPSHOT_URI) {
        end(client, 0, &why);
        return;
    }
    if (client->step == ONVIF_GET_STREAM_URI && client->stream + 1 < client->camera.stream_count)
        client->stream++;
    else
        client->step++;
    ask(client);
}

/* ---- questions ---- */

static const char *profile_token(const struct onvif_client *client)
{
    int stream = client->step == ONVIF_GET_SNAPSHOT_URI ? client->camera.view : client->stream;

    return client->camera.streams[stream].profile.token;
}

static int try_ask(struct onvif_client *client, struct why *why)
{
    struct onvif_credentials credentials = {client->user, &client->password, client->clock_ahead_s};
    struct camera_url        url;
    char                     type[256];
    char                     body[ONVIF_REQUEST_BYTES];
    int                      bytes;
    int                      rc;

    rc = camera_url_parse(&url, client->step >= ONVIF_GET_PROFILES ? client->media : client->device,
                          why);
    if (rc != 0)
        return rc;
    memcpy(url.user, client->user, sizeof url.user);
    url.password = client->password;
    snprintf(type, sizeof type, "application/soap+xml; charset=utf-8; action=\"%s\"",
             onvif_action(client->step));
    bytes = onvif_write(client->step, profile_token(client), &credentials,
                        clock_wall_ns() / NS_PER_S, body, sizeof body);
    if (bytes < 0)
        return why_set(why, bytes, "the question to the camera is too long");
    client->answer_bytes = 0;
    return camera_http_post(client->http, &url, type, body, (size_t)bytes, why);
}

static void ask(struct onvif_client *client)
{
    struct why why;
    int        rc = try_ask(client, &why);

    if (rc != 0)
        end(client, rc, &why);
}

static int open_http(struct onvif_client *client, struct why *why)
{
    const struct camera_http_events   events   = {client, on_head, on_body, on_done};
    const struct camera_http_settings settings = {.reach      = client->settings.reach,
                                                  .resolve_ms = RESOLVE_MS,
                                                  .connect_ms = CONNECT_MS,
                                                  .silence_s  = SILENCE_S,
                                                  .whole_ms   = REQUEST_MS,
                                                  .any_status = true};

    client->answer = malloc(XML_BYTES_MAX);
    if (client->answer == NULL)
        return why_set(why, ERR_MEMORY, "no memory to ask a camera");
    return camera_http_open(&client->http, client->loop, &settings, &events, why);
}

int onvif_client_start(struct onvif_client **out, uv_loop_t *loop,
                       const struct onvif_client_settings *settings, struct why *why)
{
    struct onvif_client *client;
    struct camera_url    url;
    int                  rc = camera_url_parse(&url, settings->service, why);

    *out = NULL;
    if (rc == 0 && url.scheme != CAMERA_URL_HTTP && url.scheme != CAMERA_URL_HTTPS)
        rc = why_set(why, ERR_INVALID, "an ONVIF service has an http:// address");
    if (rc == 0 && settings->user != NULL && strlen(settings->user) >= LIMIT_NAME_BYTES)
        rc = why_set(why, ERR_LIMIT, "the user's name is too long");
    if (rc != 0)
        return rc;
    client = calloc(1, sizeof *client);
    if (client == NULL)
        return why_set(why, ERR_MEMORY, "no memory to ask a camera");
    client->loop     = loop;
    client->settings = *settings;
    if (client->settings.reach == 0)
        client->settings.reach = SETTINGS_REACH_DEFAULT;
    if (settings->user != NULL)
        memcpy(client->user, settings->user, strlen(settings->user));
    if (settings->password != NULL)
        client->password = *settings->password;
    memcpy(client->host, url.host, sizeof client->host);
    camera_url_format(&url, client->device);
    rc = open_http(client, why);
    if (rc == 0)
        rc = try_ask(client, why);
    if (rc != 0) {
        onvif_client_stop(&client);
        return rc;
    }
    *out = client;
    return 0;
}
