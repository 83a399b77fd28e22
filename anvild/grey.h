#ifndef ANVILD_GREY_H
#define ANVILD_GREY_H

#include <stdint.h>

#include "conf/conf.h"
#include "ipc/msg_anvil.h"

/*
 * Greylisting: who sends mail for the first time is told to come again, which mail servers do and
 * much of what sends spam does not.  What has to come again is the triple of network (/24, /48),
 * sender and recipient.  Digits in the sender, and what stands behind a +, do not count: lists and
 * bounces have a new number for each message.
 *
 * Once GREY_NETWORK triples of a network have come again it is known as a whole.
 *
 * now: seconds since the epoch.
 */
#define GREY_RETRY (2 * 86400) /* seconds in which it has to come, behind the delay */
#define GREY_NETWORK 5

/*
 * May this triple pass?  1, or 0 with *wait the seconds that are left.  Without a store all pass.
 *
 * sender	"" for <>		rcpt	both as in the envelope
 */
int grey_ask(const struct conf_gate *g, struct bytes ip, const char *sender, const char *rcpt,
    uint64_t now, uint32_t *wait);

/* Clients that have waited for their greeting, for pass_days. */
int passed_is(struct bytes ip, uint64_t now);
void passed_put(const struct conf_gate *g, struct bytes ip, uint64_t now);

/*
 * What the server of a recipient has said (call-ahead); remembered for a day when he is there, an
 * hour when he is not.  The case of letters does not count.
 *
 * text	receives the server's words, up to 500 octets with a NUL behind
 */
#define KNOWN_TEXT_MAX 501
enum known_rcpt known_get(const char *rcpt, uint64_t now, char text[KNOWN_TEXT_MAX]);
void known_put(const char *rcpt, enum known_rcpt known, const char *text, uint64_t now);

#endif
