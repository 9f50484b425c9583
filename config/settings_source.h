/* config/settings_source.h: how a camera is reached, as the file says it. Inside of config/ only.
 *
 *   cameras_allowed: [loopback, private, public]   # at the top; also link_local
 *   cameras: {gate: {transport: udp, tls_verify: false, tls_fingerprint: "ab:cd:..."}} */
#ifndef SIGHTLINE_CONFIG_SETTINGS_SOURCE_H
#define SIGHTLINE_CONFIG_SETTINGS_SOURCE_H

#include "config/settings_yaml.h"

/* The words for the values of enum settings_transport and enum settings_pace, in their order; NULL
 * ends. */
extern const char *const SETTINGS_TRANSPORTS[];
extern const char *const SETTINGS_PACES[];

/* yaml_read_fn; targets: enum settings_transport, bool tls_unverified, tls_fingerprint, unsigned
 * SETTINGS_REACH_ bits. */
void settings_read_transport(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                             void *target);
void settings_read_tls_verify(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                              void *target);
void settings_read_fingerprint(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                               void *target);
void settings_read_reach(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                         void *target);

#endif
