/* Writing and choosing; what answers mean is in onvif_answer.c. */
#include "server/camera/onvif_message.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <openssl/evp.h>
#include <openssl/rand.h>

#include "config/assert.h"
#include "config/err.h"

#define NONCE_BYTES 16

void onvif_uuid(char out[static ONVIF_UUID_BYTES])
{
    unsigned char b[16];

    if (RAND_bytes(b, sizeof b) != 1)
        memset(b, 0x5a, sizeof b); /* it only tells questions apart */
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    snprintf(out, ONVIF_UUID_BYTES,
             "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
             b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
             b[15]);
}

size_t onvif_write_probe(const char *uuid, char *out, size_t out_bytes)
{
    int bytes = snprintf(
        out, out_bytes,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>"
        "<s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\""
        " xmlns:a=\"http://schemas.xmlsoap.org/ws/2004/08/addressing\""
        " xmlns:d=\"http://schemas.xmlsoap.org/ws/2005/04/discovery\""
        " xmlns:dn=\"http://www.onvif.org/ver10/network/wsdl\">"
        "<s:Header>"
        "<a:MessageID>urn:uuid:%s</a:MessageID>"
        "<a:To>urn:schemas-xmlsoap-org:ws:2005:04:discovery</a:To>"
        "<a:Action>http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe</a:Action>"
        "</s:Header><s:Body><d:Probe><d:Types>dn:NetworkVideoTransmitter</d:Types>"
        "</d:Probe></s:Body></s:Envelope>",
        uuid);

    ASSERT(bytes > 0 && (size_t)bytes < out_bytes);
    return (size_t)bytes;
}

/* ---- requests ---- */

struct writer {
    char  *out;
    size_t used, room;
    bool   full;
};

static void put(struct writer *writer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void put(struct writer *writer, const char *format, ...)
{
    va_list arguments;
    int     bytes;

    va_start(arguments, format);
    bytes = vsnprintf(writer->out + writer->used, writer->room - writer->used, format, arguments);
    va_end(arguments);
    if (bytes < 0 || (size_t)bytes >= writer->room - writer->used)
        writer->full = true;
    else
        writer->used += (size_t)bytes;
}

/* Text as XML: what ends an element or an attribute is written as its entity. */
static void put_text(struct writer *writer, const char *text)
{
    for (; *text != '\0' && !writer->full; text++) {
        switch (*text) {
        case '&':
            put(writer, "&amp;");
            break;
        case '<':
            put(writer, "&lt;");
            break;
        case '>':
            put(writer, "&gt;");
            break;
        case '"':
            put(writer, "&quot;");
            break;
        default:
            put(writer, "%c", *text);
            break;
        }
    }
}

static void base64(const unsigned char *bytes, size_t count, char *out)
{
    EVP_EncodeBlock((unsigned char *)out, bytes, (int)count);
}

/* Base64(SHA-1(nonce + created + password)): WS-Security UsernameToken Profile 1.0. */
static bool password_digest(const unsigned char nonce[NONCE_BYTES], const char *created,
                            const struct secret *password, char out[static 32])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned      digest_bytes = 0;
    EVP_MD_CTX   *context      = EVP_MD_CTX_new();
    bool          done;

    done = context != NULL && EVP_DigestInit_ex(context, EVP_sha1(), NULL) == 1 &&
           EVP_DigestUpdate(context, nonce, NONCE_BYTES) == 1 &&
           EVP_DigestUpdate(context, created, strlen(created)) == 1 &&
           EVP_DigestUpdate(context, password->value, strlen(password->value)) == 1 &&
           EVP_DigestFinal_ex(context, digest, &digest_bytes) == 1;
    EVP_MD_CTX_free(context);
    if (done)
        base64(digest, digest_bytes, out);
    return done;
}

#define WSS "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-"

static bool put_security(struct writer *writer, const struct onvif_credentials *credentials,
                         int64_t unix_s)
{
    unsigned char nonce[NONCE_BYTES];
    char          nonce_text[32];
    char          digest[32];
    char          created[32];
    struct tm     utc;
    time_t        at = (time_t)(unix_s + credentials->clock_ahead_s);

    if (RAND_bytes(nonce, sizeof nonce) != 1 || gmtime_r(&at, &utc) == NULL ||
        strftime(created, sizeof created, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0 ||
        !password_digest(nonce, created, credentials->password, digest))
        return false;
    base64(nonce, sizeof nonce, nonce_text);
    put(writer, "<w:Security s:mustUnderstand=\"1\" xmlns:w=\"" WSS "wssecurity-secext-1.0.xsd\""
                " xmlns:u=\"" WSS "wssecurity-utility-1.0.xsd\"><w:UsernameToken><w:Username>");
    put_text(writer, credentials->user);
    put(writer,
        "</w:Username><w:Password Type=\"" WSS "username-token-profile-1.0#PasswordDigest\">"
        "%s</w:Password><w:Nonce EncodingType=\"" WSS "soap-message-security-1.0#Base64Binary\">%s"
        "</w:Nonce><u:Created>%s</u:Created></w:UsernameToken></w:Security>",
        digest, nonce_text, created);
    return true;
}

#define DEVICE "http://www.onvif.org/ver10/device/wsdl"
#define MEDIA  "http://www.onvif.org/ver10/media/wsdl"

static const struct {
    const char *space, *name, *body; /* body: without the profile */
    bool        has_profile;
} REQUESTS[] = {
    [ONVIF_GET_TIME]         = {DEVICE, "GetSystemDateAndTime", "", false},
    [ONVIF_GET_CAPABILITIES] = {DEVICE, "GetCapabilities", "<m:Category>All</m:Category>", false},
    [ONVIF_GET_INFORMATION]  = {DEVICE, "GetDeviceInformation", "", false},
    [ONVIF_GET_PROFILES]     = {MEDIA, "GetProfiles", "", false},
    [ONVIF_GET_STREAM_URI]   = {MEDIA, "GetStreamUri",
                                "<m:StreamSetup><t:Stream>RTP-Unicast</t:Stream><t:Transport>"
                                  "<t:Protocol>RTSP</t:Protocol></t:Transport></m:StreamSetup>",
                                true},
    [ONVIF_GET_SNAPSHOT_URI] = {MEDIA, "GetSnapshotUri", "", true},
};

int onvif_write(enum onvif_request request, const char *profile,
                const struct onvif_credentials *credentials, int64_t unix_s, char *out,
                size_t out_bytes)
{
    struct writer writer = {.out = out, .room = out_bytes};

    put(&writer,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>"
        "<s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\""
        " xmlns:t=\"http://www.onvif.org/ver10/schema\" xmlns:m=\"%s\"><s:Header>",
        REQUESTS[request].space);
    if (request != ONVIF_GET_TIME && credentials->user != NULL && credentials->user[0] != '\0' &&
        !put_security(&writer, credentials, unix_s))
        return ERR_UNSUPPORTED;
    put(&writer, "</s:Header><s:Body><m:%s>%s", REQUESTS[request].name, REQUESTS[request].body);
    if (REQUESTS[request].has_profile) {
        put(&writer, "<m:ProfileToken>");
        put_text(&writer, profile);
        put(&writer, "</m:ProfileToken>");
    }
    put(&writer, "</m:%s></s:Body></s:Envelope>", REQUESTS[request].name);
    return writer.full ? ERR_LIMIT : (int)writer.used;
}

const char *onvif_action(enum onvif_request request)
{
    static const char *const ACTIONS[] = {
        [ONVIF_GET_TIME]         = DEVICE "/GetSystemDateAndTime",
        [ONVIF_GET_CAPABILITIES] = DEVICE "/GetCapabilities",
        [ONVIF_GET_INFORMATION]  = DEVICE "/GetDeviceInformation",
        [ONVIF_GET_PROFILES]     = MEDIA "/GetProfiles",
        [ONVIF_GET_STREAM_URI]   = MEDIA "/GetStreamUri",
        [ONVIF_GET_SNAPSHOT_URI] = MEDIA "/GetSnapshotUri",
    };

    return ACTIONS[request];
}

/* ---- choosing ---- */

static bool scheme_is_one_of(const char *address, size_t scheme_bytes, const char *schemes)
{
    while (*schemes != '\0') {
        size_t bytes = strcspn(schemes, " ");
        if (bytes == scheme_bytes && strncasecmp(address, schemes, bytes) == 0)
            return true;
        schemes += bytes + (schemes[bytes] == ' ');
    }
    return false;
}

int onvif_place_at(const char *address, const char *host, const char *schemes,
                   char out[static LIMIT_URL_BYTES], struct why *why)
{
    const char *colon = strstr(address, "://");
    const char *place;
    const char *path;
    const char *port;
    const char *at;
    bool        ipv6 = strchr(host, ':') != NULL;
    int         bytes;

    if (colon == NULL || !scheme_is_one_of(address, (size_t)(colon - address), schemes))
        return why_set(why, ERR_CORRUPT, "the camera gives no %.5s address", schemes);
    place = colon + 3;
    path  = place + strcspn(place, "/?#");
    for (at = path; at > place && at[-1] != '@'; at--)
        ;
    place = at;
    port  = place[0] == '[' ? strchr(place, ']') : place;
    if (port == NULL || port > path)
        return why_set(why, ERR_CORRUPT, "the camera gives an address that has no end");
    port += strcspn(port, ":/?#");
    if (port > path)
        port = path;
    bytes = snprintf(out, LIMIT_URL_BYTES, "%.*s://%s%s%s%.*s%s%s", (int)(colon - address), address,
                     ipv6 ? "[" : "", host, ipv6 ? "]" : "", (int)(path - port), port,
                     *path == '/' ? "" : "/", path);
    if (bytes < 0 || bytes >= LIMIT_URL_BYTES)
        return why_set(why, ERR_LIMIT, "the camera's address is too long");
    return 0;
}

static int64_t pixels(const struct onvif_profile *profile)
{
    return (int64_t)profile->width * profile->height;
}

int onvif_main_profile(const struct onvif_profile *profiles, int count)
{
    int best = 0;

    for (int i = 1; i < count; i++) {
        if (pixels(&profiles[i]) > pixels(&profiles[best]))
            best = i;
    }
    return best;
}

static bool is_decoded(const struct onvif_profile *profile)
{
    static const char *const CODECS[] = {"H264", "H265", "JPEG", "MPEG4", ""};

    for (size_t i = 0; i < sizeof CODECS / sizeof CODECS[0]; i++) {
        if (strcasecmp(profile->codec, CODECS[i]) == 0)
            return true;
    }
    return false;
}

int onvif_sub_profile(const struct onvif_profile *profiles, int count, int min_width)
{
    int best = -1;

    for (int i = 0; i < count; i++) {
        if (profiles[i].width < min_width || !is_decoded(&profiles[i]))
            continue;
        if (best < 0 || pixels(&profiles[i]) < pixels(&profiles[best]))
            best = i;
    }
    return best >= 0 ? best : onvif_main_profile(profiles, count);
}
