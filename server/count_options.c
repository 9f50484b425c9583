#include "server/count_options.h"

#include "config/err.h"
#include "config/url_credentials.h"
#include "server/camera/decode_process.h"
#include "server/camera/source_file.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char COUNT_USAGE[] =
    "usage: sightline count SOURCE [--line NAME:x1,y1,x2,y2]... [--zone NAME:x,y,x,y,x,y...]...\n"
    "                       [--model FILE] [--fps N] [--motion on|off] [--isolation KIND]\n"
    "                       [--json]\n"
    "\n"
    "Counts the people and vehicles of a video that cross lines or enter zones, as fast as the\n"
    "machine can. SOURCE is a file, or an rtsp:// address (counted until Ctrl-C).\n"
    "\n"
    "  --line   a line of two or more points. Side A is on the left hand of someone who walks on\n"
    "           the picture from the first point to the second.\n"
    "  --zone   a polygon of three or more points.\n"
    "           Points are parts of the picture, 0..1, y down; or pixels if any number is above "
    "1.\n"
    "  --model  ONNX file of a detector\n"
    "  --fps    analyse at most N pictures a second (default: every picture)\n"
    "  --motion on: a trial of the motion gate of live cameras: only the pictures count that it\n"
    "           would let through, and the result says how many (default: off)\n"
    "  --isolation  process (default): the video is decoded in a sandboxed process; or thread\n"
    "  --json   the result as one JSON object\n"
    "\n"
    "Ends with 0; with 3 when not all of a file could be read or was waited for: what was read is\n"
    "counted, the result says \"not complete\" (JSON: \"complete\": false, and \"why\"); with 1 "
    "when\n"
    "nothing could be counted; with 2 when the arguments are wrong.\n";

#define ARGUMENT_BYTES 4096

/* The picture's size, read once, when the first point in pixels is met. */
struct picture {
    const char             *source;
    enum settings_isolation isolation;
    int                     width_px, height_px;
};

static int learn_size(struct picture *picture, struct why *why)
{
    static const atomic_bool NEVER   = false;
    struct decode_process   *process = NULL;
    struct source_file      *file    = NULL;
    int                      rc      = 0;

    if (picture->width_px > 0)
        return 0;
    if (url_has_scheme(picture->source))
        return why_set(why, ERR_INVALID,
                       "points of a stream must be parts of the picture, from 0 to 1");
    if (picture->isolation == ISOLATION_PROCESS)
        rc = decode_process_open(&process, why);
    if (rc == 0)
        rc = source_file_open(&file, process, picture->source, &NEVER, why);
    if (rc == 0) {
        picture->width_px  = source_file_parameters(file)->width;
        picture->height_px = source_file_parameters(file)->height;
    }
    source_file_close(&file);
    decode_process_close(&process);
    if (rc != 0)
        return rc;
    if (picture->width_px <= 0 || picture->height_px <= 0)
        return why_set(why, ERR_UNSUPPORTED, "the video does not say how large its pictures are");
    return 0;
}

static bool any_above_one(const char *points)
{
    for (const char *rest = points; rest != NULL; rest = strchr(rest, ',')) {
        if (*rest == ',')
            rest++;
        if (strtod(rest, NULL) > 1.0)
            return true;
    }
    return false;
}

/* Rewrites "x,y,..." in pixels as parts of the picture. */
static int pixels_to_parts(struct picture *picture, const char *points, char *parts, size_t room,
                           struct why *why)
{
    size_t used  = 0;
    int    index = 0;
    int    rc    = learn_size(picture, why);

    if (rc != 0)
        return rc;
    parts[0] = '\0';
    for (const char *rest = points;; rest++) {
        char  *end;
        double value = strtod(rest, &end);
        double size  = index % 2 == 0 ? picture->width_px : picture->height_px;
        if (end == rest)
            return why_set(why, ERR_INVALID, "expected a number at \"%.20s\"", rest);
        if (!(value >= 0 && value <= size))
            return why_set(why, ERR_INVALID, "%s = %g is outside of the picture, %d by %d pixels",
                           index % 2 == 0 ? "x" : "y", value, picture->width_px,
                           picture->height_px);
        /* The last column and row, width-1 and height-1, and the edge itself are all "the end". */
        used += (size_t)snprintf(parts + used, room - used, "%s%.9g", index == 0 ? "" : ",",
                                 value / size);
        if (used >= room)
            return why_set(why, ERR_LIMIT, "too many points");
        index++;
        rest = end;
        if (*rest != ',')
            return *rest == '\0' ? 0
                                 : why_set(why, ERR_INVALID, "expected a comma at \"%.20s\"", rest);
    }
}

/* Splits "NAME:x,y,..." and reads the points. Returns how many, or a negative code. */
static int read_shape(struct picture *picture, const char *argument, char name[LIMIT_NAME_BYTES],
                      struct settings_point *points, int capacity, struct why *why)
{
    const char *colon = strrchr(argument, ':');
    char        parts[ARGUMENT_BYTES];
    int         rc;

    if (colon == NULL)
        return why_set(why, ERR_INVALID, "\"%s\" is not NAME:x1,y1,x2,y2", argument);
    if ((size_t)(colon - argument) >= LIMIT_NAME_BYTES)
        return why_set(why, ERR_INVALID, "the name in \"%.80s\" is too long", argument);
    memset(name, 0, LIMIT_NAME_BYTES);
    memcpy(name, argument, (size_t)(colon - argument));
    rc = settings_check_name(name, why);
    if (rc == 0 && strlen(colon + 1) >= sizeof parts)
        rc = why_set(why, ERR_LIMIT, "too many points");
    if (rc == 0 && any_above_one(colon + 1))
        rc = pixels_to_parts(picture, colon + 1, parts, sizeof parts, why);
    else if (rc == 0)
        memcpy(parts, colon + 1, strlen(colon + 1) + 1);
    if (rc == 0)
        rc = settings_parse_points(parts, points, capacity, why);
    return rc;
}

static int add_line(struct count_options *options, struct picture *picture, const char *argument,
                    struct why *why)
{
    struct settings_line *line = &options->camera.lines[options->camera.line_count];
    int                   count;

    if (options->camera.line_count == LIMIT_LINES)
        return why_set(why, ERR_LIMIT, "more than %d lines", LIMIT_LINES);
    settings_line_default(line);
    count = read_shape(picture, argument, line->name, line->points, LIMIT_LINE_POINTS, why);
    if (count < 0) {
        why_prefix(why, "--line %.60s", argument);
        return count;
    }
    if (count < 2)
        return why_set(why, ERR_INVALID, "--line %s: a line needs at least 2 points", line->name);
    line->point_count = count;
    options->camera.line_count++;
    return 0;
}

static int add_zone(struct count_options *options, struct picture *picture, const char *argument,
                    struct why *why)
{
    struct settings_zone *zone = &options->camera.zones[options->camera.zone_count];
    int                   count;
    int                   rc;

    if (options->camera.zone_count == LIMIT_ZONES)
        return why_set(why, ERR_LIMIT, "more than %d zones", LIMIT_ZONES);
    settings_zone_default(zone);
    count = read_shape(picture, argument, zone->name, zone->points, LIMIT_ZONE_POINTS, why);
    rc    = count < 0 ? count : settings_check_polygon(zone->points, count, why);
    if (rc != 0) {
        why_prefix(why, "--zone %.60s", argument);
        return rc;
    }
    zone->point_count = count;
    options->camera.zone_count++;
    return 0;
}

static int set_fps(struct count_options *options, const char *argument, struct why *why)
{
    char  *end;
    double fps = strtod(argument, &end);

    if (end == argument || *end != '\0' || !(fps >= 0 && fps <= 120))
        return why_set(why, ERR_INVALID, "--fps: \"%s\" is not a number from 0 to 120", argument);
    options->camera.detect_fps = fps;
    return 0;
}

static int set_motion(struct count_options *options, const char *value, struct why *why)
{
    options->camera.motion.enabled = strcmp(value, "on") == 0;
    if (options->camera.motion.enabled || strcmp(value, "off") == 0)
        return 0;
    return why_set(why, ERR_INVALID, "--motion: \"%s\" is neither on nor off", value);
}

static int set_isolation(struct count_options *options, const char *value, struct why *why)
{
    options->isolation = strcmp(value, "thread") == 0 ? ISOLATION_THREAD : ISOLATION_PROCESS;
    if (options->isolation == ISOLATION_THREAD || strcmp(value, "process") == 0)
        return 0;
    return why_set(why, ERR_INVALID, "--isolation: \"%s\" is neither process nor thread", value);
}

static int check_names(const struct settings_camera *camera, struct why *why)
{
    const char *names[LIMIT_LINES + LIMIT_ZONES];
    int         count = 0;

    for (int i = 0; i < camera->line_count; i++)
        names[count++] = camera->lines[i].name;
    for (int i = 0; i < camera->zone_count; i++)
        names[count++] = camera->zones[i].name;
    for (int i = 0; i < count; i++) {
        for (int j = 0; j < i; j++) {
            if (strcmp(names[i], names[j]) == 0)
                return why_set(why, ERR_INVALID, "two lines or zones are named \"%s\"", names[i]);
        }
    }
    return 0;
}

static int set_source(struct count_options *options, struct why *why)
{
    struct settings_camera *camera = &options->camera;

    if (options->source == NULL)
        return why_set(why, ERR_INVALID, "no SOURCE is given");
    if (url_has_scheme(options->source))
        return url_split_credentials(options->source, camera->url, camera->user, &camera->password,
                                     why);
    if (strlen(options->source) >= sizeof camera->url)
        return why_set(why, ERR_LIMIT, "the path is too long");
    memcpy(camera->url, options->source, strlen(options->source));
    return 0;
}

int count_options_parse(struct count_options *options, int argc, char **argv, struct why *why)
{
    struct picture picture = {.isolation = ISOLATION_PROCESS};
    int            rc      = 0;

    memset(options, 0, sizeof *options);
    settings_camera_default(&options->camera);
    memcpy(options->camera.name, "video", sizeof "video");
    options->camera.loop       = false;
    options->camera.pace       = PACE_FASTEST;
    options->camera.detect_fps = 0;

    options->camera.motion.enabled = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            options->help = true;
            return 0;
        }
        if (strcmp(argv[i], "--isolation") == 0 && i + 1 < argc &&
            strcmp(argv[i + 1], "thread") == 0)
            picture.isolation = ISOLATION_THREAD;
        if (argv[i][0] == '-' && strcmp(argv[i], "--json") != 0)
            i++; /* its value */
        else if (argv[i][0] != '-' && picture.source == NULL)
            picture.source = argv[i];
    }
    options->source = picture.source;
    rc              = set_source(options, why);
    for (int i = 1; i < argc && rc == 0; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--json") == 0) {
            options->json = true;
        } else if (argv[i][0] != '-') {
            if (argv[i] != options->source)
                rc = why_set(why, ERR_INVALID, "more than one SOURCE: \"%s\"", argv[i]);
        } else if (value == NULL) {
            return why_set(why, ERR_INVALID, "%s needs a value", argv[i]);
        } else if (strcmp(argv[i], "--line") == 0) {
            rc = add_line(options, &picture, argv[++i], why);
        } else if (strcmp(argv[i], "--zone") == 0) {
            rc = add_zone(options, &picture, argv[++i], why);
        } else if (strcmp(argv[i], "--model") == 0) {
            options->model = argv[++i];
        } else if (strcmp(argv[i], "--fps") == 0) {
            rc = set_fps(options, argv[++i], why);
        } else if (strcmp(argv[i], "--motion") == 0) {
            rc = set_motion(options, argv[++i], why);
        } else if (strcmp(argv[i], "--isolation") == 0) {
            rc = set_isolation(options, argv[++i], why);
        } else {
            rc = why_set(why, ERR_INVALID, "no option \"%s\"", argv[i]);
        }
    }
    if (rc == 0 && options->camera.line_count + options->camera.zone_count == 0)
        rc = why_set(why, ERR_INVALID, "nothing to count: give a --line or a --zone");
    return rc == 0 ? check_names(&options->camera, why) : rc;
}
