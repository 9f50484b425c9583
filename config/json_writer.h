/* config/json_writer.h: writes compact JSON into a growing buffer with a stated maximum.
 *
 * For what we send often (live updates, metrics, events); what we read goes through jansson. The
 * writer puts the commas and escapes every string; the caller balances begin and end. An overrun of
 * the maximum or of memory sets a flag that json_text() reports; nothing needs to be checked in between.
 * The values are put_: jansson has json_string() and json_null(). One thread at a time. */
#ifndef SIGHTLINE_CONFIG_JSON_WRITER_H
#define SIGHTLINE_CONFIG_JSON_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_writer {
    char  *text;
    size_t used_bytes;
    size_t room_bytes;
    size_t max_bytes;
    bool   failed;
    bool   needs_comma;
};

/* Whether these bytes are UTF-8 as RFC 3629 has it. */
bool json_utf8_valid(const char *bytes, size_t count);
/* UTF-8 that is one line in every format: no control characters (C0, DEL, C1), no U+2028, U+2029. */
bool json_utf8_printable(const char *bytes, size_t count);

void json_init(struct json_writer *json, size_t max_bytes);
void json_free(struct json_writer *json);
/* Keeps the buffer, forgets the text: for a writer that is used again and again. */
void json_reset(struct json_writer *json);
/* The NUL-terminated text and its length, or NULL if a limit was hit. Owned by the writer. */
const char *json_text(struct json_writer *json, size_t *bytes);

void json_begin_object(struct json_writer *json);
void json_end_object(struct json_writer *json);
void json_begin_array(struct json_writer *json);
void json_end_array(struct json_writer *json);
/* Inside an object: a key, then exactly one value. */
void json_key(struct json_writer *json, const char *key);

/* Bytes that are not valid UTF-8 are written as U+FFFD. NULL writes null. */
void json_put_string(struct json_writer *json, const char *value);
void json_put_pair(struct json_writer *json, const char *key, const char *value);
void json_put_string_bytes(struct json_writer *json, const char *value, size_t bytes);
void json_put_int(struct json_writer *json, int64_t value);
void json_put_uint(struct json_writer *json, uint64_t value);
/* `decimals` 0..9, trailing zeros cut; not-a-number and infinities write null. */
void json_put_fixed(struct json_writer *json, double value, int decimals);
void json_put_bool(struct json_writer *json, bool value);
void json_put_null(struct json_writer *json);
/* A finished JSON value from elsewhere. */
void json_put_raw(struct json_writer *json, const char *value, size_t bytes);

#endif
