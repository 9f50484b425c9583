#include "server/camera/http_source.h"

#include <stdlib.h>
#include <string.h>

#include "config/clock.h"
#include "config/err.h"

#define LIVE_PIECES      2 /* before the end that a live stream is entered */
#define CLOCK_JUMP_NS    (10 * NS_PER_S)
#define PICTURES_AT_ONCE 4 /* then others of the loop have their turn */

void http_hls_close(struct http_source *http)
{
    struct http_hls *hls = &http->hls;

    hls_segment_close(&hls->piece);
    av_packet_free(&hls->packet);
    free(hls->playlist);
    free(hls->map);
    free(hls->next);
}

static void fail(struct http_source *http, int code, const char *reason)
{
    http_source_end(
        http, code == ERR_DENIED || code == ERR_UNSUPPORTED ? SOURCE_END_REFUSED : SOURCE_END_ERROR,
        reason);
}

static void fetch(struct http_source *http, const char *uri, enum http_wait wait)
{
    struct camera_url url;
    struct why        why = {""};
    int               rc  = camera_http_resolve(&http->hls.playlist_url, uri, &url, &why);

    if (rc != 0)
        fail(http, rc, why.text);
    else
        http_source_get(http, &url, wait);
}

/* ---- playlists ---- */

static void take_pieces(struct http_hls *hls)
{
    const struct hls_playlist *playlist = hls->playlist;
    int                        first    = 0;

    if (playlist->map[0] != '\0' && strcmp(playlist->map, hls->map_uri) != 0) {
        memcpy(hls->map_uri, playlist->map, sizeof hls->map_uri);
        hls->map_bytes = 0;
    }
    if (playlist->count == 0)
        return;
    /* Another stream under the same name: from its end. */
    if (hls->next_sequence > playlist->segments[playlist->count - 1].sequence + HLS_SEGMENTS)
        hls->next_sequence = -1;
    if (hls->next_sequence < 0 && !playlist->ended && playlist->count > LIVE_PIECES)
        first = playlist->count - LIVE_PIECES;
    for (int i = first; i < playlist->count && hls->queued < HTTP_HLS_QUEUE; i++) {
        if (playlist->segments[i].sequence < hls->next_sequence)
            continue;
        memcpy(hls->queue[hls->queued++], playlist->segments[i].uri, LIMIT_URL_BYTES);
        hls->next_sequence = playlist->segments[i].sequence + 1;
    }
    hls->ended = playlist->ended &&
                 hls->next_sequence > playlist->segments[playlist->count - 1].sequence;
}

static void on_playlist(struct http_source *http)
{
    struct http_hls *hls = &http->hls;
    struct why       why = {""};
    int              rc;

    if (hls->playlist == NULL && (hls->playlist = malloc(sizeof *hls->playlist)) == NULL) {
        fail(http, ERR_MEMORY, "out of memory");
        return;
    }
    camera_http_narrow(http->http);
    hls->playlist_url = http->from;
    hls->fetched_ns   = clock_monotonic_ns();
    rc = hls_playlist_read(hls->playlist, (const char *)http->body, http->body_bytes, &why);
    if (rc != 0) {
        fail(http, rc, why.text);
    } else if (hls->playlist->is_master) {
        fetch(http, hls->playlist->variant, HTTP_PLAYLIST);
    } else {
        hls->target_s = hls->playlist->target_s;
        take_pieces(hls);
        http_hls_tick(http);
    }
}

/* ---- pieces ---- */

static void on_piece(struct http_source *http)
{
    struct http_hls *hls   = &http->hls;
    size_t           bytes = hls->map_bytes + http->body_bytes;

    if ((hls->next = malloc(bytes > 0 ? bytes : 1)) == NULL) {
        fail(http, ERR_MEMORY, "out of memory");
        return;
    }
    if (hls->map_bytes > 0)
        memcpy(hls->next, hls->map, hls->map_bytes);
    memcpy(hls->next + hls->map_bytes, http->body, http->body_bytes);
    hls->next_bytes = bytes;
    http_hls_tick(http);
}

static void on_map(struct http_source *http)
{
    struct http_hls *hls = &http->hls;

    free(hls->map);
    hls->map_bytes = 0;
    if ((hls->map = malloc(http->body_bytes > 0 ? http->body_bytes : 1)) == NULL) {
        fail(http, ERR_MEMORY, "out of memory");
        return;
    }
    memcpy(hls->map, http->body, http->body_bytes);
    hls->map_bytes = http->body_bytes;
    http_hls_tick(http);
}

void http_hls_fetched(struct http_source *http)
{
    if (http->wait == HTTP_PLAYLIST)
        on_playlist(http);
    else if (http->wait == HTTP_MAP)
        on_map(http);
    else
        on_piece(http);
}

/* The stream, when it is new or another one. */
static void tell_stream(struct http_source *http)
{
    struct http_hls         *hls        = &http->hls;
    const AVCodecParameters *parameters = hls_segment_parameters(hls->piece);

    if (http->streaming && hls->codec == parameters->codec_id &&
        hls->extradata_bytes == parameters->extradata_size)
        return;
    http->streaming      = true;
    hls->codec           = parameters->codec_id;
    hls->extradata_bytes = parameters->extradata_size;
    http->events.stream(http->events.arg, parameters, hls_segment_time_base(hls->piece),
                        hls_segment_rate(hls->piece));
}

static void begin_piece(struct http_source *http)
{
    struct http_hls *hls  = &http->hls;
    uint8_t         *data = hls->next;
    struct why       why  = {""};
    int              rc;

    hls->next = NULL;
    rc        = hls_segment_open(&hls->piece, data, hls->next_bytes, &why);
    if (rc != 0)
        fail(http, rc, why.text);
    else
        tell_stream(http);
}

static int64_t packet_ns(const struct http_hls *hls)
{
    int64_t stamp = hls->packet->dts != AV_NOPTS_VALUE ? hls->packet->dts : hls->packet->pts;

    return stamp == AV_NOPTS_VALUE ? 0
                                   : av_rescale_q(stamp, hls_segment_time_base(hls->piece),
                                                  (AVRational){1, (int)NS_PER_S});
}

/* How long until the packet in hand is due. Pieces come at once, their pictures in their own time. */
static int64_t due_in_ns(struct http_hls *hls)
{
    int64_t now_ns = clock_monotonic_ns(), at_ns = packet_ns(hls);
    int64_t due_ns = hls->started_ns + at_ns - hls->first_dts_ns;

    if (hls->started_ns == 0 || due_ns > now_ns + CLOCK_JUMP_NS ||
        due_ns < now_ns - CLOCK_JUMP_NS) {
        hls->started_ns   = now_ns;
        hls->first_dts_ns = at_ns;
        return 0;
    }
    return due_ns - now_ns;
}

/* Gives out what is due. False: it waits for a time, or is over. */
static bool play_some(struct http_source *http)
{
    struct http_hls *hls = &http->hls;

    for (int i = 0; i < PICTURES_AT_ONCE && !http->ended; i++) {
        int64_t left_ns;

        if (hls->packet->size == 0 && !hls_segment_next(hls->piece, hls->packet)) {
            hls_segment_close(&hls->piece);
            return true;
        }
        if ((left_ns = due_in_ns(hls)) > 0) {
            http_source_wait(http, left_ns);
            return false;
        }
        http->counters.packets++;
        http->events.packet(http->events.arg, hls->packet, clock_wall_ns());
        av_packet_unref(hls->packet);
    }
    http_source_wait(http, 0);
    return false;
}

/* One thing is fetched at a time: what is missing first. False: nothing is. */
static bool fetch_more(struct http_source *http)
{
    struct http_hls *hls = &http->hls;
    int64_t          age_ns;

    if (http->fetching || hls->next != NULL)
        return false;
    if (hls->queued > 0 && hls->map_uri[0] != '\0' && hls->map_bytes == 0) {
        fetch(http, hls->map_uri, HTTP_MAP);
        return true;
    }
    if (hls->queued > 0) {
        char uri[LIMIT_URL_BYTES];

        memcpy(uri, hls->queue[0], sizeof uri);
        memmove(hls->queue[0], hls->queue[1], (size_t)(--hls->queued) * LIMIT_URL_BYTES);
        fetch(http, uri, HTTP_PIECE);
        return true;
    }
    age_ns = clock_monotonic_ns() - hls->fetched_ns;
    if (hls->ended || (double)age_ns < hls->target_s / 2 * 1e9)
        return false;
    http_source_get(http, &hls->playlist_url, HTTP_PLAYLIST);
    return true;
}

void http_hls_tick(struct http_source *http)
{
    struct http_hls *hls = &http->hls;

    if (hls->packet == NULL && (hls->packet = av_packet_alloc()) == NULL) {
        fail(http, ERR_MEMORY, "out of memory");
        return;
    }
    for (;;) {
        if (!http->ended)
            fetch_more(http);
        if (http->ended)
            return;
        if (hls->piece == NULL && hls->next != NULL) {
            begin_piece(http);
        } else if (hls->piece == NULL && hls->ended && !http->fetching && hls->queued == 0) {
            http_source_end(http, SOURCE_END_CLOSED, "the stream is over");
        } else if (hls->piece == NULL) {
            http_source_wait(http, (int64_t)(hls->target_s / 4 * 1e9)); /* for the playlist */
            return;
        } else if (!play_some(http)) {
            return;
        }
    }
}
