#include "gpu/cpu/cpu_shared.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define ALIGN_BYTES 64

struct shared_entry {
    struct shared_entry  *next;
    struct cpu_shared_key key; /* without pointers to what is not the entry's own */
    dnnl_memory_desc_t    order;
    int64_t               users;
    void                 *data;
};

struct cpu_shared_use {
    struct cpu_shared_use *next;
    struct shared_entry   *entry;
};

/* Some hundred entries for each model and set of kernels; looked at when a runner is opened. */
static pthread_mutex_t      lock = PTHREAD_MUTEX_INITIALIZER;
static struct shared_entry *entries;
static int64_t              total_bytes;

/* The same weights for the same model at any size. */
static const struct node *whose(const struct node *node)
{
    return node->twin != NULL ? node->twin : node;
}

static bool matches(const struct shared_entry *entry, const struct cpu_shared_key *key)
{
    const struct cpu_shared_key *own = &entry->key;

    if (own->node != whose(key->node) || own->kernels != key->kernels || own->bytes != key->bytes ||
        strcmp(own->what, key->what) != 0 || (own->order == NULL) != (key->order == NULL))
        return false;
    if (key->order != NULL && dnnl_memory_desc_equal(own->order, key->order) == 0)
        return false;
    return key->contents == NULL || memcmp(entry->data, key->contents, key->bytes) == 0;
}

static void entry_free(struct shared_entry *entry)
{
    if (entry != NULL)
        free(entry->data);
    free(entry);
}

static struct shared_entry *entry_make(const struct cpu_shared_key *key,
                                       bool (*fill)(void *context, void *bytes), void *context)
{
    struct shared_entry *entry = calloc(1, sizeof *entry);
    size_t               bytes = (key->bytes + ALIGN_BYTES) / ALIGN_BYTES * ALIGN_BYTES;

    if (entry == NULL || (entry->data = aligned_alloc(ALIGN_BYTES, bytes)) == NULL)
        goto fail;
    entry->key          = *key;
    entry->key.node     = whose(key->node);
    entry->key.contents = NULL;
    if (key->order != NULL) {
        entry->order     = *key->order;
        entry->key.order = &entry->order;
    }
    memset(entry->data, 0, bytes);
    if (key->contents != NULL)
        memcpy(entry->data, key->contents, key->bytes);
    else if (!fill(context, entry->data))
        goto fail;
    return entry;

fail:
    entry_free(entry);
    return NULL;
}

const void *cpu_shared_get(struct cpu_runner *runner, const struct cpu_shared_key *key,
                           bool (*fill)(void *context, void *bytes), void         *context)
{
    struct cpu_shared_use *use;
    struct shared_entry   *entry;

    if (key->bytes > (size_t)LIMIT_MODEL_ARENA_BYTES - (size_t)runner->shared_bytes ||
        (use = graph_memory_alloc(&runner->memory, 1, sizeof *use)) == NULL)
        return NULL;
    pthread_mutex_lock(&lock);
    entry = entries;
    while (entry != NULL && !matches(entry, key))
        entry = entry->next;
    if (entry == NULL && (entry = entry_make(key, fill, context)) != NULL) {
        entry->next = entries;
        entries     = entry;
        total_bytes += (int64_t)key->bytes;
    }
    if (entry != NULL) {
        entry->users++;
        use->entry     = entry;
        use->next      = runner->shared;
        runner->shared = use;
        runner->shared_bytes += (int64_t)key->bytes;
    }
    pthread_mutex_unlock(&lock);
    return entry != NULL ? entry->data : NULL;
}

void cpu_shared_release(struct cpu_runner *runner)
{
    pthread_mutex_lock(&lock);
    for (struct cpu_shared_use *use = runner->shared; use != NULL; use = use->next)
        use->entry->users--;
    for (struct shared_entry **at = &entries; runner->shared != NULL && *at != NULL;) {
        struct shared_entry *entry = *at;
        if (entry->users > 0) {
            at = &entry->next;
            continue;
        }
        *at = entry->next;
        total_bytes -= (int64_t)entry->key.bytes;
        entry_free(entry);
    }
    runner->shared       = NULL;
    runner->shared_bytes = 0;
    pthread_mutex_unlock(&lock);
}

int64_t cpu_shared_total_bytes(void)
{
    int64_t bytes;

    pthread_mutex_lock(&lock);
    bytes = total_bytes;
    pthread_mutex_unlock(&lock);
    return bytes;
}
