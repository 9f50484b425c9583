/* server/camera/source_v4l2.h: for tests, which have no camera at hand: another kernel for every source that is opened
 * from now on; NULL: the real one. */
#ifndef SIGHTLINE_SERVER_CAMERA_SOURCE_V4L2_H
#define SIGHTLINE_SERVER_CAMERA_SOURCE_V4L2_H

#include "server/camera/v4l2_device.h"

void source_v4l2_system(const struct v4l2_system *system);

#endif
