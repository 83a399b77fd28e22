#include "openpgp/packet.h"

#include <errno.h>
#include <string.h>

#include "openpgp/limits.h"

/* Read a length of `octets` octets at p, most significant first. */
static uint32_t
length_at(const uint8_t *p, size_t octets)
{
	uint32_t v = 0;

	while (octets-- > 0)
		v = v << 8 | *p++;
	return v;
}

int
pgp_packet_next(struct bytes *in, struct pgp_packet *p)
{
	const uint8_t *d = in->p;
	size_t head, len, k;

	if (in->n == 0)
		return 0;
	if (in->n < 2 || (d[0] & 0x80) == 0)
		goto bad;
	if ((d[0] & 0x40) == 0) {
		k = (size_t)1 << (d[0] & 3);
		if (k == 8 || in->n < 1 + k)
			goto bad;
		p->tag = (d[0] >> 2) & 0x0f;
		head = 1 + k;
		len = length_at(d + 1, k);
	} else {
		p->tag = d[0] & 0x3f;
		if (d[1] < 192) {
			head = 2;
			len = d[1];
		} else if (d[1] < 224) {
			if (in->n < 3)
				goto bad;
			head = 3;
			len = ((size_t)(d[1] - 192) << 8) + d[2] + 192;
		} else if (d[1] == 255) {
			if (in->n < 6)
				goto bad;
			head = 6;
			len = length_at(d + 2, 4);
		} else {
			goto bad;
		}
	}
	if (p->tag == 0 || len > in->n - head || len > PGP_MEM_PACKET_MAX)
		goto bad;
	p->body = (struct bytes){d + head, len};
	in->p += head + len;
	in->n -= head + len;
	return 1;
bad:
	errno = EBADMSG;
	return -1;
}

size_t
pgp_packet_head(uint8_t out[PGP_HEAD_MAX], enum pgp_tag tag, uint32_t n)
{
	out[0] = (uint8_t)(0xc0 | tag);
	if (n < 192) {
		out[1] = (uint8_t)n;
		return 2;
	}
	if (n < 8384) {
		out[1] = (uint8_t)(((n - 192) >> 8) + 192);
		out[2] = (uint8_t)(n - 192);
		return 3;
	}
	out[1] = 255;
	put_be32(out + 2, n);
	return 6;
}

bool
pgp_tag_skippable(uint8_t tag)
{
	return tag == PGP_TAG_MARKER || tag == PGP_TAG_TRUST || tag == PGP_TAG_PADDING ||
	       (tag >= 40 && tag <= 63);
}
