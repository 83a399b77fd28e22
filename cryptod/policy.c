/* policyd gives out grants. */
#include <errno.h>

#include "base/clock.h"
#include "base/log.h"
#include "cryptod/cryptod.h"

/* Is there a key among them that the operation can use?  A grant for none would be an illusion. */
static enum crypto_status
keys_fit(const struct grant_req *r)
{
	enum crypto_status best = CRYPTO_NOKEY;
	struct err e = {0};
	enum key_use use;
	int rc, disabled;

	for (size_t i = 0; i < r->keys.n; i++) {
		rc = keys_peek(cryptod.keys, r->keys.v[i].key, &use, &disabled, &e);
		if (rc == -1) {
			log_err("%s", e.text);
			return CRYPTO_FAILED;
		}
		if (rc == 0)
			continue;
		best = CRYPTO_DENIED;
		if (perm_need(P_WORKER, use, (enum perm_op)r->op) == PERM_BY_GRANT &&
		    (r->op != OP_SIGN || !disabled))
			return CRYPTO_OK;
	}
	return best;
}

/*
 * A grant that wants no answer (id 0) is taken unseen: what is wrong with its keys the worker hears
 * when it asks for their use.
 */
void
cryptod_grant(struct chan *c, struct ipc_msg *m)
{
	const struct grant_req *r = m->body;
	enum crypto_status st = CRYPTO_OK;
	struct grant_rep rep;

	if (!perm_any(chan_peer(c), PERM_GRANT))
		st = CRYPTO_DENIED;
	else if (cryptod.keys == NULL)
		st = CRYPTO_LOCKED;
	else if (m->id != 0)
		st = keys_fit(r);
	if (st == CRYPTO_OK)
		st = grants_add(cryptod.grants, r, clock_ms());
	if (st != CRYPTO_OK && st != CRYPTO_LOCKED)
		log_warn("grant for consumer=%s refused: %s", log_str(r->consumer),
		    st == CRYPTO_NOKEY    ? "none of its keys is here"
		    : st == CRYPTO_BUSY   ? "too many grants"
		    : st == CRYPTO_FAILED ? "key store cannot be read"
					  : "no key for this use");
	if (m->id == 0)
		return;
	rep.status = (uint8_t)st;
	(void)chan_send(c, M_grant_rep, m->id, &rep, -1);
}
