/*
 * Every message of the table, from its own declaration: the first two octets choose one, the
 * rest is its record.  What decodes must encode to the same octets again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ipc/messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
record(const struct rec *r, const uint8_t *p, size_t n)
{
	struct buf b;
	void *v = rec_decode(r, p, n);

	if (v == NULL)
		return;
	buf_init(&b, 1 << 20);
	if (rec_encode(r, v, &b) == -1 || buf_len(&b) != n || memcmp(buf_ptr(&b), p, n) != 0)
		abort();
	buf_free(&b);
	free(v);
}

/* The same octets as a stream of frames between two processes. */
static void
stream(const struct ipc_msgdef *d, const uint8_t *p, size_t n)
{
	struct ipc_msg m;
	struct ipc c;
	int fds[2], rc;
	enum proc_id from = P_MASTER, to = P_SMTPD;

	while (from < P_MAX - 1 && (d->from & PM(from)) == 0)
		from++;
	to = P_MASTER;
	while (to < P_MAX - 1 && (d->to & PM(to)) == 0)
		to++;
	if (n > 60000 || ipc_pair(fds) == -1)
		return;
	if (write(fds[1], p, n) == (ssize_t)n) {
		close(fds[1]);
		ipc_init(&c, fds[0], to, from);
		while ((rc = ipc_fill(&c)) == 1)
			for (;;) {
				if ((rc = ipc_next(&c, &m)) == 1)
					ipc_done(&c, &m);
				else if (rc == 0)
					break;
				else if (buf_len(&c.in) < IPC_HEADER ||
					 get_be32(buf_ptr(&c.in)) < IPC_HEADER ||
					 get_be32(buf_ptr(&c.in)) > IPC_FRAME_MAX ||
					 c.in.data[c.in.off + 6] != 0 ||
					 c.in.data[c.in.off + 7] != 0)
					goto out; /* framing is lost */
			}
	out:
		ipc_close(&c);
	} else {
		close(fds[0]);
		close(fds[1]);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct ipc_msgdef *d;
	size_t n, which;

	if (size < 2)
		return 0;
	d = ipc_messages(&n);
	which = (size_t)(data[0] << 8 | data[1]);
	record(d[which % n].rec, data + 2, size - 2);
	stream(&d[which % n], data + 2, size - 2);
	return 0;
}
