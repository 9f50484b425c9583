/* config/why.h: the message that travels with an error code to the person who can act on it.
 *
 * The function that knows what went wrong writes it once; callers pass it on untouched or put their
 * own words in front. It is a fixed buffer: a long message is cut, never overrun. NULL is allowed
 * wherever a `struct why *` is taken. A secret never goes into one: URLs pass through
 * camera_url_redact() first. */
#ifndef SIGHTLINE_CONFIG_WHY_H
#define SIGHTLINE_CONFIG_WHY_H

struct why {
    char text[512];
};

/* Write the message and return `code`, so that `return why_set(why, ERR_IO, "...")` is one line. */
int why_set(struct why *why, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#ifdef __clang_analyzer__
/* The analyser of `./run check` sees one file at a time and into no function with "...": this tells
 * it what stands above, that the code comes back. */
static inline int why_known(int returned, int code)
{
    (void)returned;
    return code;
}
#define why_set(why, code, ...) why_known((why_set)((why), (code), __VA_ARGS__), (code))
#endif

/* Put "prefix: " in front of the message that is there. */
void why_prefix(struct why *why, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
