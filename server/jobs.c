#include "server/jobs.h"

#include <stdlib.h>
#include <string.h>

#include "config/err.h"
#include "server/job_upload.h"
#include "server/server.h"

static const struct job_kind *const KINDS[] = {
    &JOB_DISCOVER,   &JOB_STREAMS,       &JOB_PROBE,        &JOB_UPLOAD,
    &JOB_SET_CAMERA, &JOB_CHANGE_CAMERA, &JOB_REMOVE_CAMERA};

struct jobs {
    struct server *server;
    int64_t        last_id;
    struct job     job[JOBS_MAX];
};

static void forget(struct job *job)
{
    if (job->id == 0)
        return;
    job->kind->stop(job);
    json_free(&job->result);
    free(job->picture);
    memset(job, 0, sizeof *job);
}

static struct job *find(struct jobs *jobs, int64_t id)
{
    for (int i = 0; i < JOBS_MAX; i++) {
        if (id > 0 && jobs->job[i].id == id)
            return &jobs->job[i];
    }
    return NULL;
}

/* A free place, or that of the oldest which is over; NULL when all are running. */
static struct job *take_place(struct jobs *jobs)
{
    struct job *oldest = NULL;

    for (int i = 0; i < JOBS_MAX; i++) {
        struct job *job = &jobs->job[i];
        if (job->id == 0)
            return job;
        if (job->state != JOB_RUNNING && (oldest == NULL || job->id < oldest->id))
            oldest = job;
    }
    if (oldest != NULL)
        forget(oldest);
    return oldest;
}

static const struct job_kind *kind_of(const char *name)
{
    for (size_t i = 0; i < sizeof KINDS / sizeof KINDS[0]; i++) {
        if (name != NULL && strcmp(KINDS[i]->name, name) == 0)
            return KINDS[i];
    }
    return NULL;
}

int64_t jobs_begin(struct jobs *jobs, const char *body, size_t bytes, struct why *why)
{
    json_t                *arguments = json_loadb(body, bytes, JSON_REJECT_DUPLICATES, NULL);
    const struct job_kind *kind      = kind_of(json_string_value(json_object_get(arguments, "do")));
    struct job            *job       = NULL;
    int64_t                rc;

    if (kind == NULL)
        rc = why_set(why, ERR_INVALID,
                     "a job is a JSON object with \"do\": discover, streams, probe, upload, "
                     "set_camera, change_camera or remove_camera");
    else if ((job = take_place(jobs)) == NULL)
        rc = why_set(why, ERR_FULL, "%d jobs are running: wait for one to end", JOBS_MAX);
    else {
        *job = (struct job){.server = jobs->server, .id = ++jobs->last_id, .kind = kind};
        json_init(&job->result, JOB_RESULT_BYTES);
        json_object_del(arguments, "do");
        rc = kind->begin(job, arguments, why);
        if (rc == 0)
            rc = job->id;
        else
            forget(job);
    }
    json_decref(arguments);
    return rc;
}

bool jobs_write(struct jobs *jobs, int64_t id, struct json_writer *json)
{
    static const char *const STATES[] = {"running", "done", "failed"};
    struct job              *job      = find(jobs, id);
    double                   progress;
    const char              *result;
    size_t                   bytes;

    if (job == NULL)
        return false;
    progress = job->state != JOB_RUNNING     ? 1
               : job->kind->progress == NULL ? 0
                                             : job->kind->progress(job);
    result   = json_text(&job->result, &bytes);
    json_begin_object(json);
    json_key(json, "id");
    json_put_int(json, job->id);
    json_key(json, "do");
    json_put_string(json, job->kind->name);
    json_key(json, "state");
    json_put_string(json, STATES[job->state]);
    json_key(json, "progress");
    json_put_fixed(json, progress, 3);
    json_key(json, "error");
    json_put_string(json, job->state == JOB_FAILED ? job->error.text : NULL);
    json_key(json, "result");
    if (result == NULL || bytes == 0)
        json_put_null(json);
    else
        json_put_raw(json, result, bytes);
    json_end_object(json);
    return true;
}

const uint8_t *jobs_picture(struct jobs *jobs, int64_t id, size_t *bytes)
{
    struct job *job = find(jobs, id);

    *bytes = job == NULL ? 0 : job->picture_bytes;
    return job == NULL ? NULL : job->picture;
}

struct job *jobs_next(struct jobs *jobs, const struct job *job)
{
    for (int i = job == NULL ? 0 : (int)(job - jobs->job) + 1; i < JOBS_MAX; i++) {
        if (jobs->job[i].id != 0)
            return &jobs->job[i];
    }
    return NULL;
}

bool jobs_cancel(struct jobs *jobs, int64_t id)
{
    struct job *job = find(jobs, id);
    struct why  why;

    if (job == NULL)
        return false;
    if (job->state == JOB_RUNNING) {
        job->kind->stop(job);
        why_set(&why, ERR_CLOSED, "it was ended by its client");
        job_failed(job, &why);
    }
    return true;
}

int jobs_data(struct jobs *jobs, int64_t id, uint64_t at, const char *bytes, size_t count,
              struct why *why)
{
    struct job *job = find(jobs, id);

    if (job == NULL)
        return why_set(why, ERR_NOT_FOUND, "there is no such job, or no longer");
    if (job->state == JOB_FAILED) {
        *why = job->error;
        return ERR_NOT_FOUND;
    }
    if (job->state != JOB_RUNNING || job->kind->data == NULL)
        return why_set(why, ERR_INVALID, "this job takes no bytes (any more)");
    return job->kind->data(job, at, bytes, count, why);
}

bool job_keep_picture(struct job *job, const uint8_t *picture, size_t bytes)
{
    uint8_t *copy = bytes > JOB_PICTURE_BYTES ? NULL : malloc(bytes);

    if (copy == NULL)
        return false;
    memcpy(copy, picture, bytes);
    free(job->picture);
    job->picture       = copy;
    job->picture_bytes = bytes;
    return true;
}

void job_done(struct job *job)
{
    job->state = JOB_DONE;
}

void job_failed(struct job *job, const struct why *why)
{
    job->state = JOB_FAILED;
    job->error = *why;
}

int jobs_start(struct server *server, struct why *why)
{
    struct jobs *jobs = calloc(1, sizeof *jobs);

    if (jobs == NULL)
        return why_set(why, ERR_MEMORY, "out of memory");
    jobs->server = server;
    server->jobs = jobs;
    return 0;
}

void jobs_stop(struct server *server)
{
    struct jobs *jobs = server->jobs;

    if (jobs == NULL)
        return;
    for (int i = 0; i < JOBS_MAX; i++)
        forget(&jobs->job[i]);
    free(jobs);
    server->jobs = NULL;
}
