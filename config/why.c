#include "config/why.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* In parentheses, as the analyser has a macro of this name. */
int(why_set)(struct why *why, int code, const char *format, ...)
{
    va_list arguments;

    if (why == NULL)
        return code;
    va_start(arguments, format);
    vsnprintf(why->text, sizeof why->text, format, arguments);
    va_end(arguments);
    return code;
}

void why_prefix(struct why *why, const char *format, ...)
{
    struct why old;
    va_list    arguments;
    int        used;

    if (why == NULL)
        return;
    old = *why;
    va_start(arguments, format);
    used = vsnprintf(why->text, sizeof why->text, format, arguments);
    va_end(arguments);
    if (used < 0 || (size_t)used >= sizeof why->text)
        return;
    snprintf(why->text + used, sizeof why->text - (size_t)used, ": %s", old.text);
}
