// links: camera
// Any text as a camera's address and through the redactor. What is read writes back and reads the same; no
// user and password that was read is left in the redacted text, nor in what the settings keep.
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/assert.h"
#include "config/url_credentials.h"
#include "server/camera/camera_url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check_address(const char *text)
{
    struct camera_url url, again, redirected;
    struct why        why;
    char              form[LIMIT_URL_BYTES], second[LIMIT_URL_BYTES];

    if (camera_url_parse(&url, text, &why) != 0)
        return;
    camera_url_format(&url, form);
    ASSERT(strlen(form) < LIMIT_URL_BYTES);
    ASSERT(strstr(form, "://") != NULL);
    ASSERT(camera_url_parse(&again, form, &why) == 0);
    ASSERT(again.user[0] == '\0' && again.password.value[0] == '\0');
    ASSERT(url.scheme == again.scheme);
    camera_url_parse(&redirected, "rtsp://user:canary@house/x", &why);
    /* Credentials go to their own host alone. */
    if (camera_url_redirect(&redirected, text, &why) == 0)
        ASSERT(strcmp(redirected.host, "house") == 0 || redirected.password.value[0] == '\0');
    ASSERT(strcmp(url.host, again.host) == 0 && url.port == again.port && url.ipv6 == again.ipv6);
    camera_url_format(&again, second);
    ASSERT(strcmp(form, second) == 0);
}

/* What the settings keep as an address, with the credentials taken out, is the same place, and what is left
 * holds none. */
static void check_split(const char *text)
{
    struct camera_url whole, rest;
    char              url[LIMIT_URL_BYTES], user[LIMIT_NAME_BYTES] = "", form[LIMIT_URL_BYTES];
    char              other[LIMIT_URL_BYTES];
    struct secret     password = {""};

    if (camera_url_parse(&whole, text, NULL) != 0 ||
        url_split_credentials(text, url, user, &password, NULL) != 0)
        return;
    ASSERT(camera_url_parse(&rest, url, NULL) == 0);
    ASSERT(rest.user[0] == '\0' && rest.password.value[0] == '\0');
    ASSERT(strcmp(user, whole.user) == 0 && strcmp(password.value, whole.password.value) == 0);
    camera_url_format(&whole, form);
    camera_url_format(&rest, other);
    ASSERT(strcmp(form, other) == 0);
}

/* A password as it stands in the address, between a user and a host, is gone. (A colon could begin the next
 * address in it.) */
static void check_redaction(const char *text)
{
    size_t bytes = strcspn(text, "\r\n:");
    char  *full = malloc(bytes + 64), *out = malloc(bytes + 64);

    if (full != NULL && out != NULL) {
        memcpy(full, "rtsp://user:BEGIN", 17);
        memcpy(full + 17, text, bytes);
        memcpy(full + 17 + bytes, "END@camera/", 12);
        camera_url_redact(full, out, bytes + 64);
        ASSERT(strstr(out, "BEGIN") == NULL && strstr(out, "END") == NULL);
    }
    free(full);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    char         *text = malloc(bytes + 1);
    char          out[300];
    struct secret secret = {""};
    size_t        room   = bytes > 0 ? data[0] + 1U : 1;

    if (text == NULL)
        return 0;
    memcpy(text, data, bytes);
    text[bytes] = '\0';
    check_address(text);
    check_split(text);
    check_redaction(text);
    memcpy(secret.value, text, strnlen(text, 8));
    camera_url_redact_secret(text, &secret, out, room);
    ASSERT(strlen(out) < room);
    free(text);
    return 0;
}
