#ifndef OPENPGP_SECKEY_H
#define OPENPGP_SECKEY_H

#include "base/buf.h"
#include "base/err.h"
#include "openpgp/cert.h"
#include "openpgp/skey.h"

/*
 * Transferable secret keys (RFC 9580, 10.2): import and export.  Hostile input: only a jailed
 * process reads them.
 */
#define PGP_SECKEY_MAX 1048576 /* octets, armoured or not */
#define PGP_PASS_MAX 1024 /* octets of a passphrase */

struct pgp_seckey {
	struct pgp_skey *keys[CERT_KEYS_MAX]; /* those whose secret part was there */
	uint8_t flags[CERT_KEYS_MAX]; /* KEY_* of the certificate, evaluated; 0: not bound */
	size_t nkeys;
	unsigned missing; /* keys without a secret part (GnuPG's stubs, cards) */
	unsigned unsupported; /* secret keys of algorithms that we do not do, left out */
	struct pgp_cert *cert; /* the public certificate, evaluated */
};

/*
 * Read one transferable secret key, armoured or binary.
 *
 * pass		passphrase, or NULL when there is none
 * now		seconds since the epoch
 *
 * Returns 0 and out (for pgp_seckey_clear), or -1 with e filled: EACCES (protected, and pass is
 * NULL), EKEYREJECTED (wrong passphrase, or halves that do not match), ENOTSUP, EBADMSG,
 * EMSGSIZE, ENOKEY (no usable secret key in it); E2BIG (several keys in it: import one by one).
 */
int pgp_seckey_read(
    const void *p, size_t n, const char *pass, uint64_t now, struct pgp_seckey *out, struct err *e);
void pgp_seckey_clear(struct pgp_seckey *s);

/*
 * Append a transferable secret key (binary): the certificate with secret packets in place of
 * public ones, each protected by AES-256 in CFB mode, a SHA-1 check (usage 254), and an iterated
 * and salted S2K with SHA-256; keys that are not given become GnuPG's stubs.
 *
 * cert, n	the public certificate's octets
 * pass		1 to PGP_PASS_MAX octets
 *
 * Returns 0, or -1 with e filled.
 */
int pgp_seckey_write(const void *cert, size_t n, struct pgp_skey *const *keys, size_t nkeys,
    const char *pass, struct buf *out, struct err *e);

#endif
