/* server/snapshots.h: requests that wait for a camera's newest picture as a JPEG.
 *
 * The picture is the next one that the camera's decoder gives, coded by the decode worker that has it
 * in hand: at 25 pictures a second nobody waits for longer than 40 ms, and nothing is kept for nobody.
 * All who wait for the same width get the same JPEG. Bounds: SNAPSHOTS_MAX requests wait at a time;
 * a camera makes 5 a second (camera.h); a picture is at most SNAPSHOT_WIDTH_PX wide; and who waits for
 * longer than SNAPSHOT_WAIT_MS, or three pictures of a slow camera, is told so. Loop. */
#ifndef SIGHTLINE_SERVER_SNAPSHOTS_H
#define SIGHTLINE_SERVER_SNAPSHOTS_H

#include "config/why.h"
#include "server/camera/camera.h"

#include <stdint.h>

#define SNAPSHOTS_MAX     64
#define SNAPSHOT_WIDTH_PX 3840
#define SNAPSHOT_WAIT_MS  5000
#define SNAPSHOT_SLOW_MS  30000 /* the longest wait for a slow camera */

struct snapshots;

/* The answer goes to api_snapshot() with the ticket, unless a negative code says why there will be none:
 * ERR_AGAIN (the camera shows nothing now), ERR_FULL. `width_px` 0: as wide as the picture is. */
int  snapshots_begin(struct snapshots *snapshots, int index, int width_px, uint64_t ticket,
                     struct why *why);
void snapshots_made(struct snapshots *snapshots, const char *camera,
                    const struct camera_unit *jpeg);
/* Times that SNAPSHOTS_MAX waited already. */
uint64_t snapshots_refused(const struct snapshots *snapshots);

#endif
