/* server/api/hub_inside.h: what the hub's files share.
 *
 *   hub.c        the context, clients coming and going, what they say, time
 *   hub_topics.c subscriptions, and the newest state of every topic
 *   hub_video.c  pictures: who sees which kind, and who is skipped on
 *   hub_send.c   what is due to a client, and the writing of it */
#ifndef SIGHTLINE_SERVER_API_HUB_INSIDE_H
#define SIGHTLINE_SERVER_API_HUB_INSIDE_H

#include "config/json_writer.h"
#include "server/api/hub.h"
#include "server/api/topics.h"

#include <libwebsockets.h>

/* What one write hands to libwebsockets. It keeps a copy of what the socket did not take, so this is
 * its share of a slow client's memory; and the least that such a client must take in behind_ms. */
#define HUB_CHUNK_BYTES   (16 << 10)
#define HUB_VIDEO_UNITS   512 /* pictures queued for one client; the bytes bind first */
#define HUB_VIDEO_HEADER  28  /* protocol.md */
#define HUB_EVENT_RING    256 /* events kept as text: clients that are up to date share it */
#define HUB_EVENT_PAGE    32
#define HUB_MESSAGE_BYTES (64 << 20) /* all counters of a full server */
#define HUB_CODEC_BYTES   32
#define HUB_NOTE_BYTES    (CAMERA_REASON_BYTES + 64)

/* A message as text; counted, as several clients may be in the middle of it. */
struct hub_text {
    int    references;
    size_t bytes;
    char   data[];
};

struct hub_camera;

struct subscription {
    struct topic         topic;
    struct client       *client;
    struct hub_camera   *camera;   /* tracks, video; else NULL */
    uint64_t             seen;     /* version that the client has; 0: none */
    uint32_t             channel;  /* video */
    bool                 h264;     /* video: the client can show it */
    bool                 main;     /* video: it asks for the main stream */
    bool                 on_main;  /* and that is what it gets now */
    bool                 switched; /* while a change is being made: it was another stream */
    bool                 unfit;    /* the main stream is of a kind that it cannot show */
    enum camera_video    video;    /* what it gets now */
    bool                 needs_key;
    int64_t              since_ns;
    char                 codec[HUB_CODEC_BYTES]; /* as the client was told */
    char                 note[HUB_NOTE_BYTES];   /* why it is not the main stream; likewise */
    struct subscription *next;                   /* of the client */
    struct subscription *camera_next, *camera_previous;
};

/* A camera that somebody has subscribed to, by name: indices change with the configuration. */
struct hub_camera {
    char                 name[LIMIT_NAME_BYTES];
    struct hub          *hub;
    int                  index; /* in the house; -1: gone */
    struct subscription *subscriptions;
    uint64_t             tracks_version;
    struct hub_text     *tracks;
    unsigned             wanted;                    /* kinds of video asked for */
    bool                 main_wanted;               /* likewise its main stream */
    char                 codec[4][HUB_CODEC_BYTES]; /* by enum camera_video, of the last picture */
    struct hub_camera   *next;
};

struct queued_unit {
    struct camera_unit *unit;
    uint32_t            channel;
    int64_t             shift_ns; /* added to its time */
};

struct queued_text {
    struct hub_text    *text;
    struct queued_text *next;
};

/* The message that is being written: a text or a picture. */
struct outgoing {
    struct hub_text    *text;
    struct camera_unit *unit;
    uint32_t            channel;
    int64_t             shift_ns;
    size_t              sent_bytes, total_bytes; /* total 0: none */
};

struct client {
    struct hub          *hub;
    struct lws          *wsi;
    struct peer          peer;
    uint64_t             session;
    struct subscription *subscriptions;
    int                  subscription_count;
    bool                 events;
    uint64_t             cursor; /* last event sent */
    uint64_t             cameras_seen;
    uint32_t             last_channel;
    struct queued_text  *answers, *answers_last;
    size_t               answer_bytes;
    struct queued_unit   video[HUB_VIDEO_UNITS]; /* ring */
    int                  video_first, video_count;
    size_t               video_bytes;
    struct outgoing      outgoing;
    char                *incoming;
    size_t               incoming_bytes, incoming_room;
    struct message_rate  rate;
    int64_t              asked_ns; /* monotonic: waits for the socket since; 0: does not */
    int64_t              heard_ns; /* the last sign of life */
    int64_t              pinged_ns;
    bool                 ping_due;
    int64_t              kill_ns;    /* monotonic; 0: not closing */
    bool                 gone;       /* libwebsockets is closing it: no more writes */
    int                  close_code; /* 0: stays */
    char                 close_reason[96];
    struct client       *next, *previous;
};

struct counter_seen {
    uint64_t last_seq;
    uint64_t version;
    uint32_t occupancy[OBJECT_CLASSES];
    bool     zone;
};

struct counts_text {
    uint64_t         from, to;
    struct hub_text *text;
};

struct hub {
    struct hub_settings  settings;
    struct lws_context  *context;
    struct lws_vhost    *vhost;
    uv_timer_t           flush, tick;
    uv_idle_t            reaper; /* while closing: waits for libwebsockets' handles */
    int                  own_handles;
    int64_t              reap_until_ns;
    int                  quiet_turns; /* of the loop, in which nothing was closing */
    bool                 closing;
    struct client       *clients;
    struct client       *arriving; /* while its socket is handed over */
    struct hub_camera   *cameras;
    int                  camera_count;
    struct json_writer   json;
    unsigned char       *chunk; /* LWS_PRE + HUB_CHUNK_BYTES */
    struct hub_text     *ring[HUB_EVENT_RING];
    uint64_t             ring_seq[HUB_EVENT_RING];
    struct event        *page;
    bool                 counts_dirty, health_dirty;
    uint64_t             counts_version;
    struct counter_seen *counters;
    int                  counter_count;
    struct counts_text   counts_text[2]; /* from nothing; from the version before */
    uint64_t             health_version;
    struct hub_text     *health;
    int64_t              health_ns;
    uint64_t             cameras_version;
    struct hub_text     *cameras_text;
    uint64_t             cameras_text_version;
    struct hub_stats     stats;
};

/* hub.c */
struct hub_text *hub_text_ref(struct hub_text *text);
void             hub_text_unref(struct hub_text **text);
/* What json holds; NULL when out of memory or past the limit. */
struct hub_text *hub_text_from(struct json_writer *json);
void             hub_flush_soon(struct hub *hub);
/* Asks for the socket; what is due is found out when it is there. */
void client_ask(struct client *client);
/* Closes with a code and reason as soon as the socket takes it, within behind_ms. */
void client_end(struct client *client, int code, const char *reason);
/* After our close frame: no more writes; killed if it does not leave by itself. */
void client_close_soon(struct client *client);
/* Queues a short answer; takes the reference over. NULL closes the client. */
void client_answer(struct client *client, struct hub_text *text);

/* hub_topics.c */
void hub_handle_message(struct client *client, const char *text, size_t bytes);
void hub_unsubscribe_all(struct client *client);
void hub_refresh(struct hub *hub); /* makes dirty topics new */
/* The beginning of {"topic":...,"seq":...,"ts":...,"data":; the caller ends the object. */
void hub_begin_message(struct json_writer *json, const char *topic, uint64_t seq);
/* The text of the event after `seq`, read from the ledger if nobody did before; NULL if there is none. */
struct hub_text *hub_event_after(struct hub *hub, uint64_t seq);
struct hub_text *hub_counts_since(struct hub *hub, uint64_t version);
struct hub_text *hub_cameras_notice(struct hub *hub);
void             hub_answer_hello(struct client *client);
void hub_answer_subscribed(struct client *client, const struct subscription *subscription);
void hub_free_topics(struct hub *hub);

/* hub_video.c */
void hub_video_begin(struct subscription *subscription);
/* After a change of the subscriptions or of a camera's own kind of video. */
void hub_video_refresh(struct hub_camera *camera);
void client_drop_video(struct client *client, uint32_t channel); /* 0: all */

/* hub_send.c */
bool client_has_due(const struct client *client);
/* Writes while the socket takes it. Non-zero: the connection is to be closed. */
int  client_write(struct client *client);
void outgoing_clear(struct outgoing *outgoing);

#endif
