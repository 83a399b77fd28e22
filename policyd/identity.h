#ifndef POLICYD_IDENTITY_H
#define POLICYD_IDENTITY_H

#include "conf/conf.h"
#include "policyd/db.h"

/*
 * Whose login is it?  The one place that turns what a peer accepted into one of our consumers,
 * and with that into the use of private keys.  On any doubt nobody's: mail then passes as it is.
 *
 * - A login that names another user to act for (SASL authorisation identity that differs from the
 *   authentication identity, RFC 4616, 2) is nobody's: the peer lets an administrator read a
 *   mailbox, but that is not the owner's consent to use the owner's key.
 * - A master-user spelling ("alice*admin", by the peer's master_separator) is nobody's either.
 * - Else the name is normalised as the peer does it (case, domain), looked up in the login map, and
 *   then as an address.  Only internal consumers of the connector's tenant count.
 *
 * Returns 1 and h (a struct consumer), 0 for nobody, -1 with e.
 */
int identity_map(const struct conf_peer *peer, const char *tenant, const char *authzid,
    const char *authcid, struct held *h, struct err *e);

#define ADDR_MAX_LOGIN 640 /* octets of a login with its domain and NUL */

/* The normalised name, or -1 when it is none (empty, controls, too long). out: ADDR_MAX_LOGIN. */
int identity_normalise(const struct conf_peer *peer, const char *name, char *out, size_t outsz);

/* Is addr one of the consumer's addresses? */
int consumer_has(const struct consumer *c, const char *addr);

#endif
