#ifndef UNIT_CONF_TOLD_H
#define UNIT_CONF_TOLD_H

#include "conf/conf.h"

/* A peer without TLS and a connector without TLS, named so, with these further options. */
#define PEER(name, rest)                                                                           \
	"peer " name " { service = smtp host = 127.0.0.1 port = 2525 tls = none " rest "}\n"
#define CONN(name, listen, rest)                                                                   \
	"connector " name " { service = smtp listen = {\"" listen                                  \
	"\"} peer = p tls = disabled " rest "}\n"
#define GOOD PEER("p", "") CONN("c", "127.0.0.1:5870", "")

struct told {
	unsigned count; /* of errors */
	char all[64 * 1024]; /* the errors, a line each */
	char warnings[16 * 1024];
};

/* Load a file "f"; NULL when it is wrong, and the first error is that of the result then. */
struct conf *load(const char *text, struct told *t);

/* The dump loads, and dumps as the same text. */
void check_dump(struct conf *c);

#endif
