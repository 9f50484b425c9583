#include "server/camera/xml_tree.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <expat.h>

#include "config/err.h"

/* Memory comes from one block that is as large as the document can ask for: no bookkeeping for
 * pieces, and one free. */
struct xml_tree {
    struct xml_element *elements;
    size_t              count, room;
    char               *names; /* as many bytes as the document: names and texts are parts of it */
    size_t              names_bytes, names_room;
};

struct reading {
    struct xml_tree    *tree;
    struct xml_element *open; /* the innermost element that has begun */
    int                 depth;
    XML_Parser          parser;
    char                text[XML_TEXT_BYTES]; /* of the innermost element so far */
    size_t              text_bytes;
    int                 rc; /* why the parser was stopped */
    const char         *problem;
};

static char EMPTY[] = "";

static void stop(struct reading *reading, int rc, const char *problem)
{
    reading->rc      = rc;
    reading->problem = problem;
    XML_StopParser(reading->parser, XML_FALSE);
}

static char *keep(struct reading *reading, const char *text, size_t bytes)
{
    struct xml_tree *tree = reading->tree;
    char            *kept = tree->names + tree->names_bytes;

    if (bytes == 0)
        return EMPTY;
    if (bytes + 1 > tree->names_room - tree->names_bytes) {
        stop(reading, ERR_LIMIT, "its texts are longer than the document");
        return EMPTY;
    }
    memcpy(kept, text, bytes);
    kept[bytes] = '\0';
    tree->names_bytes += bytes + 1;
    return kept;
}

static const char *local_name(const char *name)
{
    const char *colon = strrchr(name, ':');

    return colon == NULL ? name : colon + 1;
}

static void begin(void *argument, const char *name, const char **attributes)
{
    struct reading     *reading = argument;
    struct xml_tree    *tree    = reading->tree;
    struct xml_element *element;

    if (tree->count == tree->room || reading->depth == XML_DEPTH_MAX) {
        stop(reading, ERR_LIMIT, "it has too many elements, or they are nested too deeply");
        return;
    }
    element       = &tree->elements[tree->count++];
    *element      = (struct xml_element){.text = EMPTY, .token = EMPTY, .parent = reading->open};
    element->name = keep(reading, local_name(name), strlen(local_name(name)));
    for (int i = 0; attributes[i] != NULL; i += 2) {
        if (strcmp(attributes[i], "token") == 0 || strcmp(attributes[i], "Name") == 0)
            element->token = keep(reading, attributes[i + 1], strlen(attributes[i + 1]));
    }
    if (reading->open != NULL) {
        if (reading->open->last == NULL)
            reading->open->first = element;
        else
            reading->open->last->next = element;
        reading->open->last = element;
    }
    reading->open       = element;
    reading->text_bytes = 0;
    reading->depth++;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void end(void *argument, const char *name)
{
    struct reading *reading = argument;
    const char     *text    = reading->text;
    size_t          bytes   = reading->text_bytes;

    (void)name;
    while (bytes > 0 && is_space(text[bytes - 1]))
        bytes--;
    while (bytes > 0 && is_space(*text)) {
        text++;
        bytes--;
    }
    if (reading->open->first == NULL)
        reading->open->text = keep(reading, text, bytes);
    reading->text_bytes = 0;
    reading->open       = reading->open->parent;
    reading->depth--;
}

static void characters(void *argument, const char *text, int bytes)
{
    struct reading *reading = argument;
    size_t          room    = sizeof reading->text - reading->text_bytes;
    size_t          taken   = (size_t)bytes < room ? (size_t)bytes : room;

    memcpy(reading->text + reading->text_bytes, text, taken);
    reading->text_bytes += taken;
}

static void document_type(void *argument, const char *name, const char *system, const char *public,
                          int internal)
{
    (void)name;
    (void)system;
    (void)public;
    (void)internal;
    stop(argument, ERR_CORRUPT, "a document type has no place in it");
}

static int parse(struct reading *reading, const char *text, size_t bytes, struct why *why)
{
    XML_Parser parser = reading->parser;

    XML_SetUserData(parser, reading);
    XML_SetElementHandler(parser, begin, end);
    XML_SetCharacterDataHandler(parser, characters);
    XML_SetStartDoctypeDeclHandler(parser, document_type);
    if (XML_Parse(parser, text, (int)bytes, 1) == XML_STATUS_OK)
        return 0;
    if (reading->rc != 0)
        return why_set(why, reading->rc, "the XML is refused: %s", reading->problem);
    return why_set(why, ERR_CORRUPT, "the XML is broken in line %lu: %s",
                   (unsigned long)XML_GetCurrentLineNumber(parser),
                   XML_ErrorString(XML_GetErrorCode(parser)));
}

int xml_tree_read(struct xml_tree **out, const char *text, size_t bytes, struct why *why)
{
    struct reading   reading = {.rc = 0};
    struct xml_tree *tree;
    int              rc = ERR_MEMORY;

    *out = NULL;
    if (bytes > XML_BYTES_MAX)
        return why_set(why, ERR_LIMIT, "the XML has more than %d KiB", XML_BYTES_MAX >> 10);
    tree = calloc(1, sizeof *tree);
    if (tree == NULL)
        goto done;
    /* An element takes at least the three bytes of "<a>". A Latin-1 document may double in UTF-8, and
     * a NUL ends each text. */
    tree->room       = bytes / 3 + 1 < XML_ELEMENTS_MAX ? bytes / 3 + 1 : XML_ELEMENTS_MAX;
    tree->elements   = calloc(tree->room, sizeof *tree->elements);
    tree->names_room = 3 * bytes + 1;
    tree->names      = malloc(tree->names_room);
    reading.tree     = tree;
    reading.parser   = XML_ParserCreate(NULL);
    if (tree->elements == NULL || tree->names == NULL || reading.parser == NULL)
        goto done;
    rc = parse(&reading, text, bytes, why);

done:
    if (rc == ERR_MEMORY)
        why_set(why, ERR_MEMORY, "no memory to read XML");
    if (reading.parser != NULL)
        XML_ParserFree(reading.parser);
    if (rc == 0)
        *out = tree;
    else
        xml_tree_free(&tree);
    return rc;
}

void xml_tree_free(struct xml_tree **tree)
{
    if (*tree == NULL)
        return;
    free((*tree)->elements);
    free((*tree)->names);
    free(*tree);
    *tree = NULL;
}

const struct xml_element *xml_tree_root(const struct xml_tree *tree)
{
    return &tree->elements[0];
}

static bool is_named(const struct xml_element *element, const char *name, size_t bytes)
{
    return strlen(element->name) == bytes && memcmp(element->name, name, bytes) == 0;
}

const struct xml_element *xml_find(const struct xml_element *from, const char *path)
{
    while (from != NULL && *path != '\0') {
        size_t                    bytes = strcspn(path, "/");
        const struct xml_element *child = from->first;
        while (child != NULL && !is_named(child, path, bytes))
            child = child->next;
        from = child;
        path += bytes + (path[bytes] == '/');
    }
    return from;
}

const char *xml_text(const struct xml_element *from, const char *path)
{
    const struct xml_element *element = xml_find(from, path);

    return element == NULL ? "" : element->text;
}

/* The element that follows in the document's order, inside of `top`. */
static const struct xml_element *step(const struct xml_element *top,
                                      const struct xml_element *element)
{
    if (element->first != NULL)
        return element->first;
    while (element != top) {
        if (element->next != NULL)
            return element->next;
        element = element->parent;
    }
    return NULL;
}

const struct xml_element *xml_any(const struct xml_element *from, const struct xml_element *after,
                                  const char *name)
{
    const struct xml_element *element;

    if (from == NULL)
        return NULL;
    element = step(from, after == NULL ? from : after);
    while (element != NULL && strcmp(element->name, name) != 0)
        element = step(from, element);
    return element;
}

const struct xml_element *xml_next(const struct xml_element *element)
{
    const struct xml_element *next = element->next;

    while (next != NULL && strcmp(next->name, element->name) != 0)
        next = next->next;
    return next;
}
