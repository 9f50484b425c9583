/* server/job_upload.h: which videos wait for a camera that plays them. On the loop. */
#ifndef SIGHTLINE_SERVER_JOB_UPLOAD_H
#define SIGHTLINE_SERVER_JOB_UPLOAD_H

#include "server/jobs.h"

#include <stdbool.h>

/* So long a video that came whole waits for its camera, and so long a silent client is waited for. */
#define UPLOAD_CLAIM_MS   (30 * 60 * 1000)
#define UPLOAD_SILENCE_MS (60 * 1000)
#define UPLOAD_PIECES     4 /* that wait for the disk, of at most LIMIT_HTTP_BODY_BYTES each */

/* A camera is about to be made of the video; it is not removed meanwhile. False: there is none of that
 * name, or it has its camera. */
bool upload_claim(struct jobs *jobs, const char *name);
/* The camera could not be saved: it waits on. */
void upload_release(struct jobs *jobs, const char *name);

extern const struct job_kind JOB_UPLOAD;

#endif
