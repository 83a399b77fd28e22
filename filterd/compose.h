#ifndef FILTERD_COMPOSE_H
#define FILTERD_COMPOSE_H

#include "base/io.h"
#include "ipc/blob.h"
#include "mail/mime.h"
#include "openpgp/encrypt.h"

/*
 * PGP/MIME messages (RFC 3156) out of a message: its header stays, but for what described the
 * body; its body with that description becomes the signed or encrypted part.
 */
struct compose {
	const struct octets *in;
	const struct mail_index *ix;
	const struct pgp_recipient *to;
	unsigned nto;
	const struct pgp_signer *signer; /* or NULL */
	const struct pgp_secret *secret;
	uint64_t now; /* seconds since the epoch */
	int spooldir; /* for a large body between its two uses */
};

/*
 * multipart/encrypted, signed inside when there is a signer (RFC 3156, 6.2).
 *
 * Returns 0, or -1 with e: EAGAIN (the signer may work later), ENOSPC and the like, or a fault.
 */
int compose_encrypted(const struct compose *c, const struct sink *out, struct err *e);

/*
 * multipart/signed (RFC 3156, 5).  What transport could change is encoded first.
 *
 * Returns as above; EOPNOTSUPP: the message has parts that cannot be made safe for a signature.
 */
int compose_signed(const struct compose *c, const struct sink *out, struct err *e);

#endif
