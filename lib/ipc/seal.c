#include "ipc/seal.h"

#include <errno.h>
#include <gcrypt.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int
seal_derive(const struct seal_params *p, const void *secret, size_t n, uint8_t out[SEAL_KEY_LEN],
    struct err *e)
{
	const unsigned long cost[] = {SEAL_KEY_LEN, p->t, p->m, p->lanes};
	gcry_kdf_hd_t h = NULL;
	gcry_error_t rc;

	if (n == 0 || n > SEAL_SECRET_MAX || p->salt.n != SEAL_SALT_LEN)
		return err_set(e, EINVAL, "ignition secret of %zu octets", n);
	/* Initialise libgcrypt when nobody has: secure memory is for its own MPIs, unused here. */
	if (!gcry_control(GCRYCTL_INITIALIZATION_FINISHED_P)) {
		if (gcry_check_version(NULL) == NULL)
			return err_set(e, EIO, "libgcrypt does not start");
		gcry_control(GCRYCTL_DISABLE_SECMEM, 0);
		gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
	}
	rc = gcry_kdf_open(&h, GCRY_KDF_ARGON2, GCRY_KDF_ARGON2ID, cost, 4, secret, n, p->salt.p,
	    p->salt.n, NULL, 0, NULL, 0);
	if (rc == 0)
		rc = gcry_kdf_compute(h, NULL);
	if (rc == 0)
		rc = gcry_kdf_final(h, SEAL_KEY_LEN, out);
	if (h != NULL)
		gcry_kdf_close(h);
	if (rc == 0)
		return 0;
	explicit_bzero(out, SEAL_KEY_LEN);
	if (gcry_err_code(rc) == GPG_ERR_ENOMEM)
		return err_set(e, ENOMEM, "Argon2id: no memory for %u KiB", p->m);
	return err_set(e, EIO, "Argon2id: %s", gcry_strerror(rc));
}

ssize_t
seal_read(int fd, const char *name, int passphrase, uint8_t out[SEAL_SECRET_MAX], struct err *e)
{
	uint8_t more;
	struct stat st;
	size_t n = 0;
	ssize_t got;

	if (fstat(fd, &st) == -1)
		return err_sys(e, "%s", name);
	if (!S_ISREG(st.st_mode) || (st.st_mode & 077) != 0)
		return err_set(e, EACCES,
		    "%s: must be a file that only its owner can read; chmod 0400 it", name);
	while (n < SEAL_SECRET_MAX && (got = read(fd, out + n, SEAL_SECRET_MAX - n)) != 0) {
		if (got == -1 && errno == EINTR)
			continue;
		if (got == -1) {
			err_sys(e, "%s", name);
			goto fail;
		}
		n += (size_t)got;
	}
	if (n == SEAL_SECRET_MAX && read(fd, &more, 1) != 0) {
		err_set(e, EINVAL, "%s: longer than %d octets", name, SEAL_SECRET_MAX);
		goto fail;
	}
	if (passphrase && n > 0 && out[n - 1] == '\n')
		n--;
	if (passphrase && n > 0 && out[n - 1] == '\r')
		n--;
	if (n < (passphrase ? 1 : SEAL_FILE_MIN)) {
		err_set(e, EINVAL, "%s: %zu octets are too few", name, n);
		goto fail;
	}
	return (ssize_t)n;
fail:
	explicit_bzero(out, SEAL_SECRET_MAX);
	return -1;
}
