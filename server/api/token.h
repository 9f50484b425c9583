/* server/api/token.h: who may ask: the server's token, and the sessions that browsers get for it.
 *
 * A session is 256 random bits in a cookie; only its hash is kept, for 30 days, in memory: a restart asks again.
 * Tokens are compared in constant time. An address that fails 5 times in a minute is not listened to until the
 * minute is over, right token or not; sessions are not affected by that. Loop thread only. */
#ifndef SIGHTLINE_SERVER_API_TOKEN_H
#define SIGHTLINE_SERVER_API_TOKEN_H

#include "server/api/http_door.h"
#include "server/api/peers.h"

#include <stdbool.h>
#include <stdint.h>

#define TOKEN_SESSIONS          256     /* browsers signed in at one time; the oldest makes room */
#define TOKEN_SESSION_S         2592000 /* 30 days */
#define TOKEN_ATTEMPTS          5       /* failures in a minute from one address */
#define TOKEN_COOKIE_BYTES      44      /* 256 bits in URL-safe base64, with its NUL */
#define TOKEN_COOKIE_NAME_BYTES 32

struct token_door;

/* `token` NULL or empty: everybody is let in. The token is copied as a hash. ERR_MEMORY. */
int  token_open(struct token_door **out, const char *token);
void token_close(struct token_door **door);
bool token_needed(const struct token_door *door);
/* Cookies do not know ports: with its own in the name, two servers on one machine do not sign each other's users out. */
void        token_set_port(struct token_door *door, uint16_t port);
const char *token_cookie_name(const struct token_door *door);

enum token_answer {
    TOKEN_OK,
    TOKEN_MISSING, /* no credentials at all */
    TOKEN_WRONG,
    TOKEN_LIMITED, /* too many failures from this address */
};

/* The Authorization and Cookie headers of a request. *session (may be NULL) becomes the session's number, from 1, or 0. */
enum token_answer token_check(struct token_door *door, const struct http_request *request,
                              const struct peer *peer, int64_t now_ns, uint64_t *session);
/* Exchanges the token for a new session's cookie. */
enum token_answer token_sign_in(struct token_door *door, struct http_text token,
                                const struct peer *peer, int64_t now_ns,
                                char cookie[static TOKEN_COOKIE_BYTES]);
/* Ends the session of this request's cookie; its number, or 0 when there was none. */
uint64_t token_sign_out(struct token_door *door, const struct http_request *request,
                        int64_t now_ns);

#endif
