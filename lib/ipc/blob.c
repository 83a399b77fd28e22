#include "ipc/blob.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/rand.h>

REC_DEFINE(blob, REC_BLOB)

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
#define CIPHER_STEP (64 * 1024) /* octets encrypted and written at once */
#define AES_BLOCK 16

void
spool_init(struct spool *s, uint64_t max, int dirfd)
{
	memset(s, 0, sizeof *s);
	s->max = max;
	s->dirfd = dirfd;
	s->fd = -1;
	buf_init(&s->mem, BLOB_INLINE_MAX);
}

void
spool_free(struct spool *s)
{
	if (s->map != NULL)
		munmap((void *)(uintptr_t)s->map, s->size);
	if (s->fd != -1)
		close(s->fd);
	buf_wipe_free(&s->mem);
	/* Most never were in a file, and had no key. */
	if (s->cipher != NULL || s->reader != NULL) {
		EVP_CIPHER_CTX_free(s->cipher);
		EVP_CIPHER_CTX_free(s->reader);
	}
	explicit_bzero(s->key, sizeof s->key);
	s->map = NULL;
	s->fd = -1;
	s->cipher = s->reader = NULL;
}

static int
write_all(int fd, const void *p, size_t n)
{
	const uint8_t *from = p;
	ssize_t put;

	while (n > 0) {
		if ((put = write(fd, from, n)) == -1) {
			if (errno == EINTR)
				continue;
			return -1;
		}
		from += put;
		n -= (size_t)put;
	}
	return 0;
}

/* A context that en- or decrypts (CTR: the same) from the block on in which off lies. */
static EVP_CIPHER_CTX *
cipher_at(EVP_CIPHER_CTX *c, const uint8_t *key, uint64_t off)
{
	uint8_t iv[AES_BLOCK] = {0};

	put_be64(iv + 8, off / AES_BLOCK);
	if (c == NULL) {
		if ((c = EVP_CIPHER_CTX_new()) == NULL)
			return NULL;
		if (EVP_EncryptInit_ex(c, EVP_aes_256_ctr(), NULL, key, iv) != 1)
			goto fail;
	} else if (EVP_EncryptInit_ex(c, NULL, NULL, NULL, iv) != 1)
		goto fail;
	return c;
fail:
	EVP_CIPHER_CTX_free(c);
	return NULL;
}

static int
write_encrypted(struct spool *s, const uint8_t *p, size_t n)
{
	uint8_t out[CIPHER_STEP];
	size_t step;
	int len;

	for (; n > 0; p += step, n -= step) {
		step = n < sizeof out ? n : sizeof out;
		if (EVP_EncryptUpdate(s->cipher, out, &len, p, (int)step) != 1) {
			errno = EIO;
			return -1;
		}
		if (write_all(s->fd, out, step) == -1)
			return -1;
	}
	return 0;
}

static int
to_memfd(struct spool *s)
{
	int fd = memfd_create("message", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd == -1)
		return -1;
	if (write_all(fd, buf_ptr(&s->mem), buf_len(&s->mem)) == -1) {
		close(fd);
		return -1;
	}
	buf_wipe_free(&s->mem);
	s->fd = fd;
	s->kind = BLOB_MEMFD;
	return 0;
}

static int
to_file(struct spool *s)
{
	uint8_t window[CIPHER_STEP];
	uint64_t off;
	ssize_t n;
	int old = s->fd, rc = -1;

	if (s->dirfd == -1) {
		errno = EFBIG;
		return -1;
	}
	if (RAND_bytes(s->key, sizeof s->key) != 1 ||
	    (s->cipher = cipher_at(NULL, s->key, 0)) == NULL) {
		errno = EIO;
		return -1;
	}
	if ((s->fd = openat(s->dirfd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)) == -1)
		goto out;
	for (off = 0; off < s->size; off += (uint64_t)n) {
		if ((n = pread(old, window, sizeof window, (off_t)off)) <= 0) {
			if (n == 0)
				errno = EIO;
			goto out;
		}
		if (write_encrypted(s, window, (size_t)n) == -1)
			goto out;
	}
	s->kind = BLOB_FILE;
	rc = 0;
out:
	explicit_bzero(window, sizeof window);
	close(old);
	return rc;
}

void
spool_expect(struct spool *s, uint64_t n)
{
	if (s->kind == BLOB_INLINE && n > s->size && n <= BLOB_INLINE_MAX && n <= s->max)
		(void)buf_reserve(&s->mem, (size_t)(n - s->size));
}

int
spool_write(struct spool *s, const void *p, size_t n)
{
	if (n > s->max || s->size > s->max - n) {
		errno = EFBIG;
		return -1;
	}
	if (s->sealed) {
		errno = EROFS;
		return -1;
	}
	if (s->kind == BLOB_INLINE && s->size + n > BLOB_INLINE_MAX && to_memfd(s) == -1)
		return -1;
	if (s->kind == BLOB_MEMFD && s->size + n > BLOB_MEMFD_MAX && to_file(s) == -1)
		return -1;
	switch (s->kind) {
	case BLOB_INLINE:
		if (buf_put(&s->mem, p, n) == -1)
			return -1;
		break;
	case BLOB_MEMFD:
		if (write_all(s->fd, p, n) == -1)
			return -1;
		break;
	case BLOB_FILE:
		if (write_encrypted(s, p, n) == -1)
			return -1;
	}
	s->size += n;
	return 0;
}

static int
spool_sink_write(void *ctx, const void *p, size_t n)
{
	return spool_write(ctx, p, n);
}

struct sink
spool_sink(struct spool *s)
{
	return (struct sink){spool_sink_write, s};
}

static int
map_memfd(struct spool *s)
{
	void *p = mmap(NULL, s->size, PROT_READ, MAP_SHARED, s->fd, 0);

	if (p == MAP_FAILED)
		return -1;
	s->map = p;
	return 0;
}

int
spool_finish(struct spool *s)
{
	if (s->sealed)
		return 0;
	if (s->kind == BLOB_MEMFD) {
		if (fcntl(s->fd, F_ADD_SEALS, SEALS) == -1 || map_memfd(s) == -1)
			return -1;
	}
	EVP_CIPHER_CTX_free(s->cipher);
	s->cipher = NULL;
	s->sealed = 1;
	return 0;
}

static ssize_t
file_pread(void *ctx, void *p, size_t n, uint64_t off)
{
	struct spool *s = ctx;
	uint8_t skip[AES_BLOCK] = {0};
	ssize_t got;
	int len;

	if (n > INT32_MAX)
		n = INT32_MAX;
	do
		got = pread(s->fd, p, n, (off_t)off);
	while (got == -1 && errno == EINTR);
	if (got <= 0)
		return got;
	if ((s->reader = cipher_at(s->reader, s->key, off)) == NULL ||
	    EVP_EncryptUpdate(s->reader, skip, &len, skip, (int)(off % AES_BLOCK)) != 1 ||
	    EVP_EncryptUpdate(s->reader, p, &len, p, (int)got) != 1) {
		errno = EIO;
		return -1;
	}
	return got;
}

int
spool_octets(struct spool *s, struct octets *o)
{
	if (spool_finish(s) == -1)
		return -1;
	if (s->kind == BLOB_FILE)
		*o = (struct octets){.size = s->size, .pread = file_pread, .ctx = s};
	else
		*o = octets_mem(s->kind == BLOB_MEMFD ? s->map : buf_ptr(&s->mem), (size_t)s->size);
	return 0;
}

int
spool_send(struct spool *s, struct blob *rec, int *fd)
{
	if (spool_finish(s) == -1)
		return -1;
	memset(rec, 0, sizeof *rec);
	rec->kind = (uint8_t)s->kind;
	rec->size = s->size;
	*fd = -1;
	if (s->kind == BLOB_INLINE) {
		rec->data = (struct bytes){buf_ptr(&s->mem), buf_len(&s->mem)};
		return 0;
	}
	if (s->kind == BLOB_FILE)
		rec->key = (struct bytes){s->key, sizeof s->key};
	*fd = fcntl(s->fd, F_DUPFD_CLOEXEC, 0);
	return *fd == -1 ? -1 : 0;
}

static int
receive_fd(struct spool *s, const struct blob *rec, int fd)
{
	struct stat st;
	int seals, flags;

	if (fd == -1 || rec->data.n != 0 || fstat(fd, &st) == -1 || !S_ISREG(st.st_mode) ||
	    (uint64_t)st.st_size != rec->size || rec->size == 0)
		goto bad;
	if ((flags = fcntl(fd, F_GETFL)) == -1 || (flags & O_ACCMODE) == O_WRONLY)
		goto bad;
	if (rec->kind == BLOB_MEMFD) {
		if (rec->size > BLOB_MEMFD_MAX || rec->key.n != 0 ||
		    (seals = fcntl(fd, F_GET_SEALS)) == -1 || (seals & SEALS) != SEALS)
			goto bad;
	} else if (rec->key.n != BLOB_KEY)
		goto bad;
	else
		memcpy(s->key, rec->key.p, BLOB_KEY);
	s->fd = fd;
	if (rec->kind == BLOB_MEMFD && map_memfd(s) == -1) {
		s->fd = -1;
		return -1;
	}
	return 0;
bad:
	errno = EBADMSG;
	return -1;
}

int
spool_receive(struct spool *s, const struct blob *rec, int fd, uint64_t max)
{
	spool_init(s, max, -1);
	if (rec->size > max) {
		errno = EFBIG;
		return -1;
	}
	s->kind = rec->kind;
	s->size = rec->size;
	if (rec->kind == BLOB_INLINE) {
		if (fd != -1 || rec->key.n != 0 || rec->data.n != rec->size) {
			errno = EBADMSG;
			return -1;
		}
		if (buf_put(&s->mem, rec->data.p, rec->data.n) == -1)
			return -1;
	} else if (receive_fd(s, rec, fd) == -1) {
		s->size = 0;
		return -1;
	}
	s->sealed = 1;
	return 0;
}
