// links: camera
// Addresses of cameras: a table of good and bad ones, what the redactor hides, which addresses are allowed, and
// properties over random texts.
#include "tests/tap.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "config/err.h"
#include "server/camera/camera_url.h"

static const struct {
    const char *text, *form, *user, *password;
} good[] = {
    {"rtsp://cam", "rtsp://cam/", "", ""},
    {"rtsp://cam/", "rtsp://cam/", "", ""},
    {"RTSP://Cam.Example/Live", "rtsp://cam.example/Live", "", ""},
    {"rtsp://cam:554/live", "rtsp://cam/live", "", ""},
    {"rtsp://cam:8554/live", "rtsp://cam:8554/live", "", ""},
    {"rtsp://cam:/live", "rtsp://cam/live", "", ""},
    {"rtsp://cam.:554/live", "rtsp://cam/live", "", ""},
    {"rtsp://cam_1-a.lan/live", "rtsp://cam_1-a.lan/live", "", ""},
    {"rtsp://192.168.1.10/Streaming/Channels/101", "rtsp://192.168.1.10/Streaming/Channels/101", "",
     ""},
    {"rtsp://192.168.1.10:65535/x", "rtsp://192.168.1.10:65535/x", "", ""},
    {"rtsp://192.168.1.10:1/x", "rtsp://192.168.1.10:1/x", "", ""},
    {"rtsp://192.168.1.10:00554/x", "rtsp://192.168.1.10/x", "", ""},
    {"rtsp://cam?stream=1", "rtsp://cam/?stream=1", "", ""},
    {"rtsp://cam/cam/realmonitor?channel=1&subtype=0",
     "rtsp://cam/cam/realmonitor?channel=1&subtype=0", "", ""},
    {"rtsp://cam/a//b/../c", "rtsp://cam/a//b/../c", "", ""},
    {"rtsp://cam/a%20b", "rtsp://cam/a%20b", "", ""},
    {"rtsp://cam/a%zz%", "rtsp://cam/a%zz%", "", ""},
    {"rtsp://cam/a#b", "rtsp://cam/a%23b", "", ""},
    {"rtsp://cam#b", "rtsp://cam/%23b", "", ""},
    {"rtsp://cam/a\"b\\c", "rtsp://cam/a%22b%5Cc", "", ""},
    {"rtsp://cam/caf\xc3\xa9", "rtsp://cam/caf%C3%A9", "", ""},
    {"rtsp://cam/user@domain", "rtsp://cam/user@domain", "", ""},
    {"rtsp://cam/a:b@c", "rtsp://cam/a:b@c", "", ""},
    {"rtsp://[::1]/x", "rtsp://[::1]/x", "", ""},
    {"rtsp://[::1]:8554/x", "rtsp://[::1]:8554/x", "", ""},
    {"rtsp://[::1]:/x", "rtsp://[::1]/x", "", ""},
    {"rtsp://[FE80:0:0:0:0:0:0:1]/x", "rtsp://[fe80::1]/x", "", ""},
    {"rtsp://[2001:db8::10]", "rtsp://[2001:db8::10]/", "", ""},
    {"rtsp://[::ffff:192.168.1.1]/x", "rtsp://[::ffff:192.168.1.1]/x", "", ""},
    {"rtsp://u:p@[2001:db8::10]:99/x", "rtsp://[2001:db8::10]:99/x", "u", "p"},
    {"rtsp://admin@cam/x", "rtsp://cam/x", "admin", ""},
    {"rtsp://admin:@cam/x", "rtsp://cam/x", "admin", ""},
    {"rtsp://:secret@cam/x", "rtsp://cam/x", "", "secret"},
    {"rtsp://@cam/x", "rtsp://cam/x", "", ""},
    {"rtsp://admin:hunter2@cam/x", "rtsp://cam/x", "admin", "hunter2"},
    {"rtsp://admin:hunter2@cam", "rtsp://cam/", "admin", "hunter2"},
    {"rtsp://admin:hunter2@cam:8554", "rtsp://cam:8554/", "admin", "hunter2"},
    {"rtsp://admin:p@ss@cam/x", "rtsp://cam/x", "admin", "p@ss"},
    {"rtsp://admin:@@@@cam/x", "rtsp://cam/x", "admin", "@@@"},
    {"rtsp://admin:a:b:c@cam/x", "rtsp://cam/x", "admin", "a:b:c"},
    {"rtsp://admin:a#b@cam/x", "rtsp://cam/x", "admin", "a#b"},
    {"rtsp://admin:a?b@cam/x", "rtsp://cam/x", "admin", "a?b"},
    {"rtsp://admin:p@ss:w#rd?@cam:8554/x", "rtsp://cam:8554/x", "admin", "p@ss:w#rd?"},
    {"rtsp://admin:a%40b@cam/x", "rtsp://cam/x", "admin", "a@b"},
    {"rtsp://admin:a%2Fb@cam/x", "rtsp://cam/x", "admin", "a/b"},
    {"rtsp://admin:a%2fb@cam/x", "rtsp://cam/x", "admin", "a/b"},
    {"rtsp://admin:a%20b@cam/x", "rtsp://cam/x", "admin", "a b"},
    {"rtsp://admin:100%@cam/x", "rtsp://cam/x", "admin", "100%"},
    {"rtsp://admin:100%zz@cam/x", "rtsp://cam/x", "admin", "100%zz"},
    {"rtsp://admin:a%2@cam/x", "rtsp://cam/x", "admin", "a%2"},
    {"rtsp://admin:%25@cam/x", "rtsp://cam/x", "admin", "%"},
    {"rtsp://ad%3Amin:x@cam/x", "rtsp://cam/x", "ad:min", "x"},
    {"rtsp://ad%40min@cam/x", "rtsp://cam/x", "ad@min", ""},
    {"rtsp://admin:p\xc3\xa4ss@cam/x", "rtsp://cam/x", "admin", "p\xc3\xa4ss"},
    {"rtsp://admin:a\"b<c>'d@cam/x", "rtsp://cam/x", "admin", "a\"b<c>'d"},
    {"rtsp://admin:x@cam/u:v@w", "rtsp://cam/u:v@w", "admin", "x"},
    {"rtsp://admin:x@1.2.3.4/", "rtsp://1.2.3.4/", "admin", "x"},
    {"rtsp://a.b.c.d.e.f/", "rtsp://a.b.c.d.e.f/", "", ""},
    {"rtsp://1cam/", "rtsp://1cam/", "", ""},
    {"rtsp://cam1.2x/", "rtsp://cam1.2x/", "", ""},
    {"rtsp://localhost/", "rtsp://localhost/", "", ""},
    {"rtsps://cam/x", "rtsps://cam/x", "", ""},
    {"RTSPS://u:p@cam:322/x", "rtsps://cam/x", "u", "p"},
    {"rtsps://cam:554/x", "rtsps://cam:554/x", "", ""},
    {"http://cam/mjpg/video.cgi?n=1", "http://cam/mjpg/video.cgi?n=1", "", ""},
    {"http://cam:80", "http://cam/", "", ""},
    {"https://u:p@[::1]:443/a.m3u8", "https://[::1]/a.m3u8", "u", "p"},
    {"rtmp://cam/live/1", "rtmp://cam/live/1", "", ""},
    {"srt://cam:9000", "srt://cam:9000/", "", ""},
    {"srt://cam:9000?streamid=a", "srt://cam:9000/?streamid=a", "", ""},
};

static const struct {
    const char *text;
    int         code;
} bad[] = {
    {"", ERR_UNSUPPORTED},
    {"cam", ERR_UNSUPPORTED},
    {"/dev/video0", ERR_UNSUPPORTED},
    {"httpx://cam/x", ERR_UNSUPPORTED},
    {"rtmps://cam/x", ERR_UNSUPPORTED},
    {"ftp://cam/x", ERR_UNSUPPORTED},
    {"hls+http://cam/x", ERR_UNSUPPORTED},
    {"srt://cam/x", ERR_INVALID},
    {"srt://cam:0", ERR_INVALID},
    {"file:///etc/passwd", ERR_UNSUPPORTED},
    {"exec:rm", ERR_UNSUPPORTED},
    {"rtsp:/cam/x", ERR_UNSUPPORTED},
    {"rtsp:cam", ERR_UNSUPPORTED},
    {"rtspx://cam/x", ERR_UNSUPPORTED},
    {" rtsp://cam/x", ERR_INVALID},
    {"rtsp://", ERR_INVALID},
    {"rtsp:///x", ERR_INVALID},
    {"rtsp://:554/x", ERR_INVALID},
    {"rtsp://@/x", ERR_INVALID},
    {"rtsp://admin:x@/x", ERR_INVALID},
    {"rtsp://admin:x@:554/x", ERR_INVALID},
    {"rtsp://cam:0/x", ERR_INVALID},
    {"rtsp://cam:65536/x", ERR_INVALID},
    {"rtsp://cam:999999/x", ERR_INVALID},
    {"rtsp://cam:+554/x", ERR_INVALID},
    {"rtsp://cam:-1/x", ERR_INVALID},
    {"rtsp://cam:55a/x", ERR_INVALID},
    {"rtsp://cam:554:554/x", ERR_INVALID},
    {"rtsp://admin:pa/ss@cam/x", ERR_INVALID},
    {"rtsp://cam x/", ERR_INVALID},
    {"rtsp://cam/a b", ERR_INVALID},
    {"rtsp://cam/a\r\nX: y", ERR_INVALID},
    {"rtsp://cam/a\tb", ERR_INVALID},
    {"rtsp://cam/\x7f", ERR_INVALID},
    {"rtsp://admin:a%0d%0ab@cam/x", ERR_INVALID},
    {"rtsp://admin:a%00b@cam/x", ERR_INVALID},
    {"rtsp://ad%0amin@cam/x", ERR_INVALID},
    {"rtsp://.cam/x", ERR_INVALID},
    {"rtsp://cam..lan/x", ERR_INVALID},
    {"rtsp://./x", ERR_INVALID},
    {"rtsp://cam../x", ERR_INVALID},
    {"rtsp://c%61m/x", ERR_INVALID},
    {"rtsp://cam$/x", ERR_INVALID},
    {"rtsp://cam\\evil/x", ERR_INVALID},
    {"rtsp://caf\xc3\xa9/x", ERR_INVALID},
    {"rtsp://[::1/x", ERR_INVALID},
    {"rtsp://[]/x", ERR_INVALID},
    {"rtsp://[cam]/x", ERR_INVALID},
    {"rtsp://[::1]x/x", ERR_INVALID},
    {"rtsp://[::1]:x/x", ERR_INVALID},
    {"rtsp://[1:2:3:4:5:6:7:8:9]/x", ERR_INVALID},
    {"rtsp://[1.2.3.4]/x", ERR_INVALID},
    {"rtsp://[fe80::1%eth0]/x", ERR_UNSUPPORTED},
    {"rtsp://::1/x", ERR_INVALID},
    {"rtsp://2130706433/x", ERR_INVALID},
    {"rtsp://0x7f000001/x", ERR_INVALID},
    {"rtsp://0x7f.1/x", ERR_INVALID},
    {"rtsp://0177.0.0.1/x", ERR_INVALID},
    {"rtsp://127.1/x", ERR_INVALID},
    {"rtsp://127.0.0.0x1/x", ERR_INVALID},
    {"rtsp://1.2.3/x", ERR_INVALID},
    {"rtsp://1.2.3.4.5/x", ERR_INVALID},
    {"rtsp://256.1.1.1/x", ERR_INVALID},
    {"rtsp://1.2.3.04/x", ERR_INVALID},
    {"rtsp://cam.0x/x", ERR_INVALID},
    {"rtsp://cam.123/x", ERR_INVALID},
};

static void test_good(void)
{
    char form[LIMIT_URL_BYTES];

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct camera_url url, again;
        struct why        why = {""};
        int               rc  = camera_url_parse(&url, good[i].text, &why);

        if (!ok(rc == 0, "reads good address %zu", i)) {
            diag("%s", why.text);
            continue;
        }
        camera_url_format(&url, form);
        is_text(form, good[i].form, "address %zu in its normal form", i);
        is_text(url.user, good[i].user, "its user");
        is_text(url.password.value, good[i].password, "its password");
        rc = camera_url_parse(&again, form, NULL);
        ok(rc == 0 && strcmp(again.host, url.host) == 0 && again.port == url.port &&
               strcmp(again.path, url.path) == 0 && again.user[0] == '\0',
           "the normal form reads back the same, without user");
    }
}

static void test_bad(void)
{
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct camera_url url;
        struct why        why = {""};

        is_int(camera_url_parse(&url, bad[i].text, &why), bad[i].code, "refuses bad address %zu",
               i);
        ok(why.text[0] != '\0' && strstr(why.text, "admin") == NULL, "with a reason: %s", why.text);
    }
}

static void test_bounds(void)
{
    char              text[4 * LIMIT_URL_BYTES], form[LIMIT_URL_BYTES];
    struct camera_url url;

    for (int length = 900; length < 1100; length++) {
        int rc;

        snprintf(text, sizeof text, "rtsp://u:p@cam:8554/%0*d", length, 0);
        rc = camera_url_parse(&url, text, NULL);
        if (rc == 0) {
            camera_url_format(&url, form);
            if (strlen(form) != strlen(text) - 4)
                ok(false, "a path of %d bytes was cut", length);
        } else if (rc != ERR_LIMIT) {
            ok(false, "a path of %d bytes gives %d", length, rc);
        }
    }
    snprintf(text, sizeof text, "rtsp://cam/%01100d", 0);
    is_int(camera_url_parse(&url, text, NULL), ERR_LIMIT, "an address that is too long");
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    is_int(camera_url_parse(&url, text, NULL), ERR_LIMIT, "a text that is far too long");
    snprintf(text, sizeof text, "rtsp://%063d:x@cam/", 0);
    is_int(camera_url_parse(&url, text, NULL), 0, "a user of 63 bytes");
    snprintf(text, sizeof text, "rtsp://%064d:x@cam/", 0);
    is_int(camera_url_parse(&url, text, NULL), ERR_LIMIT, "a user of 64 bytes");
    snprintf(text, sizeof text, "rtsp://u:%0255d@cam/", 0);
    is_int(camera_url_parse(&url, text, NULL), 0, "a password of 255 bytes");
    snprintf(text, sizeof text, "rtsp://u:%0256d@cam/", 0);
    is_int(camera_url_parse(&url, text, NULL), ERR_LIMIT, "a password of 256 bytes");
    snprintf(text, sizeof text, "rtsp://a%063d/", 0);
    is_int(camera_url_parse(&url, text, NULL), ERR_LIMIT, "a name with a part of 64 bytes");
}

static const struct {
    const char *text, *hidden;
} shown[] = {
    {"", ""},
    {"no address in here, mail a@b", "no address in here, mail a@b"},
    {"rtsp://cam/x", "rtsp://cam/x"},
    {"rtsp://cam:554/x failed", "rtsp://cam:554/x failed"},
    {"cannot reach rtsp://cam:554.", "cannot reach rtsp://cam:554."},
    {"'rtsp://cam:554':", "'rtsp://cam:554':"},
    {"rtsp://[::1]:554/x", "rtsp://[::1]:554/x"},
    {"rtsp://[2001:db8::1]/x", "rtsp://[2001:db8::1]/x"},
    {"rtsp://admin:hunter2@cam/x", "rtsp://***@cam/x"},
    {"rtsp://admin@cam/x", "rtsp://***@cam/x"},
    {"rtsp://admin:hun@ter2@cam/x", "rtsp://***@cam/x"},
    {"rtsp://admin:hun/ter2@cam/x", "rtsp://***@cam/x"},
    {"rtsp://admin:hun#ter?2@cam/x", "rtsp://***@cam/x"},
    {"rtsp://admin:hun ter2@cam/x", "rtsp://***@cam/x"},
    {"rtsp://admin:12 34@cam/x", "rtsp://***@cam/x"},
    {"rtsp://admin:p@ss word@cam/x", "rtsp://***@cam/x"},
    {"rtsp://admin:p@s\003s@cam/x", "rtsp://***@cam/x"},
    {"rtsp://admin:12\"34@cam/x", "rtsp://***@cam/x"},
    {"rtsp://admin:hunter2", "rtsp://***"},
    {"rtsp://admin:hunt and more", "rtsp://*** and more"},
    {"rtsp://admin:hunter2@[::1]:5/x", "rtsp://***@[::1]:5/x"},
    {"Input #0, rtsp, from 'rtsp://admin:hunter2@cam:554/x':",
     "Input #0, rtsp, from 'rtsp://***@cam:554/x':"},
    {"rtsp://a:b@c/ and http://d:e@f/\nrtsp://g:h@i",
     "rtsp://***@c/ and http://***@f/\nrtsp://***@i"},
    {"redis://:secret@host:6379/0", "redis://***@host:6379/0"},
    {"RTSPS://u:p@cam", "RTSPS://***@cam"},
    {"rtsp://cam/x?user=admin&password=hunter2&a=b", "rtsp://cam/x?user=admin&password=***&a=b"},
    {"rtsp://cam/user=admin_password=tlJw_channel=1.sdp?real",
     "rtsp://cam/user=admin_password=***?real"},
    {"rtsp://cam/x?PWD=hunter2", "rtsp://cam/x?PWD=***"},
    {"rtsp://cam/x?access_token=abc;x=1", "rtsp://cam/x?access_token=***;x=1"},
    {"rtsp://cam/x?pass=", "rtsp://cam/x?pass=***"},
    {"://", "://"},
    {"://@", "://***@"},
};

static void test_redact(void)
{
    char                out[256];
    const struct secret secret = {"hunter2"}, tiny = {"h"}, stars = {"***"};

    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++) {
        camera_url_redact(shown[i].text, out, sizeof out);
        is_text(out, shown[i].hidden, "hides what is secret in text %zu", i);
    }
    camera_url_redact_secret("401 hunter2 hunter2hunter2 hunter", &secret, out, sizeof out);
    is_text(out, "401 *** ****** hunter", "a known secret is hidden wherever it stands");
    camera_url_redact_secret("the host", &tiny, out, sizeof out);
    is_text(out, "the host", "one letter is not");
    camera_url_redact_secret("a***b", &stars, out, sizeof out);
    is_text(out, "a***b", "a secret of stars ends, too");
    for (size_t bytes = 1; bytes < 40; bytes++) {
        memset(out, '#', sizeof out);
        camera_url_redact("x rtsp://admin:hunter2@cam/x", out, bytes);
        if (strlen(out) >= bytes || out[bytes] != '#' || strstr(out, "hun") != NULL)
            ok(false, "cut to %zu bytes", bytes);
    }
    camera_url_redact("x", out, 0);
    ok(true, "no room at all");
}

static uint64_t seed = 88172645463325252;
static unsigned next_random(unsigned below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)(seed >> 11) % below;
}

static void random_text(char *out, unsigned bytes_max, const char *letters)
{
    unsigned bytes = next_random(bytes_max + 1);

    for (unsigned i = 0; i < bytes; i++)
        out[i] = letters[next_random((unsigned)strlen(letters))];
    out[bytes] = '\0';
}

/* Whatever the password, written raw, no part of the user and password that could be told is left. */
static void test_redact_property(void)
{
    static const char around[] = "abc XYZ:/.'\"=&?#[]019-\n";
    int               leaks    = 0;

    for (int i = 0; i < 200000; i++) {
        char before[24], after[24], user[12], password[20], text[128], out[160];

        random_text(before, 20, around);
        random_text(after, 20, around);
        random_text(user, 8, "abc@.#?%01:/");
        random_text(password, 12, "QWE@:#?/%&'\"<>=019 \003\t");
        if (strstr(password, "://") != NULL)
            continue;
        snprintf(text, sizeof text, "%s rtsp://%s:SEC%sRET@cam/%s", before, user, password, after);
        camera_url_redact(text, out, sizeof out);
        if (strstr(out, "SEC") != NULL || strstr(out, "RET") != NULL) {
            if (leaks++ == 0)
                diag("%s -> %s", text, out);
        }
    }
    is_int(leaks, 0, "200000 random texts, no password in what is left");
}

static void percent_encode(const char *text, char *out)
{
    *out = '\0';
    for (; *text != '\0'; text++, out += 3)
        snprintf(out, 4, "%%%02X", (unsigned char)*text);
}

/* What is encoded comes back; what is written raw comes back if it has no '/'. */
static void test_parse_property(void)
{
    static const char letters[] = "abcXYZ019@:#?&='\"<>!$()*,;[]~.-_\x80\xff";
    int               wrong     = 0;

    for (int i = 0; i < 100000; i++) {
        char              user[20], password[24], coded_user[80], coded_password[80], text[256];
        char              form[LIMIT_URL_BYTES];
        struct camera_url url;

        random_text(user, 16, "abc@:/#?% \x80");
        random_text(password, 20, i % 2 ? letters : "abc@:/#?% \x80");
        percent_encode(user, coded_user);
        percent_encode(password, coded_password);
        snprintf(text, sizeof text, "rtsp://%s:%s@cam:8554/x", coded_user,
                 i % 2 ? password : coded_password);
        if (camera_url_parse(&url, text, NULL) != 0 || strcmp(url.user, user) != 0 ||
            strcmp(url.password.value, password) != 0) {
            if (wrong++ == 0)
                diag("%s", text);
            continue;
        }
        camera_url_format(&url, form);
        wrong += strcmp(form, "rtsp://cam:8554/x") != 0;
    }
    is_int(wrong, 0, "100000 random users and passwords come back as they were");
}

static const struct {
    const char *from, *location;
    int         rc;
    const char *form, *user;
} redirects[] = {
    {"rtsp://u:p@cam/x", "rtsp://cam/y", 0, "rtsp://cam/y", "u"},
    {"rtsp://u:p@cam/x", "rtsp://cam:8554/y", 0, "rtsp://cam:8554/y", "u"},
    {"rtsp://u:p@cam/x", "rtsps://cam/y", 0, "rtsps://cam/y", "u"},
    {"rtsp://u:p@cam/x", "rtsp://v:q@cam/y", 0, "rtsp://cam/y", "u"},
    {"rtsp://u:p@cam/x", "rtsp://other/y", 0, "rtsp://other/y", ""},
    {"rtsp://u:p@cam/x", "rtsp://v:q@other/y", 0, "rtsp://other/y", ""},
    {"http://u:p@cam/x", "https://cam/y", 0, "https://cam/y", "u"},
    {"rtsps://u:p@cam/x", "rtsp://cam/y", ERR_DENIED, "rtsps://cam/x", "u"},
    {"https://cam/x", "http://cam/y", ERR_DENIED, "https://cam/x", ""},
    {"http://cam/x", "rtsp://cam/y", ERR_DENIED, "http://cam/x", ""},
    {"rtsp://cam/x", "http://cam/y", ERR_DENIED, "rtsp://cam/x", ""},
    {"rtsp://cam/x", "rtmp://cam/y", ERR_DENIED, "rtsp://cam/x", ""},
    {"rtsp://cam/x", "/y", ERR_DENIED, "rtsp://cam/x", ""},
    {"rtsp://cam/x", "file:///etc/passwd", ERR_DENIED, "rtsp://cam/x", ""},
    {"rtsp://cam/x", "rtsp://2130706433/", ERR_DENIED, "rtsp://cam/x", ""},
    {"rtsp://cam/x", "", ERR_DENIED, "rtsp://cam/x", ""},
};

static void test_redirects(void)
{
    const unsigned all = CAMERA_URL_ANYWHERE;

    for (size_t i = 0; i < sizeof redirects / sizeof redirects[0]; i++) {
        struct camera_url url;
        struct why        why = {""};
        char              form[LIMIT_URL_BYTES];

        camera_url_parse(&url, redirects[i].from, NULL);
        is_int(camera_url_redirect(&url, redirects[i].location, &why), redirects[i].rc,
               "redirect %zu", i);
        camera_url_format(&url, form);
        is_text(form, redirects[i].form, "leads there");
        is_text(url.user, redirects[i].user, "with this user");
        ok(strstr(why.text, "passwd") == NULL, "the reason shows nothing of it");
    }
    is_int(camera_url_redirect_reach(all, CAMERA_URL_LOOPBACK), all, "from here: anywhere");
    is_int(camera_url_redirect_reach(all, CAMERA_URL_PRIVATE), all & ~1U,
           "from the house: not here");
    is_int(camera_url_redirect_reach(all, CAMERA_URL_LINK_LOCAL), all & ~1U, "nor from a link");
    is_int(camera_url_redirect_reach(all, CAMERA_URL_PUBLIC), CAMERA_URL_PUBLIC,
           "from the internet: there alone");
    is_int(camera_url_redirect_reach(CAMERA_URL_PRIVATE, CAMERA_URL_LOOPBACK), CAMERA_URL_PRIVATE,
           "never further than allowed");
}

static const struct {
    const char *address;
    int         reach; /* 0: never */
} places[] = {
    {"127.0.0.1", CAMERA_URL_LOOPBACK},
    {"127.255.255.254", CAMERA_URL_LOOPBACK},
    {"10.0.0.1", CAMERA_URL_PRIVATE},
    {"172.16.0.1", CAMERA_URL_PRIVATE},
    {"172.31.255.255", CAMERA_URL_PRIVATE},
    {"172.15.0.1", CAMERA_URL_PUBLIC},
    {"172.32.0.1", CAMERA_URL_PUBLIC},
    {"192.168.0.1", CAMERA_URL_PRIVATE},
    {"192.169.0.1", CAMERA_URL_PUBLIC},
    {"100.64.0.1", CAMERA_URL_PRIVATE},
    {"100.127.255.255", CAMERA_URL_PRIVATE},
    {"100.128.0.1", CAMERA_URL_PUBLIC},
    {"169.254.1.1", CAMERA_URL_LINK_LOCAL},
    {"169.254.169.254", 0},
    {"169.254.170.2", 0},
    {"100.100.100.200", 0},
    {"192.0.0.192", 0},
    {"0.0.0.0", 0},
    {"0.1.2.3", 0},
    {"224.0.0.1", 0},
    {"239.255.255.250", 0},
    {"240.0.0.1", 0},
    {"255.255.255.255", 0},
    {"8.8.8.8", CAMERA_URL_PUBLIC},
    {"::1", CAMERA_URL_LOOPBACK},
    {"::", 0},
    {"::7f00:1", 0},
    {"ff02::1", 0},
    {"fe80::1", CAMERA_URL_LINK_LOCAL},
    {"febf::1", CAMERA_URL_LINK_LOCAL},
    {"fc00::1", CAMERA_URL_PRIVATE},
    {"fd12::1", CAMERA_URL_PRIVATE},
    {"fd00:ec2::254", 0},
    {"2001:db8::1", CAMERA_URL_PUBLIC},
    {"::ffff:127.0.0.1", CAMERA_URL_LOOPBACK},
    {"::ffff:10.0.0.1", CAMERA_URL_PRIVATE},
    {"::ffff:169.254.169.254", 0},
    {"64:ff9b::127.0.0.1", CAMERA_URL_LOOPBACK},
    {"64:ff9b::a9fe:a9fe", 0},
    {"2002:7f00:1::", CAMERA_URL_LOOPBACK},
    {"2002:a9fe:a9fe::", 0},
};

static int allow(const char *text, unsigned reach, struct why *why)
{
    struct sockaddr_in  ipv4 = {.sin_family = AF_INET};
    struct sockaddr_in6 ipv6 = {.sin6_family = AF_INET6};

    if (inet_pton(AF_INET, text, &ipv4.sin_addr) == 1)
        return camera_url_allow((struct sockaddr *)&ipv4, reach, why);
    if (inet_pton(AF_INET6, text, &ipv6.sin6_addr) == 1)
        return camera_url_allow((struct sockaddr *)&ipv6, reach, why);
    return ERR_INVALID;
}

static void test_allow(void)
{
    struct sockaddr other = {.sa_family = AF_UNIX};
    struct why      why   = {""};

    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        unsigned reach = (unsigned)places[i].reach;

        is_int(allow(places[i].address, CAMERA_URL_ANYWHERE, &why), reach == 0 ? ERR_DENIED : 0,
               "%s for the operator", places[i].address);
        is_int(allow(places[i].address, CAMERA_URL_ANYWHERE & ~reach, &why), ERR_DENIED,
               "%s when its kind is not allowed", places[i].address);
        if (reach != 0)
            is_int(allow(places[i].address, reach, &why), 0, "%s when only its kind is",
                   places[i].address);
    }
    is_int(camera_url_allow(&other, CAMERA_URL_ANYWHERE, &why), ERR_DENIED, "another family");
}

int main(void)
{
    test_good();
    test_bad();
    test_bounds();
    test_redact();
    test_redirects();
    test_redact_property();
    test_parse_property();
    test_allow();
    return done_testing();
}
