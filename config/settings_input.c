#include "config/settings_input.h"

#include "config/settings.h"
#include "config/settings_value.h"
#include "config/upload_place.h"
#include "config/url_credentials.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define INPUTS_MAX 8

#define ROLE_DETECT 1U
#define ROLE_VIEW   2U

struct input {
    char          path[LIMIT_URL_BYTES];
    char          user[LIMIT_NAME_BYTES];
    struct secret password;
    unsigned      roles;
    bool          roles_given;
    yaml_node_t  *place; /* of the path; else of the input */
};

static void read_input_path(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                            void *target)
{
    struct input *input = target;

    (void)key;
    input->place = value;
    if (yaml_text(reader, value, input->path, sizeof input->path))
        yaml_substitute(reader, value, input->path, sizeof input->path);
}

static void unknown_role(struct yaml_reader *reader, yaml_node_t *item, const char *role)
{
    const char *nearest = yaml_edit_distance(role, "detect") <= 3 ? "detect"
                          : yaml_edit_distance(role, "view") <= 2 ? "view"
                                                                  : NULL;

    if (strcmp(role, "record") == 0)
        yaml_problem(reader, item,
                     "\"record\" is no role here, as nothing is recorded: write view for the "
                     "stream that is shown large, or take the role out");
    else if (nearest != NULL)
        yaml_problem(reader, item, "\"%s\" is no role; did you mean \"%s\"?", role, nearest);
    else
        yaml_problem(reader, item,
                     "\"%s\" is no role: detect (analysed) or view (shown large); audio is passed "
                     "over",
                     role);
}

static void read_roles(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                       void *target)
{
    struct input *input = target;
    yaml_node_t  *item;
    char          role[32];

    (void)key;
    input->roles_given = true;
    if (value->type != YAML_SEQUENCE_NODE) {
        yaml_problem(reader, value, "roles is a list, such as [detect]");
        return;
    }
    for (int i = 0; (item = yaml_item(reader, value, i)) != NULL; i++) {
        if (!yaml_text(reader, item, role, sizeof role))
            continue;
        if (strcmp(role, "detect") == 0)
            input->roles |= ROLE_DETECT;
        else if (strcmp(role, "view") == 0)
            input->roles |= ROLE_VIEW;
        else if (strcmp(role, "audio") != 0)
            unknown_role(reader, item, role);
    }
}

const struct yaml_key SETTINGS_INPUT_KEYS[] = {
    {"path", read_input_path, 0, NULL},
    {"user", settings_read_user, offsetof(struct input, user), NULL},
    {"password", settings_read_secret, offsetof(struct input, password), NULL},
    {"roles", read_roles, 0, NULL},
    {0},
};

/* What stands beside the path goes before what stands in it. */
static void take_credentials(const struct input *input, char user[static LIMIT_NAME_BYTES],
                             struct secret *password)
{
    if (input->user[0] != '\0')
        memcpy(user, input->user, sizeof input->user);
    if (input->password.value[0] != '\0')
        *password = input->password;
}

static settings_address_fn *judge_address; /* NULL: none was set */

void settings_judge_addresses(settings_address_fn *judge)
{
    judge_address = judge;
}

/* The address of an input apart from its credentials, which take what stands beside it, too. */
static void use_address(struct yaml_reader *reader, const struct input *input,
                        char url[static LIMIT_URL_BYTES], char user[static LIMIT_NAME_BYTES],
                        struct secret *password)
{
    struct why why;
    int        rc = url_split_credentials(input->path, url, user, password, &why);

    if (rc == 0 && judge_address != NULL)
        rc = judge_address(url, &why);
    if (rc != 0)
        yaml_problem(reader, input->place, "%s", why.text);
    else
        take_credentials(input, user, password);
}

/* A video that came through the API; who may name it is decided where that is saved. */
static void use_upload(struct yaml_reader *reader, const struct input *input, const char *name,
                       struct settings_camera *camera)
{
    char begun[LIMIT_PATH_BYTES], played[LIMIT_PATH_BYTES];

    memcpy(camera->url, input->path, sizeof camera->url);
    if (!upload_path(camera->file, reader->data, name, UPLOAD_VIDEO) ||
        !upload_path(begun, reader->data, name, UPLOAD_BEGUN) ||
        !upload_path(played, reader->data, name, UPLOAD_PLAYED)) {
        yaml_problem(reader, input->place, "the path of the data folder is too long");
        return;
    }
    camera->begun  = access(begun, F_OK) == 0;
    camera->played = access(played, F_OK) == 0;
}

static void use_detect(struct yaml_reader *reader, const struct input *input,
                       struct settings_camera *camera)
{
    char upload[UPLOAD_NAME_BYTES];

    if (url_has_scheme(input->path)) {
        use_address(reader, input, camera->url, camera->user, &camera->password);
        return;
    }
    if (reader->managed && upload_name_of(input->path, upload)) {
        use_upload(reader, input, upload, camera);
        return;
    }
    if (reader->managed) {
        yaml_problem(reader, input->place,
                     "a camera that is added here needs an address: rtsp://...");
        return;
    }
    memcpy(camera->url, input->path, sizeof camera->url);
    yaml_path(reader, input->place, camera->url, sizeof camera->url);
}

static void use_view(struct yaml_reader *reader, const struct input *input,
                     struct settings_camera *camera)
{
    struct settings_view *view = &camera->view;

    if (!url_has_scheme(input->path))
        yaml_problem(reader, input->place,
                     "a stream with the role view is an address: rtsp://...; a file has one "
                     "stream, which is shown large as it is");
    else
        use_address(reader, input, view->url, view->user, &view->password);
}

/* The one input that has the role; refuses a second one. -1: none has. */
static int find_role(struct yaml_reader *reader, const struct input *inputs, int count,
                     unsigned role, const char *name)
{
    int found = -1;

    for (int i = 0; i < count; i++) {
        if ((inputs[i].roles & role) == 0)
            continue;
        if (found >= 0)
            yaml_problem(reader, inputs[i].place, "inputs %d and %d both have the role %s",
                         found + 1, i + 1, name);
        else
            found = i;
    }
    return found;
}

static void use_inputs(struct yaml_reader *reader, yaml_node_t *key, struct input *inputs,
                       int count, struct settings_camera *camera)
{
    int problems = reader->problems->count;
    int detect;
    int view;

    for (int i = 0; i < count; i++) {
        if (inputs[i].roles_given)
            continue;
        if (count > 1)
            yaml_problem(reader, inputs[i].place,
                         "which of the %d inputs is this? roles: [detect] is analysed, roles: "
                         "[view] is shown large",
                         count);
        inputs[i].roles = ROLE_DETECT | ROLE_VIEW;
    }
    if (reader->problems->count > problems)
        return;
    detect = find_role(reader, inputs, count, ROLE_DETECT, "detect");
    view   = find_role(reader, inputs, count, ROLE_VIEW, "view");
    if (detect < 0)
        yaml_problem(reader, key, "no input has the role detect: nothing would be analysed");
    if (reader->problems->count > problems)
        return;
    use_detect(reader, &inputs[detect], camera);
    if (view >= 0 && view != detect)
        use_view(reader, &inputs[view], camera);
}

void settings_read_inputs(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                          void *target)
{
    struct input inputs[INPUTS_MAX];
    yaml_node_t *item;
    int          count    = 0;
    int          problems = reader->problems->count;

    memset(inputs, 0, sizeof inputs);
    if (value->type != YAML_SEQUENCE_NODE) {
        yaml_problem(reader, value, "inputs is a list: \"- path: rtsp://...\"");
        return;
    }
    for (int i = 0; (item = yaml_item(reader, value, i)) != NULL; i++) {
        if (count == INPUTS_MAX) {
            yaml_problem(reader, item, "more than %d inputs", INPUTS_MAX);
            return;
        }
        inputs[count].place = item;
        yaml_read_table(reader, item, "an input", SETTINGS_INPUT_KEYS, &inputs[count]);
        if (inputs[count].path[0] == '\0')
            yaml_problem(reader, item, "an input needs a path");
        count++;
    }
    if (count == 0)
        yaml_problem(reader, key, "inputs is empty");
    else if (reader->problems->count == problems)
        use_inputs(reader, key, inputs, count, target);
}
