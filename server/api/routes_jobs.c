/* What takes its time: begun by a POST, asked about by its number. */
#include "server/api/routes.h"

#include <stdlib.h>
#include <string.h>

#include "config/err.h"

#define JOB_JSON_BYTES (4 << 20)

const struct query_rule JOB_RULES[] = {
    {"id", QUERY_NUMBER, true, INT64_MAX, NULL},
    {0},
};

const struct query_rule JOB_DATA_RULES[] = {
    {"id", QUERY_NUMBER, true, INT64_MAX, NULL},
    {"at", QUERY_NUMBER, true, INT64_MAX, NULL},
    {0},
};

static void answer_job(struct call *call, int status, int64_t id)
{
    const struct api_house *house = &call->api->house;
    struct json_writer      json;

    json_init(&json, JOB_JSON_BYTES);
    if (house->job_write != NULL && house->job_write(house->arg, id, &json))
        reply_json(&call->exchange->reply, status, &json);
    else
        reply_error(&call->exchange->reply, 404, "there is no such job, or no longer");
    json_free(&json);
}

void handle_job_begin(struct call *call)
{
    const struct api_house *house = &call->api->house;
    struct http_text        body  = call->exchange->body;
    struct why              why;
    int64_t                 id;

    if (house->job_begin == NULL) {
        reply_error(&call->exchange->reply, 501, "this server runs no jobs");
        return;
    }
    id = house->job_begin(house->arg, body.at, body.bytes, &why);
    if (id < 0)
        reply_failure(&call->exchange->reply, (int)id, &why);
    else
        answer_job(call, 202, id);
}

void handle_job_read(struct call *call)
{
    answer_job(call, 200, (int64_t)call->arguments[0].number);
}

void handle_job_cancel(struct call *call)
{
    const struct api_house *house = &call->api->house;
    int64_t                 id    = (int64_t)call->arguments[0].number;

    if (house->job_cancel != NULL)
        house->job_cancel(house->arg, id);
    answer_job(call, 200, id);
}

void handle_job_data(struct call *call)
{
    const struct api_house *house = &call->api->house;
    struct http_text        body  = call->exchange->body;
    int64_t                 id    = (int64_t)call->arguments[0].number;
    struct why              why   = {""};
    int                     rc;

    if (house->job_data == NULL) {
        reply_error(&call->exchange->reply, 501, "this server runs no jobs");
        return;
    }
    rc = house->job_data(house->arg, id, call->arguments[1].number, body.at, body.bytes, &why);
    if (rc != 0)
        reply_failure(&call->exchange->reply, rc, &why);
    else
        answer_job(call, 200, id);
}

void handle_job_picture(struct call *call)
{
    const struct api_house *house   = &call->api->house;
    struct reply           *reply   = &call->exchange->reply;
    int64_t                 id      = (int64_t)call->arguments[0].number;
    size_t                  bytes   = 0;
    const uint8_t          *picture = house->job_picture == NULL
                                          ? NULL
                                          : house->job_picture(house->arg, id, &bytes);

    if (picture == NULL)
        reply_error(reply, 404, "there is no picture of this job");
    else
        reply_copy(reply, 200, "image/jpeg", picture, bytes);
}
