#ifndef OPENPGP_ENCRYPT_H
#define OPENPGP_ENCRYPT_H

#include "openpgp/message.h"

/*
 * Making messages: encrypted, signed and encrypted, or only signed (one-pass), as a stream.  The
 * memory used does not depend on the message's size.
 */
struct pgp_recipient {
	const struct cert *cert; /* for its preferences; may be NULL: a key and no more is known */
	const struct cert_key *key; /* of cert: the caller has chosen a valid encryption key */
};

struct pgp_signer {
	const struct cert_key *key; /* version, algo, fpr, params are used */
	const char *uid; /* Signer's User ID subpacket, or NULL */
};

struct pgp_encrypt_params {
	const struct pgp_recipient *to; /* none: the message is only signed */
	unsigned nto; /* up to PGP_PKESK_MAX */
	bool anonymous; /* key id 0 for every recipient */
	const struct pgp_signer *signers; /* may be none when there are recipients */
	unsigned nsigners; /* up to PGP_SIGS_MAX */
	const struct pgp_secret *secret; /* sign is used; NULL when there are no signers */
	uint8_t cipher; /* 0: what the recipients' preferences allow, strongest AES first */
	uint8_t hash; /* 0: SHA-256, or stronger where the recipients ask for it; see
		       * pgp_signing_hash */
	uint8_t compress; /* 0 none, 1 ZIP, 2 ZLIB */
	bool text; /* literal of mode 't', canonical signature; line ends become CRLF */
	bool utf8; /* with text: mode 'u' */
	bool armor;
	const char *filename; /* or NULL; at most PGP_FILENAME_MAX octets */
	uint32_t date; /* of the literal packet; 0 tells nothing */
	bool size_known; /* size holds; pgp_encrypt_close fails when it was wrong */
	uint64_t size; /* octets that will be written */
	uint64_t now; /* seconds since the epoch, for the signatures */
};

struct pgp_encrypt;

/*
 * Begin a message.  p and what it points to must stay until close or abort, but for p itself and
 * the arrays of recipients; out must stay.
 *
 * Returns the writer, or NULL with e filled: EINVAL (parameters), EOPNOTSUPP (a key's algorithm),
 * ENOMEM, or what out failed with.
 */
struct pgp_encrypt *pgp_encrypt_open(
    const struct pgp_encrypt_params *p, const struct sink *out, struct err *e);

/* n octets of plaintext. Returns 0, or -1 with errno; then only abort is allowed. */
int pgp_encrypt_write(struct pgp_encrypt *w, const void *p, size_t n);

/*
 * Sign, finish and free, whatever happens.
 *
 * Returns 0, or -1 with e filled: EAGAIN from the signer means that it may work later.
 */
int pgp_encrypt_close(struct pgp_encrypt *w, struct err *e);

/* Give up; what was written is not a message. NULL is allowed. */
void pgp_encrypt_abort(struct pgp_encrypt *w);

/* The cipher and the hash that the writer would choose for these recipients. */
uint8_t pgp_choose_cipher(const struct pgp_recipient *to, unsigned nto);
uint8_t pgp_choose_hash(const struct pgp_recipient *to, unsigned nto);

/*
 * The hash that signatures are made with where hash was asked for: hash itself, or a longer one of
 * SHA-2 where the key of a signer needs it (pgp_key_digest_min).
 */
uint8_t pgp_signing_hash(uint8_t hash, const struct pgp_signer *signers, unsigned n);

#endif
