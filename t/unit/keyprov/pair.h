#ifndef UNIT_KEYPROV_PAIR_H
#define UNIT_KEYPROV_PAIR_H

#include <openssl/ssl.h>

#include "net/conn.h"
#include "t/unit/keyprov/holder.h"

/* Two connections over a socketpair on the holder's loop: ours accepts, the other one calls. */
struct side {
	struct conn *c; /* NULL once freed */
	unsigned secured, closed;
	enum conn_end why;
	char text[ERR_TEXT_MAX];
};

struct pair {
	struct side ours, theirs;
	bool echo; /* in clear, for ever: rounds counts */
	unsigned rounds;
};

/* Contexts; the client trusts the certificate.  version 0: any; sigalgs NULL: any. */
SSL_CTX *pair_server(const struct cert *c);
SSL_CTX *pair_client(const struct cert *c, int version, const char *sigalgs);

/* total_ms: of our side; 0: none */
void pair_open(struct pair *p, unsigned total_ms);
void pair_tls(struct pair *p, SSL_CTX *server, SSL_CTX *client);
void pair_echo(struct pair *p);
void pair_close(struct pair *p);

/* Run the loop until *n reaches want; fails the test after 50 seconds. */
void pair_until(const unsigned *n, unsigned want);

/* Until ours and theirs have both come to an end of the handshake, good or bad: whether good. */
bool pair_shaken(struct pair *p);

#endif
