#include "server/api/token.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/clock.h"
#include "config/err.h"

#define HASH_BYTES crypto_generichash_BYTES
#define WINDOW_NS  (60 * NS_PER_S)
/* Addresses whose failures are remembered; an attacker with more of them than that is slowed by nothing but the token's length. */
#define FAILED_PEERS 1024

struct session {
    uint64_t number;     /* from 1; 0: free */
    int64_t  expires_ns; /* monotonic */
    uint8_t  hash[HASH_BYTES];
};

struct failures {
    struct peer peer;
    int64_t     at_ns[TOKEN_ATTEMPTS]; /* the last ones, a ring */
    int         next;
    int         count;
};

struct token_door {
    bool     needed;
    char     cookie_name[TOKEN_COOKIE_NAME_BYTES];
    uint8_t  hash[HASH_BYTES];
    uint8_t  key[crypto_generichash_KEYBYTES]; /* so that hashes mean nothing outside this run */
    uint64_t last_session;
    struct session  sessions[TOKEN_SESSIONS];
    int             failed_count;
    struct failures failed[FAILED_PEERS];
};

static void hash(const struct token_door *door, struct http_text text, uint8_t out[HASH_BYTES])
{
    crypto_generichash(out, HASH_BYTES, (const unsigned char *)text.at, text.bytes, door->key,
                       sizeof door->key);
}

int token_open(struct token_door **out, const char *token)
{
    struct token_door *door;

    *out = NULL;
    if (sodium_init() < 0)
        return ERR_IO;
    door = calloc(1, sizeof *door);
    if (door == NULL)
        return ERR_MEMORY;
    randombytes_buf(door->key, sizeof door->key);
    door->needed = token != NULL && token[0] != '\0';
    if (door->needed)
        hash(door, (struct http_text){token, strlen(token)}, door->hash);
    token_set_port(door, 0);
    *out = door;
    return 0;
}

void token_close(struct token_door **door)
{
    if (*door != NULL)
        sodium_memzero(*door, sizeof **door);
    free(*door);
    *door = NULL;
}

bool token_needed(const struct token_door *door)
{
    return door->needed;
}

void token_set_port(struct token_door *door, uint16_t port)
{
    snprintf(door->cookie_name, sizeof door->cookie_name, "sightline_session_%u", port);
}

const char *token_cookie_name(const struct token_door *door)
{
    return door->cookie_name;
}

/* ---- failures ---- */

static struct failures *find_failures(struct token_door *door, const struct peer *peer)
{
    for (int i = 0; i < door->failed_count; i++) {
        if (peer_equal(&door->failed[i].peer, peer))
            return &door->failed[i];
    }
    return NULL;
}

static bool limited(struct token_door *door, const struct peer *peer, int64_t now_ns)
{
    const struct failures *failures = find_failures(door, peer);

    /* `next` is the oldest once the ring is full. */
    return failures != NULL && failures->count == TOKEN_ATTEMPTS &&
           now_ns - failures->at_ns[failures->next] < WINDOW_NS;
}

static int64_t last_failure_ns(const struct failures *failures)
{
    return failures->at_ns[(failures->next + TOKEN_ATTEMPTS - 1) % TOKEN_ATTEMPTS];
}

static void note_failure(struct token_door *door, const struct peer *peer, int64_t now_ns)
{
    struct failures *failures = find_failures(door, peer);

    if (failures == NULL && door->failed_count < FAILED_PEERS)
        failures = &door->failed[door->failed_count++];
    if (failures == NULL) {
        failures = &door->failed[0];
        for (int i = 1; i < FAILED_PEERS; i++) {
            if (last_failure_ns(&door->failed[i]) < last_failure_ns(failures))
                failures = &door->failed[i];
        }
    }
    if (!peer_equal(&failures->peer, peer) || failures->count == 0) {
        memset(failures, 0, sizeof *failures);
        failures->peer = *peer;
    }
    failures->at_ns[failures->next] = now_ns;
    failures->next                  = (failures->next + 1) % TOKEN_ATTEMPTS;
    if (failures->count < TOKEN_ATTEMPTS)
        failures->count++;
}

static enum token_answer check_token(struct token_door *door, struct http_text token,
                                     const struct peer *peer, int64_t now_ns)
{
    uint8_t given[HASH_BYTES];

    if (limited(door, peer, now_ns))
        return TOKEN_LIMITED;
    hash(door, token, given);
    if (sodium_memcmp(given, door->hash, HASH_BYTES) == 0)
        return TOKEN_OK;
    note_failure(door, peer, now_ns);
    return TOKEN_WRONG;
}

/* ---- sessions ---- */

/* The value of our cookie in "a=1; b=2". */
static struct http_text find_cookie(const struct token_door *door, struct http_text cookies)
{
    size_t name_bytes = strlen(door->cookie_name);
    size_t from       = 0;

    for (size_t i = 0; cookies.at != NULL && i <= cookies.bytes; i++) {
        if (i < cookies.bytes && cookies.at[i] != ';')
            continue;
        while (from < i && cookies.at[from] == ' ')
            from++;
        if (i - from > name_bytes && cookies.at[from + name_bytes] == '=' &&
            memcmp(cookies.at + from, door->cookie_name, name_bytes) == 0)
            return (struct http_text){cookies.at + from + name_bytes + 1,
                                      i - from - name_bytes - 1};
        from = i + 1;
    }
    return (struct http_text){0};
}

static struct session *find_session(struct token_door *door, const struct http_request *request,
                                    int64_t now_ns)
{
    struct http_text cookie = find_cookie(door, http_header(request, "cookie", NULL));
    uint8_t          given[HASH_BYTES];

    if (cookie.at == NULL)
        return NULL;
    hash(door, cookie, given);
    for (int i = 0; i < TOKEN_SESSIONS; i++) {
        struct session *session = &door->sessions[i];
        if (session->number != 0 && session->expires_ns > now_ns &&
            sodium_memcmp(session->hash, given, HASH_BYTES) == 0)
            return session;
    }
    return NULL;
}

enum token_answer token_check(struct token_door *door, const struct http_request *request,
                              const struct peer *peer, int64_t now_ns, uint64_t *session)
{
    struct http_text      authorization = http_header(request, "authorization", NULL);
    const struct session *found;

    if (session != NULL)
        *session = 0;
    if (!door->needed)
        return TOKEN_OK;
    found = find_session(door, request, now_ns);
    if (found != NULL) {
        if (session != NULL)
            *session = found->number;
        return TOKEN_OK;
    }
    if (authorization.at == NULL)
        return TOKEN_MISSING;
    if (authorization.bytes <= 7 ||
        !http_text_is((struct http_text){authorization.at, 7}, "bearer "))
        return TOKEN_MISSING;
    return check_token(door, (struct http_text){authorization.at + 7, authorization.bytes - 7},
                       peer, now_ns);
}

enum token_answer token_sign_in(struct token_door *door, struct http_text token,
                                const struct peer *peer, int64_t now_ns,
                                char cookie[static TOKEN_COOKIE_BYTES])
{
    struct session   *session = &door->sessions[0];
    uint8_t           random[32];
    enum token_answer answer;

    cookie[0] = '\0';
    answer    = check_token(door, token, peer, now_ns);
    if (answer != TOKEN_OK)
        return answer;
    for (int i = 1; i < TOKEN_SESSIONS && session->number != 0; i++) {
        if (door->sessions[i].number == 0 || door->sessions[i].expires_ns < session->expires_ns)
            session = &door->sessions[i];
    }
    randombytes_buf(random, sizeof random);
    sodium_bin2base64(cookie, TOKEN_COOKIE_BYTES, random, sizeof random,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    sodium_memzero(random, sizeof random);
    session->number     = ++door->last_session;
    session->expires_ns = now_ns + TOKEN_SESSION_S * NS_PER_S;
    hash(door, (struct http_text){cookie, strlen(cookie)}, session->hash);
    return TOKEN_OK;
}

uint64_t token_sign_out(struct token_door *door, const struct http_request *request, int64_t now_ns)
{
    struct session *session = find_session(door, request, now_ns);
    uint64_t        number  = session == NULL ? 0 : session->number;

    if (session != NULL)
        memset(session, 0, sizeof *session);
    return number;
}
