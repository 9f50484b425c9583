#include "config/settings.h"

#include "config/err.h"
#include "config/json_writer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* An hour of 1080p at 8 Mbit/s has 3.4 GiB. */
#define UPLOADS_FILE_MIB   4096
#define UPLOADS_TOTAL_MIB  32768
#define HTTP_PORT_DEFAULT  8080
#define DETECT_FPS_DEFAULT 5.0
/* Three pictures at 5 a second are 0.6 s: shorter than any visit worth counting, longer than a
 * detection blinks. */
#define ZONE_INERTIA_DEFAULT 3
/* Less than this part of the picture is no zone but a slip of the hand (1/10,000 of 640x360 is 23 px). */
#define ZONE_MIN_AREA 1e-4

void settings_camera_default(struct settings_camera *camera)
{
    memset(camera, 0, sizeof *camera);
    camera->enabled    = true;
    camera->loop       = true;
    camera->pace       = PACE_REAL_TIME;
    camera->detect_fps = DETECT_FPS_DEFAULT;
    camera->classes    = SETTINGS_ALL_CLASSES;

    camera->motion.enabled = true;
}

void settings_line_default(struct settings_line *line)
{
    memset(line, 0, sizeof *line);
    line->classes = SETTINGS_ALL_CLASSES;
    memcpy(line->a_to_b, "a_to_b", sizeof "a_to_b");
    memcpy(line->b_to_a, "b_to_a", sizeof "b_to_a");
}

void settings_zone_default(struct settings_zone *zone)
{
    memset(zone, 0, sizeof *zone);
    zone->classes = SETTINGS_ALL_CLASSES;
    zone->inertia = ZONE_INERTIA_DEFAULT;
}

void settings_default(struct settings *settings)
{
    memset(settings, 0, sizeof *settings);
    memcpy(settings->http_listen, "127.0.0.1", sizeof "127.0.0.1");
    memcpy(settings->log_level, "info", sizeof "info");
    memcpy(settings->data, "data", sizeof "data");
    settings->http_port         = HTTP_PORT_DEFAULT;
    settings->uploads_file_mib  = UPLOADS_FILE_MIB;
    settings->uploads_total_mib = UPLOADS_TOTAL_MIB;
}

void settings_free(struct settings **settings)
{
    if (*settings == NULL)
        return;
    free((*settings)->cameras);
    free(*settings);
    *settings = NULL;
}

int settings_parse_points(const char *text, struct settings_point *points, int capacity,
                          struct why *why)
{
    const char *rest = text;
    float       value[2];
    int         values = 0;
    int         count  = 0;

    for (;;) {
        char  *end;
        double number = strtod(rest, &end);
        if (end == rest)
            return why_set(why, ERR_INVALID, "expected a number at \"%.20s\"", rest);
        if (!(number >= 0.0 && number <= 1.0))
            return why_set(why, ERR_INVALID,
                           "coordinate %.*s is not within 0 and 1 (coordinates are relative to the "
                           "picture)",
                           (int)(end - rest), rest);
        value[values++] = (float)number;
        if (values == 2) {
            if (count == capacity)
                return why_set(why, ERR_LIMIT, "more than %d points", capacity);
            points[count].x = value[0];
            points[count].y = value[1];
            count++;
            values = 0;
        }
        rest = end + strspn(end, " \t");
        if (*rest == '\0')
            break;
        if (*rest != ',')
            return why_set(why, ERR_INVALID, "expected a comma at \"%.20s\"", rest);
        rest++;
    }
    if (values != 0)
        return why_set(why, ERR_INVALID, "an odd number of coordinates: they come as x,y pairs");
    return count;
}

static double cross(struct settings_point a, struct settings_point b, struct settings_point c)
{
    return ((double)b.x - a.x) * ((double)c.y - a.y) - ((double)b.y - a.y) * ((double)c.x - a.x);
}

static bool segments_cross(const struct settings_point *points, int count, int i, int j)
{
    struct settings_point a = points[i], b = points[(i + 1) % count];
    struct settings_point c = points[j], d = points[(j + 1) % count];

    return cross(a, b, c) * cross(a, b, d) < 0 && cross(c, d, a) * cross(c, d, b) < 0;
}

int settings_check_polygon(const struct settings_point *points, int count, struct why *why)
{
    double area = 0;

    if (count < 3)
        return why_set(why, ERR_INVALID, "a zone needs at least 3 points, not %d", count);
    for (int i = 0; i < count; i++) {
        struct settings_point a = points[i], b = points[(i + 1) % count];
        area += (double)a.x * b.y - (double)b.x * a.y;
        for (int j = i + 2; j < count; j++) {
            if ((j + 1) % count != i && segments_cross(points, count, i, j))
                return why_set(
                    why, ERR_INVALID,
                    "the outline crosses itself: side %d and side %d; give the points in "
                    "order around the zone",
                    i + 1, j + 1);
        }
    }
    if (fabs(area) / 2 < ZONE_MIN_AREA)
        return why_set(why, ERR_INVALID, "the zone has no area");
    return 0;
}

int settings_check_name(const char *name, struct why *why)
{
    size_t bytes = strlen(name);

    if (bytes == 0)
        return why_set(why, ERR_INVALID, "a name must not be empty");
    if (bytes >= LIMIT_NAME_BYTES)
        return why_set(why, ERR_INVALID, "a name may have at most %d bytes", LIMIT_NAME_BYTES - 1);
    if (!json_utf8_valid(name, bytes))
        return why_set(why, ERR_INVALID, "a name must be valid UTF-8");
    if (!json_utf8_printable(name, bytes))
        return why_set(why, ERR_INVALID, "a name must not hold control characters");
    if (strchr(name, '/') != NULL)
        return why_set(why, ERR_INVALID, "a name must not hold '/'");
    if (name[0] == ' ' || name[bytes - 1] == ' ')
        return why_set(why, ERR_INVALID, "a name must not begin or end with a space");
    return 0;
}

/* Whole structs are compared: both come out of memset by the *_default() functions, so padding and
 * the bytes behind a string's end are zero. */
bool settings_camera_equal(const struct settings_camera *a, const struct settings_camera *b)
{
    // NOLINTNEXTLINE(bugprone-suspicious-memory-comparison,cert-exp42-c,cert-flp37-c)
    return memcmp(a, b, sizeof *a) == 0;
}

bool settings_model_equal(const struct settings_model *a, const struct settings_model *b)
{
    // NOLINTNEXTLINE(bugprone-suspicious-memory-comparison,cert-exp42-c,cert-flp37-c)
    return memcmp(a, b, sizeof *a) == 0;
}
