/*
 * Messages that the client has asked for already, and which stand next in its input, are asked for
 * from the peer before their turn (PIPELINING, RFC 2449, 6.6): they are on their way while others
 * are looked at, opened, sent.  What comes too early waits in the peer's connection.
 *
 * A message that needs a worker needs its UIDL first, and the answer to that would come behind all
 * that was asked for.  So only one goes ahead, when the one before is here and has its UIDL; or
 * many, once the UIDLs of all messages are known.
 */
#include "pop3d/session.h"

#define AHEAD_MAX 32 /* messages */
#define AHEAD_WORTH 4 /* RETRs that wait, behind the one in hand, are worth a listing */

/* RETRs at the front of the client's input, up to most, into v. Returns how many. */
static unsigned
waiting(const struct session *s, uint64_t *v, unsigned most)
{
	const uint8_t *p;
	unsigned i;
	size_t n, used;

	if (s->quitting || s->client_lines.skipped > 0)
		return 0;
	p = conn_in(s->client, &n);
	for (i = 0; i < most && (used = parse_retr(&v[i], p, n)) > 0; i++) {
		p += used;
		n -= used;
	}
	return i;
}

void
ahead_fill(struct session *s)
{
	unsigned most = s->uids ? AHEAD_MAX : 1, n, i;
	uint64_t v[AHEAD_MAX];

	/* Many at once, for each time costs a packet. */
	if (!s->can.pipelining || s->fetch->what != FETCH_RETR || s->ahead > most / 2)
		return;
	n = waiting(s, v, most);
	for (i = s->ahead; i < n && !s->ended; i++)
		session_send(s, "RETR %llu", (unsigned long long)v[i]);
	if (n > s->ahead)
		s->ahead = n;
}

static void
ask_retr(struct session *s)
{
	fetch_ask(s);
	if (!s->ended && s->uids)
		ahead_fill(s);
}

static int
uidl_line(struct session *s, const char *line)
{
	if (line == NULL)
		ask_retr(s);
	else
		/* What makes no sense is not known then: it is opened as if it never had been. */
		(void)maildrop_uidl_line(s->drop, line, &s->fetch->listed);
	return 0;
}

static void
on_uidl(struct session *s, const struct pop3_reply *r)
{
	if (r->status == POP3_OK)
		session_lines(s, uidl_line);
	else
		ask_retr(s);
}

static void
list(struct session *s)
{
	s->uids = s->can.pipelining;
	if (s->uids && s->can.uidl && !s->drop->sized)
		session_ask(s, on_uidl, "UIDL");
	else
		ask_retr(s);
}

void
ahead_retr(struct session *s)
{
	uint64_t v[AHEAD_WORTH];

	if (s->uids || waiting(s, v, AHEAD_WORTH) < AHEAD_WORTH) {
		ask_retr(s);
		return;
	}
	if (s->drop == NULL)
		s->drop = session_maildrop(s);
	if (s->drop == NULL)
		session_end(s, "-ERR [SYS/TEMP] out of memory");
	else
		peer_capabilities(s, list);
}
