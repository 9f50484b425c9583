/* storage/varint.h: bounded reading and writing of the bytes that the ledger keeps.
 *
 * A reader or writer that meets its end sets `failed` and does nothing from then on, so that a
 * sequence of calls is checked once, at its end. Numbers are base-128 varints, least group first;
 * signed ones fold the sign into the lowest bit, so that small deltas are short. */
#ifndef SIGHTLINE_STORAGE_VARINT_H
#define SIGHTLINE_STORAGE_VARINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define VARINT_MAX_BYTES 10

struct bytes_reader {
    const uint8_t *at;
    const uint8_t *end;
    bool           failed;
};

struct bytes_writer {
    uint8_t *at;
    uint8_t *end;
    bool     failed;
};

static inline size_t bytes_left(const struct bytes_reader *in)
{
    return (size_t)(in->end - in->at);
}

static inline const uint8_t *bytes_take(struct bytes_reader *in, size_t count)
{
    const uint8_t *at = in->at;

    if (in->failed || bytes_left(in) < count) {
        in->failed = true;
        return NULL;
    }
    in->at += count;
    return at;
}

static inline uint8_t byte_take(struct bytes_reader *in)
{
    const uint8_t *at = bytes_take(in, 1);

    return at == NULL ? 0 : *at;
}

static inline uint64_t varint_take(struct bytes_reader *in)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = byte_take(in);

        if (in->failed)
            return 0;
        /* The tenth byte has room for one bit: anything above it is no number of ours. */
        if (shift == 63 && byte > 1)
            break;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0)
            return value;
    }
    in->failed = true;
    return 0;
}

static inline int64_t signed_take(struct bytes_reader *in)
{
    uint64_t folded = varint_take(in);

    return (int64_t)((folded >> 1) ^ (0 - (folded & 1)));
}

static inline void bytes_put(struct bytes_writer *out, const void *bytes, size_t count)
{
    if (out->failed || (size_t)(out->end - out->at) < count) {
        out->failed = true;
        return;
    }
    if (count > 0)
        memcpy(out->at, bytes, count);
    out->at += count;
}

static inline void byte_put(struct bytes_writer *out, uint8_t byte)
{
    bytes_put(out, &byte, 1);
}

static inline void varint_put(struct bytes_writer *out, uint64_t value)
{
    uint8_t bytes[VARINT_MAX_BYTES];
    size_t  count = 0;

    while (value >= 0x80) {
        bytes[count++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    bytes[count++] = (uint8_t)value;
    bytes_put(out, bytes, count);
}

static inline void signed_put(struct bytes_writer *out, int64_t value)
{
    varint_put(out, ((uint64_t)value << 1) ^ (value < 0 ? UINT64_MAX : 0));
}

/* Differences wrap, so that any two numbers have one and adding it gives the number back. */
static inline int64_t wrapping_difference(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a - (uint64_t)b);
}

static inline int64_t wrapping_sum(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a + (uint64_t)b);
}

/* Keys are big endian, so that LMDB's byte order is the order of the numbers. */
static inline void big_endian_put(uint8_t *at, uint64_t value, size_t count)
{
    for (size_t i = 0; i < count; i++)
        at[i] = (uint8_t)(value >> (8 * (count - 1 - i)));
}

static inline uint64_t big_endian_get(const uint8_t *at, size_t count)
{
    uint64_t value = 0;

    for (size_t i = 0; i < count; i++)
        value = value << 8 | at[i];
    return value;
}

#endif
