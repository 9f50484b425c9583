/* tests/detections.h: recorded detections of real clips, from the material: YOLOX-nano's boxes of
 * every frame (score from 0.2, suppression at 0.5). */
#ifndef SIGHTLINE_TESTS_DETECTIONS_H
#define SIGHTLINE_TESTS_DETECTIONS_H

#include "config/limits.h"
#include "gpu/box.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define DETECTIONS_FRAMES_MAX 1500

struct detections {
    struct box boxes[DETECTIONS_FRAMES_MAX][LIMIT_BOXES];
    int        counts[DETECTIONS_FRAMES_MAX];
};

__attribute__((unused)) static bool detections_class(int coco, enum object_class *object_class)
{
    static const int classes[] = {0, 1, 2, 3, 5, 7};

    for (int i = 0; i < OBJECT_CLASSES; i++)
        if (classes[i] == coco) {
            *object_class = (enum object_class)i;
            return true;
        }
    return false;
}

/* `folder` is the material's. False when there are none of that name. */
__attribute__((unused)) static bool detections_load(struct detections *detections,
                                                    const char *folder, const char *name)
{
    char  path[700], text[256];
    FILE *file;
    int   count = 0;

    snprintf(path, sizeof path, "%s/detections/%s.yolox_nano.txt", folder, name);
    memset(detections->counts, 0, sizeof detections->counts);
    file = fopen(path, "r");
    if (file == NULL)
        return false;
    while (fgets(text, sizeof text, file) != NULL) {
        int        frame, coco;
        float      x, y, width, height;
        struct box box;

        if (sscanf(text, "%d,%d,%f,%f,%f,%f,%f", &frame, &coco, &box.score, &x, &y, &width,
                   &height) != 7)
            continue;
        if (frame < 0 || frame >= DETECTIONS_FRAMES_MAX ||
            detections->counts[frame] == LIMIT_BOXES || !detections_class(coco, &box.object_class))
            continue;
        box.x0                                              = x;
        box.y0                                              = y;
        box.x1                                              = x + width;
        box.y1                                              = y + height;
        detections->boxes[frame][detections->counts[frame]] = box;
        detections->counts[frame]++;
        count++;
    }
    fclose(file);
    return count > 0;
}

#endif
