/* links: storage */
#include "tests/tap.h"

#include "config/err.h"
#include "storage/export.h"
#include "tests/storage_kit.h"

#define START_NS (INT64_C(1767225600) * NS_PER_S) /* 2026-01-01 */

static struct ledger *open_ledger(const char *path)
{
    struct ledger_settings settings = {0};
    struct ledger         *ledger;
    struct why             why;

    if (ledger_open(&ledger, path, &settings, &why) != 0) {
        printf("Bail out! %s\n", why.text);
        exit(1);
    }
    return ledger;
}

static char *export_text(struct ledger *ledger, enum export_format format)
{
    char  *text;
    size_t bytes;
    FILE  *file = open_memstream(&text, &bytes);

    ok(ledger_export(ledger, format, file, NULL) == 0, "export");
    fclose(file);
    return text;
}

static void exports(void)
{
    char           path[64], *text;
    struct ledger *ledger = open_ledger(kit_folder(path));
    struct event   event  = {.time_ns      = START_NS,
                             .kind         = EVENT_LINE_CROSSING,
                             .direction    = DIRECTION_B_TO_A,
                             .camera       = "=HYPERLINK(\"x\")",
                             .counter      = "a, \"b\"",
                             .object_class = OBJECT_BUS,
                             .confidence   = 0.5F,
                             .class_share  = 1,
                             .track        = 4,
                             .frame        = 100,
                             .pts_ns       = 4 * NS_PER_S,
                             .rule         = 255};
    struct why     why;
    FILE          *full;

    text = export_text(ledger, EXPORT_JSON);
    is_text(text, "{\"events\":[\n\n]}\n", "an empty ledger as JSON");
    free(text);
    ledger_append(ledger, &event);
    ledger_append(ledger, &event);
    ledger_flush(ledger, 10000);
    text = export_text(ledger, EXPORT_CSV);
    is_text(
        text,
        "seq,time,kind,camera,counter,direction,class,confidence,class_share,track,frame,pts_ms,"
        "dwell_ms,rule\r\n"
        "1,2026-01-01T00:00:00.000Z,line_crossing,\"'=HYPERLINK(\"\"x\"\")\",\"a, \"\"b\"\"\","
        "b_to_a,bus,0.5000,1.0000,4,100,4000,0,000000ff\r\n"
        "2,2026-01-01T00:00:00.000Z,line_crossing,\"'=HYPERLINK(\"\"x\"\")\",\"a, \"\"b\"\"\","
        "b_to_a,bus,0.5000,1.0000,4,100,4000,0,000000ff\r\n",
        "CSV: quotes doubled, a formula defused");
    free(text);
    text = export_text(ledger, EXPORT_JSON);
    ok(strstr(text, "\"seq\":1,") != NULL && strstr(text, "},\n{\"seq\":2,") != NULL &&
           strstr(text, "\n]}\n") != NULL,
       "JSON: two events");
    free(text);
    full = fopen("/dev/full", "w");
    is_int(ledger_export(ledger, EXPORT_CSV, full, &why), ERR_IO, "a full disk: %s", why.text);
    fclose(full);
    ledger_close(&ledger);
    kit_remove(path);
}

int main(void)
{
    exports();
    return done_testing();
}
