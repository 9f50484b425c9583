// links: camera
/* Any bytes as what a device on the network answers: to the multicast question, and to each request. */
#include "server/camera/onvif_message.h"
#include "server/camera/xml_tree.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

#define UUID "01234567-89ab-4def-8123-456789abcdef"

static void check_text(const char *text, size_t room)
{
    if (memchr(text, '\0', room) == NULL)
        __builtin_trap();
}

static void read_addresses(const char *uri)
{
    char       placed[LIMIT_URL_BYTES];
    struct why why;

    if (onvif_place_at(uri, "192.0.2.7", "rtsp rtsps", placed, &why) == 0 &&
        strstr(placed, "://192.0.2.7") == NULL)
        __builtin_trap(); /* another host than the one that was asked */
    onvif_place_at(uri, "fe80::1", "http https", placed, &why);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct onvif_match   matches[ONVIF_MATCHES_MAX];
    static struct onvif_profile profiles[ONVIF_PROFILES_MAX];
    struct onvif_information    information = {{0}, {0}, {0}};
    char                        uri[LIMIT_URL_BYTES];
    const char                 *text = (const char *)data;
    struct why                  why;
    int64_t                     unix_s;
    int                         count;

    count = onvif_read_matches(text, bytes, UUID, matches, ONVIF_MATCHES_MAX, &why);
    for (int i = 0; i < count; i++) {
        check_text(matches[i].name, sizeof matches[i].name);
        for (int j = 0; j < matches[i].address_count; j++)
            read_addresses(matches[i].address[j]);
    }
    onvif_read_time(text, bytes, &unix_s, &why);
    if (onvif_read_capabilities(text, bytes, uri, &why) == 0)
        read_addresses(uri);
    if (onvif_read_information(text, bytes, &information, &why) == 0)
        check_text(information.model, sizeof information.model);
    if (onvif_read_uri(text, bytes, uri, &why) == 0)
        read_addresses(uri);
    count = onvif_read_profiles(text, bytes, profiles, &why);
    if (count > 0 && (onvif_main_profile(profiles, count) >= count ||
                      onvif_sub_profile(profiles, count, 640) >= count))
        __builtin_trap();
    return 0;
}
