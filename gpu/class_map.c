#include "gpu/class_map.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config/err.h"

#define COCO_CLASSES    80
#define NAME_BYTES      64 /* of one class; longer ones are none of ours */
#define NAME_PLACES_MAX 9  /* digits of a number in a {number: name} map */

/* What the public sets call them. */
static const struct {
    const char       *name;
    enum object_class object_class;
} SYNONYMS[] = {
    {"pedestrian", OBJECT_PERSON},
    {"people", OBJECT_PERSON},
    {"human", OBJECT_PERSON},
    {"bike", OBJECT_BICYCLE},
    {"cycle", OBJECT_BICYCLE},
    {"van", OBJECT_CAR},
    {"vehicle", OBJECT_CAR},
    {"taxi", OBJECT_CAR},
    {"motorbike", OBJECT_MOTORCYCLE},
    {"motor", OBJECT_MOTORCYCLE},
    {"motorcyclist", OBJECT_MOTORCYCLE},
    {"lorry", OBJECT_TRUCK},
};

/* The places of ours among the 80 classes of COCO. */
static const struct {
    int               number;
    enum object_class object_class;
} COCO[] = {
    {0, OBJECT_PERSON},     {1, OBJECT_BICYCLE}, {2, OBJECT_CAR},
    {3, OBJECT_MOTORCYCLE}, {5, OBJECT_BUS},     {7, OBJECT_TRUCK},
};

static const char *metadata(const struct model_info *model, const char *key);
static int         read_names(struct class_map *map, const char *text);

int class_map_open(struct class_map *map, const struct model_info *model, int count,
                   struct why *why)
{
    const char *text    = metadata(model, "names");
    int         counted = 0;

    if (count < 1 || count > CLASS_MAP_MAX)
        return why_set(why, ERR_LIMIT, "%s has %d classes; at most %d can be used", model->path,
                       count, CLASS_MAP_MAX);
    map->count = count;
    memset(map->object_class, -1, sizeof map->object_class);
    if (text == NULL)
        text = metadata(model, "classes");
    if (text != NULL) {
        counted = read_names(map, text);
    } else if (count == COCO_CLASSES) {
        for (size_t i = 0; i < sizeof COCO / sizeof *COCO; i++)
            map->object_class[COCO[i].number] = (signed char)COCO[i].object_class;
        counted = OBJECT_CLASSES;
    } else {
        return why_set(
            why, ERR_UNSUPPORTED,
            "%s does not say what its %d classes are: add the metadata property \"names\" "
            "to the file, for example \"person,car\"",
            model->path, count);
    }
    if (counted == 0)
        return why_set(
            why, ERR_UNSUPPORTED,
            "%s finds none of person, bicycle, car, motorcycle, bus, truck: its names are "
            "%.100s",
            model->path, text);
    return 0;
}

static const char *metadata(const struct model_info *model, const char *key)
{
    for (int i = 0; i < model->metadata_count; i++)
        if (strcmp(model->metadata_keys[i], key) == 0)
            return model->metadata_values[i];
    return NULL;
}

static bool class_of_name(const char *name, enum object_class *object_class)
{
    char lower[NAME_BYTES];

    for (size_t i = 0; i < sizeof lower; i++) {
        lower[i] = (char)tolower((unsigned char)name[i]);
        if (name[i] == '\0')
            break;
    }
    lower[sizeof lower - 1] = '\0';
    if (object_class_from_name(lower, object_class))
        return true;
    for (size_t i = 0; i < sizeof SYNONYMS / sizeof *SYNONYMS; i++) {
        if (strcmp(lower, SYNONYMS[i].name) == 0) {
            *object_class = SYNONYMS[i].object_class;
            return true;
        }
    }
    return false;
}

/* The next "number:" or name in `text`; returns where to go on, NULL at the end. A name is in quotes
 * or ends before , : ] } or a line's end. */
static const char *next_word(const char *text, char word[NAME_BYTES], bool *is_key)
{
    size_t used  = 0;
    char   quote = '\0';

    *is_key = false;
    while (*text != '\0' && (isspace((unsigned char)*text) || strchr(",[]{}:", *text) != NULL))
        text++;
    if (*text == '\0')
        return NULL;
    if (*text == '"' || *text == '\'')
        quote = *text++;
    while (*text != '\0' && (quote != '\0' ? *text != quote : strchr(",:]}\r\n", *text) == NULL)) {
        if (used < NAME_BYTES - 1)
            word[used++] = *text;
        text++;
    }
    while (quote == '\0' && used > 0 && isspace((unsigned char)word[used - 1]))
        used--;
    word[used] = '\0';
    if (quote != '\0' && *text == quote)
        text++;
    while (*text == ' ')
        text++;
    *is_key = *text == ':';
    return text;
}

/* How many classes of ours were found. */
static int read_names(struct class_map *map, const char *text)
{
    char word[NAME_BYTES];
    bool is_key;
    int  counted = 0;
    long number  = 0;

    while ((text = next_word(text, word, &is_key)) != NULL) {
        enum object_class object_class;

        if (is_key) {
            size_t digits = strspn(word, "0123456789");

            if (digits > 0 && digits <= NAME_PLACES_MAX && word[digits] == '\0')
                number = strtol(word, NULL, 10);
            continue;
        }
        if (number < map->count && class_of_name(word, &object_class)) {
            map->object_class[number] = (signed char)object_class;
            counted++;
        }
        number++;
    }
    return counted;
}
