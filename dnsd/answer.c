#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "dnsd/dnsd.h"

#define HEADER 12
#define CLASS_IN 1

/* Behind the name at off (RFC 1035, 4.1.4: a pointer ends it); 0 when it is not well-formed. */
static size_t
skip_name(const uint8_t *p, size_t n, size_t off)
{
	while (off < n) {
		if (p[off] == 0)
			return off + 1;
		if ((p[off] & 0xc0) == 0xc0)
			return off + 2 <= n ? off + 2 : 0;
		if ((p[off] & 0xc0) != 0)
			return 0;
		off += 1u + p[off];
	}
	return 0;
}

/* What a host name may have; a dot within a label is none of its dots. */
static int
is_of_name(uint8_t c)
{
	return isascii(c) && (isalnum(c) || c == '-' || c == '_');
}

/*
 * The name at off as text, in lower case and without the final dot: "" for the root.  Labels are of
 * any octets; those that a host name cannot have become '?', so that such a name is refused later.
 *
 * out	NAME_MAX_OCTETS + 1 octets
 *
 * Returns 0, or -1 when it is not well-formed: a pointer leads only to what was before it, so that
 * each of them ends.
 */
static int
expand(const uint8_t *p, size_t n, size_t off, char *out)
{
	size_t len = 0, limit = off, i;

	while (off < n && p[off] != 0) {
		if ((p[off] & 0xc0) == 0xc0) {
			if (off + 2 > n)
				return -1;
			off = get_be16(p + off) & 0x3fffu;
			if (off >= limit)
				return -1;
			limit = off;
			continue;
		}
		if ((p[off] & 0xc0) != 0 || off + 1 + p[off] > n ||
		    len + 1 + p[off] > NAME_MAX_OCTETS + 1)
			return -1;
		for (i = 1; i <= p[off]; i++)
			out[len++] = is_of_name(p[off + i]) ? (char)tolower(p[off + i]) : '?';
		out[len++] = '.';
		off += 1u + p[off];
	}
	out[len > 0 ? len - 1 : 0] = '\0';
	return off < n ? 0 : -1;
}

/* A record, where it stands. */
struct rr {
	const uint8_t *msg;
	size_t n;
	size_t owner, data; /* offsets in it */
	size_t len; /* of data */
};

/* fn gets each record of this type; what it returns but 0 ends all, as if malformed. */
static int
each(const uint8_t *p, size_t n, unsigned type, int (*fn)(void *, const struct rr *), void *arg)
{
	struct rr r = {.msg = p, .n = n};
	size_t off = HEADER;
	unsigned questions, answers;

	if (n < HEADER)
		goto bad;
	questions = get_be16(p + 4);
	answers = get_be16(p + 6);
	/* Each takes octets of the message, so n bounds both loops. */
	while (questions-- > 0)
		if ((off = skip_name(p, n, off)) == 0 || (off += 4) > n)
			goto bad;
	while (answers-- > 0) {
		r.owner = off;
		if ((off = skip_name(p, n, off)) == 0 || n - off < 10)
			goto bad;
		r.data = off + 10;
		r.len = get_be16(p + off + 8);
		if (n - r.data < r.len)
			goto bad;
		if (get_be16(p + off) == type && get_be16(p + off + 2) == CLASS_IN &&
		    fn(arg, &r) != 0)
			goto bad;
		off = r.data + r.len;
	}
	return 0;
bad:
	errno = EBADMSG;
	return -1;
}

static int
take_a(void *arg, const struct rr *r)
{
	if (r->len != 4)
		return -1;
	addrs_add(arg, r->msg + r->data, r->len);
	return 0;
}

static int
take_aaaa(void *arg, const struct rr *r)
{
	if (r->len != 16)
		return -1;
	addrs_add(arg, r->msg + r->data, r->len);
	return 0;
}

int
answer_parse(const uint8_t *p, size_t n, unsigned type, struct addrs *out)
{
	return each(p, n, type, type == TYPE_A ? take_a : take_aaaa, out);
}

static int
take_owner(void *arg, const struct rr *r)
{
	char *out = arg;

	return *out != '\0' ? 0 : expand(r->msg, r->n, r->owner, out);
}

int
answer_owner(const uint8_t *p, size_t n, unsigned type, char *out)
{
	*out = '\0';
	return each(p, n, type, take_owner, out);
}

/* A host name at off, not further than the record goes; 0 and "" when it is none. */
static int
take_host(const struct rr *r, size_t off, char *out)
{
	char text[NAME_MAX_OCTETS + 1];
	struct addr a;
	size_t end = skip_name(r->msg, r->n, off);

	if (end != r->data + r->len || expand(r->msg, r->n, off, text) == -1)
		return -1;
	if (name_check(text, out) == -1 || name_numeric(text, &a))
		*out = '\0';
	return 0;
}

static int
take_ptr(void *arg, const struct rr *r)
{
	struct ptrs *out = arg;

	if (out->n == PTRS_MAX)
		return 0;
	if (take_host(r, r->data, out->v[out->n]) == -1)
		return -1;
	out->n += out->v[out->n][0] != '\0';
	return 0;
}

int
answer_ptrs(const uint8_t *p, size_t n, struct ptrs *out)
{
	out->n = 0;
	return each(p, n, TYPE_PTR, take_ptr, out);
}

/* RFC 1035, 3.3.9: preference and name. RFC 7505, 3: the name is the root's, alone. */
static int
take_mx(void *arg, const struct rr *r)
{
	struct mxs *out = arg;
	struct mx m;
	size_t i;

	if (r->len < 3)
		return -1;
	out->seen++;
	m.preference = get_be16(r->msg + r->data);
	if (r->len == 3 && r->msg[r->data + 2] == 0) {
		out->null_mx = 1;
		return 0;
	}
	if (take_host(r, r->data + 2, m.host) == -1)
		return -1;
	for (i = 0; i < out->n; i++)
		if (strcmp(out->v[i].host, m.host) == 0) {
			if (m.preference < out->v[i].preference)
				out->v[i].preference = m.preference;
			return 0;
		}
	if (m.host[0] != '\0' && out->n < MXS_MAX)
		out->v[out->n++] = m;
	return 0;
}

/* Shuffled, and sorted by insertion, which leaves the order of equal ones as it is. */
static void
put_in_order(struct mxs *m)
{
	struct mx one;
	size_t i, j;

	for (i = m->n; i > 1; i--) {
		j = arc4random_uniform((uint32_t)i);
		one = m->v[i - 1];
		m->v[i - 1] = m->v[j];
		m->v[j] = one;
	}
	for (i = 1; i < m->n; i++) {
		one = m->v[i];
		for (j = i; j > 0 && m->v[j - 1].preference > one.preference; j--)
			m->v[j] = m->v[j - 1];
		m->v[j] = one;
	}
}

int
answer_mxs(const uint8_t *p, size_t n, struct mxs *out)
{
	out->n = out->seen = 0;
	out->null_mx = 0;
	if (each(p, n, TYPE_MX, take_mx, out) == -1)
		return -1;
	out->null_mx = out->null_mx && out->seen == 1;
	put_in_order(out);
	return 0;
}

/* RFC 1035, 3.3.14: strings with their length before them, which belong together. */
static int
take_txt(void *arg, const struct rr *r)
{
	struct txts *out = arg;
	const uint8_t *p = r->msg + r->data;
	size_t off = 0, start = out->used;

	while (off < r->len) {
		if (p[off] > r->len - off - 1)
			return -1;
		memcpy(out->mem + out->used, p + off + 1, p[off]);
		out->used += p[off];
		off += 1u + p[off];
	}
	if (out->n == DNS_TXTS_MAX || out->used - start > DNS_TXT_LEN)
		out->used = start;
	else
		out->v[out->n++].text = (struct bytes){out->mem + start, out->used - start};
	return 0;
}

int
answer_txts(const uint8_t *p, size_t n, struct txts *out)
{
	out->n = out->used = 0;
	/* All strings together are shorter than the message. */
	if ((out->mem = malloc(n + 1)) == NULL)
		return -1;
	if (each(p, n, TYPE_TXT, take_txt, out) == 0)
		return 0;
	txts_free(out);
	errno = EBADMSG;
	return -1;
}

void
txts_free(struct txts *t)
{
	free(t->mem);
	t->mem = NULL;
	t->n = 0;
}

/* RFC 6698, 2.1: three octets and the data.  Whoever made a bad one may have made good ones too. */
static int
take_tlsa(void *arg, const struct rr *r)
{
	const uint8_t *p = r->msg + r->data;
	struct tlsas *out = arg;
	size_t n = r->len;

	if (n < 4 || n - 3 > DNS_TLSA_DATA_MAX || out->n == DNS_TLSAS_MAX)
		out->left_out++;
	else
		out->v[out->n++] = (struct dns_tlsa){p[0], p[1], p[2], {p + 3, n - 3}};
	return 0;
}

int
answer_tlsas(const uint8_t *p, size_t n, struct tlsas *out)
{
	out->n = 0;
	out->left_out = 0;
	return each(p, n, TYPE_TLSA, take_tlsa, out);
}
