#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "store/frame.h"

/*
 * First octet: bit 0 sealed or plain, the rest the length of the key that follows.  What remains
 * is a frame from a file, and then a value to be framed.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
round_trip(struct frame_ctx *f, struct frame_place *at, const uint8_t *p, size_t n)
{
	uint8_t *frame = malloc(frame_head(f) + n + 1), *plain = malloc(frame_head(f) + n + 1);
	size_t len = frame_head(f) + n, i;
	struct bytes v;

	if (frame == NULL || plain == NULL || frame_encode(f, at, p, n, frame) == -1 ||
	    frame_decode(f, at, frame, len, plain, &v) == -1 || v.n != n ||
	    (n > 0 && memcmp(v.p, p, n) != 0))
		abort();
	/* One changed octet, one missing, another place: never taken. */
	i = (n > 0 ? p[0] * 7U : 3U) % len;
	frame[i] ^= 0x20;
	if (frame_decode(f, at, frame, len, plain, &v) == 0)
		abort();
	frame[i] ^= 0x20;
	if (frame_decode(f, at, frame, len - 1, plain, &v) == 0)
		abort();
	at->table = "b";
	if (frame_decode(f, at, frame, len, plain, &v) == 0)
		abort();
	free(frame);
	free(plain);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t secret[32] = {1};
	struct frame_place at = {"a", NULL, 0};
	struct frame_ctx f;
	uint8_t *plain;
	struct bytes v;

	if (size == 0 || frame_init(&f, data[0] & 1 ? secret : NULL) == -1)
		return 0;
	at.klen = data[0] >> 1;
	if (at.klen > size - 1)
		at.klen = size - 1;
	at.key = data + 1;
	data += 1 + at.klen;
	size -= 1 + at.klen;
	if ((plain = malloc(size + 1)) != NULL &&
	    frame_decode(&f, &at, data, size, plain, &v) == 0 && v.n > size)
		abort();
	free(plain);
	round_trip(&f, &at, data, size);
	frame_free(&f);
	return 0;
}
