/* Adding, changing and removing cameras of the server's own file:
 * {"do":"set_camera","name":"gate","camera":{...}} with the camera as in the configuration,
 * {"do":"change_camera","name":"gate","camera":{...}} with what is to be different alone (and
 * "version", of what was seen: it is refused if that is no more), and
 * {"do":"remove_camera","name":"gate"}. What is sent is read by the configuration's own reader, as a
 * file of one camera. The disk's part runs on a worker; then the settings are read again, as after an
 * edit by hand. One change at a time: each reads what the one before has written. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/err.h"
#include "config/settings_managed.h"
#include "server/camera/camera_url.h"
#include "server/job_upload.h"
#include "server/server.h"
#include "server/uploads.h"

struct camera_edit {
    uv_work_t              work;
    struct job            *job; /* NULL: nobody asks any more */
    struct server         *server;
    char                   file[LIMIT_PATH_BYTES];
    char                   name[LIMIT_NAME_BYTES];
    struct settings_camera camera;
    json_t                *changes; /* change_camera: laid over what is there; else NULL */
    char                   version[SETTINGS_VERSION_BYTES]; /* that was seen; empty: any */
    bool                   removes, has_password;
    char                   claimed[UPLOAD_NAME_BYTES]; /* a video that had no camera yet */
    char                   unused[UPLOAD_NAME_BYTES];  /* one that this camera played before */
    struct why             why;
    int                    rc;
};

/* ---- on the worker ---- */

static int find_camera(const struct settings *settings, const char *name)
{
    for (int i = 0; i < settings->camera_count; i++) {
        if (strcmp(settings->cameras[i].name, name) == 0)
            return i;
    }
    return -1;
}

static bool same_host(const char *a, const char *b)
{
    struct camera_url url_a, url_b;
    struct why        why;

    return camera_url_parse(&url_a, a, &why) == 0 && camera_url_parse(&url_b, b, &why) == 0 &&
           strcmp(url_a.host, url_b.host) == 0;
}

/* A password that was not sent again goes on to hold, for the same user at the same host alone. */
static void keep_password(struct settings_camera *camera, const struct settings_camera *old)
{
    if (strcmp(camera->user, old->user) == 0 && same_host(camera->url, old->url))
        camera->password = old->password;
}

static void keep_view_password(struct settings_view *view, const struct settings_view *old)
{
    if (view->url[0] != '\0' && view->user[0] != '\0' && view->password.value[0] == '\0' &&
        strcmp(view->user, old->user) == 0 && same_host(view->url, old->url))
        view->password = old->password;
}

static size_t place_bytes(const char *text)
{
    const char *end = strstr(text, ": ");

    return end == NULL ? 0 : (size_t)(end - text) + 2;
}

/* The camera as a file of its own, through the reader of the configuration. `data`: the folder with
 * the key of sealed passwords; NULL: there are none in it. */
static int read_camera(struct camera_edit *edit, json_t *camera, const char *data, struct why *why)
{
    struct settings_problems *problems = calloc(1, sizeof *problems);
    json_t                   *file     = json_pack("{s:{s:O}}", "cameras", edit->name, camera);
    char                     *text     = file == NULL ? NULL : json_dumps(file, JSON_COMPACT);
    struct settings          *settings = NULL;
    int                       rc       = ERR_MEMORY;

    json_decref(file);
    if (problems == NULL || text == NULL ||
        settings_load_text(&settings, "{}", 2, "camera", problems) != 0)
        goto done;
    memcpy(settings->managed_file, "camera", sizeof "camera");
    if (data != NULL)
        memcpy(settings->data, data, sizeof settings->data);
    rc = settings_add_managed(settings, text, strlen(text), problems);
    if (rc == 0 && settings->camera_count == 1)
        edit->camera = settings->cameras[0];
    else if (rc != 0) /* without "file:line:column: ", which nobody has written */
        why_set(why, rc, "%s", problems->problem[0].text + place_bytes(problems->problem[0].text));

done:
    if (rc == ERR_MEMORY)
        why_set(why, rc, "out of memory");
    settings_free(&settings);
    free(problems);
    free(text);
    return rc;
}

/* What the file has of this camera, as JSON with its passwords sealed. NULL: no memory. */
static json_t *camera_as_json(const struct settings *settings, int index,
                              const struct sealed_key *key)
{
    struct json_writer json;
    const char        *text;
    size_t             bytes;
    json_t            *root;
    json_t            *camera;

    json_init(&json, LIMIT_FILE_CONFIG_BYTES);
    settings_managed_write(&json, &settings->cameras[index], 1, key);
    text   = json_text(&json, &bytes);
    root   = text == NULL ? NULL : json_loadb(text, bytes, 0, NULL);
    camera = json_incref(
        json_object_get(json_object_get(root, "cameras"), settings->cameras[index].name));
    json_decref(root);
    json_free(&json);
    return camera;
}

/* Lays the changes over the camera: each key of it whole. */
static int lay_over(struct camera_edit *edit, const struct settings *settings, int index)
{
    struct sealed_key key;
    json_t           *camera;
    int               rc = sealed_key_open(&key, settings->data, true, &edit->why);

    if (rc != 0)
        return rc;
    camera = camera_as_json(settings, index, &key);
    sealed_key_forget(&key);
    /* The password belongs to the user and the host that it was given for: see keep_password(). */
    if (json_object_get(edit->changes, "user") != NULL ||
        json_object_get(edit->changes, "ffmpeg") != NULL)
        json_object_del(camera, "password");
    if (camera == NULL || json_object_update(camera, edit->changes) != 0)
        rc = why_set(&edit->why, ERR_MEMORY, "out of memory");
    else
        rc = read_camera(edit, camera, settings->data, &edit->why);
    json_decref(camera);
    edit->has_password = json_object_get(edit->changes, "password") != NULL ||
                         edit->camera.password.value[0] != '\0';
    return rc;
}

/* A video belongs to the camera that was made of it: no other one can name its address. */
static int check_upload(struct camera_edit *edit, const struct settings_camera *old)
{
    char name[UPLOAD_NAME_BYTES];

    if (old != NULL && upload_name_of(old->url, name) &&
        (edit->removes || strcmp(old->url, edit->camera.url) != 0))
        memcpy(edit->unused, name, sizeof edit->unused);
    if (edit->removes || !upload_name_of(edit->camera.url, name) ||
        strcmp(edit->claimed, name) == 0 ||
        (old != NULL && strcmp(old->url, edit->camera.url) == 0))
        return 0;
    return why_set(&edit->why, ERR_NOT_FOUND, "this video is not there: upload it (again)");
}

/* Who changes what he has not seen would undo what another has done. */
static int check_version(const struct camera_edit *edit, const struct settings_camera *now,
                         struct why *why)
{
    if (edit->version[0] == '\0' || strcmp(edit->version, now->version) == 0)
        return 0;
    return why_set(why, ERR_CONFLICT,
                   "camera \"%s\" was changed meanwhile: look at what it is now, and change that",
                   edit->name);
}

static int change(struct camera_edit *edit, struct settings *settings)
{
    int                     index = find_camera(settings, edit->name);
    struct settings_camera *cameras;

    if (index >= 0 && !settings->cameras[index].managed)
        return why_set(&edit->why, ERR_DENIED, "camera \"%s\" stands in %s: change it there",
                       edit->name, settings->file);
    if (index < 0 && (edit->removes || edit->changes != NULL))
        return why_set(&edit->why, ERR_NOT_FOUND, "no camera named %s", edit->name);
    if (edit->changes != NULL) {
        int rc = check_version(edit, &settings->cameras[index], &edit->why);
        if (rc == 0)
            rc = lay_over(edit, settings, index);
        if (rc != 0)
            return rc;
    }
    if (check_upload(edit, index < 0 ? NULL : &settings->cameras[index]) != 0)
        return ERR_NOT_FOUND;
    if (edit->removes) {
        settings->camera_count--;
        memmove(&settings->cameras[index], &settings->cameras[index + 1],
                (size_t)(settings->camera_count - index) * sizeof *settings->cameras);
        return 0;
    }
    if (index >= 0) {
        if (!edit->has_password)
            keep_password(&edit->camera, &settings->cameras[index]);
        keep_view_password(&edit->camera.view, &settings->cameras[index].view);
        settings->cameras[index] = edit->camera;
        return 0;
    }
    if (settings->camera_count == LIMIT_CAMERAS)
        return why_set(&edit->why, ERR_LIMIT, "there are %d cameras already", LIMIT_CAMERAS);
    cameras = realloc(settings->cameras, ((size_t)settings->camera_count + 1) * sizeof *cameras);
    if (cameras == NULL)
        return why_set(&edit->why, ERR_MEMORY, "out of memory");
    settings->cameras                           = cameras;
    settings->cameras[settings->camera_count++] = edit->camera;
    return 0;
}

static int save(struct camera_edit *edit, const struct settings *settings)
{
    struct json_writer json;
    struct sealed_key  key;
    const char        *text;
    size_t             bytes;
    int                rc = sealed_key_open(&key, settings->data, true, &edit->why);

    if (rc != 0)
        return rc;
    json_init(&json, LIMIT_FILE_CONFIG_BYTES);
    settings_managed_write(&json, settings->cameras, settings->camera_count, &key);
    sealed_key_forget(&key);
    text = json_text(&json, &bytes);
    rc   = text == NULL ? why_set(&edit->why, ERR_LIMIT, "%s would be larger than %d KiB",
                                  settings->managed_file, LIMIT_FILE_CONFIG_BYTES >> 10)
                        : settings_managed_save(settings->managed_file, text, bytes, &edit->why);
    json_free(&json);
    return rc;
}

/* The video has its name before the camera that names it is saved; one that was left goes after. */
static int change_files(struct camera_edit *edit, const struct settings *settings)
{
    int rc = edit->claimed[0] == '\0' ? 0 : uploads_keep(settings->data, edit->claimed, &edit->why);

    if (rc == 0)
        rc = save(edit, settings);
    if (rc == 0 && edit->unused[0] != '\0')
        uploads_remove(settings->data, edit->unused);
    return rc;
}

static void on_worker(uv_work_t *work)
{
    struct camera_edit       *edit     = work->data;
    struct settings_problems *problems = calloc(1, sizeof *problems);
    struct settings          *settings = NULL;

    if (problems == NULL) {
        edit->rc = why_set(&edit->why, ERR_MEMORY, "out of memory");
        return;
    }
    edit->rc = settings_load(&settings, edit->file, problems);
    if (edit->rc != 0) {
        edit->why = problems->problem[0];
        why_prefix(&edit->why, "nothing can be changed while the configuration has a mistake");
    } else if ((edit->rc = change(edit, settings)) == 0) {
        edit->rc = change_files(edit, settings);
    }
    settings_free(&settings);
    free(problems);
}

/* ---- on the loop ---- */

static void on_saved(uv_work_t *work, int status)
{
    struct camera_edit *edit = work->data;
    struct job         *job  = edit->job;

    edit->server->camera_edit = NULL;
    if (status != 0)
        edit->rc = why_set(&edit->why, ERR_CLOSED, "the server is stopping");
    if (edit->rc == 0)
        reload_now(edit->server);
    else if (edit->claimed[0] != '\0' && edit->server->jobs != NULL)
        upload_release(edit->server->jobs, edit->claimed);
    if (job != NULL) {
        job->work = NULL;
        if (edit->rc == 0)
            job_done(job);
        else
            job_failed(job, &edit->why);
    }
    memset(&edit->camera.password, 0, sizeof edit->camera.password);
    memset(&edit->camera.view.password, 0, sizeof edit->camera.view.password);
    json_decref(edit->changes);
    free(edit);
}

static int start(struct job *job, struct camera_edit *edit, struct why *why)
{
    if (job->server->camera_edit != NULL)
        return why_set(why, ERR_AGAIN, "another change is being saved: try again");
    snprintf(edit->file, sizeof edit->file, "%s", job->server->settings_file);
    edit->job       = job;
    edit->server    = job->server;
    edit->work.data = edit;
    if (uv_queue_work(&job->server->loop, &edit->work, on_worker, on_saved) != 0)
        return why_set(why, ERR_IO, "no worker");
    job->server->camera_edit = edit;
    job->work                = edit;
    return 0;
}

static int begin_set(struct job *job, json_t *arguments, struct why *why)
{
    struct camera_edit *edit   = calloc(1, sizeof *edit);
    const char         *name   = NULL;
    json_t             *camera = NULL;
    char                upload[UPLOAD_NAME_BYTES];
    int                 rc;

    if (edit == NULL)
        return why_set(why, ERR_MEMORY, "out of memory");
    rc = json_unpack_ex(arguments, NULL, JSON_STRICT, "{s:s,s:o}", "name", &name, "camera",
                        &camera) != 0 ||
                 !json_is_object(camera)
             ? why_set(why, ERR_INVALID, "set_camera takes \"name\" and \"camera\", an object")
             : settings_check_name(name, why);
    if (rc == 0) {
        snprintf(edit->name, sizeof edit->name, "%s", name);
        edit->has_password = json_object_get(camera, "password") != NULL;
        rc                 = read_camera(edit, camera, NULL, why);
    }
    if (rc == 0)
        edit->has_password = edit->has_password || edit->camera.password.value[0] != '\0';
    if (rc == 0 && upload_name_of(edit->camera.url, upload) &&
        upload_claim(job->server->jobs, upload))
        memcpy(edit->claimed, upload, sizeof edit->claimed);
    if (rc == 0)
        rc = start(job, edit, why);
    if (rc != 0 && edit->claimed[0] != '\0')
        upload_release(job->server->jobs, edit->claimed);
    if (rc != 0)
        free(edit);
    return rc;
}

static bool is_sealed(const json_t *has_password)
{
    const char *password = json_string_value(json_object_get(has_password, "password"));

    return password != NULL && sealed_secret_is(password);
}

/* Those of the file are opened when it is read. One that is sent would be opened too, for whichever
 * host stands beside it: who has a copy of the file alone would be told what is in it. */
static bool has_sealed(const json_t *changes)
{
    const json_t *inputs = json_object_get(json_object_get(changes, "ffmpeg"), "inputs");
    bool          sealed = is_sealed(changes);

    for (size_t i = 0; i < json_array_size(inputs) && !sealed; i++)
        sealed = is_sealed(json_array_get(inputs, i));
    return sealed;
}

/* What runs: refused at once. What the file has the worker looks at. */
static int check_running(const struct camera_edit *edit, const struct server *server,
                         struct why *why)
{
    for (int i = 0; i < pipeline_camera_count(server->pipeline); i++) {
        const struct settings_camera *camera = pipeline_camera_settings(server->pipeline, i);
        if (strcmp(camera->name, edit->name) == 0)
            return check_version(edit, camera, why);
    }
    return 0;
}

static int begin_change(struct job *job, json_t *arguments, struct why *why)
{
    struct camera_edit *edit    = calloc(1, sizeof *edit);
    const char         *name    = NULL;
    const char         *version = "";
    json_t             *changes = NULL;
    int                 rc;

    if (edit == NULL)
        return why_set(why, ERR_MEMORY, "out of memory");
    rc = json_unpack_ex(arguments, NULL, JSON_STRICT, "{s:s,s:o,s?s}", "name", &name, "camera",
                        &changes, "version", &version) != 0 ||
                 !json_is_object(changes) || strlen(version) >= sizeof edit->version
             ? why_set(why, ERR_INVALID,
                       "change_camera takes \"name\", \"camera\", an object, and the \"version\" "
                       "that was seen")
             : settings_check_name(name, why);
    if (rc == 0 && has_sealed(changes))
        rc = why_set(why, ERR_INVALID, "a sealed password is the file's alone: send the password");
    if (rc == 0) {
        snprintf(edit->name, sizeof edit->name, "%s", name);
        snprintf(edit->version, sizeof edit->version, "%s", version);
        rc = check_running(edit, job->server, why);
    }
    if (rc == 0) {
        /* A copy: `arguments` stays with the loop while the worker reads. */
        edit->changes = json_deep_copy(changes);
        rc            = edit->changes == NULL ? why_set(why, ERR_MEMORY, "out of memory")
                                              : start(job, edit, why);
    }
    if (rc != 0) {
        json_decref(edit->changes);
        free(edit);
    }
    return rc;
}

static int begin_remove(struct job *job, json_t *arguments, struct why *why)
{
    struct camera_edit *edit = calloc(1, sizeof *edit);
    const char         *name = NULL;
    int                 rc;

    if (edit == NULL)
        return why_set(why, ERR_MEMORY, "out of memory");
    edit->removes = true;
    rc            = json_unpack_ex(arguments, NULL, JSON_STRICT, "{s:s}", "name", &name) != 0
                        ? why_set(why, ERR_INVALID, "remove_camera takes \"name\"")
                        : settings_check_name(name, why);
    if (rc == 0) {
        snprintf(edit->name, sizeof edit->name, "%s", name);
        rc = start(job, edit, why);
    }
    if (rc != 0)
        free(edit);
    return rc;
}

/* What is being written is written all the same. */
static void stop(struct job *job)
{
    struct camera_edit *edit = job->work;

    if (edit != NULL)
        edit->job = NULL;
    job->work = NULL;
}

const struct job_kind JOB_SET_CAMERA    = {.name = "set_camera", .begin = begin_set, .stop = stop};
const struct job_kind JOB_CHANGE_CAMERA = {
    .name = "change_camera", .begin = begin_change, .stop = stop};
const struct job_kind JOB_REMOVE_CAMERA = {
    .name = "remove_camera", .begin = begin_remove, .stop = stop};
