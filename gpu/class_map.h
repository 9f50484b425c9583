/* gpu/class_map.h: from a model's own classes to those that Sightline counts.
 *
 * What the classes are called comes from a file of the user's (one name in each line), or from the
 * model's metadata ("names" or "classes": a list, a {number: name} map, or names with commas or
 * lines between). Without either, the number of classes tells the usual sets: 80 COCO, 90 and 91
 * COCO by its own numbers, 20 VOC, each also with one more class for "nothing".
 *
 * A name is one of ours, or a synonym (class_names.c has the table: "pedestrian" is a person, "van"
 * a car, "lorry" a truck), or not counted. The user's rules come before that. */
#ifndef SIGHTLINE_GPU_CLASS_MAP_H
#define SIGHTLINE_GPU_CLASS_MAP_H

#include "config/why.h"
#include "gpu/box.h"
#include "gpu/model.h"

#include <stdbool.h>

#define CLASS_MAP_MAX \
    1024 /* classes of a model; the largest public set for detection has 1203, most 80 */
#define CLASS_NAME_BYTES 64  /* with its NUL; longer names are cut */
#define CLASS_RULES_MAX  256 /* of a user */

/* What a model calls its classes. */
struct class_names {
    int  count;                                 /* 0: nobody says */
    char name[CLASS_MAP_MAX][CLASS_NAME_BYTES]; /* empty: has none */
};

/* "van: car", "shopping cart: none". */
struct class_rule {
    char        name[CLASS_NAME_BYTES]; /* of the model; or the class's number */
    signed char object_class;           /* enum object_class, or -1: not counted */
};

struct class_map {
    int         count;                       /* classes of the model */
    signed char object_class[CLASS_MAP_MAX]; /* enum object_class, or -1: not counted */
    int         counted_count;
    short       counted[CLASS_MAP_MAX]; /* the classes that are counted */
};

/* Where a head has its class for "nothing here". */
enum class_background { CLASS_BACKGROUND_NONE, CLASS_BACKGROUND_FIRST, CLASS_BACKGROUND_LAST };

struct class_map_settings {
    int                      count; /* classes of the head, the one for nothing among them */
    enum class_background    background;
    int                      rule_count;
    const struct class_rule *rules;
};

/* `file`: NULL or "" for the model's metadata. ERR_NOT_FOUND, ERR_DENIED, ERR_INVALID, ERR_IO,
 * ERR_LIMIT for a file that cannot be used; a model that says nothing is no error: names->count is 0 then. */
int class_names_read(struct class_names *names, const struct model_info *model, const char *file,
                     struct why *why);
/* The usual names for so many classes; false when there are none. */
bool class_names_usual(struct class_names *names, int count, enum class_background background);
/* The class of ours that is called so, by our names and the synonyms. */
bool class_names_find(const char *name, enum object_class *object_class);

/* Fills `names` with the usual ones when nobody said them; they are numbered as the head's classes
 * then, as are those given. ERR_LIMIT above CLASS_MAP_MAX; ERR_INVALID for a rule whose name is
 * none of the model's; ERR_UNSUPPORTED when the model has no class that is counted, or none of its
 * names can be found. */
int class_map_open(struct class_map *map, struct class_names *names,
                   const struct class_map_settings *settings, const struct model_info *model,
                   struct why *why);

#endif
