/* server/camera/camera_names.h: what a source's end means for its camera. Pure. */
#ifndef SIGHTLINE_SERVER_CAMERA_CAMERA_NAMES_H
#define SIGHTLINE_SERVER_CAMERA_CAMERA_NAMES_H

#include "server/camera/camera.h"
#include "server/camera/source.h"

enum camera_loss camera_loss_of(enum source_end end);

#endif
