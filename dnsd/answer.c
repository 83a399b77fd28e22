#include <errno.h>

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

/* fn gets the data of each record of this type; what it returns but 0 ends all, as if malformed. */
static int
each(const uint8_t *p, size_t n, unsigned type, int (*fn)(void *, const uint8_t *, size_t),
    void *arg)
{
	size_t off = HEADER, len;
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
		if ((off = skip_name(p, n, off)) == 0 || n - off < 10)
			goto bad;
		len = get_be16(p + off + 8);
		if (n - off - 10 < len)
			goto bad;
		if (get_be16(p + off) == type && get_be16(p + off + 2) == CLASS_IN &&
		    fn(arg, p + off + 10, len) != 0)
			goto bad;
		off += 10 + len;
	}
	return 0;
bad:
	errno = EBADMSG;
	return -1;
}

static int
take_a(void *arg, const uint8_t *p, size_t n)
{
	if (n != 4)
		return -1;
	addrs_add(arg, p, n);
	return 0;
}

static int
take_aaaa(void *arg, const uint8_t *p, size_t n)
{
	if (n != 16)
		return -1;
	addrs_add(arg, p, n);
	return 0;
}

int
answer_parse(const uint8_t *p, size_t n, unsigned type, struct addrs *out)
{
	return each(p, n, type, type == TYPE_A ? take_a : take_aaaa, out);
}

/* RFC 6698, 2.1: three octets and the data.  Whoever made a bad one may have made good ones too. */
static int
take_tlsa(void *arg, const uint8_t *p, size_t n)
{
	struct tlsas *out = arg;

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
