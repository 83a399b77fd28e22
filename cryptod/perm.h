#ifndef CRYPTOD_PERM_H
#define CRYPTOD_PERM_H

#include "ipc/messages.h"

/* Everything that can be asked of cryptod, beside OP_SIGN and OP_UNWRAP (ipc/msg_crypto.h). */
enum perm_op {
	PERM_SIGN = OP_SIGN,
	PERM_UNWRAP = OP_UNWRAP,
	PERM_GRANT, /* allow a worker something */
	PERM_STATE,
	PERM_IGNITE, /* init, unlock, lock */
	PERM_LIST,
	PERM_GENERATE,
	PERM_IMPORT,
	PERM_EXPORT,
	PERM_DISABLE,
	PERM_CERTIFY, /* sign for a certificate */
	PERM_TLS_SIGN, /* sign for a handshake */
	PERM_CA_INIT, /* make an authority */
	PERM_CA_GET,
	PERM_MINT, /* a certificate by an authority */
	PERM_OPS
};

enum perm_need {
	PERM_NEVER, /* no row: refused */
	PERM_FREE, /* no more is needed */
	PERM_BY_GRANT, /* of policyd, for this worker and key */
	PERM_NEW /* only a key that was made a moment ago */
};

/*
 * The one table: what a process may do with a key of this use; use 0 for what concerns no key.
 */
enum perm_need perm_need(enum proc_id who, unsigned use, enum perm_op op);

/* May who ask this at all, for any use?  Looked at before anything else. */
int perm_any(enum proc_id who, enum perm_op op);

#endif
