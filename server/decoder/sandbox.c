#include "server/decoder/sandbox.h"

#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/* What decoding asks of the system; found by running every decoder that is used. */
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
};

/* What the runtime of a sanitizer needs besides, for its report. Not in a normal build. */
static const int SANITIZER_ALLOWED[] = {
    SCMP_SYS(openat),    SCMP_SYS(newfstatat),  SCMP_SYS(readlink),     SCMP_SYS(lseek),
    SCMP_SYS(fstat),     SCMP_SYS(sigaltstack), SCMP_SYS(rt_sigaction), SCMP_SYS(prctl),
    SCMP_SYS(getrusage), SCMP_SYS(prlimit64),   SCMP_SYS(getppid),      SCMP_SYS(pipe2),
    SCMP_SYS(mincore),   SCMP_SYS(ioctl),
};

static bool allow_list(scmp_filter_ctx filter)
{
    for (size_t i = 0; i < sizeof ALLOWED / sizeof ALLOWED[0]; i++) {
        if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, ALLOWED[i], 0) != 0)
            return false;
    }
    for (size_t i = 0; SANITIZED && i < sizeof SANITIZER_ALLOWED / sizeof SANITIZER_ALLOWED[0];
         i++) {
        if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, SANITIZER_ALLOWED[i], 0) != 0)
            return false;
    }
    /* Memory yes, code no. */
    if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
                         SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)) != 0 ||
        seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
                         SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)) != 0)
        return false;
    /* abort() ends this process and no other. */
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
                            SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid())) == 0;
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
    if (!SANITIZED && prctl(PR_SET_DUMPABLE, 0) != 0)
        return "the process cannot be made untraceable";
    /* RLIMIT_AS would count the arenas, which are mapped in full and used in part. A sanitizer
     * keeps terabytes of shadow. */
    if (!limit(RLIMIT_CORE, 0) || (!SANITIZED && (!limit(RLIMIT_DATA, SANDBOX_DATA_BYTES) ||
                                                  !limit(RLIMIT_NOFILE, SANDBOX_DESCRIPTORS))))
        return "limits cannot be set";
    return filter_calls() ? NULL : "the system calls cannot be filtered (seccomp)";
}
