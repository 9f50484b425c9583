// links: config
/* Cameras that were added through the API: what is written is read back to the bit, passwords are
 * sealed, and nothing in the file reaches for the machine. */
#include "config/settings_managed.h"

#include "config/err.h"
#include "tests/tap.h"

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
        "'00000000000000000000000000000000000000000000000000000000000000aB'}\n";
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
    second = load("{}");
    is_int(settings_add_managed(second, text, bytes, &problems), 0, "read again");
    is_int(second->camera_count, 3, "all three");
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
    test_nothing_is_reached();
    test_files();
    snprintf(path, sizeof path, "%s/%s", folder, SEALED_KEY_FILE);
    unlink(path);
    rmdir(folder);
    return done_testing();
}
