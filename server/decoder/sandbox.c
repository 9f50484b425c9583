#include "server/decoder/sandbox.h"

#include "server/camera/decode_wire.h"

#include <fcntl.h>
#include <pthread.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* What decoding asks of the system, and reading a file that is open; found by running every decoder
 * and every container that is used. */
static const int ALLOWED[] = {
    SCMP_SYS(read),       SCMP_SYS(write),           SCMP_SYS(recvmsg),
    SCMP_SYS(recvfrom),   SCMP_SYS(sendmsg),         SCMP_SYS(sendto),
    SCMP_SYS(poll),       SCMP_SYS(ppoll),           SCMP_SYS(close),
    SCMP_SYS(munmap),     SCMP_SYS(mremap),          SCMP_SYS(madvise),
    SCMP_SYS(brk),        SCMP_SYS(futex),           SCMP_SYS(clock_gettime),
    SCMP_SYS(getpid),     SCMP_SYS(gettid),          SCMP_SYS(clock_nanosleep),
    SCMP_SYS(getrandom),  SCMP_SYS(sched_yield),     SCMP_SYS(sched_getaffinity),
    SCMP_SYS(exit),       SCMP_SYS(rt_sigreturn),    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(exit_group), SCMP_SYS(restart_syscall), SCMP_SYS(nanosleep),
    SCMP_SYS(lseek),
};

/* What the runtime of a sanitizer needs besides, for its report. Not in a normal build. */
static const int SANITIZER_ALLOWED[] = {
    SCMP_SYS(openat),      SCMP_SYS(newfstatat),   SCMP_SYS(readlink), SCMP_SYS(fstat),
    SCMP_SYS(sigaltstack), SCMP_SYS(rt_sigaction), SCMP_SYS(prctl),    SCMP_SYS(getrusage),
    SCMP_SYS(prlimit64),   SCMP_SYS(getppid),      SCMP_SYS(pipe2),    SCMP_SYS(mincore),
    SCMP_SYS(ioctl),
};

static bool allow_when(scmp_filter_ctx filter, int call, struct scmp_arg_cmp argument)
{
    return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call, 1, &argument) == 0;
}

static bool allow_list(scmp_filter_ctx filter)
{
    const struct scmp_arg_cmp no_code = {
        .arg = 2, .op = SCMP_CMP_MASKED_EQ, .datum_a = PROT_EXEC, .datum_b = 0};
    const struct scmp_arg_cmp ourselves = {
        .arg = 0, .op = SCMP_CMP_EQ, .datum_a = (scmp_datum_t)getpid(), .datum_b = 0};

    for (size_t i = 0; i < sizeof ALLOWED / sizeof ALLOWED[0]; i++) {
        if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, ALLOWED[i], 0) != 0)
            return false;
    }
    for (size_t i = 0;
         DECODE_WIRE_SANITIZED && i < sizeof SANITIZER_ALLOWED / sizeof SANITIZER_ALLOWED[0]; i++) {
        if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, SANITIZER_ALLOWED[i], 0) != 0)
            return false;
    }
    /* Memory yes, code no; abort() ends this process and no other. */
    return allow_when(filter, SCMP_SYS(mmap), no_code) &&
           allow_when(filter, SCMP_SYS(mprotect), no_code) &&
           allow_when(filter, SCMP_SYS(tgkill), ourselves);
}

static bool filter_calls(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    bool            loaded = false;

    if (filter == NULL)
        return false;
    if (seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1) == 0 && allow_list(filter))
        loaded = seccomp_load(filter) == 0;
    seccomp_release(filter);
    return loaded;
}

static bool limit(int resource, rlim_t most)
{
    struct rlimit limits = {.rlim_cur = most, .rlim_max = most};

    return setrlimit((__rlimit_resource_t)resource, &limits) == 0;
}

const char *sandbox_enter(void)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
        return "the process cannot be made to end with the server";
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return "privileges cannot be given up";
    if (!DECODE_WIRE_SANITIZED && prctl(PR_SET_DUMPABLE, 0) != 0)
        return "the process cannot be made untraceable";
    /* RLIMIT_AS would count the arenas, which are mapped in full and used in part. A sanitizer
     * keeps terabytes of shadow. */
    if (!limit(RLIMIT_CORE, 0) ||
        (!DECODE_WIRE_SANITIZED &&
         (!limit(RLIMIT_DATA, SANDBOX_DATA_BYTES) || !limit(RLIMIT_NOFILE, SANDBOX_DESCRIPTORS))))
        return "limits cannot be set";
    return filter_calls() ? NULL : "the system calls cannot be filtered (seccomp)";
}

/* ---- whether it holds ---- */

static bool try_open(void)
{
    return open("/etc/hostname", O_RDONLY | O_CLOEXEC) >= 0;
}

static bool try_socket(void)
{
    return socket(AF_INET, SOCK_STREAM, 0) >= 0;
}

static bool try_exec(void)
{
    char *const arguments[] = {"true", NULL};

    return execve("/bin/true", arguments, arguments + 1) == 0;
}

static bool try_fork(void)
{
    return fork() >= 0;
}

static void *in_thread(void *arg)
{
    return arg;
}

static bool try_thread(void)
{
    pthread_t thread;

    return pthread_create(&thread, NULL, in_thread, NULL) == 0;
}

static bool try_kill(void)
{
    return kill(getppid(), 0) == 0;
}

static bool try_trace(void)
{
    return ptrace(PTRACE_ATTACH, getppid(), NULL, NULL) == 0;
}

static bool try_code(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
           MAP_FAILED;
}

static bool try_descriptor(void)
{
    return memfd_create("more", 0) >= 0;
}

static bool try_memory(void)
{
    return mmap(NULL, SANDBOX_DATA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                0) != MAP_FAILED;
}

static const struct {
    const char *name;
    bool (*does)(void);
} TRIES[] = {
    {"open", try_open},     {"socket", try_socket},
    {"exec", try_exec},     {"fork", try_fork},
    {"thread", try_thread}, {"kill", try_kill},
    {"trace", try_trace},   {"code", try_code},
    {"memory", try_memory}, {"descriptor", try_descriptor},
};

int sandbox_try(const char *name)
{
    for (size_t i = 0; i < sizeof TRIES / sizeof TRIES[0]; i++) {
        if (strcmp(TRIES[i].name, name) != 0)
            continue;
        return sandbox_enter() != NULL ? 2 : TRIES[i].does() ? 0 : 1;
    }
    return 2;
}
