#ifndef SMTPD_COMMAND_H
#define SMTPD_COMMAND_H

#include <stddef.h>
#include <stdint.h>

#include "ipc/msg_queue.h"
#include "mail/address.h"
#include "proxy/sasl.h"
#include "smtpd/reply.h"

struct proxy_route;

/*
 * SMTP's text, without a connection: what extensions are offered, and the arguments of commands.
 */
enum feature {
	F_PIPELINING = 1 << 0, /* RFC 2920 */
	F_SIZE = 1 << 1, /* RFC 1870 */
	F_8BITMIME = 1 << 2, /* RFC 6152 */
	F_SMTPUTF8 = 1 << 3, /* RFC 6531 */
	F_DSN = 1 << 4, /* RFC 3461 */
	F_ENHANCED = 1 << 5, /* RFC 2034 */
	F_PLAIN = 1 << 6, /* AUTH, RFC 4954: mechanisms in the order of enum sasl_mech */
	F_LOGIN = 1 << 7,
	F_XOAUTH2 = 1 << 8,
	F_OAUTHBEARER = 1 << 9,
	F_STARTTLS = 1 << 10, /* RFC 3207: of the peer, or what is offered to a client */
	/* Into the queue only: never of a peer. */
	F_CHUNKING = 1 << 11, /* RFC 3030 */
	F_REQUIRETLS = 1 << 12, /* RFC 8689 */
	F_XCLIENT = 1 << 13 /* XCLIENT and XFORWARD */
};
#define F_MECH(m) ((unsigned)F_PLAIN << (m)) /* enum sasl_mech */
#define F_TOKENS (F_XOAUTH2 | F_OAUTHBEARER)
#define F_LOGINS (F_PLAIN | F_LOGIN | F_TOKENS)

/* What a peer's answer to EHLO offers of these; *size receives its SIZE, 0 when it gave none. */
unsigned features_of(const struct smtp_reply *ehlo, uint64_t *size);

/*
 * What a message may have before it is secured, so that the outcome still fits: base64 makes it a
 * third longer (PGP/MIME: 66 octets for 48), the parts, keys and signatures around it take the
 * rest.  A message of 8-bit text can need more, and is then refused when that is known.
 *
 * ours		limits.message_size
 * peer		SIZE of the peer; 0: it did not say
 */
#define EXPANSION_ROOM (64 * 1024) /* octets */
uint64_t size_offered(uint64_t ours, uint64_t peer);

/* The reverse: what is declared to the peer for a message of n octets, at most peer's size. */
uint64_t size_declared(uint64_t n, uint64_t peer);

/*
 * What is offered to a client of this route, in clear or under TLS, when the peer has these
 * features: PIPELINING and SIZE always; logins not before TLS where it is required; STARTTLS,
 * where it is the server's to answer, only if the server has it.
 */
unsigned features_offered(unsigned peer, const struct proxy_route *r, int is_tls);

/* The answer to EHLO with these features: never what the gateway could not keep (BINARYMIME, ETRN).
 */
void ehlo_answer(
    struct answer *a, const char *hostname, unsigned features, uint64_t size, int may_login);

enum body { BODY_NONE, BODY_7BIT, BODY_8BITMIME };
enum ret { RET_NONE, RET_FULL, RET_HDRS };

struct mail_cmd {
	struct mail_path path;
	uint64_t size; /* 0: not declared */
	enum body body;
	int smtputf8;
	int requiretls;
	enum ret ret;
	char envid[ENVID_MAX + 1];
};

enum { NOTIFY_NEVER = 1, NOTIFY_SUCCESS = 2, NOTIFY_FAILURE = 4, NOTIFY_DELAY = 8 };

struct rcpt_cmd {
	struct mail_path path;
	unsigned notify; /* 0: not given */
	char orcpt[ORCPT_MAX + 1];
};

/*
 * Parse what follows "MAIL " and "RCPT ".
 *
 * offered	enum feature: parameters of others are refused; 0 behind HELO
 * utf8		the transaction is SMTPUTF8
 *
 * Returns 0, or -1 with the refusal in why.
 */
int command_mail(const char *args, unsigned offered, struct mail_cmd *m, struct answer *why);
int command_rcpt(
    const char *args, unsigned offered, int utf8, struct rcpt_cmd *r, struct answer *why);

/*
 * The commands for the peer, without CRLF.  size: octets, 0 for no SIZE.  out holds
 * COMMAND_MAX octets, which always suffice.
 */
#define COMMAND_MAX (MAIL_ADDR_MAX + ORCPT_MAX + ENVID_MAX + 160)
#define RCPT_PARAMS_MAX (ORCPT_MAX + 64) /* octets that command_rcpt_params needs, with its NUL */
void command_mail_text(
    char out[COMMAND_MAX], const struct mail_cmd *m, unsigned features, uint64_t size);
void command_rcpt_params(char *out, size_t outsz, const struct rcpt_cmd *r, unsigned features);

/*
 * Is this a name or address literal that a client may call itself (RFC 5321, 4.1.1.1)?  Only what
 * could do harm is refused: controls, white space, brackets that do not match, over 255 octets.
 */
int command_helo_valid(const char *s);

#endif
