/* server/camera/xml_tree.h: a small XML document as a tree, for what cameras on the network answer.
 *
 * The parser is expat's; what is here bounds it: size, elements, depth, length of a text. A document
 * type (and with it every entity) is refused, as no SOAP message has one. Names come without their
 * prefix; the namespace is dropped, because cameras get it wrong more often than names collide.
 * Pure; any thread. */
#ifndef SIGHTLINE_SERVER_CAMERA_XML_TREE_H
#define SIGHTLINE_SERVER_CAMERA_XML_TREE_H

#include "config/why.h"

#include <stddef.h>

#define XML_BYTES_MAX    (256 << 10) /* GetProfiles of a 16-channel recorder has some 60 KiB */
#define XML_ELEMENTS_MAX 8192
#define XML_DEPTH_MAX    48
#define XML_TEXT_BYTES \
    1024 /* of one element, the spaces around it taken off; longer ones are cut */

struct xml_element {
    char *name;  /* local name */
    char *text;  /* "" when there is none */
    char *token; /* the attribute "token" or "Name", "" when absent: all that ONVIF needs */
    struct xml_element *parent, *first, *last, *next;
};

struct xml_tree;

/* ERR_LIMIT, ERR_CORRUPT (with line and reason), ERR_MEMORY; *out is NULL then. */
int  xml_tree_read(struct xml_tree **out, const char *text, size_t bytes, struct why *why);
void xml_tree_free(struct xml_tree **tree);

const struct xml_element *xml_tree_root(const struct xml_tree *tree);

/* The first descendant at "A/B/C" below `from`: each step a child of that name. NULL when there is
 * none; `from` may be NULL. */
const struct xml_element *xml_find(const struct xml_element *from, const char *path);
/* Its text; "" when there is none. */
const char *xml_text(const struct xml_element *from, const char *path);
/* The first element called `name` anywhere below `from`, in the document's order, behind `after`
 * (NULL: from the beginning). */
const struct xml_element *xml_any(const struct xml_element *from, const struct xml_element *after,
                                  const char *name);
/* The next sibling of the same name; NULL at the end. */
const struct xml_element *xml_next(const struct xml_element *element);

#endif
