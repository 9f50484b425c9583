/* storage/page_tree.h: one tree of pages of an LMDB file, read without trust.
 *
 * The inner part of page_check.h, and the structures of the file that both share. */
#ifndef SIGHTLINE_STORAGE_PAGE_TREE_H
#define SIGHTLINE_STORAGE_PAGE_TREE_H

#include "config/why.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_HEAD 16
#define PAGE_META 0x08

enum tree_kind { TREE_FREE, TREE_MAIN, TREE_TABLE };

struct page_root { /* 48 bytes in the file */
    uint32_t pad;
    uint16_t flags;
    uint16_t depth;
    uint64_t branch_pages, leaf_pages, overflow_pages, entries;
    uint64_t page;
};
_Static_assert(sizeof(struct page_root) == 48, "as in the file");

struct page_meta { /* behind the page's head */
    uint32_t         magic, version;
    uint64_t         address, map_bytes;
    struct page_root roots[2]; /* free pages, main table; the first one's pad is the page size */
    uint64_t         last_page;
    uint64_t         transaction;
};

struct page_file {
    const char      *folder;
    struct why      *why;
    int              fd;
    size_t           page_bytes;
    uint64_t         file_pages;
    struct page_meta meta;
    bool             all;
    uint8_t         *used; /* a bit for each page; only when all are read */
    uint64_t         read_pages;
    void (*progress)(void *arg, double done);
    void *arg;
};

/* Says what is wrong and where; ERR_CORRUPT. */
int page_damaged(const struct page_file *check, const char *what, uint64_t page);
/* `count` bytes from the beginning of a page. ERR_IO, ERR_CORRUPT at the end of the file. */
int page_read(const struct page_file *check, void *bytes, size_t count, uint64_t page);

/* Every page of the tree, or its newest ones. */
int page_tree_check(struct page_file *check, enum tree_kind kind, const struct page_root *root);

#endif
