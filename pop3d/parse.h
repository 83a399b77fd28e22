#ifndef POP3D_PARSE_H
#define POP3D_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* POP3's text, without a connection: lines of the client, and the peer's capabilities. */

#define NUMBERS_MAX 2 /* arguments of TOP, which has the most */

struct args {
	const char *all; /* behind the command and one space; "" */
	unsigned n; /* numbers in it */
	uint64_t v[NUMBERS_MAX];
};

/*
 * Split a line of the client, CRLF removed, at its first space (RFC 1939, 3).
 *
 * a	receives what follows, which points into line, and no numbers yet
 *
 * Returns the octets of the command word at the start of line; 0 when it has none.
 */
size_t parse_command(struct args *a, const char *line);

/*
 * Read a->all as up to NUMBERS_MAX decimal numbers of digits alone, with spaces between and behind
 * them, into a->n and a->v.  A number of up to UINT32_MAX is taken, and up to one digit more: the
 * peer says that there is no such message.
 *
 * Returns 0, or -1 when there is anything else; a->n and a->v mean nothing then.
 */
int parse_numbers(struct args *a);

/*
 * Is a line "RETR n" with CRLF, as command.c would take it, at the front of n octets at p?
 *
 * number	receives which message, 1 or more
 *
 * Returns its octets, or 0: it is none, or not whole, or longer than RETR_LINE_MAX.
 */
#define RETR_LINE_MAX 32
size_t parse_retr(uint64_t *number, const uint8_t *p, size_t n);

/* What the peer can do, of what makes a difference to us. */
struct capabilities {
	bool user; /* USER and PASS, RFC 2449, 6.2 */
	unsigned mechs; /* of AUTH (RFC 5034), those that are relayed: 1 << enum sasl_mech */
	bool uidl; /* RFC 2449, 6.9 */
	bool auth_codes; /* [AUTH] and [SYS/...] of a failed login, RFC 3206 */
	bool pipelining; /* RFC 2449, 6.6 */
	bool stls; /* RFC 2595, 4 */
};

/*
 * Note in c what a line of the peer's answer to CAPA says (RFC 2449, 5), CRLF removed and no
 * dot.  Of several SASL lines the last one holds; what we do not know is passed over.
 */
void parse_capability(struct capabilities *c, const char *line);

#endif
