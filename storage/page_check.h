/* storage/page_check.h: is this file a sound LMDB file, as far down as its pages?
 *
 * LMDB trusts every page of its file: one flipped bit in a length or a page number and it reads
 * or jumps out of bounds, or hands out a page that is in use. So before it is let near a file
 * that a crash, a bad disk or a hand may have touched, the pages are read here, with pread and
 * without trust: their numbers, kinds, bounds and order of keys, and in the full check that
 * every page is used once. The layout is that of LMDB 0.9, 64 bit, little endian; another one is
 * refused with a reason. */
#ifndef SIGHTLINE_STORAGE_PAGE_CHECK_H
#define SIGHTLINE_STORAGE_PAGE_CHECK_H

#include "config/why.h"

#include <stdbool.h>
#include <stdint.h>

/* Before opening for writing, when nobody else writes: the roots and the newest pages of each
 * table, at most some 100 MB of reading. While it `may_be_new`, a file that is absent is none,
 * and one that a power cut left torn before anything was committed is removed; later both are
 * damage. */
int page_check_tail(const char *folder, bool may_be_new, struct why *why);

/* Before opening for reading, perhaps beside a writer: the two roots alone. ERR_NOT_FOUND
 * without a file. */
int page_check_roots(const char *folder, struct why *why);

/* Under an open read transaction with this id, which keeps its pages from being used again:
 * everything, or the newest pages. ERR_AGAIN: the root was replaced meanwhile; begin a new
 * transaction. */
int page_check_snapshot(const char *folder, uint64_t transaction, bool all,
                        void (*progress)(void *arg, double done), void *arg, struct why *why);

#endif
