/* config/settings.h: everything that a user can set, checked, as plain values.
 *
 * Read from one YAML file (settings_read.c) in the shape that Frigate users know. A struct settings is immutable
 * after load and freed whole; a changed file becomes a new one, and the two are compared camera by
 * camera. Secrets are kept apart (struct secret) and print as "***". */
#ifndef SIGHTLINE_CONFIG_SETTINGS_H
#define SIGHTLINE_CONFIG_SETTINGS_H

#include "config/limits.h"
#include "config/why.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* A value that no log, metric, error or API answer may show. */
struct secret {
    char value[LIMIT_SECRET_BYTES]; /* empty: not set */
};

struct settings_point {
    float x, y; /* relative to the picture, 0..1; y down */
};

/* Counting classes as bits: 1u << enum object_class (config/object_class.h). */
#define SETTINGS_ALL_CLASSES 0x3fU

struct settings_line {
    char                  name[LIMIT_NAME_BYTES];
    int                   point_count; /* 2..LIMIT_LINE_POINTS */
    struct settings_point points[LIMIT_LINE_POINTS];
    unsigned              classes;
    char a_to_b[LIMIT_NAME_BYTES]; /* what the user calls the directions; "a_to_b" by default */
    char b_to_a[LIMIT_NAME_BYTES];
};

struct settings_zone {
    char                  name[LIMIT_NAME_BYTES];
    int                   point_count; /* 3..LIMIT_ZONE_POINTS, does not cross itself */
    struct settings_point points[LIMIT_ZONE_POINTS];
    unsigned              classes;
    int inertia; /* pictures inside (outside) before an entry (exit) is believed; default 3 */
};

enum settings_pace { PACE_REAL_TIME, PACE_FASTEST };

/* How RTP comes: over the RTSP connection, over UDP if the camera refuses that (auto); the one
 * alone; or UDP first, and over the connection when no packet arrives. */
enum settings_transport { TRANSPORT_AUTO, TRANSPORT_TCP, TRANSPORT_UDP };

/* Where a camera may live, by its address: bits of `cameras_allowed`. */
#define SETTINGS_REACH_LOOPBACK   1U /* this machine */
#define SETTINGS_REACH_PRIVATE    2U /* 10/8, 172.16/12, 192.168/16, 100.64/10, fc00::/7 */
#define SETTINGS_REACH_LINK_LOCAL 4U /* 169.254/16, fe80::/10 */
#define SETTINGS_REACH_PUBLIC     8U
#define SETTINGS_REACH_ALL        15U
#define SETTINGS_REACH_DEFAULT \
    (SETTINGS_REACH_LOOPBACK | SETTINGS_REACH_PRIVATE | SETTINGS_REACH_PUBLIC)

#define SETTINGS_FINGERPRINT_BYTES 65 /* SHA-256 in hexadecimal with its NUL */

/* Where video is decoded: in sandboxed processes, which a hostile stream cannot leave, or in threads
 * of the server. */
enum settings_isolation { ISOLATION_PROCESS, ISOLATION_THREAD };
#define SETTINGS_DEVICES_MAX 64

struct settings_mask {
    int                   point_count; /* 3..LIMIT_ZONE_POINTS */
    struct settings_point points[LIMIT_ZONE_POINTS];
};

/* Pictures in which nothing moves need no detector. */
struct settings_motion {
    bool                 enabled;
    int                  mask_count;
    struct settings_mask masks[LIMIT_MASKS]; /* what moves in here moves nobody: a flag, a clock */
};

/* The stream that is shown when somebody looks at the camera large; connected to only then. */
struct settings_view {
    char          url[LIMIT_URL_BYTES]; /* an address without credentials; empty: there is none */
    char          user[LIMIT_NAME_BYTES];
    struct secret password; /* without a user and a password: the camera's, at the same host */
};

#define SETTINGS_VERSION_BYTES 33 /* hexadecimal digits, and the NUL */

struct settings_camera {
    char name[LIMIT_NAME_BYTES];
    /* Another text when anything that can be set is another, passwords aside: who changes a camera
     * says what he has seen. Of settings_load() alone; else empty. */
    char version[SETTINGS_VERSION_BYTES];
    bool enabled;
    bool
        managed; /* added through the API: it stands in the server's own file, see settings_managed.h */
    char url[LIMIT_URL_BYTES]; /* without credentials: rtsp://host/path, or a file's path */
    char user[LIMIT_NAME_BYTES];
    struct secret           password;
    struct settings_view    view;
    unsigned                reach;     /* SETTINGS_REACH_ bits; 0: SETTINGS_REACH_DEFAULT */
    enum settings_transport transport; /* RTSP */
    bool tls_unverified; /* any certificate is taken; default: it must be valid for the host */
    /* Of the certificate (SHA-256, lower case): this one alone is taken, whoever signed it. */
    char tls_fingerprint[SETTINGS_FINGERPRINT_BYTES];
    /* Of a video that came through the API, whose `url` is "upload:DIGITS": where it lies; and that
     * it was begun, and played to its end, not in a loop, as of when this was read. */
    char                   file[LIMIT_PATH_BYTES];
    bool                   begun, played;
    bool                   loop;       /* file: begin again at its end */
    enum settings_pace     pace;       /* file */
    double                 detect_fps; /* analysed pictures a second; 0: every picture */
    unsigned               classes;    /* objects.track */
    int                    line_count;
    struct settings_line   lines[LIMIT_LINES];
    int                    zone_count;
    struct settings_zone   zones[LIMIT_ZONES];
    struct settings_motion motion;
};

#define SETTINGS_CLASS_RULES 256

enum settings_fit { FIT_HEAD, FIT_TOP_LEFT, FIT_CENTRED, FIT_STRETCH };
enum settings_shape { SHAPE_PICTURE, SHAPE_FIXED };
enum settings_colors { COLORS_HEAD, COLORS_RGB, COLORS_BGR };

/* "van: car", "shopping cart: none". */
struct settings_class_rule {
    char        name[LIMIT_NAME_BYTES]; /* as the model calls it, or its number */
    signed char object_class;           /* enum object_class, or -1: not counted */
};

/* The network. All zero: that of the default places, everything as its file says. */
struct settings_model {
    char file[LIMIT_PATH_BYTES];    /* ONNX; empty: the default places are searched */
    char head[LIMIT_NAME_BYTES];    /* empty: recognised */
    char classes[LIMIT_PATH_BYTES]; /* file of names, one in each line; empty: the model's own */
    char backend[LIMIT_NAME_BYTES]; /* empty: the best that is there */
    char precision[8];              /* empty or "auto": the backend's choice */
    int  rule_count;
    struct settings_class_rule rules[SETTINGS_CLASS_RULES];
    /* How pictures are prepared, where the head's own way is not right. */
    enum settings_fit    fit;
    enum settings_colors colors;
    enum settings_shape  shape; /* of the input, where the file leaves its size open */
    bool                 has_mean, has_deviation, has_pad;
    float mean[3], deviation[3]; /* of colours in 0..255, in the order of `colors`; deviation > 0 */
    float pad;                   /* colour around the picture, 0..255 */
};

struct settings {
    char          file[LIMIT_PATH_BYTES];         /* where it was read */
    char          managed_file[LIMIT_PATH_BYTES]; /* the server's own, in the data folder */
    char          http_listen[64];                /* address, default 127.0.0.1 */
    uint16_t      http_port;  /* default 8080; 0: any free one, printed at start */
    struct secret http_token; /* this or http_token_file is needed on any address but loopback */
    char          http_token_file
        [LIMIT_PATH_BYTES]; /* made with a random token (0600) at first start when absent */
    char                    data[LIMIT_PATH_BYTES]; /* folder of the ledger */
    struct settings_model   model;
    struct secret           redis_url;         /* empty: no Redis; a URL may hold a password */
    int                     inference_workers; /* 0: by the machine */
    int                     decode_workers;    /* 0: by the machine */
    enum settings_isolation decode_isolation;
    int      decode_device; /* 0: processors decode; n + 1: CUDA device n decodes what it can */
    char     log_level[16];
    int      uploads_file_mib;  /* largest video through the API, in MiB */
    int      uploads_total_mib; /* all of them together */
    unsigned cameras_allowed;   /* SETTINGS_REACH_ bits; 0: SETTINGS_REACH_DEFAULT */
    int      camera_count;
    struct settings_camera *cameras; /* in the file's order */
};

#define SETTINGS_MAX_PROBLEMS 50
/* All that is wrong with a file at once: each "file:line:column: reason". */
struct settings_problems {
    int        count; /* may be larger than what is kept */
    struct why problem[SETTINGS_MAX_PROBLEMS];
};

/* Judges the address of a camera, without its credentials: 0, or a negative code with the reason, which
 * is told at the address's place in the file. This room knows no cameras: set once, before settings are
 * read; without it every address is taken. */
typedef int settings_address_fn(const char *address, struct why *why);
void        settings_judge_addresses(settings_address_fn *judge);

/* The file, and the cameras of the server's own file in its data folder, if there is one. 0, or
 * ERR_NOT_FOUND / ERR_INVALID / ERR_LIMIT with at least one problem; *out is NULL then. */
int settings_load(struct settings **out, const char *file, struct settings_problems *problems);
/* The same of what is open already, such as a pipe, which can be read once and no more; it stays the
 * caller's. */
int settings_load_stream(struct settings **out, FILE *file, const char *name,
                         struct settings_problems *problems);
/* As above from memory, and without the server's own file; `name` stands in for the file's name. */
int settings_load_text(struct settings **out, const char *text, size_t bytes, const char *name,
                       struct settings_problems *problems);
/* Adds the cameras of the server's own file, from memory. ERR_INVALID with at least one problem; some of
 * them are added then: free the settings. */
int  settings_add_managed(struct settings *settings, const char *text, size_t bytes,
                          struct settings_problems *problems);
void settings_free(struct settings **settings);

/* Every default set and all other bytes zero: how each of these structs begins its life. */
void settings_default(struct settings *settings);
void settings_camera_default(struct settings_camera *camera);
void settings_line_default(struct settings_line *line);
void settings_zone_default(struct settings_zone *zone);

/* "x1,y1,x2,y2,..." relative 0..1 into points; returns how many or a negative code with the reason. */
int settings_parse_points(const char *text, struct settings_point *points, int capacity,
                          struct why *why);
/* ERR_INVALID with the reason when a zone's outline crosses itself or has no area. */
int settings_check_polygon(const struct settings_point *points, int count, struct why *why);
/* 1..63 bytes of UTF-8, no control characters, no '/': usable in topics, metrics and keys. */
int settings_check_name(const char *name, struct why *why);

bool settings_model_equal(const struct settings_model *a, const struct settings_model *b);
bool settings_camera_equal(const struct settings_camera *a, const struct settings_camera *b);

#endif
