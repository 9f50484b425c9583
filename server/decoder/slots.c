#include "server/decoder/slots.h"

#include "server/camera/decode_wire.h"

#include <libavutil/buffer.h>
#include <libavutil/imgutils.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PLANE_ALIGN 64
/* Decoders and scalers read and write whole vectors past a plane's end. */
#define PLANE_PAD 128

struct slot {
    struct slots *slots;
    bool          busy;   /* the decoder holds it */
    bool          handed; /* out to the server, which may not have marked it yet */
};

struct slots {
    unsigned          references; /* the owner's and one for each busy slot */
    uint8_t          *memory;
    size_t            bytes, slot_bytes;
    unsigned          count;
    _Atomic uint32_t *held; /* by the server */
    struct slot       slot[DECODE_WIRE_SLOTS];
};

static void release(struct slots *slots)
{
    if (--slots->references > 0)
        return;
    munmap(slots->memory, slots->bytes);
    free(slots);
}

static void give_back(void *opaque, uint8_t *data)
{
    struct slot *slot = opaque;

    (void)data;
    slot->busy = false;
    release(slot->slots);
}

struct slots *slots_open(int fd, size_t slot_bytes, unsigned count)
{
    struct slots *slots = calloc(1, sizeof *slots);
    void         *memory;

    if (slots == NULL)
        return NULL;
    slots->bytes = count * slot_bytes + 2 * DECODE_WIRE_PAGE_BYTES;
    memory = mmap(NULL, slots->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (memory == MAP_FAILED) {
        free(slots);
        return NULL;
    }
    slots->references = 1;
    slots->memory     = memory;
    slots->held       = memory;
    slots->slot_bytes = slot_bytes;
    slots->count      = count;
    for (unsigned i = 0; i < count; i++)
        slots->slot[i].slots = slots;
    return slots;
}

void slots_close(struct slots **slots)
{
    if (*slots != NULL)
        release(*slots);
    *slots = NULL;
}

void slots_begin(struct slots *slots)
{
    for (unsigned i = 0; slots != NULL && i < slots->count; i++)
        slots->slot[i].handed = false;
}

static size_t place_planes(enum AVPixelFormat format, int height, const int line_bytes[4],
                           size_t place[4])
{
    ptrdiff_t lines[4];
    size_t    bytes[4];
    size_t    total = 0;

    for (int i = 0; i < 4; i++)
        lines[i] = line_bytes[i];
    if (av_image_fill_plane_sizes(bytes, format, height, lines) < 0)
        return 0;
    for (int i = 0; i < 4; i++) {
        place[i] = total;
        if (bytes[i] > 0)
            total += (bytes[i] + PLANE_PAD + PLANE_ALIGN - 1) / PLANE_ALIGN * PLANE_ALIGN;
    }
    return total;
}

size_t slots_layout(AVCodecContext *context, enum AVPixelFormat format, int width, int height,
                    int line_bytes[4], size_t place[4])
{
    int align[AV_NUM_DATA_POINTERS] = {0};

    if (context != NULL)
        avcodec_align_dimensions2(context, &width, &height, align);
    if (width < 1 || height < 1 || av_image_fill_linesizes(line_bytes, format, width) < 0)
        return 0;
    /* The chroma lines of planar formats are the luma line's half or all of it: aligned to twice
     * the need, the luma line makes all of them aligned. */
    for (int i = 0; i < 4; i++) {
        int step = i == 0 ? 2 * PLANE_ALIGN : PLANE_ALIGN;

        if (line_bytes[i] > 0)
            line_bytes[i] = (line_bytes[i] + step - 1) / step * step;
    }
    return place_planes(format, height, line_bytes, place);
}

static struct slot *find_free(struct slots *slots)
{
    for (unsigned i = 0; i < slots->count; i++) {
        struct slot *slot = &slots->slot[i];

        if (!slot->busy && !slot->handed &&
            atomic_load_explicit(&slots->held[i], memory_order_acquire) == 0)
            return slot;
    }
    return NULL;
}

bool slots_buffer(struct slots *slots, AVCodecContext *context, AVFrame *frame)
{
    int          line_bytes[4];
    size_t       place[4];
    size_t       bytes = slots_layout(context, (enum AVPixelFormat)frame->format, frame->width,
                                      frame->height, line_bytes, place);
    struct slot *slot;
    uint8_t     *base;

    if (slots == NULL || bytes == 0 || bytes > slots->slot_bytes ||
        (slot = find_free(slots)) == NULL)
        return false;
    base = slots->memory + DECODE_WIRE_PAGE_BYTES +
           (size_t)(slot - slots->slot) * slots->slot_bytes;
    frame->buf[0] = av_buffer_create(base, bytes, give_back, slot, 0);
    if (frame->buf[0] == NULL)
        return false;
    slot->busy = true;
    slots->references++;
    for (int i = 0; i < 4; i++) {
        frame->data[i]     = line_bytes[i] > 0 ? base + place[i] : NULL;
        frame->linesize[i] = line_bytes[i];
    }
    frame->extended_data = frame->data;
    return true;
}

int slots_hand_out(struct slots *slots, const AVFrame *frame)
{
    const uint8_t *first;
    size_t         offset;
    unsigned       index;

    if (slots == NULL || frame->buf[0] == NULL || frame->buf[1] != NULL)
        return -1;
    first = slots->memory + DECODE_WIRE_PAGE_BYTES;
    if (frame->buf[0]->data < first || frame->buf[0]->data >= slots->memory + slots->bytes)
        return -1;
    offset = (size_t)(frame->buf[0]->data - first);
    index  = (unsigned)(offset / slots->slot_bytes);
    if (index >= slots->count)
        return -1;
    slots->slot[index].handed = true;
    return (int)index;
}

const uint8_t *slots_base(const struct slots *slots, int slot)
{
    return slots->memory + DECODE_WIRE_PAGE_BYTES + (size_t)slot * slots->slot_bytes;
}

size_t slots_bytes(const struct slots *slots)
{
    return slots->slot_bytes;
}
