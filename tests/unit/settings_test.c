// links: config
/* The configuration file: what is accepted, what is refused, and where each problem is shown. */
#include "config/err.h"
#include "config/object_class.h"
#include "config/settings.h"
#include "tests/tap.h"

#include <sys/stat.h>
#include <unistd.h>

static struct settings         *settings;
static struct settings_problems problems;

static int load(const char *text)
{
    settings_free(&settings);
    return settings_load_text(&settings, text, strlen(text), "t.yml", &problems);
}

static bool has_problem(const char *text)
{
    for (int i = 0; i < problems.count && i < SETTINGS_MAX_PROBLEMS; i++) {
        if (strcmp(problems.problem[i].text, text) == 0)
            return true;
    }
    for (int i = 0; i < problems.count && i < SETTINGS_MAX_PROBLEMS; i++)
        diag("problem: %s", problems.problem[i].text);
    return false;
}

static void test_whole_file(void)
{
    static const char TEXT[] = "http: {listen: 0.0.0.0, port: 9000, token: 0123456789abcdef}\n"
                               "data: /var/lib/sightline\n"
                               "model: /models/m.onnx\n"
                               "redis: {url: 'redis://:pw@127.0.0.1:6380/2'}\n"
                               "objects: {track: [person, car]}\n"
                               "cameras:\n"
                               "  gate:\n"
                               "    ffmpeg:\n"
                               "      inputs:\n"
                               "        - path: rtsp://admin:p%40ss@10.0.0.4:554/main?x=1\n"
                               "          roles: [view, audio]\n"
                               "        - path: rtsp://admin:hun@ter2@10.0.0.4/sub\n"
                               "          roles: [detect]\n"
                               "    detect: {fps: 7.5}\n"
                               "    lines:\n"
                               "      door:\n"
                               "        coordinates: 0.1,0.2,0.9,0.2\n"
                               "        directions: {a_to_b: in, b_to_a: out}\n"
                               "        objects: [person]\n"
                               "    zones:\n"
                               "      queue:\n"
                               "        coordinates: ['0.1,0.1', '0.5,0.1', '0.5,0.5']\n"
                               "        inertia: 5\n"
                               "  file:\n"
                               "    ffmpeg: {inputs: [{path: /clips/a.mp4}]}\n"
                               "    loop: no\n"
                               "    pace: fastest\n"
                               "    enabled: false\n";
    const struct settings_camera *gate;

    is_int(load(TEXT), 0, "a whole file is read");
    if (settings == NULL) {
        has_problem("");
        return;
    }
    is_text(settings->http_listen, "0.0.0.0", "http.listen");
    is_int(settings->http_port, 9000, "http.port");
    is_text(settings->redis_url.value, "redis://:pw@127.0.0.1:6380/2", "redis.url");
    is_int(settings->camera_count, 2, "two cameras");
    gate = &settings->cameras[0];
    is_text(gate->url, "rtsp://10.0.0.4/sub", "the detect input is used, without credentials");
    is_text(gate->user, "admin", "user split out");
    is_text(gate->password.value, "hun@ter2", "password with an unencoded @ split out");
    is_text(gate->view.url, "rtsp://10.0.0.4:554/main?x=1", "the view input too");
    is_text(gate->view.password.value, "p@ss", "with a password of its own");
    is_near(gate->detect_fps, 7.5, 1e-9, "detect.fps");
    is_int(gate->classes, (1U << OBJECT_PERSON) | (1U << OBJECT_CAR), "objects.track is inherited");
    is_int(gate->line_count, 1, "a line");
    is_text(gate->lines[0].a_to_b, "in", "direction named by the user");
    is_int(gate->lines[0].classes, 1U << OBJECT_PERSON, "classes of the line");
    is_near(gate->lines[0].points[1].x, 0.9, 1e-6, "coordinates");
    is_int(gate->zones[0].point_count, 3, "points of a zone given as a list");
    is_int(gate->zones[0].inertia, 5, "inertia");
    ok(!settings->cameras[1].enabled && !settings->cameras[1].loop, "flags");
    is_int(settings->cameras[1].pace, PACE_FASTEST, "pace");
}

static void test_inputs(void)
{
    static const struct {
        const char *inputs, *problem;
    } BAD[] = {
        {"{path: 'rtsp://a/1'}, {path: 'rtsp://a/2', roles: [detect]}",
         "t.yml:1:40: which of the 2 inputs is this? roles: [detect] is analysed, roles: [view] is "
         "shown large"},
        {"{path: 'rtsp://a/1', roles: [record]}, {path: 'rtsp://a/2', roles: [detect]}",
         "t.yml:1:62: \"record\" is no role here, as nothing is recorded: write view for the "
         "stream that is shown large, or take the role out"},
        {"{path: 'rtsp://a/1', roles: [detekt]}",
         "t.yml:1:62: \"detekt\" is no role; did you mean \"detect\"?"},
        {"{path: 'rtsp://a/1', roles: [veiw]}",
         "t.yml:1:62: \"veiw\" is no role; did you mean \"view\"?"},
        {"{path: 'rtsp://a/1', roles: [birdseye]}",
         "t.yml:1:62: \"birdseye\" is no role: detect (analysed) or view (shown large); audio is "
         "passed over"},
        {"{path: 'rtsp://a/1', roles: [view]}",
         "t.yml:1:24: no input has the role detect: nothing would be analysed"},
        {"{path: 'rtsp://a/1', roles: [detect]}, {path: 'rtsp://a/2', roles: [detect, view]}",
         "t.yml:1:79: inputs 1 and 2 both have the role detect"},
        {"{path: 'rtsp://a/1', roles: [detect]}, {path: /a.mp4, roles: [view]}",
         "t.yml:1:79: a stream with the role view is an address: rtsp://...; a file has one "
         "stream, "
         "which is shown large as it is"},
        {"{path: 'rtsp://a/1', roles: [detect], usr: a}",
         "t.yml:1:71: unknown key \"usr\" in an input; did you mean \"user\"?"},
    };
    const struct settings_camera *a;
    char                          text[512];

    load("cameras: {a: {ffmpeg: {inputs: [\n"
         "  {path: 'rtsp://a/1', roles: [view, detect]}, {path: 'rtsp://a/2', roles: [audio]}]}}}");
    ok(settings != NULL && strcmp(settings->cameras[0].url, "rtsp://a/1") == 0 &&
           settings->cameras[0].view.url[0] == '\0',
       "one stream for both needs no second connection");
    load("cameras: {a: {ffmpeg: {inputs: [\n"
         "  {path: 'rtsp://a/1', roles: [view], user: viewer, password: v-word},\n"
         "  {path: 'rtsp://a/2', roles: [detect], user: counter, password: c-word}]}}}");
    a = settings == NULL ? NULL : &settings->cameras[0];
    ok(a != NULL && strcmp(a->url, "rtsp://a/2") == 0 && strcmp(a->user, "counter") == 0 &&
           strcmp(a->password.value, "c-word") == 0,
       "the order is the user's; credentials may stand beside the path");
    ok(a != NULL && strcmp(a->view.url, "rtsp://a/1") == 0 && strcmp(a->view.user, "viewer") == 0 &&
           strcmp(a->view.password.value, "v-word") == 0,
       "and each stream may have its own");
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        snprintf(text, sizeof text, "cameras: {a: {ffmpeg: {inputs: [%s]}}}", BAD[i].inputs);
        ok(load(text) == ERR_INVALID && has_problem(BAD[i].problem), "refused: %s", BAD[i].inputs);
    }
}

static void test_motion_and_isolation(void)
{
    load("decode: {workers: 3, isolation: thread}\n"
         "cameras:\n"
         "  a:\n"
         "    ffmpeg: {inputs: [{path: /a.mp4}]}\n"
         "    motion: {enabled: no, mask: ['0,0,1,0,1,0.1', '0,0.9,1,0.9,1,1,0,1']}\n"
         "  b:\n"
         "    ffmpeg: {inputs: [{path: /b.mp4}]}\n"
         "    motion: {mask: '0,0,1,0,1,0.1'}\n");
    ok(settings != NULL && settings->decode_isolation == ISOLATION_THREAD &&
           settings->decode_workers == 3,
       "video may be decoded in threads");
    ok(settings != NULL && !settings->cameras[0].motion.enabled &&
           settings->cameras[0].motion.mask_count == 2 &&
           settings->cameras[0].motion.masks[1].point_count == 4,
       "a list of masks");
    ok(settings != NULL && settings->cameras[1].motion.enabled &&
           settings->cameras[1].motion.mask_count == 1,
       "or one; and the gate is on");
    load("cameras: {a: {ffmpeg: {inputs: [{path: /a.mp4}]}}}\n");
    ok(settings != NULL && settings->decode_isolation == ISOLATION_PROCESS &&
           settings->cameras[0].motion.enabled,
       "hostile video is shut in unless somebody says otherwise");
    is_int(settings != NULL ? settings->decode_device : -9, 0,
           "and no card reads it outside of that");
    load("decode: {device: cuda}\n");
    is_int(settings != NULL ? settings->decode_device : -9, 1, "a card may decode");
    load("decode: {device: cuda:3}\n");
    is_int(settings != NULL ? settings->decode_device : -9, 4, "or another");
    load("decode: {device: none}\n");
    is_int(settings != NULL ? settings->decode_device : -9, 0, "or none");
    load("decode: {device: cuda:64}\n");
    ok(settings == NULL && has_problem("t.yml:1:18: \"cuda:64\" is no device for decoding: none, "
                                       "cuda, or cuda:1 for the second card"),
       "a card that cannot be is refused");
    load("decode: {device: cuda:}\n");
    ok(settings == NULL, "as is one without its number");
    load("decode: {isolation: none}\n");
    ok(settings == NULL && has_problem("t.yml:1:21: \"none\" is no isolation: process or thread"),
       "another kind of isolation is refused");
    load("cameras:\n"
         "  a:\n"
         "    ffmpeg: {inputs: [{path: /a.mp4}]}\n"
         "    motion: {mask: '0,0,1,1'}\n");
    is_int(problems.count, 1, "so is a mask without an area");
}

static void test_model(void)
{
    static const char *const BAD[] = {
        "model: {file: a.onnx, class_map: {van: boat}}\n",
        "model: {precision: f7}\n",
        "model: {input: {fit: wide}}\n",
        "model: {input: {colors: [rgb]}}\n",
        "model: {input: {shape: square}}\n",
        "model: {input: {mean: [1, 2]}}\n",
        "model: {input: {mean: [1, 2, 3, 4]}}\n",
        "model: {input: {deviation: 0}}\n",
        "model: {input: {pad: 300}}\n",
        "model: {fiel: a.onnx}\n",
        "model: [a.onnx]\n",
    };
    struct settings_model first;

    is_int(load("model: /a.onnx\n"), 0, "a model's file alone");
    is_text(settings->model.file, "/a.onnx", "is read");
    ok(settings->model.shape == SHAPE_PICTURE, "its input takes the picture's shape");
    first = settings->model;
    settings_free(&settings);
    is_int(load("model:\n  file: /a.onnx\n  head: yolov8\n  classes: /names\n"
                "  class_map: {van: car, shopping cart: none}\n  backend: cpu\n"
                "  precision: int8\n  input: {colors: bgr, fit: stretch, shape: fixed, mean: 127,"
                " deviation: [1, 2, 3.5], pad: 0}\n"),
           0, "and all that can be said of it");
    if (settings == NULL)
        return;
    ok(strcmp(settings->model.head, "yolov8") == 0 &&
           strcmp(settings->model.classes, "/names") == 0 &&
           strcmp(settings->model.backend, "cpu") == 0 &&
           strcmp(settings->model.precision, "int8") == 0,
       "its head, names, backend and precision");
    ok(settings->model.rule_count == 2 && settings->model.rules[0].object_class == 2 &&
           strcmp(settings->model.rules[1].name, "shopping cart") == 0 &&
           settings->model.rules[1].object_class == -1,
       "what is counted as what");
    ok(settings->model.colors == COLORS_BGR && settings->model.fit == FIT_STRETCH &&
           settings->model.shape == SHAPE_FIXED && settings->model.has_mean &&
           settings->model.has_deviation && settings->model.has_pad,
       "how pictures are prepared");
    is_near(settings->model.mean[2], 127, 0, "one number for all channels");
    is_near(settings->model.deviation[2], 3.5, 0, "or three");
    ok(!settings_model_equal(&first, &settings->model), "another model than before");
    settings_free(&settings);
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++)
        is_int(load(BAD[i]), ERR_INVALID, "refused: %s", problems.problem[0].text);
}

static void test_all_problems_at_once(void)
{
    static const char TEXT[] = "http:\n"
                               "  prot: 80\n"
                               "  port: 99999\n"
                               "cameras:\n"
                               "  a/b: {ffmpeg: {inputs: [{path: x.mp4}]}}\n"
                               "  c:\n"
                               "    ffmpeg: {inputs: [{path: x.mp4}]}\n"
                               "    detect: {fps: fast}\n"
                               "    lines:\n"
                               "      l: {coordinates: '0.1,0.2,1.3,0.4'}\n"
                               "    zones:\n"
                               "      z: {coordinates: '0,0, 1,1, 1,0, 0,1'}\n"
                               "      l: {coordinates: '0,0, 1,0, 1,1'}\n"
                               "  d: {}\n"
                               "wibble: 1\n";

    is_int(load(TEXT), ERR_INVALID, "a bad file is refused");
    ok(settings == NULL, "nothing comes out of it");
    is_int(problems.count, 9, "every problem is reported");
    ok(has_problem("t.yml:2:3: unknown key \"prot\" in http; did you mean \"port\"?"),
       "nearest key");
    ok(has_problem("t.yml:3:9: \"99999\" is not a whole number from 0 to 65535"), "range");
    ok(has_problem("t.yml:5:3: a name must not hold '/'"), "name");
    ok(has_problem("t.yml:8:19: \"fast\" is not a number from 0 to 120"), "number");
    ok(has_problem("t.yml:10:24: coordinate 1.3 is not within 0 and 1 (coordinates are relative to "
                   "the picture)"),
       "coordinate");
    ok(has_problem("t.yml:12:24: the outline crosses itself: side 1 and side 3; give the points in "
                   "order around the zone"),
       "polygon");
    ok(has_problem("t.yml:13:7: \"l\" names another line or zone of this camera"), "double name");
    ok(has_problem("t.yml:14:3: camera \"d\" has no ffmpeg.inputs"), "no input");
    ok(has_problem("t.yml:15:1: unknown key \"wibble\" in the file"), "no near key");
}

static void test_yaml_errors(void)
{
    load("a: [1, 2\nb: 3\n");
    ok(settings == NULL && problems.count >= 1, "broken YAML is refused");
    ok(strncmp(problems.problem[0].text, "t.yml:", 6) == 0, "with its place: %s",
       problems.problem[0].text);
    load("http: {port: 1}\nhttp: {port: 2}\n");
    ok(settings == NULL && problems.count >= 1, "double keys are refused: %s",
       problems.problem[0].text);
    load("");
    ok(settings == NULL && problems.count == 1, "an empty file is refused: %s",
       problems.problem[0].text);
    is_int(load("cameras:\n"), 0, "a file with no camera yet is fine");
}

static void test_exposure(void)
{
    load("http: {listen: 0.0.0.0}\n");
    ok(settings == NULL, "no foreign address without credentials");
    ok(has_problem("t.yml:1:16: listening on 0.0.0.0 needs credentials: set http.token, or "
                   "http.token_file to a file that is made with a random token at first start"),
       "and the way out is named");
    is_int(load("http: {listen: 0.0.0.0, token_file: /data/token}\n"), 0,
           "with a token file it may");
    load("http: {token: short}\n");
    ok(settings == NULL, "a short token is refused");
}

static void test_substitution(void)
{
    char path[] = "/tmp/sightline-settings-XXXXXX";
    int  fd     = mkstemp(path);
    char text[256];

    setenv("SIGHTLINE_CAMERA_PASSWORD", "p@ss/word", 1);
    is_int(load("cameras: {a: {ffmpeg: {inputs: [{path: "
                "'rtsp://admin:{SIGHTLINE_CAMERA_PASSWORD}@10.1.1.1/x'}]}}}\n"),
           0, "environment substitution");
    is_text(settings == NULL ? NULL : settings->cameras[0].password.value, "p@ss/word",
            "special characters survive");
    is_text(settings == NULL ? NULL : settings->cameras[0].url, "rtsp://10.1.1.1/x", "address");
    ok(write(fd, "0123456789abcdefgh\n", 19) == 19, "secret file written");
    close(fd);
    snprintf(text, sizeof text, "http: {token: '{file:%s}'}\n", path);
    is_int(load(text), 0, "secret file substitution");
    is_text(settings == NULL ? NULL : settings->http_token.value, "0123456789abcdefgh", "its line");
    unlink(path);
    load("http: {token: '{SIGHTLINE_NO_SUCH_THING}'}\n");
    ok(settings == NULL, "an unset name is refused");
    ok(has_problem("t.yml:1:15: {SIGHTLINE_NO_SUCH_THING} is not set: neither in the environment "
                   "nor as a file in /run/secrets"),
       "by name");
    is_int(load("http: {token: '{PATH} is not replaced'}\n"), 0, "other braces are left alone");
    is_text(settings == NULL ? NULL : settings->http_token.value, "{PATH} is not replaced",
            "the environment at large cannot be read");
}

static void test_hostile(void)
{
    static char deep[20000];
    static char aliases[] = "a: &a [x]\nb: &b [*a, *a]\ncameras: {c: &c {ffmpeg: *c}}\n";

    memset(deep, '[', sizeof deep - 1);
    is_int(load(deep), ERR_INVALID, "deep nesting is refused");
    memset(deep, '-', sizeof deep - 1);
    is_int(load(deep), ERR_INVALID, "so are many dashes");
    ok(load(aliases) != 0, "an alias to itself ends");
    is_int(load("cameras:\n  a: &x {ffmpeg: {inputs: [{path: /f}]}}\n  b: *x\n"), 0,
           "an alias for a whole value works");
    is_int(settings == NULL ? 0 : settings->camera_count, 2, "and gives two cameras");
    load("cameras:\n  a: {<<: {}, ffmpeg: {inputs: [{path: /f}]}}\n");
    ok(settings == NULL, "merge keys are refused in words");
}

static void test_files(void)
{
    static const char RELATIVE[] = "data: d\ncameras: {a: {ffmpeg: {inputs: [{path: c/a.mp4}]}}}\n";

    is_int(settings_load(&settings, "/nonexistent/sightline.yml", &problems), ERR_NOT_FOUND,
           "a missing file");
    ok(strstr(problems.problem[0].text, "cannot be opened") != NULL, "%s",
       problems.problem[0].text);
    is_int(settings_load(&settings, "/tmp", &problems), ERR_IO, "a folder");
    load("cameras: {a: {ffmpeg: {inputs: [{path: clips/a.mp4}]}}}\n");
    is_text(settings == NULL ? NULL : settings->cameras[0].url, "clips/a.mp4",
            "relative path without a folder");
    settings_free(&settings);
    settings_load_text(&settings, RELATIVE, strlen(RELATIVE), "/etc/sightline/s.yml", &problems);
    is_text(settings == NULL ? NULL : settings->cameras[0].url, "/etc/sightline/c/a.mp4",
            "relative paths begin at the file's folder");
    is_text(settings == NULL ? NULL : settings->data, "/etc/sightline/d", "data too");
}

static void test_sources(void)
{
    const struct settings_camera *camera;

    load(
        "cameras_allowed: [private, link_local]\n"
        "cameras:\n"
        "  gate:\n"
        "    ffmpeg: {inputs: [{path: rtsps://cam/x}]}\n"
        "    transport: udp\n"
        "    tls_verify: false\n"
        "    tls_fingerprint: '"
        "AB:cd:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:"
        "00:ff'\n"
        "  door: {ffmpeg: {inputs: [{path: rtsp://cam/x}]}}\n");
    is_int(problems.count, 0, "how a camera is reached");
    camera = &settings->cameras[0];
    is_int(camera->reach, SETTINGS_REACH_PRIVATE | SETTINGS_REACH_LINK_LOCAL, "where it may live");
    ok(camera->transport == TRANSPORT_UDP && camera->tls_unverified, "transport and tls_verify");
    ok(strncmp(camera->tls_fingerprint, "abcd00", 6) == 0 && strlen(camera->tls_fingerprint) == 64,
       "the fingerprint in its plain form");
    camera = &settings->cameras[1];
    ok(camera->transport == TRANSPORT_AUTO && !camera->tls_unverified &&
           camera->tls_fingerprint[0] == '\0',
       "by default: verified, by itself");
    load("cameras_allowed: [everywhere]\ncameras:\n"
         "  gate: {ffmpeg: {inputs: [{path: rtsp://cam/x}]}, transport: pigeon,"
         " tls_fingerprint: abc}\n");
    ok(has_problem(
           "t.yml:1:19: \"everywhere\" is no place: loopback, private, link_local or public"),
       "an unknown place");
    ok(has_problem("t.yml:3:63: \"pigeon\" is no transport: auto, tcp or udp"),
       "an unknown transport");
    is_int(problems.count, 4, "and the rest");
    load("cameras_allowed: all\ncameras:\n");
    is_int(problems.count, 1, "no list");
}

int main(void)
{
    test_whole_file();
    test_sources();
    test_inputs();
    test_motion_and_isolation();
    test_model();
    test_all_problems_at_once();
    test_yaml_errors();
    test_exposure();
    test_substitution();
    test_hostile();
    test_files();
    settings_free(&settings);
    return done_testing();
}
