#include "server/camera/source_file.h"

#include "config/clock.h"
#include "config/err.h"
#include "config/limits.h"
#include "config/plain_file.h"
#include "server/camera/decode_clock.h"
#include "server/camera/decode_process.h"
#include "server/camera/decode_wire_av.h"
#include "server/camera/file_demux.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_LATE_NS  (2 * NS_PER_S)   /* behind by more: the schedule moves */
#define MAX_STEP_NS  (10 * NS_PER_S)  /* of timestamps; nobody waits longer for a picture */
#define SKIP_PACKETS 500              /* further on in a file, going on begins with a search */
#define SKIP_NS      (50 * NS_PER_MS) /* of each step towards where it was */

struct source_file {
    char               path[LIMIT_PATH_BYTES];
    const atomic_bool *stop;
    AVCodecParameters *parameters;
    AVRational         time_base, frame_rate;
    double             duration_s, progress;
    /* Here ... */
    int                fd;
    struct file_demux *demux;
    /* ... or there. */
    struct decode_process     *process;
    uint64_t                   life;
    int                        number; /* among the process's decoders; negative: none */
    struct decode_wire_answer *answer;
    /* Behind what packet it goes on when the process is gone. */
    uint64_t packets; /* of this pass */
    bool     changed; /* the coding, in this pass */
    int64_t  last_dts;
    int      last_bytes;
    uint64_t skip;         /* packets before that, yet to be read */
    bool     by_time;      /* it was searched: fewer will do */
    bool     unsearchable; /* that was tried, and did not work */

    struct decode_clock schedule; /* of decoding timestamps */
    int64_t             schedule_start_ns;
    bool                scheduled;
};

/* ---- the descriptor ---- */

static int open_descriptor(const char *path, int *fd, struct why *why)
{
    int64_t bytes = 0;

    *fd = -1;
    if (strncmp(path, "/dev/", 5) == 0 || strncmp(path, "/proc/", 6) == 0 ||
        strncmp(path, "/sys/", 5) == 0)
        return why_set(why, ERR_UNSUPPORTED, "system files are not read as video");
    *fd = plain_file_open(path, PLAIN_FILE_LINKS, &bytes, why);
    if (*fd < 0)
        return *fd;
    if (bytes > 0)
        return 0;
    close(*fd);
    *fd = -1;
    return why_set(why, ERR_CORRUPT, "the file is empty");
}

/* ---- there ---- */

/* 0, or what the process says of the file. */
static int ask(struct source_file *file, uint32_t kind, int64_t dts, int fd, struct why *why)
{
    struct decode_process_call call = {
        .request  = {.kind = kind, .decoder = (uint32_t)file->number, .packet = {.dts = dts}},
        .has_file = fd >= 0,
        .file_fd  = fd,
        .answer   = file->answer,
    };
    int rc = decode_process_ask(file->process, &call);

    if (rc != 0) {
        rc = call.in_hand ? ERR_DEVICE_LOST : ERR_AGAIN;
        return why_set(why, rc, "the decoder %s", decode_process_end(file->process));
    }
    rc = file->answer->head.rc;
    return rc == 0 ? 0 : why_set(why, rc, "%s", file->answer->head.text);
}

static int learn_there(struct source_file *file, struct why *why)
{
    const struct decode_wire_file *told = &file->answer->file;
    AVCodecParameters             *parameters;

    if (told->changed == 0)
        return why_set(why, ERR_CORRUPT, "the file is damaged");
    parameters = decode_wire_read_coding(&told->coding, decode_process_back(file->process));
    if (parameters == NULL)
        return why_set(why, ERR_MEMORY, "no memory to read the file");
    avcodec_parameters_free(&file->parameters);
    file->parameters = parameters;
    file->time_base  = (AVRational){told->coding.time_base_num, told->coding.time_base_den};
    file->frame_rate = (AVRational){told->rate_num, told->rate_den};
    file->duration_s = told->duration_s;
    return 0;
}

static void leave_process(struct source_file *file)
{
    if (file->number >= 0)
        decode_process_close_decoder(file->process, file->number, file->life);
    file->number = -1;
    file->life   = 0;
}

/* From the file's beginning, in the process that runs now. */
static int open_there(struct source_file *file, struct why *why)
{
    int rc = decode_process_ready(file->process, why);
    int fd = -1;

    leave_process(file);
    if (rc == 0)
        rc = open_descriptor(file->path, &fd, why);
    if (rc != 0)
        return rc;
    file->number = decode_process_take_decoder(file->process);
    file->life   = decode_process_life(file->process);
    rc           = file->number < 0
                       ? why_set(why, ERR_FULL, "a decoder process has no room for another camera")
                       : ask(file, DECODE_WIRE_FILE_OPEN, 0, fd, why);
    close(fd);
    if (rc == 0)
        rc = learn_there(file, why);
    if (rc != 0)
        leave_process(file);
    return rc;
}

/* One packet, or SOURCE_FILE_CHANGED. */
static int read_there(struct source_file *file, AVPacket *packet, struct why *why)
{
    int rc = ask(file, DECODE_WIRE_FILE_READ, 0, -1, why);

    if (rc != 0)
        return rc;
    if (file->answer->file.changed != 0) {
        rc = learn_there(file, why);
        return rc == 0 ? SOURCE_FILE_CHANGED : rc;
    }
    if (file->answer->file.packet.bytes == 0)
        return why_set(why, ERR_CORRUPT, "the file is damaged");
    file->progress = file->answer->file.progress;
    rc             = decode_wire_read_packet(packet, decode_process_back(file->process),
                                             &file->answer->file.packet);
    return rc == 0 ? 0 : why_set(why, rc, "a packet of the file cannot be taken over");
}

/* Far on in a file the packet that was read last is searched by its time. */
static int begin_skip(struct source_file *file, struct why *why)
{
    int rc;

    file->skip    = file->packets;
    file->by_time = file->packets > SKIP_PACKETS && !file->changed && !file->unsearchable &&
                    file->last_dts != AV_NOPTS_VALUE;
    if (!file->by_time)
        return 0;
    rc = ask(file, DECODE_WIRE_FILE_SEEK, file->last_dts, -1, why);
    if (rc == 0 || rc == ERR_AGAIN)
        return rc;
    /* A file without an index may be read to its end for it, which takes too long; and after a search
     * that failed it may be anywhere. */
    file->unsearchable = true;
    leave_process(file);
    return ERR_AGAIN;
}

/* To just behind the packet that was read last, a part of the way in each call: others wait for this
 * worker. Where it was searched, it is found by its size; one with the same time that is not it costs
 * a packet, read twice or never. ERR_AGAIN: not there yet. */
static int skip_there(struct source_file *file, struct why *why)
{
    int64_t   until_ns = clock_monotonic_ns() + SKIP_NS;
    AVPacket *packet   = av_packet_alloc();
    int       rc       = packet != NULL ? 0 : ERR_MEMORY;

    while (rc == 0 && file->skip > 0) {
        if (atomic_load_explicit(file->stop, memory_order_relaxed))
            rc = ERR_CLOSED;
        else if (clock_monotonic_ns() >= until_ns)
            rc = why_set(why, ERR_AGAIN, "the file is read to where it was");
        else
            rc = read_there(file, packet, why);
        if (rc == SOURCE_FILE_CHANGED) {
            rc = 0;
            continue;
        }
        if (rc != 0)
            break;
        file->skip--;
        if (file->by_time && packet->dts != AV_NOPTS_VALUE &&
            (packet->dts > file->last_dts ||
             (packet->dts == file->last_dts && packet->size == file->last_bytes)))
            file->skip = 0;
    }
    av_packet_free(&packet);
    return rc;
}

/* The process that runs now has the file, and is where the one before was. */
static int go_on_there(struct source_file *file, struct why *why)
{
    int rc = 0;

    if (file->number < 0 || file->life != decode_process_life(file->process)) {
        rc = open_there(file, why);
        if (rc == 0)
            rc = begin_skip(file, why);
    }
    if (rc == 0 && file->skip > 0)
        rc = skip_there(file, why);
    /* Half of the way is nothing where it cannot go on: the next call begins anew. */
    if (rc != 0 && rc != ERR_AGAIN)
        leave_process(file);
    return rc;
}

/* ---- here ---- */

static int learn_here(struct source_file *file, struct why *why)
{
    if (file->parameters == NULL)
        file->parameters = avcodec_parameters_alloc();
    if (file->parameters == NULL ||
        avcodec_parameters_copy(file->parameters, file_demux_parameters(file->demux)) < 0)
        return why_set(why, ERR_MEMORY, "no memory to read the file");
    file->time_base  = file_demux_time_base(file->demux);
    file->frame_rate = file_demux_frame_rate(file->demux);
    file->duration_s = file_demux_duration_s(file->demux);
    return 0;
}

static int open_here(struct source_file *file, struct why *why)
{
    int rc = open_descriptor(file->path, &file->fd, why);

    if (rc == 0)
        rc = file_demux_open(&file->demux, file->fd, file->stop, why);
    return rc == 0 ? learn_here(file, why) : rc;
}

static int read_here(struct source_file *file, AVPacket *packet, struct why *why)
{
    int rc = file_demux_read(file->demux, packet, why);

    if (rc == 0)
        file->progress = file_demux_progress(file->demux, packet);
    if (rc != FILE_DEMUX_CHANGED)
        return rc;
    rc = learn_here(file, why);
    return rc == 0 ? SOURCE_FILE_CHANGED : rc;
}

/* ---- wherever ---- */

static void restart_schedule(struct source_file *file)
{
    decode_clock_restart(&file->schedule, file->time_base, file->frame_rate, MAX_STEP_NS, 0);
}

/* `rc` is the call's, and its message says whose file it is about. */
static int say_which(const struct source_file *file, int rc, struct why *why)
{
    if (rc < 0 && rc != ERR_CLOSED && rc != ERR_AGAIN && rc != ERR_DEVICE_LOST)
        why_prefix(why, "%s", file->path);
    return rc;
}

int source_file_open(struct source_file **out, struct decode_process *process, const char *path,
                     const atomic_bool *stop, struct why *why)
{
    struct source_file *file;
    int                 rc = ERR_MEMORY;

    *out = NULL;
    if (strlen(path) >= sizeof file->path)
        return why_set(why, ERR_LIMIT, "the path of the file is too long");
    file = calloc(1, sizeof *file);
    if (file == NULL)
        return why_set(why, rc, "%s: no memory to read the file", path);
    memcpy(file->path, path, strlen(path) + 1);
    file->stop    = stop;
    file->process = process;
    file->fd      = -1;
    file->number  = -1;
    if (process == NULL) {
        rc = open_here(file, why);
    } else {
        file->answer = malloc(sizeof *file->answer);
        rc           = file->answer != NULL ? open_there(file, why)
                                            : why_set(why, rc, "no memory to read the file");
    }
    say_which(file, rc, why);
    if (rc != 0)
        source_file_close(&file);
    else
        restart_schedule(file);
    *out = file;
    return rc;
}

void source_file_close(struct source_file **out)
{
    struct source_file *file = *out;

    if (file == NULL)
        return;
    if (file->process != NULL)
        leave_process(file);
    file_demux_close(&file->demux);
    if (file->fd >= 0)
        close(file->fd);
    avcodec_parameters_free(&file->parameters);
    free(file->answer);
    free(file);
    *out = NULL;
}

const AVCodecParameters *source_file_parameters(const struct source_file *file)
{
    return file->parameters;
}

AVRational source_file_time_base(const struct source_file *file)
{
    return file->time_base;
}

AVRational source_file_frame_rate(const struct source_file *file)
{
    return file->frame_rate;
}

double source_file_duration_s(const struct source_file *file)
{
    return file->duration_s;
}

double source_file_progress(const struct source_file *file)
{
    return file->progress;
}

int source_file_read(struct source_file *file, AVPacket *packet, struct why *why)
{
    int rc = 0;

    if (atomic_load_explicit(file->stop, memory_order_relaxed))
        return ERR_CLOSED;
    if (file->process != NULL)
        rc = go_on_there(file, why);
    if (rc == 0)
        rc = file->process != NULL ? read_there(file, packet, why) : read_here(file, packet, why);
    if (rc == 0) {
        file->packets++;
        file->last_dts   = packet->dts;
        file->last_bytes = packet->size;
    } else if (rc == SOURCE_FILE_CHANGED) {
        file->changed = true;
        restart_schedule(file);
    }
    return say_which(file, rc, why);
}

int64_t source_file_due_ns(struct source_file *file, const AVPacket *packet, int64_t now_ns)
{
    int64_t media_ns = decode_clock_picture(
        &file->schedule, packet->dts != AV_NOPTS_VALUE ? packet->dts : packet->pts);

    if (!file->scheduled) {
        file->scheduled         = true;
        file->schedule_start_ns = now_ns - media_ns;
    }
    if (file->schedule_start_ns + media_ns < now_ns - MAX_LATE_NS)
        file->schedule_start_ns = now_ns - media_ns;
    return file->schedule_start_ns + media_ns;
}

int source_file_rewind(struct source_file *file, struct why *why)
{
    int rc;

    file->packets = 0;
    file->skip    = 0;
    file->changed = false;
    if (file->process == NULL) {
        rc = file_demux_rewind(file->demux, why);
        if (rc == 0)
            rc = learn_here(file, why);
    } else if (file->number >= 0 && file->life == decode_process_life(file->process)) {
        rc = ask(file, DECODE_WIRE_FILE_REWIND, 0, -1, why);
        if (rc == 0)
            rc = learn_there(file, why);
    } else {
        rc = open_there(file, why);
    }
    if (rc == 0)
        restart_schedule(file);
    return say_which(file, rc, why);
}
