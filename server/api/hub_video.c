/* Live pictures: who sees which kind of them, and who is skipped on to the next key frame. */
#include "server/api/hub_inside.h"

#include <stdio.h>
#include <string.h>

#include "config/clock.h"

/* A new viewer may lag by what came since the last key frame; the camera holds that anyway, so the
 * memory is shared by all who join. */
#define JOIN_NS (2 * NS_PER_S)

/* A JPEG stands alone, whatever its maker says. */
static bool is_key(const struct camera_unit *unit)
{
    return unit->key || unit->video == CAMERA_VIDEO_JPEG;
}

void client_drop_video(struct client *client, uint32_t channel)
{
    struct queued_unit kept[HUB_VIDEO_UNITS];
    int                count = 0;

    for (int i = 0; i < client->video_count; i++) {
        struct queued_unit *queued = &client->video[(client->video_first + i) % HUB_VIDEO_UNITS];
        if (channel != 0 && queued->channel != channel) {
            kept[count++] = *queued;
            continue;
        }
        client->video_bytes -= queued->unit->bytes;
        camera_unit_unref(&queued->unit);
    }
    memcpy(client->video, kept, (size_t)count * sizeof kept[0]);
    client->video_first = 0;
    client->video_count = count;
}

static void queue_unit(struct subscription *subscription, struct camera_unit *unit,
                       int64_t shift_ns)
{
    struct client *client  = subscription->client;
    bool           joining = clock_monotonic_ns() - subscription->since_ns < JOIN_NS;
    size_t         limit   = joining ? CAMERA_KEEP_BYTES : LIMIT_WS_QUEUE_BYTES;
    bool           full    = client->video_count == HUB_VIDEO_UNITS ||
                (client->video_count > 0 && client->video_bytes + unit->bytes > limit);
    struct queued_unit *place;

    if (subscription->needs_key && !is_key(unit))
        return;
    if (full) {
        /* What waits is old already; the picture goes on from the next key frame, which may be this one. */
        client->hub->stats.video_units_dropped++;
        client_drop_video(client, subscription->channel);
        subscription->needs_key = true;
        if (!is_key(unit) || client->video_count == HUB_VIDEO_UNITS ||
            (client->video_count > 0 && client->video_bytes + unit->bytes > limit))
            return;
    }
    subscription->needs_key = false;
    place  = &client->video[(client->video_first + client->video_count++) % HUB_VIDEO_UNITS];
    *place = (struct queued_unit){camera_unit_ref(unit), subscription->channel, shift_ns};
    client->video_bytes += unit->bytes;
    client_ask(client);
}

static void offer_unit(struct subscription *subscription, struct camera_unit *unit,
                       int64_t shift_ns)
{
    if (subscription->topic.kind != TOPIC_VIDEO || subscription->video != unit->video ||
        subscription->client->gone || subscription->client->close_code != 0)
        return;
    /* A JPEG stands alone: the newest replaces what waits. */
    if (unit->video == CAMERA_VIDEO_JPEG)
        client_drop_video(subscription->client, subscription->channel);
    if (strncmp(subscription->codec, unit->codec, sizeof subscription->codec) != 0) {
        memcpy(subscription->codec, unit->codec, sizeof subscription->codec);
        hub_answer_subscribed(subscription->client, subscription);
    }
    queue_unit(subscription, unit, shift_ns);
}

static struct hub_camera *camera_at(const struct hub *hub, int index)
{
    struct hub_camera *camera = hub->cameras;

    while (camera != NULL && camera->index != index)
        camera = camera->next;
    return camera;
}

void hub_unit(struct hub *hub, int camera_index, struct camera_unit *unit)
{
    struct hub_camera *camera = camera_at(hub, camera_index);

    if (camera == NULL)
        return;
    memcpy(camera->codec[unit->video], unit->codec, sizeof unit->codec);
    for (struct subscription *subscription = camera->subscriptions; subscription != NULL;
         subscription                      = subscription->camera_next) {
        if (!subscription->on_main)
            offer_unit(subscription, unit, 0);
    }
}

void hub_main_unit(struct hub *hub, int camera_index, struct camera_unit *unit, int64_t shift_ns)
{
    const struct hub_camera *camera = camera_at(hub, camera_index);

    if (camera == NULL)
        return;
    for (struct subscription *subscription = camera->subscriptions; subscription != NULL;
         subscription                      = subscription->camera_next) {
        if (subscription->on_main)
            offer_unit(subscription, unit, shift_ns);
    }
}

/* ---- which kind ---- */

static enum camera_video own_video(const struct hub *hub, const struct hub_camera *camera)
{
    const struct api_house *house = hub->settings.house;
    struct api_camera       state;

    if (camera->index < 0 || !house->camera(house->arg, camera->index, &state))
        return CAMERA_VIDEO_NONE;
    return state.stats.own_video;
}

/* False when the camera has one stream. */
static bool main_of(const struct hub *hub, const struct hub_camera *camera, struct api_main *main)
{
    const struct api_house *house = hub->settings.house;

    return house->main != NULL && camera->index >= 0 &&
           house->main(house->arg, camera->index, main);
}

static bool can_show(const struct subscription *subscription, enum camera_video video)
{
    return video == CAMERA_VIDEO_JPEG || (video == CAMERA_VIDEO_H264 && subscription->h264);
}

/* What its viewer is told about the main stream that he asked for and does not get; "" if he gets it. */
static void write_note(const struct subscription *subscription, const struct api_main *main,
                       char note[static HUB_NOTE_BYTES])
{
    memset(note, 0, HUB_NOTE_BYTES);
    if (main == NULL)
        snprintf(note, HUB_NOTE_BYTES, "the camera has one stream");
    else if (!subscription->h264)
        snprintf(note, HUB_NOTE_BYTES,
                 "the main stream is sent as the camera codes it, and this view takes JPEG");
    else if (subscription->unfit)
        snprintf(note, HUB_NOTE_BYTES, "the main stream is of a kind that this view cannot show");
    else if (!main->shown && main->reason[0] != '\0' && main->state != CAMERA_CONNECTING)
        snprintf(note, HUB_NOTE_BYTES, "the main stream cannot be had: %s", main->reason);
    else if (!main->shown)
        snprintf(note, HUB_NOTE_BYTES, "the main stream is being connected");
}

static bool wants_main(const struct subscription *subscription)
{
    return subscription->topic.kind == TOPIC_VIDEO && subscription->main && subscription->h264 &&
           !subscription->unfit;
}

/* Decides which stream the viewer gets, and of which kind; tells him when that is another one. */
static void choose(struct subscription *subscription, const struct api_main *main,
                   enum camera_video own)
{
    enum camera_video video   = CAMERA_VIDEO_JPEG;
    bool              on_main = false;
    char              note[HUB_NOTE_BYTES];

    if (wants_main(subscription) && main != NULL && main->shown) {
        subscription->unfit = !can_show(subscription, main->video);
        on_main             = !subscription->unfit;
    }
    if (on_main)
        video = main->video;
    else if (subscription->h264 && own == CAMERA_VIDEO_H264)
        video = CAMERA_VIDEO_H264;
    subscription->switched = on_main != subscription->on_main;
    if (video != subscription->video || subscription->switched) {
        subscription->video     = video;
        subscription->on_main   = on_main;
        subscription->needs_key = true;
        client_drop_video(subscription->client, subscription->channel);
    }
    if (subscription->switched)
        subscription->since_ns = clock_monotonic_ns();
    if (!subscription->main)
        return;
    write_note(subscription, main, note);
    if (!subscription->switched && strcmp(note, subscription->note) == 0)
        return;
    memcpy(subscription->note, note, sizeof note);
    hub_answer_subscribed(subscription->client, subscription);
}

static void replay(void *arg, struct camera_unit *unit)
{
    offer_unit(arg, unit, 0);
}

static void replay_main(void *arg, struct camera_unit *unit, int64_t shift_ns)
{
    offer_unit(arg, unit, shift_ns);
}

/* A viewer whose stream is another one goes on with what is held of that. `before`: the kinds of the
 * own stream that came already; the first viewer of a kind gets what is held through hub_unit(), as
 * the camera begins to send. */
static void replay_to(struct subscription *subscription, unsigned before)
{
    const struct hub_camera *camera = subscription->camera;
    const struct api_house  *house  = camera->hub->settings.house;

    if (camera->index < 0)
        return;
    if (subscription->on_main)
        house->replay_main(house->arg, camera->index, replay_main, subscription);
    else if ((before & (1U << subscription->video)) != 0)
        house->replay_units(house->arg, camera->index, replay, subscription);
}

/* Those whose stream has become another one. */
static void replay_switched(struct hub_camera *camera, unsigned before)
{
    for (struct subscription *subscription = camera->subscriptions; subscription != NULL;
         subscription                      = subscription->camera_next) {
        if (subscription->switched)
            replay_to(subscription, before);
        subscription->switched = false;
    }
}

void hub_video_refresh(struct hub_camera *camera)
{
    struct hub             *hub         = camera->hub;
    const struct api_house *house       = hub->settings.house;
    unsigned                before      = camera->wanted;
    unsigned                kinds       = 0;
    bool                    main_wanted = false;
    struct api_main         main;
    enum camera_video       own;
    bool                    has_main;

    if (hub->closing) /* the cameras may be gone already */
        return;
    own      = own_video(hub, camera);
    has_main = main_of(hub, camera, &main);
    for (struct subscription *subscription = camera->subscriptions; subscription != NULL;
         subscription                      = subscription->camera_next) {
        if (subscription->topic.kind != TOPIC_VIDEO)
            continue;
        choose(subscription, has_main ? &main : NULL, own);
        main_wanted = main_wanted || (has_main && wants_main(subscription));
        if (!subscription->on_main)
            kinds |= 1U << subscription->video;
    }
    camera->wanted = kinds;
    if (kinds != before && camera->index >= 0)
        house->want_video(house->arg, camera->index, kinds);
    replay_switched(camera, before);
    if (main_wanted == camera->main_wanted || !has_main)
        return;
    camera->main_wanted = main_wanted;
    house->want_main(house->arg, camera->index, main_wanted);
}

void hub_main_changed(struct hub *hub, int camera_index)
{
    struct hub_camera *camera = camera_at(hub, camera_index);

    if (camera != NULL)
        hub_video_refresh(camera);
}

/* ---- joining ---- */

void hub_video_begin(struct subscription *subscription)
{
    struct hub_camera *camera = subscription->camera;
    unsigned           before = camera->wanted;

    subscription->needs_key = true;
    subscription->since_ns  = clock_monotonic_ns();
    hub_video_refresh(camera);
    if (!subscription->on_main) /* else it got what is held just now */
        replay_to(subscription, before);
}
