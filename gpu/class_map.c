#include "gpu/class_map.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "config/err.h"

static int  settle_names(struct class_names *names, const struct class_map_settings *settings,
                         const struct model_info *model, struct why *why);
static int  find_class(const struct class_names *names, int count, const char *name);
static void list_names(const struct class_names *names, char *text, size_t bytes);

int class_map_open(struct class_map *map, struct class_names *names,
                   const struct class_map_settings *settings, const struct model_info *model,
                   struct why *why)
{
    char listed[160];
    int  rc;

    if (settings->count < 1 || settings->count > CLASS_MAP_MAX)
        return why_set(why, ERR_LIMIT, "%s has %d classes; at most %d can be used", model->path,
                       settings->count, CLASS_MAP_MAX);
    if ((rc = settle_names(names, settings, model, why)) != 0)
        return rc;
    *map = (struct class_map){.count = settings->count};
    memset(map->object_class, -1, sizeof map->object_class);
    for (int i = 0; i < map->count; i++) {
        enum object_class object_class;

        if (class_names_find(names->name[i], &object_class))
            map->object_class[i] = (signed char)object_class;
    }
    for (int i = 0; i < settings->rule_count; i++) {
        const struct class_rule *rule   = &settings->rules[i];
        int                      number = find_class(names, map->count, rule->name);

        list_names(names, listed, sizeof listed);
        if (number < 0)
            return why_set(why, ERR_INVALID, "\"%s\" is no class of %s; it has %s", rule->name,
                           model->path, listed);
        map->object_class[number] = rule->object_class;
    }
    for (int i = 0; i < map->count; i++)
        if (map->object_class[i] >= 0)
            map->counted[map->counted_count++] = (short)i;
    list_names(names, listed, sizeof listed);
    if (map->counted_count == 0)
        return why_set(
            why, ERR_UNSUPPORTED,
            "%s finds none of person, bicycle, car, motorcycle, bus, truck: its names are %s; say "
            "which of them are counted with class_map under \"model:\"",
            model->path, listed);
    return 0;
}

static bool same_name(const char *a, const char *b)
{
    for (; *a != '\0' && *b != '\0'; a++, b++) {
        bool gaps = (*a == '_' || *a == '-' || *a == ' ') && (*b == '_' || *b == '-' || *b == ' ');

        if (!gaps && tolower((unsigned char)*a) != tolower((unsigned char)*b))
            return false;
    }
    return *a == *b;
}

/* Names numbered as the head's classes. */
static int settle_names(struct class_names *names, const struct class_map_settings *settings,
                        const struct model_info *model, struct why *why)
{
    int own = settings->background == CLASS_BACKGROUND_NONE ? settings->count : settings->count - 1;

    if (names->count == 0) {
        if (class_names_usual(names, settings->count, settings->background))
            return 0;
        return why_set(
            why, ERR_UNSUPPORTED,
            "%s does not say what its classes are, %d in number: give a file with one name in each "
            "line "
            "(classes under \"model:\" in the configuration, or --classes), or add the metadata "
            "property \"names\" to the model, for example \"person,car\"",
            model->path, own);
    }
    if (settings->background == CLASS_BACKGROUND_FIRST && names->count == own &&
        !same_name(names->name[0], "background")) {
        memmove(names->name[1], names->name[0], (size_t)own * CLASS_NAME_BYTES);
        names->name[0][0] = '\0';
    }
    names->count = settings->count;
    return 0;
}

/* By its name, else by its number; -1 when it is neither. */
static int find_class(const struct class_names *names, int count, const char *name)
{
    size_t digits = strspn(name, "0123456789");

    for (int i = 0; i < count; i++)
        if (names->name[i][0] != '\0' && same_name(names->name[i], name))
            return i;
    if (digits > 0 && digits <= 4 && name[digits] == '\0' && strtol(name, NULL, 10) < count)
        return (int)strtol(name, NULL, 10);
    return -1;
}

static void list_names(const struct class_names *names, char *text, size_t bytes)
{
    size_t used = 0;

    text[0] = '\0';
    for (int i = 0; i < names->count; i++) {
        size_t length = strlen(names->name[i]);

        if (length == 0)
            continue;
        if (used + length + 2 + sizeof ", ..." > bytes) {
            memcpy(text + used, ", ...", sizeof ", ...");
            return;
        }
        if (used > 0) {
            memcpy(text + used, ", ", 2);
            used += 2;
        }
        memcpy(text + used, names->name[i], length + 1);
        used += length;
    }
}
