/* tests/tap.h: the Test Anything Protocol for tests in C, read by `prove`.
 *
 *   // links: config          the room that the test links (CMakeLists.txt reads this line)
 *   #include "tests/tap.h"
 *   int main(void) { ok(1 + 1 == 2, "adds"); is_int(f(), 3, "f gives %d", 3); return done_testing(); }
 *
 * A test that needs something absent: `skip_all("no ../shared/material")`. Nothing sleeps. */
#ifndef SIGHTLINE_TESTS_TAP_H
#define SIGHTLINE_TESTS_TAP_H

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int tap_count;
static int tap_failures;

__attribute__((format(printf, 1, 2), unused)) static void diag(const char *format, ...)
{
    va_list arguments;
    printf("# ");
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
    fflush(stdout);
}

__attribute__((format(printf, 3, 4), unused)) static bool tap_result(bool passed, const char *where,
                                                                     const char *format, ...)
{
    va_list arguments;
    printf("%sok %d - ", passed ? "" : "not ", ++tap_count);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
    if (!passed) {
        tap_failures++;
        printf("# failed at %s\n", where);
    }
    fflush(stdout);
    return passed;
}

#define TAP_TEXT2(x) #x
#define TAP_TEXT(x)  TAP_TEXT2(x)
#define TAP_WHERE    __FILE__ ":" TAP_TEXT(__LINE__)

#define ok(condition, ...) tap_result((condition) ? true : false, TAP_WHERE, __VA_ARGS__)

#define is_int(got, expected, ...)                                             \
    do {                                                                       \
        int64_t tap_got = (int64_t)(got), tap_expected = (int64_t)(expected);  \
        if (!tap_result(tap_got == tap_expected, TAP_WHERE, __VA_ARGS__))      \
            diag("got %" PRId64 ", expected %" PRId64, tap_got, tap_expected); \
    } while (0)

#define is_near(got, expected, tolerance, ...)                                                   \
    do {                                                                                         \
        double tap_got = (double)(got), tap_expected = (double)(expected);                       \
        if (!tap_result(fabs(tap_got - tap_expected) <= (double)(tolerance), TAP_WHERE,          \
                        __VA_ARGS__))                                                            \
            diag("got %.9g, expected %.9g +- %.3g", tap_got, tap_expected, (double)(tolerance)); \
    } while (0)

#define is_text(got, expected, ...)                                                          \
    do {                                                                                     \
        const char *tap_got = (got), *tap_expected = (expected);                             \
        if (!tap_result(tap_got != NULL && strcmp(tap_got, tap_expected) == 0, TAP_WHERE,    \
                        __VA_ARGS__))                                                        \
            diag("got \"%s\", expected \"%s\"", tap_got ? tap_got : "(null)", tap_expected); \
    } while (0)

#define skip_all(...)           \
    do {                        \
        printf("1..0 # SKIP "); \
        printf(__VA_ARGS__);    \
        printf("\n");           \
        exit(0);                \
    } while (0)

/* One thing of several cannot be checked here. */
#define skip_one(...)                         \
    do {                                      \
        printf("ok %d # SKIP ", ++tap_count); \
        printf(__VA_ARGS__);                  \
        printf("\n");                         \
    } while (0)

__attribute__((unused)) static int done_testing(void)
{
    printf("1..%d\n", tap_count);
    return tap_failures == 0 ? 0 : 1;
}

/* Folder of the real videos and models, or NULL. SIGHTLINE_MATERIAL overrides the default. */
__attribute__((unused)) static const char *material(void)
{
    static char path[512];
    const char *set = getenv("SIGHTLINE_MATERIAL");
    FILE       *probe;
    char        readme[600];

    snprintf(path, sizeof path, "%s", set != NULL ? set : "../shared/material");
    snprintf(readme, sizeof readme, "%s/README.md", path);
    probe = fopen(readme, "r");
    if (probe == NULL)
        return NULL;
    fclose(probe);
    return path;
}

#endif
