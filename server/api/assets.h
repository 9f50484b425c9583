/* server/api/assets.h: the dashboard's files, inside the binary.
 *
 * The web build generates ASSETS (a library named `dashboard`); without it (SIGHTLINE_WEB=OFF) a page that says so
 * stands in. Everything is immutable and lives as long as the program. */
#ifndef SIGHTLINE_SERVER_API_ASSETS_H
#define SIGHTLINE_SERVER_API_ASSETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct asset {
    const char
        *path; /* as requested, with the leading slash: "/index.html", "/assets/app-3f9c.js" */
    const char *mime; /* "text/html; charset=utf-8" */
    const char *etag; /* of the content, with its double quotes */
    bool immutable;   /* the path holds a digest of the content: clients may keep it for ever */
    const uint8_t *plain;
    size_t         plain_bytes;
    const uint8_t *gzip; /* NULL: not compressed */
    size_t         gzip_bytes;
    const uint8_t *brotli; /* NULL: not compressed */
    size_t         brotli_bytes;
};

/* A generated library tells that it is there by the compile definition SIGHTLINE_DASHBOARD, which its target
 * carries for all who link it (PUBLIC); without it assets.c defines the fallback. In any order; "/index.html" is also what "/" answers. */
extern const struct asset ASSETS[];
extern const int          ASSET_COUNT;

/* The asset of a path of `bytes` bytes ("/" included); NULL when there is none. */
const struct asset *asset_find(const char *path, size_t bytes);

enum asset_encoding { ASSET_PLAIN, ASSET_GZIP, ASSET_BROTLI };

/* The smallest form that the Accept-Encoding header (`bytes` bytes, NULL: absent) allows. */
enum asset_encoding asset_choose(const struct asset *asset, const char *accept, size_t bytes);

/* True if an If-None-Match header names the asset's etag, or is "*". Weak comparison (RFC 9110, 13.1.2). */
bool asset_matches(const struct asset *asset, const char *if_none_match, size_t bytes);

#endif
