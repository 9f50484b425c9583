#include "server/main_stream.h"

#include "config/clock.h"
#include "config/err.h"
#include "server/camera/camera_url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TICK_MS 1000

struct main_stream {
    struct main_stream_settings settings;
    struct settings_camera      camera; /* as a camera of its own */
    uv_timer_t                  timer;  /* runs while there is a session */
    struct camera              *session;
    bool                        wanted;
    int64_t                     left_ns; /* monotonic, when the last one left */
    bool                        shown;
    bool                        has_shift;
    int64_t                     shift_ns;
    enum camera_video           video;
    char                        problem[CAMERA_REASON_BYTES]; /* why there is no session */
};

/* ---- time ---- */

static int64_t absolute_ns(int64_t ns)
{
    return ns < 0 ? -ns : ns;
}

/* False while one of the two streams does not say its times. */
static bool find_shift(const struct main_stream *main, int64_t *shift_ns)
{
    struct camera_stats own, other;
    int64_t             taken_ns, arrived_ns;

    camera_stats(main->session, &own);
    camera_stats(main->settings.other, &other);
    if (!own.has_lead || !other.has_lead)
        return false;
    taken_ns   = own.wall_lead_ns - other.wall_lead_ns;
    arrived_ns = own.arrival_lead_ns - other.arrival_lead_ns;
    *shift_ns  = absolute_ns(taken_ns - arrived_ns) > MAIN_STREAM_TRUST_MS * NS_PER_MS ? arrived_ns
                                                                                       : taken_ns;
    return true;
}

static void update_shift(struct main_stream *main)
{
    int64_t shift_ns;

    if (!find_shift(main, &shift_ns))
        return;
    if (!main->has_shift ||
        absolute_ns(shift_ns - main->shift_ns) > MAIN_STREAM_STEP_MS * NS_PER_MS)
        main->shift_ns = shift_ns;
    main->has_shift = true;
}

/* ---- the session ---- */

static void end_session(struct main_stream *main)
{
    if (main->session == NULL)
        return;
    uv_timer_stop(&main->timer);
    camera_close(&main->session);
    main->settings.all->open--;
    main->shown     = false;
    main->has_shift = false;
    main->video     = CAMERA_VIDEO_NONE;
}

static void on_changed(void *arg, struct camera *session)
{
    struct main_stream *main = arg;
    struct camera_stats stats;

    if (main->session == NULL) /* it is being opened or closed */
        return;
    camera_stats(session, &stats);
    main->shown = stats.state == CAMERA_STREAMING;
    if (main->shown) {
        main->video = stats.own_video;
        update_shift(main);
    } else {
        main->has_shift = false;
    }
    main->settings.changed(main->settings.arg);
}

static void on_unit(void *arg, struct camera *session, struct camera_unit *unit)
{
    struct main_stream *main = arg;

    (void)session;
    if (main->shown)
        main->settings.unit(main->settings.arg, unit, main->shift_ns);
}

static void on_tick(uv_timer_t *timer)
{
    struct main_stream *main = timer->data;

    if (!main->wanted &&
        clock_monotonic_ns() - main->left_ns >= main->settings.linger_ms * NS_PER_MS) {
        end_session(main);
        main->settings.changed(main->settings.arg);
    } else if (main->shown) {
        update_shift(main);
    }
}

static void begin_session(struct main_stream *main)
{
    struct camera_sink sink = {.arg = main, .changed = on_changed, .unit = on_unit};
    struct why         why  = {""};

    main->problem[0] = '\0';
    if (main->settings.all->open >= MAIN_STREAMS_MAX) {
        main->settings.all->refused++;
        snprintf(main->problem, sizeof main->problem, "%d main streams are watched already",
                 MAIN_STREAMS_MAX);
        return;
    }
    if (camera_open_view(&main->session, main->settings.loop, main->settings.pool, &main->camera,
                         &sink, &why) != 0) {
        camera_url_redact(why.text, main->problem, sizeof main->problem);
        return;
    }
    main->settings.all->open++;
    uv_timer_start(&main->timer, on_tick, TICK_MS, TICK_MS);
    camera_start(main->session, 0);
}

void main_stream_want(struct main_stream *main, bool wanted)
{
    if (main->wanted == wanted)
        return;
    main->wanted = wanted;
    if (!wanted)
        main->left_ns = clock_monotonic_ns();
    else if (main->session == NULL)
        begin_session(main);
    if (wanted && main->session == NULL)
        main->settings.changed(main->settings.arg);
}

/* ---- open and close ---- */

/* The main stream as a camera: with credentials of its own, or with the camera's at the same host. */
static void set_up_camera(struct settings_camera *own, const struct settings_camera *camera)
{
    const struct settings_view *view = &camera->view;
    struct camera_url           url, view_url;
    bool                        same_host = camera_url_parse(&url, camera->url, NULL) == 0 &&
                     camera_url_parse(&view_url, view->url, NULL) == 0 &&
                     strcmp(url.host, view_url.host) == 0;

    *own = *camera;
    memcpy(own->url, view->url, sizeof own->url);
    own->line_count = own->zone_count = 0;
    own->motion.enabled               = false;
    memset(&own->view, 0, sizeof own->view);
    if (view->user[0] == '\0' && view->password.value[0] == '\0' && same_host)
        return;
    memcpy(own->user, view->user, sizeof own->user);
    own->password = view->password;
}

int main_stream_open(struct main_stream **out, const struct main_stream_settings *settings,
                     struct why *why)
{
    struct main_stream *main = calloc(1, sizeof *main);

    *out = NULL;
    if (main == NULL)
        return why_set(why, ERR_MEMORY, "out of memory");
    main->settings = *settings;
    set_up_camera(&main->camera, settings->camera);
    main->settings.camera = NULL; /* it is the caller's */
    if (settings->linger_ms == 0)
        main->settings.linger_ms = MAIN_STREAM_LINGER_MS;
    if (uv_timer_init(settings->loop, &main->timer) != 0) {
        free(main);
        return why_set(why, ERR_IO, "no timer for the main stream");
    }
    main->timer.data = main;
    *out             = main;
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void main_stream_close(struct main_stream **out)
{
    struct main_stream *main = *out;

    if (main == NULL)
        return;
    *out = NULL;
    end_session(main);
    uv_close((uv_handle_t *)&main->timer, on_closed);
}

/* ---- what is told ---- */

void main_stream_state(const struct main_stream *main, struct main_stream_state *state)
{
    struct camera_stats stats;

    *state = (struct main_stream_state){.video = main->video, .shown = main->shown};
    camera_url_redact(main->camera.url, state->source, sizeof state->source);
    if (main->session == NULL) {
        snprintf(state->reason, sizeof state->reason, "%s", main->problem);
        return;
    }
    camera_stats(main->session, &stats);
    state->connected = true;
    state->state     = stats.state;
    state->width_px  = stats.width_px;
    state->height_px = stats.height_px;
    memcpy(state->codec, stats.codec, sizeof state->codec);
    if (!main->shown)
        memcpy(state->reason, stats.reason, sizeof state->reason);
}

struct replay {
    int64_t shift_ns;
    void (*unit)(void *arg, struct camera_unit *unit, int64_t shift_ns);
    void *arg;
};

static void replay_unit(void *arg, struct camera_unit *unit)
{
    struct replay *replay = arg;

    replay->unit(replay->arg, unit, replay->shift_ns);
}

void main_stream_replay(struct main_stream *main,
                        void (*unit)(void *arg, struct camera_unit *unit, int64_t shift_ns),
                        void *arg)
{
    struct replay replay = {main->shift_ns, unit, arg};

    if (main->shown)
        camera_replay_units(main->session, replay_unit, &replay);
}
