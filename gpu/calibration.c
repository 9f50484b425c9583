/* The text: a line "1 AGREEMENT BOXES VALUES", then for each value a line "KEEP CHANNELS LOW HIGH
 * DIGITS NAME": three hexadecimal bytes for each channel give its low and high as parts of 255 of LOW
 * and HIGH, and its mean as parts of 255 from its low to its high. */
#include "gpu/calibration.h"

#include "config/err.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_PER_VALUE 96 /* a line without its digits and its name */
#define MEMORY_FACTOR  16 /* of the text: three floats for six digits, and the lines */

struct reader {
    const char *at;
    struct why *why;
};

static int damaged(struct why *why, const char *what)
{
    return why_set(why, ERR_CORRUPT,
                   "the calibration in the file is damaged (%s): quantize the model again", what);
}

/* A number up to the next space. */
static bool read_number(struct reader *reader, double low, double high, double *number)
{
    char *end;

    if (*reader->at == ' ' || *reader->at == '\n')
        return false;
    *number = strtod(reader->at, &end);
    if (end == reader->at || !(*number >= low && *number <= high) || (*end != ' ' && *end != '\n'))
        return false;
    reader->at = end + 1;
    return true;
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_byte(struct reader *reader, int *byte)
{
    int upper = digit(reader->at[0]), lower = upper < 0 ? -1 : digit(reader->at[1]);

    if (lower < 0)
        return false;
    reader->at += 2;
    *byte = upper * 16 + lower;
    return true;
}

static int read_channels(struct calibration *calibration, struct reader *reader,
                         struct calibrated *value, double low, double high)
{
    value->low  = graph_memory_alloc(&calibration->memory, (size_t)value->channels, sizeof(float));
    value->high = graph_memory_alloc(&calibration->memory, (size_t)value->channels, sizeof(float));
    value->mean = graph_memory_alloc(&calibration->memory, (size_t)value->channels, sizeof(float));
    if (value->low == NULL || value->high == NULL || value->mean == NULL)
        return ERR_MEMORY;
    for (int c = 0; c < value->channels; c++) {
        int parts[3];
        if (!read_byte(reader, &parts[0]) || !read_byte(reader, &parts[1]) ||
            !read_byte(reader, &parts[2]))
            return damaged(reader->why, "a range");
        value->low[c]  = (float)(low * parts[0] / 255);
        value->high[c] = (float)(high * parts[1] / 255);
        value->mean[c] = value->low[c] + (value->high[c] - value->low[c]) * (float)parts[2] / 255;
    }
    return 0;
}

static int read_value(struct calibration *calibration, struct reader *reader,
                      struct calibrated *value)
{
    double      keep, channels, low, high;
    const char *end;
    char       *name;
    int         rc;

    if (!read_number(reader, 0, 1, &keep) ||
        !read_number(reader, 1, LIMIT_CALIBRATION_CHANNELS, &channels) ||
        !read_number(reader, -LIMIT_CALIBRATION_RANGE, 0, &low) ||
        !read_number(reader, 0, LIMIT_CALIBRATION_RANGE, &high))
        return damaged(reader->why, "a line");
    value->keep_float = keep != 0;
    value->channels   = (int)channels;
    rc                = read_channels(calibration, reader, value, low, high);
    if (rc != 0)
        return rc;
    end = strchr(reader->at, '\n');
    if (*reader->at != ' ' || end == NULL)
        return damaged(reader->why, "a name");
    name = graph_memory_alloc(&calibration->memory, (size_t)(end - reader->at), 1);
    if (name == NULL)
        return ERR_MEMORY;
    memcpy(name, reader->at + 1, (size_t)(end - reader->at - 1));
    value->name = name;
    reader->at  = end + 1;
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct calibrated *)a)->name, ((const struct calibrated *)b)->name);
}

static int read_text(struct calibration *calibration, struct reader *reader)
{
    double version, agreement, boxes, values;

    if (!read_number(reader, 1, 1, &version) || !read_number(reader, 0, 1, &agreement) ||
        !read_number(reader, 0, INT32_MAX, &boxes) ||
        !read_number(reader, 0, LIMIT_CALIBRATION_VALUES, &values))
        return damaged(reader->why, "its first line");
    calibration->agreement = (float)agreement;
    calibration->boxes     = (int)boxes;
    calibration->values    = graph_memory_alloc(&calibration->memory, (size_t)values,
                                                sizeof *calibration->values);
    if (calibration->values == NULL)
        return ERR_MEMORY;
    for (int i = 0; i < (int)values; i++) {
        int rc = read_value(calibration, reader, &calibration->values[i]);
        if (rc != 0)
            return rc;
        calibration->count++;
        if (i > 0 && by_name(&calibration->values[i - 1], &calibration->values[i]) >= 0)
            return damaged(reader->why, "the order of names");
    }
    return 0;
}

int calibration_parse(struct calibration *calibration, const char *text, struct why *why)
{
    struct reader reader = {.at = text, .why = why};
    int           rc;

    memset(calibration, 0, sizeof *calibration);
    calibration->memory.max_bytes = strlen(text) * MEMORY_FACTOR + 65536;
    why_set(why, 0, "out of memory for the calibration");
    rc = read_text(calibration, &reader);
    if (rc != 0)
        calibration_free(calibration);
    else
        why_set(why, 0, "%s", "");
    return rc;
}

int calibration_read(struct calibration *calibration, const struct model_info *info,
                     struct why *why)
{
    memset(calibration, 0, sizeof *calibration);
    for (int i = 0; i < info->metadata_count; i++)
        if (strcmp(info->metadata_keys[i], CALIBRATION_KEY) == 0)
            return calibration_parse(calibration, info->metadata_values[i], why);
    return why_set(why, ERR_NOT_FOUND,
                   "the model has no calibration for 8 bits: run `sightline model quantize`");
}

void calibration_free(struct calibration *calibration)
{
    graph_memory_free(&calibration->memory);
    memset(calibration, 0, sizeof *calibration);
}

const struct calibrated *calibration_find(const struct calibration *calibration, const char *name)
{
    struct calibrated key = {.name = name};

    if (name == NULL || calibration->count == 0)
        return NULL;
    return bsearch(&key, calibration->values, (size_t)calibration->count, sizeof key, by_name);
}

/* The part of 255 that holds it whole. */
static int part_of(float x, float whole)
{
    double part = whole != 0 ? ceil((double)x / (double)whole * 255 - 1e-4) : 0;

    return (int)fmin(fmax(part, 0), 255);
}

static size_t write_value(const struct calibrated *value, char *text, size_t room)
{
    float  low = 0, high = 0;
    size_t used;

    for (int c = 0; c < value->channels; c++) {
        low  = fminf(low, value->low[c]);
        high = fmaxf(high, value->high[c]);
    }
    used = (size_t)snprintf(text, room, "%d %d %.9g %.9g ", value->keep_float, value->channels,
                            (double)low, (double)high);
    for (int c = 0; c < value->channels; c++)
        used += (size_t)snprintf(
            text + used, room - used, "%02x%02x%02x", part_of(value->low[c], low),
            part_of(value->high[c], high),
            part_of(value->mean[c] - value->low[c], value->high[c] - value->low[c]));
    return used + (size_t)snprintf(text + used, room - used, " %s\n", value->name);
}

char *calibration_text(const struct calibration *calibration)
{
    size_t room = TEXT_PER_VALUE, used;
    char  *text;

    for (int i = 0; i < calibration->count; i++)
        room += TEXT_PER_VALUE + 6 * (size_t)calibration->values[i].channels +
                strlen(calibration->values[i].name);
    text = malloc(room);
    if (text == NULL)
        return NULL;
    used = (size_t)snprintf(text, room, "1 %.6g %d %d\n", (double)calibration->agreement,
                            calibration->boxes, calibration->count);
    for (int i = 0; i < calibration->count; i++)
        used += write_value(&calibration->values[i], text + used, room - used);
    return text;
}

/* ---- the file: a sequence of fields, of which the metadata entries are number 14 ---- */

#define METADATA_TAG 0x72U /* field 14, of counted bytes */
#define KEY_TAG      0x0aU
#define VALUE_TAG    0x12U

static bool read_varint(const uint8_t *file, size_t count, size_t *at, uint64_t *number)
{
    *number = 0;
    for (int shift = 0; shift < 64 && *at < count; shift += 7) {
        uint8_t byte = file[(*at)++];
        *number |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0)
            return true;
    }
    return false;
}

static size_t write_varint(uint8_t *to, uint64_t number)
{
    size_t used = 0;

    while (number >= 0x80) {
        to[used++] = (uint8_t)(number | 0x80);
        number >>= 7;
    }
    to[used++] = (uint8_t)number;
    return used;
}

/* The end of the field that begins at `at`; 0 when there is none. */
static size_t field_end(const uint8_t *file, size_t count, size_t at, uint64_t *tag, size_t *body)
{
    uint64_t size;

    if (!read_varint(file, count, &at, tag))
        return 0;
    *body = at;
    switch (*tag & 7) {
    case 0:
        return read_varint(file, count, &at, &size) ? at : 0;
    case 1:
        return count - at >= 8 ? at + 8 : 0;
    case 2:
        if (!read_varint(file, count, &at, &size) || size > count - at)
            return 0;
        *body = at;
        return at + (size_t)size;
    case 5:
        return count - at >= 4 ? at + 4 : 0;
    default:
        return 0;
    }
}

static bool is_calibration(const uint8_t *entry, size_t count)
{
    uint64_t tag;
    size_t   at = 0, body, end;

    for (; at < count; at = end) {
        end = field_end(entry, count, at, &tag, &body);
        if (end == 0)
            return false;
        if (tag == KEY_TAG)
            return end - body == strlen(CALIBRATION_KEY) &&
                   memcmp(entry + body, CALIBRATION_KEY, end - body) == 0;
    }
    return false;
}

static size_t write_text(uint8_t *to, unsigned tag, const char *text, size_t count)
{
    size_t used = 0;

    to[used++] = (uint8_t)tag;
    used += write_varint(to + used, count);
    memcpy(to + used, text, count);
    return used + count;
}

uint8_t *calibration_attach(const uint8_t *file, size_t count, const char *text, size_t *new_count,
                            struct why *why)
{
    size_t   key_size = strlen(CALIBRATION_KEY), text_size = strlen(text), used = 0, inside;
    uint8_t *copy = malloc(count + key_size + text_size + 64), head[16];
    uint64_t tag;

    if (copy == NULL) {
        why_set(why, ERR_MEMORY, "out of memory for the new file");
        return NULL;
    }
    for (size_t at = 0, body, end; at < count; at = end) {
        end = field_end(file, count, at, &tag, &body);
        if (end == 0) {
            why_set(why, ERR_INVALID, "not an ONNX file");
            free(copy);
            return NULL;
        }
        if (tag == METADATA_TAG && is_calibration(file + body, end - body))
            continue;
        memcpy(copy + used, file + at, end - at);
        used += end - at;
    }
    inside = 2 + write_varint(head, key_size) + key_size + write_varint(head, text_size) +
             text_size;
    copy[used++] = METADATA_TAG;
    used += write_varint(copy + used, inside);
    used += write_text(copy + used, KEY_TAG, CALIBRATION_KEY, key_size);
    used += write_text(copy + used, VALUE_TAG, text, text_size);
    *new_count = used;
    return copy;
}
