/* server/api/api_inside.h: what the files of this folder share. */
#ifndef SIGHTLINE_SERVER_API_API_INSIDE_H
#define SIGHTLINE_SERVER_API_API_INSIDE_H

#include "server/api/api.h"
#include "server/api/http_server.h"
#include "server/api/token.h"

struct hub; /* hub.h */

struct api {
    struct api_settings settings; /* listen and token are not kept: they are the caller's */
    struct api_house    house;
    struct http_server *server;
    struct hub         *hub;
    struct token_door  *door;
    int                 parts; /* server and hub, while they are not closed yet */
};

#endif
