/* tests/onnx_mutate.h: changes ONNX files within their structure: numbers become unusual ones, names
 * and operators change places, nodes and tensors are dropped, doubled and exchanged. What comes out
 * is well-formed, so that it reaches the importer's checks behind the parser. */
#ifndef SIGHTLINE_TESTS_ONNX_MUTATE_H
#define SIGHTLINE_TESTS_ONNX_MUTATE_H

#include "tests/onnx_writer.h"

#include <stdbool.h>

#define MUTATE_MAX_FIELDS 20000

enum message { MODEL, GRAPH, NODE, ATTRIBUTE, TENSOR, VALUE_INFO, TYPE, SHAPED, SHAPE, SIZE, LEAF };

struct field {
    enum message in, is; /* the message that it stands in, and what it holds; LEAF: no message */
    unsigned     number, wire;
    size_t       start, value, end; /* bytes: the tag, the value behind tag and length, the end */
};

struct mutation {
    const uint8_t    *data;
    uint64_t          random;
    int               count;
    struct field     *fields; /* of MUTATE_MAX_FIELDS */
    int               target;
    struct onnx_bytes replacement; /* of the whole field, tag and all */
};

static inline uint64_t mutate_random(struct mutation *m, uint64_t below)
{
    m->random ^= m->random << 13;
    m->random ^= m->random >> 7;
    m->random ^= m->random << 17;
    return (m->random >> 8) % below;
}

static inline enum message message_in(enum message in, unsigned number)
{
    static const struct {
        enum message in;
        unsigned     number;
        enum message is;
    } known[] = {
        {MODEL, 7, GRAPH},       {GRAPH, 1, NODE},        {GRAPH, 5, TENSOR},
        {GRAPH, 11, VALUE_INFO}, {GRAPH, 12, VALUE_INFO}, {NODE, 5, ATTRIBUTE},
        {ATTRIBUTE, 5, TENSOR},  {VALUE_INFO, 2, TYPE},   {TYPE, 1, SHAPED},
        {SHAPED, 2, SHAPE},      {SHAPE, 1, SIZE},
    };

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].in == in && known[i].number == number)
            return known[i].is;
    return LEAF;
}

static inline bool read_varint(const uint8_t *data, size_t end, size_t *at, uint64_t *number)
{
    *number = 0;
    for (int shift = 0; *at < end && shift < 64; shift += 7) {
        uint8_t byte = data[(*at)++];
        *number |= (uint64_t)(byte & 127U) << shift;
        if (byte < 128)
            return true;
    }
    return false;
}

/* Adds the fields of a message, each before those inside it. */
static inline bool find_fields(struct mutation *m, enum message in, size_t at, size_t end)
{
    while (at < end) {
        struct field field = {.in = in, .is = LEAF, .start = at};
        uint64_t     tag, length = 0;
        if (m->count == MUTATE_MAX_FIELDS || !read_varint(m->data, end, &at, &tag))
            return false;
        field.number = (unsigned)(tag >> 3);
        field.wire   = (unsigned)(tag & 7U);
        field.value  = at;
        if (field.wire == 0 && !read_varint(m->data, end, &at, &length))
            return false;
        if (field.wire == 2 && (!read_varint(m->data, end, &at, &length) || length > end - at))
            return false;
        if (field.wire == 2) {
            field.value = at;
            field.is    = message_in(in, field.number);
            at += (size_t)length;
        } else if (field.wire == 1 || field.wire == 5) {
            at += field.wire == 1 ? 8 : 4;
        } else if (field.wire != 0) {
            return false;
        }
        if (at > end)
            return false;
        field.end             = at;
        m->fields[m->count++] = field;
        if (field.is != LEAF && !find_fields(m, field.is, field.value, field.end))
            return false;
    }
    return true;
}

static inline uint64_t unusual_number(struct mutation *m, uint64_t usual)
{
    static const int64_t numbers[] = {0,
                                      1,
                                      -1,
                                      2,
                                      3,
                                      4,
                                      5,
                                      7,
                                      16,
                                      17,
                                      255,
                                      256,
                                      4096,
                                      4097,
                                      65536,
                                      65537,
                                      1 << 24,
                                      1 << 26,
                                      (1 << 26) + 1,
                                      INT32_MAX,
                                      INT32_MIN,
                                      INT64_MAX,
                                      INT64_MIN};

    switch (mutate_random(m, 4)) {
    case 0:
        return usual + 1;
    case 1:
        return usual - 1;
    case 2:
        return usual * 2;
    default:
        return (uint64_t)numbers[mutate_random(m, sizeof numbers / sizeof numbers[0])];
    }
}

/* Another field of the same kind, or the same one. */
static inline const struct field *relative_of(struct mutation *m, const struct field *field)
{
    for (int tries = 0; tries < 200; tries++) {
        const struct field *other = &m->fields[mutate_random(m, (uint64_t)m->count)];
        if (other->in == field->in && other->wire == field->wire &&
            (other->number == field->number ||
             (field->in == NODE && field->number <= 2 && other->number <= 2)))
            return other;
    }
    return field;
}

static inline void change_bytes(struct mutation *m, const struct field *field)
{
    struct onnx_bytes copy = {0};
    uint64_t          kind = mutate_random(m, 3);

    onnx_put(&copy, m->data + field->value, field->end - field->value);
    for (uint64_t i = mutate_random(m, 8) + 1; i > 0 && copy.used > 0 && kind < 2; i--)
        copy.data[mutate_random(m, copy.used)] = (uint8_t)mutate_random(m, 256);
    if (kind == 2 && copy.used > 0)
        copy.used = mutate_random(m, copy.used);
    onnx_field_bytes(&m->replacement, field->number, copy.data, copy.used);
    free(copy.data);
}

static inline void change_field(struct mutation *m, const struct field *field)
{
    const struct field *other = relative_of(m, field);
    uint64_t            kind = mutate_random(m, 10), number = 0;
    size_t              at = field->value;

    if (kind == 0) /* dropped: the replacement stays empty */
        return;
    if (field->wire == 0 && kind < 7) {
        read_varint(m->data, field->end, &at, &number);
        onnx_field_int(&m->replacement, field->number, (int64_t)unusual_number(m, number));
    } else if (field->wire == 2 && field->is == LEAF && kind == 1) {
        change_bytes(m, field);
    } else if (field->wire == 2 && kind < 8) { /* the content of another */
        onnx_field_bytes(&m->replacement, field->number, m->data + other->value,
                         other->end - other->value);
    } else if (kind == 8) { /* doubled */
        onnx_put(&m->replacement, m->data + field->start, field->end - field->start);
        onnx_put(&m->replacement, m->data + field->start, field->end - field->start);
    } else { /* beside another */
        onnx_put(&m->replacement, m->data + other->start, other->end - other->start);
        onnx_put(&m->replacement, m->data + field->start, field->end - field->start);
    }
}

/* Copies the bytes of a message, with the replacement where the target is: the lengths of what is
 * around it change. */
static inline void rewrite(const struct mutation *m, int *next, size_t end, struct onnx_bytes *out)
{
    while (*next < m->count && m->fields[*next].start < end) {
        const struct field *field  = &m->fields[*next];
        const struct field *target = &m->fields[m->target];
        struct onnx_bytes   inside = {0};
        bool                around = field->start < target->start && target->end <= field->end;
        if (*next == m->target)
            onnx_put(out, m->replacement.data, m->replacement.used);
        else if (!around)
            onnx_put(out, m->data + field->start, field->end - field->start);
        (*next)++;
        if (around) {
            rewrite(m, next, field->end, &inside);
            onnx_field_message(out, field->number, &inside);
        }
        while (*next < m->count && m->fields[*next].start < field->end)
            (*next)++;
    }
}

/* One change. The caller frees out->data; empty when the bytes are no message. */
static inline void onnx_mutate(const uint8_t *data, size_t size, uint64_t *random,
                               struct onnx_bytes *out)
{
    struct mutation m    = {.data = data, .random = *random | 1U};
    int             next = 0;

    m.fields = malloc(MUTATE_MAX_FIELDS * sizeof *m.fields);
    if (m.fields == NULL)
        abort();
    if (find_fields(&m, MODEL, 0, size) && m.count > 0) {
        m.target = (int)mutate_random(&m, (uint64_t)m.count);
        change_field(&m, &m.fields[m.target]);
        rewrite(&m, &next, size, out);
    }
    *random = m.random;
    free(m.replacement.data);
    free(m.fields);
}

#endif
