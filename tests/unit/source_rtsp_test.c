// links: camera
// The RTSP source against a scripted camera on the same loop: every way in which a camera fails or misbehaves. With
// "play URL USER PASSWORD PICTURES SECONDS" or "crowd URL SESSIONS" it is the client of tests/integration/rtsp.t.
#include "tests/tap.h"

#include <libavutil/log.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/rtsp_fake_camera.h"
#include "tests/unit/rtsp_player.h"

/* ---- cameras that need more than one odd reply ---- */

/* Every request needs Digest; the password is never right. */
static bool serve_refusing(struct fake *fake, const char *method, const char *request)
{
    (void)method;
    (void)request;
    fake->challenges++;
    fake_say(fake, "RTSP/1.0 401 Unauthorized\r\nCSeq: %u\r\n"
                   "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n\r\n");
    return true;
}

/* Says for ever that the nonce is old. */
static bool serve_stale(struct fake *fake, const char *method, const char *request)
{
    char text[256];

    (void)method;
    (void)request;
    snprintf(text, sizeof text,
             "RTSP/1.0 401 Unauthorized\r\nCSeq: %%u\r\nWWW-Authenticate: Digest realm=\"r\", "
             "nonce=\"n%u\", stale=true\r\n\r\n",
             fake->challenges++);
    fake_say(fake, text);
    return true;
}

/* A new nonce for every request, and an Authorization that holds it is right. */
static bool serve_changing(struct fake *fake, const char *method, const char *request)
{
    char text[256], nonce[32];

    (void)method;
    snprintf(nonce, sizeof nonce, "nonce=\"n%u\"", fake->requests - 1);
    if (strstr(request, "Authorization: Digest") != NULL && strstr(request, nonce) != NULL)
        return false;
    snprintf(text, sizeof text,
             "RTSP/1.0 401 Unauthorized\r\nCSeq: %%u\r\nWWW-Authenticate: Digest realm=\"r\", "
             "nonce=\"n%u\"\r\n\r\n",
             fake->requests);
    fake->challenges++;
    fake_say(fake, text);
    return true;
}

/* Knows the password in clear (Basic) and tells everybody. */
static bool serve_gossip(struct fake *fake, const char *method, const char *request)
{
    (void)method;
    if (strstr(request, "Authorization") == NULL)
        fake_say(
            fake,
            "RTSP/1.0 401 Unauthorized\r\nCSeq: %u\r\nWWW-Authenticate: Basic realm=\"r\"\r\n\r\n");
    else if (strstr(request, "DESCRIBE") == request)
        fake_say(fake, "RTSP/1.0 500 not with p@ss:w#rd or p@ss:w#rd\r\nCSeq: %u\r\n\r\n");
    else
        return false;
    return true;
}

/* RTP, junk channels, empty frames and old answers between the replies. */
static bool serve_mixed(struct fake *fake, const char *method, const char *request)
{
    (void)method;
    (void)request;
    fake_frame(fake, 0, "", 0);
    fake_frame(fake, 0, "junk", 4);
    fake_frame(fake, 1, "junk", 4);
    fake_frame(fake, 77, "of another channel", 18);
    fake_say(fake, "RTSP/1.0 100 Continue\r\nCSeq: %u\r\n\r\n");
    fake_say(fake, "RTSP/1.0 404 Not Found\r\nCSeq: 12345\r\n\r\n");
    fake_say(fake, "\r\nOPTIONS rtsp://you/ RTSP/1.0\r\nCSeq: 9\r\n\r\n");
    return false;
}

/* Pictures may overtake the reply. */
static bool serve_early(struct fake *fake, const char *method, const char *request)
{
    (void)request;
    if (strcmp(method, "PLAY") == 0) {
        fake_picture(fake, 5);
        fake_picture(fake, 1);
    }
    return false;
}

static void play_nothing(struct fake *fake)
{
    (void)fake;
}

static void play_goodbye(struct fake *fake)
{
    fake_picture(fake, 5);
    fake_frame(fake, 1, "\x80\xcb\x00\x00", 4);
}

static void play_redirect(struct fake *fake)
{
    fake_say(
        fake,
        "REDIRECT rtsp://x/ RTSP/1.0\r\nCSeq: 1\r\nLocation: rtsp://u:secret@oth er/x\r\n\r\n");
}

static void play_garbage(struct fake *fake)
{
    fake_picture(fake, 5);
    fake_send(fake, "\x00\x01\x02garbage", 10);
}

static void play_and_close(struct fake *fake)
{
    fake_picture(fake, 5);
    fake_hang_up(fake);
}

static void play_one(struct fake *fake)
{
    fake_picture(fake, 5);
}

static void play_gap(struct fake *fake)
{
    fake_picture(fake, 5);
    fake->rtp_sequence = (uint16_t)(fake->rtp_sequence + 3);
    fake_picture(fake, 1);
    fake_picture(fake, 1);
}

static void play_strays(struct fake *fake)
{
    for (int i = 0; i < 40; i++)
        fake_say(fake, "RTSP/1.0 200 OK\r\nCSeq: 4711\r\n\r\n");
}

#define STATUS(code) "RTSP/1.0 " code " X\r\nCSeq: %u\r\n\r\n"

static const struct script scripts[] = {
    {.name = "a good camera", .end = -1},
    {.name = "RTP before the reply to PLAY", .end = -1, .serve = serve_early},
    {.name = "frames and strays between replies", .end = -1, .serve = serve_mixed},
    {.name = "no OPTIONS", .method = "OPTIONS", .reply = STATUS("501"), .end = -1},
    {.name   = "a camera without CSeq and session",
     .method = "SETUP",
     .reply  = "RTSP/1.0 200\n\n",
     .end    = -1},
    {.name     = "a nonce that changes",
     .end      = -1,
     .user     = "u",
     .password = "p",
     .serve    = serve_changing},
    {.name    = "lost packets",
     .end     = SOURCE_END_TIMEOUT,
     .reason  = "sent nothing for",
     .playing = play_gap},

    {.name   = "silence at OPTIONS",
     .method = "OPTIONS",
     .reply  = SILENCE,
     .end    = SOURCE_END_TIMEOUT,
     .reason = "did not answer OPTIONS"},
    {.name   = "silence at DESCRIBE",
     .method = "DESCRIBE",
     .reply  = SILENCE,
     .end    = SOURCE_END_TIMEOUT,
     .reason = "did not answer DESCRIBE"},
    {.name   = "silence at SETUP",
     .method = "SETUP",
     .reply  = SILENCE,
     .end    = SOURCE_END_TIMEOUT,
     .reason = "did not answer SETUP"},
    {.name   = "silence at PLAY",
     .method = "PLAY",
     .reply  = SILENCE,
     .end    = SOURCE_END_TIMEOUT,
     .reason = "did not answer PLAY"},
    {.name   = "closed at OPTIONS",
     .method = "OPTIONS",
     .reply  = CLOSE,
     .end    = SOURCE_END_CLOSED,
     .reason = "closed the connection (during OPTIONS)"},
    {.name   = "closed at DESCRIBE",
     .method = "DESCRIBE",
     .reply  = CLOSE,
     .end    = SOURCE_END_CLOSED,
     .reason = "(during DESCRIBE)"},
    {.name   = "closed at SETUP",
     .method = "SETUP",
     .reply  = CLOSE,
     .end    = SOURCE_END_CLOSED,
     .reason = "(during SETUP)"},
    {.name   = "closed at PLAY",
     .method = "PLAY",
     .reply  = CLOSE,
     .end    = SOURCE_END_CLOSED,
     .reason = "(during PLAY)"},
    {.name   = "garbage at OPTIONS",
     .method = "OPTIONS",
     .reply  = "\x01garbage",
     .end    = SOURCE_END_ERROR,
     .reason = "not RTSP"},
    {.name   = "HTTP at OPTIONS",
     .method = "OPTIONS",
     .reply  = "HTTP/1.0 400 Bad\r\n\r\n",
     .end    = SOURCE_END_ERROR,
     .reason = "HTTP"},
    {.name   = "garbage at PLAY",
     .method = "PLAY",
     .reply  = "!!!!",
     .end    = SOURCE_END_ERROR,
     .reason = "not RTSP"},
    {.name   = "half a reply, then silence",
     .method = "DESCRIBE",
     .reply  = "RTSP/1.0 200 OK\r\nCSeq: %u\r\nContent-Length: 500\r\n\r\nv=0",
     .end    = SOURCE_END_TIMEOUT,
     .reason = "did not answer DESCRIBE"},
    {.name        = "half a reply, then closed",
     .method      = "DESCRIBE",
     .reply       = "RTSP/1.0 200 OK\r\nCSe",
     .close_reply = true,
     .end         = SOURCE_END_CLOSED,
     .reason      = "(during DESCRIBE)"},
    {.name   = "an empty description",
     .method = "DESCRIBE",
     .reply  = STATUS("200"),
     .end    = SOURCE_END_ERROR,
     .reason = "description"},
    {.name   = "a huge description",
     .method = "DESCRIBE",
     .reply  = "RTSP/1.0 200 OK\r\nContent-Length: 9999999\r\n\r\n",
     .end    = SOURCE_END_ERROR,
     .reason = "64 KiB"},
    {.name   = "UDP",
     .method = "SETUP",
     .reply  = "RTSP/1.0 200 OK\r\nCSeq: %u\r\nTransport: RTP/AVP;unicast;client_port=1-2\r\n\r\n",
     .end    = SOURCE_END_REFUSED,
     .reason = "TCP"},
    {.name   = "no such stream",
     .method = "DESCRIBE",
     .reply  = STATUS("404"),
     .end    = SOURCE_END_ERROR,
     .reason = "no such stream"},
    {.name   = "forbidden",
     .method = "DESCRIBE",
     .reply  = STATUS("403"),
     .end    = SOURCE_END_REFUSED,
     .reason = "forbids"},
    {.name   = "too many viewers",
     .method = "SETUP",
     .reply  = STATUS("453"),
     .end    = SOURCE_END_ERROR,
     .reason = "bandwidth"},
    {.name   = "session lost",
     .method = "PLAY",
     .reply  = STATUS("454"),
     .end    = SOURCE_END_ERROR,
     .reason = "session"},
    {.name   = "transport refused",
     .method = "SETUP",
     .reply  = STATUS("461"),
     .end    = SOURCE_END_REFUSED,
     .reason = "the way that transport asks for"},
    {.name   = "another error",
     .method = "PLAY",
     .reply  = "RTSP/1.0 551 Option \x01 rtsp://a:b@c\r\nCSeq: %u\r\n\r\n",
     .end    = SOURCE_END_ERROR,
     .reason = "refuses PLAY: 551 Option ? rtsp://***@c"},
    {.name   = "redirected",
     .method = "DESCRIBE",
     .reply  = "RTSP/1.0 302 Moved\r\nCSeq: %u\r\nLocation: http://u:secret@other:1/x\r\n\r\n",
     .end    = SOURCE_END_REFUSED,
     .reason = "another protocol (http://)"},
    {.name   = "redirected to the metadata address",
     .method = "DESCRIBE",
     .reply  = "RTSP/1.0 302 Moved\r\nCSeq: %u\r\nLocation: rtsp://169.254.169.254/x\r\n\r\n",
     .end    = SOURCE_END_REFUSED,
     .reason = "metadata"},
    {.name   = "redirected at OPTIONS",
     .method = "OPTIONS",
     .reply  = STATUS("301"),
     .end    = SOURCE_END_REFUSED,
     .reason = "redirects to an address that is none"},
    {.name    = "redirected later",
     .end     = SOURCE_END_REFUSED,
     .reason  = "redirects to an address that is none",
     .playing = play_redirect},
    {.name   = "keep-alives for a lost session",
     .method = "GET_PARAMETER",
     .reply  = STATUS("454"),
     .end    = SOURCE_END_ERROR,
     .reason = "session"},

    {.name   = "credentials needed",
     .end    = SOURCE_END_REFUSED,
     .reason = "asks for a user name",
     .serve  = serve_refusing},
    {.name     = "wrong password",
     .end      = SOURCE_END_REFUSED,
     .reason   = "refuses the user name or the password",
     .user     = "u",
     .password = "p@ss:w#rd",
     .serve    = serve_refusing},
    {.name     = "stale for ever",
     .end      = SOURCE_END_REFUSED,
     .reason   = "refuses the user name or the password",
     .user     = "u",
     .password = "p",
     .serve    = serve_stale},
    {.name     = "unknown sign-in",
     .method   = "DESCRIBE",
     .reply    = "RTSP/1.0 401 No\r\nCSeq: %u\r\nWWW-Authenticate: NTLM\r\n\r\n",
     .end      = SOURCE_END_REFUSED,
     .reason   = "sign-in",
     .user     = "u",
     .password = "p"},
    {.name     = "a camera that tells the password",
     .end      = SOURCE_END_ERROR,
     .reason   = "500 not with *** or ***",
     .user     = "u",
     .password = "p@ss:w#rd",
     .serve    = serve_gossip},

    {.name    = "no picture",
     .end     = SOURCE_END_TIMEOUT,
     .reason  = "sent no picture",
     .playing = play_nothing},
    {.name    = "goodbye",
     .end     = SOURCE_END_CLOSED,
     .reason  = "ended the stream",
     .playing = play_goodbye},
    {.name    = "garbage between frames",
     .end     = SOURCE_END_ERROR,
     .reason  = "not RTSP",
     .playing = play_garbage},
    {.name    = "closed while playing",
     .end     = SOURCE_END_CLOSED,
     .reason  = "the camera closed the connection",
     .playing = play_and_close},
    {.name    = "silence while playing",
     .end     = SOURCE_END_TIMEOUT,
     .reason  = "sent nothing for",
     .playing = play_one},
    {.name    = "answers to no question",
     .end     = SOURCE_END_ERROR,
     .reason  = "what was not asked",
     .playing = play_strays},
};

static void run_table(void)
{
    struct fake fake;

    for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++) {
        const struct script *script = &scripts[i];

        run(&fake, script, NULL, script->end < 0 ? 10 : 0);
        is_int(fake.end, script->end, "%s: ends like this", script->name);
        if (script->end < 0)
            ok(fake.streams == 1 && fake.packets == 10 && fake.keys >= 1 &&
                   fake.last_pts == 9 * 3600,
               "%s: ten pictures came", script->name);
        else if (!ok(strstr(fake.reason, script->reason) != NULL, "%s: with a reason",
                     script->name))
            diag("%s", fake.reason);
        ok(strstr(fake.reason, "secret") == NULL && strstr(fake.reason, "p@ss") == NULL,
           "%s: no credentials in it", script->name);
    }
}

/* The client closes at every point where it hears something. */
static void run_closes(void)
{
    static const char *const steps[] = {"connecting", "OPTIONS", "DESCRIBE",
                                        "SETUP",      "PLAY",    "waiting for the first picture",
                                        "stream",     "packet",  "ended"};
    struct fake              fake;

    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct script script = {.name = steps[i], .close_at = steps[i], .playing = play_goodbye};

        run(&fake, &script, NULL, 0);
        ok(fake.closed && fake.source == NULL, "closed at %s", steps[i]);
        is_int(fake.teardowns, i >= 4 ? 1 : 0, "with a TEARDOWN if there was a session");
    }
}

static void run_refusals(void)
{
    static const struct script denied   = {.name = "the metadata address"};
    static const struct script absent   = {.name = "nobody listens"};
    static const struct script nameless = {.name = "no such name"};
    static const struct script mute     = {.name = "a host that drops packets"};
    struct sockaddr_in         address  = {.sin_family = AF_INET};
    socklen_t                  bytes    = sizeof address;
    struct fake                fake;
    int                        listener = socket(AF_INET, SOCK_STREAM, 0), fill[4];
    char                       url[64];

    run(&fake, &denied, "rtsp://169.254.169.254/latest", 0);
    is_int(fake.end, SOURCE_END_REFUSED, "is refused");
    run(&fake, &nameless, "rtsp://no-such-camera.invalid/", 0);
    is_int(fake.end, SOURCE_END_UNREACHABLE, "is not reached: %s", fake.reason);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bind(listener, (struct sockaddr *)&address, sizeof address);
    getsockname(listener, (struct sockaddr *)&address, &bytes);
    snprintf(url, sizeof url, "rtsp://127.0.0.1:%u/", (unsigned)ntohs(address.sin_port));
    run(&fake, &absent, url, 0);
    is_int(fake.end, SOURCE_END_UNREACHABLE, "is not reached");
    ok(strstr(fake.reason, "refused") != NULL, "says so: %s", fake.reason);

    /* With its backlog full the kernel answers nothing, as a camera without power does. */
    listen(listener, 0);
    for (int i = 0; i < 4; i++) {
        fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (connect(fill[i], (struct sockaddr *)&address, sizeof address) == 0)
            diag("connected at once");
    }
    run(&fake, &mute, url, 0);
    is_int(fake.end, SOURCE_END_UNREACHABLE, "is an error");
    ok(strstr(fake.reason, "does not answer") != NULL, "says so: %s", fake.reason);
    for (int i = 0; i < 4; i++)
        close(fill[i]);
    close(listener);
}

/* A picture every 40 ms, for as long as the client stays. */
static void send_more(uv_timer_t *timer)
{
    struct fake *fake = timer->data;

    if (fake->closed)
        uv_close((uv_handle_t *)timer, NULL);
    else
        fake_picture(fake, 1);
}

static uv_timer_t more;

static void play_long(struct fake *fake)
{
    fake_picture(fake, 5);
    uv_timer_init(&fake->loop, &more);
    more.data = fake;
    uv_timer_start(&more, send_more, 40, 40);
}

static void run_long(void)
{
    static const struct script script = {.name = "a long stream", .playing = play_long};
    struct fake                fake;

    run(&fake, &script, NULL, 35);
    is_int(fake.end, -1, "did not end by itself");
    ok(fake.kept_alive >= 2, "the session of a second was kept alive %u times", fake.kept_alive);
    ok(fake.reports >= 10, "%u receiver reports came", fake.reports);
    is_int(fake.teardowns, 1, "and a TEARDOWN");
}

static void run_bad_settings(void)
{
    static const char *const urls[] = {"", "http://cam/", "rtsp://", "/file.mp4", "rtsp://cam:x/"};
    struct settings_camera   settings = {.enabled = true};
    struct source_events     events   = {NULL, NULL, NULL, NULL, NULL};
    struct source           *source;
    uv_loop_t                loop;

    uv_loop_init(&loop);
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        struct why why = {""};

        snprintf(settings.url, sizeof settings.url, "%s", urls[i]);
        ok(source_rtsp.open(&source, &loop, &settings, &events, &why) < 0 && source == NULL &&
               why.text[0] != '\0',
           "refuses \"%s\": %s", urls[i], why.text);
    }
    source_rtsp.close(&source);
    is_int(uv_loop_close(&loop), 0, "nothing is left on the loop");
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN); /* as the server does: libuv's writes may raise it */
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc == 7 && strcmp(argv[1], "play") == 0)
        return play(argv + 2);
    if (argc == 4 && strcmp(argv[1], "crowd") == 0)
        return play_crowd(argv + 2);
    av_log_set_level(AV_LOG_QUIET);
    run_table();
    run_closes();
    run_refusals();
    run_long();
    run_bad_settings();
    return done_testing();
}
