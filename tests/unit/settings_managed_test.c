// links: config
/* Cameras that were added through the API: what is written is read back to the bit, passwords are
 * sealed, and nothing in the file reaches for the machine. */
#include "config/settings_managed.h"

#include "config/err.h"
#include "config/settings_camera.h"
#include "config/settings_input.h"
#include "config/upload_place.h"
#include "tests/tap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char                     folder[] = "/tmp/sightline-managed-XXXXXX";
static struct settings_problems problems;
static struct why               why;

static void test_key(void)
{
    struct sealed_key key, again;
    struct stat       status;
    char              path[256];

    is_int(sealed_key_open(&key, folder, false, &why), ERR_NOT_FOUND, "no key yet");
    is_int(sealed_key_open(&key, folder, true, &why), 0, "one is made");
    is_int(sealed_key_open(&again, folder, false, &why), 0, "and read again");
    ok(memcmp(&key, &again, sizeof key) == 0, "the same");
    snprintf(path, sizeof path, "%s/%s", folder, SEALED_KEY_FILE);
    ok(stat(path, &status) == 0 && (status.st_mode & 0777) == 0600, "its owner's alone");
    chmod(path, 0640);
    is_int(sealed_key_open(&again, folder, true, &why), ERR_DENIED, "refused: %s", why.text);
    chmod(path, 0600);
}

static void test_sealing(void)
{
    struct secret     secret = {"pass:word@'\""};
    struct secret     clear;
    struct sealed_key key, other;
    char              text[SEALED_TEXT_BYTES], twice[SEALED_TEXT_BYTES];

    sealed_key_open(&key, folder, false, &why);
    memset(&other, 7, sizeof other);
    sealed_secret_seal(&key, &secret, text);
    sealed_secret_seal(&key, &secret, twice);
    ok(sealed_secret_is(text) && strstr(text, "pass") == NULL, "nothing of it is seen: %s", text);
    ok(strcmp(text, twice) != 0, "never the same twice");
    is_int(sealed_secret_open(&key, text, &clear, &why), 0, "opened");
    is_text(clear.value, secret.value, "as it was");
    is_int(sealed_secret_open(&other, text, &clear, &why), ERR_CORRUPT, "by its own key alone");
    text[strlen(text) - 5] ^= 1;
    is_int(sealed_secret_open(&key, text, &clear, &why), ERR_CORRUPT, "a changed text is none");
    is_int(sealed_secret_open(&key, "sealed:", &clear, &why), ERR_CORRUPT, "an empty one is none");
    memset(secret.value, 'x', sizeof secret.value - 1);
    secret.value[sizeof secret.value - 1] = '\0';
    sealed_secret_seal(&key, &secret, text);
    is_int(sealed_secret_open(&key, text, &clear, &why), 0, "the longest");
    is_text(clear.value, secret.value, "as it was");
}

static struct settings *load(const char *text)
{
    struct settings *settings;

    settings_load_text(&settings, text, strlen(text), "t.yml", &problems);
    for (int i = 0; i < problems.count; i++)
        diag("%s", problems.problem[i].text);
    if (settings != NULL) {
        snprintf(settings->data, sizeof settings->data, "%s", folder);
        snprintf(settings->managed_file, sizeof settings->managed_file, "%s/cameras.yml", folder);
    }
    return settings;
}

static void test_round_trip(void)
{
    static const char CAMERAS[] =
        "cameras:\n"
        "  'Nörth \"gate\"':\n"
        "    enabled: false\n"
        "    ffmpeg: {inputs: [{path: 'rtsp://ad%40min:p%3Aw@192.0.2.1:8554/a?b=c#d'}]}\n"
        "    detect: {fps: 12.5}\n"
        "    objects: {track: [person, bus]}\n"
        "    lines: {in: {coordinates: '0.1,0.2,0.3333333,0.4,1,0', objects: [bus],\n"
        "                 directions: {a_to_b: 'to \\the left', b_to_a: back}}}\n"
        "    zones: {hall: {coordinates: '0,0,1,0,1,1', inertia: 7}}\n"
        "  both: {ffmpeg: {inputs: [{path: 'rtsp://192.0.2.3/sub', roles: [detect]},\n"
        "    {path: 'rtsp://vie:p%3Aw@192.0.2.3/main', roles: [view]}]}, user: u, password: "
        "'p:w'}\n"
        "  second: {ffmpeg: {inputs: [{path: 'rtsps://192.0.2.2/'}]}, transport: udp,\n"
        "           tls_verify: false, tls_fingerprint: "
        "'00000000000000000000000000000000000000000000000000000000000000aB'}\n"
        "  raw: {ffmpeg: {inputs: [{path: 'rtsp://u:p#:w?p:w@x@192.0.2.4/a?b=c@d#e'}]}}\n";
    struct settings   *first = load(CAMERAS);
    struct settings   *second;
    struct sealed_key  key;
    struct json_writer json;
    const char        *text;
    size_t             bytes;

    sealed_key_open(&key, folder, false, &why);
    json_init(&json, LIMIT_FILE_CONFIG_BYTES);
    for (int i = 0; i < first->camera_count; i++)
        first->cameras[i].managed = true;
    settings_managed_write(&json, first->cameras, first->camera_count, &key);
    text = json_text(&json, &bytes);
    ok(text != NULL && strstr(text, "p:w") == NULL, "written without the password");
    is_text(first->cameras[3].url, "rtsp://192.0.2.4/a?b=c@d#e", "nor is one that nobody encoded");
    is_text(first->cameras[3].password.value, "p#:w?p:w@x", "in the address");
    second = load("{}");
    is_int(settings_add_managed(second, text, bytes, &problems), 0, "read again");
    is_int(second->camera_count, 4, "all four");
    for (int i = 0; i < second->camera_count; i++)
        ok(settings_camera_equal(&first->cameras[i], &second->cameras[i]), "%s is the same",
           second->cameras[i].name);
    is_text(second->cameras[0].password.value, "p:w", "its password too");
    is_text(second->cameras[1].view.password.value, "p:w", "and that of a second stream");
    settings_free(&second);
    second = load("cameras: {second: {ffmpeg: {inputs: [{path: a.mp4}]}}}");
    is_int(settings_add_managed(second, text, bytes, &problems), ERR_INVALID,
           "a name that the configuration has: %s", problems.problem[0].text);
    settings_free(&second);
    settings_free(&first);
    json_free(&json);
}

/* ---- any camera that can be set comes back ---- */

#define ROUNDS   400
#define KEYS_MAX 64

static uint64_t state = 0x9e3779b97f4a7c15; /* the same cameras in every run */

static unsigned below(unsigned bound)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)(state >> 33) % bound;
}

static float part(void)
{
    return (float)below(1U << 30) / (float)(1U << 30);
}

/* Text that YAML, JSON and URLs each see something in. */
static void any_text(char *text, size_t room)
{
    static const char *const PIECES[] = {"a",
                                         "Z",
                                         "07",
                                         "\"",
                                         "\\",
                                         "'",
                                         "{",
                                         "}",
                                         ": ",
                                         " #",
                                         "&",
                                         "*",
                                         "%41",
                                         "~",
                                         "\xc3\xb6",
                                         "-",
                                         "[",
                                         "]",
                                         "@",
                                         "|",
                                         "<<",
                                         "?",
                                         "\xf0\x9f\x98\x80"};
    unsigned                 pieces   = 1 + below(12);
    size_t                   used     = 0;

    memset(text, 0, room);
    for (unsigned i = 0; i < pieces; i++) {
        const char *piece = PIECES[below(sizeof PIECES / sizeof PIECES[0])];
        if (used + strlen(piece) + 2 > room)
            break;
        memcpy(text + used, piece, strlen(piece));
        used += strlen(piece);
    }
    text[used] = '.'; /* a name ends with no space */
    if (text[0] == ' ')
        text[0] = '_';
}

static void any_password(struct secret *password)
{
    unsigned bytes = below(3) == 0 ? 0 : below(sizeof password->value);

    for (unsigned i = 0; i < bytes; i++)
        password->value[i] = (char)(1 + below(255));
}

/* Around a centre, in the order of the angle: such an outline does not cross itself. */
static int any_polygon(struct settings_point *points)
{
    int   count = 3 + (int)below(LIMIT_ZONE_POINTS - 2);
    float turn  = part() * 6.28F;

    for (int i = 0; i < count; i++) {
        float angle  = turn + 6.28318F * (float)i / (float)count;
        float radius = 0.2F + 0.29F * part();
        points[i].x  = 0.5F + radius * cosf(angle);
        points[i].y  = 0.5F + radius * sinf(angle);
    }
    return count;
}

static unsigned any_classes(void)
{
    return below(3) == 0 ? SETTINGS_ALL_CLASSES : 1 + below(SETTINGS_ALL_CLASSES);
}

/* A line's name, a zone's and a camera's are told apart by their numbers. */
static void any_name(char name[LIMIT_NAME_BYTES], int number)
{
    char text[40];

    any_text(text, sizeof text);
    snprintf(name, LIMIT_NAME_BYTES, "%d%s", number, text);
}

static void any_counters(struct settings_camera *camera)
{
    camera->line_count = (int)below(4);
    camera->zone_count = (int)below(4);
    for (int i = 0; i < camera->line_count; i++) {
        struct settings_line *line = &camera->lines[i];
        settings_line_default(line);
        any_name(line->name, i);
        line->point_count = 2 + (int)below(LIMIT_LINE_POINTS - 1);
        for (int j = 0; j < line->point_count; j++)
            line->points[j] = (struct settings_point){(float)j / 32 + part() / 64, part()};
        line->classes = any_classes();
        if (below(2) == 0)
            any_text(line->a_to_b, sizeof line->a_to_b);
        if (below(2) == 0)
            any_text(line->b_to_a, sizeof line->b_to_a);
    }
    for (int i = 0; i < camera->zone_count; i++) {
        struct settings_zone *zone = &camera->zones[i];
        settings_zone_default(zone);
        any_name(zone->name, 100 + i);
        zone->point_count = any_polygon(zone->points);
        zone->classes     = any_classes();
        zone->inertia     = 1 + (int)below(100);
    }
    camera->motion.enabled    = below(2) == 0;
    camera->motion.mask_count = (int)below(LIMIT_MASKS + 1);
    for (int i = 0; i < camera->motion.mask_count; i++)
        camera->motion.masks[i].point_count = any_polygon(camera->motion.masks[i].points);
}

static void any_source(struct settings_camera *camera)
{
    char digits[UPLOAD_NAME_BYTES];

    if (below(4) == 0) {
        snprintf(digits, sizeof digits, "%08x%08x", below(1U << 31), below(1U << 31));
        snprintf(camera->url, sizeof camera->url, "%s%s", UPLOAD_SCHEME, digits);
        upload_path(camera->file, folder, digits, UPLOAD_VIDEO);
    } else {
        snprintf(camera->url, sizeof camera->url, "rtsp://192.0.2.%u:%u/a?b=%u#\"{}\\'", below(256),
                 below(65536), below(10));
    }
    if (below(2) == 0)
        any_text(camera->user, sizeof camera->user);
    any_password(&camera->password);
    if (below(2) == 0) {
        snprintf(camera->view.url, sizeof camera->view.url, "rtsp://192.0.2.%u/main", below(256));
        if (below(2) == 0)
            any_text(camera->view.user, sizeof camera->view.user);
        any_password(&camera->view.password);
    }
    for (int i = 0; i < SETTINGS_FINGERPRINT_BYTES - 1 && below(64) != 0; i++)
        camera->tls_fingerprint[i] = "0123456789abcdef"[below(16)];
    if (strlen(camera->tls_fingerprint) < SETTINGS_FINGERPRINT_BYTES - 1)
        memset(camera->tls_fingerprint, 0, sizeof camera->tls_fingerprint);
}

static void any_camera(struct settings_camera *camera)
{
    settings_camera_default(camera);
    camera->managed = true;
    any_name(camera->name, 7);
    any_source(camera);
    any_counters(camera);
    camera->enabled        = below(2) == 0;
    camera->tls_unverified = below(2) == 0;
    camera->loop           = below(2) == 0;
    camera->transport      = (enum settings_transport)below(3);
    camera->pace           = (enum settings_pace)below(2);
    camera->detect_fps     = below(4) == 0 ? 0 : 120.0 * below(1U << 30) / (1U << 30);
    camera->classes        = any_classes();
}

/* What was written under each key that the reader knows, in the order of its tables. */
static struct {
    char first[256];
    bool known, varies;
} written[KEYS_MAX];

static void describe(struct yaml_reader *reader, yaml_node_t *node, char text[256])
{
    yaml_node_t *item;

    text[0] = '\0';
    if (node != NULL && node->type == YAML_SCALAR_NODE)
        snprintf(text, 256, "=%s", (const char *)node->data.scalar.value);
    for (int i = 0; node != NULL && (item = yaml_item(reader, node, i)) != NULL; i++) {
        if (item->type == YAML_SCALAR_NODE)
            snprintf(text + strlen(text), 256 - strlen(text), ",%s",
                     (const char *)item->data.scalar.value);
    }
}

/* Of the lines and zones the first one stands for all, of the inputs the last one. */
static yaml_node_t *one_of(struct yaml_reader *reader, yaml_node_t *list)
{
    yaml_node_t *item = NULL;

    if (list == NULL)
        return NULL;
    for (int i = 0; yaml_item(reader, list, i) != NULL; i++)
        item = yaml_item(reader, list, i);
    if (list->type == YAML_MAPPING_NODE &&
        list->data.mapping.pairs.start != list->data.mapping.pairs.top)
        item = yaml_document_get_node(reader->document, list->data.mapping.pairs.start->value);
    return item;
}

static const struct yaml_key *keys_below(const struct yaml_key *key)
{
    return strcmp(key->name, "lines") == 0    ? SETTINGS_LINE_KEYS
           : strcmp(key->name, "zones") == 0  ? SETTINGS_ZONE_KEYS
           : strcmp(key->name, "inputs") == 0 ? SETTINGS_INPUT_KEYS
                                              : NULL;
}

/* `report`: every key must have been met with two values, "absent" being one. */
static int walk(struct yaml_reader *reader, const struct yaml_key *keys, yaml_node_t *node,
                int index, bool report)
{
    for (const struct yaml_key *key = keys; key->name != NULL; key++) {
        yaml_node_t *value = reader == NULL ? NULL : yaml_child(reader, node, key->name);
        char         text[256];
        if (key->keys != NULL) {
            index = walk(reader, key->keys, value, index, report);
        } else if (keys_below(key) != NULL) {
            index = walk(reader, keys_below(key), reader == NULL ? NULL : one_of(reader, value),
                         index, report);
        } else if (report) {
            ok(written[index].varies, "what is set for \"%s\" is written, and differs", key->name);
            index++;
        } else {
            describe(reader, value, text);
            if (written[index].known && strcmp(text, written[index].first) != 0)
                written[index].varies = true;
            if (!written[index].known)
                memcpy(written[index].first, text, sizeof text);
            written[index].known = true;
            index++;
        }
    }
    return index;
}

static void note_keys(const char *text, size_t bytes, const char *name)
{
    yaml_parser_t      parser;
    yaml_document_t    document;
    struct yaml_reader reader = {.document = &document};
    yaml_node_t       *cameras;

    yaml_parser_initialize(&parser);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, bytes);
    if (yaml_parser_load(&parser, &document) == 1) {
        cameras = yaml_child(&reader, yaml_document_get_root_node(&document), "cameras");
        walk(&reader, SETTINGS_CAMERA_KEYS, yaml_child(&reader, cameras, name), 0, false);
        yaml_document_delete(&document);
    }
    yaml_parser_delete(&parser);
}

static void test_any_camera(void)
{
    struct settings_camera *camera = malloc(sizeof *camera);
    struct sealed_key       key;
    int                     same = 0;

    sealed_key_open(&key, folder, false, &why);
    for (int round = 0; round < ROUNDS; round++) {
        struct settings   *again = load("{}");
        struct json_writer json;
        const char        *text;
        size_t             bytes;

        any_camera(camera);
        json_init(&json, LIMIT_FILE_CONFIG_BYTES);
        settings_managed_write(&json, camera, 1, &key);
        text           = json_text(&json, &bytes);
        problems.count = 0;
        if (settings_add_managed(again, text, bytes, &problems) == 0 && again->camera_count == 1 &&
            settings_camera_equal(camera, &again->cameras[0]))
            same++;
        else if (same == round)
            diag("the first that is not: %s %s",
                 problems.count == 0 ? "" : problems.problem[0].text, text);
        note_keys(text, bytes, camera->name);
        json_free(&json);
        settings_free(&again);
    }
    is_int(same, ROUNDS, "of %d cameras all come back to the bit", ROUNDS);
    ok(walk(NULL, SETTINGS_CAMERA_KEYS, NULL, 0, true) <= KEYS_MAX, "all keys of the reader");
    free(camera);
}

/* Whoever sees a camera is told its version, and must not learn from it what stands in its address. */
static void test_version(void)
{
    static const char TEXT[] =
        "cameras: {gate: {ffmpeg: {inputs: [{path: \"http://10.0.0.2/a.jpg?pwd=1234\"}]}}}\n";
    struct settings  *settings = NULL;
    struct sealed_key key, other;
    char              path[128], once[SETTINGS_VERSION_BYTES], again[SETTINGS_VERSION_BYTES];
    FILE             *file;

    sealed_key_open(&key, folder, false, &why);
    memset(&other, 7, sizeof other);
    snprintf(path, sizeof path, "%s/version.yml", folder);
    if ((file = fopen(path, "we")) == NULL || fprintf(file, "data: %s\n%s", folder, TEXT) < 0 ||
        fclose(file) != 0 || settings_load(&settings, path, &problems) != 0) {
        ok(false, "a configuration that is read: %s", problems.problem[0].text);
        return;
    }
    unlink(path);
    settings_managed_version(&settings->cameras[0], &key, once);
    is_text(settings->cameras[0].version, once, "the version is made with the folder's key");
    settings_managed_version(&settings->cameras[0], &other, again);
    ok(strlen(once) == SETTINGS_VERSION_BYTES - 1 && strcmp(once, again) != 0,
       "and cannot be guessed without");
    settings->cameras[0].url[strlen(settings->cameras[0].url) - 1] = '5';
    settings_managed_version(&settings->cameras[0], &key, again);
    ok(strcmp(once, again) != 0, "another address is another version");
    settings_free(&settings);
}

static void test_lasting_text(void)
{
    is_int(settings_check_name("a\xc2\x85"
                               "b",
                               &why),
           ERR_INVALID, "a C1 control in a name");
    is_int(settings_check_name("a\xe2\x80\xa8"
                               "b",
                               &why),
           ERR_INVALID, "a line separator in a name");
    is_int(settings_check_name("a\xc2\xa0"
                               "b",
                               &why),
           0, "a hard space is text");
}

static void is_refused(const char *text, const char *what)
{
    struct settings *settings = load("{}");

    is_int(settings_add_managed(settings, text, strlen(text), &problems), ERR_INVALID, "%s: %s",
           what, problems.problem[0].text);
    settings_free(&settings);
}

static void test_nothing_is_reached(void)
{
    static const char KEPT[] = "cameras: {a: {ffmpeg: {inputs: [{path: 'rtsp://h/{SIGHTLINE_T}'}]},"
                               " password: '{file:/etc/hostname}'}}";
    struct settings  *settings = load("{}");

    setenv("SIGHTLINE_T", "secret", 1);
    is_int(settings_add_managed(settings, KEPT, strlen(KEPT), &problems), 0, "placeholders");
    is_text(settings->cameras[0].url, "rtsp://h/{SIGHTLINE_T}", "stand for themselves");
    is_text(settings->cameras[0].password.value, "{file:/etc/hostname}", "files too");
    settings_free(&settings);
    is_refused("cameras: {a: {ffmpeg: {inputs: [{path: /etc/passwd}]}}}", "a file");
    is_refused("cameras: {a: {ffmpeg: {inputs: [{path: movie.mp4}]}}}", "a file beside it");
    is_refused("cameras: {a: {ffmpeg: {inputs: [{path: 'rtsp://u%C2%85:p@h/'}]}}}",
               "a user whose name is no text");
    is_refused("cameras: {a: {ffmpeg: {inputs: [{path: 'rtsp://u%FF:p@h/'}]}}}", "nor this one's");
    is_refused("http: {port: 1}", "another setting");
    is_refused("data: /tmp", "another folder");
    is_refused("cameras: {a: {ffmpeg: {inputs: [{path: 'rtsp://h/'}]}, password: 'sealed:AAAA'}}",
               "a damaged password");
}

static void test_files(void)
{
    static const char TEXT[] =
        "{\"cameras\":{\"a\":{\"ffmpeg\":{\"inputs\":[{\"path\":\"rtsp://h/\"}]}}}}";
    struct settings *settings;
    struct stat      status;
    char             path[256], main_file[256];
    FILE            *file;

    snprintf(path, sizeof path, "%s/cameras.yml", folder);
    snprintf(main_file, sizeof main_file, "%s/sightline.yml", folder);
    is_int(settings_managed_save(path, TEXT, strlen(TEXT), &why), 0, "saved");
    ok(stat(path, &status) == 0 && (status.st_mode & 0777) == 0600, "its owner's alone");
    file = fopen(main_file, "w");
    fprintf(file, "data: .\ncameras: {b: {ffmpeg: {inputs: [{path: b.mp4}]}}}\n");
    fclose(file);
    is_int(settings_load(&settings, main_file, &problems), 0, "both files are read");
    is_int(settings->camera_count, 2, "a camera of each");
    ok(!settings->cameras[0].managed && settings->cameras[1].managed,
       "and which is whose is known");
    settings_free(&settings);
    is_int(settings_managed_save("/nonexistent/cameras.yml", TEXT, 1, &why), ERR_IO, "%s",
           why.text);
    settings_managed_save(path, "cameras: [", 10, &why);
    is_int(settings_load(&settings, main_file, &problems), ERR_INVALID, "a broken one is told: %s",
           problems.problem[0].text);
    unlink(path);
    unlink(main_file);
}

int main(void)
{
    char path[256];

    if (mkdtemp(folder) == NULL)
        return 1;
    test_key();
    test_sealing();
    test_round_trip();
    test_any_camera();
    test_version();
    test_lasting_text();
    test_nothing_is_reached();
    test_files();
    snprintf(path, sizeof path, "%s/%s", folder, SEALED_KEY_FILE);
    unlink(path);
    rmdir(folder);
    return done_testing();
}
