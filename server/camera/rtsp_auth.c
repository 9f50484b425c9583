#include "server/camera/rtsp_auth.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "config/err.h"
#include "config/settings.h"

#define DIGEST_TEXT_BYTES (2 * 32 + 1) /* SHA-256 in hexadecimal */

/* ---- the challenge ---- */

/* Takes the quotes off. Control characters would end up in our own request: refused. */
static bool unquote(struct rtsp_text value, char *out, size_t out_bytes)
{
    size_t length = 0;
    bool   quoted = value.bytes >= 2 && value.at[0] == '"' && value.at[value.bytes - 1] == '"';
    size_t from = quoted ? 1 : 0, to = value.bytes - from;

    for (size_t i = from; i < to; i++) {
        if (quoted && value.at[i] == '\\' && i + 1 < to)
            i++;
        if ((unsigned char)value.at[i] < 0x20 || value.at[i] == 0x7f || length + 1 >= out_bytes)
            return false;
        out[length++] = value.at[i];
    }
    out[length] = '\0';
    return true;
}

static void read_algorithm(struct rtsp_auth *auth, struct rtsp_text value)
{
    static const struct {
        const char           *name;
        enum rtsp_auth_scheme scheme;
        bool                  session;
    } known[] = {{"MD5", RTSP_AUTH_MD5, false},
                 {"MD5-sess", RTSP_AUTH_MD5, true},
                 {"SHA-256", RTSP_AUTH_SHA256, false},
                 {"SHA-256-sess", RTSP_AUTH_SHA256, true}};

    auth->scheme = RTSP_AUTH_NONE;
    auth->named  = true;
    if (value.bytes >= 2 && value.at[0] == '"')
        value = (struct rtsp_text){value.at + 1, value.bytes - 2};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (rtsp_text_is(value, known[i].name)) {
            auth->scheme  = known[i].scheme;
            auth->session = known[i].session;
        }
    }
}

/* False: qop is there, but without "auth". */
static bool read_qop(struct rtsp_auth *auth, struct rtsp_text value)
{
    struct rtsp_text part;

    if (value.bytes >= 2 && value.at[0] == '"')
        value = (struct rtsp_text){value.at + 1, value.bytes - 2};
    while (rtsp_text_split(&value, ',', &part)) {
        if (rtsp_text_is(part, "auth"))
            auth->qop = true;
    }
    return auth->qop;
}

/* One parameter of a challenge; false: the challenge cannot be answered. */
static bool read_parameter(struct rtsp_auth *auth, struct rtsp_text part)
{
    struct rtsp_text value;

    if (rtsp_text_parameter(part, "realm", &value))
        return unquote(value, auth->realm, sizeof auth->realm);
    if (rtsp_text_parameter(part, "nonce", &value))
        return unquote(value, auth->nonce, sizeof auth->nonce);
    if (rtsp_text_parameter(part, "opaque", &value)) {
        auth->has_opaque = true;
        return unquote(value, auth->opaque, sizeof auth->opaque);
    }
    if (rtsp_text_parameter(part, "qop", &value))
        return read_qop(auth, value);
    if (rtsp_text_parameter(part, "algorithm", &value))
        read_algorithm(auth, value);
    else if (rtsp_text_parameter(part, "stale", &value))
        auth->stale = rtsp_text_is(value, "true") || rtsp_text_is(value, "\"true\"");
    return true;
}

/* The scheme's name at the front of a part, if a new challenge begins there. */
static bool takes_scheme(struct rtsp_text *part, const char *name)
{
    size_t bytes = strlen(name);

    if (part->bytes < bytes || !rtsp_text_is((struct rtsp_text){part->at, bytes}, name) ||
        (part->bytes > bytes && part->at[bytes] != ' ' && part->at[bytes] != '\t'))
        return false;
    part->at += bytes;
    part->bytes -= bytes;
    *part = rtsp_text_trim(*part);
    return true;
}

struct choice {
    struct rtsp_auth best;
    bool             digest_seen;
};

static void offer(struct choice *choice, const struct rtsp_auth *auth, bool usable)
{
    if (usable && auth->scheme > choice->best.scheme &&
        (auth->scheme == RTSP_AUTH_BASIC || auth->nonce[0] != '\0'))
        choice->best = *auth;
}

/* A header may hold several challenges, split by the same ',' as their parameters. */
static void read_header(struct choice *choice, struct rtsp_text rest)
{
    struct rtsp_auth auth = {.scheme = RTSP_AUTH_NONE};
    struct rtsp_text part;
    bool             usable = false;

    while (rtsp_text_split(&rest, ',', &part)) {
        bool digest = takes_scheme(&part, "Digest");
        bool basic  = !digest && takes_scheme(&part, "Basic");

        if (digest || basic) {
            offer(choice, &auth, usable);
            memset(&auth, 0, sizeof auth);
            auth.scheme = digest ? RTSP_AUTH_MD5 : RTSP_AUTH_BASIC;
            usable      = true;
            choice->digest_seen |= digest;
        }
        if (!read_parameter(&auth, part))
            usable = false;
    }
    offer(choice, &auth, usable);
}

int rtsp_auth_read(struct rtsp_auth *auth, const struct rtsp_message *response, struct why *why)
{
    struct choice           choice = {.best.scheme = RTSP_AUTH_NONE};
    const struct rtsp_text *header;

    for (int i = 0; (header = rtsp_header(response, "WWW-Authenticate", i)) != NULL; i++)
        read_header(&choice, *header);
    if (choice.best.scheme == RTSP_AUTH_BASIC && choice.digest_seen)
        choice.best.scheme = RTSP_AUTH_NONE;
    if (choice.best.scheme == RTSP_AUTH_NONE)
        return why_set(
            why, ERR_UNSUPPORTED,
            "the camera asks for a kind of sign-in that is not supported (Digest with MD5 "
            "or SHA-256, and Basic, are)");
    *auth = choice.best;
    return 0;
}

/* ---- the answer ---- */

/* Hash of the parts with ':' between them, in hexadecimal. */
static bool digest(const struct rtsp_auth *auth, char out[static DIGEST_TEXT_BYTES],
                   const char *const *parts, int count)
{
    static const char hexadecimal[] = "0123456789abcdef";
    const EVP_MD     *kind          = auth->scheme == RTSP_AUTH_SHA256 ? EVP_sha256() : EVP_md5();
    EVP_MD_CTX       *context       = EVP_MD_CTX_new();
    unsigned char     hash[EVP_MAX_MD_SIZE];
    unsigned          bytes = 0;
    bool              done  = context != NULL && EVP_DigestInit_ex(context, kind, NULL) == 1;

    for (int i = 0; i < count && done; i++) {
        done = (i == 0 || EVP_DigestUpdate(context, ":", 1) == 1) &&
               EVP_DigestUpdate(context, parts[i], strlen(parts[i])) == 1;
    }
    done = done && EVP_DigestFinal_ex(context, hash, &bytes) == 1 && bytes <= 32;
    EVP_MD_CTX_free(context);
    if (!done)
        return false;
    for (size_t i = 0; i < bytes; i++) {
        out[2 * i]     = hexadecimal[hash[i] >> 4];
        out[2 * i + 1] = hexadecimal[hash[i] & 15];
    }
    out[2 * (size_t)bytes] = '\0';
    return true;
}

struct writer {
    char  *out;
    size_t bytes, capacity;
    bool   full;
};

__attribute__((format(printf, 2, 3))) static void write_text(struct writer *writer,
                                                             const char    *format, ...)
{
    size_t  room = writer->capacity - writer->bytes;
    va_list arguments;
    int     length;

    va_start(arguments, format);
    length = vsnprintf(writer->out + writer->bytes, room, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= room)
        writer->full = true;
    else
        writer->bytes += (size_t)length;
}

static void write_quoted(struct writer *writer, const char *name, const char *value)
{
    write_text(writer, "%s=\"", name);
    for (; *value != '\0' && !writer->full; value++)
        write_text(writer, *value == '"' || *value == '\\' ? "\\%c" : "%c", *value);
    write_text(writer, "\"");
}

static int write_basic(struct writer *writer, const char *user, const char *password)
{
    unsigned char plain[LIMIT_NAME_BYTES + LIMIT_SECRET_BYTES + 1];
    unsigned char coded[(sizeof plain + 2) / 3 * 4 + 1];
    int           length = snprintf((char *)plain, sizeof plain, "%s:%s", user, password);

    if (length < 0 || (size_t)length >= sizeof plain)
        return ERR_LIMIT;
    EVP_EncodeBlock(coded, plain, length);
    write_text(writer, "Authorization: Basic %s\r\n", (const char *)coded);
    OPENSSL_cleanse(plain, sizeof plain);
    OPENSSL_cleanse(coded, sizeof coded);
    return 0;
}

static const char *algorithm_name(const struct rtsp_auth *auth)
{
    if (auth->scheme == RTSP_AUTH_SHA256)
        return auth->session ? "SHA-256-sess" : "SHA-256";
    return auth->session ? "MD5-sess" : "MD5";
}

static bool make_client_nonce(struct rtsp_auth *auth)
{
    unsigned char random[16];

    if (auth->client_nonce[0] != '\0')
        return true;
    if (RAND_bytes(random, sizeof random) != 1)
        return false;
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(auth->client_nonce + 2 * i, 3, "%02x", random[i]);
    return true;
}

static int write_digest(struct writer *writer, struct rtsp_auth *auth, const char *user,
                        const char *password, const char *method, const char *url)
{
    char secret[DIGEST_TEXT_BYTES], request[DIGEST_TEXT_BYTES], response[DIGEST_TEXT_BYTES];
    char count[9];
    bool done = make_client_nonce(auth);

    snprintf(count, sizeof count, "%08x", ++auth->nonce_count);
    done = done && digest(auth, secret, (const char *[]){user, auth->realm, password}, 3);
    if (auth->session)
        done = done &&
               digest(auth, secret, (const char *[]){secret, auth->nonce, auth->client_nonce}, 3);
    done = done && digest(auth, request, (const char *[]){method, url}, 2);
    if (auth->qop)
        done = done && digest(auth, response,
                              (const char *[]){secret, auth->nonce, count, auth->client_nonce,
                                               "auth", request},
                              6);
    else
        done = done && digest(auth, response, (const char *[]){secret, auth->nonce, request}, 3);
    OPENSSL_cleanse(secret, sizeof secret);
    if (!done)
        return ERR_MEMORY;

    write_text(writer, "Authorization: Digest ");
    write_quoted(writer, "username", user);
    write_quoted(writer, ", realm", auth->realm);
    write_quoted(writer, ", nonce", auth->nonce);
    write_quoted(writer, ", uri", url);
    write_quoted(writer, ", response", response);
    if (auth->has_opaque)
        write_quoted(writer, ", opaque", auth->opaque);
    if (auth->named)
        write_text(writer, ", algorithm=%s", algorithm_name(auth));
    if (auth->qop)
        write_text(writer, ", qop=auth, nc=%s", count);
    if (auth->qop || auth->session)
        write_quoted(writer, ", cnonce", auth->client_nonce);
    write_text(writer, "\r\n");
    return 0;
}

int rtsp_auth_write(struct rtsp_auth *auth, const char *user, const char *password,
                    const char *method, const char *url, char *out, size_t out_bytes)
{
    struct writer writer = {.out = out, .capacity = out_bytes};
    int           rc     = 0;

    out[0] = '\0';
    if (auth->scheme == RTSP_AUTH_BASIC)
        rc = write_basic(&writer, user, password);
    else if (auth->scheme != RTSP_AUTH_NONE)
        rc = write_digest(&writer, auth, user, password, method, url);
    if (rc != 0)
        return rc;
    return writer.full ? ERR_LIMIT : (int)writer.bytes;
}
