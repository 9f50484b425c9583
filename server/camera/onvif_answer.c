/* What a camera's answers mean. */
#include "server/camera/onvif_message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "config/err.h"
#include "config/json_writer.h"
#include "server/camera/xml_tree.h"

#define FPS_MAX     1000.0
#define BITRATE_MAX 10000000

/* A text that may be shown: cut, and without anything that is not text. */
static void take(char *out, size_t out_bytes, const char *text)
{
    size_t used = 0;

    for (; *text != '\0' && used + 1 < out_bytes; text++)
        out[used++] = (unsigned char)*text < 0x20 || *text == 0x7f ? ' ' : *text;
    /* Cut within a character: take the rest of it away. */
    while (used > 0 && !json_utf8_valid(out, used))
        used--;
    memset(out + used, 0, out_bytes - used);
}

/* "%20" and its like, as scopes have them. */
static void take_encoded(char *out, size_t out_bytes, const char *text, size_t bytes)
{
    char   plain[ONVIF_TEXT_BYTES * 3];
    size_t used = 0;

    for (size_t i = 0; i < bytes && used + 1 < sizeof plain; i++) {
        char pair[3] = {0};
        if (text[i] == '%' && i + 2 < bytes + 0 && strchr("\t ", text[i + 1]) == NULL) {
            char *end;
            pair[0]  = text[i + 1];
            pair[1]  = text[i + 2];
            long hex = strtol(pair, &end, 16);
            if (end == pair + 2 && hex > 0) {
                plain[used++] = (char)hex;
                i += 2;
                continue;
            }
        }
        plain[used++] = text[i];
    }
    plain[used] = '\0';
    take(out, out_bytes, plain);
}

/* ---- WS-Discovery ---- */

static void read_scopes(struct onvif_match *match, const char *scopes)
{
    static const char PREFIX[] = "onvif://www.onvif.org/";
    const struct {
        const char *kind;
        char       *out;
    } wanted[] = {
        {"name/", match->name}, {"hardware/", match->hardware}, {"location/", match->location}};

    while (*scopes != '\0') {
        size_t bytes = strcspn(scopes, " \t\r\n");
        for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
            size_t skip = strlen(PREFIX) + strlen(wanted[i].kind);
            if (bytes > skip && strncasecmp(scopes, PREFIX, strlen(PREFIX)) == 0 &&
                strncasecmp(scopes + strlen(PREFIX), wanted[i].kind, strlen(wanted[i].kind)) == 0 &&
                wanted[i].out[0] == '\0')
                take_encoded(wanted[i].out, ONVIF_TEXT_BYTES, scopes + skip, bytes - skip);
        }
        scopes += bytes;
        scopes += strspn(scopes, " \t\r\n");
    }
}

static void read_addresses(struct onvif_match *match, const char *addresses)
{
    while (*addresses != '\0' && match->address_count < ONVIF_ADDRESSES_MAX) {
        size_t bytes = strcspn(addresses, " \t\r\n");
        if (bytes > 0 && bytes < LIMIT_URL_BYTES)
            snprintf(match->address[match->address_count++], LIMIT_URL_BYTES, "%.*s", (int)bytes,
                     addresses);
        addresses += bytes;
        addresses += strspn(addresses, " \t\r\n");
    }
}

/* "urn:uuid:X", "uuid:X" and "X" are the same to cameras. */
static const char *bare_uuid(const char *text)
{
    const char *colon = strrchr(text, ':');

    return colon == NULL ? text : colon + 1;
}

int onvif_read_matches(const char *text, size_t bytes, const char *uuid,
                       struct onvif_match *matches, int capacity, struct why *why)
{
    struct xml_tree          *tree;
    const struct xml_element *element;
    int                       count = 0;
    int                       rc    = xml_tree_read(&tree, text, bytes, why);

    if (rc != 0)
        return rc;
    element = xml_find(xml_tree_root(tree), "Body/ProbeMatches/ProbeMatch");
    if (strcasecmp(bare_uuid(xml_text(xml_tree_root(tree), "Header/RelatesTo")), uuid) != 0)
        element = NULL;
    for (; element != NULL && count < capacity; element = xml_next(element)) {
        struct onvif_match *match = &matches[count];
        memset(match, 0, sizeof *match);
        take(match->endpoint, sizeof match->endpoint,
             xml_text(element, "EndpointReference/Address"));
        read_scopes(match, xml_text(element, "Scopes"));
        read_addresses(match, xml_text(element, "XAddrs"));
        if (match->endpoint[0] != '\0')
            count++;
    }
    xml_tree_free(&tree);
    return count;
}

/* ---- answers ---- */

static bool ends_with(const char *text, const char *end)
{
    size_t bytes = strlen(text), end_bytes = strlen(end);

    return bytes >= end_bytes && strcmp(text + bytes - end_bytes, end) == 0;
}

static int fault(const struct xml_element *element, struct why *why)
{
    const struct xml_element *value = NULL;
    char                      reason[ONVIF_TEXT_BYTES];

    while ((value = xml_any(element, value, "Value")) != NULL) {
        if (ends_with(value->text, "NotAuthorized") ||
            ends_with(value->text, "FailedAuthentication") ||
            ends_with(value->text, "InvalidSecurity"))
            return why_set(why, ERR_UNAUTHORIZED, "the camera refuses this user and password");
    }
    take(reason, sizeof reason, xml_text(element, "Reason/Text"));
    if (reason[0] == '\0')
        take(reason, sizeof reason, xml_text(element, "faultstring"));
    return why_set(why, ERR_UNSUPPORTED, "the camera answers: %s",
                   reason[0] == '\0' ? "an error without a reason" : reason);
}

/* Reads an answer as far as the element `name` in its body. The tree is the caller's to free when 0. */
static int open_answer(struct xml_tree **tree, const char *text, size_t bytes, const char *name,
                       const struct xml_element **answer, struct why *why)
{
    const struct xml_element *body;
    int                       rc = xml_tree_read(tree, text, bytes, why);

    if (rc != 0)
        return rc;
    body    = xml_find(xml_tree_root(*tree), "Body");
    *answer = xml_find(body, name);
    if (*answer != NULL)
        return 0;
    rc = xml_find(body, "Fault") != NULL ? fault(xml_find(body, "Fault"), why)
                                         : why_set(why, ERR_CORRUPT, "the answer is no %s", name);
    xml_tree_free(tree);
    return rc;
}

static long whole(const char *text, long low, long high, long otherwise)
{
    char *end;
    long  value = strtol(text, &end, 10);

    return end == text || value < low || value > high ? otherwise : value;
}

int onvif_read_time(const char *text, size_t bytes, int64_t *unix_s, struct why *why)
{
    const struct xml_element *answer;
    const struct xml_element *date;
    const struct xml_element *time;
    struct xml_tree          *tree;
    struct tm                 utc = {0};
    int rc = open_answer(&tree, text, bytes, "GetSystemDateAndTimeResponse", &answer, why);

    if (rc != 0)
        return rc;
    date        = xml_find(answer, "SystemDateAndTime/UTCDateTime/Date");
    time        = xml_find(answer, "SystemDateAndTime/UTCDateTime/Time");
    utc.tm_year = (int)whole(xml_text(date, "Year"), 1970, 9999, 0) - 1900;
    utc.tm_mon  = (int)whole(xml_text(date, "Month"), 1, 12, 0) - 1;
    utc.tm_mday = (int)whole(xml_text(date, "Day"), 1, 31, 0);
    utc.tm_hour = (int)whole(xml_text(time, "Hour"), 0, 23, -1);
    utc.tm_min  = (int)whole(xml_text(time, "Minute"), 0, 59, -1);
    utc.tm_sec  = (int)whole(xml_text(time, "Second"), 0, 60, -1);
    xml_tree_free(&tree);
    if (utc.tm_year < 70 || utc.tm_mon < 0 || utc.tm_mday == 0 || utc.tm_hour < 0 ||
        utc.tm_min < 0 || utc.tm_sec < 0)
        return why_set(why, ERR_CORRUPT, "the camera tells no time");
    *unix_s = timegm(&utc);
    return 0;
}

int onvif_read_capabilities(const char *text, size_t bytes, char media[static LIMIT_URL_BYTES],
                            struct why *why)
{
    const struct xml_element *answer;
    struct xml_tree          *tree;
    int rc = open_answer(&tree, text, bytes, "GetCapabilitiesResponse", &answer, why);

    if (rc != 0)
        return rc;
    take(media, LIMIT_URL_BYTES, xml_text(answer, "Capabilities/Media/XAddr"));
    xml_tree_free(&tree);
    if (media[0] == '\0')
        return why_set(why, ERR_UNSUPPORTED, "the device has no media service: it is no camera");
    return 0;
}

int onvif_read_information(const char *text, size_t bytes, struct onvif_information *information,
                           struct why *why)
{
    const struct xml_element *answer;
    struct xml_tree          *tree;
    int rc = open_answer(&tree, text, bytes, "GetDeviceInformationResponse", &answer, why);

    if (rc != 0)
        return rc;
    take(information->maker, sizeof information->maker, xml_text(answer, "Manufacturer"));
    take(information->model, sizeof information->model, xml_text(answer, "Model"));
    take(information->firmware, sizeof information->firmware, xml_text(answer, "FirmwareVersion"));
    xml_tree_free(&tree);
    return 0;
}

static void read_profile(struct onvif_profile *profile, const struct xml_element *element,
                         const struct xml_element *encoder)
{
    double fps;
    char  *end;

    memset(profile, 0, sizeof *profile);
    take(profile->token, sizeof profile->token, element->token);
    take(profile->name, sizeof profile->name, xml_text(element, "Name"));
    take(profile->codec, sizeof profile->codec, xml_text(encoder, "Encoding"));
    profile->width  = (int)whole(xml_text(encoder, "Resolution/Width"), 1, LIMIT_PICTURE_PX, 0);
    profile->height = (int)whole(xml_text(encoder, "Resolution/Height"), 1, LIMIT_PICTURE_PX, 0);
    profile->bitrate_kbps = (int)whole(xml_text(encoder, "RateControl/BitrateLimit"), 0,
                                       BITRATE_MAX, 0);
    fps                   = strtod(xml_text(encoder, "RateControl/FrameRateLimit"), &end);
    if (fps > 0 && fps <= FPS_MAX)
        profile->fps = fps;
}

int onvif_read_profiles(const char *text, size_t bytes,
                        struct onvif_profile profiles[static ONVIF_PROFILES_MAX], struct why *why)
{
    const struct xml_element *answer;
    const struct xml_element *element;
    struct xml_tree          *tree;
    int                       count = 0;
    int rc = open_answer(&tree, text, bytes, "GetProfilesResponse", &answer, why);

    if (rc != 0)
        return rc;
    for (element = xml_find(answer, "Profiles"); element != NULL && count < ONVIF_PROFILES_MAX;
         element = xml_next(element)) {
        const struct xml_element *encoder = xml_find(element, "VideoEncoderConfiguration");
        if (encoder == NULL || element->token[0] == '\0' ||
            strlen(element->token) >= ONVIF_TOKEN_BYTES)
            continue;
        read_profile(&profiles[count++], element, encoder);
    }
    xml_tree_free(&tree);
    if (count == 0)
        return why_set(why, ERR_UNSUPPORTED, "the camera has no profile with video");
    return count;
}

int onvif_read_uri(const char *text, size_t bytes, char uri[static LIMIT_URL_BYTES],
                   struct why *why)
{
    const struct xml_element *answer;
    const struct xml_element *element;
    struct xml_tree          *tree;
    int                       rc;

    rc = open_answer(&tree, text, bytes, "GetStreamUriResponse", &answer, why);
    if (rc == ERR_CORRUPT)
        rc = open_answer(&tree, text, bytes, "GetSnapshotUriResponse", &answer, why);
    if (rc != 0)
        return rc;
    element = xml_find(answer, "MediaUri/Uri");
    take(uri, LIMIT_URL_BYTES, element == NULL ? "" : element->text);
    xml_tree_free(&tree);
    return uri[0] == '\0' ? why_set(why, ERR_CORRUPT, "the camera gives no address") : 0;
}
