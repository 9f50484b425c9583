#include "storage/names.h"

#include "config/err.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_ROOM 64

struct name {
    char     camera[LIMIT_NAME_BYTES];
    char     counter[LIMIT_NAME_BYTES];
    uint32_t next_of_bucket; /* number of the next name in this hash bucket, 0: none */
    uint32_t next_of_camera; /* the same for the camera's hash bucket, newest first */
    bool     active;
};

struct names {
    pthread_mutex_t lock; /* protects all below */
    struct name    *list; /* [id - 1] */
    uint32_t        count;
    uint32_t        room; /* a power of two: of `list` and of both hash tables */
    uint32_t       *by_name;
    uint32_t       *by_camera;
};

/* FNV-1a: the names are the user's own, so nobody gains by making them collide. */
static uint32_t hash_text(uint32_t hash, const char *text)
{
    for (; *text != '\0'; text++)
        hash = (hash ^ (unsigned char)*text) * UINT32_C(16777619);
    return (hash ^ 0xff) * UINT32_C(16777619);
}

static uint32_t hash_camera(const char *camera)
{
    return hash_text(UINT32_C(2166136261), camera);
}

static void link_locked(struct names *names, uint32_t id)
{
    struct name *name      = &names->list[id - 1];
    uint32_t     of_camera = hash_camera(name->camera);
    uint32_t     of_name   = hash_text(of_camera, name->counter);

    of_camera &= names->room - 1;
    of_name &= names->room - 1;
    name->next_of_camera        = names->by_camera[of_camera];
    name->next_of_bucket        = names->by_name[of_name];
    names->by_camera[of_camera] = id;
    names->by_name[of_name]     = id;
}

static int grow_locked(struct names *names)
{
    uint32_t     room      = names->room == 0 ? FIRST_ROOM : names->room * 2;
    struct name *list      = realloc(names->list, room * sizeof *list);
    uint32_t    *by_name   = calloc(room, sizeof *by_name);
    uint32_t    *by_camera = calloc(room, sizeof *by_camera);

    if (list != NULL)
        names->list = list;
    if (list == NULL || by_name == NULL || by_camera == NULL) {
        free(by_name);
        free(by_camera);
        return ERR_MEMORY;
    }
    free(names->by_name);
    free(names->by_camera);
    names->by_name   = by_name;
    names->by_camera = by_camera;
    names->room      = room;
    for (uint32_t id = 1; id <= names->count; id++)
        link_locked(names, id);
    return 0;
}

static struct name *find_locked(struct names *names, const char *camera, const char *counter,
                                uint32_t *id)
{
    uint32_t hash = hash_text(hash_camera(camera), counter);

    *id = names->room == 0 ? 0 : names->by_name[hash & (names->room - 1)];
    while (*id != 0) {
        struct name *name = &names->list[*id - 1];

        if (strcmp(name->camera, camera) == 0 && strcmp(name->counter, counter) == 0)
            return name;
        *id = name->next_of_bucket;
    }
    return NULL;
}

static int add_locked(struct names *names, const char *camera, const char *counter, bool active)
{
    struct name *name;
    int          rc;

    if (names->count == NAMES_MAX)
        return ERR_LIMIT;
    if (names->count == names->room && (rc = grow_locked(names)) != 0)
        return rc;
    name = &names->list[names->count];
    memset(name, 0, sizeof *name);
    memcpy(name->camera, camera, strnlen(camera, LIMIT_NAME_BYTES - 1));
    memcpy(name->counter, counter, strnlen(counter, LIMIT_NAME_BYTES - 1));
    name->active = active;
    link_locked(names, ++names->count);
    return 0;
}

int names_open(struct names **out)
{
    *out = calloc(1, sizeof **out);
    if (*out == NULL)
        return ERR_MEMORY;
    pthread_mutex_init(&(*out)->lock, NULL);
    return 0;
}

void names_close(struct names **names)
{
    if (*names == NULL)
        return;
    pthread_mutex_destroy(&(*names)->lock);
    free((*names)->list);
    free((*names)->by_name);
    free((*names)->by_camera);
    free(*names);
    *names = NULL;
}

int names_load(struct names *names, uint32_t id, const char *camera, const char *counter)
{
    uint32_t found;
    int      rc = 0;

    pthread_mutex_lock(&names->lock);
    /* Two threads may load at once: what is known already must only agree. */
    if (find_locked(names, camera, counter, &found) != NULL)
        rc = found == id ? 0 : ERR_CORRUPT;
    else if (id != names->count + 1)
        rc = ERR_CORRUPT;
    else
        rc = add_locked(names, camera, counter, false);
    pthread_mutex_unlock(&names->lock);
    return rc;
}

int names_intern(struct names *names, const char *camera, const char *counter, uint32_t *id)
{
    struct name *name;
    int          rc = 0;

    pthread_mutex_lock(&names->lock);
    name = find_locked(names, camera, counter, id);
    if (name != NULL)
        name->active = true;
    else if ((rc = add_locked(names, camera, counter, true)) == 0)
        *id = names->count;
    pthread_mutex_unlock(&names->lock);
    return rc;
}

bool names_find(struct names *names, const char *camera, const char *counter, uint32_t *id)
{
    bool found;

    pthread_mutex_lock(&names->lock);
    found = find_locked(names, camera, counter, id) != NULL;
    pthread_mutex_unlock(&names->lock);
    return found;
}

bool names_get(struct names *names, uint32_t id, char camera[static LIMIT_NAME_BYTES],
               char counter[static LIMIT_NAME_BYTES])
{
    bool known;

    pthread_mutex_lock(&names->lock);
    known = id >= 1 && id <= names->count;
    if (known) {
        memcpy(camera, names->list[id - 1].camera, LIMIT_NAME_BYTES);
        memcpy(counter, names->list[id - 1].counter, LIMIT_NAME_BYTES);
    }
    pthread_mutex_unlock(&names->lock);
    return known;
}

uint32_t names_count(struct names *names)
{
    uint32_t count;

    pthread_mutex_lock(&names->lock);
    count = names->count;
    pthread_mutex_unlock(&names->lock);
    return count;
}

int names_of_camera(struct names *names, const char *camera,
                    uint32_t ids[static NAMES_OF_CAMERA_MAX])
{
    uint32_t id;
    int      count = 0;

    pthread_mutex_lock(&names->lock);
    id = names->room == 0 ? 0 : names->by_camera[hash_camera(camera) & (names->room - 1)];
    while (id != 0 && count < NAMES_OF_CAMERA_MAX) {
        const struct name *name = &names->list[id - 1];

        if (name->active && strcmp(name->camera, camera) == 0)
            ids[count++] = id;
        id = name->next_of_camera;
    }
    pthread_mutex_unlock(&names->lock);
    return count;
}
