#ifndef MAIL_ADDRESS_H
#define MAIL_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "mail/header.h"

#define MAIL_LOCAL_MAX 256 /* RFC 5321 has 64; tagged addresses are longer in the field */
#define MAIL_DOMAIN_MAX 255
#define MAIL_ADDR_MAX (2 * MAIL_LOCAL_MAX + 2 + 1 + MAIL_DOMAIN_MAX) /* with quoting */
#define MAIL_ADDRS_MAX 10000 /* in one field; the rest is cut */

/*
 * One mailbox of an address list.  local is unquoted ("a b" for "\"a b\"@x"); domain has no
 * comments or white space and its ASCII letters in lower case; a domain literal keeps its
 * brackets.  A mailbox without @ has an empty domain.  addr is the text form: local quoted where
 * RFC 5321 needs it, "@", domain.  Two mailboxes are the same exactly when their addr is.
 */
struct mail_addr {
	const char *display; /* UTF-8, encoded words undone; the phrase, else the last comment */
	const char *local;
	const char *domain;
	const char *addr;
	const char *group; /* name of its group, or NULL */
};

struct mail_addrs {
	struct mail_addr *v;
	size_t n;
	size_t bad; /* entries that are no mailbox and were left out */
	size_t groups; /* groups, also empty ones ("undisclosed-recipients:;") */
	bool cut; /* more than MAIL_ADDRS_MAX */
	struct mail_strings *strings;
};

/*
 * Parse an address list (RFC 5322, 3.4 and 4.4; UTF-8 of RFC 6532): groups, comments, quoted
 * strings, domain literals, routes (dropped), empty entries (ignored).  Tolerated: dots anywhere in
 * a display name.  Not tolerated, and counted in bad: text behind an address, white space around
 * the dots of a bare local part, an unclosed quote, comment or bracket, controls and NUL, local
 * parts and domains over their bounds, malformed UTF-8.
 *
 * body		one field's body, folds and all; several fields are several calls
 *
 * Returns 0, or -1 with errno ENOMEM.  Free also after a failure.
 */
int mail_addrs_parse(struct mail_addrs *a, struct bytes body);
void mail_addrs_free(struct mail_addrs *a);

/*
 * The one address a message is from, for decisions that hang on identity.  Strict: exactly one
 * From field (white space before its colon counts as From too), in it exactly one mailbox with a
 * domain, no group, nothing that did not parse; and a header that other readers could take for
 * another one is refused: NUL, bare CR, bare LF beside CRLF, a header over MAIL_HEADER_MAX.
 *
 * out	receives the mailbox's addr; MAIL_ADDR_MAX + 1 octets
 *
 * Returns 0, or -1 with e saying why (code EINVAL, or ENOMEM).
 */
int mail_from_single(const struct mail_header *h, char *out, size_t outsz, struct err *e);

/*
 * The text form that addresses are stored and compared in: domain in ASCII lower case without
 * final dot, quotes of the local part only where it needs them, local part's case kept.
 *
 * addr		"local@domain", local part quoted or not; no display name, no angle brackets
 * out		receives it with a NUL; MAIL_ADDR_MAX + 1 octets always suffice
 *
 * Returns 0, or -1 with errno EINVAL (no mailbox) or EMSGSIZE.
 */
int mail_addr_normalise(const char *addr, char *out, size_t outsz);

/* The domain of a normalised address: behind the last @; "" when there is none. */
const char *mail_addr_domain(const char *addr);

/* The path of MAIL FROM and RCPT TO. */
struct mail_path {
	bool null; /* <> */
	char local[MAIL_LOCAL_MAX + 1]; /* unquoted */
	char domain[MAIL_DOMAIN_MAX + 1]; /* lower case; "" for <postmaster> */
	char addr[MAIL_ADDR_MAX + 1]; /* normalised text; "" for <> */
	bool utf8; /* has octets of 128 or more: SMTPUTF8 */
};

/*
 * Parse a path (RFC 5321, 4.1.2), angle brackets included; source routes are dropped
 * (RFC 5321, C).  A local part without domain is taken only for "postmaster" in any case
 * (RFC 5321, 4.1.1.3).
 *
 * s, n		starts at "<"
 * used		receives the octets up to and with ">"
 *
 * Returns 0, or -1 with errno EINVAL (syntax, controls, malformed UTF-8) or EMSGSIZE (a bound).
 */
int mail_path_parse(struct mail_path *p, const char *s, size_t n, size_t *used);

#endif
