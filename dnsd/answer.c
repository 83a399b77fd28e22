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

int
answer_parse(const uint8_t *p, size_t n, unsigned type, struct addrs *out)
{
	size_t off = HEADER, len, want = type == TYPE_A ? 4 : 16;
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
		if (get_be16(p + off) == type && get_be16(p + off + 2) == CLASS_IN) {
			if (len != want)
				goto bad;
			addrs_add(out, p + off + 10, len);
		}
		off += 10 + len;
	}
	return 0;
bad:
	errno = EBADMSG;
	return -1;
}
