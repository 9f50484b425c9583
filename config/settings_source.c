#include "config/settings_source.h"

#include "config/hexadecimal.h"
#include "config/settings_value.h"

#include <string.h>

const char *const SETTINGS_TRANSPORTS[] = {"auto", "tcp", "udp", NULL};
const char *const SETTINGS_PACES[]      = {"real_time", "fastest", NULL};

void settings_read_transport(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                             void *target)
{
    int transport = settings_choose(reader, value, "transport", SETTINGS_TRANSPORTS,
                                    "auto, tcp or udp");

    (void)key;
    if (transport >= 0)
        *(enum settings_transport *)target = (enum settings_transport)transport;
}

void settings_read_tls_verify(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                              void *target)
{
    bool verify;

    (void)key;
    if (yaml_bool(reader, value, &verify))
        *(bool *)target = !verify;
}

/* With or without colons, as tools print it. */
void settings_read_fingerprint(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                               void *target)
{
    static const char digits[] = "0123456789abcdef";
    char              text[2 * SETTINGS_FINGERPRINT_BYTES];
    char              found[SETTINGS_FINGERPRINT_BYTES] = "";
    size_t            count                             = 0;

    (void)key;
    if (!yaml_text(reader, value, text, sizeof text))
        return;
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == ':')
            continue;
        if (hexadecimal_digit(*c) < 0 || count + 1 >= sizeof found) {
            count = 0;
            break;
        }
        found[count++] = digits[hexadecimal_digit(*c)];
    }
    if (count + 1 == sizeof found)
        memcpy(target, found, sizeof found);
    else
        yaml_problem(reader, value,
                     "a fingerprint is the SHA-256 of the camera's certificate: 64 hexadecimal "
                     "digits");
}

void settings_read_reach(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                         void *target)
{
    static const struct {
        const char *name;
        unsigned    reach;
    } KNOWN[] = {{"loopback", SETTINGS_REACH_LOOPBACK},
                 {"private", SETTINGS_REACH_PRIVATE},
                 {"link_local", SETTINGS_REACH_LINK_LOCAL},
                 {"public", SETTINGS_REACH_PUBLIC}};
    yaml_node_t *item;
    unsigned     reach = 0;
    char         text[32];

    for (int i = 0; (item = yaml_item(reader, value, i)) != NULL; i++) {
        size_t j = 0;

        if (!yaml_text(reader, item, text, sizeof text))
            continue;
        while (j < sizeof KNOWN / sizeof KNOWN[0] && strcmp(text, KNOWN[j].name) != 0)
            j++;
        if (j < sizeof KNOWN / sizeof KNOWN[0])
            reach |= KNOWN[j].reach;
        else
            yaml_problem(reader, item,
                         "\"%s\" is no place: loopback, private, link_local or public", text);
    }
    if (reach == 0)
        yaml_problem(reader, key, "cameras_allowed is a list, such as [loopback, private]");
    else
        *(unsigned *)target = reach;
}
