#ifndef CRYPTOD_IGNITION_H
#define CRYPTOD_IGNITION_H

#include "base/err.h"
#include "ipc/seal.h"

/*
 * The one clear record of the key store, a file of its own beside the sealed ones: how the
 * sealing key is derived, and a check record by which a given key is known to be the right one.
 * A checksum tells a damaged file from a wrong passphrase.
 */
#define IGNITION_FILE "ignition"

struct ignition {
	struct seal_params params; /* params.salt points to salt */
	uint8_t salt[SEAL_SALT_LEN];
	uint8_t complete; /* 0: the store was being made when the process died */
	uint8_t check[12 + 16 + 16]; /* nonce, sealed octets, tag of AES-256-GCM */
};

/* A fresh one for these parameters (salt included) and their key. 0, or -1 with e. */
int ignition_make(struct ignition *i, const struct seal_params *p, const uint8_t seal[SEAL_KEY_LEN],
    struct err *e);

/* Is this the key?  1, 0, or -1 with errno EIO. */
int ignition_check(const struct ignition *i, const uint8_t seal[SEAL_KEY_LEN]);

/*
 * Load from, and durably replace in, the folder dirfd; name stands for the folder in messages.
 *
 * Load returns 1, 0 when there is no such file, -1 with e: EUCLEAN (damaged) or that of reading.
 * Save returns 0, or -1 with e; the old file is untouched then.
 */
int ignition_load(struct ignition *i, int dirfd, const char *name, struct err *e);
int ignition_save(const struct ignition *i, int dirfd, const char *name, struct err *e);

#endif
