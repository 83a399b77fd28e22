#include "openpgp/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

ssize_t
pgp_src_read(struct pgp_src *s, void *p, size_t n)
{
	uint8_t *to = p;
	size_t got = 0, k;
	int rc;

	while (got < n) {
		if ((rc = pgp_src_fill(s)) == -1)
			return -1;
		if (rc == 0)
			break;
		k = s->n < n - got ? s->n : n - got;
		memcpy(to + got, s->p, k);
		pgp_src_take(s, k);
		got += k;
	}
	return (ssize_t)got;
}

int
pgp_src_exact(struct pgp_src *s, void *p, size_t n)
{
	ssize_t got = pgp_src_read(s, p, n);

	if (got == -1)
		return -1;
	if ((size_t)got != n) {
		errno = EBADMSG;
		return -1;
	}
	return 0;
}

int
pgp_src_drain(struct pgp_src *s)
{
	int rc;

	while ((rc = pgp_src_fill(s)) == 1)
		pgp_src_take(s, s->n);
	return rc;
}

ssize_t
pgp_src_all(struct pgp_src *s, uint8_t *p, size_t max)
{
	ssize_t got = pgp_src_read(s, p, max);
	int rc;

	if (got == -1 || (rc = pgp_src_fill(s)) == -1)
		return -1;
	if (rc == 1) {
		errno = EMSGSIZE;
		return -1;
	}
	return got;
}

static int
input_more(struct pgp_src *s)
{
	struct pgp_input *i = (struct pgp_input *)s;
	uint64_t left = i->end - i->off;
	size_t n;

	if (left == 0)
		return 0;
	if (i->in->mem != NULL) {
		n = left < SIZE_MAX ? (size_t)left : SIZE_MAX;
		s->p = i->in->mem + i->off;
	} else {
		n = left < PGP_WINDOW ? (size_t)left : PGP_WINDOW;
		if (octets_read(i->in, i->window, n, i->off) == -1) {
			/* Whatever the reason, it is not the message's fault. */
			errno = EIO;
			return -1;
		}
		s->p = i->window;
	}
	s->n = n;
	i->off += n;
	return 1;
}

int
pgp_input_open(struct pgp_input *i, const struct octets *in, uint64_t off, uint64_t end)
{
	memset(i, 0, sizeof *i);
	i->src.more = input_more;
	i->in = in;
	i->off = off;
	i->end = end;
	if (in->mem == NULL && (i->window = malloc(PGP_WINDOW)) == NULL)
		return -1;
	return 0;
}

void
pgp_input_close(struct pgp_input *i)
{
	free(i->window);
	i->window = NULL;
	i->src.n = 0;
}

/* The next length of a new-format packet: 1, or -1. */
static int
body_length(struct pgp_body *b)
{
	uint8_t o[4];

	b->partial = false;
	if (pgp_src_exact(b->from, o, 1) == -1)
		return -1;
	if (o[0] < 192) {
		b->left = o[0];
	} else if (o[0] < 224) {
		if (pgp_src_exact(b->from, o + 1, 1) == -1)
			return -1;
		b->left = ((uint64_t)(o[0] - 192) << 8) + o[1] + 192;
	} else if (o[0] == 255) {
		if (pgp_src_exact(b->from, o, 4) == -1)
			return -1;
		b->left = get_be32(o);
	} else {
		b->left = UINT64_C(1) << (o[0] & 31);
		b->partial = true;
	}
	return 1;
}

static int
body_more(struct pgp_src *s)
{
	struct pgp_body *b = (struct pgp_body *)s;
	size_t k;
	int rc;

	while (b->left == 0) {
		if (!b->partial)
			return 0;
		if (body_length(b) == -1)
			return -1;
	}
	if ((rc = pgp_src_fill(b->from)) == -1)
		return -1;
	if (rc == 0) {
		if (b->to_end) {
			b->left = 0;
			return 0;
		}
		errno = EBADMSG;
		return -1;
	}
	k = b->left < b->from->n ? (size_t)b->left : b->from->n;
	s->p = b->from->p;
	s->n = k;
	pgp_src_take(b->from, k);
	if (!b->to_end)
		b->left -= k;
	return 1;
}

static bool
is_data(uint8_t tag)
{
	return tag == PGP_TAG_LITERAL || tag == PGP_TAG_COMPRESSED || tag == PGP_TAG_SED ||
	       tag == PGP_TAG_SEIPD || tag == PGP_TAG_OCB;
}

static int
old_length(struct pgp_body *b, unsigned type)
{
	uint8_t o[4];

	switch (type) {
	case 0:
		if (pgp_src_exact(b->from, o, 1) == -1)
			return -1;
		b->left = o[0];
		return 1;
	case 1:
		if (pgp_src_exact(b->from, o, 2) == -1)
			return -1;
		b->left = get_be16(o);
		return 1;
	case 2:
		if (pgp_src_exact(b->from, o, 4) == -1)
			return -1;
		b->left = get_be32(o);
		return 1;
	default:
		b->left = UINT64_MAX;
		b->to_end = true;
		return 1;
	}
}

int
pgp_body_open(struct pgp_body *b, struct pgp_src *from)
{
	uint8_t head;
	int rc;

	memset(b, 0, sizeof *b);
	b->src.more = body_more;
	b->from = from;
	if ((rc = pgp_src_fill(from)) != 1)
		return rc;
	head = from->p[0];
	pgp_src_take(from, 1);
	if ((head & 0x80) == 0)
		goto bad;
	if (head & 0x40) {
		b->tag = head & 0x3f;
		rc = body_length(b);
	} else {
		b->tag = (head >> 2) & 0x0f;
		rc = old_length(b, head & 3);
	}
	if (rc == -1)
		return -1;
	if (b->tag == 0 || ((b->partial || b->to_end) && !is_data(b->tag)))
		goto bad;
	/* RFC 4880, 4.2.2.4: the first partial length is at least 512 octets long. */
	if (b->partial && b->left < PGP_CHUNK_MIN)
		goto bad;
	return 1;
bad:
	errno = EBADMSG;
	return -1;
}
