/* One look at a message's header. */
#include "smtpd/head.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "mail/header.h"
#include "policy/policy.h"

#define OURS "X-Postern-"

static bool
is_ours(struct bytes name)
{
	size_t n = sizeof OURS - 1;

	return name.n >= n && strncasecmp((const char *)name.p, OURS, n) == 0;
}

/* Add a field's body, unfolded, as a line. */
static void
add(struct head *h, char to[HEAD_TEXT_MAX], struct bytes body)
{
	size_t had = strlen(to);
	struct buf b;

	buf_init(&b, 2 * HEAD_TEXT_MAX);
	if (mail_unfold(body, &b) == -1 || had + buf_len(&b) + 2 > HEAD_TEXT_MAX)
		h->doubtful = 1;
	else {
		memcpy(to + had, buf_ptr(&b), buf_len(&b));
		had += buf_len(&b);
		to[had++] = '\n';
		to[had] = '\0';
		if (strstr(to, "=?") != NULL)
			h->doubtful = 1;
	}
	buf_free(&b);
}

static void
note_msgid(struct head *h, struct bytes body)
{
	struct buf b;
	size_t n;

	if (h->msgid[0] != '\0')
		return;
	buf_init(&b, 4096);
	if (mail_unfold(body, &b) == 0) {
		n = buf_len(&b) < sizeof h->msgid ? buf_len(&b) : sizeof h->msgid - 1;
		memcpy(h->msgid, buf_ptr(&b), n);
		h->msgid[n] = '\0';
	}
	buf_free(&b);
}

int
head_read(struct head *h, struct octets *o, uint64_t len)
{
	struct mail_header m;
	struct mail_field f;
	size_t pos = 0;

	memset(h, 0, sizeof *h);
	if (mail_header_load(&m, o, 0, len) == -1)
		return -1;
	while (mail_field_next(&m, &pos, &f)) {
		if (f.name.n == 0)
			continue;
		switch (f.name.p[0] | 0x20) {
		case 'r':
			h->received += mail_field_is(&f, "Received");
			break;
		case 's':
			if (mail_field_is(&f, "Subject"))
				add(h, h->subject, f.body);
			else if (mail_field_is(&f, "Sensitivity"))
				add(h, h->sensitivity, f.body);
			break;
		case 'm':
			if (mail_field_is(&f, "Message-ID"))
				note_msgid(h, f.body);
			break;
		case 'x':
			h->forged |= is_ours(f.name);
		}
	}
	/* Nobody knows what the rest of it holds. */
	if (m.cut)
		h->doubtful = h->forged = 1;
	mail_header_free(&m);
	return 0;
}

int
head_asks(const struct head *h, const char *sender, const char *const *rcpts, size_t n)
{
	struct policy_facts f = {
	    .sender = sender, .subject = h->subject, .sensitivity = h->sensitivity};
	struct policy_outcome out;
	struct err e;
	size_t i;

	if (h->doubtful)
		return 1;
	for (i = 0; i < n; i++) {
		f.recipient = rcpts[i];
		if (policy_evaluate(&f, &out, &e) == -1 || out.encrypt == POLICY_REQUIRED)
			return 1;
	}
	return 0;
}

static bool
keep_theirs(struct bytes name, void *ctx)
{
	(void)ctx;
	return !is_ours(name);
}

/* What is behind the part of a header that is looked at in one piece. */
static int
strip_rest(struct octets *o, uint64_t off, uint64_t len, const struct sink *to)
{
	if (mail_header_copy(o, off, len - off, keep_theirs, NULL, true, to) == -1)
		return -1;
	return sink_copy(to, o, len, o->size - len);
}

int
head_strip(struct octets *o, uint64_t len, const struct sink *to)
{
	struct mail_header m;
	struct mail_field f;
	size_t pos = 0, run = 0, last = 0;
	int rc = 0;

	if (mail_header_load(&m, o, 0, len) == -1)
		return -1;
	while (rc == 0 && mail_field_next(&m, &pos, &f)) {
		last = f.off;
		if (!is_ours(f.name))
			continue;
		rc = sink_copy(to, o, run, f.off - run);
		run = f.off + f.len;
	}
	/* The last field of a header that was cut is only the beginning of one. */
	if (rc == 0 && m.cut && last >= run)
		rc = sink_copy(to, o, run, last - run);
	if (rc == 0)
		rc = m.cut ? strip_rest(o, last, len, to) : sink_copy(to, o, run, o->size - run);
	mail_header_free(&m);
	return rc;
}
