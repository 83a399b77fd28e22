#include "cryptod/ignition.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/rec.h"
#include "ipc/messages.h"

/*
 * The file: the magic, the encoded record, SHA-256 over both.  The check record is AES-256-GCM
 * over known octets, bound to magic and parameters, so that these cannot be exchanged unnoticed.
 */
static const char magic[] = "postern key store 1\n";

#define MAGIC (sizeof magic - 1)
#define SUM 32
#define FILE_MAX 1024
#define NONCE 12
#define PLAIN 16
#define TAG 16

#define REC_IGNITION_FILE(F, L)                                                                    \
	L(seal_params, params, 1, 1)                                                               \
	F(U8, complete, 0, 1)                                                                      \
	F(BYTES, check, NONCE + PLAIN + TAG, NONCE + PLAIN + TAG)
REC_DECLARE(ignition_file, REC_IGNITION_FILE)
REC_DEFINE(ignition_file, REC_IGNITION_FILE)

static int
bound_data(const struct ignition *i, struct buf *b)
{
	if (buf_put(b, magic, MAGIC) == -1)
		return -1;
	return rec_encode(&rec_seal_params, &i->params, b);
}

int
ignition_make(struct ignition *i, const struct seal_params *p, const uint8_t seal[SEAL_KEY_LEN],
    struct err *e)
{
	uint8_t plain[PLAIN] = {0};
	EVP_CIPHER_CTX *c = NULL;
	struct buf aad;
	int rc = -1, n;

	buf_init(&aad, FILE_MAX);
	memset(i, 0, sizeof *i);
	if (p->salt.n != SEAL_SALT_LEN)
		return err_set(e, EINVAL, "salt of %zu octets", p->salt.n);
	i->params = *p;
	memcpy(i->salt, p->salt.p, SEAL_SALT_LEN);
	i->params.salt = (struct bytes){i->salt, SEAL_SALT_LEN};
	if (bound_data(i, &aad) == -1 || (c = EVP_CIPHER_CTX_new()) == NULL ||
	    RAND_bytes(i->check, NONCE) != 1 ||
	    EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, seal, i->check) != 1 ||
	    EVP_EncryptUpdate(c, NULL, &n, buf_ptr(&aad), (int)buf_len(&aad)) != 1 ||
	    EVP_EncryptUpdate(c, i->check + NONCE, &n, plain, PLAIN) != 1 ||
	    EVP_EncryptFinal_ex(c, i->check + NONCE + PLAIN, &n) != 1 ||
	    EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, TAG, i->check + NONCE + PLAIN) != 1) {
		err_set(e, EIO, "making the check record failed");
		goto out;
	}
	rc = 0;
out:
	EVP_CIPHER_CTX_free(c);
	buf_free(&aad);
	return rc;
}

int
ignition_check(const struct ignition *i, const uint8_t seal[SEAL_KEY_LEN])
{
	uint8_t plain[PLAIN], tag[TAG];
	EVP_CIPHER_CTX *c = NULL;
	struct buf aad;
	int rc = -1, n;

	buf_init(&aad, FILE_MAX);
	memcpy(tag, i->check + NONCE + PLAIN, TAG);
	if (bound_data(i, &aad) == -1 || (c = EVP_CIPHER_CTX_new()) == NULL ||
	    EVP_DecryptInit_ex(c, EVP_aes_256_gcm(), NULL, seal, i->check) != 1 ||
	    EVP_DecryptUpdate(c, NULL, &n, buf_ptr(&aad), (int)buf_len(&aad)) != 1 ||
	    EVP_DecryptUpdate(c, plain, &n, i->check + NONCE, PLAIN) != 1 ||
	    EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, TAG, tag) != 1) {
		errno = EIO;
		goto out;
	}
	rc = EVP_DecryptFinal_ex(c, plain + PLAIN, &n) == 1;
out:
	EVP_CIPHER_CTX_free(c);
	buf_free(&aad);
	return rc;
}

/* Read the whole file; octets, or -1 with errno. */
static ssize_t
read_all(int fd, uint8_t *p, size_t max)
{
	size_t n = 0;
	ssize_t got;

	while (n < max && (got = read(fd, p + n, max - n)) != 0) {
		if (got == -1 && errno == EINTR)
			continue;
		if (got == -1)
			return -1;
		n += (size_t)got;
	}
	return (ssize_t)n;
}

static int
file_decode(struct ignition *i, const uint8_t *p, size_t n)
{
	struct ignition_file *f = NULL;
	uint8_t sum[EVP_MAX_MD_SIZE];
	int rc = -1;

	if (n < MAGIC + SUM || memcmp(p, magic, MAGIC) != 0 ||
	    EVP_Digest(p, n - SUM, sum, NULL, EVP_sha256(), NULL) != 1 ||
	    memcmp(sum, p + n - SUM, SUM) != 0 ||
	    (f = rec_decode(&rec_ignition_file, p + MAGIC, n - MAGIC - SUM)) == NULL)
		goto out;
	memset(i, 0, sizeof *i);
	i->params = f->params.v[0];
	memcpy(i->salt, i->params.salt.p, SEAL_SALT_LEN);
	i->params.salt = (struct bytes){i->salt, SEAL_SALT_LEN};
	i->complete = f->complete;
	memcpy(i->check, f->check.p, sizeof i->check);
	rc = 0;
out:
	free(f);
	return rc;
}

int
ignition_load(struct ignition *i, int dirfd, const char *name, struct err *e)
{
	uint8_t p[FILE_MAX];
	ssize_t n;
	int fd;

	if ((fd = openat(dirfd, IGNITION_FILE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)) == -1) {
		if (errno == ENOENT)
			return 0;
		return err_sys(e, "%s/%s", name, IGNITION_FILE);
	}
	n = read_all(fd, p, sizeof p);
	if (n == -1)
		err_sys(e, "%s/%s", name, IGNITION_FILE);
	close(fd);
	if (n == -1)
		return -1;
	if ((size_t)n == sizeof p || file_decode(i, p, (size_t)n) == -1)
		return err_set(e, EUCLEAN,
		    "%s/%s: damaged; bring it back from a backup, without it no key can be opened",
		    name, IGNITION_FILE);
	return 1;
}

static int
file_encode(const struct ignition *i, struct buf *b)
{
	struct seal_params params = i->params;
	struct ignition_file f = {
	    .complete = i->complete,
	    .check = {i->check, sizeof i->check},
	};
	uint8_t sum[EVP_MAX_MD_SIZE];

	f.params.v = &params;
	f.params.n = 1;
	if (buf_put(b, magic, MAGIC) == -1 || rec_encode(&rec_ignition_file, &f, b) == -1 ||
	    EVP_Digest(buf_ptr(b), buf_len(b), sum, NULL, EVP_sha256(), NULL) != 1)
		return -1;
	return buf_put(b, sum, SUM);
}

int
ignition_save(const struct ignition *i, int dirfd, const char *name, struct err *e)
{
	static const char tmp[] = IGNITION_FILE ".new";
	struct buf b;
	int fd = -1, rc = -1;
	ssize_t n;

	buf_init(&b, FILE_MAX);
	if (file_encode(i, &b) == -1) {
		err_sys(e, "%s/%s", name, IGNITION_FILE);
		goto out;
	}
	fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd == -1 || (n = write(fd, buf_ptr(&b), buf_len(&b))) == -1)
		goto fail;
	if ((size_t)n != buf_len(&b)) {
		errno = ENOSPC;
		goto fail;
	}
	if (fdatasync(fd) == -1 || renameat(dirfd, tmp, dirfd, IGNITION_FILE) == -1 ||
	    fsync(dirfd) == -1)
		goto fail;
	rc = 0;
	goto out;
fail:
	err_sys(e, "%s/%s", name, IGNITION_FILE);
out:
	if (fd != -1)
		close(fd);
	buf_free(&b);
	return rc;
}
