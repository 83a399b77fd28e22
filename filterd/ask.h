#ifndef FILTERD_ASK_H
#define FILTERD_ASK_H

#include "base/err.h"
#include "ipc/messages.h"
#include "openpgp/message.h"
#include "openpgp/secret.h"

/*
 * What a worker asks of policyd and cryptod.  A worker serves one session and one message at a
 * time, so these wait.
 */
#define ASK_TIMEOUT 10000 /* milliseconds for an answer; then the message is deferred */
#define ASK_SIGNERS_MAX 16 /* certificates looked up for one message */
#define BANNER_KEY_LEN 32 /* octets */

struct ask {
	struct ipc *policyd, *cryptod;
	int dead; /* one of them is gone or broke the protocol: this worker must end */
	/* The grant under which secret operations are asked for. */
	uint8_t job[JOB_ID];
	unsigned used; /* operations */
	/* What a plan was asked with, to ask again when its grant is used up. */
	const char *sender, *from;
	/* Answers that give certificates, held until ask_reset. */
	struct {
		struct signer_rep *rep;
		struct buf octets;
	} signers[ASK_SIGNERS_MAX];
	unsigned nsigners;
	int has_phrase; /* once per session */
	char phrase[PHRASE_LEN + 1];
	int has_banner_key; /* once per session too */
	uint8_t banner_key[BANNER_KEY_LEN]; /* made of the phrase by banner_key */
};

void ask_init(struct ask *a, struct ipc *policyd, struct ipc *cryptod);

/* Forget what belonged to one message: grant, certificates. */
void ask_reset(struct ask *a);

/* An answer of policyd, kept after the channel's buffer moved on. free() it with ask_free. */
struct kept {
	void *body;
	struct buf octets;
};
void kept_free(struct kept *k);

/*
 * Who may sign, and the certificates of n recipients (n up to PLAN_RCPTS_MAX).
 *
 * sign		1: a grant for signatures is wanted; the grant is remembered in a
 *
 * Returns 0 and k, whose body is a struct plan_rep; or -1 with e: the answer cannot be had now.
 */
int ask_plan(struct ask *a, const char *sender, const char *from, int sign,
    const struct mailbox *rcpts, size_t n, struct kept *k, struct err *e);

/* Keys that may open a message which names these key ids; k's body is a struct opening_rep. */
int ask_opening(struct ask *a, const struct key_id *ids, size_t n, struct kept *k, struct err *e);

/* The phrase of the session's consumer, "" for nobody's session: 0, or -1 with e. */
int ask_phrase(struct ask *a, const char **phrase, struct err *e);

/* Secret operations under the grant, and certificates by what signatures name. */
struct pgp_secret ask_secret(struct ask *a);
struct pgp_certs ask_certs(struct ask *a);

/* Addresses bound to the consumer whose certificate this is, from the answers so far; or NULL. */
const struct signer *ask_signer(const struct ask *a, const uint8_t *primary, size_t n);

#endif
