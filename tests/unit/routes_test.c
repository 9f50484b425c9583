/* Arguments of requests, credentials, assets and the table of routes.
 * links: api */
#include "tests/tap.h"

#include "config/clock.h"
#include "config/err.h"
#include "server/api/assets.h"
#include "server/api/query.h"
#include "server/api/reply.h"
#include "server/api/routes.h"
#include "server/api/session_body.h"
#include "server/api/token.h"

#include <netinet/in.h>
#include <string.h>

static struct query_value values[QUERY_MAX_RULES];

static int query(const char *text, const struct query_rule *rules)
{
    struct why why = {0};
    int        rc  = query_parse((struct http_text){text, strlen(text)}, rules, values, &why);

    return rc != 0 && why.text[0] == '\0' ? 1 : rc;
}

static void test_query(void)
{
    is_int(
        query("camera=north+gate&counter=%C3%A4%20b&bucket=hour&from=100&to=2026-11-21T03:04:05Z",
              HISTORY_RULES),
        0, "all arguments of history");
    is_text(values[0].text, "north gate", "a plus is a blank");
    is_text(values[1].text, "\xc3\xa4 b", "escapes are read");
    is_int(values[2].number, 1, "a choice becomes its number");
    is_int(values[3].time_s, 100, "Unix seconds");
    is_int(values[4].time_s, 1795230245, "ISO 8601");
    is_int(query("", HISTORY_RULES), ERR_INVALID, "camera is needed");
    is_int(query("camera=a&counter=b&camera=a", HISTORY_RULES), ERR_INVALID, "twice");
    is_int(query("camera=a&counter=b&form=1", HISTORY_RULES), ERR_INVALID, "a name that is none");
    is_int(query("camera=a&counter=b&", HISTORY_RULES), ERR_INVALID, "an empty pair");
    is_int(query("camera=&counter=b", HISTORY_RULES), ERR_INVALID, "an empty name");
    is_int(query("camera=%0a&counter=b", HISTORY_RULES), ERR_INVALID, "a control character");
    is_int(query("camera=a&counter=b&bucket=week", HISTORY_RULES), ERR_INVALID, "no such choice");
    is_int(query("since=0&limit=1000", EVENTS_RULES), 0, "the largest page");
    is_int(query("since=0&limit=1001", EVENTS_RULES), ERR_INVALID, "a larger one");
    is_int(query("since=-1", EVENTS_RULES), ERR_INVALID, "a negative number");
    is_int(query("since=1e3", EVENTS_RULES), ERR_INVALID, "no digits");
    is_int(query("since=9999999999999999999", EVENTS_RULES), ERR_INVALID, "too many digits");
    is_int(query("", NULL), 0, "nothing where nothing is taken");
    is_int(query("a=b", NULL), ERR_INVALID, "something where nothing is taken");
}

static void test_times(void)
{
    static const struct {
        const char *text;
        int64_t     time_s; /* -1: refused */
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2026-11-21T03:04Z", 1795230240},
        {"2026-11-21T03:04:05.678Z", 1795230245},
        {"2026-11-21T04:04:05+01:00", 1795230245},
        {"2026-11-21T04:04:05 01:00", 1795230245},
        {"2026-11-20T22:04:05-05:00", 1795230245},
        {"2024-02-29T00:00:00Z", 1709164800},
        {"2026-02-29T00:00:00Z", -1},
        {"2026-11-31T00:00:00Z", -1},
        {"2026-13-01T00:00:00Z", -1},
        {"2026-11-21T24:00:00Z", -1},
        {"2026-11-21T03:04:05", -1},
        {"2026-11-21", -1},
        {"2026-11-21T03:04:05.Z", -1},
        {"2026-11-21T03:04:05Zx", -1},
        {"1969-12-31T23:59:59Z", -1},
        {"999999999999999", -1},
        {"yesterday", -1},
        {"", -1},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t time_s = -1;
        bool    good   = query_parse_time(cases[i].text, &time_s);
        is_int(good ? time_s : -1, cases[i].time_s, "time \"%s\"", cases[i].text);
    }
}

/* ---- credentials ---- */

static struct http_request request_with(const char *name, const char *value)
{
    struct http_request request = {0};

    if (name != NULL) {
        request.header_count     = 1;
        request.headers[0].name  = (struct http_text){name, strlen(name)};
        request.headers[0].value = (struct http_text){value, strlen(value)};
    }
    return request;
}

static struct peer peer_number(uint32_t number)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(number)}};
    struct peer        peer;

    peer_from_address(&peer, (struct sockaddr *)&address);
    return peer;
}

static enum token_answer check(struct token_door *door, const char *name, const char *value,
                               const struct peer *peer, int64_t now_ns)
{
    struct http_request request = request_with(name, value);

    return token_check(door, &request, peer, now_ns, NULL);
}

static void test_token(void)
{
    struct token_door *door;
    struct peer        good = peer_number(1), bad = peer_number(2);
    int64_t            now_ns = NS_PER_S;

    ok(token_open(&door, "s3cret") == 0 && token_needed(door), "a server with a token");
    is_int(check(door, NULL, NULL, &good, now_ns), TOKEN_MISSING, "nothing shown");
    is_int(check(door, "Authorization", "Basic czNjcmV0", &good, now_ns), TOKEN_MISSING,
           "another scheme");
    is_int(check(door, "Authorization", "Bearer s3cret", &good, now_ns), TOKEN_OK, "the token");
    is_int(check(door, "authorization", "bearer s3cret", &good, now_ns), TOKEN_OK, "in lower case");
    is_int(check(door, "Authorization", "Bearer s3cre", &good, now_ns), TOKEN_WRONG,
           "a part of it");
    is_int(check(door, "Authorization", "Bearer s3cret2", &good, now_ns), TOKEN_WRONG,
           "more than it");
    for (int i = 0; i < TOKEN_ATTEMPTS; i++)
        is_int(check(door, "Authorization", "Bearer x", &bad, now_ns + i), TOKEN_WRONG,
               "attempt %d", i + 1);
    is_int(check(door, "Authorization", "Bearer s3cret", &bad, now_ns + 10), TOKEN_LIMITED,
           "even the right one now");
    is_int(check(door, "Authorization", "Bearer s3cret", &good, now_ns + 10), TOKEN_OK,
           "another address is not touched");
    is_int(check(door, "Authorization", "Bearer s3cret", &bad, now_ns + 60 * NS_PER_S + 5),
           TOKEN_OK, "a minute later it is heard again");
    for (uint32_t i = 0; i < 5000; i++) {
        struct peer many = peer_number(1000 + i);
        check(door, "Authorization", "Bearer x", &many, now_ns);
    }
    is_int(check(door, "Authorization", "Bearer s3cret", &good, now_ns), TOKEN_OK,
           "5,000 attackers fill no table");
    token_close(&door);
}

static void test_session(void)
{
    struct token_door  *door;
    struct peer         peer = peer_number(1), bad = peer_number(2);
    struct http_text    token = {"s3cret", 6}, wrong = {"guess", 5};
    struct http_request request;
    char                cookie[TOKEN_COOKIE_BYTES], other[TOKEN_COOKIE_BYTES], header[128];
    uint64_t            number;

    token_open(&door, "s3cret");
    token_set_port(door, 8080);
    is_int(token_sign_in(door, wrong, &bad, 0, cookie), TOKEN_WRONG,
           "a wrong token opens no session");
    is_text(cookie, "", "and gives no cookie");
    is_int(token_sign_in(door, token, &peer, 0, cookie), TOKEN_OK, "the right one does");
    is_int(strlen(cookie), 43, "256 bits");
    snprintf(header, sizeof header, "a=b; %s=%s; c=d", token_cookie_name(door), cookie);
    request = request_with("Cookie", header);
    is_int(token_check(door, &request, &peer, 1, &number), TOKEN_OK, "its cookie opens");
    ok(number > 0, "and has a number");
    is_int(token_check(door, &request, &peer, INT64_C(31) * 24 * 3600 * NS_PER_S, NULL),
           TOKEN_MISSING, "not after 30 days");
    for (int i = 0; i < TOKEN_ATTEMPTS; i++)
        token_sign_in(door, wrong, &bad, i, other);
    is_int(token_sign_in(door, token, &bad, 10, other), TOKEN_LIMITED, "five failures in a minute");
    is_int(token_check(door, &request, &bad, 10, NULL), TOKEN_OK,
           "a session is not limited by them");
    is_int(token_sign_out(door, &request, 11), number, "signed out");
    is_int(token_check(door, &request, &peer, 12, NULL), TOKEN_MISSING, "it opens no more");
    for (int i = 0; i < TOKEN_SESSIONS + 1; i++) {
        token_sign_in(door, token, &peer, 100 + i, other);
        if (i == 0)
            memcpy(cookie, other, sizeof cookie);
    }
    snprintf(header, sizeof header, "%s=%s", token_cookie_name(door), cookie);
    request = request_with("Cookie", header);
    is_int(token_check(door, &request, &peer, 1000, NULL), TOKEN_MISSING, "the oldest made room");
    snprintf(header, sizeof header, "%s=%s", token_cookie_name(door), other);
    request = request_with("Cookie", header);
    is_int(token_check(door, &request, &peer, 1000, NULL), TOKEN_OK, "for the newest");
    token_close(&door);
    token_open(&door, NULL);
    is_int(check(door, NULL, NULL, &peer, 0), TOKEN_OK, "without a token everybody is let in");
    token_close(&door);
}

static void test_session_body(void)
{
    static const char *const wrong[] = {"",
                                        "{}",
                                        "[]",
                                        "null",
                                        "{\"token\":1}",
                                        "{\"token\":null}",
                                        "{\"token\":\"a\",\"x\":1}",
                                        "{\"token\":\"a\",\"token\":\"b\"}",
                                        "{\"token\":\"\\u0000\"}",
                                        "{\"token\":\"a\"}x"};
    char                     token[LIMIT_SECRET_BYTES];
    const char              *good = "{\"token\":\"a\\\"b\"}";

    ok(session_body_parse(good, strlen(good), token), "a body");
    is_text(token, "a\"b", "its token");
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        ok(!session_body_parse(wrong[i], strlen(wrong[i]), token), "not %s", wrong[i]);
}

/* ---- assets ---- */

static void test_assets(void)
{
    static const uint8_t bytes[10];
    struct asset asset = {"/a.js", "text/javascript", "\"abc\"", true, bytes, 10, bytes, 6, bytes,
                          5};
    static const struct {
        const char         *accept;
        enum asset_encoding encoding;
    } cases[]          = {{NULL, ASSET_PLAIN},
                          {"", ASSET_PLAIN},
                          {"gzip", ASSET_GZIP},
                          {"GZIP", ASSET_GZIP},
                          {"gzip, deflate, br", ASSET_BROTLI},
                          {"br;q=0, gzip", ASSET_GZIP},
                          {"br;q=0.000,gzip;q=0.5", ASSET_GZIP},
                          {"gzip ; q=0", ASSET_PLAIN},
                          {"identity", ASSET_PLAIN},
                          {"xgzip, gzipx", ASSET_PLAIN}};
    const char *tags[] = {"\"abc\"", "W/\"abc\"", "\"x\", \"abc\"", "*"};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        is_int(asset_choose(&asset, cases[i].accept,
                            cases[i].accept == NULL ? 0 : strlen(cases[i].accept)),
               cases[i].encoding, "Accept-Encoding: %s",
               cases[i].accept == NULL ? "(none)" : cases[i].accept);
    asset.brotli = NULL;
    is_int(asset_choose(&asset, "br, gzip", 8), ASSET_GZIP, "what is not there is not sent");
    for (size_t i = 0; i < sizeof tags / sizeof tags[0]; i++)
        ok(asset_matches(&asset, tags[i], strlen(tags[i])), "If-None-Match: %s", tags[i]);
    ok(!asset_matches(&asset, "\"abcd\"", 6) && !asset_matches(&asset, "abc", 3) &&
           !asset_matches(&asset, NULL, 0),
       "another etag does not match");
    ok(asset_find("/", 1) != NULL && asset_find("/", 1) == asset_find("/index.html", 11),
       "the page");
    ok(asset_find("/nope", 5) == NULL, "nothing else");
}

static void test_table(void)
{
    int open = 0;

    for (int i = 0; i < ROUTE_COUNT; i++) {
        open += ROUTES[i].rights == RIGHTS_OPEN;
        ok(ROUTES[i].handle != NULL && ROUTES[i].path[0] == '/', "row %s", ROUTES[i].path);
        for (int j = 0; j < i; j++) {
            if (ROUTES[i].method == ROUTES[j].method && strcmp(ROUTES[i].path, ROUTES[j].path) == 0)
                ok(false, "%s is there twice", ROUTES[i].path);
        }
    }
    is_int(open, 5, "live, ready and the session are open, nothing else");
}

static void test_reply(void)
{
    struct reply reply;
    char         head[REPLY_HEAD_BYTES + 1] = "";

    reply_init(&reply);
    reply_error(&reply, 404, "no camera named %s", "\"x\"\r\n");
    is_text(reply.body,
            "{\"error\":\"not_found\",\"message\":\"no camera named \\\"x\\\"\\u000d\\u000a\"}",
            "an error is escaped");
    reply_head(&reply, true, head);
    ok(strstr(head, "HTTP/1.1 404 Not Found\r\n") == head, "its status line");
    ok(strstr(head, "\r\nContent-Security-Policy: default-src 'self';") != NULL &&
           strstr(head, "\r\nX-Content-Type-Options: nosniff\r\n") != NULL &&
           strstr(head, "\r\nReferrer-Policy: no-referrer\r\n") != NULL &&
           strstr(head, "frame-ancestors 'none'") != NULL,
       "the security headers");
    ok(strstr(head, "Server:") == NULL, "no word about the server");
    reply_free(&reply);
}

int main(void)
{
    test_query();
    test_times();
    test_token();
    test_session();
    test_session_body();
    test_assets();
    test_table();
    test_reply();
    return done_testing();
}
