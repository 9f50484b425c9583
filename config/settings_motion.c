/* The keys below "motion" of a camera. */
#include "config/settings_camera.h"
#include "config/settings_value.h"

#include <stddef.h>

static void add_mask(struct yaml_reader *reader, yaml_node_t *node, struct settings_motion *motion)
{
    char                  text[LIMIT_ZONE_POINTS * 32];
    struct settings_mask *mask;
    struct why            why;
    int                   count;

    if (motion->mask_count == LIMIT_MASKS) {
        yaml_problem(reader, node, "more than %d masks", LIMIT_MASKS);
        return;
    }
    if (!yaml_text(reader, node, text, sizeof text))
        return;
    mask  = &motion->masks[motion->mask_count];
    count = settings_parse_points(text, mask->points, LIMIT_ZONE_POINTS, &why);
    if (count < 0 || settings_check_polygon(mask->points, count, &why) != 0) {
        yaml_problem(reader, node, "%s", why.text);
        return;
    }
    mask->point_count = count;
    motion->mask_count++;
}

/* One outline, or a list of them. */
static void read_mask(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                      void *target)
{
    yaml_node_t *item;

    (void)key;
    if (value->type != YAML_SEQUENCE_NODE) {
        add_mask(reader, value, target);
        return;
    }
    for (int i = 0; (item = yaml_item(reader, value, i)) != NULL; i++)
        add_mask(reader, item, target);
}

const struct yaml_key SETTINGS_MOTION_KEYS[] = {
    {"enabled", settings_read_flag, offsetof(struct settings_motion, enabled), NULL},
    {"mask", read_mask, 0, NULL},
    {0},
};
