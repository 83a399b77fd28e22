/*
 * Messages with a file of their own.  The file is encrypted as a large blob is, with a key that
 * stands in the log: so that deliverd can be given the file as it is.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "queue/crc32c.h"
#include "queue/inner.h"

#define WINDOW (64 * 1024)
#define STEP (4 * 1024 * 1024) /* octets that are written while others wait */

int
qs_big_begin(struct big *b)
{
	uint8_t iv[16] = {0};

	b->fd = -1;
	if (b->src.kind == BLOB_FILE) {
		/* As it is: the octets are encrypted already. */
		memcpy(b->key, b->src.key, sizeof b->key);
		return 0;
	}
	arc4random_buf(b->key, sizeof b->key);
	if ((b->cipher = EVP_CIPHER_CTX_new()) == NULL ||
	    EVP_EncryptInit_ex(b->cipher, EVP_aes_256_ctr(), NULL, b->key, iv) != 1) {
		errno = ENOMEM;
		return -1;
	}
	return 0;
}

void
qs_big_free(struct big *b)
{
	if (b->fd != -1)
		close(b->fd);
	EVP_CIPHER_CTX_free(b->cipher);
	spool_free(&b->src);
	explicit_bzero(b, sizeof *b);
	free(b);
}

static int
create(struct qstore *s, struct big *b)
{
	char name[NAME_MAX_OCTETS];

	b->fd = openat(s->dir, qs_big_name(name, b->id),
	    O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (b->fd == -1)
		return -1;
	/* In one piece, and a full disk is noticed now; not every file system can do it. */
	if (queue_io.fallocate(b->fd, 0, 0, (off_t)b->src.size) == -1 && errno != EOPNOTSUPP &&
	    errno != ENOSYS)
		return -1;
	return 0;
}

static int
read_window(struct big *b, uint8_t *p, size_t n)
{
	struct octets o;
	ssize_t got;
	int len;

	if (b->cipher == NULL) {
		if ((got = qs_io_read(b->src.fd, p, n, b->off)) == (ssize_t)n)
			return 0;
		if (got != -1)
			errno = EIO;
		return -1;
	}
	if (spool_octets(&b->src, &o) == -1 || octets_read(&o, p, n, b->off) == -1)
		return -1;
	if (EVP_EncryptUpdate(b->cipher, p, &len, p, (int)n) != 1) {
		errno = EIO;
		return -1;
	}
	return 0;
}

int
qs_big_step(struct qstore *s, struct big *b)
{
	uint8_t window[WINDOW];
	uint64_t end = b->src.size - b->off > STEP ? b->off + STEP : b->src.size;
	size_t n;

	if (b->fd == -1 && create(s, b) == -1)
		return -1;
	for (; b->off < end; b->off += n) {
		n = end - b->off < sizeof window ? (size_t)(end - b->off) : sizeof window;
		if (read_window(b, window, n) == -1 || qs_io_write(b->fd, window, n, b->off) == -1)
			return -1;
		b->crc = crc32c(b->crc, window, n);
	}
	if (queue_io.fdatasync(b->fd) == -1)
		return -1;
	if (b->off < b->src.size)
		return 0;
	close(b->fd);
	b->fd = -1;
	return fsync(s->dir) == -1 ? -1 : 1;
}

void
qs_big_drop(struct qstore *s, uint64_t id)
{
	struct job *j = qs_job_new(s, JOB_UNLINK);

	/* Without memory it stays until the next start. */
	if (j == NULL)
		return;
	j->id = id;
	qs_stage_submit(s, j);
}

int
qs_big_open(struct qstore *s, uint64_t id, uint64_t size)
{
	char name[NAME_MAX_OCTETS];
	struct stat st;
	int fd = openat(s->dir, qs_big_name(name, id), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd == -1) {
		if (errno == ENOENT)
			errno = EBADMSG;
		return -1;
	}
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == size)
		return fd;
	close(fd);
	errno = EBADMSG;
	return -1;
}
