#ifndef KEYPROV_KEYPROV_H
#define KEYPROV_KEYPROV_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct evp_pkey_st;
struct x509_st;

/*
 * Private keys that live in cryptod, as OpenSSL sees them: an EVP_PKEY of a provider of our own
 * that holds the public half and a handle.  What needs the private half is hashed here, and the
 * digest is given to whoever can have it signed; inside an asynchronous handshake (ASYNC_*,
 * SSL_MODE_ASYNC) the job pauses until the answer is there.
 *
 * Signatures are those of TLS (RFC 8446, 4.2.3), and of X.509 and CMS with the same algorithms:
 * PKCS#1 and PSS (salt as long as the hash, MGF1 with the same hash) with SHA-256, 384 or 512;
 * ECDSA with the hash of the curve's size; Ed25519 of up to KEYPROV_DATA_MAX octets.
 */
#define KEYPROV_HANDLE 20 /* octets: see tls_sign_req */
#define KEYPROV_DATA_MAX 1024 /* octets to be signed: a digest, or with Ed25519 the message */
#define KEYPROV_VALUE_MAX 2050 /* octets of a signature */

enum keyprov_status { KEYPROV_OK, KEYPROV_FAILED };

/* One operation under way. */
struct keyprov_job;

struct keyprov_ops {
	/*
	 * Have data signed under the TLS SignatureScheme (RFC 8446, 4.2.3) and call keyprov_finish
	 * with what came of it, once: from within sign itself, or later.  Later works only inside
	 * an asynchronous handshake; may_wait says whether this is one.  Its stack is small (32
	 * KiB): no large arrays below sign.
	 *
	 * Returns 0, or -1: it could not be asked; finish and cancel are not called then.
	 */
	int (*sign)(struct keyprov_job *job, const uint8_t handle[KEYPROV_HANDLE], uint16_t scheme,
	    const uint8_t *data, size_t n, int may_wait, void *arg);
	/*
	 * Nobody waits for the job any more; its pointer is dead after this call: do not call
	 * finish.
	 */
	void (*cancel)(struct keyprov_job *job, void *arg);
};

/*
 * Load the provider; once in a process, before any key is made.  ops must stay.
 * 0, or -1 with e.
 */
int keyprov_start(const struct keyprov_ops *ops, void *arg, struct err *e);

/*
 * The private key that belongs to a certificate: RSA of 2,048 to 8,192 bit, ECDSA on P-256, P-384
 * and P-521, Ed25519.  Whether cryptod has it shows only when it is used.
 *
 * handle	receives its handle; NULL is allowed
 *
 * Returns a key for EVP_PKEY_free, or NULL with e: ENOTSUP (algorithm, size), ENOMEM.
 */
struct evp_pkey_st *keyprov_key(
    struct x509_st *cert, uint8_t handle[KEYPROV_HANDLE], struct err *e);

/*
 * The handle of a public key: SHA-1 over the OpenPGP v4 public-key packet (RFC 9580, 5.5.4.2) with
 * its parameters and creation time 0.  0, or -1 with e: ENOTSUP.
 */
int keyprov_handle(
    const struct evp_pkey_st *public_key, uint8_t handle[KEYPROV_HANDLE], struct err *e);

/*
 * The outcome of a job: value, n with KEYPROV_OK.  The job's pointer is dead after this call, but
 * for a call from within sign.  The handshake itself goes on when its owner steps it
 * (conn_tls_continue).
 *
 * A handshake that is stepped while its job is not finished gives the job up: cancel is called,
 * the operation fails.  That is how a connection which is freed meanwhile gets rid of it.
 */
void keyprov_finish(
    struct keyprov_job *job, enum keyprov_status status, const uint8_t *value, size_t n);

/* What sign's owner keeps with a job: NULL until set. */
void keyprov_set_owner(struct keyprov_job *job, void *owner);
void *keyprov_owner(const struct keyprov_job *job);

#endif
