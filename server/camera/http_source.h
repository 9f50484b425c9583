/* server/camera/http_source.h: what the parts of the HTTP source share. Inside of it only:
 * source_http.c has the connection and the pictures, http_hls.c the playlists and pieces. */
#ifndef SIGHTLINE_SERVER_CAMERA_HTTP_SOURCE_H
#define SIGHTLINE_SERVER_CAMERA_HTTP_SOURCE_H

#include "server/camera/camera_http.h"
#include "server/camera/hls_playlist.h"
#include "server/camera/hls_segment.h"
#include "server/camera/mjpeg_parts.h"
#include "server/camera/source.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

enum http_kind { HTTP_UNKNOWN, HTTP_MJPEG, HTTP_JPEG, HTTP_HLS };
enum http_wait { HTTP_FIRST, HTTP_PLAYLIST, HTTP_MAP, HTTP_PIECE }; /* what is fetched */

#define HTTP_HLS_QUEUE 8 /* pieces that are known and not fetched */

struct http_hls {
    struct camera_url    playlist_url;
    struct hls_playlist *playlist;      /* scratch */
    int64_t              next_sequence; /* -1: none was taken yet */
    bool                 ended;
    double               target_s;
    char                 queue[HTTP_HLS_QUEUE][LIMIT_URL_BYTES];
    int                  queued;
    char                 map_uri[LIMIT_URL_BYTES];
    uint8_t             *map; /* what stands before each piece of fragmented MP4 */
    size_t               map_bytes;
    uint8_t             *next; /* fetched, not begun */
    size_t               next_bytes;
    struct hls_segment  *piece;                    /* played now */
    AVPacket            *packet;                   /* of it, not due yet; empty: none */
    int64_t              first_dts_ns, started_ns; /* the clock of the pictures; 0: not started */
    int64_t              fetched_ns;               /* the playlist */
    enum AVCodecID       codec;
    int                  extradata_bytes;
};

struct http_source {
    struct source          base;
    struct source_events   events;
    uv_loop_t             *loop;
    struct camera_url      url;  /* with user and password */
    struct camera_url      from; /* where the answer came from */
    struct camera_http    *http;
    uv_timer_t             tick;
    enum http_kind         kind;
    enum http_wait         wait;
    bool                   fetching;
    bool                   ended; /* told, or closed */
    bool                   streaming;
    int64_t                period_ns; /* of single pictures */
    int64_t                asked_ns;
    struct mjpeg_parts    *parts;
    AVPacket              *packet;
    uint8_t               *body; /* what is being fetched, but for MJPEG */
    size_t                 body_bytes, body_capacity;
    struct http_hls        hls;
    struct source_counters counters;
};

/* ---- source_http.c ---- */

/* Tells it, once. */
void http_source_end(struct http_source *http, enum source_end how, const char *reason);
/* Begins to fetch, or ends. */
void http_source_get(struct http_source *http, const struct camera_url *url, enum http_wait wait);
/* Waits for so long, then http_hls_tick() or the next picture. */
void http_source_wait(struct http_source *http, int64_t ns);

/* ---- http_hls.c ---- */

/* All of what was waited for is in http->body. */
void http_hls_fetched(struct http_source *http);
void http_hls_tick(struct http_source *http);
void http_hls_close(struct http_source *http);

#endif
