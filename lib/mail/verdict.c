#include "mail/verdict.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "mail/address.h"
#include "mail/reader.h"
#include "mail/write.h"

#define SIGNER_BUF 4096 /* octets: an address, each of it encoded, and folds */

static const char *const decrypted_names[] = {
    [MAIL_DEC_NO] = "no",
    [MAIL_DEC_YES] = "yes",
    [MAIL_DEC_PART] = "partly",
    [MAIL_DEC_FAILED] = "failed",
    [MAIL_DEC_NO_INTEGRITY] = "no-mdc",
};

static const char *const signature_names[] = {
    [MAIL_SIG_NONE] = "none",
    [MAIL_SIG_GOOD] = "good",
    [MAIL_SIG_PART] = "partly-good",
    [MAIL_SIG_BAD] = "bad",
    [MAIL_SIG_NO_KEY] = "no-key",
    [MAIL_SIG_EXPIRED] = "expired-key",
    [MAIL_SIG_REVOKED] = "revoked-key",
    [MAIL_SIG_UNTRUSTED] = "untrusted-key",
    [MAIL_SIG_NOT_SENDER] = "not-sender",
    [MAIL_SIG_DAMAGED] = "damaged",
};

const char *
mail_decrypted_name(enum mail_decrypted d)
{
	return decrypted_names[d];
}

const char *
mail_signature_name(enum mail_signature s)
{
	return signature_names[s];
}

bool
mail_signature_valid(enum mail_signature s)
{
	return s == MAIL_SIG_GOOD || s == MAIL_SIG_PART || s == MAIL_SIG_EXPIRED ||
	       s == MAIL_SIG_UNTRUSTED || s == MAIL_SIG_NOT_SENDER;
}

enum mail_signature
mail_signature_worse(enum mail_signature a, enum mail_signature b)
{
	static const int badness[] = {
	    [MAIL_SIG_GOOD] = 0,
	    [MAIL_SIG_PART] = 1,
	    [MAIL_SIG_NOT_SENDER] = 2,
	    [MAIL_SIG_EXPIRED] = 3,
	    [MAIL_SIG_UNTRUSTED] = 4,
	    [MAIL_SIG_NO_KEY] = 5,
	    [MAIL_SIG_NONE] = 6,
	    [MAIL_SIG_DAMAGED] = 7,
	    [MAIL_SIG_REVOKED] = 8,
	    [MAIL_SIG_BAD] = 9,
	};

	return badness[a] > badness[b] ? a : b;
}

/* The signer's field, "" when there is none to show. */
static int
make_signer(const struct mail_verdict *v, struct buf *b)
{
	const char *addr = v->signer, *key = v->fingerprint;
	char text[MAIL_ADDR_MAX + 128];
	struct sink to = sink_buf(b);

	if (!mail_signature_valid(v->signature) || (addr == NULL && key == NULL))
		return 0;
	snprintf(text, sizeof text, "%s%s%.64s", addr != NULL ? addr : "",
	    key == NULL    ? ""
	    : addr == NULL ? "key="
			   : "; key=",
	    key != NULL ? key : "");
	if (mail_put_field(&to, MAIL_SIGNER_FIELD, text) == -1)
		return -1;
	if (buf_len(b) <= MAIL_SIGNER_MAX)
		return 0;
	buf_reset(b);
	snprintf(text, sizeof text, "key=%.64s", key != NULL ? key : "-");
	return mail_put_field(&to, MAIL_SIGNER_FIELD, text);
}

ssize_t
mail_signer_len(const struct mail_verdict *v)
{
	struct buf b;
	ssize_t n;

	buf_init(&b, SIGNER_BUF);
	n = make_signer(v, &b) == -1 ? -1 : (ssize_t)buf_len(&b);
	buf_free(&b);
	return n;
}

/* The field, filled up before its line end to the length that is wanted. */
static int
put_signer(const struct sink *s, const struct mail_verdict *v)
{
	size_t want = v->signer_len != NULL ? *v->signer_len : 0;
	struct buf b;
	int rc = -1;

	if (want != 0 && (want < MAIL_SIGNER_MIN || want > MAIL_SIGNER_MAX)) {
		errno = EINVAL;
		return -1;
	}
	buf_init(&b, SIGNER_BUF);
	if (make_signer(v, &b) == -1)
		goto out;
	if (v->signer_len != NULL && (buf_len(&b) > want || buf_len(&b) == 0)) {
		buf_reset(&b);
		if (want > 0 && buf_puts(&b, MAIL_SIGNER_FIELD ": -\r\n") == -1)
			goto out;
	}
	if (buf_len(&b) > 0) {
		b.end -= 2;
		while (buf_len(&b) + 2 < want)
			if (buf_putc(&b, ' ') == -1)
				goto out;
		if (buf_puts(&b, "\r\n") == -1)
			goto out;
	}
	rc = sink_write(s, buf_ptr(&b), buf_len(&b));
out:
	buf_free(&b);
	return rc;
}

int
mail_put_verdict(const struct sink *s, const struct mail_verdict *v)
{
	char text[MAIL_VERDICT_LEN + 1];

	/* The widths are those of the longest names: every verdict is as long as every other. */
	snprintf(text, sizeof text,
	    MAIL_VERDICT_FIELD ": v=1; decrypted=%-6s; signature=%-13s; by=postern\r\n",
	    mail_decrypted_name(v->decrypted), mail_signature_name(v->signature));
	return sink_puts(s, text) == -1 ? -1 : put_signer(s, v);
}

#define OURS_LEN (sizeof MAIL_OURS - 1)

bool
mail_is_ours(const void *name, size_t n)
{
	return n >= OURS_LEN && strncasecmp(name, MAIL_OURS, OURS_LEN) == 0;
}

/*
 * Stripping goes octet by octet.  At the start of what some reader may take for a line, octets
 * are held until they differ from our prefix or are all of it.
 */
struct strip {
	const struct sink *to;
	enum { MIDDLE, START, DROP, DROP_START } state;
	bool cr; /* a CR came last and is held */
	bool bare; /* the line being dropped began behind a bare CR */
	uint8_t last; /* the last octet that went out */
	unsigned match; /* octets of the prefix held */
	size_t nheld, nout;
	uint8_t held[OURS_LEN + 1], out[4096];
};

static int
strip_out(struct strip *s, const void *data, size_t n)
{
	const uint8_t *p = data;

	for (; n > 0; n--) {
		if (s->nout == sizeof s->out) {
			s->nout = 0;
			if (sink_write(s->to, s->out, sizeof s->out) == -1)
				return -1;
		}
		s->out[s->nout++] = s->last = *p++;
	}
	return 0;
}

static int
strip_release(struct strip *s)
{
	size_t n = s->nheld;

	s->nheld = 0;
	s->match = 0;
	return strip_out(s, s->held, n);
}

/* An octet of what is not dropped. */
static int
strip_keep(struct strip *s, uint8_t c)
{
	static const char prefix[] = "x-postern-";
	uint8_t low = c >= 'A' && c <= 'Z' ? c | 0x20 : c;

	if (c == '\n' || c == '\r') {
		if (strip_release(s) == -1)
			return -1;
		/* a CR is held, since it goes too when one of ours follows */
		if (c == '\r') {
			s->held[s->nheld++] = c;
			s->cr = true;
			s->state = START;
			return 0;
		}
		s->cr = false;
		s->state = START;
		return strip_out(s, &c, 1);
	}
	if (s->state == START && low == (uint8_t)prefix[s->match]) {
		s->held[s->nheld++] = c;
		if (++s->match < OURS_LEN)
			return 0;
		/* nothing before it on the line: no line end to give back, it would end the header
		 */
		s->bare = s->cr && s->last != '\n';
		s->nheld = s->match = 0;
		s->cr = false;
		s->state = DROP;
		return 0;
	}
	s->state = MIDDLE;
	s->cr = false;
	return strip_release(s) == -1 ? -1 : strip_out(s, &c, 1);
}

static int
strip_octet(struct strip *s, uint8_t c)
{
	if (s->state == DROP) {
		if (c == '\n')
			s->state = DROP_START;
		return 0;
	}
	if (s->state == DROP_START) {
		if (c == ' ' || c == '\t') { /* a fold of it */
			s->state = DROP;
			return 0;
		}
		/* the line that it was in for the others still needs its end */
		if (s->bare && strip_out(s, "\r\n", 2) == -1)
			return -1;
		s->bare = false;
		s->state = START;
	}
	return strip_keep(s, c);
}

/* Go behind the white space that the header begins with, and whole lines of it. */
static int
skip_lead(const struct octets *o, uint64_t *off, uint64_t *len)
{
	struct mail_reader r;
	const uint8_t *p;
	bool blank = false;
	ssize_t n, i;

	if (mail_reader_init(&r, o, *off, *len) == -1)
		return -1;
	while ((n = mail_reader_next(&r, &p)) > 0) {
		for (i = 0; i < n; i++)
			if (p[i] == ' ' || p[i] == '\t')
				blank = true;
			else if (!blank || (p[i] != '\r' && p[i] != '\n'))
				break;
			else
				blank = p[i] == '\r';
		*off += (uint64_t)i;
		*len -= (uint64_t)i;
		if (i < n)
			break;
	}
	mail_reader_free(&r);
	return n == -1 ? -1 : 0;
}

int
mail_strip_ours(const struct octets *o, uint64_t off, uint64_t len, const struct sink *to)
{
	struct strip s = {.to = to, .state = START, .last = '\n'};
	struct mail_reader r;
	const uint8_t *p;
	ssize_t n, i;
	int rc = -1;

	if (off > o->size)
		off = o->size;
	if (len > o->size - off)
		len = o->size - off;
	if (skip_lead(o, &off, &len) == -1 || mail_reader_init(&r, o, off, len) == -1)
		return -1;
	while ((n = mail_reader_next(&r, &p)) > 0)
		for (i = 0; i < n; i++)
			if (strip_octet(&s, p[i]) == -1)
				goto out;
	if (n == -1)
		goto out;
	if ((s.state == DROP || s.state == DROP_START) && s.bare && strip_out(&s, "\r\n", 2) == -1)
		goto out;
	if (strip_release(&s) == 0 && sink_write(to, s.out, s.nout) == 0)
		rc = 0;
out:
	mail_reader_free(&r);
	return rc;
}
