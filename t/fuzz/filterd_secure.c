/*
 * Outbound mail of any shape, to bob, who has a key, and to two who have none.  The first octet
 * of the input says whether encryption is required, and whether bob is named.
 */
#include "t/fuzz/filterd_ask.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { REQUIRED = 1, NAMED = 2, ONLY_BOB = 4 };

static const char *const names[] = {BOB, "a@example.net", "\"b c\"@example.com"};

/* Read the answers; each recipient is covered once when the result is good. */
static void
check_answers(unsigned nrcpts, int how)
{
	unsigned seen[3] = {0}, i, by_sender = 0, clear = 0;
	const struct secure_out *o;
	const struct secure_rep *r;
	struct ipc_msg m;

	for (;;) {
		if (!next_answer(&m))
			abort();
		if (m.def->type == M_secure_rep)
			break;
		o = m.body;
		for (i = 0; i < o->rcpts.n; i++) {
			if (o->rcpts.v[i].i >= nrcpts)
				abort();
			seen[o->rcpts.v[i].i]++;
		}
		if (strstr(o->facts, "by sender") != NULL)
			by_sender = 1;
		else if (strstr(o->facts, "encrypted=no") != NULL)
			clear = 1;
		ipc_done(&proxy, &m);
	}
	r = m.body;
	for (i = 0; i < nrcpts && r->result == SECURE_OK; i++)
		if (seen[i] != 1)
			abort();
	if (r->result == SECURE_DEFER)
		abort(); /* every peer is there */
	if ((how & REQUIRED) && (clear || (nrcpts > 1 && r->result == SECURE_OK && !by_sender)))
		abort(); /* clear text left that was to be encrypted */
	ipc_done(&proxy, &m);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mailbox boxes[3] = {{names[0]}, {names[1]}, {names[2]}};
	struct secure_req q = {.sender = BOB, .rcpts = {boxes, 3}, .eightbit = 1};
	struct blob b = {.kind = BLOB_INLINE};
	struct buf m;

	if (size == 0 || size > INPUT_MAX)
		return 0;
	stand_in(P_SMTPD);
	buf_init(&m, BLOB_INLINE_MAX);
	buf_puts(&m, "From: " BOB "\r\n");
	if (data[0] & REQUIRED)
		buf_puts(&m, "Subject: =?us-ascii?q?=5bsecure=5d?=\r\n");
	if (data[0] & NAMED)
		buf_puts(&m, "To: <" BOB ">\r\n");
	if (data[0] & ONLY_BOB)
		q.rcpts.n = 1;
	buf_put(&m, data + 1, size - 1);
	b.size = buf_len(&m);
	b.data = (struct bytes){buf_ptr(&m), buf_len(&m)};
	q.message.v = &b;
	q.message.n = 1;
	if (secure_message(&worker, &q, 1, -1) == -1)
		abort();
	check_answers((unsigned)q.rcpts.n, data[0]);
	buf_free(&m);
	return 0;
}
