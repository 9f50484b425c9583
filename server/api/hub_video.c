/* Live pictures: who sees which kind of them, and who is skipped on to the next key frame. */
#include "server/api/hub_inside.h"

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

static void queue_unit(struct subscription *subscription, struct camera_unit *unit)
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
    *place = (struct queued_unit){camera_unit_ref(unit), subscription->channel};
    client->video_bytes += unit->bytes;
    client_ask(client);
}

static void offer_unit(struct subscription *subscription, struct camera_unit *unit)
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
    queue_unit(subscription, unit);
}

void hub_unit(struct hub *hub, int camera_index, struct camera_unit *unit)
{
    for (struct hub_camera *camera = hub->cameras; camera != NULL; camera = camera->next) {
        if (camera->index != camera_index)
            continue;
        memcpy(camera->codec[unit->video], unit->codec, sizeof unit->codec);
        for (struct subscription *subscription = camera->subscriptions; subscription != NULL;
             subscription                      = subscription->camera_next)
            offer_unit(subscription, unit);
        return;
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

void hub_video_refresh(struct hub_camera *camera)
{
    struct hub       *hub   = camera->hub;
    unsigned          kinds = 0;
    enum camera_video own;

    if (hub->closing) /* the cameras may be gone already */
        return;
    own = own_video(hub, camera);
    for (struct subscription *subscription = camera->subscriptions; subscription != NULL;
         subscription                      = subscription->camera_next) {
        enum camera_video video = CAMERA_VIDEO_JPEG;
        if (subscription->topic.kind != TOPIC_VIDEO)
            continue;
        if (subscription->h264 && own == CAMERA_VIDEO_H264)
            video = CAMERA_VIDEO_H264;
        if (video != subscription->video) {
            subscription->video     = video;
            subscription->needs_key = true;
            client_drop_video(subscription->client, subscription->channel);
        }
        kinds |= 1U << video;
    }
    if (kinds == camera->wanted)
        return;
    camera->wanted = kinds;
    if (camera->index >= 0)
        hub->settings.house->want_video(hub->settings.house->arg, camera->index, kinds);
}

/* ---- joining ---- */

static void replay(void *arg, struct camera_unit *unit)
{
    offer_unit(arg, unit);
}

void hub_video_begin(struct subscription *subscription)
{
    struct hub_camera      *camera = subscription->camera;
    const struct api_house *house  = subscription->client->hub->settings.house;
    unsigned                before = camera->wanted;

    subscription->needs_key = true;
    subscription->since_ns  = clock_monotonic_ns();
    hub_video_refresh(camera);
    /* The first viewer of a kind gets what is held through hub_unit(), as the camera begins to send. */
    if (camera->index >= 0 && (before & (1U << subscription->video)) != 0)
        house->replay_units(house->arg, camera->index, replay, subscription);
}
