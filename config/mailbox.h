/* config/mailbox.h: the bounded queue through which threads talk; there is no other way.
 *
 * Holds pointers. Any number of threads may put and take. What happens when it is full is in the
 * name of the put. The wake function is called after a put, outside the lock, on the putting
 * thread; it may only unblock somebody (uv_async_send, a condition), never do work. */
#ifndef SIGHTLINE_CONFIG_MAILBOX_H
#define SIGHTLINE_CONFIG_MAILBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mailbox;

typedef void mailbox_wake_fn(void *arg);

/* `capacity` messages at most. `wake` may be NULL. ERR_MEMORY. */
int mailbox_open(struct mailbox **out, size_t capacity, mailbox_wake_fn *wake, void *arg);

/* The messages still inside are the caller's: take them first. NULL-safe, sets *mailbox = NULL. */
void mailbox_close(struct mailbox **mailbox);

/* ERR_FULL when full (the caller keeps the message), ERR_CLOSED after mailbox_stop(). */
int mailbox_put_or_fail(struct mailbox *mailbox, void *message);

/* When full, takes the oldest out into *dropped (the caller disposes of it and counts it);
 * otherwise *dropped is NULL. ERR_CLOSED after mailbox_stop(). */
int mailbox_put_or_drop_oldest(struct mailbox *mailbox, void *message, void **dropped);

/* Waits for room. ERR_CLOSED after mailbox_stop(). Never from the loop thread. */
int mailbox_put_or_wait(struct mailbox *mailbox, void *message);

/* NULL when empty. */
void *mailbox_take(struct mailbox *mailbox);

/* Waits up to timeout_ns (negative: for ever). NULL on timeout, or when stopped and empty. */
void *mailbox_take_or_wait(struct mailbox *mailbox, int64_t timeout_ns);

/* No more puts; everybody who waits returns. What is inside can still be taken. */
void mailbox_stop(struct mailbox *mailbox);

size_t mailbox_count(struct mailbox *mailbox);

#endif
