#ifndef UNIT_FILTERD_HARNESS_H
#define UNIT_FILTERD_HARNESS_H

#include "filterd/worker.h"
#include "openpgp/encrypt.h"
#include "openpgp/skey.h"
#include "t/unit/unit.h"

/*
 * Workers among peers: a thread is proxy, policyd and cryptod at once, with the real messages on
 * real channels.
 */
#define PHRASE "tokalirumesipona" /* alice's */

enum who {
	ALICE, /* alice@our.example, ours */
	CHIEF, /* chief@our.example, ours */
	BOB, /* bob@partner.example */
	CAROL, /* carol@partner.example */
	ERIN, /* erin@partner.example, whose key has expired */
	RITA, /* rita@partner.example, whose key is revoked */
	MALLORY, /* mallory@evil.example, whose key nobody knows */
	PEOPLE,
	NOBODY
};

struct person {
	const char *addr;
	struct pgp_skey *sign, *encrypt;
	struct cert_key keys[2]; /* signing primary, encryption subkey */
	struct cert cert;
	struct mailbox mailbox;
};
extern struct person people[PEOPLE];
void people_make(void);

/* How the peers behave; harness_reset gives alice's session where all works. */
extern struct world {
	enum who consumer;
	int outside; /* policyd: the sender's domain is foreign */
	int sign_defer; /* policyd: the grant cannot be had now */
	int opening; /* enum opening_result when not OPENING_GRANTED */
	int signers_defer;
	int crypto; /* enum crypto_status of every operation */
	int policyd_gone, cryptod_gone; /* close instead of an answer */
	int false_key; /* cryptod gives a session key that is none */
	int banner; /* asked for */
	const uint8_t *sticky; /* given back */
	size_t nsticky;
	unsigned phrases; /* asked for */
	unsigned unknown; /* bits of people whose certificates policyd does not know */
	int deaf; /* recipients have keys, but the answer names fewer than asked */
	/* What was seen. */
	unsigned plans, openings, lookups, signatures, unwraps, denied, used;
} world;
void harness_reset(void);

struct copy {
	uint16_t rcpts[RCPTS_MAX];
	size_t nrcpts;
	int unchanged;
	char facts[512];
	struct buf octets;
};

#define COPIES_MAX 64
/* What the proxy got. */
struct outcome {
	int served; /* what secure_message or open_message returned */
	int dead; /* the worker must end */
	int answered, result;
	char dsn[16], text[512], facts[512];
	size_t nrefusals;
	char refusal[512]; /* the first */
	size_t ncopies;
	struct copy *copies;
	struct buf octets; /* open_message: the virtual message */
	uint8_t sticky[STICKY_MAX];
	size_t nsticky;
};
void outcome_free(struct outcome *o);

/* Addresses up to NULL. */
void secure(struct outcome *o, const char *sender, const char *const *rcpts, const void *msg,
    size_t n, uint64_t max_size);
void open_as(struct outcome *o, enum who reader, const void *msg, size_t n);

/* Alice opens m: she gets a virtual message with this verdict. */
void opens(struct outcome *o, const struct buf *m, const char *want);

/*
 * The same through worker_run, some times over: its exit code.  The channel is closed when the
 * last answer came.
 */
int through_worker(struct outcome *o, const void *msg, size_t n, unsigned times);

/* The same with a worker that runs elsewhere, by its control socket, which is taken over. */
void through_control(struct outcome *o, int control, const void *msg, size_t n, unsigned times);

/* OpenPGP: n octets to these people (up to NOBODY), signed by signer unless NOBODY. */
void encrypted(struct buf *out, const enum who *to, enum who signer, const void *text, size_t n,
    const struct pgp_encrypt_params *more);

/* PGP/MIME: header fields, then a message around this armour. */
void pgp_mime(struct buf *out, const char *header, const struct buf *armour);

/* The same with this plaintext, encrypted and signed; makes m. */
void stored(
    struct buf *m, const char *header, const enum who *to, enum who signer, const char *text);

/* Append a clear-signed text; shown is not signed_text: one that was changed. */
void clear_signed(struct buf *out, const char *shown, const char *signed_text, enum who signer);

/* multipart/signed around an entity; alter: change it after signing. */
void signed_mime(
    struct buf *out, const char *header, const char *entity, enum who signer, int alter);

/* Secret operations of everybody, in this process. */
extern const struct pgp_secret own_secret;
extern const struct pgp_certs own_certs;

/* Does o hold this text? */
int holds(const struct buf *b, const char *text);
#define ck_holds(b, text)                                                                          \
	ck_assert_msg(                                                                             \
	    holds((b), (text)), "no \"%s\" in:\n%.*s", (text), (int)buf_len(b), buf_ptr(b))
#define ck_lacks(b, text)                                                                          \
	ck_assert_msg(!holds((b), (text)), "\"%s\" in:\n%.*s", (text), (int)buf_len(b), buf_ptr(b))

/* "decrypted signature" of the one verdict field; "-" when there is none. */
const char *verdict(const struct buf *b);

#endif
