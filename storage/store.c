#include "storage/store.h"

#include "config/err.h"
#include "config/log.h"
#include "storage/page_check.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Address space, not memory and not disk: 500 million events and their roll-ups. */
#define MAP_BYTES     (UINT64_C(64) << 30)
#define MAP_BYTES_MIN (UINT64_C(1) << 20)
#define MAP_BYTES_MAX (UINT64_C(4) << 40)

/* Commands and scrapers beside the server; LMDB's default of 126 is thin for a busy API. */
#define READERS 512

#define FILE_MODE 0600

/* A reader whose root was replaced before it looked at it begins again. */
#define SNAPSHOT_TRIES 100

static const char *const TABLE_NAMES[STORE_TABLES] = {
    [STORE_META] = "meta",       [STORE_NAMES] = "names",   [STORE_EVENTS] = "events",
    [STORE_COMMITS] = "commits", [STORE_TOTALS] = "totals", [STORE_MINUTES] = "minutes",
    [STORE_HOURS] = "hours",     [STORE_DAYS] = "days",
};

/* LMDB's file locks belong to the process: closing a second handle of the same file would drop the
 * first one's. So one process opens a ledger once, and this list knows. */
static pthread_mutex_t open_lock = PTHREAD_MUTEX_INITIALIZER;
static struct store   *open_list; /* under open_lock */

int store_why(struct why *why, int rc, const char *path, const char *doing)
{
    switch (rc) {
    case 0:
        return 0;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return why_set(
            why, ERR_NO_SPACE,
            "no space left for the ledger in %s (%s): free some; counting goes on and what "
            "waits is stored then",
            path, doing);
    case MDB_MAP_FULL:
        return why_set(why, ERR_NO_SPACE, "the ledger in %s has outgrown its address space (%s)",
                       path, doing);
    case ENOMEM:
        return why_set(why, ERR_MEMORY, "out of memory for the ledger in %s (%s)", path, doing);
    case EACCES:
    case EPERM:
    case EROFS:
        return why_set(
            why, ERR_DENIED,
            "no permission for the ledger in %s (%s: %s): give the user who runs Sightline "
            "its folder",
            path, doing, mdb_strerror(rc));
    case ENOENT:
        return why_set(why, ERR_NOT_FOUND, "there is no ledger in %s", path);
    case MDB_INVALID:
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_BAD_VALSIZE:
    case MDB_NOTFOUND:
        return why_set(
            why, ERR_CORRUPT,
            "the ledger in %s is damaged (%s: %s): move the folder away to go on with an "
            "empty one, or put back a copy",
            path, doing, mdb_strerror(rc));
    case MDB_VERSION_MISMATCH:
        return why_set(why, ERR_UNSUPPORTED, "the ledger in %s is of another LMDB version", path);
    case MDB_READERS_FULL:
        return why_set(why, ERR_LIMIT, "too many programs read the ledger in %s", path);
    default:
        return why_set(why, ERR_IO, "the disk of the ledger in %s fails (%s: %s)", path, doing,
                       mdb_strerror(rc));
    }
}

/* ---- the folder ---- */

static int make_folder(const char *path, struct why *why)
{
    char   partial[LIMIT_PATH_BYTES];
    size_t bytes = strlen(path);

    memcpy(partial, path, bytes + 1);
    for (char *at = partial + 1; at <= partial + bytes; at++) {
        char saved = *at;

        if (saved != '/' && saved != '\0')
            continue;
        *at = '\0';
        if (mkdir(partial, 0700) != 0 && errno != EEXIST)
            return store_why(why, errno == ENOENT ? EACCES : errno, partial, "make the folder");
        *at = saved;
    }
    return 0;
}

/* Locks and mmap of these do not hold across machines, and LMDB needs both. */
static int check_file_system(int fd, const char *path, struct why *why)
{
    static const struct {
        long        magic;
        const char *name;
    } remote[] = {
        {NFS_SUPER_MAGIC, "NFS"},  {SMB_SUPER_MAGIC, "SMB"}, {SMB2_SUPER_MAGIC, "SMB"},
        {CIFS_SUPER_MAGIC, "SMB"}, {V9FS_MAGIC, "9P"},       {CEPH_SUPER_MAGIC, "Ceph"},
        {AFS_SUPER_MAGIC, "AFS"},  {AFS_FS_MAGIC, "AFS"},    {CODA_SUPER_MAGIC, "Coda"},
        {NCP_SUPER_MAGIC, "NCP"},
    };
    struct statfs system;

    if (fstatfs(fd, &system) != 0)
        return store_why(why, errno, path, "look at the file system");
    for (size_t i = 0; i < sizeof remote / sizeof remote[0]; i++) {
        if ((unsigned long)system.f_type == (unsigned long)remote[i].magic)
            return why_set(
                why, ERR_UNSUPPORTED,
                "%s is on a network file system (%s), which cannot keep a ledger safe: set "
                "`data` to a folder on a local disk",
                path, remote[i].name);
    }
    return 0;
}

static int open_folder(struct store *store, struct why *why)
{
    struct stat info;
    int         rc;

    if (!store->read_only && (rc = make_folder(store->path, why)) != 0)
        return rc;
    store->folder_fd = open(store->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (store->folder_fd < 0 || fstat(store->folder_fd, &info) != 0)
        return store_why(why, errno, store->path, "open the folder");
    if ((rc = check_file_system(store->folder_fd, store->path, why)) != 0)
        return rc;
    store->device = info.st_dev;
    store->inode  = info.st_ino;
    return 0;
}

static int register_open(struct store *store, struct why *why)
{
    int rc = 0;

    pthread_mutex_lock(&open_lock);
    for (const struct store *other = open_list; other != NULL; other = other->next_open) {
        if (other->device == store->device && other->inode == store->inode)
            rc = ERR_DENIED;
    }
    if (rc == 0) {
        store->next_open  = open_list;
        open_list         = store;
        store->registered = true;
    }
    pthread_mutex_unlock(&open_lock);
    if (rc != 0)
        return why_set(why, rc, "the ledger in %s is open in this program already", store->path);
    return 0;
}

static void unregister_open(struct store *store)
{
    pthread_mutex_lock(&open_lock);
    for (struct store **at = &open_list; *at != NULL; at = &(*at)->next_open) {
        if (*at == store) {
            *at = store->next_open;
            break;
        }
    }
    pthread_mutex_unlock(&open_lock);
    store->registered = false;
}

static int lock_writer(struct store *store, struct why *why)
{
    struct stat info;

    store->lock_fd = openat(store->folder_fd, "writer.lock", O_RDWR | O_CREAT | O_CLOEXEC,
                            FILE_MODE);
    if (store->lock_fd < 0)
        return store_why(why, errno, store->path, "open writer.lock");
    if (flock(store->lock_fd, LOCK_EX | LOCK_NB) == 0) {
        if (fstat(store->lock_fd, &info) != 0)
            return store_why(why, errno, store->path, "look at writer.lock");
        store->born = info.st_size > 0;
        return 0;
    }
    if (errno == EWOULDBLOCK)
        return why_set(
            why, ERR_DENIED,
            "another Sightline writes the ledger in %s: stop it, or set `data` to another "
            "folder",
            store->path);
    return store_why(why, errno, store->path, "lock writer.lock");
}

/* ---- LMDB ---- */

static int create_env(struct store *store, MDB_env **env)
{
    unsigned flags = MDB_NOTLS | (store->read_only ? MDB_RDONLY : 0);
    uint64_t bytes = store->map_bytes;
    int      rc;

    /* Under a limit of address space (ulimit -v, some containers) a smaller map does: it grows. */
    do {
        if ((rc = mdb_env_create(env)) != 0)
            return rc;
        if ((rc = mdb_env_set_mapsize(*env, bytes)) == 0 &&
            (rc = mdb_env_set_maxdbs(*env, STORE_TABLES)) == 0 &&
            (rc = mdb_env_set_maxreaders(*env, READERS)) == 0 &&
            (rc = mdb_env_open(*env, store->path, flags, FILE_MODE)) == 0)
            return 0;
        mdb_env_close(*env);
        *env = NULL;
        bytes /= 4;
    } while (rc == ENOMEM && bytes >= MAP_BYTES_MIN);
    return rc;
}

/* From now on a ledger without its file is a damaged one, not a new one. */
static int mark_born(struct store *store, struct why *why)
{
    static const char mark[] = "This folder holds a ledger of Sightline.\n";

    if (store->read_only || store->born)
        return 0;
    errno = ENOSPC; /* what a short write means */
    if (pwrite(store->lock_fd, mark, sizeof mark - 1, 0) != (ssize_t)sizeof mark - 1 ||
        fsync(store->lock_fd) != 0 || fsync(store->folder_fd) != 0)
        return store_why(why, errno, store->path, "write writer.lock");
    store->born = true;
    return 0;
}

static int read_format(struct store *store, MDB_txn *txn, struct why *why)
{
    MDB_val  key = {.mv_data = "format", .mv_size = 6}, value;
    uint32_t format;
    int      rc = mdb_get(txn, store->tables[STORE_META], &key, &value);

    if (rc != 0 || value.mv_size != sizeof format)
        return store_why(why, rc != 0 ? rc : MDB_CORRUPTED, store->path, "read its format");
    memcpy(&format, value.mv_data, sizeof format);
    if (format > STORE_FORMAT)
        return why_set(
            why, ERR_UNSUPPORTED,
            "the ledger in %s was written by a newer Sightline (format %u, this one knows "
            "%d): run the newer one",
            store->path, (unsigned)format, STORE_FORMAT);
    return format == STORE_FORMAT ? 0
                                  : store_why(why, MDB_CORRUPTED, store->path, "read its format");
}

static int open_tables(struct store *store, MDB_txn *txn, unsigned flags)
{
    int rc = 0;

    for (int i = 0; i < STORE_TABLES && rc == 0; i++)
        rc = mdb_dbi_open(txn, TABLE_NAMES[i], flags, &store->tables[i]);
    return rc;
}

/* The first commit of a new ledger: its tables and its format. */
static int create_tables(struct store *store)
{
    uint32_t format = STORE_FORMAT;
    MDB_val  key    = {.mv_data = "format", .mv_size = 6};
    MDB_val  value  = {.mv_data = &format, .mv_size = sizeof format};
    MDB_txn *txn;
    int      rc;

    /* LMDB's first pages must be on the disk before anything relies on them: a power cut in the
     * first commit would leave a file without a beginning. */
    if ((rc = mdb_env_sync(store->env, 1)) != 0 ||
        (rc = mdb_txn_begin(store->env, NULL, 0, &txn)) != 0)
        return rc;
    rc = open_tables(store, txn, MDB_CREATE);
    if (rc == 0)
        rc = mdb_put(txn, store->tables[STORE_META], &key, &value, 0);
    if (rc != 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    if ((rc = mdb_txn_commit(txn)) != 0)
        return rc;
    return fsync(store->folder_fd) == 0 ? 0 : errno;
}

/* On failure the transaction is gone. */
static int check_snapshot(struct store *store, MDB_txn **txn, struct why *why)
{
    int rc = ERR_AGAIN;

    for (int i = 0; i < SNAPSHOT_TRIES && rc == ERR_AGAIN; i++) {
        mdb_txn_reset(*txn);
        if (mdb_txn_renew(*txn) != 0)
            break;
        rc = page_check_snapshot(store->path, mdb_txn_id(*txn), false, NULL, NULL, why);
    }
    if (rc == ERR_AGAIN)
        why_set(why, rc, "the ledger in %s changes too fast to be checked: try again", store->path);
    if (rc != 0)
        mdb_txn_abort(*txn);
    return rc;
}

static int open_env(struct store *store, struct why *why)
{
    MDB_txn *txn;
    int      dead, rc;

    /* Beside a running writer the pages change: then their check waits for a transaction. */
    rc = store->read_only ? page_check_roots(store->path, why)
                          : page_check_tail(store->path, !store->born, why);
    if (rc == ERR_NOT_FOUND)
        return why_set(why, rc, "there is no ledger in %s", store->path);
    if (rc != 0)
        return rc;
    if ((rc = create_env(store, &store->env)) != 0)
        return store_why(why, rc, store->path, "open it");
    mdb_reader_check(store->env, &dead);
    if ((rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn)) != 0)
        return store_why(why, rc, store->path, "read it");
    if (store->read_only && (rc = check_snapshot(store, &txn, why)) != 0)
        return rc;
    rc = open_tables(store, txn, 0);
    if (rc == MDB_NOTFOUND && !store->read_only) {
        mdb_txn_abort(txn);
        if ((rc = create_tables(store)) != 0)
            return store_why(why, rc, store->path, "create it");
        return mark_born(store, why);
    }
    if (rc == MDB_NOTFOUND) {
        mdb_txn_abort(txn);
        return why_set(why, ERR_NOT_FOUND, "there is no ledger in %s", store->path);
    }
    if (rc != 0) {
        mdb_txn_abort(txn);
        return store_why(why, rc, store->path, "open its tables");
    }
    rc = read_format(store, txn, why);
    /* A committed read transaction keeps the table handles. */
    mdb_txn_commit(txn);
    return rc != 0 ? rc : mark_born(store, why);
}

static void close_env(struct store *store)
{
    if (store->env != NULL)
        mdb_env_close(store->env);
    store->env = NULL;
}

int store_open(struct store *store, const char *path, bool read_only, uint64_t map_bytes,
               struct why *why)
{
    int rc;

    store->folder_fd = -1;
    store->lock_fd   = -1;
    store->read_only = read_only;
    store->map_bytes = map_bytes != 0 ? map_bytes : MAP_BYTES;
    if (path[0] == '\0' || strlen(path) >= LIMIT_PATH_BYTES)
        return why_set(why, ERR_INVALID, "the ledger's folder has no name, or too long a one");
    if (sodium_init() < 0 || (store->path = strdup(path)) == NULL)
        return why_set(why, ERR_MEMORY, "out of memory for the ledger in %s", path);
    if ((rc = names_open(&store->names)) != 0)
        why_set(why, rc, "out of memory for the ledger in %s", path);
    if (rc == 0)
        rc = open_folder(store, why);
    if (rc == 0)
        rc = register_open(store, why);
    if (rc == 0 && !read_only)
        rc = lock_writer(store, why);
    if (rc == 0)
        rc = open_env(store, why);
    if (rc != 0)
        store_close(store);
    return rc;
}

void store_close(struct store *store)
{
    close_env(store);
    if (store->registered)
        unregister_open(store);
    if (store->lock_fd >= 0)
        close(store->lock_fd);
    if (store->folder_fd >= 0)
        close(store->folder_fd);
    names_close(&store->names);
    free(store->path);
    store->path      = NULL;
    store->folder_fd = -1;
    store->lock_fd   = -1;
}

int store_reopen(struct store *store, struct why *why)
{
    int rc;

    close_env(store);
    rc = open_env(store, why);
    if (rc != 0)
        close_env(store);
    return rc;
}

int store_grow(struct store *store, struct why *why)
{
    MDB_envinfo info;
    uint64_t    bytes;
    int         rc = mdb_env_info(store->env, &info);

    if (rc != 0)
        return store_why(why, rc, store->path, "look at its size");
    bytes = (uint64_t)info.me_mapsize * 2;
    if (bytes > MAP_BYTES_MAX)
        return store_why(why, MDB_MAP_FULL, store->path, "grow");
    if ((rc = mdb_env_set_mapsize(store->env, bytes)) != 0)
        return store_why(why, rc, store->path, "grow");
    store->map_bytes = bytes;
    log_info("ledger", "address space is now %llu MiB", (unsigned long long)(bytes >> 20));
    return 0;
}
