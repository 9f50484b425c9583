/* server/camera/decode_sps.h: the size of the pictures, out of a sequence parameter set of H.264 (7.3.2.1)
 * or H.265 (7.3.2.2). For streams that are passed on without a decoder. Reads hostile bytes; pure. */
#ifndef SIGHTLINE_SERVER_CAMERA_DECODE_SPS_H
#define SIGHTLINE_SERVER_CAMERA_DECODE_SPS_H

#include "server/camera/decode_annexb.h"

/* False when the set is damaged, or the size is none: 1..LIMIT_PICTURE_PX each way. */
bool decode_sps_size(const struct annexb_nal *sps, bool hevc, int *width_px, int *height_px);

#endif
