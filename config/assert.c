#include "config/assert.h"

#include <stdio.h>
#include <stdlib.h>

void assert_failed(const char *condition, const char *file, int line, const char *function)
{
    fprintf(stderr, "sightline: broken invariant: %s (%s:%d, %s)\n", condition, file, line,
            function);
    abort();
}
