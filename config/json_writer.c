#include "config/json_writer.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_BYTES 256

void json_init(struct json_writer *json, size_t max_bytes)
{
    memset(json, 0, sizeof *json);
    json->max_bytes = max_bytes;
}

void json_free(struct json_writer *json)
{
    free(json->text);
    memset(json, 0, sizeof *json);
}

void json_reset(struct json_writer *json)
{
    json->used_bytes  = 0;
    json->failed      = false;
    json->needs_comma = false;
}

static bool make_room(struct json_writer *json, size_t bytes)
{
    size_t room = json->room_bytes == 0 ? FIRST_BYTES : json->room_bytes;
    char  *text;

    if (json->failed)
        return false;
    if (bytes >= json->max_bytes || json->used_bytes + bytes + 1 > json->max_bytes) {
        json->failed = true;
        return false;
    }
    while (room < json->used_bytes + bytes + 1)
        room *= 2;
    if (room > json->max_bytes)
        room = json->max_bytes;
    if (room == json->room_bytes)
        return true;
    text = realloc(json->text, room);
    if (text == NULL) {
        json->failed = true;
        return false;
    }
    json->text       = text;
    json->room_bytes = room;
    return true;
}

static void put(struct json_writer *json, const char *bytes, size_t count)
{
    if (!make_room(json, count))
        return;
    memcpy(json->text + json->used_bytes, bytes, count);
    json->used_bytes += count;
}

static void before_value(struct json_writer *json)
{
    if (json->needs_comma)
        put(json, ",", 1);
    json->needs_comma = true;
}

const char *json_text(struct json_writer *json, size_t *bytes)
{
    if (!make_room(json, 0))
        return NULL;
    json->text[json->used_bytes] = '\0';
    if (bytes != NULL)
        *bytes = json->used_bytes;
    return json->text;
}

static void begin(struct json_writer *json, const char *bracket)
{
    before_value(json);
    put(json, bracket, 1);
    json->needs_comma = false;
}

static void end(struct json_writer *json, const char *bracket)
{
    put(json, bracket, 1);
    json->needs_comma = true;
}

void json_begin_object(struct json_writer *json)
{
    begin(json, "{");
}

void json_end_object(struct json_writer *json)
{
    end(json, "}");
}

void json_begin_array(struct json_writer *json)
{
    begin(json, "[");
}

void json_end_array(struct json_writer *json)
{
    end(json, "]");
}

/* Length of the valid UTF-8 sequence at `s`, 0 if there is none. Overlong forms, surrogates and
 * values past U+10FFFF are not valid (RFC 3629). */
static size_t utf8_length(const unsigned char *s, size_t left)
{
    if (s[0] < 0x80)
        return 1;
    if (s[0] >= 0xc2 && s[0] <= 0xdf)
        return left >= 2 && (s[1] & 0xc0) == 0x80 ? 2 : 0;
    if ((s[0] & 0xf0) == 0xe0) {
        if (left < 3 || (s[1] & 0xc0) != 0x80 || (s[2] & 0xc0) != 0x80)
            return 0;
        if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f))
            return 0;
        return 3;
    }
    if (s[0] >= 0xf0 && s[0] <= 0xf4) {
        if (left < 4 || (s[1] & 0xc0) != 0x80 || (s[2] & 0xc0) != 0x80 || (s[3] & 0xc0) != 0x80)
            return 0;
        if ((s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
            return 0;
        return 4;
    }
    return 0;
}

bool json_utf8_valid(const char *bytes, size_t count)
{
    for (size_t i = 0, length; i < count; i += length) {
        length = utf8_length((const unsigned char *)bytes + i, count - i);
        if (length == 0)
            return false;
    }
    return true;
}

/* C1 controls and the two line breaks that UTF-8 has beyond ASCII's. */
static bool breaks_text(const unsigned char *s, size_t length)
{
    if (length == 1)
        return s[0] < 0x20 || s[0] == 0x7f;
    if (length == 2)
        return s[0] == 0xc2 && s[1] < 0xa0;
    return length == 3 && s[0] == 0xe2 && s[1] == 0x80 && (s[2] == 0xa8 || s[2] == 0xa9);
}

bool json_utf8_printable(const char *bytes, size_t count)
{
    const unsigned char *s = (const unsigned char *)bytes;

    for (size_t i = 0, length; i < count; i += length) {
        length = utf8_length(s + i, count - i);
        if (length == 0 || breaks_text(s + i, length))
            return false;
    }
    return true;
}

static void put_escaped(struct json_writer *json, const unsigned char *s, size_t bytes)
{
    char   escape[8];
    size_t i = 0;

    while (i < bytes) {
        size_t length = utf8_length(s + i, bytes - i);
        if (length == 0) {
            put(json, "\xef\xbf\xbd", 3);
            i++;
            continue;
        }
        if (s[i] == '"' || s[i] == '\\') {
            escape[0] = '\\';
            escape[1] = (char)s[i];
            put(json, escape, 2);
        } else if (s[i] < 0x20 || s[i] == 0x7f) {
            snprintf(escape, sizeof escape, "\\u%04x", s[i]);
            put(json, escape, 6);
        } else {
            put(json, (const char *)s + i, length);
        }
        i += length;
    }
}

void json_put_string_bytes(struct json_writer *json, const char *value, size_t bytes)
{
    before_value(json);
    put(json, "\"", 1);
    put_escaped(json, (const unsigned char *)value, bytes);
    put(json, "\"", 1);
}

void json_put_string(struct json_writer *json, const char *value)
{
    if (value == NULL)
        json_put_null(json);
    else
        json_put_string_bytes(json, value, strlen(value));
}

void json_put_pair(struct json_writer *json, const char *key, const char *value)
{
    json_key(json, key);
    json_put_string(json, value);
}

void json_key(struct json_writer *json, const char *key)
{
    json_put_string(json, key);
    put(json, ":", 1);
    json->needs_comma = false;
}

void json_put_int(struct json_writer *json, int64_t value)
{
    char text[24];
    int  used = snprintf(text, sizeof text, "%" PRId64, value);

    before_value(json);
    put(json, text, (size_t)used);
}

void json_put_uint(struct json_writer *json, uint64_t value)
{
    char text[24];
    int  used = snprintf(text, sizeof text, "%" PRIu64, value);

    before_value(json);
    put(json, text, (size_t)used);
}

void json_put_fixed(struct json_writer *json, double value, int decimals)
{
    char text[64];
    int  used;

    if (!isfinite(value) || fabs(value) > 1e18) {
        json_put_null(json);
        return;
    }
    used = snprintf(text, sizeof text, "%.*f", decimals, value);
    if (decimals > 0) {
        while (text[used - 1] == '0')
            used--;
        if (text[used - 1] == '.')
            used--;
    }
    if (used == 2 && text[0] == '-' && text[1] == '0') {
        text[0] = '0';
        used    = 1;
    }
    before_value(json);
    put(json, text, (size_t)used);
}

void json_put_bool(struct json_writer *json, bool value)
{
    before_value(json);
    put(json, value ? "true" : "false", value ? 4 : 5);
}

void json_put_null(struct json_writer *json)
{
    before_value(json);
    put(json, "null", 4);
}

void json_put_raw(struct json_writer *json, const char *value, size_t bytes)
{
    before_value(json);
    put(json, value, bytes);
}
