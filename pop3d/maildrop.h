#ifndef POP3D_MAILDROP_H
#define POP3D_MAILDROP_H

#include "pop3d/memory.h"
#include "proxy/route.h"

/*
 * The messages of a session's maildrop by their numbers, as far as they are of interest, and what
 * is remembered of them.
 */
#define SLOT_UID 0x01 /* uid is known */
#define SLOT_SIZE 0x02 /* size is */
#define SLOT_PLAIN 0x04 /* it passes as it is */
#define SLOT_DELETED 0x08 /* DELE, and no RSET since */

struct slot {
	uint32_t number; /* from 1 on */
	uint8_t flags; /* SLOT_* */
	uint8_t uid[MEMORY_UID];
	uint64_t listed; /* octets in the peer's LIST; 0: not asked */
	uint64_t size; /* octets that RETR announces */
};

struct maildrop {
	struct slot *v; /* by number */
	size_t n, room;
	bool banner; /* sizes are with one */
	bool sized; /* every message of the session has its slot and its size */
	bool loaded; /* the memory was read */
	bool changed;
	struct memory memory;
	uint8_t id[MEMORY_ID];
	char name[MEMORY_NAME_MAX];
};

/*
 * The maildrop that this login opened, once the peer has accepted it; NULL with errno ENOMEM.
 * Spellings of a login that are one to policyd (postern.conf(5), login_domain and login_case) are
 * one here.
 */
struct maildrop *maildrop_new(
    const struct proxy_route *r, const char *authzid, const char *authcid);
void maildrop_free(struct maildrop *d); /* NULL is allowed */

/* The message's slot; of no number that was added: NULL. */
struct slot *maildrop_slot(const struct maildrop *d, uint64_t number);

/*
 * The same, and made if need be; pointers to other slots are void then.  NULL with errno EINVAL
 * (0, or over UINT32_MAX), ENOSPC (MEMORY_MESSAGES_MAX of them) or ENOMEM.
 */
struct slot *maildrop_add(struct maildrop *d, uint64_t number);

/* What the peer's UIDL says of it. */
void maildrop_uid(struct slot *s, const char *uidl, size_t n);

/*
 * A line of the peer's UIDL ("1 QhdPYR:00WBw1Ph7x7") or LIST ("1 120"), or the text of its answer
 * for one message, into a slot.  Numbers of a listing must rise.
 *
 * last	the number before, which this must exceed; receives this one; NULL: a single answer
 *
 * Returns the slot, or NULL with errno EPROTO, ENOSPC or ENOMEM.
 */
struct slot *maildrop_uidl_line(struct maildrop *d, const char *line, uint64_t *last);
struct slot *maildrop_list_line(struct maildrop *d, const char *line, uint64_t *last);

/* Take from the memory what it has of this message: size, plain.  1 when the size is known. */
int maildrop_recall(struct maildrop *d, struct slot *s);

/* What was found when the message was opened before, or NULL; *n octets. */
const uint8_t *maildrop_sticky(const struct maildrop *d, const struct slot *s, size_t *n);

/*
 * A message was fetched, and opened if need be: note its size in the slot, and when keep is set and
 * its UIDL known, what was found in the memory.
 */
void maildrop_learn(struct maildrop *d, struct slot *s, uint64_t size, bool plain, bool keep,
    const uint8_t *sticky, size_t n);

/* What the memory has of messages that are not in d is forgotten: every message has its UIDL. */
void maildrop_prune(struct maildrop *d);

/* The peer has removed what was deleted. */
void maildrop_expunged(struct maildrop *d);

/* RSET: nothing is deleted. */
void maildrop_undelete(struct maildrop *d);

/* Messages that are not deleted, and their octets. */
size_t maildrop_count(const struct maildrop *d, uint64_t *octets);

/* Read and write the memory in this folder; failures are logged, and cost work, not mail. */
void maildrop_load(struct maildrop *d, int dir);
void maildrop_save(struct maildrop *d, int dir);

#endif
