/* links: config
 * Names of uploaded videos: what is one, and what only looks like one. */
#include "config/upload_place.h"

#include "config/settings.h"
#include "tests/tap.h"

#include <stdlib.h>
#include <string.h>

static void check_addresses(void)
{
    static const char *const WRONG[] = {"",
                                        "upload:",
                                        "upload:0123456789abcde",
                                        "upload:0123456789abcdef0",
                                        "upload:0123456789ABCDEF",
                                        "upload:../0123456789abcd",
                                        "upload:0123456789abcdef/",
                                        "Upload:0123456789abcdef",
                                        " upload:0123456789abcdef",
                                        "upload://0123456789abcdef"};
    char                     name[UPLOAD_NAME_BYTES];

    ok(upload_name_of("upload:0123456789abcdef", name), "an address");
    is_text(name, "0123456789abcdef", "its name");
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++)
        ok(!upload_name_of(WRONG[i], name), "none: \"%s\"", WRONG[i]);
}

static void check_files(void)
{
    char             name[UPLOAD_NAME_BYTES], path[LIMIT_PATH_BYTES], far_away[LIMIT_PATH_BYTES];
    enum upload_kind kind;

    ok(upload_name_of_file("00112233445566ff.part", name, &kind) && kind == UPLOAD_PART, "a part");
    ok(upload_name_of_file("00112233445566ff.begun", name, &kind) && kind == UPLOAD_BEGUN,
       "a note that it was begun");
    ok(upload_name_of_file("00112233445566ff.played", name, &kind) && kind == UPLOAD_PLAYED,
       "a note that it was played");
    ok(!upload_name_of_file("00112233445566ff", name, &kind), "no ending");
    ok(!upload_name_of_file("00112233445566ff.video.bak", name, &kind), "another ending");
    ok(!upload_name_of_file("cameras.yml", name, &kind), "another file");
    ok(upload_path(path, "/data", "00112233445566ff", UPLOAD_VIDEO), "a path");
    is_text(path, "/data/uploads/00112233445566ff.video", "under the data folder");
    memset(far_away, 'x', sizeof far_away - 1);
    far_away[sizeof far_away - 1] = '\0';
    ok(!upload_path(path, far_away, "00112233445566ff", UPLOAD_VIDEO), "one that is too long");
}

static struct settings *load(const char *text, const char *managed,
                             struct settings_problems *problems)
{
    struct settings *settings = NULL;

    problems->count = 0;
    if (settings_load_text(&settings, text, strlen(text), "test", problems) == 0 &&
        managed != NULL && settings_add_managed(settings, managed, strlen(managed), problems) != 0)
        settings_free(&settings);
    return settings;
}

static void check_settings(void)
{
    static const char MANAGED[] =
        "{\"cameras\":{\"film\":{\"ffmpeg\":{\"inputs\":[{\"path\":\"upload:0123456789abcdef\"}]},"
        "\"loop\":false}}}";
    static struct settings_problems problems;
    struct settings *settings = load("data: /some/where\nuploads: {file_mib: 7, total_mib: 9}\n",
                                     MANAGED, &problems);

    ok(settings != NULL && settings->camera_count == 1, "the server's own file may name one");
    if (settings != NULL) {
        is_text(settings->cameras[0].url, "upload:0123456789abcdef", "its address");
        is_text(settings->cameras[0].file, "/some/where/uploads/0123456789abcdef.video",
                "its file");
        ok(!settings->cameras[0].begun && !settings->cameras[0].played &&
               !settings->cameras[0].loop,
           "not played yet");
        ok(settings->uploads_file_mib == 7 && settings->uploads_total_mib == 9, "the bounds");
    }
    settings_free(&settings);
    settings = load("cameras: {film: {ffmpeg: {inputs: [{path: 'upload:0123456789abcdef'}]}}}\n",
                    NULL, &problems);
    ok(settings != NULL && settings->cameras[0].file[0] == '\0',
       "in the user's file it is a file's name like any other");
    settings_free(&settings);
    settings = load("{}",
                    "{\"cameras\":{\"film\":{\"ffmpeg\":{\"inputs\":[{\"path\":"
                    "\"upload:../../etc/passwd\"}]}}}}",
                    &problems);
    ok(settings == NULL && strstr(problems.problem[0].text, "address") != NULL, "no path in it");
    ok(load("uploads: {file_mib: -1}", NULL, &problems) == NULL, "no bound below zero");
}

int main(void)
{
    check_addresses();
    check_files();
    check_settings();
    return done_testing();
}
