/* What the server is and how it does; signing in and out; the way to the WebSocket. */
#include "server/api/routes.h"

#include <sodium.h>
#include <string.h>

#include "config/clock.h"
#include "server/api/documents.h"
#include "server/api/hub.h"
#include "server/api/session_body.h"

#define STATUS_JSON_BYTES  (256 << 10) /* 64 problems, every byte of them escaped */
#define CAMERAS_JSON_BYTES (64 << 20)  /* 1,024 cameras with 32 lines and zones each */
#define WS_KEY_BYTES       24          /* 16 bytes in base64 */

static void answer_json(struct call *call, int status, struct json_writer *json)
{
    reply_json(&call->exchange->reply, status, json);
    json_free(json);
}

void handle_live(struct call *call)
{
    static const char live[] = "{\"status\":\"live\"}";

    reply_static(&call->exchange->reply, 200, "application/json", live, sizeof live - 1);
}

void handle_ready(struct call *call)
{
    struct server_status status;
    struct json_writer   json;

    document_read_status(&status, &call->api->house);
    json_init(&json, STATUS_JSON_BYTES);
    document_status(&json, &status, call->signed_in);
    answer_json(call, status.ready ? 200 : 503, &json);
}

void handle_version(struct call *call)
{
    const struct api_house *house = &call->api->house;
    struct json_writer      json;

    json_init(&json, STATUS_JSON_BYTES);
    json_begin_object(&json);
    json_key(&json, "version");
    json_put_string(&json, SIGHTLINE_VERSION);
    json_key(&json, "model");
    json_put_string(&json, house->model_text(house->arg));
    json_key(&json, "backend");
    json_put_string(&json, house->backend_name == NULL ? NULL : house->backend_name(house->arg));
    json_end_object(&json);
    answer_json(call, 200, &json);
}

void handle_cameras(struct call *call)
{
    struct json_writer json;

    json_init(&json, CAMERAS_JSON_BYTES);
    document_cameras(&json, &call->api->house);
    answer_json(call, 200, &json);
}

/* ---- sessions ---- */

static void answer_session(struct call *call, bool signed_in)
{
    struct json_writer json;

    json_init(&json, STATUS_JSON_BYTES);
    json_begin_object(&json);
    json_key(&json, "required");
    json_put_bool(&json, token_needed(call->api->door));
    json_key(&json, "signed_in");
    json_put_bool(&json, signed_in);
    json_end_object(&json);
    answer_json(call, 200, &json);
}

void handle_session_read(struct call *call)
{
    answer_session(call, call->signed_in);
}

static void answer_sign_in(struct call *call, struct http_text token)
{
    struct reply *reply = &call->exchange->reply;
    char          cookie[TOKEN_COOKIE_BYTES];

    switch (
        token_sign_in(call->api->door, token, call->exchange->peer, clock_monotonic_ns(), cookie)) {
    case TOKEN_OK:
        reply_header(reply, "Set-Cookie: %s=%s; Path=/; Max-Age=%d; HttpOnly; SameSite=Strict",
                     token_cookie_name(call->api->door), cookie, TOKEN_SESSION_S);
        answer_session(call, true);
        return;
    case TOKEN_LIMITED:
        reply_header(reply, "Retry-After: 60");
        reply_error(reply, 429, "too many failed attempts; wait a minute");
        return;
    case TOKEN_MISSING:
    case TOKEN_WRONG:
        break;
    }
    reply_error(reply, 401, "the token is wrong");
}

void handle_session_begin(struct call *call)
{
    struct http_text body = call->exchange->body;
    char             token[LIMIT_SECRET_BYTES];

    if (!token_needed(call->api->door)) {
        answer_session(call, true);
        return;
    }
    if (!session_body_parse(body.at, body.bytes, token)) {
        reply_error(&call->exchange->reply, 400, "the body must be {\"token\":\"...\"}");
        return;
    }
    answer_sign_in(call, (struct http_text){token, strlen(token)});
    sodium_memzero(token, sizeof token);
}

void handle_session_end(struct call *call)
{
    uint64_t session = token_sign_out(call->api->door, call->exchange->request,
                                      clock_monotonic_ns());

    if (session != 0)
        hub_end_session(call->api->hub, session);
    reply_header(&call->exchange->reply,
                 "Set-Cookie: %s=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict",
                 token_cookie_name(call->api->door));
    answer_session(call, !token_needed(call->api->door));
}

/* ---- upgrade ---- */

/* 16 bytes in base64 end in "==", and the last character before it has four zero bits. */
static bool key_is_good(struct http_text key)
{
    if (key.at == NULL || key.bytes != WS_KEY_BYTES || memcmp(key.at + 22, "==", 2) != 0)
        return false;
    for (int i = 0; i < 22; i++) {
        char c = key.at[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
              c == '+' || c == '/'))
            return false;
    }
    return (key.at[21] == 'A' || key.at[21] == 'Q' || key.at[21] == 'g' || key.at[21] == 'w');
}

void handle_websocket(struct call *call)
{
    const struct http_request *request = call->exchange->request;
    struct reply              *reply   = &call->exchange->reply;
    int                        keys, versions;
    struct http_text           key     = http_header(request, "sec-websocket-key", &keys);
    struct http_text           version = http_header(request, "sec-websocket-version", &versions);

    if (request->method != HTTP_GET || request->minor != 1 ||
        !http_list_has(http_header(request, "upgrade", NULL), "websocket") ||
        !http_list_has(http_header(request, "connection", NULL), "upgrade")) {
        reply_header(reply, "Upgrade: websocket");
        reply_error(reply, 426, "this path speaks WebSocket");
    } else if (versions != 1 || !http_text_is(version, "13")) {
        reply_header(reply, "Upgrade: websocket");
        reply_header(reply, "Sec-WebSocket-Version: 13");
        reply_error(reply, 426, "only version 13 of the WebSocket protocol is spoken here");
    } else if (keys != 1 || !key_is_good(key)) {
        reply_error(reply, 400, "Sec-WebSocket-Key is malformed");
    } else {
        call->verdict = HTTP_UPGRADE;
    }
}
