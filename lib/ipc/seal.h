#ifndef IPC_SEAL_H
#define IPC_SEAL_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "ipc/msg_keys.h"

/*
 * The sealing key of the key store, derived from the ignition secret (a passphrase or the octets
 * of a key file) with Argon2id (RFC 9106).  cryptod and keyctl both derive: the one at start from
 * the configured key file, the other for whoever unlocks by hand.
 */
#define SEAL_SECRET_MAX 4096 /* octets of a passphrase or key file */
#define SEAL_FILE_MIN 16 /* octets that a key file has at least */

/*
 * Derive.
 *
 * secret, n	1 to SEAL_SECRET_MAX octets
 * out		receives SEAL_KEY_LEN octets; wiped on failure
 *
 * Takes the time and memory that p says.  Returns 0, or -1 with e filled: EINVAL, ENOMEM, EIO.
 */
int seal_derive(const struct seal_params *p, const void *secret, size_t n,
    uint8_t out[SEAL_KEY_LEN], struct err *e);

/*
 * Read an ignition secret from an open file.
 *
 * passphrase	1: one final line end is no part of it; 0: key file, taken as it is
 * out		receives at most SEAL_SECRET_MAX octets
 *
 * Returns the octets, or -1 with e filled: EINVAL (empty, too short, too long), EACCES (not a
 * regular file of mode 0600 or less), or that of reading.
 */
ssize_t seal_read(
    int fd, const char *name, int passphrase, uint8_t out[SEAL_SECRET_MAX], struct err *e);

#endif
