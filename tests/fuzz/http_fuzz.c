// links: api
// Any bytes as HTTP: the door judges them the same however they arrive, what it lets in holds what it promises, the
// arguments of every route are read or refused, and the whole API answers them over a socket.
#include "tests/fuzz/api_fuzz.h"

#include "server/api/assets.h"
#include "server/api/routes.h"
#include "server/api/session_body.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static bool lies_in(struct http_text text, const char *from, size_t bytes)
{
    return text.at == NULL || (text.at >= from && text.at + text.bytes <= from + bytes);
}

static void check_request(const struct http_request *request, const char *head, size_t bytes)
{
    struct query_value values[QUERY_MAX_RULES];
    struct why         why    = {0};
    struct http_text   accept = http_header(request, "accept-encoding", NULL);

    ASSERT(lies_in(request->path, head, bytes) && lies_in(request->query, head, bytes));
    ASSERT(request->path.bytes > 0 && request->path.at[0] == '/');
    ASSERT(memmem(request->path.at, request->path.bytes, "/../", 4) == NULL);
    ASSERT(memchr(request->path.at, '\\', request->path.bytes) == NULL);
    ASSERT(request->body_bytes <= LIMIT_HTTP_BODY_BYTES);
    ASSERT(request->host.at != NULL || request->minor == 0);
    for (int i = 0; i < request->header_count; i++) {
        ASSERT(lies_in(request->headers[i].name, head, bytes));
        ASSERT(lies_in(request->headers[i].value, head, bytes));
        ASSERT(memchr(request->headers[i].value.at, '\n', request->headers[i].value.bytes) == NULL);
    }
    for (int i = 0; i < ROUTE_COUNT; i++) {
        if (query_parse(request->query, ROUTES[i].rules, values, &why) != 0)
            ASSERT(why.text[0] != '\0');
    }
    (void)asset_choose(&ASSETS[0], accept.at, accept.bytes);
    (void)asset_find(request->path.at, request->path.bytes);
}

static void check_door(const char *text, size_t bytes)
{
    struct http_request request;
    enum http_refusal   at_once = REFUSE_NOTHING, in_steps = REFUSE_NOTHING;
    long                whole = http_scan(text, bytes, 0, &at_once);
    long                parts = 0;

    for (size_t i = 1; i <= bytes && parts == 0; i++)
        parts = http_scan(text, i, i - 1, &in_steps);
    ASSERT(whole == parts && (whole >= 0 || at_once == in_steps));
    if (whole > 0 && http_parse(&request, text, (size_t)whole) == REFUSE_NOTHING)
        check_request(&request, text, (size_t)whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    char token[LIMIT_SECRET_BYTES];
    int  fd;

    if (fuzz.api == NULL)
        fuzz_open();
    check_door((const char *)data, bytes);
    if (session_body_parse((const char *)data, bytes, token))
        ASSERT(memchr(token, '\0', sizeof token) != NULL);
    fd = fuzz_connect();
    fuzz_say(fd, data, bytes);
    fuzz_hang_up(fd);
    return 0;
}
