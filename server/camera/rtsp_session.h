/* server/camera/rtsp_session.h: the requests and replies of one RTSP session. Inside of the RTSP source
 * only: source_rtsp.c has its connection, its timers and its end; rtsp_session.c what is said. */
#ifndef SIGHTLINE_SERVER_CAMERA_RTSP_SESSION_H
#define SIGHTLINE_SERVER_CAMERA_RTSP_SESSION_H

#include "server/camera/camera_url.h"
#include "server/camera/rtsp_auth.h"
#include "server/camera/rtsp_link.h"
#include "server/camera/rtsp_media.h"
#include "server/camera/rtsp_message.h"
#include "server/camera/rtsp_reply.h"
#include "server/camera/rtsp_timeouts.h"
#include "server/camera/sdp.h"
#include "server/camera/source.h"

/* What is under way. */
enum step { STEP_CONNECT, STEP_OPTIONS, STEP_DESCRIBE, STEP_SETUP, STEP_PLAY, STEP_PLAYING };

struct rtsp_source {
    struct source           base;
    struct source_events    events;
    struct rtsp_timeouts    timeouts;
    uv_loop_t              *loop;
    struct camera_url       url; /* with user and password */
    unsigned                reach;
    unsigned                redirects;
    enum settings_transport transport;
    bool                    tcp_refused; /* by 461 */
    bool                    udp_useless; /* refused, or no packet came */
    bool                    tls_unverified;
    char                    tls_fingerprint[SETTINGS_FINGERPRINT_BYTES];
    char                    request_url[LIMIT_URL_BYTES];
    char                    setup_url[RTSP_URL_BYTES], play_url[RTSP_URL_BYTES];
    struct rtsp_link       *link;
    struct rtsp_parser      parser;
    uv_timer_t              deadline, tick;
    int                     timers_open;
    bool                    ended; /* told, or closed: no more events */
    enum step               step;
    const char             *method; /* of the request under way; NULL: none */
    unsigned                sequence;
    unsigned                strays;
    struct rtsp_auth        auth;
    bool                    auth_sent;     /* the request under way had an Authorization */
    bool                    auth_retried;  /* and it was sent twice */
    bool                    auth_accepted; /* some request of this connection was */
    bool                    get_parameter; /* the camera knows GET_PARAMETER */
    struct rtsp_setup       setup;
    bool                    in_session;
    struct sdp_video        video;
    struct rtsp_media      *media;
    struct rtsp_moment      now;       /* of the bytes in hand */
    bool                    streaming; /* stream() was told */
    int64_t                 playing_ns, kept_alive_ns;
};

/* ---- rtsp_session.c ---- */

/* One request; 0 or a code. */
int rtsp_session_send(struct rtsp_source *rtsp, const char *method, const char *url,
                      const char *headers);
/* The request of the step, now or again; while it plays: the keep-alive. */
void     rtsp_session_request(struct rtsp_source *rtsp);
void     rtsp_session_go(struct rtsp_source *rtsp, enum step step);
void     rtsp_session_response(struct rtsp_source *rtsp, const struct rtsp_message *reply);
void     rtsp_session_asked(struct rtsp_source *rtsp, const struct rtsp_message *request);
unsigned rtsp_session_keep_alive_ms(const struct rtsp_source *rtsp);

/* ---- source_rtsp.c ---- */

/* Tells it, once, without credentials. */
__attribute__((format(printf, 3, 4))) void
     rtsp_source_end(struct rtsp_source *rtsp, enum source_end how, const char *format, ...);
void rtsp_source_progress(void *arg, const char *step);
/* Another connection: to where the camera sends us, or for the other transport. */
void rtsp_source_start_over(struct rtsp_source *rtsp);
void rtsp_source_on_deadline(uv_timer_t *timer);
void rtsp_source_on_tick(uv_timer_t *timer);
void rtsp_source_on_unit(void *arg, AVPacket *packet, int64_t wall_ns);
void rtsp_source_on_media_failed(void *arg, int code);

#endif
