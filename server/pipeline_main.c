/* The main streams of the pipeline's cameras: what is shown to those who look at one large. */
#include "server/pipeline_inside.h"

static int index_of(const struct pipeline_camera *camera)
{
    const struct pipeline *pipeline = camera->pipeline;

    for (int i = 0; i < pipeline->count; i++) {
        if (pipeline->cameras[i] == camera)
            return i;
    }
    return -1;
}

static void on_unit(void *arg, struct camera_unit *unit, int64_t shift_ns)
{
    const struct pipeline_camera *camera = arg;
    const struct pipeline_output *output = &camera->pipeline->settings.output;
    int                           index  = index_of(camera);

    if (index >= 0 && output->main_unit != NULL)
        output->main_unit(output->arg, index, unit, shift_ns);
}

static void on_changed(void *arg)
{
    const struct pipeline_camera *camera = arg;
    const struct pipeline_output *output = &camera->pipeline->settings.output;
    int                           index  = index_of(camera);

    if (index >= 0 && output->main_changed != NULL)
        output->main_changed(output->arg, index);
}

int pipeline_open_main(struct pipeline_camera *camera, struct why *why)
{
    const struct main_stream_settings settings = {
        .loop    = camera->pipeline->settings.loop,
        .pool    = camera->pipeline->decode_pool,
        .camera  = &camera->settings,
        .other   = camera->camera,
        .all     = &camera->pipeline->main_streams,
        .arg     = camera,
        .unit    = on_unit,
        .changed = on_changed,
    };

    if (camera->settings.view.url[0] == '\0')
        return 0;
    return main_stream_open(&camera->main_stream, &settings, why);
}

struct main_stream *pipeline_main_stream(const struct pipeline *pipeline, int index)
{
    return pipeline->cameras[index]->main_stream;
}

const struct main_streams *pipeline_main_streams(const struct pipeline *pipeline)
{
    return &pipeline->main_streams;
}
