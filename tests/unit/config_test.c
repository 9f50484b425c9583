// links: config
/* The ground floor: JSON writer, log levels, clock text, error table. */
#include "config/clock.h"
#include "config/err.h"
#include "config/json_writer.h"
#include "config/log.h"
#include "config/object_class.h"
#include "config/plural.h"
#include "config/why.h"
#include "tests/tap.h"

static void test_json(void)
{
    struct json_writer json;

    json_init(&json, 4096);
    json_begin_object(&json);
    json_key(&json, "a");
    json_begin_array(&json);
    json_put_int(&json, -5);
    json_put_uint(&json, UINT64_MAX);
    json_put_fixed(&json, 1.50, 4);
    json_put_fixed(&json, -0.00001, 2);
    json_put_fixed(&json, NAN, 2);
    json_put_bool(&json, true);
    json_put_null(&json);
    json_end_array(&json);
    json_key(&json, "b\"\n");
    json_put_string(&json, "x\\\xff\xc3\xa9\x01");
    json_end_object(&json);
    is_text(json_text(&json, NULL),
            "{\"a\":[-5,18446744073709551615,1.5,0,null,true,null],\"b\\\"\\u000a\":"
            "\"x\\\\\xef\xbf\xbd\xc3\xa9\\u0001\"}",
            "every kind of value");
    json_free(&json);
    json_init(&json, 16);
    json_put_string(&json, "much longer than the limit");
    ok(json_text(&json, NULL) == NULL, "a limit that is hit gives no half text");
    json_reset(&json);
    json_put_string(&json, "short");
    is_text(json_text(&json, NULL), "\"short\"", "and the writer can be used again");
    json_free(&json);
}

static void test_small(void)
{
    char              text[32];
    enum log_level    level;
    enum object_class object_class;
    struct why        why;

    clock_format_utc(INT64_C(1795230245678) * NS_PER_MS, text);
    is_text(text, "2026-11-21T03:04:05.678Z", "UTC text");
    clock_format_utc(-NS_PER_MS, text);
    is_text(text, "1969-12-31T23:59:59.999Z", "before 1970");
    ok(log_level_from_text("debug", &level) && level == LOG_DEBUG, "level by name");
    ok(!log_level_from_text("loud", &level), "no such level");
    is_text(plural(0), "s", "no pictures");
    is_text(plural(1), "", "one picture");
    is_text(plural(2), "s", "two pictures");
    is_text(err_text(ERR_FULL), "queue is full", "text of a code");
    is_int(err_http_status(ERR_NOT_FOUND), 404, "HTTP status of a code");
    ok(object_class_from_name("bus", &object_class) && object_class == OBJECT_BUS, "class by name");
    is_text(object_class_name((enum object_class)99), "unknown", "no such class");
    is_int(why_set(&why, ERR_IO, "disk %d", 3), ERR_IO, "why_set returns the code");
    why_prefix(&why, "ledger");
    is_text(why.text, "ledger: disk 3", "prefix");
}

int main(void)
{
    test_json();
    test_small();
    return done_testing();
}
