/* server/camera/ffmpeg_log.h: FFmpeg's messages go to our log, without credentials, and nowhere
 * else. */
#ifndef SIGHTLINE_SERVER_CAMERA_FFMPEG_LOG_H
#define SIGHTLINE_SERVER_CAMERA_FFMPEG_LOG_H

/* Before the first use of FFmpeg; decode_pool_open calls it. FFmpeg's warnings and errors are
 * our debug lines: a damaged camera stream gives dozens a second, and what matters of it is
 * counted and shown as decode errors. What it calls fatal is an error of ours. At most
 * FFMPEG_LOG_PER_S lines a second. */
void ffmpeg_log_install(void);
#define FFMPEG_LOG_PER_S 20

#endif
