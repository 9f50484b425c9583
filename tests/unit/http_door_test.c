/* The strict door: what it lets in, and everything that it must not.
 * links: api */
#include "tests/tap.h"

#include "server/api/http_door.h"

#include <string.h>

#define GOOD "Host: a\r\n\r\n"

/* Scans and parses a whole head; what was refused, or REFUSE_NOTHING. */
static enum http_refusal judge(const char *head, size_t bytes, struct http_request *request)
{
    enum http_refusal refusal = REFUSE_NOTHING;
    long              length  = http_scan(head, bytes, 0, &refusal);

    if (length <= 0)
        return length < 0 ? refusal : REFUSE_SLOW; /* never complete: the timeout refuses it */
    return http_parse(request, head, (size_t)length);
}

static enum http_refusal judge_text(const char *head)
{
    struct http_request request;

    return judge(head, strlen(head), &request);
}

static void test_malformed(void)
{
    static const struct {
        const char       *what;
        const char       *head;
        enum http_refusal refusal;
    } cases[] = {
        {"no Host", "GET / HTTP/1.1\r\n\r\n", REFUSE_HOST},
        {"two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", REFUSE_HOST},
        {"two equal Hosts", "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", REFUSE_HOST},
        {"an empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", REFUSE_HOST},
        {"a Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", REFUSE_HOST},
        {"a Host with a user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", REFUSE_HOST},
        {"conflicting lengths",
         "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n" GOOD, REFUSE_LENGTH},
        {"the same length twice",
         "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n" GOOD, REFUSE_LENGTH},
        {"a list of lengths", "POST / HTTP/1.1\r\nContent-Length: 1, 1\r\n" GOOD, REFUSE_LENGTH},
        {"length and coding",
         "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n" GOOD,
         REFUSE_LENGTH_AND_CODING},
        {"a coding", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" GOOD, REFUSE_CODING},
        {"a hidden coding", "POST / HTTP/1.1\r\nTransfer-Encoding: \tidentity\r\n" GOOD,
         REFUSE_CODING},
        {"a negative length", "POST / HTTP/1.1\r\nContent-Length: -1\r\n" GOOD, REFUSE_LENGTH},
        {"a signed length", "POST / HTTP/1.1\r\nContent-Length: +1\r\n" GOOD, REFUSE_LENGTH},
        {"a hexadecimal length", "POST / HTTP/1.1\r\nContent-Length: 0x1\r\n" GOOD, REFUSE_LENGTH},
        {"an empty length", "POST / HTTP/1.1\r\nContent-Length:\r\n" GOOD, REFUSE_LENGTH},
        {"a 20-digit length", "POST / HTTP/1.1\r\nContent-Length: 18446744073709551617\r\n" GOOD,
         REFUSE_BODY_LONG},
        {"a 40-digit length",
         "POST / HTTP/1.1\r\nContent-Length: 1000000000000000000000000000000000000000\r\n" GOOD,
         REFUSE_BODY_LONG},
        {"1 MiB and a byte", "POST / HTTP/1.1\r\nContent-Length: 1048577\r\n" GOOD,
         REFUSE_BODY_LONG},
        {"a blank before the colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", REFUSE_HEADER},
        {"a folded header", "GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", REFUSE_HEADER},
        {"a fold in the first header", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", REFUSE_HEADER},
        {"no colon", "GET / HTTP/1.1\r\nHost a\r\n\r\n", REFUSE_HEADER},
        {"no name", "GET / HTTP/1.1\r\n: a\r\n" GOOD, REFUSE_HEADER},
        {"a name with a bracket", "GET / HTTP/1.1\r\na(b: c\r\n" GOOD, REFUSE_HEADER},
        {"a bare LF after the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", REFUSE_LINE_END},
        {"bare LFs", "GET / HTTP/1.1\nHost: a\n\n", REFUSE_LINE_END},
        {"a bare CR", "GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", REFUSE_LINE_END},
        {"an escape character", "GET / HTTP/1.1\r\nHost: a\r\nx: \033[31m\r\n\r\n", REFUSE_CONTROL},
        {"a DEL", "GET / HTTP/1.1\r\nx: \177\r\n" GOOD, REFUSE_CONTROL},
        {"a TLS hello", "\026\003\001\002\000\001", REFUSE_CONTROL},
        {"HTTP/9.9", "GET / HTTP/9.9\r\n" GOOD, REFUSE_VERSION},
        {"HTTP/2.0", "GET / HTTP/2.0\r\n" GOOD, REFUSE_VERSION},
        {"HTTP/1.2", "GET / HTTP/1.2\r\n" GOOD, REFUSE_VERSION},
        {"http/1.1", "GET / http/1.1\r\n" GOOD, REFUSE_REQUEST_LINE},
        {"HTTP/1.10", "GET / HTTP/1.10\r\n" GOOD, REFUSE_REQUEST_LINE},
        {"no version", "GET /\r\n" GOOD, REFUSE_REQUEST_LINE},
        {"two blanks", "GET  / HTTP/1.1\r\n" GOOD, REFUSE_REQUEST_LINE},
        {"a tab", "GET\t/ HTTP/1.1\r\n" GOOD, REFUSE_REQUEST_LINE},
        {"a blank at the end", "GET / HTTP/1.1 \r\n" GOOD, REFUSE_REQUEST_LINE},
        {"a blank at the start", " GET / HTTP/1.1\r\n" GOOD, REFUSE_REQUEST_LINE},
        {"an empty line first", "\r\nGET / HTTP/1.1\r\n" GOOD, REFUSE_REQUEST_LINE},
        {"a lower case method", "get / HTTP/1.1\r\n" GOOD, REFUSE_METHOD},
        {"CONNECT", "CONNECT a:80 HTTP/1.1\r\n" GOOD, REFUSE_METHOD},
        {"TRACE", "TRACE / HTTP/1.1\r\n" GOOD, REFUSE_METHOD},
        {"a method that is no token", "GE:T / HTTP/1.1\r\n" GOOD, REFUSE_REQUEST_LINE},
        {"the HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", REFUSE_VERSION},
        {"the absolute form", "GET http://a/ HTTP/1.1\r\n" GOOD, REFUSE_TARGET},
        {"the asterisk", "GET * HTTP/1.1\r\n" GOOD, REFUSE_TARGET},
        {"a fragment", "GET /#x HTTP/1.1\r\n" GOOD, REFUSE_TARGET},
        {"a fragment in the query", "GET /?a=b#x HTTP/1.1\r\n" GOOD, REFUSE_TARGET},
        {"a broken escape in the query", "GET /?a=%2 HTTP/1.1\r\n" GOOD, REFUSE_TARGET},
        {"a NUL in the query", "GET /?a=%00 HTTP/1.1\r\n" GOOD, REFUSE_TARGET},
        {"an expectation", "POST / HTTP/1.1\r\nExpect: 100-continue\r\n" GOOD, REFUSE_EXPECT},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        enum http_refusal refusal = judge_text(cases[i].head);
        is_text(http_refusal_label(refusal), http_refusal_label(cases[i].refusal), "%s",
                cases[i].what);
    }
}

static void test_traversal(void)
{
    static const char *const climbs[] = {
        "/..",
        "/../",
        "/../../etc/passwd",
        "/../../../../../../etc/passwd",
        "/a/..",
        "/a/../..",
        "/a/../b",
        "/./",
        "/.",
        "/a/.",
        "/a/./b",
        "/%2e%2e",
        "/%2e%2e/",
        "/%2E%2E/",
        "/.%2e/",
        "/%2e./",
        "/%2e/",
        "/a/%2e%2e/b",
        "/..%2f",
        "/..%2fetc%2fpasswd",
        "/%2e%2e%2fetc",
        "/a%2fb",
        "/%2f",
        "/%2F..",
        "/..%5c",
        "/..%5C",
        "/..\\",
        "/..\\..\\windows",
        "/a\\b",
        "/\\",
        "/%5c",
        "/%5c..",
        "/%252e%252e/",
        "/%252e%252e%252f",
        "/..%252f",
        "/%25",
        "/%2525",
        "/%c0%ae%c0%ae/",
        "/%c0%af",
        "/..%c0%af",
        "/%e0%80%ae",
        "/\xc0\xae",
        "/\xe2\x80\xa5/",
        "/%u002e%u002e/",
        "/%00",
        "/index.html%00",
        "/%00/..",
        "/a%00b",
        "/%0a",
        "/%0d%0a",
        "/%0d%0aHost:b",
        "/%09",
        "/%20",
        "/%7f",
        "/%1b",
        "/..;/",
        "/a;/../b",
        "/;",
        "/..%3b/",
        "/%",
        "/%2",
        "/%zz",
        "/a%g0",
        "a/..",
        "..",
        "//../",
        "/a//../b",
        "/.../../x",
        "/assets/../index.html",
        "/assets/%2e%2e/index.html",
    };
    static const char *const fine[] = {
        "/",    "/index.html", "/api/v1/live",        "/a.b.c",   "/...", "/.x",
        "/..x", "/x..",        "/assets/app-3f9c.js", "/a-b_c~d", "/%41"};
    int refused = 0;

    for (size_t i = 0; i < sizeof climbs / sizeof climbs[0]; i++) {
        char head[256];
        snprintf(head, sizeof head, "GET %s HTTP/1.1\r\n" GOOD, climbs[i]);
        if (judge_text(head) == REFUSE_TARGET)
            refused++;
        else
            diag("let in: %s", climbs[i]);
    }
    is_int(refused, sizeof climbs / sizeof climbs[0], "%zu ways to climb are refused",
           sizeof climbs / sizeof climbs[0]);
    for (size_t i = 0; i < sizeof fine / sizeof fine[0]; i++) {
        char head[256];
        snprintf(head, sizeof head, "GET %s HTTP/1.1\r\n" GOOD, fine[i]);
        is_int(judge_text(head), REFUSE_NOTHING, "%s is fine", fine[i]);
    }
}

static void test_limits(void)
{
    static char         head[LIMIT_HTTP_HEAD_BYTES + 64];
    struct http_request request;
    enum http_refusal   refusal;
    int                 used;

    used = snprintf(head, sizeof head, "GET /%0*d HTTP/1.1\r\n" GOOD, LIMIT_HTTP_TARGET_BYTES - 1,
                    0);
    is_int(judge(head, (size_t)used, &request), REFUSE_NOTHING, "a target of 4 KiB");
    used = snprintf(head, sizeof head, "GET /%0*d HTTP/1.1\r\n" GOOD, LIMIT_HTTP_TARGET_BYTES, 0);
    is_int(judge(head, (size_t)used, &request), REFUSE_TARGET_LONG, "a byte more");
    memset(head, 'a', sizeof head);
    is_int(http_scan(head, LIMIT_HTTP_TARGET_BYTES + 64, 0, &refusal), -1,
           "a target that does not end");
    is_int(refusal, REFUSE_TARGET_LONG, "is too long before it ends");
    used = snprintf(head, sizeof head, "GET / HTTP/1.1\r\nHost: a\r\nx: %0*d\r\n\r\n",
                    LIMIT_HTTP_HEAD_BYTES - 32, 0);
    is_int(used, LIMIT_HTTP_HEAD_BYTES, "(a head of 16 KiB)");
    is_int(judge(head, (size_t)used, &request), REFUSE_NOTHING, "is let in");
    used = snprintf(head, sizeof head, "GET / HTTP/1.1\r\nHost: a\r\nx: %0*d\r\n\r\n",
                    LIMIT_HTTP_HEAD_BYTES - 31, 0);
    is_int(judge(head, (size_t)used, &request), REFUSE_HEAD_LONG, "a byte more is not");
    used = snprintf(head, sizeof head, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (int i = 1; i < HTTP_MAX_HEADERS; i++)
        used += snprintf(head + used, sizeof head - (size_t)used, "x: %d\r\n", i);
    memcpy(head + used, "\r\n", 3);
    is_int(judge(head, (size_t)used + 2, &request), REFUSE_NOTHING, "%d headers", HTTP_MAX_HEADERS);
    memcpy(head + used, "y: 1\r\n\r\n", 9);
    is_int(judge(head, (size_t)used + 8, &request), REFUSE_HEADER_COUNT, "one more");
}

static void test_reading(void)
{
    static const char head[] =
        "POST /api/v1/session?a=b&c HTTP/1.1\r\nHost: [::1]:8080\r\n"
        "CONTENT-length: 12\r\nCookie:  a=1; b=2 \t\r\nConnection: Foo , Close\r\n"
        "X: \xc3\xa4\r\n\r\nrest";
    struct http_request request;
    enum http_refusal   refusal;
    struct http_text    cookie;
    int                 count;
    size_t              whole = strlen(head) - 4;
    bool                early = false;

    for (size_t i = 0; i < whole; i++)
        early = early || http_scan(head, i, i > 8 ? i - 8 : 0, &refusal) != 0;
    ok(!early, "no head is complete before its last byte");
    is_int(http_scan(head, whole + 4, whole - 1, &refusal), whole,
           "and then it is, in steps or at once");
    is_int(judge(head, sizeof head - 1, &request), REFUSE_NOTHING, "a good request");
    is_int(request.method, HTTP_POST, "method");
    ok(http_text_is(request.path, "/api/v1/session"), "path");
    ok(http_text_is(request.query, "a=b&c"), "query");
    ok(http_text_is(request.host, "[::1]:8080"), "host");
    is_int(request.body_bytes, 12, "length of the body");
    ok(!request.keep_alive, "Connection: close in a list");
    cookie = http_header(&request, "cookie", &count);
    ok(count == 1 && cookie.bytes == 8 && memcmp(cookie.at, "a=1; b=2", 8) == 0,
       "a value without the blanks around it");
    is_int(judge_text("GET / HTTP/1.0\r\n\r\n"), REFUSE_NOTHING, "HTTP/1.0 needs no Host");
    judge("GET / HTTP/1.1\r\n" GOOD, strlen("GET / HTTP/1.1\r\n" GOOD), &request);
    ok(request.keep_alive, "HTTP/1.1 stays");
    ok(!http_list_has((struct http_text){"keep-alivex", 11}, "keep-alive"),
       "a token is a whole word");
}

int main(void)
{
    test_malformed();
    test_traversal();
    test_limits();
    test_reading();
    return done_testing();
}
