/* What the classes of a model are called, and which of ours a name means. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/err.h"
#include "config/plain_file.h"
#include "gpu/class_map.h"

#define NAME_PLACES_MAX 9 /* digits of a number in a {number: name} map */
#define FILE_BYTES_MAX  ((size_t)CLASS_MAP_MAX * 256)

/* What the public sets call them. */
static const struct {
    const char       *name;
    enum object_class object_class;
} SYNONYMS[] = {
    {"pedestrian", OBJECT_PERSON},
    {"pedestrians", OBJECT_PERSON},
    {"people", OBJECT_PERSON},
    {"persons", OBJECT_PERSON},
    {"human", OBJECT_PERSON},
    {"man", OBJECT_PERSON},
    {"woman", OBJECT_PERSON},
    {"boy", OBJECT_PERSON},
    {"girl", OBJECT_PERSON},
    {"child", OBJECT_PERSON},
    {"person sitting", OBJECT_PERSON},
    {"rider", OBJECT_PERSON},
    {"bike", OBJECT_BICYCLE},
    {"cycle", OBJECT_BICYCLE},
    {"bicycles", OBJECT_BICYCLE},
    {"cyclist", OBJECT_BICYCLE},
    {"bicyclist", OBJECT_BICYCLE},
    {"cars", OBJECT_CAR},
    {"automobile", OBJECT_CAR},
    {"van", OBJECT_CAR},
    {"minivan", OBJECT_CAR},
    {"vehicle", OBJECT_CAR},
    {"land vehicle", OBJECT_CAR},
    {"suv", OBJECT_CAR},
    {"sedan", OBJECT_CAR},
    {"hatchback", OBJECT_CAR},
    {"taxi", OBJECT_CAR},
    {"motorbike", OBJECT_MOTORCYCLE},
    {"motor", OBJECT_MOTORCYCLE},
    {"motorcycles", OBJECT_MOTORCYCLE},
    {"motorcyclist", OBJECT_MOTORCYCLE},
    {"moped", OBJECT_MOTORCYCLE},
    {"scooter", OBJECT_MOTORCYCLE},
    {"two wheeler", OBJECT_MOTORCYCLE},
    {"minibus", OBJECT_BUS},
    {"coach", OBJECT_BUS},
    {"buses", OBJECT_BUS},
    {"lorry", OBJECT_TRUCK},
    {"pickup", OBJECT_TRUCK},
    {"pickup truck", OBJECT_TRUCK},
    {"semi", OBJECT_TRUCK},
    {"trailer", OBJECT_TRUCK},
    {"trucks", OBJECT_TRUCK},
};

/* The 80 classes of COCO in the order of its numbers. */
static const char *const COCO[] = {
    "person",        "bicycle",      "car",
    "motorcycle",    "airplane",     "bus",
    "train",         "truck",        "boat",
    "traffic light", "fire hydrant", "stop sign",
    "parking meter", "bench",        "bird",
    "cat",           "dog",          "horse",
    "sheep",         "cow",          "elephant",
    "bear",          "zebra",        "giraffe",
    "backpack",      "umbrella",     "handbag",
    "tie",           "suitcase",     "frisbee",
    "skis",          "snowboard",    "sports ball",
    "kite",          "baseball bat", "baseball glove",
    "skateboard",    "surfboard",    "tennis racket",
    "bottle",        "wine glass",   "cup",
    "fork",          "knife",        "spoon",
    "bowl",          "banana",       "apple",
    "sandwich",      "orange",       "broccoli",
    "carrot",        "hot dog",      "pizza",
    "donut",         "cake",         "chair",
    "couch",         "potted plant", "bed",
    "dining table",  "toilet",       "tv",
    "laptop",        "mouse",        "remote",
    "keyboard",      "cell phone",   "microwave",
    "oven",          "toaster",      "sink",
    "refrigerator",  "book",         "clock",
    "vase",          "scissors",     "teddy bear",
    "hair drier",    "toothbrush",
};
/* COCO numbers its classes 1..90; these were never used. */
static const unsigned char COCO_GAPS[] = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83};

static const char *const VOC[] = {
    "aeroplane", "bicycle", "bird",  "boat",  "bottle", "bus",   "car",
    "cat",       "chair",   "cow",   "table", "dog",    "horse", "motorbike",
    "person",    "plant",   "sheep", "sofa",  "train",  "tv",
};

#define COCO_CLASSES (int)(sizeof COCO / sizeof *COCO)
#define COCO_NUMBERS 90
#define VOC_CLASSES  (int)(sizeof VOC / sizeof *VOC)

static const char *metadata(const struct model_info *model, const char *key);
static void        read_text(struct class_names *names, const char *text);
static int         read_file(struct class_names *names, const char *path, struct why *why);

int class_names_read(struct class_names *names, const struct model_info *model, const char *file,
                     struct why *why)
{
    const char *text = metadata(model, "names");

    names->count = 0;
    if (file != NULL && file[0] != '\0')
        return read_file(names, file, why);
    if (text == NULL)
        text = metadata(model, "classes");
    if (text != NULL)
        read_text(names, text);
    return 0;
}

/* Lower case, one space for what stands between words. */
static void plain_name(const char *name, char plain[CLASS_NAME_BYTES])
{
    size_t used = 0;

    for (; *name != '\0' && used < CLASS_NAME_BYTES - 1; name++) {
        bool gap = *name == '_' || *name == '-' || isspace((unsigned char)*name);

        if (!gap)
            plain[used++] = (char)tolower((unsigned char)*name);
        else if (used > 0 && plain[used - 1] != ' ')
            plain[used++] = ' ';
    }
    while (used > 0 && plain[used - 1] == ' ')
        used--;
    plain[used] = '\0';
}

bool class_names_find(const char *name, enum object_class *object_class)
{
    char plain[CLASS_NAME_BYTES];

    plain_name(name, plain);
    if (object_class_from_name(plain, object_class))
        return true;
    for (size_t i = 0; i < sizeof SYNONYMS / sizeof *SYNONYMS; i++) {
        if (strcmp(plain, SYNONYMS[i].name) == 0) {
            *object_class = SYNONYMS[i].object_class;
            return true;
        }
    }
    return false;
}

static void set_name(struct class_names *names, int number, const char *name)
{
    snprintf(names->name[number], CLASS_NAME_BYTES, "%s", name);
}

/* COCO by its own numbers, which begin at `first` here. */
static void set_coco_numbers(struct class_names *names, int first)
{
    int number = 1;

    for (int i = 0; i < COCO_CLASSES; i++, number++) {
        while (memchr(COCO_GAPS, number, sizeof COCO_GAPS) != NULL)
            number++;
        set_name(names, number - 1 + first, COCO[i]);
    }
}

bool class_names_usual(struct class_names *names, int count, enum class_background background)
{
    int first = background == CLASS_BACKGROUND_FIRST ? 1 : 0;
    int named = background == CLASS_BACKGROUND_NONE ? count : count - 1;

    memset(names->name, 0, sizeof names->name);
    names->count = count;
    if (named == COCO_CLASSES) {
        for (int i = 0; i < COCO_CLASSES; i++)
            set_name(names, first + i, COCO[i]);
    } else if (named == VOC_CLASSES) {
        for (int i = 0; i < VOC_CLASSES; i++)
            set_name(names, first + i, VOC[i]);
    } else if (named == COCO_NUMBERS) {
        set_coco_numbers(names, first);
    } else if (named == COCO_NUMBERS + 1) {
        /* Whose 0 is nothing, whether the head says so or not. */
        set_coco_numbers(names, first + 1);
    } else if (background == CLASS_BACKGROUND_NONE && count == VOC_CLASSES + 1) {
        for (int i = 0; i < VOC_CLASSES; i++)
            set_name(names, 1 + i, VOC[i]);
    } else {
        names->count = 0;
        return false;
    }
    return true;
}

static const char *metadata(const struct model_info *model, const char *key)
{
    for (int i = 0; i < model->metadata_count; i++)
        if (strcmp(model->metadata_keys[i], key) == 0)
            return model->metadata_values[i];
    return NULL;
}

/* The next "number:" or name in `text`; returns where to go on, NULL at the end. A name is in quotes
 * or ends before , : ] } or a line's end. */
static const char *next_word(const char *text, char word[CLASS_NAME_BYTES], bool *is_key)
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
        if (used < CLASS_NAME_BYTES - 1)
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

static void read_text(struct class_names *names, const char *text)
{
    char word[CLASS_NAME_BYTES];
    bool is_key;
    long number = 0;

    memset(names->name, 0, sizeof names->name);
    while ((text = next_word(text, word, &is_key)) != NULL) {
        if (is_key) {
            size_t digits = strspn(word, "0123456789");

            if (digits > 0 && digits <= NAME_PLACES_MAX && word[digits] == '\0')
                number = strtol(word, NULL, 10);
            continue;
        }
        if (number < CLASS_MAP_MAX) {
            set_name(names, (int)number, word);
            if (number >= names->count)
                names->count = (int)number + 1;
        }
        number++;
    }
}

/* A name in each line; an empty line is a class without a name, those at the end are none. */
static int read_lines(struct class_names *names, char *text, const char *path, struct why *why)
{
    int   number = 0;
    char *line   = text;

    memset(names->name, 0, sizeof names->name);
    if (strncmp(line, "\xef\xbb\xbf", 3) == 0)
        line += 3;
    while (*line != '\0') {
        size_t length = strcspn(line, "\n");
        char  *next   = line[length] == '\n' ? line + length + 1 : line + length;

        while (length > 0 && isspace((unsigned char)line[length - 1]))
            length--;
        line[length] = '\0';
        if (number == CLASS_MAP_MAX)
            return why_set(why, ERR_LIMIT, "%s names more than %d classes", path, CLASS_MAP_MAX);
        set_name(names, number, line);
        number++;
        if (length > 0)
            names->count = number;
        line = next;
    }
    return names->count > 0 ? 0 : why_set(why, ERR_INVALID, "%s holds no names of classes", path);
}

static int read_file(struct class_names *names, const char *path, struct why *why)
{
    char  *text  = malloc(FILE_BYTES_MAX + 1);
    size_t bytes = 0;
    FILE  *file;
    int    rc = plain_file_stream(path, &file, why);

    if (file != NULL && text != NULL)
        bytes = fread(text, 1, FILE_BYTES_MAX + 1, file);
    if (rc != 0)
        why_prefix(why, "the names of the classes: %s", path);
    else if (text == NULL || ferror(file))
        rc = why_set(why, ERR_IO, "the names of the classes: %s cannot be read", path);
    else if (bytes > FILE_BYTES_MAX || memchr(text, '\0', bytes) != NULL)
        rc = why_set(why, ERR_INVALID, "%s is no list of names with one in each line", path);
    else {
        text[bytes] = '\0';
        rc          = read_lines(names, text, path, why);
    }
    if (file != NULL)
        fclose(file);
    free(text);
    return rc;
}
