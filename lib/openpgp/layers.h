#ifndef OPENPGP_LAYERS_H
#define OPENPGP_LAYERS_H

#include <bzlib.h>
#include <openssl/evp.h>
#include <zlib.h>

#include "openpgp/message.h"
#include "openpgp/stream.h"

/* The reader's layers that change octets: decryption and decompression. Inside of the engine. */

#define PGP_LAYER_OUT 16384 /* octets made at a time: they stay in the first-level cache */
#define PGP_MDC_LEN 22 /* the packet that ends the container, RFC 4880, 5.14 */
#define PGP_PREFIX_MAX 18 /* random octets and their repetition, block of 16 */

/* Symmetrically encrypted, integrity protected data, version 1. */
struct pgp_unseipd {
	struct pgp_src src;
	struct pgp_src *from; /* the packet's body */
	void *cipher; /* gcry_cipher_hd_t */
	unsigned algo; /* its enum pgp_cipher_algo */
	EVP_MD_CTX *mdc;
	size_t shown; /* octets at the front of buf that were shown */
	size_t held; /* behind them: may be the MDC packet */
	bool ended, good;
	uint8_t buf[PGP_LAYER_OUT + PGP_MDC_LEN];
};

/*
 * prefix	the first PGP_PREFIX_MAX octets behind the version, already taken off from
 *
 * 0, or -1 with errno ENOTSUP, EINVAL (key), ENOMEM.  Reading gives EBADMSG at the end when the
 * MDC is wrong.
 */
int pgp_unseipd_open(struct pgp_unseipd *u, struct pgp_src *from, const struct pgp_session_key *key,
    const uint8_t prefix[PGP_PREFIX_MAX]);
void pgp_unseipd_close(struct pgp_unseipd *u); /* wipes */

/*
 * Do the repeated octets of the prefix match under this key?  Only to choose among several
 * session keys: as an answer to the outside it is an oracle.
 */
bool pgp_prefix_matches(const struct pgp_session_key *key, const uint8_t prefix[PGP_PREFIX_MAX]);

/* Decompression: zip, zlib, bzip2. */
struct pgp_inflate {
	struct pgp_src src;
	struct pgp_src *from; /* the packet's body behind the algorithm octet */
	uint8_t algo;
	bool open, ended;
	uint64_t in, out; /* octets */
	uint64_t max_out; /* 0: no bound */
	unsigned max_ratio; /* 0: no bound */
	union {
		z_stream z;
		bz_stream bz;
	};
	uint8_t buf[PGP_LAYER_OUT];
};

/* 0, or -1 with errno ENOTSUP, ENOMEM. Reading beyond the bounds gives EMSGSIZE. */
int pgp_inflate_open(struct pgp_inflate *i, struct pgp_src *from, unsigned algo);
void pgp_inflate_close(struct pgp_inflate *i); /* wipes */

#endif
