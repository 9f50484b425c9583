// links: gpu
// Where the CUDA plug-in is looked for, and what is said when it, its libraries or a card is missing:
// the program goes on with the CPU in every case. Each case is a process of its own, as the plug-in
// is looked for once.
#include "gpu/backend.h"
#include "tests/tap.h"

#include <sys/wait.h>
#include <unistd.h>

struct answer {
    bool       cuda;
    bool       automatic_is_cpu;
    struct why why;
};

/* What a new process finds with this setting; NULL: none. */
static struct answer ask(const char *plugin)
{
    struct answer answer = {0};
    int           ends[2];
    pid_t         child;

    fflush(stdout);
    if (pipe(ends) != 0 || (child = fork()) < 0)
        abort();
    if (child == 0) {
        const struct backend_ops *automatic;

        if (plugin != NULL)
            setenv("SIGHTLINE_CUDA_PLUGIN", plugin, 1);
        else
            unsetenv("SIGHTLINE_CUDA_PLUGIN");
        answer.cuda             = backend_find("cuda", &answer.why) != NULL;
        automatic               = backend_find("auto", NULL);
        answer.automatic_is_cpu = automatic != NULL && strcmp(automatic->name, "cpu") == 0;
        _exit(write(ends[1], &answer, sizeof answer) == sizeof answer ? 0 : 1);
    }
    close(ends[1]);
    if (read(ends[0], &answer, sizeof answer) != sizeof answer)
        snprintf(answer.why.text, sizeof answer.why.text, "the process died");
    close(ends[0]);
    waitpid(child, NULL, 0);
    return answer;
}

static void refused(const char *plugin, const char *words)
{
    struct answer answer = ask(plugin);

    ok(!answer.cuda && answer.automatic_is_cpu && strstr(answer.why.text, words) != NULL,
       "'%s': the CPU, and \"%s\" is said", plugin, words);
    if (strstr(answer.why.text, words) == NULL)
        diag("said: %s", answer.why.text);
}

/* The plug-in of this build, from the place of this test. */
static void built_plugin(const char *program)
{
    char          path[1200], folder[1000];
    struct answer answer;
    char         *slash;

    snprintf(folder, sizeof folder, "%s", program);
    if ((slash = strrchr(folder, '/')) != NULL)
        *slash = '\0';
    snprintf(path, sizeof path, "%s/../bin/libsightline_cuda.so", slash != NULL ? folder : ".");
    if (access(path, R_OK) != 0) {
        skip_one("this build has no CUDA plug-in");
        return;
    }
    answer = ask(path);
    ok(answer.cuda != answer.automatic_is_cpu, "the plug-in of this build is opened and asked");
    if (!answer.cuda) {
        ok(strstr(answer.why.text, "no CUDA device can be used") != NULL,
           "without a card or a driver it says so: %s", answer.why.text);
    }
}

int main(int argc, char **argv)
{
    (void)argc;
    refused("", "switched off");
    refused("/nowhere/libsightline_cuda.so", "/nowhere/libsightline_cuda.so");
    refused("libm.so.6", "another build");
    refused("libsightline_cuda_nowhere.so", "cannot be used");
    built_plugin(argv[0]);
    return done_testing();
}
