#include "config/settings_model.h"

#include "config/object_class.h"
#include "config/settings_value.h"

#include <stddef.h>
#include <string.h>

/* What a colour may be in the network's eyes; far more than any network's mean or deviation. */
#define COLOR_MAX 1e6

/* Which heads and backends there are, the engine knows; it says so when the model is loaded. */
static void read_precision(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                           void *target)
{
    static const char *const WORDS[] = {"auto", "f32", "f16", "bf16", "int8", NULL};
    int chosen = settings_choose(reader, value, "precision", WORDS, "auto, f32, f16, bf16, int8");

    (void)key;
    if (chosen >= 0)
        memcpy(target, WORDS[chosen], strlen(WORDS[chosen]) + 1);
}

static void read_fit(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value, void *target)
{
    static const char *const WORDS[] = {"top_left", "centred", "stretch", NULL};
    int chosen = settings_choose(reader, value, "fit", WORDS, "top_left, centred, stretch");

    (void)key;
    if (chosen >= 0)
        *(enum settings_fit *)target = (enum settings_fit)(chosen + FIT_TOP_LEFT);
}

static void read_shape(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                       void *target)
{
    static const char *const WORDS[] = {"picture", "fixed", NULL};
    int chosen = settings_choose(reader, value, "shape", WORDS, "picture, fixed");

    (void)key;
    if (chosen >= 0)
        *(enum settings_shape *)target = (enum settings_shape)chosen;
}

static void read_colors(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                        void *target)
{
    static const char *const WORDS[] = {"rgb", "bgr", NULL};
    int chosen = settings_choose(reader, value, "order of colours", WORDS, "rgb, bgr");

    (void)key;
    if (chosen >= 0)
        *(enum settings_colors *)target = (enum settings_colors)(chosen + COLORS_RGB);
}

/* One number for all channels, or a list of three. */
static bool read_three(struct yaml_reader *reader, yaml_node_t *value, double low, float three[3])
{
    double number;

    for (int i = 0; i < 3; i++) {
        yaml_node_t *item = value;

        if (value->type == YAML_SEQUENCE_NODE)
            item = yaml_item(reader, value, i);
        if (item == NULL ||
            (value->type == YAML_SEQUENCE_NODE && i == 2 && yaml_item(reader, value, 3) != NULL)) {
            yaml_problem(reader, value, "give one number, or three: one for each channel");
            return false;
        }
        if (!yaml_number(reader, item, low, COLOR_MAX, &number))
            return false;
        three[i] = (float)number;
    }
    return true;
}

static void read_mean(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                      void *target)
{
    struct settings_model *model = target;

    (void)key;
    model->has_mean = read_three(reader, value, -COLOR_MAX, model->mean);
}

static void read_deviation(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                           void *target)
{
    struct settings_model *model = target;

    (void)key;
    model->has_deviation = read_three(reader, value, 1.0 / COLOR_MAX, model->deviation);
}

static void read_pad(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value, void *target)
{
    struct settings_model *model = target;
    double                 pad;

    (void)key;
    if (yaml_number(reader, value, 0, 255, &pad)) {
        model->has_pad = true;
        model->pad     = (float)pad;
    }
}

static const struct yaml_key INPUT_KEYS[] = {
    {"fit", read_fit, offsetof(struct settings_model, fit), NULL},
    {"shape", read_shape, offsetof(struct settings_model, shape), NULL},
    {"colors", read_colors, offsetof(struct settings_model, colors), NULL},
    {"mean", read_mean, 0, NULL},
    {"deviation", read_deviation, 0, NULL},
    {"pad", read_pad, 0, NULL},
    {0},
};

static void read_rule(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                      void *target)
{
    struct settings_model      *model = target;
    struct settings_class_rule *rule  = &model->rules[model->rule_count];
    enum object_class           object_class;
    char                        text[32];

    if (!yaml_text(reader, key, rule->name, sizeof rule->name) ||
        !yaml_text(reader, value, text, sizeof text))
        return;
    if (strcmp(text, "none") == 0) {
        rule->object_class = -1;
    } else if (object_class_from_name(text, &object_class)) {
        rule->object_class = (signed char)object_class;
    } else {
        yaml_problem(reader, value,
                     "\"%s\" is no class: person, bicycle, car, motorcycle, bus, truck, or none",
                     text);
        return;
    }
    model->rule_count++;
}

static void read_class_map(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                           void *target)
{
    (void)key;
    if (!yaml_is_empty(value))
        yaml_read_names(reader, value, "class_map", SETTINGS_CLASS_RULES, read_rule, target);
}

static const struct yaml_key MODEL_KEYS[] = {
    {"file", settings_read_path, offsetof(struct settings_model, file), NULL},
    {"head", settings_read_name, offsetof(struct settings_model, head), NULL},
    {"classes", settings_read_path, offsetof(struct settings_model, classes), NULL},
    {"class_map", read_class_map, 0, NULL},
    {"backend", settings_read_name, offsetof(struct settings_model, backend), NULL},
    {"precision", read_precision, offsetof(struct settings_model, precision), NULL},
    {"input", NULL, 0, INPUT_KEYS},
    {0},
};

void settings_read_model(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                         void *target)
{
    struct settings_model *model = target;

    if (value->type == YAML_MAPPING_NODE)
        yaml_read_table(reader, value, "model", MODEL_KEYS, model);
    else
        settings_read_path(reader, key, value, model->file);
}
