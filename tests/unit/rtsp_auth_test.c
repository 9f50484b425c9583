// links: camera
// Digest and Basic: the examples of RFC 2617 and RFC 7616, the choice between challenges, hostile ones.
#include "tests/tap.h"

#include "config/err.h"
#include "server/camera/rtsp_auth.h"
#include "server/camera/rtsp_message.h"

static struct rtsp_auth auth;
static struct why       why;

/* Reads the challenges of a 401 with these headers. */
static int challenge(const char *headers)
{
    struct rtsp_parser  parser;
    struct rtsp_message message;
    char                text[8192];
    size_t              room;
    int                 rc;

    snprintf(text, sizeof text, "RTSP/1.0 401 Unauthorized\r\n%s\r\n", headers);
    if (rtsp_parser_init(&parser) != 0)
        exit(1);
    memcpy(rtsp_parser_room(&parser, &room), text, strlen(text));
    rtsp_parser_added(&parser, strlen(text));
    memset(&auth, 0, sizeof auth);
    rc = rtsp_parser_next(&parser, &message, &why);
    rc = rc == 1 ? rtsp_auth_read(&auth, &message, &why) : -1000;
    rtsp_parser_fini(&parser);
    return rc;
}

static const char *answer(const char *user, const char *password, const char *method,
                          const char *url)
{
    static char out[RTSP_AUTH_HEADER_BYTES];

    if (rtsp_auth_write(&auth, user, password, method, url, out, sizeof out) < 0)
        return "(failed)";
    return out;
}

static void has(const char *text, const char *part)
{
    if (!ok(strstr(text, part) != NULL, "holds %s", part))
        diag("%s", text);
}

static void test_golden(void)
{
    static const char rfc7616_nonce[] = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
    const char       *text;

    challenge("WWW-Authenticate: Digest realm=\"testrealm@host.com\", qop=\"auth,auth-int\", "
              "nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", "
              "opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"\r\n");
    snprintf(auth.client_nonce, sizeof auth.client_nonce, "0a4f113b");
    text = answer("Mufasa", "Circle Of Life", "GET", "/dir/index.html");
    is_text(text,
            "Authorization: Digest username=\"Mufasa\", realm=\"testrealm@host.com\", "
            "nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", uri=\"/dir/index.html\", "
            "response=\"6629fae49393a05397450978507c4ef1\", "
            "opaque=\"5ccc069c403ebaf9f0171e9517f40e41\", "
            "qop=auth, nc=00000001, cnonce=\"0a4f113b\"\r\n",
            "the example of RFC 2617");
    has(answer("Mufasa", "Circle Of Life", "GET", "/dir/index.html"), "nc=00000002");

    challenge("WWW-Authenticate: Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", "
              "algorithm=SHA-256, "
              "nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", "
              "opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"\r\n"
              "WWW-Authenticate: Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", "
              "algorithm=MD5, "
              "nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", "
              "opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"\r\n");
    is_int(auth.scheme, RTSP_AUTH_SHA256,
           "of the two challenges of RFC 7616 the stronger is taken");
    snprintf(auth.client_nonce, sizeof auth.client_nonce, "%s", rfc7616_nonce);
    text = answer("Mufasa", "Circle of Life", "GET", "/dir/index.html");
    has(text, "algorithm=SHA-256, qop=auth, nc=00000001");
    has(text, "response=\"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1\"");
    auth.scheme      = RTSP_AUTH_MD5;
    auth.nonce_count = 0;
    text             = answer("Mufasa", "Circle of Life", "GET", "/dir/index.html");
    has(text, "response=\"8ca523f5e9506fed4657c9700eebdbec\"");

    challenge("WWW-Authenticate: Digest realm=\"LIVE555 Streaming Media\", nonce=\"abc\"\r\n");
    text = answer("admin", "12345", "DESCRIBE", "rtsp://cam/live");
    ok(strstr(text, "qop") == NULL && strstr(text, "nc=") == NULL &&
           strstr(text, "cnonce") == NULL && strstr(text, "algorithm") == NULL &&
           strstr(text, "opaque") == NULL,
       "without qop the answer has the old form");

    challenge("WWW-Authenticate: Basic realm=\"x\"\r\n");
    is_text(answer("Aladdin", "open sesame", "DESCRIBE", "rtsp://cam/"),
            "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n", "the example of RFC 7617");
    memset(&auth, 0, sizeof auth);
    is_text(answer("a", "b", "DESCRIBE", "rtsp://cam/"), "", "nothing without a challenge");
}

static void test_choice(void)
{
    static const struct {
        const char           *headers;
        enum rtsp_auth_scheme scheme;
    } cases[] = {
        {"WWW-Authenticate: Basic realm=\"a\"\r\n", RTSP_AUTH_BASIC},
        {"www-authenticate: basic realm=a\r\n", RTSP_AUTH_BASIC},
        {"WWW-Authenticate: Digest realm=\"a\",nonce=\"b\"\r\n", RTSP_AUTH_MD5},
        {"WWW-Authenticate: digest realm=\"a\",nonce=\"b\",algorithm=md5\r\n", RTSP_AUTH_MD5},
        {"WWW-Authenticate: Digest realm=\"a\",nonce=\"b\",algorithm=\"MD5\"\r\n", RTSP_AUTH_MD5},
        {"WWW-Authenticate: Digest realm=\"a\",nonce=\"b\",algorithm=MD5-sess\r\n", RTSP_AUTH_MD5},
        {"WWW-Authenticate: Digest realm=\"a\",nonce=\"b\",algorithm=SHA-256-sess\r\n",
         RTSP_AUTH_SHA256},
        {"WWW-Authenticate: Basic realm=\"a\"\r\nWWW-Authenticate: Digest "
         "realm=\"a\",nonce=\"b\"\r\n",
         RTSP_AUTH_MD5},
        {"WWW-Authenticate: Digest realm=\"a\",nonce=\"b\"\r\nWWW-Authenticate: Basic "
         "realm=\"a\"\r\n",
         RTSP_AUTH_MD5},
        {"WWW-Authenticate: Digest realm=\"a\",nonce=\"b\", Basic realm=\"a\"\r\n", RTSP_AUTH_MD5},
        {"WWW-Authenticate: Basic realm=\"a\", Digest "
         "realm=\"a\",nonce=\"b\",algorithm=SHA-256\r\n",
         RTSP_AUTH_SHA256},
        {"WWW-Authenticate: Digest realm=\"a\",nonce=\"b\"\r\n"
         "WWW-Authenticate: Digest realm=\"a\",nonce=\"b\",algorithm=SHA-256\r\n",
         RTSP_AUTH_SHA256},
        {"WWW-Authenticate: Digest realm=\"a\",nonce=\"b\",algorithm=SHA-512-256\r\n"
         "WWW-Authenticate: Digest realm=\"a\",nonce=\"b\",algorithm=MD5\r\n",
         RTSP_AUTH_MD5},
    };
    static const char *const none[] = {
        "",
        "WWW-Authenticate: \r\n",
        "WWW-Authenticate: Bearer realm=\"a\"\r\n",
        "WWW-Authenticate: Digest\r\n",
        "WWW-Authenticate: Digest realm=\"a\"\r\n",
        "WWW-Authenticate: Digest realm=\"a\",nonce=\"\"\r\n",
        "WWW-Authenticate: Digest realm=\"a\",nonce=\"b\",qop=\"auth-int\"\r\n",
        "WWW-Authenticate: Digest realm=\"a\",nonce=\"b\",algorithm=SHA-512-256\r\n",
        "WWW-Authenticate: Digest realm=\"a\",nonce=\"b\tc\"\r\n",
        /* Digest is offered, though not one that we know: the password is not sent in clear. */
        ("WWW-Authenticate: Digest "
         "realm=\"a\",nonce=\"b\",algorithm=SHA-512-256\r\nWWW-Authenticate: Basic "
         "realm=\"a\"\r\n"),
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        is_int(challenge(cases[i].headers), 0, "challenge %zu is answered", i);
        is_int(auth.scheme, cases[i].scheme, "with the strongest");
    }
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        is_int(challenge(none[i]), ERR_UNSUPPORTED, "challenge without answer %zu", i);
        is_int(auth.scheme, RTSP_AUTH_NONE, "leaves things as they were");
    }
    challenge("WWW-Authenticate: Digest realm=\"a\",nonce=\"b\",stale=TRUE\r\n");
    ok(auth.stale, "an old nonce");
    challenge("WWW-Authenticate: Digest realm=\"a\",nonce=\"b\",stale=false\r\n");
    ok(!auth.stale, "not an old nonce");
}

static void test_quotes(void)
{
    const char *text;

    challenge("WWW-Authenticate: Digest realm=\"a\\\"b, c=\\\\d\", nonce=\"n,\\\"=\"\r\n");
    is_text(auth.realm, "a\"b, c=\\d", "quotes, commas and backslashes in a realm");
    text = answer("us\"er\\", "x", "PLAY", "rtsp://cam/");
    has(text, "username=\"us\\\"er\\\\\"");
    has(text, "realm=\"a\\\"b, c=\\\\d\"");
    has(text, "nonce=\"n,\\\"=\"");
}

static void test_bounds(void)
{
    char headers[4096], out[64];

    snprintf(headers, sizeof headers,
             "WWW-Authenticate: Digest realm=\"%0255d\",nonce=\"%0511d\",opaque=\"%0511d\"\r\n", 0,
             0, 0);
    is_int(challenge(headers), 0, "the longest texts");
    ok(strlen(answer("u", "p", "PLAY", "rtsp://cam/")) > 1200, "are answered");
    is_int(rtsp_auth_write(&auth, "u", "p", "PLAY", "rtsp://cam/", out, sizeof out), ERR_LIMIT,
           "no room for the answer");
    snprintf(headers, sizeof headers, "WWW-Authenticate: Digest realm=\"%0256d\",nonce=\"b\"\r\n",
             0);
    is_int(challenge(headers), ERR_UNSUPPORTED, "a realm that is too long");
    snprintf(headers, sizeof headers, "WWW-Authenticate: Digest realm=\"a\",nonce=\"%0512d\"\r\n",
             0);
    is_int(challenge(headers), ERR_UNSUPPORTED, "a nonce that is too long");
}

int main(void)
{
    test_golden();
    test_choice();
    test_quotes();
    test_bounds();
    return done_testing();
}
