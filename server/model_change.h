/* server/model_change.h: the network of the running server, and another in its place.
 *
 * A model is loaded and tried on a worker of libuv and then swapped in between two batches; the
 * cameras and their counts go on (or begin: it may be the first). One that does not work is refused: the old one runs on, and
 * health says why. On the loop, all of it. */
#ifndef SIGHTLINE_SERVER_MODEL_CHANGE_H
#define SIGHTLINE_SERVER_MODEL_CHANGE_H

#include "server/server.h"

/* When the settings differ from those that run (or were refused last), or the model's file was
 * replaced: begins the change. A server that began without a model begins to count with the first
 * one. */
void model_change_begin(struct server *server, const struct settings_model *model);

/* Why the configured model is not the one that runs; NULL: it is, or is just being loaded. */
const char *model_change_problem(const struct server *server);

/* Waits for a change that is on its way, before the pipeline is closed; nothing of it is left there. */
void model_change_wait(struct server *server);

#endif
