/* server/jobs.h: what a user asks for and has to wait for: looking for cameras, trying one, adding one.
 *
 * A job is begun by a JSON object, runs on the loop (with the disk's part on a worker), and is asked
 * about by its number until it is forgotten. At most JOBS_MAX at a time: the oldest that is done makes
 * room, and when all are running the next one is refused. All on the loop thread. */
#ifndef SIGHTLINE_SERVER_JOBS_H
#define SIGHTLINE_SERVER_JOBS_H

#include "config/json_writer.h"
#include "config/why.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct server;
struct job;
struct jobs;

#define JOBS_MAX          16
#define JOB_RESULT_BYTES  (2 << 20) /* 256 devices, every byte of them escaped */
#define JOB_PICTURE_BYTES (2 << 20)

/* {"do":"discover"|"streams"|"probe"|"upload"|"set_camera"|"change_camera"|"remove_camera", ...}: see server/api/protocol.md.
 * The job's number from 1, or ERR_INVALID, ERR_NOT_FOUND, ERR_DENIED, ERR_CONFLICT, ERR_FULL, ERR_MEMORY. */
int64_t jobs_begin(struct jobs *jobs, const char *body, size_t bytes, struct why *why);
/* {"id","do","state":"running"|"done"|"failed","progress","error","result"}; false when there is no such job. */
bool jobs_write(struct jobs *jobs, int64_t id, struct json_writer *json);
/* Ends it if it runs; false when there is no such job. */
bool jobs_cancel(struct jobs *jobs, int64_t id);
/* The next bytes of a job that takes some, beginning with number `at`: an upload. Copies. 0, or
 * ERR_NOT_FOUND, ERR_INVALID (`at` is not what is awaited), ERR_LIMIT, ERR_AGAIN (soon), ERR_MEMORY. */
int jobs_data(struct jobs *jobs, int64_t id, uint64_t at, const char *bytes, size_t count,
              struct why *why);
/* The picture that a probe got; NULL when there is none. Until the loop's next turn. */
const uint8_t *jobs_picture(struct jobs *jobs, int64_t id, size_t *bytes);

/* ---- for the kinds of job ---- */

struct job_kind {
    const char *name;
    /* Required. Checks the arguments and begins; job_done() or job_failed() may come at once. */
    int (*begin)(struct job *job, json_t *arguments, struct why *why);
    /* NULL: it takes none. Only while it runs. */
    int (*data)(struct job *job, uint64_t at, const char *bytes, size_t count, struct why *why);
    /* 0..1; NULL: not known. */
    double (*progress)(const struct job *job);
    /* Required. Lets go of everything; nothing may come back to the job after it. Also called after
     * the end. */
    void (*stop)(struct job *job);
};

struct job {
    struct server         *server;
    int64_t                id; /* 0: free */
    const struct job_kind *kind;
    enum { JOB_RUNNING, JOB_DONE, JOB_FAILED } state;
    struct json_writer result; /* one value; what is there while it runs is shown too */
    struct why         error;
    uint8_t           *picture; /* JPEG */
    size_t             picture_bytes;
    void              *work; /* the kind's own */
};

void job_done(struct job *job);
void job_failed(struct job *job, const struct why *why);
/* A copy of a JPEG; false: it is too large, or there is no memory. */
bool job_keep_picture(struct job *job, const uint8_t *picture, size_t bytes);
/* All there are, one after the other; from NULL to NULL. */
struct job *jobs_next(struct jobs *jobs, const struct job *job);

extern const struct job_kind JOB_DISCOVER, JOB_STREAMS, JOB_PROBE, JOB_SET_CAMERA,
    JOB_CHANGE_CAMERA, JOB_REMOVE_CAMERA;

#endif
