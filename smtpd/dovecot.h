#ifndef SMTPD_DOVECOT_H
#define SMTPD_DOVECOT_H

#include <stdint.h>

#include "base/buf.h"

/*
 * The lines of Dovecot's authentication protocol, version 1.2, as the client of its auth server:
 *
 *	>> VERSION 1 2		<< VERSION 1 2
 *	>> CPID number		<< MECH name parameters...	SPID, CUID, COOKIE, DONE
 *	>> AUTH id mechanism service=smtp ... resp=base64
 *				<< OK id user=...	FAIL id reason=... temp	CONT id base64
 *	>> CONT id base64
 *
 * Words are separated by tabs.  The server is one of this host's, but nothing it says is trusted
 * beyond whether a login is right.
 */
#define DOVECOT_LINE_MAX 8192 /* octets of a line without its end */

enum dovecot_verb {
	DOVECOT_OTHER, /* nothing that matters to us */
	DOVECOT_VERSION,
	DOVECOT_MECH,
	DOVECOT_DONE,
	DOVECOT_OK,
	DOVECOT_FAIL,
	DOVECOT_CONT
};

struct dovecot_line {
	enum dovecot_verb verb;
	uint32_t id; /* OK, FAIL, CONT */
	unsigned major; /* VERSION */
	const char *word; /* MECH: its name; CONT: base64, which may be "" */
	const char *user; /* OK, FAIL: "" when it is not said */
	const char *reason; /* FAIL, the same */
	int temporary; /* FAIL: it cannot be said now */
	int barred; /* OK: the password is right, and he may not log in all the same */
};

/*
 * Take a line apart, in place; out points into it.
 *
 * Returns 0, or -1 with errno EBADMSG: no such line has ever a place here.
 */
int dovecot_parse(char *line, struct dovecot_line *out);

/*
 * Append requests.  Texts are without tabs and line ends, else EINVAL.
 *
 * cpid		of this connection, not 0, and no other one's at that server
 * secured	the client's connection is TLS
 * lip, rip	our address and the client's, without brackets; "" when there is none
 * resp		base64; NULL: no initial response
 *
 * Returns 0, or -1 with errno EINVAL, EMSGSIZE, ENOMEM.
 */
int dovecot_hello(struct buf *out, uint32_t cpid);
int dovecot_auth(struct buf *out, uint32_t id, const char *mech, int secured, const char *lip,
    const char *rip, const char *resp);
int dovecot_cont(struct buf *out, uint32_t id, const char *resp);

#endif
