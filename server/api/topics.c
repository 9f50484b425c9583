#include "server/api/topics.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "config/err.h"

#define MAX_DEPTH 16

/* jansson recurses per level: what is deeper is refused before it begins. */
static bool depth_is_good(const char *text, size_t bytes)
{
    bool in_string = false;
    int  depth     = 0;

    for (size_t i = 0; i < bytes; i++) {
        if (in_string && text[i] == '\\')
            i++;
        else if (text[i] == '"')
            in_string = !in_string;
        else if (!in_string && (text[i] == '{' || text[i] == '[') && ++depth > MAX_DEPTH)
            return false;
        else if (!in_string && (text[i] == '}' || text[i] == ']'))
            depth--;
    }
    return true;
}

int topic_parse(struct topic *topic, const char *name, size_t bytes, struct why *why)
{
    static const struct {
        const char     *text;
        enum topic_kind kind;
        bool            of_camera; /* the text is a prefix */
    } kinds[] = {{"events", TOPIC_EVENTS, false},
                 {"counts", TOPIC_COUNTS, false},
                 {"health", TOPIC_HEALTH, false},
                 {"tracks/", TOPIC_TRACKS, true},
                 {"video/", TOPIC_VIDEO, true}};

    memset(topic, 0, sizeof *topic);
    if (memchr(name, '\0', bytes) != NULL)
        return why_set(why, ERR_INVALID, "a topic holds a NUL");
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        size_t length = strlen(kinds[i].text);
        if (bytes < length || memcmp(name, kinds[i].text, length) != 0 ||
            (!kinds[i].of_camera && bytes != length))
            continue;
        topic->kind = kinds[i].kind;
        if (kinds[i].of_camera && (bytes == length || bytes - length >= LIMIT_NAME_BYTES))
            return why_set(why, ERR_INVALID, "the camera's name must have 1 to %d bytes",
                           LIMIT_NAME_BYTES - 1);
        memcpy(topic->camera, name + length, bytes - length);
        return 0;
    }
    return why_set(why, ERR_NOT_FOUND, "there is no such topic");
}

void topic_name(const struct topic *topic, char name[static TOPIC_NAME_BYTES])
{
    static const char *const names[] = {"events", "counts", "health", "tracks/", "video/"};

    snprintf(name, TOPIC_NAME_BYTES, "%s%s", names[topic->kind], topic->camera);
}

static int read_topics(struct client_message *message, const json_t *topics, struct why *why)
{
    size_t  i;
    json_t *item;

    if (!json_is_array(topics))
        return why_set(why, ERR_INVALID, "topics must be a list");
    if (json_array_size(topics) > LIMIT_SUBSCRIPTIONS)
        return why_set(why, ERR_INVALID, "at most %d topics at a time", LIMIT_SUBSCRIPTIONS);
    json_array_foreach(topics, i, item)
    {
        struct why reason = {0};
        int        rc;
        if (!json_is_string(item))
            return why_set(why, ERR_INVALID, "a topic must be a text");
        rc = topic_parse(&message->topics[message->topic_count], json_string_value(item),
                         json_string_length(item), &reason);
        if (rc != 0)
            return why_set(why, rc, "%.64s: %s", json_string_value(item), reason.text);
        message->topic_count++;
    }
    return 0;
}

static int read_member(struct client_message *message, const char *key, const json_t *value,
                       struct why *why)
{
    bool subscribe = message->verb == CLIENT_SUBSCRIBE;

    if (strcmp(key, "type") == 0)
        return 0;
    if (strcmp(key, "topics") == 0)
        return read_topics(message, value, why);
    if (strcmp(key, "since") == 0 && subscribe) {
        if (!json_is_integer(value) || json_integer_value(value) < 0)
            return why_set(why, ERR_INVALID, "since must be a number from 0");
        message->since_given = true;
        message->since       = (uint64_t)json_integer_value(value);
        return 0;
    }
    if (strcmp(key, "video") == 0 && subscribe) {
        const char *video = json_string_value(value);
        if (video == NULL || (strcmp(video, "h264") != 0 && strcmp(video, "jpeg") != 0))
            return why_set(why, ERR_INVALID, "video must be \"h264\" or \"jpeg\"");
        message->h264 = strcmp(video, "h264") == 0;
        return 0;
    }
    if (strcmp(key, "stream") == 0 && subscribe) {
        const char *stream = json_string_value(value);
        if (stream == NULL || (strcmp(stream, "main") != 0 && strcmp(stream, "sub") != 0))
            return why_set(why, ERR_INVALID, "stream must be \"main\" or \"sub\"");
        message->main = strcmp(stream, "main") == 0;
        return 0;
    }
    return why_set(why, ERR_INVALID, "there is no member \"%.64s\" here", key);
}

static int read_message(struct client_message *message, json_t *root, struct why *why)
{
    const char *type = json_string_value(json_object_get(root, "type"));
    const char *key;
    json_t     *value;
    int         rc;

    if (type == NULL)
        return why_set(why, ERR_INVALID, "a message needs a \"type\"");
    if (strcmp(type, "subscribe") == 0)
        message->verb = CLIENT_SUBSCRIBE;
    else if (strcmp(type, "unsubscribe") == 0)
        message->verb = CLIENT_UNSUBSCRIBE;
    else
        return why_set(why, ERR_INVALID, "the type must be \"subscribe\" or \"unsubscribe\"");
    if (json_object_get(root, "topics") == NULL)
        return why_set(why, ERR_INVALID, "\"topics\" is missing");
    json_object_foreach(root, key, value)
    {
        rc = read_member(message, key, value, why);
        if (rc != 0)
            return rc;
    }
    return 0;
}

int client_message_parse(struct client_message *message, const char *text, size_t bytes,
                         struct why *why)
{
    json_error_t error;
    json_t      *root;
    int          rc;

    memset(message, 0, sizeof *message);
    if (!depth_is_good(text, bytes))
        return why_set(why, ERR_INVALID, "the message is nested deeper than %d levels", MAX_DEPTH);
    root = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
    if (root == NULL)
        return why_set(why, ERR_INVALID, "not JSON: %s (column %d)", error.text, error.column);
    rc = json_is_object(root) ? read_message(message, root, why)
                              : why_set(why, ERR_INVALID, "a message must be an object");
    json_decref(root);
    return rc;
}

bool message_rate_allows(struct message_rate *rate, int64_t now_ns)
{
    double passed_s = rate->at_ns == 0 ? 1.0 : (double)(now_ns - rate->at_ns) / 1e9;

    rate->at_ns = now_ns;
    rate->tokens += passed_s * CLIENT_MESSAGES_PER_S;
    if (rate->tokens > CLIENT_MESSAGES_PER_S)
        rate->tokens = CLIENT_MESSAGES_PER_S;
    if (rate->tokens < 1.0)
        return false;
    rate->tokens -= 1.0;
    return true;
}
