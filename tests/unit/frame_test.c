/* Frames: planes of every format, references, refusals; and the overlap of boxes.
 * links: gpu */
#include "gpu/frame.h"

#include <pthread.h>

#include "config/limits.h"
#include "gpu/box.h"
#include "tests/tap.h"

static atomic_int released;

static void count_release(struct frame *frame)
{
    atomic_fetch_add(&released, 1);
    free(frame);
}

static void check_planes(void)
{
    static const struct {
        enum frame_format format;
        int               row_bytes[3];
        int               rows[3];
    } expected[] = {
        {FRAME_I420, {7, 4, 4}, {5, 3, 3}},   {FRAME_I422, {7, 4, 4}, {5, 5, 5}},
        {FRAME_I444, {7, 7, 7}, {5, 5, 5}},   {FRAME_NV12, {7, 8, 0}, {5, 3, 0}},
        {FRAME_GRAY8, {7, 0, 0}, {5, 0, 0}},  {FRAME_BGR24, {21, 0, 0}, {5, 0, 0}},
        {FRAME_RGB24, {21, 0, 0}, {5, 0, 0}},
    };

    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        struct frame *frame = frame_alloc(expected[i].format, 7, 5);
        bool          right = frame != NULL;

        for (int plane = 0; right && plane < 3; plane++) {
            bool has = expected[i].rows[plane] > 0;

            right = (frame->plane[plane] != NULL) == has;
            /* Every byte is ours: the sanitizer says if not. */
            for (int y = 0; right && y < expected[i].rows[plane]; y++)
                memset((uint8_t *)(uintptr_t)frame->plane[plane] + y * frame->stride_bytes[plane],
                       plane + 1, (size_t)expected[i].row_bytes[plane]);
            right = right && frame->stride_bytes[plane] >= expected[i].row_bytes[plane];
        }
        for (int plane = 0; right && plane < 3; plane++)
            for (int y = 0; right && y < expected[i].rows[plane]; y++)
                right = frame->plane[plane][y * frame->stride_bytes[plane]] == plane + 1;
        ok(right, "format %d of 7x5 has the planes it needs, apart from each other",
           (int)expected[i].format);
        frame_unref(&frame);
    }
}

static void *take_and_give(void *arg)
{
    struct frame *frame = arg;

    for (int i = 0; i < 20000; i++) {
        struct frame *mine = frame_ref(frame);
        frame_unref(&mine);
    }
    frame_unref(&frame);
    return NULL;
}

static void check_references(void)
{
    struct frame *frame   = calloc(1, sizeof *frame);
    struct frame *nothing = NULL;
    pthread_t     threads[4];

    if (frame == NULL)
        return;
    atomic_init(&frame->references, 1);
    frame->release = count_release;
    for (int i = 0; i < 4; i++) {
        frame_ref(frame);
        ok(pthread_create(&threads[i], NULL, take_and_give, frame) == 0, "thread %d", i);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    is_int(atomic_load(&frame->references), 1, "after four threads one reference is left");
    is_int(atomic_load(&released), 0, "and nothing is released");
    frame_unref(&frame);
    is_int(atomic_load(&released), 1, "the last one releases, once");
    ok(frame == NULL, "and the holder's pointer is gone");
    frame_unref(&nothing);
    ok(nothing == NULL, "no frame is no harm");
}

/* ---- a picture in a device's memory ---- */

static atomic_int copies_made, copies_left;

static void release_copy(struct frame *frame)
{
    atomic_fetch_sub(&copies_left, 1);
    free(frame);
}

static struct frame *make_copy(const struct frame *frame)
{
    struct frame *copy = calloc(1, sizeof *copy);

    if (copy == NULL)
        return NULL;
    *copy = (struct frame){.references = 1,
                           .format     = frame->format,
                           .width_px   = frame->width_px,
                           .height_px  = frame->height_px,
                           .release    = release_copy};
    atomic_fetch_add(&copies_made, 1);
    atomic_fetch_add(&copies_left, 1);
    return copy;
}

static struct frame *make_nothing(const struct frame *frame)
{
    (void)frame;
    return NULL;
}

static void *ask_for_copy(void *arg)
{
    return frame_in_host(arg, FRAME_COPY_VIEW);
}

static void check_copies(void)
{
    struct frame_device device = {.copy = make_copy};
    struct frame       *frame  = calloc(1, sizeof *frame), *none;
    pthread_t           threads[4];
    void               *copy[4];

    if (frame == NULL)
        return;
    *frame = (struct frame){.references = 1,
                            .format     = FRAME_NV12,
                            .width_px   = 64,
                            .height_px  = 48,
                            .number     = 77,
                            .release    = count_release};
    atomic_store(&released, 0);
    ok(frame_in_host(frame, FRAME_COPY_VIEW) == frame, "a picture in host memory is there");
    frame->device = &device;
    for (int i = 0; i < 4; i++)
        ok(pthread_create(&threads[i], NULL, ask_for_copy, frame) == 0, "asking thread %d", i);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], &copy[i]);
    ok(copy[0] != NULL && copy[0] != frame && copy[0] == copy[1] && copy[0] == copy[2] &&
           copy[0] == copy[3] && ((struct frame *)copy[0])->number == 77,
       "four threads have one copy of a picture on a device, with its number");
    is_int(atomic_load(&copies_left), 1, "and no other is left");
    is_int((long long)frame_copies(FRAME_COPY_VIEW), atomic_load(&copies_made), "each is counted");
    is_int((long long)frame_copies(FRAME_COPY_MOTION), 0, "as what it was made for");
    is_text(frame_copy_name(FRAME_COPY_MOTION), "motion", "which has a name");
    frame_unref(&frame);
    ok(atomic_load(&copies_left) == 0 && atomic_load(&released) == 1, "it goes with its picture");
    frame       = calloc(1, sizeof *frame);
    device.copy = make_nothing;
    if (frame == NULL)
        return;
    *frame = (struct frame){.references = 1, .device = &device, .release = count_release};
    none   = frame_in_host(frame, FRAME_COPY_VIEW);
    ok(none == NULL, "a picture that cannot be copied");
    frame_unref(&frame);
}

static void check_iou(void)
{
    struct box a = {0, 0, 10, 10, 1, OBJECT_CAR}, half = {5, 0, 15, 10, 1, OBJECT_CAR};
    struct box apart = {20, 20, 30, 30, 1, OBJECT_CAR}, touching = {10, 0, 20, 10, 1, OBJECT_CAR};
    struct box empty = {3, 3, 3, 3, 1, OBJECT_CAR};

    is_near(box_iou(&a, &a), 1.0, 1e-6, "a box is itself");
    is_near(box_iou(&a, &half), 1.0 / 3.0, 1e-6, "half over half is a third");
    is_near(box_iou(&half, &a), 1.0 / 3.0, 1e-6, "both ways round");
    is_near(box_iou(&a, &apart), 0.0, 0, "apart is nothing");
    is_near(box_iou(&a, &touching), 0.0, 0, "touching is nothing");
    is_near(box_iou(&empty, &empty), 0.0, 0, "no area is nothing");
}

int main(void)
{
    check_planes();
    ok(frame_alloc(FRAME_I420, 0, 5) == NULL, "no width");
    ok(frame_alloc(FRAME_I420, 5, -1) == NULL, "no height");
    ok(frame_alloc(FRAME_I420, LIMIT_PICTURE_PX + 1, 5) == NULL, "too wide");
    check_references();
    check_copies();
    check_iou();
    return done_testing();
}
