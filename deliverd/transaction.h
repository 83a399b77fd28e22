#ifndef DELIVERD_TRANSACTION_H
#define DELIVERD_TRANSACTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/io.h"
#include "deliverd/client.h"
#include "deliverd/downgrade.h"
#include "ipc/blob.h"
#include "net/dots.h"
#include "net/smtp_reply.h"

/*
 * A message at a client's server: MAIL, RCPTs and DATA in one write where it offers PIPELINING,
 * then the text.
 *
 * The text never leaves before the server has said 354: no other reply has that number, so a
 * server that has said one reply too many, or one too few, is found out before what it says next
 * could be taken for the answer to the message.  BDAT (RFC 3030) has nothing of the kind.  So it
 * goes with nothing else under way, and is used for binary messages, and for long ones, where no
 * octet must be looked at for its dots: they take so long that an answer too many comes before
 * their end, and is found out by that.
 */
#define TX_BDAT_MIN (1024 * 1024) /* octets of a long one */

enum tx_step {
	TX_NONE,
	TX_LOOKING, /* at the octets */
	TX_ENCODING, /* them */
	TX_TALKING, /* commands */
	TX_TEXT_DUE, /* 354 came */
	TX_TEXT,
	TX_END, /* the answer to the message is awaited */
	TX_OVER
};

enum tx_state {
	TX_WAITS, /* for its RCPT */
	TX_ASKED,
	TX_TAKEN,
	TX_LATER, /* no room in this round */
	TX_SAID, /* has a result, if the server's replies are in step */
	TX_DONE /* has its result */
};

#define TX_FEW 16 /* recipients without memory of their own */

struct tx_text {
	struct tx_text *next;
	char s[];
};

struct transaction {
	struct client_mail *m;
	enum tx_step step;
	uint8_t *state; /* enum tx_state of each recipient; NULL: no memory for it */
	uint8_t few[TX_FEW];

	struct facts facts;
	const struct octets *body; /* m->body, or encoded */
	struct octets encoded;
	struct spool spool; /* of encoded */
	bool has_spool;
	struct downgrade *encoder; /* in TX_ENCODING */
	uint64_t size; /* octets to be sent, dots not counted */
	bool utf8, bdat;
	bool binary; /* and goes as such, by BDAT */

	/* A round: one transaction in the sense of SMTP. */
	size_t ask, answer; /* recipients from these on are to be asked, have to answer */
	size_t asked; /* RCPTs without a reply */
	bool rset_due, mail_due, data_due; /* other replies that are to come */
	bool mail_given, mail_refused, data_given;
	size_t taken, later;
	size_t ends; /* replies to the end of the text that are due */
	size_t ended; /* LMTP: recipients from here on wait for theirs */
	bool accepted; /* 250 came to the end of the text */

	bool again; /* another round follows */
	bool heard; /* any reply, in any round */
	struct client_rcpt refusal; /* of MAIL */

	struct dots_encoder enc;
	struct sink to;
	uint64_t off; /* octets of body that were put out */

	struct tx_text *texts;
};

struct client;

/* --- transaction_start.c: what the message needs, and whether the server has it --- */

/* Begin with m, from within client_send. */
void tx_start(struct client *c, struct client_mail *m);

/* What that left for the loop. */
void tx_soon(struct client *c);

/* --- transaction.c: commands, replies, text --- */

/* A whole reply; it may be one that nothing asked for. */
void tx_reply(struct client *c, const struct smtp_reply *r);

/* What had to wait until all input was looked at. */
void tx_settle(struct client *c);
bool tx_settles(const struct client *c); /* is there anything? */

/* There is room for output. */
void tx_drained(struct client *c);

/* The connection has failed: results, and done. */
void tx_failed(struct client *c, const struct client_failure *why);

/* Forget it, without done. */
void tx_drop(struct client *c);

/* What is being done, for "connection lost while ...". */
const char *tx_doing(const struct client *c);

/* Begin with those that wait. */
void tx_round(struct client *c);

/* --- transaction_result.c: what becomes of each recipient --- */

/* What a reply means for those whom it is about; 25x, 4xx or 5xx. */
bool tx_yes(const struct smtp_reply *r); /* 25x */
struct client_rcpt tx_result(struct client *c, const struct smtp_reply *r, const char *reply_to);

/* A result of our own. */
struct client_rcpt tx_ours(struct transaction *t, enum job_status status, const char *dsn,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* A copy of a text that stays until done was called. */
const char *tx_keep(struct transaction *t, const char *s);

/* Give it to one; to all in a state; to all who have none that counts.  now: their new state. */
void tx_set(struct transaction *t, size_t i, enum tx_state now, const struct client_rcpt *res);
void tx_set_all(
    struct transaction *t, enum tx_state in, enum tx_state now, const struct client_rcpt *res);
void tx_set_rest(struct transaction *t, const struct client_rcpt *res);

/* All in one state get into another. */
void tx_turn(struct transaction *t, enum tx_state from, enum tx_state to);

/* The first recipient from i on that is in this state; m->n: there is none. */
size_t tx_next(const struct transaction *t, size_t i, enum tx_state state);

void tx_free(struct transaction *t);

/* --- transaction_text.c: commands --- */

#define TX_COMMAND_MAX (ADDR_MAX + ORCPT_MAX + ENVID_MAX + 200) /* octets with NUL */

/* Can this stand between < and > of a command, as one path?  "" can not. */
bool tx_path_valid(const char *addr);
bool tx_is_ascii(const char *s);

/* MAIL and RCPT, without CRLF, with what the server offers of their parameters. */
void tx_mail_text(char out[TX_COMMAND_MAX], const struct client *c);
void tx_rcpt_text(char out[TX_COMMAND_MAX], const struct client *c, const struct job_rcpt *r);

#endif
