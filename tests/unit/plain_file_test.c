// links: gpu
/* What opens a file that somebody named takes regular files alone, and says so: a FIFO would keep it
 * waiting for ever, which is also how this test would fail. */
#include "config/plain_file.h"

#include "config/err.h"
#include "config/sealed_secret.h"
#include "config/settings.h"
#include "gpu/class_map.h"
#include "gpu/model.h"
#include "tests/tap.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/sightline-plain-XXXXXX";

static const char *path_of(const char *name)
{
    static char path[2][128];
    static int  turn;

    turn ^= 1;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

static void test_open(void)
{
    static const struct {
        const char *name, *part;
        int         rc;
    } REFUSED[] = {
        {"none", "there is no such file", ERR_NOT_FOUND},
        {"plain/none", "there is no such file", ERR_NOT_FOUND},
        {"fifo", "not a regular file", ERR_INVALID},
        {"to_fifo", "not a regular file", ERR_INVALID},
        {"", "not a regular file", ERR_INVALID},
    };
    struct why why;
    int64_t    bytes = 0;
    FILE      *file;
    char       text[8] = "";
    int        fd;

    for (size_t i = 0; i < sizeof REFUSED / sizeof *REFUSED; i++) {
        is_int(plain_file_open(path_of(REFUSED[i].name), PLAIN_FILE_LINKS, NULL, &why),
               REFUSED[i].rc, "\"%s\" is refused", REFUSED[i].name);
        ok(strstr(why.text, REFUSED[i].part) != NULL, "%s", why.text);
    }
    is_int(plain_file_open("/dev/null", PLAIN_FILE_LINKS, NULL, &why), ERR_INVALID, "a device too");
    is_int(plain_file_open(path_of("to_plain"), PLAIN_FILE_NO_LINKS, NULL, &why), ERR_INVALID,
           "a link, where none is wanted");
    fd = plain_file_open(path_of("to_plain"), PLAIN_FILE_LINKS, &bytes, &why);
    ok(fd >= 0 && bytes == 5, "and taken where one may be");
    ok(fd >= 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0, "no program that is started inherits it");
    if (fd >= 0)
        close(fd);
    is_int(plain_file_stream(path_of("plain"), &file, &why), 0, "as a stream");
    ok(file != NULL && fread(text, 1, sizeof text, file) == 5 && strcmp(text, "hello") == 0,
       "which gives what is in it");
    if (file != NULL)
        fclose(file);
    is_int(plain_file_stream(path_of("fifo"), &file, &why), ERR_INVALID, "no stream of a FIFO");
    ok(file == NULL, "and nothing is open");
}

static int lent = -1;

static void give_back(int number)
{
    (void)number;
    fcntl(lent, F_SETLEASE, F_UNLCK);
}

/* As a server of files does it: who opens the file is kept away until the client has given it back. */
static void test_lent(void)
{
    struct why why = {""};
    int        fd;

    lent = open(path_of("plain"), O_RDWR | O_CLOEXEC);
    signal(SIGIO, give_back);
    if (lent < 0 || fcntl(lent, F_SETLEASE, F_WRLCK) != 0) {
        skip_one("a file system without leases");
    } else {
        fd = plain_file_open(path_of("plain"), PLAIN_FILE_LINKS, NULL, &why);
        ok(fd >= 0, "a file that was lent is opened when it is back: %s", why.text);
        if (fd >= 0)
            close(fd);
    }
    if (lent >= 0)
        close(lent);
    signal(SIGIO, SIG_DFL);
}

static void test_who_opens(void)
{
    static struct class_names names;
    static const char         SECRET[] = "redis: {url: 'redis://:{file:%s}@127.0.0.1'}\n";
    static struct model_info  info;
    struct settings_problems  problems;
    struct settings          *settings = NULL;
    struct sealed_key         key;
    struct model             *model;
    struct why                why;
    char                      text[256];

    is_int(model_load(&model, path_of("fifo"), &why), ERR_INVALID, "a model: %s", why.text);
    is_int(class_names_read(&names, &info, path_of("fifo"), &why), ERR_INVALID,
           "names of classes: %s", why.text);
    is_int(settings_load(&settings, path_of("fifo"), &problems), ERR_IO, "a configuration: %s",
           problems.problem[0].text);
    snprintf(text, sizeof text, SECRET, path_of("fifo"));
    ok(settings_load_text(&settings, text, strlen(text), "t.yml", &problems) != 0,
       "a secret in it: %s", problems.problem[0].text);
    settings_free(&settings);
    mkfifo(path_of(SEALED_KEY_FILE), 0600);
    is_int(sealed_key_open(&key, folder, true, &why), ERR_INVALID, "the key: %s", why.text);
    unlink(path_of(SEALED_KEY_FILE));
}

int main(void)
{
    static const char *const NAMES[] = {"fifo", "to_fifo", "to_plain", "plain"};
    FILE                    *file;

    if (mkdtemp(folder) == NULL || (file = fopen(path_of("plain"), "w")) == NULL)
        skip_all("no folder for files");
    fputs("hello", file);
    fclose(file);
    if (mkfifo(path_of("fifo"), 0600) != 0 || symlink("fifo", path_of("to_fifo")) != 0 ||
        symlink("plain", path_of("to_plain")) != 0)
        skip_all("no FIFO or link can be made");
    alarm(60); /* a FIFO that is waited for ends the test */
    test_open();
    test_lent();
    test_who_opens();
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        unlink(path_of(NAMES[i]));
    rmdir(folder);
    return done_testing();
}
