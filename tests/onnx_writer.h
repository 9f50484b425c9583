/* tests/onnx_writer.h: writes small ONNX files for tests, good ones and bad ones.
 *
 *   struct onnx_writer onnx = {.opset = 13};
 *   onnx_input(&onnx, "x", 4, (int64_t[]){1, 3, 8, 8});
 *   onnx_node(&onnx, "MaxPool", "x", "y", "kernel_shape:is=2,2 ceil_mode:i=1");
 *   onnx_output(&onnx, "y");
 *   bytes = onnx_finish(&onnx, &count);      the writer's, until onnx_free()
 *
 * Attributes: NAME:i=3 (integer), :is=1,2 (integers), :f=0.5 (float), :s=linear (text), :t=0.5 (a list
 * of one float). */
#ifndef SIGHTLINE_TESTS_ONNX_WRITER_H
#define SIGHTLINE_TESTS_ONNX_WRITER_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct onnx_bytes {
    uint8_t *data;
    size_t   used, room;
};

struct onnx_writer {
    int64_t           opset;
    struct onnx_bytes graph;
    struct onnx_bytes file;
    int               nodes;
    void (*wrote)(const char *type); /* NULL, or is told the operator of each node */
};

static inline void onnx_put(struct onnx_bytes *bytes, const void *data, size_t count)
{
    if (bytes->used + count > bytes->room) {
        bytes->room = (bytes->used + count) * 2 + 64;
        bytes->data = realloc(bytes->data, bytes->room);
        if (bytes->data == NULL)
            abort();
    }
    if (count > 0)
        memcpy(bytes->data + bytes->used, data, count);
    bytes->used += count;
}

static inline void onnx_varint(struct onnx_bytes *bytes, uint64_t value)
{
    do {
        uint8_t byte = (uint8_t)(value & 127U);
        value >>= 7;
        if (value != 0)
            byte |= 128U;
        onnx_put(bytes, &byte, 1);
    } while (value != 0);
}

static inline void onnx_field_int(struct onnx_bytes *bytes, unsigned field, int64_t value)
{
    onnx_varint(bytes, field << 3);
    onnx_varint(bytes, (uint64_t)value);
}

static inline void onnx_field_bytes(struct onnx_bytes *bytes, unsigned field, const void *data,
                                    size_t count)
{
    onnx_varint(bytes, field << 3 | 2U);
    onnx_varint(bytes, count);
    onnx_put(bytes, data, count);
}

static inline void onnx_field_text(struct onnx_bytes *bytes, unsigned field, const char *text)
{
    onnx_field_bytes(bytes, field, text, strlen(text));
}

static inline void onnx_field_float(struct onnx_bytes *bytes, unsigned field, float value)
{
    onnx_varint(bytes, field << 3 | 5U);
    onnx_put(bytes, &value, sizeof value);
}

/* Closes a message: writes it as a field of another and frees it. */
static inline void onnx_field_message(struct onnx_bytes *bytes, unsigned field,
                                      struct onnx_bytes *message)
{
    onnx_field_bytes(bytes, field, message->data, message->used);
    free(message->data);
    memset(message, 0, sizeof *message);
}

static inline void onnx_value_info(struct onnx_writer *onnx, unsigned field, const char *name,
                                   int type_number, int rank, const int64_t *dimension)
{
    struct onnx_bytes shape = {0}, tensor = {0}, type = {0}, info = {0};

    for (int i = 0; i < rank; i++) {
        struct onnx_bytes size = {0};
        if (dimension[i] == -1)
            onnx_field_text(&size, 2, "unknown");
        else
            onnx_field_int(&size, 1, dimension[i]);
        onnx_field_message(&shape, 1, &size);
    }
    onnx_field_int(&tensor, 1, type_number);
    onnx_field_message(&tensor, 2, &shape);
    onnx_field_message(&type, 1, &tensor);
    onnx_field_text(&info, 1, name);
    onnx_field_message(&info, 2, &type);
    onnx_field_message(&onnx->graph, field, &info);
}

/* A dimension of -1 is one without a fixed size. */
static inline void onnx_input(struct onnx_writer *onnx, const char *name, int rank,
                              const int64_t *dimension)
{
    onnx_value_info(onnx, 11, name, 1, rank, dimension);
}

/* `type`: 1 float32, 2 uint8, 10 float16. */
static inline void onnx_typed_input(struct onnx_writer *onnx, const char *name, int type, int rank,
                                    const int64_t *dimension)
{
    onnx_value_info(onnx, 11, name, type, rank, dimension);
}

static inline void onnx_output(struct onnx_writer *onnx, const char *name)
{
    onnx_value_info(onnx, 12, name, 1, 0, NULL);
}

static inline void onnx_tensor(struct onnx_writer *onnx, const char *name, int type, int rank,
                               const int64_t *dimension, const void *data, size_t bytes)
{
    struct onnx_bytes tensor = {0};

    for (int i = 0; i < rank; i++)
        onnx_field_int(&tensor, 1, dimension[i]);
    onnx_field_int(&tensor, 2, type);
    onnx_field_text(&tensor, 8, name);
    onnx_field_bytes(&tensor, 9, data, bytes);
    onnx_field_message(&onnx->graph, 5, &tensor);
}

/* Texts as the file has them: external_data of a tensor (13), metadata_props of the file (14). */
static inline void onnx_entry(struct onnx_bytes *message, unsigned field, const char *key,
                              const char *value)
{
    struct onnx_bytes entry = {0};

    onnx_field_text(&entry, 1, key);
    onnx_field_text(&entry, 2, value);
    onnx_field_message(message, field, &entry);
}

/* A float32 tensor of which `bytes` from `offset` on in the file `location` are the numbers. */
static inline void onnx_external(struct onnx_writer *onnx, const char *name, int rank,
                                 const int64_t *dimension, const char *location, size_t offset,
                                 size_t bytes)
{
    struct onnx_bytes tensor = {0};
    char              number[24];

    for (int i = 0; i < rank; i++)
        onnx_field_int(&tensor, 1, dimension[i]);
    onnx_field_int(&tensor, 2, 1);
    onnx_field_text(&tensor, 8, name);
    onnx_entry(&tensor, 13, "location", location);
    snprintf(number, sizeof number, "%zu", offset);
    onnx_entry(&tensor, 13, "offset", number);
    snprintf(number, sizeof number, "%zu", bytes);
    onnx_entry(&tensor, 13, "length", number);
    onnx_field_int(&tensor, 14, 1);
    onnx_field_message(&onnx->graph, 5, &tensor);
}

static inline size_t onnx_elements(int rank, const int64_t *dimension)
{
    size_t elements = 1;

    for (int i = 0; i < rank; i++)
        elements *= (size_t)dimension[i];
    return elements;
}

static inline void onnx_floats(struct onnx_writer *onnx, const char *name, int rank,
                               const int64_t *dimension, const float *data)
{
    onnx_tensor(onnx, name, 1, rank, dimension, data,
                onnx_elements(rank, dimension) * sizeof *data);
}

static inline void onnx_ints(struct onnx_writer *onnx, const char *name, int64_t count,
                             const int64_t *data)
{
    onnx_tensor(onnx, name, 7, 1, &count, data, (size_t)count * sizeof *data);
}

static inline void onnx_attribute(struct onnx_bytes *node, char *text)
{
    struct onnx_bytes attribute = {0};
    char             *kind = strchr(text, ':'), *value = strchr(text, '=');

    if (kind == NULL || value == NULL)
        abort();
    *kind++  = '\0';
    *value++ = '\0';
    onnx_field_text(&attribute, 1, text);
    if (strcmp(kind, "f") == 0) {
        onnx_field_float(&attribute, 2, strtof(value, NULL));
        onnx_field_int(&attribute, 20, 1);
    } else if (strcmp(kind, "s") == 0) {
        onnx_field_text(&attribute, 4, value);
        onnx_field_int(&attribute, 20, 3);
    } else if (strcmp(kind, "i") == 0) {
        onnx_field_int(&attribute, 3, strtoll(value, NULL, 10));
        onnx_field_int(&attribute, 20, 2);
    } else if (strcmp(kind, "t") == 0) {
        struct onnx_bytes tensor = {0};
        const float       number = strtof(value, NULL);
        onnx_field_int(&tensor, 1, 1);
        onnx_field_int(&tensor, 2, 1);
        onnx_field_bytes(&tensor, 9, &number, sizeof number);
        onnx_field_message(&attribute, 5, &tensor);
        onnx_field_int(&attribute, 20, 4);
    } else {
        for (char *next = value; *value != '\0'; value = *next == ',' ? next + 1 : next)
            onnx_field_int(&attribute, 8, strtoll(value, &next, 10));
        onnx_field_int(&attribute, 20, 7);
    }
    onnx_field_message(node, 5, &attribute);
}

/* A comma-separated list as repeated texts. */
static inline void onnx_names(struct onnx_bytes *node, unsigned field, const char *names)
{
    while (*names != '\0') {
        size_t count = strcspn(names, ",");
        onnx_field_bytes(node, field, names, count);
        names += count;
        if (*names == ',')
            names++;
    }
}

static inline void onnx_node(struct onnx_writer *onnx, const char *type, const char *inputs,
                             const char *outputs, const char *attributes)
{
    struct onnx_bytes node = {0};
    char              text[512], name[64], *next;

    onnx_names(&node, 1, inputs);
    onnx_names(&node, 2, outputs);
    if (onnx->wrote != NULL)
        onnx->wrote(type);
    snprintf(name, sizeof name, "%s_%d", type, onnx->nodes++);
    onnx_field_text(&node, 3, name);
    onnx_field_text(&node, 4, type);
    snprintf(text, sizeof text, "%s", attributes);
    for (char *item = strtok_r(text, " ", &next); item != NULL; item = strtok_r(NULL, " ", &next))
        onnx_attribute(&node, item);
    onnx_field_message(&onnx->graph, 1, &node);
}

static inline const uint8_t *onnx_finish(struct onnx_writer *onnx, size_t *count)
{
    struct onnx_bytes opset = {0};

    onnx_field_int(&onnx->file, 1, 8);
    onnx_field_message(&onnx->file, 7, &onnx->graph);
    onnx_field_int(&opset, 2, onnx->opset);
    onnx_field_message(&onnx->file, 8, &opset);
    *count = onnx->file.used;
    return onnx->file.data;
}

static inline void onnx_free(struct onnx_writer *onnx)
{
    free(onnx->graph.data);
    free(onnx->file.data);
    memset(onnx, 0, sizeof *onnx);
}

#endif
