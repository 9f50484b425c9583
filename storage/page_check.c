#include "storage/page_check.h"

#include "config/err.h"
#include "config/limits.h"
#include "config/log.h"
#include "config/plain_file.h"
#include "storage/page_tree.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The file's format (LMDB 0.9). */
#define META_MAGIC   UINT32_C(0xBEEFC0DE)
#define META_VERSION 1
#define FREE_FLAGS   0x08 /* keys are numbers; anything else would change how LMDB maps the file */
#define PAGE_MIN     512
#define PAGE_MAX     65536

/* A writer may be replacing a root at the very moment of the look. */
#define ROOT_TRIES 5

static uint64_t number_of(const uint8_t *page)
{
    uint64_t number;

    memcpy(&number, page, sizeof number);
    return number;
}

static uint16_t kind_of(const uint8_t *page)
{
    uint16_t kind;

    memcpy(&kind, page + 10, sizeof kind);
    return kind;
}

static bool meta_valid(const struct page_file *check, const uint8_t *page, int slot,
                       struct page_meta *meta)
{
    memcpy(meta, page + PAGE_HEAD, sizeof *meta);
    return number_of(page) == (uint64_t)slot && (kind_of(page) & PAGE_META) != 0 &&
           meta->magic == META_MAGIC && meta->version == META_VERSION &&
           meta->roots[0].pad == check->page_bytes && meta->last_page >= 1 &&
           (meta->roots[0].flags & ~FREE_FLAGS) == 0 && meta->address == 0 &&
           (meta->transaction == 0 || (meta->transaction & 1) == (uint64_t)slot) &&
           (meta->transaction == 0 || meta->last_page < check->file_pages);
}

/* The page size is in the first page; all of the rest depends on it. */
static int read_page_size(struct page_file *check)
{
    uint8_t          page[PAGE_HEAD + sizeof(struct page_meta)];
    struct page_meta meta;
    struct stat      info;
    int              rc;

    if (fstat(check->fd, &info) != 0)
        return why_set(check->why, ERR_IO, "the disk of the ledger in %s fails (stat: %s)",
                       check->folder, strerror(errno));
    if ((rc = page_read(check, page, sizeof page, 0)) != 0)
        return rc;
    memcpy(&meta, page + PAGE_HEAD, sizeof meta);
    check->page_bytes = meta.roots[0].pad;
    if (meta.magic != META_MAGIC || check->page_bytes < PAGE_MIN || check->page_bytes > PAGE_MAX ||
        (check->page_bytes & (check->page_bytes - 1)) != 0)
        return page_damaged(check, "its first page is not readable", 0);
    check->file_pages = (uint64_t)info.st_size / check->page_bytes;
    return 0;
}

/* LMDB opens only when both roots are readable, and goes on from the newer. */
static int read_metas(struct page_file *check, struct page_meta metas[2])
{
    uint8_t page[PAGE_HEAD + sizeof(struct page_meta)];
    int     rc;

    for (int slot = 0; slot < 2; slot++) {
        if ((rc = page_read(check, page, sizeof page, (uint64_t)slot)) != 0)
            return rc;
        if (!meta_valid(check, page, slot, &metas[slot]))
            return page_damaged(check, "one of its two roots is not readable", (uint64_t)slot);
    }
    /* Commits write the two in turn. Were the newer one's number damaged, LMDB would go on from the
     * older, and acknowledged events would be gone without a word. */
    if (metas[0].transaction + 1 != metas[1].transaction &&
        metas[1].transaction + 1 != metas[0].transaction &&
        (metas[0].transaction != 0 || metas[1].transaction != 0))
        return page_damaged(check, "its two roots do not belong together", 0);
    return 0;
}

static int check_meta(struct page_file *check)
{
    int rc;

    if (check->all) {
        check->used = calloc(1, (size_t)(check->meta.last_page / 8 + 1));
        if (check->used == NULL)
            return why_set(check->why, ERR_MEMORY, "out of memory to check the ledger in %s",
                           check->folder);
    }
    rc = page_tree_check(check, TREE_FREE, &check->meta.roots[0]);
    if (rc == 0)
        rc = page_tree_check(check, TREE_MAIN, &check->meta.roots[1]);
    free(check->used);
    return rc;
}

static int open_file(struct page_file *check)
{
    char path[LIMIT_PATH_BYTES + 16];

    snprintf(path, sizeof path, "%s/data.mdb", check->folder);
    check->fd = plain_file_open(path, PLAIN_FILE_LINKS, NULL, check->why);
    if (check->fd >= 0)
        return 0;
    why_prefix(check->why, "the ledger's file %s cannot be read", path);
    return check->fd;
}

/* To begin anew without a word would be to lose every count. */
static int gone(const struct page_file *check)
{
    return why_set(
        check->why, ERR_CORRUPT,
        "the ledger in %s has lost its file data.mdb: put back a copy, or move the folder away "
        "to go on with an empty one",
        check->folder);
}

/* Nothing was ever committed while the file is no longer than its two roots: they are synced before
 * the first commit. */
static int drop_unborn(struct page_file *check, int rc)
{
    char        path[LIMIT_PATH_BYTES + 16];
    struct stat info;

    if (rc != ERR_CORRUPT || fstat(check->fd, &info) != 0 ||
        info.st_size > 2 * sysconf(_SC_PAGESIZE))
        return rc;
    snprintf(path, sizeof path, "%s/data.mdb", check->folder);
    if (unlink(path) != 0)
        return rc;
    log_warning("ledger", "%s was torn before anything was in it: made anew", path);
    return 0;
}

int page_check_roots(const char *folder, struct why *why)
{
    int rc = 0;

    for (int i = 0; i < ROOT_TRIES; i++) {
        struct page_file check = {.folder = folder, .why = why, .page_bytes = PAGE_MIN};
        struct page_meta metas[2];

        if ((rc = open_file(&check)) != 0)
            return rc;
        if ((rc = read_page_size(&check)) == 0)
            rc = read_metas(&check, metas);
        close(check.fd);
        if (rc != ERR_CORRUPT)
            return rc;
    }
    return rc;
}

int page_check_tail(const char *folder, bool may_be_new, struct why *why)
{
    struct page_file check = {.folder = folder, .why = why, .page_bytes = PAGE_MIN};
    struct page_meta metas[2];
    struct stat      info;
    int              rc = open_file(&check);

    if (rc == ERR_NOT_FOUND)
        return may_be_new ? 0 : gone(&check);
    if (rc != 0)
        return rc;
    if (fstat(check.fd, &info) == 0 && info.st_size == 0) {
        close(check.fd);
        return may_be_new ? 0 : gone(&check);
    }
    if ((rc = read_page_size(&check)) == 0)
        rc = read_metas(&check, metas);
    if (rc == 0) {
        check.meta = metas[metas[1].transaction > metas[0].transaction];
        rc         = check_meta(&check);
    } else if (may_be_new) {
        rc = drop_unborn(&check, rc);
    }
    close(check.fd);
    return rc;
}

int page_check_snapshot(const char *folder, uint64_t transaction, bool all,
                        void (*progress)(void *arg, double done), void *arg, struct why *why)
{
    struct page_file check = {.folder     = folder,
                              .why        = why,
                              .page_bytes = PAGE_MIN,
                              .all        = all,
                              .progress   = progress,
                              .arg        = arg};
    struct page_meta metas[2];
    int              rc = open_file(&check);

    if (rc != 0)
        return rc;
    if ((rc = read_page_size(&check)) == 0)
        rc = read_metas(&check, metas);
    if (rc == 0) {
        check.meta = metas[transaction & 1];
        rc         = check.meta.transaction == transaction ? check_meta(&check) : ERR_AGAIN;
    }
    close(check.fd);
    return rc;
}
