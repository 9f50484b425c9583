/* tests/bus_picture.h: the picture inside the reference tensor, people before a bus: 312x416 of the
 * 810x1080 original. */
#ifndef SIGHTLINE_TESTS_BUS_PICTURE_H
#define SIGHTLINE_TESTS_BUS_PICTURE_H

#include <stdio.h>
#include <stdlib.h>

#include "gpu/frame.h"

/* `folder`: the material, or NULL. NULL when it is not there. */
static struct frame *bus_picture(const char *folder)
{
    size_t        count  = (size_t)3 * 416 * 416;
    float        *tensor = malloc(count * sizeof *tensor);
    struct frame *frame  = NULL;
    char          path[600];
    FILE         *file = NULL;

    snprintf(path, sizeof path, "%s/models/ref_bus_input_1x3x416x416_f32.bin",
             folder != NULL ? folder : "");
    if (folder != NULL && tensor != NULL)
        file = fopen(path, "rb");
    if (file != NULL && fread(tensor, sizeof *tensor, count, file) == count) {
        frame = frame_alloc(FRAME_BGR24, 312, 416);
        for (int y = 0; y < 416; y++)
            for (int x = 0; x < 312 * 3; x++)
                ((uint8_t *)(uintptr_t)frame->plane[0])[y * frame->stride_bytes[0] + x] = (uint8_t)
                    tensor[((x % 3) * 416 + y) * 416 + x / 3];
    }
    if (file != NULL)
        fclose(file);
    free(tensor);
    return frame;
}

#endif
