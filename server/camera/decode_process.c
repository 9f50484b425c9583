#include "server/camera/decode_process.h"

#include "config/clock.h"
#include "config/err.h"
#include "config/log.h"
#include "server/camera/camera_url.h"
#include "server/camera/decode.h"
#include "server/camera/decode_spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BASE_MS      250                /* before anybody looks at the processor's time */
#define HEALTHY_NS   (10 * NS_PER_S)    /* a process that lived so long is started again at once */
#define PAUSE_NS     (100 * NS_PER_MS)  /* doubled with each that did not */
#define PAUSE_MAX_NS (1600 * NS_PER_MS) /* cameras must be back within 3 s */
#define END_TRIES    200                /* of a millisecond */
#define LOG_WHO      "decoder"

struct decode_process {
    pthread_mutex_t lock;   /* the socket, and the numbers in use */
    int             socket; /* -1: it does not run */
    atomic_int      pid;
    int             area_fd, back_fd;
    uint8_t        *area, *back;
    uint64_t        life;
    int64_t         started_ns, next_start_ns;
    unsigned        deaths; /* of young ones in a row */
    atomic_uint     restarts;
    bool            hung;
    char            end[96];
    bool            used[DECODE_WIRE_DECODERS];
};

/* ---- its end ---- */

static void describe_end(struct decode_process *process, int status, const char *why_killed)
{
    if (why_killed != NULL)
        snprintf(process->end, sizeof process->end, "%s", why_killed);
    else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
        snprintf(process->end, sizeof process->end, "stopped at a forbidden system call");
    else if (WIFSIGNALED(status))
        snprintf(process->end, sizeof process->end, "crashed, signal %d", WTERMSIG(status));
    else
        snprintf(process->end, sizeof process->end, "ended by itself with code %d",
                 WEXITSTATUS(status));
}

static int64_t pause_ns(unsigned deaths)
{
    int64_t pause = PAUSE_NS;

    if (deaths <= DECODE_STRIKES)
        return 0;
    for (unsigned i = DECODE_STRIKES + 1; i < deaths && pause < PAUSE_MAX_NS; i++)
        pause *= 2;
    return pause;
}

/* `why_killed`: NULL when it has ended by itself. */
static void bury(struct decode_process *process, const char *why_killed)
{
    int64_t now_ns = clock_monotonic_ns();
    int     status = 0;
    pid_t   ended  = 0;
    pid_t   pid    = atomic_load(&process->pid);

    pthread_mutex_lock(&process->lock);
    if (process->socket >= 0)
        close(process->socket);
    process->socket = -1;
    memset(process->used, 0, sizeof process->used);
    pthread_mutex_unlock(&process->lock);
    if (pid <= 0)
        return;
    /* One that has closed its socket is about to end, or pretends to be: its end is worth a moment's
     * waiting, for the sake of the message. */
    for (int i = 0; why_killed == NULL && i < END_TRIES && ended == 0; i++) {
        ended = waitpid(pid, &status, WNOHANG);
        if (ended == 0)
            nanosleep(&(struct timespec){.tv_nsec = NS_PER_MS}, NULL);
    }
    if (ended == 0) {
        kill(pid, SIGKILL);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            continue;
    }
    atomic_store(&process->pid, 0);
    describe_end(process, status, why_killed);
    if (now_ns - process->started_ns >= HEALTHY_NS)
        process->deaths = 0;
    process->deaths++;
    process->next_start_ns = now_ns + pause_ns(process->deaths);
}

static int lose(struct decode_process *process, const char *why_killed)
{
    process->hung = false;
    bury(process, why_killed);
    log_error(LOG_WHO, "a decoder process %s; it is started again", process->end);
    return ERR_DEVICE_LOST;
}

/* ---- messages ---- */

static int64_t cpu_ns(pid_t pid)
{
    clockid_t       id;
    struct timespec used;

    if (clock_getcpuclockid(pid, &id) != 0 || clock_gettime(id, &used) != 0)
        return -1;
    return (int64_t)used.tv_sec * NS_PER_S + used.tv_nsec;
}

/* 'R': it would run; 'D': it waits for a disk; anything else: it does nothing and will do nothing. */
static char state_of(pid_t pid)
{
    char  path[32], line[128];
    char *at    = NULL;
    char  state = '?';
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    if ((file = fopen(path, "re")) == NULL)
        return state;
    if (fgets(line, sizeof line, file) != NULL && (at = strrchr(line, ')')) != NULL && at[1] == ' ')
        state = at[2];
    fclose(file);
    return state;
}

static int wait_readable(struct decode_process *process, int timeout_ms)
{
    struct pollfd socket = {.fd = process->socket, .events = POLLIN};
    int           got;

    do {
        got = poll(&socket, 1, timeout_ms);
    } while (got < 0 && errno == EINTR);
    return got;
}

/* How long one request has taken, with all that is said meanwhile: who talks on is not at work. */
struct watch {
    int     hang_ms;
    int64_t began_ns;
    int64_t base_ns; /* of the processor, after BASE_MS; negative: not yet */
};

/* True when a message waits; false when it hangs. Being kept from the processor, or waiting for a
 * slow disk, is not hanging: then it has longer. */
static bool wait_for_answer(struct decode_process *process, struct watch *watch)
{
    pid_t pid = atomic_load(&process->pid);

    for (int wait_ms = 0;; wait_ms = BASE_MS) {
        int64_t waited_ms;
        char    state;

        if (wait_readable(process, wait_ms) != 0)
            return true;
        waited_ms = (clock_monotonic_ns() - watch->began_ns) / NS_PER_MS;
        if (waited_ms >= DECODE_PROCESS_STARVED_MS)
            return false;
        if (watch->base_ns < 0 && waited_ms >= BASE_MS)
            watch->base_ns = cpu_ns(pid);
        if (waited_ms < watch->hang_ms)
            continue;
        state = state_of(pid);
        if ((state != 'R' && state != 'D') ||
            cpu_ns(pid) - watch->base_ns >= (watch->hang_ms - 2 * BASE_MS) * NS_PER_MS / 2)
            return false;
    }
}

/* A message into `answer`; its size, 0 or negative: the process is gone. */
static ssize_t receive(struct decode_process *process, struct decode_wire_answer *answer)
{
    ssize_t got;

    do {
        got = recv(process->socket, answer, sizeof *answer, MSG_DONTWAIT | MSG_TRUNC);
    } while (got < 0 && errno == EINTR);
    return got;
}

static bool post(struct decode_process *process, const struct decode_wire_request *request, int fd)
{
    union {
        struct cmsghdr header;
        char           bytes[CMSG_SPACE(sizeof(int))];
    } control             = {.bytes = {0}};
    struct iovec  data    = {(void *)request, sizeof *request};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
    ssize_t       sent;

    if (fd >= 0) {
        struct cmsghdr *part;

        message.msg_control    = control.bytes;
        message.msg_controllen = sizeof control.bytes;
        part                   = CMSG_FIRSTHDR(&message);
        part->cmsg_level       = SOL_SOCKET;
        part->cmsg_type        = SCM_RIGHTS;
        part->cmsg_len         = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(part), &fd, sizeof fd);
    }
    do {
        sent = sendmsg(process->socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)sizeof *request;
}

static void write_log(const char *text)
{
    char clean[DECODE_WIRE_TEXT_BYTES * 2];

    camera_url_redact(text, clean, sizeof clean);
    log_debug("ffmpeg", "%s", clean);
}

static bool give_arena(struct decode_process *process, struct decode_process_call *call)
{
    struct decode_wire_request reply = {.kind    = DECODE_WIRE_ARENA,
                                        .decoder = call->request.decoder};
    int                        fd    = -1;
    bool                       sent;

    if (call->want != NULL && call->want(call->arg, call, call->answer->head.bytes, &fd) == 0) {
        reply.bytes = (uint32_t)call->slot_bytes;
        reply.slots = call->slots;
    }
    sent = post(process, &reply, fd);
    if (fd >= 0)
        close(fd);
    return sent;
}

static int lose_hung(struct decode_process *process, int hang_ms)
{
    char text[64];
    int  rc;

    snprintf(text, sizeof text, "hung: it worked on one packet for %.1f s", hang_ms / 1e3);
    rc            = lose(process, text);
    process->hung = true;
    return rc;
}

static int hear_answer(struct decode_process *process, struct decode_process_call *call)
{
    uint32_t     kind    = call->request.kind;
    bool         of_file = kind >= DECODE_WIRE_FILE_OPEN;
    int          hang_ms = kind == DECODE_WIRE_FILE_OPEN || kind == DECODE_WIRE_FILE_REWIND
                               ? DECODE_PROCESS_OPEN_MS
                               : DECODE_PROCESS_HANG_MS;
    struct watch watch   = {hang_ms, clock_monotonic_ns(), -1};

    for (int i = 0; i < DECODE_PROCESS_MESSAGES; i++) {
        ssize_t got;

        if (!wait_for_answer(process, &watch))
            return lose_hung(process, hang_ms);
        got = receive(process, call->answer);
        if (got <= 0)
            return lose(process, NULL);
        if ((size_t)got > sizeof *call->answer ||
            !decode_wire_check(call->answer, (size_t)got, call->slot_bytes, call->slots))
            break;
        switch (call->answer->head.kind) {
        case DECODE_WIRE_DONE:
        case DECODE_WIRE_FILE:
            if (of_file == (call->answer->head.kind == DECODE_WIRE_FILE))
                return 0;
            return lose(process, "said what it may not say");
        case DECODE_WIRE_LOG:
            write_log(call->answer->head.text);
            break;
        case DECODE_WIRE_WANT:
            if (!give_arena(process, call))
                return lose(process, NULL);
            break;
        default:
            return lose(process, "said what it may not say");
        }
    }
    return lose(process, "said what it may not say");
}

int decode_process_ask(struct decode_process *process, struct decode_process_call *call)
{
    call->in_hand = false;
    if (process->socket < 0)
        return ERR_DEVICE_LOST;
    /* It died while it had nothing to do: not of this request. */
    if (!post(process, &call->request, call->has_file ? call->file_fd : -1))
        return lose(process, errno == EAGAIN ? "takes no requests" : NULL);
    call->in_hand = true;
    return hear_answer(process, call);
}

/* ---- its beginning ---- */

static int wait_until_ready(struct decode_process *process, struct why *why)
{
    struct decode_wire_answer *answer = malloc(sizeof *answer);
    ssize_t                    got;
    int                        rc = ERR_MEMORY;

    if (answer == NULL)
        return why_set(why, rc, "no memory for a decoder process");
    if (wait_readable(process, DECODE_PROCESS_START_MS) <= 0) {
        rc = why_set(why, ERR_TIMEOUT, "a decoder process does not begin its work");
        goto done;
    }
    got = receive(process, answer);
    if (got > 0 && (size_t)got <= sizeof *answer && decode_wire_check(answer, (size_t)got, 0, 0)) {
        rc = answer->head.kind == DECODE_WIRE_READY ? 0 : ERR_UNSUPPORTED;
        if (rc != 0)
            why_set(why, rc, "a decoder process cannot be shut in: %s", answer->head.text);
    } else {
        rc = why_set(why, ERR_IO, "a decoder process ended before it began");
    }

done:
    free(answer);
    return rc;
}

static int start(struct decode_process *process, struct why *why)
{
    int   sock = -1;
    pid_t pid  = 0;
    int   rc   = decode_spawn(&pid, &sock, process->area_fd, process->back_fd, why);

    if (rc != 0) {
        process->next_start_ns = clock_monotonic_ns() + PAUSE_MAX_NS;
        return rc;
    }
    pthread_mutex_lock(&process->lock);
    process->socket = sock;
    process->life++;
    pthread_mutex_unlock(&process->lock);
    process->started_ns = clock_monotonic_ns();
    atomic_store(&process->pid, pid);
    rc = wait_until_ready(process, why);
    if (rc != 0)
        bury(process, "did not begin");
    return rc;
}

int decode_process_ready(struct decode_process *process, struct why *why)
{
    int rc;

    if (process->socket >= 0)
        return 0;
    if (clock_monotonic_ns() < process->next_start_ns)
        return why_set(why, ERR_AGAIN, "the decoder %s", process->end);
    rc = start(process, why);
    if (rc == 0)
        atomic_fetch_add(&process->restarts, 1);
    return rc;
}

/* Memory that one side writes and the other reads: `protection` is ours. NULL: there is none. */
static uint8_t *share_area(const char *name, int protection, unsigned seals, int *fd)
{
    void *memory;

    *fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (*fd < 0 || ftruncate(*fd, DECODE_WIRE_AREA_BYTES) != 0)
        return NULL;
    memory = mmap(NULL, DECODE_WIRE_AREA_BYTES, protection, MAP_SHARED, *fd, 0);
    if (memory == MAP_FAILED)
        return NULL;
    if (fcntl(*fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | seals | F_SEAL_SEAL) == 0)
        return memory;
    munmap(memory, DECODE_WIRE_AREA_BYTES);
    return NULL;
}

int decode_process_open(struct decode_process **out, struct why *why)
{
    struct decode_process *process = calloc(1, sizeof *process);
    int                    rc      = ERR_MEMORY;

    *out = NULL;
    if (process == NULL)
        return why_set(why, rc, "no memory for a decoder process");
    pthread_mutex_init(&process->lock, NULL);
    process->socket  = -1;
    process->back_fd = -1;
    /* The decoder reads: what it maps from here on it can map for reading alone. */
    process->area = share_area("sightline-packets", PROT_READ | PROT_WRITE, F_SEAL_FUTURE_WRITE,
                               &process->area_fd);
    if (process->area != NULL)
        process->back = share_area("sightline-files", PROT_READ, 0, &process->back_fd);
    if (process->back == NULL) {
        why_set(why, rc, "no memory for a decoder process: %s", strerror(errno));
        goto fail;
    }
    rc = start(process, why);
    if (rc != 0)
        goto fail;
    *out = process;
    return 0;

fail:
    decode_process_close(&process);
    return rc;
}

void decode_process_close(struct decode_process **out)
{
    struct decode_process *process = *out;

    if (process == NULL)
        return;
    bury(process, "was told to end");
    if (process->area != NULL)
        munmap(process->area, DECODE_WIRE_AREA_BYTES);
    if (process->back != NULL)
        munmap(process->back, DECODE_WIRE_AREA_BYTES);
    if (process->area_fd >= 0)
        close(process->area_fd);
    if (process->back_fd >= 0)
        close(process->back_fd);
    pthread_mutex_destroy(&process->lock);
    free(process);
    *out = NULL;
}

/* ---- decoders in it, and figures ---- */

int decode_process_take_decoder(struct decode_process *process)
{
    int found = ERR_FULL;

    pthread_mutex_lock(&process->lock);
    for (int i = 0; i < DECODE_WIRE_DECODERS && found < 0; i++) {
        if (!process->used[i])
            found = i;
    }
    if (found >= 0)
        process->used[found] = true;
    pthread_mutex_unlock(&process->lock);
    return found;
}

void decode_process_close_decoder(struct decode_process *process, int decoder, uint64_t life)
{
    struct decode_wire_request request = {.kind = DECODE_WIRE_CLOSE, .decoder = (uint32_t)decoder};

    pthread_mutex_lock(&process->lock);
    if (process->life == life && process->socket >= 0) {
        /* The next OPEN of this number comes behind it. One that cannot be sent is closed by that
         * OPEN. */
        post(process, &request, -1);
        process->used[decoder] = false;
    }
    pthread_mutex_unlock(&process->lock);
}

uint8_t *decode_process_area(struct decode_process *process)
{
    return process->area;
}

const uint8_t *decode_process_back(const struct decode_process *process)
{
    return process->back;
}

uint64_t decode_process_life(const struct decode_process *process)
{
    return process->socket >= 0 ? process->life : 0;
}

const char *decode_process_end(const struct decode_process *process)
{
    return process->end;
}

bool decode_process_hung(const struct decode_process *process)
{
    return process->hung;
}

unsigned decode_process_restarts(const struct decode_process *process)
{
    return atomic_load(&process->restarts);
}

int decode_process_pid(const struct decode_process *process)
{
    return atomic_load(&process->pid);
}
