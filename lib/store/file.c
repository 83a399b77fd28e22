/*
 * The files of a store.
 *
 * data.mdb is LMDB's.  data.seq, 40 octets: "PSTSEQ1\n", number of the last committed
 * transaction, size of data.mdb after it (both big-endian), and a checksum of these.  LMDB keeps
 * two meta pages and takes the older one when the newer is damaged, silently giving back the
 * state before; data.seq tells that there was a newer one.  It is written after each commit and
 * not synced, so it may lag behind after a crash but never be ahead.  Its lock makes a store
 * belong to one process; LMDB's own lock file is not used (MDB_NOLOCK): there is one process with
 * one thread, which never has readers and a writer at once, and nothing to go wrong in a file
 * shared with dead processes.
 *
 * Opening needs: openat, fstat, fstatfs, uname, flock, fcntl, read, pread64, pwrite64, mmap,
 * munmap, lseek, fsync, fdatasync, and for the check clone (fork), set_robust_list, rseq, pipe2,
 * write, poll, wait4, kill, rt_sigaction, rt_sigprocmask, prlimit64, exit_group.  Afterwards
 * nothing but: pread64, pwrite64, pwritev, writev, lseek, fdatasync, fstat, fstatfs, getpid,
 * getrandom, futex (OpenSSL) and memory.  A limit of the address space must leave room for
 * map_size. Landlock: the folder readable and writable, files may be made; after opening nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "store/inner.h"

#define SEQ_LEN 40
static const char seq_magic[8] = "PSTSEQ1\n";

/* A disk with less than this left is taken to be the reason of a short write. */
#define NEARLY_FULL (1024 * 1024)

static int
errno_of(const struct store *s, int rc)
{
	struct statfs fs;
	int fd;

	if (rc > 0 && rc != EIO)
		return rc;
	switch (rc) {
	case EIO: /* LMDB's answer to a short write */
		if (s->env != NULL && mdb_env_get_fd(s->env, &fd) == 0 && fstatfs(fd, &fs) == 0 &&
		    (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize < NEARLY_FULL)
			return ENOSPC;
		return EIO;
	case MDB_MAP_FULL:
	case MDB_DBS_FULL:
		return ENOSPC;
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_INVALID:
	case MDB_VERSION_MISMATCH:
	case MDB_INCOMPATIBLE:
		return EUCLEAN;
	case MDB_BAD_VALSIZE:
		return EINVAL;
	case MDB_TXN_FULL:
		return EMSGSIZE;
	default:
		return EIO;
	}
}

int
store_fail(const struct store *s, struct err *e, int rc, const char *what)
{
	int code = errno_of(s, rc);

	if (rc == MDB_MAP_FULL)
		return err_set(e, code, "%.200s/" DATA_FILE ": %s: it has reached its largest size",
		    s->name, what);
	if (code == EUCLEAN)
		return store_damaged(s, e, DATA_FILE, "%s: %s", what, mdb_strerror(rc));
	return err_set(e, code, "%.200s/" DATA_FILE ": %s: %s", s->name, what,
	    rc > 0 ? strerror(code) : mdb_strerror(rc));
}

int
store_damaged(const struct store *s, struct err *e, const char *file, const char *fmt, ...)
{
	char what[200];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	return err_set(e, EUCLEAN, "%.200s/%s is damaged: %s; restore the folder from a backup",
	    s->name, file, what);
}

int
seq_open(struct store *s, struct err *e)
{
	int flags = s->readonly ? O_RDONLY : O_RDWR | O_CREAT;

	s->seq_fd = open(s->seq_path, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (s->seq_fd == -1) {
		if (s->readonly && errno == ENOENT)
			return 0; /* nothing to lock: there is no store, or a copy without it */
		return err_sys(e, "%.200s/" SEQ_FILE, s->name);
	}
	if (flock(s->seq_fd, (s->readonly ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0)
		return 0;
	if (errno == EWOULDBLOCK)
		return err_set(e, EBUSY, "%.200s: another process has it open", s->name);
	return err_sys(e, "%.200s/" SEQ_FILE ": lock", s->name);
}

static int
seq_sum(const uint8_t *p, uint8_t out[16])
{
	uint8_t sum[EVP_MAX_MD_SIZE];

	if (EVP_Digest(p, SEQ_LEN - 16, sum, NULL, EVP_sha256(), NULL) != 1)
		return -1;
	memcpy(out, sum, 16);
	return 0;
}

int
seq_read(struct store *s, struct seq *q, struct err *e)
{
	uint8_t b[SEQ_LEN + 1], sum[16];
	ssize_t n = 0;

	*q = (struct seq){0, 0};
	if (s->seq_fd != -1 && (n = pread(s->seq_fd, b, sizeof b, 0)) == -1)
		return err_sys(e, "%.200s/" SEQ_FILE, s->name);
	if (n == 0)
		return 0;
	if (n != SEQ_LEN || memcmp(b, seq_magic, sizeof seq_magic) != 0 || seq_sum(b, sum) == -1 ||
	    memcmp(sum, b + SEQ_LEN - 16, sizeof sum) != 0)
		return store_damaged(s, e, SEQ_FILE, "its checksum is wrong");
	q->txn = get_be64(b + 8);
	q->size = get_be64(b + 16);
	return 0;
}

int
folder_sync(const struct store *s, const char *dir, struct err *e)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;

	if (fd == -1) /* a folder that may be entered but not read: nothing can be done */
		return errno == EACCES ? 0 : err_sys(e, "%.200s", s->name);
	if (fsync(fd) == -1 && errno != EINVAL) /* EINVAL: this file system does not need it */
		rc = err_sys(e, "%.200s: sync", s->name);
	(void)close(fd);
	return rc;
}

void
seq_write(struct store *s)
{
	uint8_t b[SEQ_LEN];
	MDB_envinfo info;
	struct stat st;
	int fd;

	if (s->seq_fd == -1 || mdb_env_info(s->env, &info) != 0 ||
	    mdb_env_get_fd(s->env, &fd) != 0 || fstat(fd, &st) == -1)
		return;
	memcpy(b, seq_magic, sizeof seq_magic);
	put_be64(b + 8, info.me_last_txnid);
	put_be64(b + 16, (uint64_t)st.st_size);
	/* Within one sector, so that a crash leaves the old or the new one. */
	if (seq_sum(b, b + SEQ_LEN - 16) == 0)
		(void)!pwrite(s->seq_fd, b, sizeof b, 0);
}
