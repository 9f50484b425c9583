/* storage/redis_uv.h: runs a hiredis connection on a libuv loop.
 *
 * hiredis' own adapter returns when libuv reports an error for the socket, and libuv stops
 * watching it then: the connection hangs for ever and its commands are never answered. Here an
 * error is handled as readable, so that hiredis meets it in its read and disconnects. */
#ifndef SIGHTLINE_STORAGE_REDIS_UV_H
#define SIGHTLINE_STORAGE_REDIS_UV_H

#include <hiredis/async.h>
#include <uv.h>

/* After this, hiredis owns the watching: it ends with the context. 0, or ERR_MEMORY / ERR_IO
 * (the context is as before). `context` must be connecting or connected. */
int redis_uv_attach(redisAsyncContext *context, uv_loop_t *loop);

#endif
