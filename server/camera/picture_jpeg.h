/* server/camera/picture_jpeg.h: an analysed picture as a JPEG for viewers: scaled down to at most
 * a width, one fixed quality. About 2 ms for 640x360. One thread at a time. */
#ifndef SIGHTLINE_SERVER_CAMERA_PICTURE_JPEG_H
#define SIGHTLINE_SERVER_CAMERA_PICTURE_JPEG_H

#include "gpu/frame.h"
#include "server/camera/camera.h"

#define PICTURE_JPEG_WIDTH_PX 960 /* of live view */

/* The encoder and the scaler, kept from picture to picture of one size; NULL before the first. */
struct picture_jpeg;

/* A unit with the frame's times. ERR_MEMORY, ERR_UNSUPPORTED. */
int  picture_jpeg_encode(struct picture_jpeg **jpeg, const struct frame *frame, int max_width_px,
                         struct camera_unit **out);
void picture_jpeg_close(struct picture_jpeg **jpeg);

#endif
