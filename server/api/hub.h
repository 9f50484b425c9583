/* server/api/hub.h: all WebSocket clients, what they have subscribed to, and what is due to each.
 *
 * Nothing is queued that can be asked for again: `events` is a cursor into the ledger, `counts`, `tracks`,
 * `health` are versions that a client has or has not seen. Only video and short answers wait in a queue, and
 * that is bounded. What is sent to many is written once. Loop thread only. */
#ifndef SIGHTLINE_SERVER_API_HUB_H
#define SIGHTLINE_SERVER_API_HUB_H

#include "config/why.h"
#include "server/api/api.h"
#include "server/api/http_door.h"
#include "server/api/peers.h"

struct hub;

struct hub_settings {
    uv_loop_t              *loop;
    struct ledger          *ledger;
    struct live            *live;
    const struct api_house *house;
    int                     ping_ms, silent_ms, behind_ms;
    void                   *arg;
    void (*left)(void *arg, const struct peer *peer); /* an upgraded connection is gone */
    void (*closed)(void *arg); /* after hub_close(): nothing of the hub is left */
};

int hub_open(struct hub **out, const struct hub_settings *settings, struct why *why);
/* Closes all clients and the hub; `closed` is called from the loop. */
void hub_close(struct hub **hub);

/* Takes the socket of a checked upgrade over. `key`: the 24 characters of Sec-WebSocket-Key; `session`: of the
 * cookie, 0 if none. */
void hub_upgrade(struct hub *hub, int fd, struct http_text key, uint64_t session,
                 const struct peer *peer);
/* Closes the clients of a session that was signed out. */
void hub_end_session(struct hub *hub, uint64_t session);

void hub_event_committed(struct hub *hub, const struct event *event);
void hub_counts_changed(struct hub *hub);
void hub_tracks(struct hub *hub, int camera_index, const struct frame *frame,
                const struct track *tracks, int count);
void hub_unit(struct hub *hub, int camera_index, struct camera_unit *unit);
void hub_main_unit(struct hub *hub, int camera_index, struct camera_unit *unit, int64_t shift_ns);
void hub_main_changed(struct hub *hub, int camera_index);
void hub_health_changed(struct hub *hub);
void hub_cameras_changed(struct hub *hub);

struct hub_stats {
    int      clients;
    int      subscriptions;
    uint64_t opened;
    uint64_t messages_in, messages_out, bytes_out;
    uint64_t video_units_dropped; /* clients that fell behind and were skipped on */
    uint64_t closed_behind, closed_silent, closed_policy, closed_oversized;
};
void hub_stats(const struct hub *hub, struct hub_stats *stats);

#endif
