/* storage/redis_url.h: redis://[[user]:password@]host[:port][/database] taken apart. */
#ifndef SIGHTLINE_STORAGE_REDIS_URL_H
#define SIGHTLINE_STORAGE_REDIS_URL_H

#include "config/limits.h"
#include "config/why.h"

struct redis_url {
    char host[256];
    char port[8];
    char user[LIMIT_SECRET_BYTES];     /* empty: the default user */
    char password[LIMIT_SECRET_BYTES]; /* empty: none */
    char database[8];                  /* empty: 0 */
};

/* ERR_INVALID or ERR_UNSUPPORTED; the reason never repeats the URL. */
int redis_url_parse(struct redis_url *url, const char *text, struct why *why);

#endif
