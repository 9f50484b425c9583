/* server/api/documents.h: the JSON objects of protocol.md, as HTTP and the WebSocket both send them. */
#ifndef SIGHTLINE_SERVER_API_DOCUMENTS_H
#define SIGHTLINE_SERVER_API_DOCUMENTS_H

#include "config/json_writer.h"
#include "server/api/api.h"

#define DOCUMENT_PROBLEMS 64

/* What ready, health and the metrics say about the whole server. */
struct server_status {
    const char        *text;  /* "ready", "degraded", "not_ready" */
    bool               ready; /* false with "not_ready" */
    int                problem_count;
    struct api_problem problems[DOCUMENT_PROBLEMS];
};
void document_read_status(struct server_status *status, const struct api_house *house);

void document_status(struct json_writer *json, const struct server_status *status,
                     bool with_problems);
void document_cameras(struct json_writer *json, const struct api_house *house);
/* {"status","problems","cameras"} of the topic "health". */
void document_health(struct json_writer *json, const struct api_house *house);

/* Begin, any number of counters, end. */
void document_counts_begin(struct json_writer *json, uint64_t seq);
void document_counter(struct json_writer *json, const struct live_counter *counter, bool zone);
void document_counts_end(struct json_writer *json);
/* True for a zone. What the configuration does not know (any more) is told by its figures. */
bool document_is_zone(const struct api_house *house, const struct live_counter *counter);

void document_bucket(struct json_writer *json, const struct rollup *rollup, bool zone,
                     int64_t length_s, int64_t now_s);

/* {"pts_ms","width","height","tracks"} of the topic "tracks/...". */
void document_tracks(struct json_writer *json, const struct frame *frame,
                     const struct track *tracks, int count);

/* "2026-11-21T03:04:05.678Z" as a value. */
void document_time(struct json_writer *json, int64_t wall_ns);

#endif
