/* The newest picture of a camera as a JPEG. */
#include "server/api/routes.h"

#include <string.h>

#include "config/err.h"
#include "config/hexadecimal.h"

#define WIDTH_MIN_PX 16

const struct query_rule SNAPSHOT_RULES[] = {
    {"width", QUERY_NUMBER, false, LIMIT_PICTURE_PX, NULL},
    {0},
};
/* For names that a path does not take. */
const struct query_rule SNAPSHOT_OF_RULES[] = {
    {"width", QUERY_NUMBER, false, LIMIT_PICTURE_PX, NULL},
    {"camera", QUERY_NAME, true, 0, NULL},
    {0},
};

static void answer_snapshot(struct call *call, const char *camera)
{
    const struct api_house   *house = &call->api->house;
    const struct query_value *width = &call->arguments[0];
    struct reply             *reply = &call->exchange->reply;
    struct why                why   = {""};
    int                       index = house->camera_index(house->arg, camera);
    int                       rc;

    if (index < 0) {
        reply_error(reply, 404, "no camera named %s", camera);
        return;
    }
    if (width->present && width->number < WIDTH_MIN_PX) {
        reply_error(reply, 400, "width: %d at least", WIDTH_MIN_PX);
        return;
    }
    if (house->snapshot == NULL) {
        reply_error(reply, 501, "this server makes no pictures");
        return;
    }
    rc = house->snapshot(house->arg, index, width->present ? (int)width->number : 0,
                         call->exchange->ticket, &why);
    if (rc == 0)
        call->verdict = HTTP_LATER;
    else
        reply_failure(reply, rc, &why);
}

/* The door lets no broken escape through. False when it is longer than any name. */
static bool decode_segment(struct http_text segment, char name[static LIMIT_NAME_BYTES])
{
    size_t used = 0;

    for (size_t i = 0; i < segment.bytes && used + 1 < LIMIT_NAME_BYTES; i++) {
        if (segment.at[i] == '%' && i + 2 < segment.bytes) {
            name[used++] = (char)hexadecimal_byte(segment.at + i + 1);
            i += 2;
        } else {
            name[used++] = segment.at[i];
        }
        if (i + 1 == segment.bytes) {
            name[used] = '\0';
            return true;
        }
    }
    return false;
}

void handle_snapshot(struct call *call)
{
    char name[LIMIT_NAME_BYTES];

    if (decode_segment(call->segment, name))
        answer_snapshot(call, name);
    else
        reply_error(&call->exchange->reply, 404, "no camera has so long a name");
}

void handle_snapshot_of(struct call *call)
{
    answer_snapshot(call, call->arguments[1].text);
}
