#include "server/api/assets.h"

#include <string.h>

#include "server/api/http_door.h"

#ifndef SIGHTLINE_DASHBOARD
/* What a build without the dashboard serves in its place. */
static const char absent_page[] =
    "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Sightline</title>"
    "<h1>Sightline is running</h1><p>This build has no dashboard (SIGHTLINE_WEB=OFF). The API is "
    "here: <a href=\"/api/v1/cameras\">cameras</a>, <a href=\"/api/v1/counts\">counts</a>, "
    "<a href=\"/metrics\">metrics</a>.</p></html>\n";

const struct asset ASSETS[] = {
    {"/index.html", "text/html; charset=utf-8", "\"no-dashboard-1\"", false,
     (const uint8_t *)absent_page, sizeof absent_page - 1, NULL, 0, NULL, 0},
};
const int ASSET_COUNT = 1;
#endif

const struct asset *asset_find(const char *path, size_t bytes)
{
    if (bytes == 1 && path[0] == '/')
        return asset_find("/index.html", strlen("/index.html"));
    for (int i = 0; i < ASSET_COUNT; i++) {
        if (strlen(ASSETS[i].path) == bytes && memcmp(ASSETS[i].path, path, bytes) == 0)
            return &ASSETS[i];
    }
    return NULL;
}

/* True if a member such as "gzip;q=0.5" names this coding with a weight above zero. */
static bool member_allows(struct http_text member, const char *coding)
{
    const char      *semicolon = memchr(member.at, ';', member.bytes);
    struct http_text name      = member;
    bool             any       = false;
    size_t           i;

    if (semicolon != NULL)
        name.bytes = (size_t)(semicolon - member.at);
    while (name.bytes > 0 && (name.at[0] == ' ' || name.at[0] == '\t')) {
        name.at++;
        name.bytes--;
    }
    while (name.bytes > 0 && name.at[name.bytes - 1] == ' ')
        name.bytes--;
    if (!http_text_is(name, coding))
        return false;
    if (semicolon == NULL)
        return true;
    /* A weight of zero is "q=0", "q=0.0", ...: no digit but zeros. Weights are not ranked: the
     * smallest form is the better answer for anybody who takes it at all. */
    for (i = (size_t)(semicolon - member.at); i < member.bytes; i++)
        any = any || (member.at[i] >= '1' && member.at[i] <= '9');
    return any;
}

static bool allows(const char *accept, size_t bytes, const char *coding)
{
    size_t from = 0;

    for (size_t i = 0; accept != NULL && i <= bytes; i++) {
        if (i < bytes && accept[i] != ',')
            continue;
        if (member_allows((struct http_text){accept + from, i - from}, coding))
            return true;
        from = i + 1;
    }
    return false;
}

enum asset_encoding asset_choose(const struct asset *asset, const char *accept, size_t bytes)
{
    bool   gzip   = asset->gzip != NULL && allows(accept, bytes, "gzip");
    bool   brotli = asset->brotli != NULL && allows(accept, bytes, "br");
    size_t best   = asset->plain_bytes;

    if (gzip && asset->gzip_bytes < best)
        best = asset->gzip_bytes;
    if (brotli && asset->brotli_bytes <= best)
        return ASSET_BROTLI;
    return gzip && asset->gzip_bytes == best && best < asset->plain_bytes ? ASSET_GZIP
                                                                          : ASSET_PLAIN;
}

bool asset_matches(const struct asset *asset, const char *if_none_match, size_t bytes)
{
    size_t etag_bytes = strlen(asset->etag);

    if (if_none_match == NULL)
        return false;
    if (bytes == 1 && if_none_match[0] == '*')
        return true;
    for (size_t i = 0; i + etag_bytes <= bytes; i++) {
        if (memcmp(if_none_match + i, asset->etag, etag_bytes) == 0)
            return true;
    }
    return false;
}
