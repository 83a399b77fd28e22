#ifndef POLICYD_SESSION_H
#define POLICYD_SESSION_H

#include <sys/tree.h>

#include "policyd/db.h"
#include "proc/proc.h"

/* Sessions of proxies: a login that a peer accepted, and the consumer it belongs to. */
#define SESSIONS_MAX 100000 /* all together; more are answered without a consumer */
#define SESSION_IDLE_MAX                                                                           \
	86400000 /* milliseconds without a message; proxies close theirs earlier                   \
		  */

struct session {
	RB_ENTRY(session) node;
	uint8_t id[SESSION_ID];
	enum proc_id proxy;
	unsigned instance;
	uint64_t used; /* clock_ms of the last question */
	char tenant[65];
	char consumer[65]; /* "": nobody's */
	int outside_senders; /* senders of foreign domains may send */
	int opens; /* of a recipient's, at the door: it opens his mail and signs nothing */
	int by_address; /* the sender's address decides, message by message */
};

/* A new one with a random id, or NULL with errno ENOMEM or EAGAIN (too many). */
struct session *session_new(enum proc_id proxy, unsigned instance);

/* By id, or NULL; notes that it is in use. */
struct session *session_find(const uint8_t *id);
void session_free(struct session *s);

/* The proxy died: its sessions are over. */
void session_forget(enum proc_id proxy, unsigned instance);

unsigned session_count(void);

#endif
