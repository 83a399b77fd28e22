#ifndef PROXY_SASL_H
#define PROXY_SASL_H

#include <stdbool.h>
#include <stddef.h>

#include "ipc/msg_policy.h"

/*
 * What a client says to log in, taken apart.  The peer judges it, but whom the peer lets in must
 * be whom we read here: what could be read in two ways is refused before it is passed on.
 */
#define LOGIN_MAX ADDR_MAX /* octets of a name; RFC 4616 wants 255, addresses are longer */
#define PASSWORD_MAX 1024 /* octets */

struct credentials {
	char authzid[LOGIN_MAX + 1]; /* whom to act as; "" when the client leaves it to authcid */
	char authcid[LOGIN_MAX + 1]; /* whose password it is */
	char password[PASSWORD_MAX + 1];
};

/*
 * Is this a name?  UTF-8 (RFC 3629) without controls: ASCII's, DEL and U+0080 to U+009F, which
 * RFC 4013, 2.3 prohibits too.  "" is one.
 */
bool sasl_name_valid(const char *s);

/*
 * The response of PLAIN (RFC 4616, 2): [authzid] NUL authcid NUL passwd.
 *
 * c		receives it; its password is the caller's to wipe
 * b64		strict base64 of it with padding and no white space, so that each response is
 *		written in one way only; RFC 4954's "=" for an empty one is refused as well
 *
 * authcid and passwd are not empty, names are valid and have up to LOGIN_MAX octets; passwd has up
 * to PASSWORD_MAX, any but NUL: servers older than RFC 4616 have passwords that are not UTF-8.
 *
 * Returns 0, or -1 with errno EINVAL; all of c is zero then.
 */
int sasl_plain_parse(struct credentials *c, const char *b64);

/* Mechanisms that are relayed. */
enum sasl_mech { SASL_PLAIN, SASL_LOGIN, SASL_XOAUTH2, SASL_OAUTHBEARER, SASL_MECHS };

/* "PLAIN"...; and the mechanism of a name in any case, or -1. */
const char *sasl_mech_name(enum sasl_mech m);
int sasl_mech_find(const char *name, size_t n);

/* Octets of a client's response in base64: an access token may have several KiB (RFC 6750). */
#define SASL_RESPONSE_MAX 12000

/*
 * Who logs in with a token: the initial response of XOAUTH2 ("user=NAME^Aauth=Bearer TOKEN^A^A") or
 * OAUTHBEARER (RFC 7628, 3.1: a GS2 header with a=NAME, then key=value pairs, each ended by ^A).
 * The peer judges the token; the name must be given, in one way only, and is the authcid.  Of
 * OAUTHBEARER's keys host= and port= may stand beside auth=, since most clients send them: they
 * name us, nobody signs them, and a peer that minds refuses.  No key comes twice, no other at all.
 *
 * c	receives authcid; password stays empty: the response itself is what is relayed
 *
 * Returns 0, or -1 with errno EINVAL; all of c is zero then.
 */
int sasl_xoauth2_parse(struct credentials *c, const char *b64);
int sasl_oauthbearer_parse(struct credentials *c, const char *b64);

/*
 * One answer of LOGIN (user name, then password) in strict base64 to a string of outsz octets.
 *
 * secret	controls are allowed, NUL never
 *
 * Returns 0, or -1 with errno EINVAL; out is zero then.
 */
int sasl_login_parse(char *out, size_t outsz, const char *b64, int secret);

/*
 * The response of PLAIN for these credentials, in base64; SASL_RESPONSE_MAX octets for out always
 * suffice.  0, or -1 with errno EMSGSIZE.
 */
int sasl_plain_make(char *out, size_t outsz, const struct credentials *c);

#endif
