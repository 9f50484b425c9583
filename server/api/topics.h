/* server/api/topics.h: what a client may say on the WebSocket, read and checked. Pure functions. */
#ifndef SIGHTLINE_SERVER_API_TOPICS_H
#define SIGHTLINE_SERVER_API_TOPICS_H

#include "config/limits.h"
#include "config/why.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum topic_kind { TOPIC_EVENTS, TOPIC_COUNTS, TOPIC_HEALTH, TOPIC_TRACKS, TOPIC_VIDEO };

struct topic {
    enum topic_kind kind;
    char            camera[LIMIT_NAME_BYTES]; /* TOPIC_TRACKS, TOPIC_VIDEO; else empty */
};

#define TOPIC_NAME_BYTES (LIMIT_NAME_BYTES + 16)

/* "events", "counts", "health", "tracks/NAME", "video/NAME". ERR_INVALID, ERR_NOT_FOUND. */
int  topic_parse(struct topic *topic, const char *name, size_t bytes, struct why *why);
void topic_name(const struct topic *topic, char name[static TOPIC_NAME_BYTES]);

enum client_verb { CLIENT_SUBSCRIBE, CLIENT_UNSUBSCRIBE };

struct client_message {
    enum client_verb verb;
    bool             since_given;
    uint64_t         since;
    bool             h264; /* can show it */
    bool             main; /* of video: the main stream, where there is one */
    int              topic_count;
    struct topic     topics[LIMIT_SUBSCRIPTIONS];
};

/* ERR_INVALID with a reason for anything that protocol.md does not describe: broken JSON, deeper than
 * 16 levels, unknown or doubled members, wrong types, more than LIMIT_SUBSCRIPTIONS topics. */
int client_message_parse(struct client_message *message, const char *text, size_t bytes,
                         struct why *why);

/* So many messages a second may a client send, and so many at once after a pause. */
#define CLIENT_MESSAGES_PER_S 20
struct message_rate {
    double  tokens;
    int64_t at_ns;
};
/* False when this message is one too many. */
bool message_rate_allows(struct message_rate *rate, int64_t now_ns);

#endif
