#include "cryptod/vault.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
/* Octets for OpenSSL's private numbers: KEYS_CACHE_MAX keys of RSA-4096 and more; a power of two.
 */
#define SECURE_HEAP (16 * 1024 * 1024)
#define SECURE_LEAST 64

static struct vault {
	int full;
	uint8_t seal[SEAL_KEY_LEN];
} * vault;

static void
lock_memory(void)
{
	const struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
	struct rlimit r;

	/* Only when nothing can run into the limit later: the database is a large mapping. */
	(void)setrlimit(RLIMIT_MEMLOCK, &all);
	if (getrlimit(RLIMIT_MEMLOCK, &r) == 0 && r.rlim_cur == RLIM_INFINITY &&
	    mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0)
		return;
	log_info("memory of unlocked keys may be swapped out: not permitted to lock all of it");
}

int
vault_open(struct err *e)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *p;

	if (vault != NULL)
		return 0;
	lock_memory();
	p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return err_sys(e, "memory for the sealing key");
	if (mlock(p, page) == -1)
		log_warn("cannot lock the sealing key in memory: %s", strerror(errno));
	if (madvise(p, page, MADV_DONTDUMP) == -1 || madvise(p, page, MADV_WIPEONFORK) == -1) {
		err_sys(e, "protecting the sealing key");
		munmap(p, page);
		return -1;
	}
	vault = p;
	if (!CRYPTO_secure_malloc_initialized() &&
	    CRYPTO_secure_malloc_init(SECURE_HEAP, SECURE_LEAST) == 0)
		log_warn("no secure heap: private numbers lie in ordinary memory");
	return 0;
}

void
vault_put(const uint8_t seal[SEAL_KEY_LEN])
{
	memcpy(vault->seal, seal, SEAL_KEY_LEN);
	vault->full = 1;
}

const uint8_t *
vault_get(void)
{
	return vault != NULL && vault->full ? vault->seal : NULL;
}

void
vault_wipe(void)
{
	if (vault != NULL)
		explicit_bzero(vault, sizeof *vault);
}

int
vault_export(void)
{
	int fd, saved;

	if (vault_get() == NULL) {
		errno = ENOKEY;
		return -1;
	}
	if ((fd = memfd_create("seal", MFD_CLOEXEC | MFD_ALLOW_SEALING)) == -1)
		return -1;
	errno = EIO;
	if (write(fd, vault->seal, SEAL_KEY_LEN) == SEAL_KEY_LEN &&
	    fcntl(fd, F_ADD_SEALS, SEALS) == 0)
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

int
vault_import(int fd, uint8_t seal[SEAL_KEY_LEN])
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);

	if (seals == -1 || (seals & SEALS) != SEALS || fstat(fd, &st) == -1 ||
	    st.st_size != SEAL_KEY_LEN || pread(fd, seal, SEAL_KEY_LEN, 0) != SEAL_KEY_LEN) {
		errno = EBADMSG;
		return -1;
	}
	return 0;
}
