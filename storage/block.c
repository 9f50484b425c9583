#include "storage/block.h"

#include "config/err.h"
#include "storage/event_codec.h"

#include <string.h>

#define BLOCK_VERSION 1

void block_begin(struct block *block, uint64_t first_seq)
{
    block->first_seq = first_seq;
    block->last_ns   = 0;
    block->bytes     = 1;
    block->data[0]   = BLOCK_VERSION;
}

bool block_append(struct block *block, uint32_t id, const struct event *event)
{
    struct bytes_writer out = {.at = block->data + block->bytes, .end = block->data + BLOCK_BYTES};

    varint_put(&out, id);
    event_put_body(&out, event, block->last_ns);
    if (out.failed)
        return false;
    block->bytes   = (size_t)(out.at - block->data);
    block->last_ns = event->time_ns;
    return true;
}

int block_open(struct block_reader *reader, struct names *names, uint64_t first_seq,
               const void *data, size_t bytes)
{
    memset(reader, 0, sizeof *reader);
    reader->in.at  = data;
    reader->in.end = reader->in.at + bytes;
    reader->names  = names;
    reader->seq    = first_seq;
    return bytes <= BLOCK_BYTES && byte_take(&reader->in) == BLOCK_VERSION ? 0 : ERR_CORRUPT;
}

int block_next(struct block_reader *reader, struct event *event)
{
    uint64_t id;

    if (reader->in.at == reader->in.end)
        return 0;
    id = varint_take(&reader->in);
    if (reader->in.failed || id == 0 || id > NAMES_MAX ||
        !names_get(reader->names, (uint32_t)id, event->camera, event->counter))
        return ERR_CORRUPT;
    if (!event_take_body(&reader->in, event, reader->last_ns) || !event_valid(event))
        return ERR_CORRUPT;
    event->seq      = reader->seq++;
    reader->id      = (uint32_t)id;
    reader->last_ns = event->time_ns;
    return 1;
}
