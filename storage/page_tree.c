#include "storage/page_tree.h"

#include "config/err.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The file's format (LMDB 0.9). */
#define PAGE_BRANCH   0x01
#define PAGE_LEAF     0x02
#define PAGE_OVERFLOW 0x04
#define NODE_HEAD     8
#define NODE_BIG      0x01 /* the data is in overflow pages */
#define NODE_TABLE    0x02 /* the data is the root of a table */
#define NO_PAGE       UINT64_MAX
#define KEY_MAX       511
#define DEPTH_MAX     32

/* Pages of each table that are read before opening. */
#define TAIL_PAGES 2048

struct key {
    const uint8_t *bytes; /* NULL: no bound */
    size_t         count;
};

struct tree {
    struct page_file *check;
    enum tree_kind    kind;
    struct page_root  root;
    int               budget; /* pages still to be read; only when not all are */
    uint64_t          branch_pages, leaf_pages, overflow_pages, entries;
    uint8_t          *levels[DEPTH_MAX]; /* one page per level of the way down */
};

int page_damaged(const struct page_file *check, const char *what, uint64_t page)
{
    return why_set(
        check->why, ERR_CORRUPT,
        "the ledger in %s is damaged: %s (page %llu): move the folder away to go on with an "
        "empty one, or put back a copy",
        check->folder, what, (unsigned long long)page);
}

static uint16_t get16(const uint8_t *at)
{
    uint16_t value;

    memcpy(&value, at, sizeof value);
    return value;
}

static uint64_t get64(const uint8_t *at)
{
    uint64_t value;

    memcpy(&value, at, sizeof value);
    return value;
}

int page_read(const struct page_file *check, void *bytes, size_t count, uint64_t page)
{
    size_t done = 0;

    while (done < count) {
        ssize_t got = pread(check->fd, (uint8_t *)bytes + done, count - done,
                            (off_t)(page * check->page_bytes + done));

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return why_set(check->why, ERR_IO, "the disk of the ledger in %s fails (read: %s)",
                           check->folder, strerror(errno));
        if (got == 0)
            return page_damaged(check, "the file ends too early", page);
        done += (size_t)got;
    }
    return 0;
}

/* Pages `first` to `first + count - 1` are part of the tree, or free. */
static int use_pages(struct page_file *check, uint64_t first, uint64_t count)
{
    if (first < 2 || count > check->meta.last_page || first > check->meta.last_page + 1 - count)
        return page_damaged(check, "a page number beyond the file", first);
    for (uint64_t page = first; check->used != NULL && page < first + count; page++) {
        uint8_t bit = (uint8_t)(1U << (page % 8));

        if ((check->used[page / 8] & bit) != 0)
            return page_damaged(check, "a page is used twice", page);
        check->used[page / 8] |= bit;
    }
    check->read_pages += count;
    if (check->progress != NULL && check->read_pages % 1024 == 0)
        check->progress(check->arg, (double)check->read_pages / (double)check->meta.last_page);
    return 0;
}

/* ---- nodes ---- */

struct node {
    const uint8_t *at;
    size_t         key_bytes;
    unsigned       flags;
    size_t         data_bytes; /* leaf */
    uint64_t       child;      /* branch */
    size_t         size;       /* of the node, padded to an even number */
};

static bool read_node(const struct page_file *check, const uint8_t *page, unsigned index,
                      bool branch, struct node *node)
{
    size_t   offset = get16(page + PAGE_HEAD + 2 * (size_t)index);
    unsigned low, high;

    memset(node, 0, sizeof *node);
    if (offset < get16(page + 14) || offset + NODE_HEAD > check->page_bytes || offset % 2 != 0)
        return false;
    node->at         = page + offset;
    low              = get16(node->at);
    high             = get16(node->at + 2);
    node->flags      = get16(node->at + 4);
    node->key_bytes  = get16(node->at + 6);
    node->data_bytes = (size_t)low | (size_t)high << 16;
    node->child      = (uint64_t)low | (uint64_t)high << 16 | (uint64_t)node->flags << 32;
    node->size       = NODE_HEAD + node->key_bytes;
    if (!branch)
        node->size += (node->flags & NODE_BIG) != 0 ? sizeof(uint64_t) : node->data_bytes;
    node->size += node->size % 2;
    return node->key_bytes <= KEY_MAX && offset + node->size <= check->page_bytes;
}

static int compare_keys(const struct tree *tree, const uint8_t *a, size_t a_bytes, const uint8_t *b,
                        size_t b_bytes)
{
    size_t common = a_bytes < b_bytes ? a_bytes : b_bytes;
    int    order  = 0;

    /* Keys of the free pages are transaction numbers in the machine's own byte order. */
    if (tree->kind == TREE_FREE && a_bytes == 8 && b_bytes == 8)
        return get64(a) < get64(b) ? -1 : get64(a) > get64(b);
    if (common > 0)
        order = memcmp(a, b, common);
    return order != 0 ? order : (a_bytes > b_bytes) - (a_bytes < b_bytes);
}

static int check_key(const struct tree *tree, const struct node *node, struct key *low,
                     struct key high, uint64_t page)
{
    const uint8_t *key = node->at + NODE_HEAD;

    if (node->key_bytes == 0 || (tree->kind == TREE_FREE && node->key_bytes != 8))
        return page_damaged(tree->check, "a key of a wrong length", page);
    if ((low->bytes != NULL &&
         compare_keys(tree, low->bytes, low->count, key, node->key_bytes) > 0) ||
        (high.bytes != NULL &&
         compare_keys(tree, key, node->key_bytes, high.bytes, high.count) >= 0))
        return page_damaged(tree->check, "keys out of order", page);
    low->bytes = key;
    low->count = node->key_bytes;
    return 0;
}

/* ---- leaves ---- */

static int check_overflow(struct tree *tree, const struct node *node, uint64_t *first)
{
    struct page_file *check = tree->check;
    uint64_t          pages = (PAGE_HEAD + node->data_bytes - 1) / check->page_bytes + 1;
    uint8_t           head[PAGE_HEAD];
    uint32_t          stated;
    int               rc;

    memcpy(first, node->at + NODE_HEAD + node->key_bytes, sizeof *first);
    tree->overflow_pages += pages;
    if ((rc = use_pages(check, *first, pages)) != 0 ||
        (rc = page_read(check, head, sizeof head, *first)) != 0)
        return rc;
    memcpy(&stated, head + 12, sizeof stated);
    if (get64(head) != *first || get16(head + 10) != PAGE_OVERFLOW || stated != pages)
        return page_damaged(check, "a long record's page is not what it should be", *first);
    return 0;
}

/* A list of free pages: its length, then their numbers, falling. A wrong one would make LMDB
 * write over pages in use. */
static int check_free_list(struct page_file *check, const uint8_t *list, size_t bytes,
                           uint64_t page)
{
    uint64_t count, before = NO_PAGE;
    int      rc;

    if (bytes < sizeof count || bytes % sizeof count != 0)
        return page_damaged(check, "a list of free pages of a wrong length", page);
    count = get64(list);
    if (count > bytes / sizeof count - 1)
        return page_damaged(check, "a list of free pages that is too long", page);
    for (uint64_t i = 1; i <= count; i++) {
        uint64_t number = get64(list + 8 * i);

        if (number >= before)
            return page_damaged(check, "a list of free pages out of order", page);
        if ((rc = use_pages(check, number, 1)) != 0)
            return rc;
        before = number;
    }
    return 0;
}

static int check_free_record(struct tree *tree, const struct node *node, uint64_t overflow,
                             uint64_t page)
{
    struct page_file *check = tree->check;
    uint8_t          *list;
    int               rc;

    list = malloc(node->data_bytes + PAGE_HEAD);
    if (list == NULL)
        return why_set(check->why, ERR_MEMORY, "out of memory to check the ledger in %s",
                       check->folder);
    if (overflow == 0) {
        memcpy(list, node->at + NODE_HEAD + node->key_bytes, node->data_bytes);
        rc = check_free_list(check, list, node->data_bytes, page);
    } else if ((rc = page_read(check, list, node->data_bytes + PAGE_HEAD, overflow)) == 0) {
        rc = check_free_list(check, list + PAGE_HEAD, node->data_bytes, overflow);
    }
    free(list);
    return rc;
}

static int check_record(struct tree *tree, const struct node *node, uint64_t page)
{
    struct page_file *check    = tree->check;
    bool              table    = (node->flags & NODE_TABLE) != 0;
    uint64_t          overflow = 0;
    struct page_root  root;
    int               rc;

    tree->entries++;
    if ((node->flags & ~(unsigned)(NODE_BIG | NODE_TABLE)) != 0 ||
        table != (tree->kind == TREE_MAIN))
        return page_damaged(check, "a record of an unknown kind", page);
    if (table) {
        if ((node->flags & NODE_BIG) != 0 || node->data_bytes != sizeof root)
            return page_damaged(check, "a table without a root", page);
        memcpy(&root, node->at + NODE_HEAD + node->key_bytes, sizeof root);
        return page_tree_check(check, TREE_TABLE, &root);
    }
    if ((node->flags & NODE_BIG) != 0 && (rc = check_overflow(tree, node, &overflow)) != 0)
        return rc;
    return tree->kind == TREE_FREE ? check_free_record(tree, node, overflow, page) : 0;
}

/* ---- pages ---- */

static int check_page(struct tree *tree, uint64_t page, int depth, struct key low, struct key high);

/* Keys, kinds and bounds of one page's nodes; all together they fill its upper part exactly. */
static int check_nodes(const struct tree *tree, const uint8_t *bytes, unsigned count, bool branch,
                       struct key low, struct key high, uint64_t page)
{
    struct node node;
    size_t      sum = 0;
    int         rc;

    for (unsigned i = 0; i < count; i++) {
        struct key before = low;

        if (!read_node(tree->check, bytes, i, branch, &node))
            return page_damaged(tree->check, "a record that reaches out of its page", page);
        sum += node.size;
        /* The first key of a branch stands for everything below the second. */
        if (branch && i == 0)
            continue;
        if ((rc = check_key(tree, &node, &low, high, page)) != 0)
            return rc;
        /* The lower bound may be met by the first key of a leaf, never by two of one page. */
        if (i > (branch ? 1U : 0U) &&
            compare_keys(tree, before.bytes, before.count, low.bytes, low.count) == 0)
            return page_damaged(tree->check, "a key twice", page);
    }
    if (sum != tree->check->page_bytes - get16(bytes + 14))
        return page_damaged(tree->check, "records that overlap", page);
    return 0;
}

static int check_children(struct tree *tree, const uint8_t *bytes, unsigned count, int depth,
                          struct key low, struct key high)
{
    int rc;

    /* The newest first: of a long file only the newest pages are read before opening. */
    for (unsigned i = count; i-- > 0;) {
        struct node node, next;
        struct key  from = low, to = high;

        read_node(tree->check, bytes, i, true, &node);
        if (i > 0)
            from = (struct key){node.at + NODE_HEAD, node.key_bytes};
        if (i + 1 < count) {
            read_node(tree->check, bytes, i + 1, true, &next);
            to = (struct key){next.at + NODE_HEAD, next.key_bytes};
        }
        if (!tree->check->all && tree->budget <= 0)
            return 0;
        if ((rc = check_page(tree, node.child, depth + 1, from, to)) != 0)
            return rc;
    }
    return 0;
}

static int check_records(struct tree *tree, const uint8_t *bytes, unsigned count, uint64_t page)
{
    int rc = 0;

    for (unsigned i = count; i-- > 0 && rc == 0;) {
        struct node node;

        read_node(tree->check, bytes, i, false, &node);
        if (!tree->check->all && (node.flags & NODE_BIG) != 0 && tree->budget-- <= 0)
            break;
        rc = check_record(tree, &node, page);
    }
    return rc;
}

static int check_page(struct tree *tree, uint64_t page, int depth, struct key low, struct key high)
{
    struct page_file *check = tree->check;
    uint8_t          *bytes = tree->levels[depth];
    unsigned          lower, upper, count;
    bool              branch = depth + 1 < tree->root.depth;
    int               rc;

    if (bytes == NULL && (bytes = tree->levels[depth] = malloc(check->page_bytes)) == NULL)
        return why_set(check->why, ERR_MEMORY, "out of memory to check the ledger in %s",
                       check->folder);
    tree->budget--;
    if ((rc = use_pages(check, page, 1)) != 0 ||
        (rc = page_read(check, bytes, check->page_bytes, page)) != 0)
        return rc;
    lower = get16(bytes + 12);
    upper = get16(bytes + 14);
    if (get64(bytes) != page || get16(bytes + 10) != (branch ? PAGE_BRANCH : PAGE_LEAF))
        return page_damaged(check, "a page is not what it should be", page);
    if (lower < PAGE_HEAD || lower > upper || upper > check->page_bytes || lower % 2 != 0)
        return page_damaged(check, "a page with wrong bounds", page);
    count = (lower - PAGE_HEAD) / 2;
    if (count < (branch && tree->kind != TREE_FREE ? 2U : 1U))
        return page_damaged(check, "an empty page", page);
    if (branch)
        tree->branch_pages++;
    else
        tree->leaf_pages++;
    if ((rc = check_nodes(tree, bytes, count, branch, low, high, page)) != 0)
        return rc;
    return branch ? check_children(tree, bytes, count, depth, low, high)
                  : check_records(tree, bytes, count, page);
}

int page_tree_check(struct page_file *check, enum tree_kind kind, const struct page_root *root)
{
    struct tree tree = {.check = check, .kind = kind, .root = *root, .budget = TAIL_PAGES};
    struct key  none = {NULL, 0};
    int         rc   = 0;

    if (kind != TREE_FREE && root->flags != 0)
        return page_damaged(check, "a table of an unknown kind", root->page);
    if ((root->page == NO_PAGE) != (root->depth == 0) || root->depth > DEPTH_MAX)
        return page_damaged(check, "a table with a wrong depth", root->page);
    if (root->page != NO_PAGE)
        rc = check_page(&tree, root->page, 0, none, none);
    for (int i = 0; i < DEPTH_MAX; i++)
        free(tree.levels[i]);
    if (rc == 0 && check->all &&
        (tree.entries != root->entries || tree.leaf_pages != root->leaf_pages ||
         tree.branch_pages != root->branch_pages || tree.overflow_pages != root->overflow_pages))
        return page_damaged(check, "a table that has lost or gained pages", root->page);
    return rc;
}
