#include "server/camera/camera_url.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "config/err.h"
#include "config/hexadecimal.h"

/* A shorter one stands in every second word. */
#define SECRET_BYTES_MIN 3

/* Credentials come on top of what is kept; no text is looked at further. */
#define TEXT_BYTES_MAX ((size_t)2 * LIMIT_URL_BYTES)

/* Locale must not decide what a letter is. */
static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Bytes up to and with the last '@' before `bytes`; 0: none. */
static size_t last_at(const char *text, size_t bytes)
{
    while (bytes > 0 && text[bytes - 1] != '@')
        bytes--;
    return bytes;
}

/* ---- reading ---- */

static const struct {
    const char            *name; /* with its "://" */
    enum camera_url_scheme scheme;
    uint16_t               port; /* 0: has none by itself */
} SCHEMES[] = {
    {"rtsp://", CAMERA_URL_RTSP, CAMERA_URL_PORT_RTSP},
    {"rtsps://", CAMERA_URL_RTSPS, 322},
    {"http://", CAMERA_URL_HTTP, 80},
    {"https://", CAMERA_URL_HTTPS, 443},
    {"rtmp://", CAMERA_URL_RTMP, 1935},
    {"srt://", CAMERA_URL_SRT, 0},
};

/* Takes scheme and its port; returns the bytes of it, or ERR_UNSUPPORTED. */
static int read_scheme(struct camera_url *url, const char *text, struct why *why)
{
    for (size_t i = 0; i < sizeof SCHEMES / sizeof SCHEMES[0]; i++) {
        size_t bytes = strlen(SCHEMES[i].name);

        if (strncasecmp(text, SCHEMES[i].name, bytes) == 0) {
            url->scheme = SCHEMES[i].scheme;
            url->port   = SCHEMES[i].port;
            return (int)bytes;
        }
    }
    return why_set(why, ERR_UNSUPPORTED,
                   "a camera's address begins with rtsp://, rtsps://, http://, https://, rtmp:// "
                   "or srt://");
}

static uint16_t scheme_port(enum camera_url_scheme scheme)
{
    return SCHEMES[scheme].port;
}

/* Percent-decoding; a '%' without two hexadecimal digits stands for itself, as people paste raw
 * passwords. */
static int decode(const char *text, size_t bytes, char *out, size_t out_bytes, const char *what,
                  struct why *why)
{
    size_t length = 0;

    for (size_t i = 0; i < bytes; i++) {
        char c = text[i];

        if (c == '%' && i + 2 < bytes && hexadecimal_byte(text + i + 1) >= 0) {
            c = (char)hexadecimal_byte(text + i + 1);
            i += 2;
        }
        if ((unsigned char)c < 0x20 || c == 0x7f)
            return why_set(why, ERR_INVALID, "the %s in the address holds a control character",
                           what);
        if (length + 1 >= out_bytes)
            return why_set(why, ERR_LIMIT, "the %s in the address is longer than %zu bytes", what,
                           out_bytes - 1);
        out[length++] = c;
    }
    out[length] = '\0';
    return 0;
}

static int read_credentials(struct camera_url *url, const char *text, size_t bytes, struct why *why)
{
    const char *colon      = memchr(text, ':', bytes);
    size_t      user_bytes = colon != NULL ? (size_t)(colon - text) : bytes;
    int         rc = decode(text, user_bytes, url->user, sizeof url->user, "user name", why);

    if (rc == 0 && colon != NULL)
        rc = decode(colon + 1, bytes - user_bytes - 1, url->password.value,
                    sizeof url->password.value, "password", why);
    return rc;
}

static int read_port(struct camera_url *url, const char *text, size_t bytes, struct why *why)
{
    unsigned port = 0;

    if (bytes == 0)
        return 0;
    for (size_t i = 0; i < bytes; i++) {
        if (!is_digit(text[i]) || bytes > 5)
            return why_set(
                why, ERR_INVALID,
                "the port is not a number from 1 to 65535 (a '/' in the password must be "
                "written %%2F)");
        port = port * 10 + (unsigned)(text[i] - '0');
    }
    if (port == 0 || port > 65535)
        return why_set(why, ERR_INVALID, "the port is not a number from 1 to 65535");
    url->port = (uint16_t)port;
    return 0;
}

static int read_ipv6(struct camera_url *url, const char *text, size_t bytes, struct why *why)
{
    char            literal[INET6_ADDRSTRLEN + 1];
    struct in6_addr address;

    if (bytes >= sizeof literal)
        return why_set(why, ERR_INVALID, "the address in brackets is not an IPv6 address");
    memcpy(literal, text, bytes);
    literal[bytes] = '\0';
    if (strchr(literal, '%') != NULL)
        return why_set(why, ERR_UNSUPPORTED,
                       "an IPv6 address with a zone (%%eth0) is not supported");
    if (inet_pton(AF_INET6, literal, &address) != 1)
        return why_set(why, ERR_INVALID, "the address in brackets is not an IPv6 address");
    inet_ntop(AF_INET6, &address, url->host, sizeof url->host);
    url->ipv6 = true;
    return 0;
}

/* The system's resolver would take 2130706433, 0x7f.1 or 0177.0.0.1 as 127.0.0.1: what ends in a number must
 * be four plain ones. */
static int check_numeric_host(const char *host, struct why *why)
{
    const char    *last = strrchr(host, '.');
    struct in_addr address;

    last = last != NULL ? last + 1 : host;
    if (!is_digit(*last))
        return 0;
    for (const char *c = last; *c != '\0'; c++) {
        bool hexadecimal = last[0] == '0' && (last[1] | 0x20) == 'x';

        if (!is_digit(*c) && !(hexadecimal && (c == last + 1 || hexadecimal_digit(*c) >= 0)))
            return 0;
    }
    if (inet_pton(AF_INET, host, &address) == 1)
        return 0;
    return why_set(why, ERR_INVALID,
                   "the host is a number but not an IPv4 address like 192.168.1.10");
}

static int read_name(struct camera_url *url, const char *text, size_t bytes, struct why *why)
{
    size_t label = 0;

    if (bytes > 1 && text[bytes - 1] == '.')
        bytes--;
    if (bytes == 0)
        return why_set(why, ERR_INVALID, "the address has no host");
    if (bytes > 253)
        return why_set(why, ERR_LIMIT, "the host is longer than 253 bytes");
    for (size_t i = 0; i < bytes; i++) {
        char c = text[i];

        if (c == '.' ? label == 0 : !is_letter(c) && !is_digit(c) && c != '-' && c != '_')
            return why_set(why, ERR_INVALID,
                           "the host may hold letters, digits, '-', '_' and single '.' only");
        label = c == '.' ? 0 : label + 1;
        if (label > 63)
            return why_set(why, ERR_LIMIT, "a part of the host is longer than 63 bytes");
        url->host[i] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
    }
    url->host[bytes] = '\0';
    if (label == 0)
        return why_set(why, ERR_INVALID, "the host ends in two dots");
    return check_numeric_host(url->host, why);
}

static int read_host(struct camera_url *url, const char *text, size_t bytes, struct why *why)
{
    const char *colon;
    int         rc;

    if (bytes > 0 && text[0] == '[') {
        const char *close = memchr(text, ']', bytes);
        size_t      used;

        if (close == NULL)
            return why_set(why, ERR_INVALID, "the IPv6 address has no closing bracket");
        if ((rc = read_ipv6(url, text + 1, (size_t)(close - text) - 1, why)) != 0)
            return rc;
        used = (size_t)(close - text) + 1;
        if (used == bytes)
            return read_port(url, "", 0, why);
        if (text[used] != ':')
            return why_set(why, ERR_INVALID, "after the IPv6 address comes ':' and a port");
        return read_port(url, text + used + 1, bytes - used - 1, why);
    }
    colon = memchr(text, ':', bytes);
    if (colon == NULL)
        colon = text + bytes;
    else if ((rc = read_port(url, colon + 1, (size_t)(text + bytes - colon) - 1, why)) != 0)
        return rc;
    return read_name(url, text, (size_t)(colon - text), why);
}

/* What would break a request line or a quoted header is encoded; all else goes to the camera as the
 * user wrote it, since cameras compare paths byte by byte. */
static int read_path(struct camera_url *url, const char *text, size_t capacity, struct why *why)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t            length   = 0;

    if (*text != '/')
        url->path[length++] = '/';
    for (; *text != '\0'; text++) {
        unsigned char c      = (unsigned char)*text;
        bool          encode = c >= 0x80 || c == '"' || c == '\\' || c == '#';

        if (length + (encode ? 3 : 1) >= capacity)
            return why_set(why, ERR_LIMIT, "the address is longer than %d bytes",
                           LIMIT_URL_BYTES - 1);
        if (encode) {
            url->path[length++] = '%';
            url->path[length++] = digits[c >> 4];
            url->path[length++] = digits[c & 15];
        } else {
            url->path[length++] = (char)c;
        }
    }
    url->path[length] = '\0';
    return 0;
}

int camera_url_parse(struct camera_url *url, const char *text, struct why *why)
{
    /* "rtsps://", brackets, ':' and five digits of a port, and the NUL stand around host and path. */
    const size_t around_bytes = 8 + 2 + 6;
    size_t       authority, host_from;
    int          rc;

    memset(url, 0, sizeof *url);
    if (strnlen(text, TEXT_BYTES_MAX) == TEXT_BYTES_MAX)
        return why_set(why, ERR_LIMIT, "the address is longer than %d bytes", LIMIT_URL_BYTES - 1);
    for (const char *c = text; *c != '\0'; c++) {
        if ((unsigned char)*c <= 0x20 || *c == 0x7f)
            return why_set(why, ERR_INVALID,
                           "the address holds a space or control character: write a space as %%20");
    }
    if ((rc = read_scheme(url, text, why)) < 0)
        return rc;
    text += rc;
    authority = strcspn(text, "/");
    host_from = last_at(text, authority);
    if (host_from > 0 && (rc = read_credentials(url, text, host_from - 1, why)) != 0)
        goto fail;
    authority = host_from + strcspn(text + host_from, "/?#");
    if ((rc = read_host(url, text + host_from, authority - host_from, why)) != 0)
        goto fail;
    rc = read_path(url, text + authority, LIMIT_URL_BYTES - around_bytes - strlen(url->host), why);
    if (rc == 0 && url->port == 0)
        rc = why_set(why, ERR_INVALID, "an srt:// address needs a port: srt://host:port");
    if (rc == 0)
        return 0;

fail:
    memset(url, 0, sizeof *url);
    return rc;
}

void camera_url_format_host(const struct camera_url *url, const char *host, bool ipv6,
                            char out[static LIMIT_URL_BYTES])
{
    char port[8] = "";

    if (url->port != scheme_port(url->scheme))
        snprintf(port, sizeof port, ":%u", (unsigned)url->port);
    snprintf(out, LIMIT_URL_BYTES, ipv6 ? "%s[%s]%s%s" : "%s%s%s%s", SCHEMES[url->scheme].name,
             host, port, url->path);
}

void camera_url_format(const struct camera_url *url, char out[static LIMIT_URL_BYTES])
{
    camera_url_format_host(url, url->host, url->ipv6, out);
}

bool camera_url_is_tls(const struct camera_url *url)
{
    return url->scheme == CAMERA_URL_RTSPS || url->scheme == CAMERA_URL_HTTPS;
}

/* ---- redirects ---- */

static bool is_http(enum camera_url_scheme scheme)
{
    return scheme == CAMERA_URL_HTTP || scheme == CAMERA_URL_HTTPS;
}

static bool is_rtsp(enum camera_url_scheme scheme)
{
    return scheme == CAMERA_URL_RTSP || scheme == CAMERA_URL_RTSPS;
}

int camera_url_redirect(struct camera_url *url, const char *location, struct why *why)
{
    struct camera_url next;

    if (camera_url_parse(&next, location, NULL) != 0)
        return why_set(why, ERR_DENIED, "the camera redirects to an address that is none");
    memset(next.user, 0, sizeof next.user);
    memset(&next.password, 0, sizeof next.password);
    if (!(is_rtsp(url->scheme) && is_rtsp(next.scheme)) &&
        !(is_http(url->scheme) && is_http(next.scheme)))
        return why_set(why, ERR_DENIED, "the camera redirects to another protocol (%.7s)",
                       SCHEMES[next.scheme].name);
    if (camera_url_is_tls(url) && !camera_url_is_tls(&next))
        return why_set(why, ERR_DENIED,
                       "the camera redirects from an encrypted address to a "
                       "plain one");
    if (strcmp(url->host, next.host) == 0) {
        memcpy(next.user, url->user, sizeof next.user);
        next.password = url->password;
    }
    *url = next;
    return 0;
}

unsigned camera_url_redirect_reach(unsigned reach, unsigned from)
{
    switch (from) {
    case CAMERA_URL_LOOPBACK:
        return reach;
    case CAMERA_URL_PRIVATE:
    case CAMERA_URL_LINK_LOCAL:
        return reach & ~(unsigned)CAMERA_URL_LOOPBACK;
    default:
        return reach & (unsigned)CAMERA_URL_PUBLIC;
    }
}

/* ---- hiding ---- */

struct redaction {
    char  *out;
    size_t bytes, capacity;
};

static void put(struct redaction *redaction, const char *text, size_t bytes)
{
    size_t room = redaction->capacity - 1 - redaction->bytes;

    if (bytes > room)
        bytes = room;
    memcpy(redaction->out + redaction->bytes, text, bytes);
    redaction->bytes += bytes;
}

/* How many bytes after "://" may hold credentials, up to and with their '@'; 0: none. */
static size_t credentials_bytes(const char *text)
{
    size_t      token   = strcspn(text, " \t\r\n");
    size_t      line    = strcspn(text, "\r\n");
    size_t      bracket = text[0] == '[' ? strcspn(text, "]/") : 0;
    size_t      colon   = bracket + strcspn(text + bracket, ":");
    const char *next    = strstr(text + token, "://");
    size_t      last;

    if (last_at(text, token) == 0 && colon >= token)
        return 0;
    /* A password with a space in it: its '@' may come later, but not in the next address. */
    if (next != NULL && (size_t)(next - text) < line)
        line = (size_t)(next - text);
    if ((last = last_at(text, line)) > 0)
        return last;
    /* "user:pass" that was cut before its '@' is no "host:port". */
    if (strcspn(text, "/?") < colon)
        return 0;
    for (size_t i = colon + 1; i < token && text[i] != '/' && text[i] != '?'; i++) {
        if (!is_digit(text[i]) && strchr(",.;:)]}'\"", text[i]) == NULL)
            return token;
    }
    return 0;
}

/* Does `text` of `bytes` end in the name of a parameter whose value is a secret? */
static bool ends_in_secret_name(const char *text, size_t bytes)
{
    static const char *const names[] = {"password", "passwd", "passwort", "pass",   "pwd",
                                        "psw",      "token",  "secret",   "apikey", "api_key",
                                        "auth",     "nonce",  "response"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        size_t length = strlen(names[i]);

        if (bytes >= length && strncasecmp(text + bytes - length, names[i], length) == 0)
            return true;
    }
    return false;
}

/* Writes what stands for the secret text at `text` and returns the bytes of that; 0: none is there. */
static size_t hide(struct redaction *redaction, const char *text, size_t i, const char *secret)
{
    size_t secret_bytes = strlen(secret), hidden;

    if (secret_bytes >= SECRET_BYTES_MIN && strncmp(text + i, secret, secret_bytes) == 0) {
        put(redaction, "***", 3);
        return secret_bytes;
    }
    if (strncmp(text + i, "://", 3) == 0) {
        hidden = credentials_bytes(text + i + 3);
        put(redaction, "://", 3);
        if (hidden > 0)
            put(redaction, "***", 3);
        if (hidden > 0 && text[i + 3 + hidden - 1] == '@')
            put(redaction, "@", 1);
        return 3 + hidden;
    }
    if (text[i] == '=' && ends_in_secret_name(text, i)) {
        put(redaction, "=***", 4);
        return 1 + strcspn(text + i + 1, "&;/?, \t\r\n");
    }
    return 0;
}

void camera_url_redact_secret(const char *text, const struct secret *secret, char *out,
                              size_t out_bytes)
{
    struct redaction redaction = {.out = out, .capacity = out_bytes};

    if (out_bytes == 0)
        return;
    for (size_t i = 0; text[i] != '\0' && redaction.bytes + 1 < out_bytes;) {
        size_t used = hide(&redaction, text, i, secret->value);

        if (used == 0)
            put(&redaction, text + i, 1);
        i += used > 0 ? used : 1;
    }
    out[redaction.bytes] = '\0';
}

void camera_url_redact(const char *text, char *out, size_t out_bytes)
{
    camera_url_redact_secret(text, &(struct secret){""}, out, out_bytes);
}

/* ---- allowing ---- */

static int reach_of_ipv4(uint32_t a, struct why *why)
{
    static const uint32_t metadata[] = {0xa9fea9fe, 0xa9feaa02, 0x646464c8, 0xc00000c0};

    for (size_t i = 0; i < sizeof metadata / sizeof metadata[0]; i++) {
        if (a == metadata[i])
            return why_set(why, ERR_DENIED,
                           "the address is a cloud machine's metadata service, not a camera");
    }
    if (a >> 24 == 0 || a >> 28 >= 14)
        return why_set(why, ERR_DENIED,
                       "the address is a multicast, broadcast or reserved one, not a camera");
    if (a >> 24 == 127)
        return CAMERA_URL_LOOPBACK;
    if (a >> 16 == 0xa9fe)
        return CAMERA_URL_LINK_LOCAL;
    if (a >> 24 == 10 || a >> 20 == 0xac1 || a >> 16 == 0xc0a8 || (a & 0xffc00000) == 0x64400000)
        return CAMERA_URL_PRIVATE;
    return CAMERA_URL_PUBLIC;
}

static uint32_t big_endian(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static int reach_of_ipv6(const uint8_t a[static 16], struct why *why)
{
    static const uint8_t mapped[12]   = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    static const uint8_t nat64[12]    = {0, 0x64, 0xff, 0x9b};
    static const uint8_t metadata[16] = {0xfd, 0, 0x0e, 0xc2, [14] = 2, [15] = 0x54};
    static const uint8_t zeros[16]    = {0};

    if (memcmp(a, mapped, 12) == 0 || memcmp(a, nat64, 12) == 0)
        return reach_of_ipv4(big_endian(a + 12), why);
    if (a[0] == 0x20 && a[1] == 0x02)
        return reach_of_ipv4(big_endian(a + 2), why);
    if (memcmp(a, zeros, 15) == 0 && a[15] == 1)
        return CAMERA_URL_LOOPBACK;
    if (memcmp(a, zeros, 12) == 0 || a[0] == 0xff)
        return why_set(why, ERR_DENIED,
                       "the address is a multicast, broadcast or reserved one, not a camera");
    if (memcmp(a, metadata, 16) == 0)
        return why_set(why, ERR_DENIED,
                       "the address is a cloud machine's metadata service, not a camera");
    if (a[0] == 0xfe && (a[1] & 0xc0) == 0x80)
        return CAMERA_URL_LINK_LOCAL;
    return (a[0] & 0xfe) == 0xfc ? CAMERA_URL_PRIVATE : CAMERA_URL_PUBLIC;
}

unsigned camera_url_settings_reach(const struct settings_camera *settings)
{
    return settings->reach != 0 ? settings->reach : SETTINGS_REACH_DEFAULT;
}

int camera_url_reach(const struct sockaddr *address, struct why *why)
{
    struct sockaddr_in  ipv4;
    struct sockaddr_in6 ipv6;

    if (address->sa_family == AF_INET) {
        memcpy(&ipv4, address, sizeof ipv4);
        return reach_of_ipv4(ntohl(ipv4.sin_addr.s_addr), why);
    }
    if (address->sa_family == AF_INET6) {
        memcpy(&ipv6, address, sizeof ipv6);
        return reach_of_ipv6(ipv6.sin6_addr.s6_addr, why);
    }
    return why_set(why, ERR_DENIED, "the address is neither IPv4 nor IPv6");
}

int camera_url_allow(const struct sockaddr *address, unsigned reach, struct why *why)
{
    int found = camera_url_reach(address, why);

    if (found < 0)
        return found;
    if ((reach & (unsigned)found) == 0)
        return why_set(why, ERR_DENIED,
                       "the camera's address is %s, which cameras_allowed does not name",
                       found == CAMERA_URL_LOOPBACK     ? "this machine itself (loopback)"
                       : found == CAMERA_URL_PRIVATE    ? "in a private network (private)"
                       : found == CAMERA_URL_LINK_LOCAL ? "link-local (link_local)"
                                                        : "on the internet (public)");
    return 0;
}
