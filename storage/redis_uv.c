#include "storage/redis_uv.h"

#include "config/err.h"

#include <stdlib.h>

struct redis_uv {
    redisAsyncContext *context; /* NULL once hiredis has let go */
    uv_poll_t          poll;
    int                events;
};

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct redis_uv *watch = poll->data;

    if (status < 0) {
        watch->events = 0;
        events        = UV_READABLE | UV_WRITABLE;
    }
    /* Each of the two may end the context. */
    if ((events & UV_READABLE) != 0 && watch->context != NULL)
        redisAsyncHandleRead(watch->context);
    if ((events & UV_WRITABLE) != 0 && watch->context != NULL)
        redisAsyncHandleWrite(watch->context);
}

static void watch_for(struct redis_uv *watch, int events)
{
    if (events == watch->events)
        return;
    watch->events = events;
    if (events == 0)
        uv_poll_stop(&watch->poll);
    else
        uv_poll_start(&watch->poll, events, on_poll);
}

static void add_read(void *data)
{
    struct redis_uv *watch = data;

    watch_for(watch, watch->events | UV_READABLE);
}

static void del_read(void *data)
{
    struct redis_uv *watch = data;

    watch_for(watch, watch->events & ~UV_READABLE);
}

static void add_write(void *data)
{
    struct redis_uv *watch = data;

    watch_for(watch, watch->events | UV_WRITABLE);
}

static void del_write(void *data)
{
    struct redis_uv *watch = data;

    watch_for(watch, watch->events & ~UV_WRITABLE);
}

/* hiredis closes the socket right after this. */
static void cleanup(void *data)
{
    struct redis_uv *watch = data;

    if (watch->context == NULL)
        return;
    watch->context->ev.data = NULL;
    watch->context          = NULL;
    uv_poll_stop(&watch->poll);
    uv_close((uv_handle_t *)&watch->poll, on_closed);
}

int redis_uv_attach(redisAsyncContext *context, uv_loop_t *loop)
{
    struct redis_uv *watch = calloc(1, sizeof *watch);

    if (watch == NULL)
        return ERR_MEMORY;
    if (uv_poll_init_socket(loop, &watch->poll, context->c.fd) != 0) {
        free(watch);
        return ERR_IO;
    }
    watch->poll.data     = watch;
    watch->context       = context;
    context->ev.data     = watch;
    context->ev.addRead  = add_read;
    context->ev.delRead  = del_read;
    context->ev.addWrite = add_write;
    context->ev.delWrite = del_write;
    context->ev.cleanup  = cleanup;
    return 0;
}
