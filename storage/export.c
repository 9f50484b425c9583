#include "storage/export.h"

#include "config/clock.h"
#include "config/err.h"
#include "config/json_writer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_EVENTS 256
/* One event: 16 points and two names of 6 bytes each escaped character are well below. */
#define JSON_BYTES 4096

/* The line above the first event; false when the file cannot be written. */
static bool csv_header(FILE *file)
{
    return fputs("seq,time,kind,camera,counter,direction,class,confidence,class_share,track,frame,"
                 "pts_ms,dwell_ms,rule\r\n",
                 file) >= 0;
}

/* A field that begins like a formula is run by spreadsheets, and names are chosen by whoever may
 * set up a camera: an apostrophe in front makes it text. */
static bool put_text(const char *text, FILE *file)
{
    bool good = fputc('"', file) != EOF;

    if (strchr("=+-@\t\r\n", text[0]) != NULL && text[0] != '\0')
        good = good && fputc('\'', file) != EOF;
    for (; *text != '\0' && good; text++) {
        if (*text == '"')
            good = fputc('"', file) != EOF;
        good = good && fputc(*text, file) != EOF;
    }
    return good && fputc('"', file) != EOF;
}

static bool csv_event(const struct event *event, FILE *file)
{
    char time[32];

    clock_format_utc(event->time_ns, time);
    return fprintf(file, "%" PRIu64 ",%s,%s,", event->seq, time, event_kind_name(event->kind)) >
               0 &&
           put_text(event->camera, file) && fputc(',', file) != EOF &&
           put_text(event->counter, file) &&
           fprintf(file,
                   ",%s,%s,%.4f,%.4f,%" PRIu64 ",%" PRIu64 ",%" PRId64 ",%" PRIu32 ",%08" PRIx32
                   "\r\n",
                   event_direction_name(event->direction), object_class_name(event->object_class),
                   (double)event->confidence, (double)event->class_share, event->track,
                   event->frame, event->pts_ns / NS_PER_MS, event->dwell_ms, event->rule) > 0;
}

static bool put_json_event(struct json_writer *json, const struct event *event, bool first,
                           FILE *file)
{
    const char *text;
    size_t      bytes;

    json_reset(json);
    event_write_json(event, json);
    text = json_text(json, &bytes);
    return text != NULL && (first || fputs(",\n", file) >= 0) &&
           fwrite(text, 1, bytes, file) == bytes;
}

static bool put_pages(struct ledger *ledger, enum export_format format, struct event *events,
                      struct json_writer *json, FILE *file, int *rc)
{
    uint64_t last = ledger_last_seq(ledger), seq = 0;
    bool     good = true;

    while (good && seq < last) {
        int count = ledger_read_events(ledger, seq, events, PAGE_EVENTS);

        if (count <= 0) {
            *rc = count < 0 ? count : ERR_CORRUPT;
            return true;
        }
        for (int i = 0; i < count && good && events[i].seq <= last; i++)
            good = format == EXPORT_CSV
                       ? csv_event(&events[i], file)
                       : put_json_event(json, &events[i], events[i].seq == 1, file);
        seq = events[count - 1].seq;
    }
    return good;
}

int ledger_export(struct ledger *ledger, enum export_format format, FILE *file, struct why *why)
{
    struct event      *events = malloc(PAGE_EVENTS * sizeof *events);
    struct json_writer json;
    int                rc = 0;
    bool               good;

    if (events == NULL)
        return why_set(why, ERR_MEMORY, "out of memory");
    json_init(&json, JSON_BYTES);
    good = format == EXPORT_CSV ? csv_header(file) : fputs("{\"events\":[\n", file) >= 0;
    good = good && put_pages(ledger, format, events, &json, file, &rc);
    if (good && rc == 0 && format == EXPORT_JSON)
        good = fputs("\n]}\n", file) >= 0;
    good = good && fflush(file) == 0;
    json_free(&json);
    free(events);
    if (!good)
        return why_set(why, ERR_IO, "the export cannot be written: %s", strerror(errno));
    return rc == 0 ? 0 : why_set(why, rc, "the ledger cannot be read: %s", err_text(rc));
}
