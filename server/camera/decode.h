/* server/camera/decode.h: the workers that demultiplex files and decode packets.
 *
 * As many workers as processors. A camera is an actor: it is runnable when its queue holds packets (or its
 * file has a picture due), and at most one worker holds it. The interface is messages (packets
 * in, frames out), so that workers can become sandboxed processes later without a change above. */
#ifndef SIGHTLINE_SERVER_CAMERA_DECODE_H
#define SIGHTLINE_SERVER_CAMERA_DECODE_H

#include "config/why.h"

struct decode_pool;

/* workers 0: one for each processor. */
int  decode_pool_open(struct decode_pool **out, int workers, struct why *why);
/* All cameras are closed before. Joins the workers. */
void decode_pool_close(struct decode_pool **pool);

#endif
