/* config/plural.h: messages with a number in them. Any thread. */
#ifndef SIGHTLINE_CONFIG_PLURAL_H
#define SIGHTLINE_CONFIG_PLURAL_H

#include <stdint.h>

/* The end of a regular word behind a number: "%d picture%s". */
static inline const char *plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

#endif
