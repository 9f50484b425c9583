/* config/limits.h: every bound of the program in one place, with the reason for its number.
 *
 * A bound that is met is counted (GET /metrics) and refused or dropped by a policy that the
 * code names; nothing here grows without end. */
#ifndef SIGHTLINE_CONFIG_LIMITS_H
#define SIGHTLINE_CONFIG_LIMITS_H

#define LIMIT_NAME_BYTES   64   /* name of a camera, line or zone, with the final NUL */
#define LIMIT_CAMERAS      1024 /* of one server; beyond it comes a second node */
#define LIMIT_LINES        32   /* of one camera */
#define LIMIT_ZONES        32   /* of one camera */
#define LIMIT_MASKS        8    /* of one camera's motion */
#define LIMIT_LINE_POINTS  16
#define LIMIT_ZONE_POINTS  64
#define LIMIT_WORKERS      256 /* threads of one pool */
#define LIMIT_URL_BYTES    1024
#define LIMIT_PATH_BYTES   1024
#define LIMIT_SECRET_BYTES 256

#define LIMIT_BOXES      256  /* of one picture after suppression; the densest street seen has 60 */
#define LIMIT_TRACKS     512  /* of one camera, live and lost together */
#define LIMIT_PICTURE_PX 8192 /* width or height of a picture; 8K cameras are 7680 */

#define LIMIT_FILE_CONFIG_BYTES (1 << 20)
#define LIMIT_FILE_MODEL_BYTES  (512 << 20)

#define LIMIT_HTTP_HEAD_BYTES   (16 << 10)
#define LIMIT_HTTP_TARGET_BYTES (4 << 10)
#define LIMIT_HTTP_BODY_BYTES   (1 << 20)
#define LIMIT_WS_MESSAGE_BYTES  (64 << 10)
#define LIMIT_WS_QUEUE_BYTES \
    (256 << 10) /* queued for one client; past it the newest state replaces the old */
#define LIMIT_WS_QUEUE_HARD_BYTES (1 << 20) /* past it the client is closed */
#define LIMIT_WS_BEHIND_MS        10000     /* a client that takes nothing for so long is closed */
#define LIMIT_CLIENTS             4096
#define LIMIT_SUBSCRIPTIONS       64 /* topics of one client; lower than cameras: a wall pages */

#define LIMIT_DISK_LOW_BYTES    (1ULL << 30) /* less than this, and than a tenth, is a problem */
#define LIMIT_LEDGER_QUEUE      65536 /* events that wait for a commit: 10 minutes of 100 events/s */
#define LIMIT_LEDGER_GROUP      64    /* events in one commit */
#define LIMIT_LEDGER_GROUP_MS   20
#define LIMIT_EVENT_PATH_POINTS 16   /* simplified track path kept as evidence */
#define LIMIT_PAGE_EVENTS       1000 /* of one answer of /api/v1/events */

#endif
