/* A video that comes through the API: {"do":"upload","bytes":73400320}, then its bytes in order, piece
 * by piece, to the job. It lies in a file whose name is ours, is looked at like a camera when it is
 * whole, and waits for a set_camera that names its address. A client that is cut off asks how much has
 * arrived and goes on there; one that stays away leaves nothing behind. The disk's part runs on a
 * worker, one piece after the other; the loop only passes them on. */
#include "server/job_upload.h"

#include <stdlib.h>
#include <string.h>

#include "config/err.h"
#include "server/camera_try.h"
#include "server/server.h"
#include "server/uploads.h"

struct piece {
    char  *bytes;
    size_t count;
};

struct upload {
    struct job        *job; /* NULL: nobody's any more; it goes when the worker is done */
    struct server     *server;
    uv_work_t          work;
    uv_timer_t         timer;
    bool               working;
    bool               created; /* the worker has made the file */
    bool               claimed; /* a camera has it, or is about to */
    struct upload_file file;
    char               data[LIMIT_PATH_BYTES];
    uint64_t           total_bytes; /* of all videos */
    uint64_t           bytes, accepted, written;
    struct piece       pieces[UPLOAD_PIECES];
    int                first, count;
    struct camera_try *tried;
    int                rc; /* of the worker */
    struct why         why;
};

/* `stats`: NULL until a picture was seen. */
static void write_result(const struct upload *upload, const char *step,
                         const struct camera_stats *stats)
{
    struct json_writer *json                                              = &upload->job->result;
    char                address[sizeof UPLOAD_SCHEME + UPLOAD_NAME_BYTES] = UPLOAD_SCHEME;

    json_reset(json);
    json_begin_object(json);
    json_put_pair(json, "step", step);
    json_key(json, "bytes");
    json_put_int(json, (int64_t)upload->bytes);
    json_key(json, "received");
    json_put_int(json, (int64_t)upload->accepted);
    if (stats != NULL) {
        memcpy(address + strlen(UPLOAD_SCHEME), upload->file.name, UPLOAD_NAME_BYTES);
        json_put_pair(json, "address", address);
        camera_try_write(json, stats);
        json_key(json, "duration_s");
        json_put_fixed(json, stats->duration_s, 2);
    }
    json_end_object(json);
}

/* ---- the end of it ---- */

static void on_timer_closed(uv_handle_t *handle)
{
    struct upload *upload = handle->data;

    for (; upload->count > 0; upload->count--) {
        free(upload->pieces[upload->first].bytes);
        upload->first = (upload->first + 1) % UPLOAD_PIECES;
    }
    free(upload);
}

static void on_removed(uv_work_t *work, int status)
{
    struct upload *upload = work->data;

    (void)status; /* what is left is swept at the next start */
    uv_close((uv_handle_t *)&upload->timer, on_timer_closed);
}

static void remove_file(uv_work_t *work)
{
    struct upload *upload = work->data;
    struct why     ignored;

    if (upload->file.fd >= 0)
        uploads_finish(&upload->file, &ignored);
    if (upload->file.name[0] != '\0' && !upload->claimed)
        uploads_remove(upload->data, upload->file.name);
}

static void let_go(struct upload *upload)
{
    if (uv_queue_work(&upload->server->loop, &upload->work, remove_file, on_removed) != 0)
        on_removed(&upload->work, 0);
}

static void stop(struct job *job)
{
    struct upload *upload = job->work;

    if (upload == NULL)
        return;
    job->work   = NULL;
    upload->job = NULL;
    uv_timer_stop(&upload->timer);
    camera_try_stop(&upload->tried);
    if (!upload->working)
        let_go(upload);
}

static void fail(struct upload *upload, const struct why *why)
{
    struct job *job = upload->job;

    job_failed(job, why);
    stop(job);
}

static void on_time(uv_timer_t *timer)
{
    struct upload *upload = timer->data;
    struct why     why;

    if (upload->claimed)
        return;
    why_set(&why, ERR_TIMEOUT,
            upload->job->state == JOB_DONE ? "no camera was made of this video: it is removed"
                                           : "no more of the video came for a minute");
    fail(upload, &why);
}

/* ---- the whole video is there ---- */

static void on_failed(void *arg, const char *reason)
{
    struct upload *upload = arg;
    const char    *text   = reason;
    const char    *place  = strstr(reason, ".part: "); /* a path that says nothing to the client */
    struct why     why;

    if (place != NULL)
        text = place + strlen(".part: ");
    why_set(&why, ERR_UNSUPPORTED, "this video cannot be used: %s", text);
    fail(upload, &why);
}

static void on_seen(void *arg, const struct camera_stats *stats, const uint8_t *picture,
                    size_t bytes)
{
    struct upload *upload = arg;

    if (!job_keep_picture(upload->job, picture, bytes)) {
        on_failed(upload, "its picture is too large");
        return;
    }
    write_result(upload, "ready", stats);
    camera_try_stop(&upload->tried);
    uv_timer_start(&upload->timer, on_time, UPLOAD_CLAIM_MS, 0);
    job_done(upload->job);
}

static void look_at_it(struct upload *upload)
{
    struct camera_try_events events = {.arg = upload, .seen = on_seen, .failed = on_failed};
    struct settings_camera   settings;
    struct why               why;

    settings_camera_default(&settings);
    memcpy(settings.name, "upload", sizeof "upload");
    memcpy(settings.url, UPLOAD_SCHEME, sizeof UPLOAD_SCHEME);
    upload_path(settings.file, upload->data, upload->file.name, UPLOAD_PART);
    uv_timer_stop(&upload->timer); /* a look has a limit of its own */
    write_result(upload, "checking", NULL);
    if (camera_try_start(&upload->tried, upload->server, &settings, &events, &why) != 0)
        fail(upload, &why);
}

/* ---- its pieces ---- */

static void work_on(struct upload *upload);

/* On a worker, as all until on_worked(). */
static void create_file(uv_work_t *work)
{
    struct upload *upload = work->data;

    upload->rc = uploads_create(&upload->file, upload->data, upload->bytes, upload->total_bytes,
                                &upload->why);
}

static void write_piece(uv_work_t *work)
{
    struct upload      *upload = work->data;
    const struct piece *piece  = &upload->pieces[upload->first];

    upload->rc = uploads_write(&upload->file, upload->written, piece->bytes, piece->count,
                               &upload->why);
}

static void finish_file(uv_work_t *work)
{
    struct upload *upload = work->data;

    upload->rc = uploads_finish(&upload->file, &upload->why);
}

static void on_worked(uv_work_t *work, int status)
{
    struct upload *upload = work->data;

    upload->working = false;
    if (upload->job == NULL) {
        let_go(upload);
        return;
    }
    if (status != 0)
        upload->rc = why_set(&upload->why, ERR_CLOSED, "the server is stopping");
    if (upload->rc != 0)
        fail(upload, &upload->why);
    else
        work_on(upload);
}

static void on_created(uv_work_t *work, int status)
{
    struct upload *upload = work->data;

    upload->created = status == 0 && upload->rc == 0;
    on_worked(work, status);
}

static void on_written(uv_work_t *work, int status)
{
    struct upload *upload = work->data;
    struct piece  *piece  = &upload->pieces[upload->first];

    upload->written += piece->count;
    free(piece->bytes);
    upload->first = (upload->first + 1) % UPLOAD_PIECES;
    upload->count--;
    on_worked(work, status);
}

static void queue(struct upload *upload, uv_work_cb work, uv_after_work_cb after)
{
    struct why why;

    upload->working = true;
    if (uv_queue_work(&upload->server->loop, &upload->work, work, after) == 0)
        return;
    upload->working = false;
    why_set(&why, ERR_IO, "no worker");
    fail(upload, &why);
}

/* What there is to do for the disk, if anything. */
static void work_on(struct upload *upload)
{
    if (upload->working || upload->tried != NULL)
        return;
    if (upload->count > 0)
        queue(upload, write_piece, on_written);
    else if (upload->written == upload->bytes && upload->file.fd >= 0)
        queue(upload, finish_file, on_worked);
    else if (upload->written == upload->bytes)
        look_at_it(upload);
}

static int take_piece(struct job *job, uint64_t at, const char *bytes, size_t count,
                      struct why *why)
{
    struct upload *upload = job->work;
    struct piece  *piece;

    if (at != upload->accepted)
        return why_set(why, ERR_INVALID, "the next byte that is awaited is number %llu",
                       (unsigned long long)upload->accepted);
    if (count == 0 || count > upload->bytes - upload->accepted)
        return why_set(why, ERR_LIMIT, "%llu bytes are still awaited, not %zu",
                       (unsigned long long)(upload->bytes - upload->accepted), count);
    if (upload->count == UPLOAD_PIECES || !upload->created)
        return why_set(why, ERR_AGAIN, "the disk is not done with what came before: try again");
    piece        = &upload->pieces[(upload->first + upload->count) % UPLOAD_PIECES];
    piece->bytes = malloc(count);
    if (piece->bytes == NULL)
        return why_set(why, ERR_MEMORY, "out of memory");
    memcpy(piece->bytes, bytes, count);
    piece->count = count;
    upload->count++;
    upload->accepted += count;
    uv_timer_start(&upload->timer, on_time, UPLOAD_SILENCE_MS, 0);
    write_result(upload, "receiving", NULL);
    work_on(upload);
    return 0;
}

/* ---- the job ---- */

static int begin(struct job *job, json_t *arguments, struct why *why)
{
    struct server *server = job->server;
    json_int_t     bytes  = 0;
    struct upload *upload;

    if (json_unpack_ex(arguments, NULL, JSON_STRICT, "{s:I}", "bytes", &bytes) != 0 || bytes <= 0)
        return why_set(why, ERR_INVALID, "upload takes \"bytes\", the size of the video");
    if ((uint64_t)bytes > (uint64_t)server->uploads_file_mib << 20)
        return why_set(why, ERR_LIMIT, "a video may have %d MiB here (uploads.file_mib)",
                       server->uploads_file_mib);
    upload = calloc(1, sizeof *upload);
    if (upload == NULL)
        return why_set(why, ERR_MEMORY, "out of memory");
    upload->job         = job;
    upload->server      = server;
    upload->bytes       = (uint64_t)bytes;
    upload->total_bytes = (uint64_t)server->uploads_total_mib << 20;
    upload->file.fd     = -1;
    upload->work.data   = upload;
    upload->timer.data  = upload;
    memcpy(upload->data, server->settings->data, sizeof upload->data);
    uv_timer_init(&server->loop, &upload->timer);
    uv_timer_start(&upload->timer, on_time, UPLOAD_SILENCE_MS, 0);
    job->work = upload;
    write_result(upload, "receiving", NULL);
    queue(upload, create_file, on_created);
    return 0;
}

static double progress(const struct job *job)
{
    const struct upload *upload = job->work;

    return upload == NULL ? 0 : (double)upload->written / (double)upload->bytes;
}

const struct job_kind JOB_UPLOAD = {
    .name     = "upload",
    .begin    = begin,
    .data     = take_piece,
    .progress = progress,
    .stop     = stop,
};

/* ---- for the camera that plays it ---- */

static struct upload *find(struct jobs *jobs, const char *name)
{
    struct job *job = NULL;

    while ((job = jobs_next(jobs, job)) != NULL) {
        struct upload *upload = job->work;
        if (job->kind == &JOB_UPLOAD && job->state == JOB_DONE && upload != NULL &&
            strcmp(upload->file.name, name) == 0)
            return upload;
    }
    return NULL;
}

bool upload_claim(struct jobs *jobs, const char *name)
{
    struct upload *upload = find(jobs, name);

    if (upload == NULL || upload->claimed)
        return false;
    upload->claimed = true;
    return true;
}

void upload_release(struct jobs *jobs, const char *name)
{
    struct upload *upload = find(jobs, name);

    if (upload == NULL)
        return;
    upload->claimed = false;
    uv_timer_start(&upload->timer, on_time, UPLOAD_CLAIM_MS, 0);
}
