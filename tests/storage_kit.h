/* tests/storage_kit.h: what the tests of storage/ share: a folder that goes away, random events. */
#ifndef SIGHTLINE_TESTS_STORAGE_KIT_H
#define SIGHTLINE_TESTS_STORAGE_KIT_H

#include "config/clock.h"
#include "storage/event.h"
#include "storage/ledger.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* xorshift64*: small, seeded, the same everywhere. */
__attribute__((unused)) static uint64_t kit_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

__attribute__((unused)) static uint64_t kit_below(uint64_t *state, uint64_t bound)
{
    return (kit_random(state) >> 11) % bound;
}

/* A fresh folder for a ledger; its name is static. */
__attribute__((unused)) static const char *kit_folder(char path[static 64])
{
    snprintf(path, 64, "%s/sightline-test-XXXXXX",
             getenv("TMPDIR") != NULL && strlen(getenv("TMPDIR")) < 32 ? getenv("TMPDIR") : "/tmp");
    if (mkdtemp(path) == NULL) {
        perror("mkdtemp");
        exit(1);
    }
    return path;
}

__attribute__((unused)) static void kit_remove(const char *path)
{
    DIR           *folder = opendir(path);
    struct dirent *entry;

    while (folder != NULL && (entry = readdir(folder)) != NULL)
        unlinkat(dirfd(folder), entry->d_name, 0);
    if (folder != NULL)
        closedir(folder);
    rmdir(path);
}

/* A line or zone event of one of `cameras` x 3 counters, at time_ns. */
__attribute__((unused)) static struct event kit_event(uint64_t *state, unsigned cameras,
                                                      int64_t time_ns)
{
    struct event event   = {0};
    unsigned     camera  = (unsigned)kit_below(state, cameras);
    unsigned     counter = (unsigned)kit_below(state, 3);

    event.time_ns = time_ns;
    snprintf(event.camera, sizeof event.camera, "camera %u", camera);
    snprintf(event.counter, sizeof event.counter, "%s %u", counter < 2 ? "line" : "zone", counter);
    if (counter < 2) {
        event.kind      = EVENT_LINE_CROSSING;
        event.direction = kit_below(state, 2) == 0 ? DIRECTION_A_TO_B : DIRECTION_B_TO_A;
    } else {
        event.kind = kit_below(state, 2) == 0 ? EVENT_ZONE_ENTRY : EVENT_ZONE_EXIT;
        if (event.kind == EVENT_ZONE_EXIT)
            event.dwell_ms = (uint32_t)kit_below(state, 600000);
    }
    event.object_class = (enum object_class)kit_below(state, OBJECT_CLASSES);
    event.confidence   = (float)kit_below(state, 10001) / 10000;
    event.class_share  = (float)kit_below(state, 10001) / 10000;
    event.track        = kit_below(state, 100000);
    event.frame        = kit_below(state, 10000000);
    event.pts_ns       = (int64_t)event.frame * 40 * NS_PER_MS;
    event.rule         = (uint32_t)kit_random(state);
    event.path_count   = (int)kit_below(state, LIMIT_EVENT_PATH_POINTS + 1);
    for (int i = 0; i < event.path_count; i++) {
        event.path[i].x = (float)kit_below(state, 2049) / 2048;
        event.path[i].y = (float)kit_below(state, 2049) / 2048;
    }
    return event;
}

__attribute__((unused)) static bool kit_event_equal(const struct event *a, const struct event *b)
{
    if (a->time_ns != b->time_ns || a->kind != b->kind || a->direction != b->direction ||
        strcmp(a->camera, b->camera) != 0 || strcmp(a->counter, b->counter) != 0 ||
        a->object_class != b->object_class || a->confidence != b->confidence ||
        a->class_share != b->class_share || a->track != b->track || a->frame != b->frame ||
        a->pts_ns != b->pts_ns || a->dwell_ms != b->dwell_ms || a->rule != b->rule ||
        a->path_count != b->path_count)
        return false;
    for (int i = 0; i < a->path_count; i++) {
        if (a->path[i].x != b->path[i].x || a->path[i].y != b->path[i].y)
            return false;
    }
    return true;
}

#endif
