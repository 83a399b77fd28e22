/* What stands in a damaged database; and patterns against what an event has. */
#include <stdlib.h>
#include <string.h>

#include "logd/archive.h"
#include "logd/pack.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* An event that was read can be answered with, and is written as it stood there. */
static void
check(const uint8_t *p, size_t n, const char *who, const struct log_event *e)
{
	struct buf b;

	if (rec_bad_field(&rec_log_event, e) != NULL)
		abort();
	buf_init(&b, PACKED_MAX * 2);
	if (n <= PACKED_MAX && pack_event(&b, who, e) == 0 &&
	    (buf_len(&b) != n || memcmp(buf_ptr(&b), p, n) != 0))
		abort();
	buf_free(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct log_search_req q = {
	    .tx = "", .sender = "", .rcpt = "", .client = "", .msgid = "", .tenant = ""};
	uint8_t *copy = calloc(1, n > 0 ? n : 1);
	const uint8_t *at = copy;
	struct log_event e;
	const char *who;
	ssize_t got;

	if (copy == NULL)
		abort();
	if (n > 0)
		memcpy(copy, p, n);
	while ((got = unpack_event(at, n, &who, &e)) > 0) {
		if ((size_t)got > n)
			abort();
		check(at, (size_t)got, who, &e);
		q.sender = e.text;
		q.rcpt = e.sender;
		q.client = e.what;
		q.msgid = e.helo;
		(void)search_fits(&q, &e);
		q.sender = q.rcpt = q.msgid = "";
		q.client = e.client;
		(void)search_fits(&q, &e);
		at += got;
		n -= (size_t)got;
	}
	free(copy);
	return 0;
}
