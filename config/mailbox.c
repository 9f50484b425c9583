#include "config/mailbox.h"

#include "config/clock.h"
#include "config/err.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct mailbox {
    pthread_mutex_t  lock; /* a leaf lock: nothing else is taken under it */
    pthread_cond_t   not_empty;
    pthread_cond_t   not_full;
    mailbox_wake_fn *wake; /* immutable */
    void            *arg;  /* immutable */
    size_t           capacity;
    size_t           first; /* under lock, as all below */
    size_t           count;
    bool             stopped;
    void            *messages[];
};

int mailbox_open(struct mailbox **out, size_t capacity, mailbox_wake_fn *wake, void *arg)
{
    struct mailbox    *mailbox;
    pthread_condattr_t attributes;

    *out    = NULL;
    mailbox = calloc(1, sizeof *mailbox + capacity * sizeof mailbox->messages[0]);
    if (mailbox == NULL)
        return ERR_MEMORY;
    mailbox->capacity = capacity;
    mailbox->wake     = wake;
    mailbox->arg      = arg;
    pthread_mutex_init(&mailbox->lock, NULL);
    /* The monotonic clock, so that setting the machine's clock stretches no wait. */
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&mailbox->not_empty, &attributes);
    pthread_cond_init(&mailbox->not_full, &attributes);
    pthread_condattr_destroy(&attributes);
    *out = mailbox;
    return 0;
}

void mailbox_close(struct mailbox **mailbox)
{
    if (*mailbox == NULL)
        return;
    pthread_cond_destroy(&(*mailbox)->not_empty);
    pthread_cond_destroy(&(*mailbox)->not_full);
    pthread_mutex_destroy(&(*mailbox)->lock);
    free(*mailbox);
    *mailbox = NULL;
}

static void append_locked(struct mailbox *mailbox, void *message)
{
    mailbox->messages[(mailbox->first + mailbox->count) % mailbox->capacity] = message;
    mailbox->count++;
    pthread_cond_signal(&mailbox->not_empty);
}

static void *remove_locked(struct mailbox *mailbox)
{
    void *message;

    if (mailbox->count == 0)
        return NULL;
    message        = mailbox->messages[mailbox->first];
    mailbox->first = (mailbox->first + 1) % mailbox->capacity;
    mailbox->count--;
    pthread_cond_signal(&mailbox->not_full);
    return message;
}

static int finish_put(struct mailbox *mailbox, int rc)
{
    pthread_mutex_unlock(&mailbox->lock);
    if (rc == 0 && mailbox->wake != NULL)
        mailbox->wake(mailbox->arg);
    return rc;
}

int mailbox_put_or_fail(struct mailbox *mailbox, void *message)
{
    int rc = 0;

    pthread_mutex_lock(&mailbox->lock);
    if (mailbox->stopped)
        rc = ERR_CLOSED;
    else if (mailbox->count == mailbox->capacity)
        rc = ERR_FULL;
    else
        append_locked(mailbox, message);
    return finish_put(mailbox, rc);
}

int mailbox_put_or_drop_oldest(struct mailbox *mailbox, void *message, void **dropped)
{
    int rc = 0;

    *dropped = NULL;
    pthread_mutex_lock(&mailbox->lock);
    if (mailbox->stopped) {
        rc = ERR_CLOSED;
    } else {
        if (mailbox->count == mailbox->capacity)
            *dropped = remove_locked(mailbox);
        append_locked(mailbox, message);
    }
    return finish_put(mailbox, rc);
}

int mailbox_put_or_wait(struct mailbox *mailbox, void *message)
{
    int rc = 0;

    pthread_mutex_lock(&mailbox->lock);
    while (!mailbox->stopped && mailbox->count == mailbox->capacity)
        pthread_cond_wait(&mailbox->not_full, &mailbox->lock);
    if (mailbox->stopped)
        rc = ERR_CLOSED;
    else
        append_locked(mailbox, message);
    return finish_put(mailbox, rc);
}

void *mailbox_take(struct mailbox *mailbox)
{
    void *message;

    pthread_mutex_lock(&mailbox->lock);
    message = remove_locked(mailbox);
    pthread_mutex_unlock(&mailbox->lock);
    return message;
}

void *mailbox_take_or_wait(struct mailbox *mailbox, int64_t timeout_ns)
{
    struct timespec until    = {0};
    int64_t         until_ns = clock_monotonic_ns() + (timeout_ns < 0 ? 0 : timeout_ns);
    void           *message;

    until.tv_sec  = (time_t)(until_ns / NS_PER_S);
    until.tv_nsec = (long)(until_ns % NS_PER_S);
    pthread_mutex_lock(&mailbox->lock);
    while (mailbox->count == 0 && !mailbox->stopped) {
        if (timeout_ns < 0)
            pthread_cond_wait(&mailbox->not_empty, &mailbox->lock);
        else if (pthread_cond_timedwait(&mailbox->not_empty, &mailbox->lock, &until) == ETIMEDOUT)
            break;
    }
    message = remove_locked(mailbox);
    pthread_mutex_unlock(&mailbox->lock);
    return message;
}

void mailbox_stop(struct mailbox *mailbox)
{
    pthread_mutex_lock(&mailbox->lock);
    mailbox->stopped = true;
    pthread_cond_broadcast(&mailbox->not_empty);
    pthread_cond_broadcast(&mailbox->not_full);
    pthread_mutex_unlock(&mailbox->lock);
}

size_t mailbox_count(struct mailbox *mailbox)
{
    size_t count;

    pthread_mutex_lock(&mailbox->lock);
    count = mailbox->count;
    pthread_mutex_unlock(&mailbox->lock);
    return count;
}
