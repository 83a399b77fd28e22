/* Notices on the disk. */
#include "smtpd/journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/clock.h"
#include "base/log.h"

REC_DEFINE(notice, REC_NOTICE)

#define MAGIC "PSTN\1"
#define MAGIC_LEN 5
#define DIGEST_LEN 32
#define FILE_MAX (NOTICE_MAX + 4096) /* octets of a file */
#define SCAN_MAX 100000 /* names looked at: a folder must not keep the daemon from its work */

static int
digest(uint8_t out[DIGEST_LEN], const void *p, size_t n)
{
	return EVP_Digest(p, n, out, NULL, EVP_sha256(), NULL) == 1 ? 0 : -1;
}

struct notice *
journal_parse(const void *p, size_t n)
{
	uint8_t sum[DIGEST_LEN];
	size_t body;

	if (n < MAGIC_LEN + DIGEST_LEN || n > FILE_MAX || memcmp(p, MAGIC, MAGIC_LEN) != 0)
		goto bad;
	body = n - DIGEST_LEN;
	if (digest(sum, p, body) == -1 || memcmp(sum, (const uint8_t *)p + body, DIGEST_LEN) != 0)
		goto bad;
	return rec_decode(&rec_notice, (const uint8_t *)p + MAGIC_LEN, body - MAGIC_LEN);
bad:
	errno = EBADMSG;
	return NULL;
}

static int
encode(struct buf *b, const struct notice *n)
{
	uint8_t sum[DIGEST_LEN];

	if (buf_put(b, MAGIC, MAGIC_LEN) == -1 || rec_encode(&rec_notice, n, b) == -1)
		return -1;
	if (digest(sum, buf_ptr(b), buf_len(b)) == -1) {
		errno = EIO;
		return -1;
	}
	return buf_put(b, sum, sizeof sum);
}

static int
write_all(int fd, const uint8_t *p, size_t n)
{
	ssize_t put;

	for (; n > 0; p += put, n -= (size_t)put)
		if ((put = write(fd, p, n)) == -1) {
			if (errno != EINTR)
				return -1;
			put = 0;
		}
	return 0;
}

static int
write_file(int dir, const char *name, const struct buf *b)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	int rc = -1, saved;

	if (fd == -1)
		return -1;
	if (write_all(fd, buf_ptr(b), buf_len(b)) == 0 && fdatasync(fd) == 0)
		rc = 0;
	saved = errno;
	close(fd);
	errno = saved;
	return rc;
}

int
journal_add(
    int dir, unsigned instance, const struct notice *n, char name[JOURNAL_NAME_MAX], struct err *e)
{
	char tmp[JOURNAL_NAME_MAX], stem[JOURNAL_NAME_MAX - 8];
	struct buf b;
	int rc = -1;

	buf_init(&b, FILE_MAX);
	(void)snprintf(stem, sizeof stem, "%u.%" PRIu64 ".%08x%08x", instance, n->created,
	    arc4random(), arc4random());
	(void)snprintf(name, JOURNAL_NAME_MAX, "%s.notice", stem);
	(void)snprintf(tmp, sizeof tmp, "%s.tmp", stem);
	if (encode(&b, n) == -1) {
		(void)err_sys(e, "a notice cannot be written down");
		goto out;
	}
	if (write_file(dir, tmp, &b) == -1) {
		(void)err_sys(e, "journal of notices");
		(void)unlinkat(dir, tmp, 0);
		goto out;
	}
	if (renameat(dir, tmp, dir, name) == -1) {
		(void)err_sys(e, "journal of notices");
		(void)unlinkat(dir, tmp, 0);
		goto out;
	}
	if (fsync(dir) == -1) {
		(void)err_sys(e, "journal of notices");
		(void)unlinkat(dir, name, 0);
		goto out;
	}
	rc = 0;
out:
	buf_free(&b);
	return rc;
}

struct notice *
journal_read(int dir, const char *name, void **own)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct notice *n = NULL;
	uint8_t *p = NULL;
	size_t at = 0;
	ssize_t got;

	*own = NULL;
	if (fd == -1)
		return NULL;
	if ((p = malloc(FILE_MAX + 1)) == NULL)
		goto out;
	while ((got = read(fd, p + at, FILE_MAX + 1 - at)) > 0)
		at += (size_t)got;
	if (got == 0 && (n = journal_parse(p, at)) != NULL) {
		*own = p;
		p = NULL;
	}
out:
	got = errno;
	free(p);
	close(fd);
	errno = (int)got;
	return n;
}

void
journal_remove(int dir, const char *name)
{
	if (unlinkat(dir, name, 0) == -1 && errno != ENOENT)
		log_err("journal of notices: cannot remove %s: %s", name, strerror(errno));
}

void
journal_set_aside(int dir, const char *name)
{
	char to[JOURNAL_NAME_MAX + 8];

	(void)snprintf(to, sizeof to, "%s.damaged", name);
	if (renameat(dir, name, dir, to) == -1)
		log_err("journal of notices: cannot rename %s: %s", name, strerror(errno));
}

/* Does a name end so?  Its number in *instance. */
static int
is_named(const char *name, const char *suffix, unsigned *instance)
{
	size_t n = strlen(name), len = strlen(suffix);
	unsigned long v;
	char *end;

	if (n <= len || n >= JOURNAL_NAME_MAX || strcmp(name + n - len, suffix) != 0)
		return 0;
	if (strspn(name, "0123456789") - 1 > 4) /* none, or more than five */
		return 0;
	v = strtoul(name, &end, 10);
	*instance = (unsigned)v;
	return *end == '.';
}

/* An orphan gets our number; renaming is atomic, so that only one process has it. */
static int
take_over(int dir, const char *name, char to[JOURNAL_NAME_MAX])
{
	const char *dot = strchr(name, '.');

	if (dot == NULL || snprintf(to, JOURNAL_NAME_MAX, "0%s", dot) >= JOURNAL_NAME_MAX)
		return -1;
	return renameat(dir, name, dir, to);
}

int
journal_scan(int dir, unsigned instance, unsigned processes, int clean,
    void (*found)(const char *name, void *arg), void *arg, struct err *e)
{
	char mine[JOURNAL_NAME_MAX];
	const struct dirent *d;
	unsigned who;
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), n = 0, seen = 0;
	DIR *list = fd != -1 ? fdopendir(fd) : NULL;

	if (list == NULL) {
		(void)err_sys(e, "journal of notices");
		if (fd != -1)
			close(fd);
		return -1;
	}
	while (seen++ < SCAN_MAX && (d = readdir(list)) != NULL) {
		if (is_named(d->d_name, ".tmp", &who)) {
			if (clean && who == instance)
				journal_remove(dir, d->d_name);
			continue;
		}
		if (!is_named(d->d_name, ".notice", &who))
			continue;
		if (who == instance)
			(void)strlcpy(mine, d->d_name, sizeof mine);
		else if (instance != 0 || who < processes || take_over(dir, d->d_name, mine) == -1)
			continue;
		found(mine, arg);
		n++;
	}
	closedir(list);
	return n;
}
