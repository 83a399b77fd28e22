#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "model/json.h"

/*
 * As text: JSON that is taken gives a record whose JSON gives the same record.  As a record:
 * what decodes has a JSON that is taken again.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REC_FUZZ_LEAF(F, L)                                                                        \
	F(STR, addr, 0, 320)                                                                       \
	F(U8, flags, 0, 15)
#define REC_FUZZ_NODE(F, L)                                                                        \
	F(U32, n, 0, UINT32_MAX)                                                                   \
	L(fuzz_leaf, leaves, 0, 8)
#define REC_FUZZ_ROOT(F, L)                                                                        \
	F(U64, id, 0, UINT64_MAX)                                                                  \
	F(U16, port, 0, 65535)                                                                     \
	F(STR, note, 0, 4096)                                                                      \
	F(BYTES, blob, 0, 4096)                                                                    \
	L(fuzz_node, nodes, 0, 8)
REC_DECLARE(fuzz_leaf, REC_FUZZ_LEAF)
REC_DECLARE(fuzz_node, REC_FUZZ_NODE)
REC_DECLARE(fuzz_root, REC_FUZZ_ROOT)
REC_DEFINE(fuzz_leaf, REC_FUZZ_LEAF)
REC_DEFINE(fuzz_node, REC_FUZZ_NODE)
REC_DEFINE(fuzz_root, REC_FUZZ_ROOT)

#define ROOM (1024 * 1024)

/* The record at wire as JSON and back; bytes must be the same unless a string was not UTF-8. */
static void
round_trip(const struct buf *wire, int exact)
{
	struct buf text, again;
	struct err e;
	void *v = rec_decode(&rec_fuzz_root, buf_ptr(wire), buf_len(wire));

	buf_init(&text, ROOM);
	buf_init(&again, ROOM);
	if (v == NULL || json_from_rec(&rec_fuzz_root, v, exact ? JSON_LINES : 0, &text) == -1)
		abort();
	/* U+FFFD takes three octets: a string may have become too long. */
	if (json_to_rec(&rec_fuzz_root, (const char *)buf_ptr(&text), buf_len(&text), &again, &e) ==
		-1 &&
	    exact)
		abort();
	if (exact && (buf_len(&again) != buf_len(wire) ||
			 memcmp(buf_ptr(&again), buf_ptr(wire), buf_len(wire)) != 0))
		abort();
	free(v);
	buf_free(&text);
	buf_free(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf wire;
	struct err e;
	void *v;

	buf_init(&wire, ROOM);
	if (json_to_rec(&rec_fuzz_root, (const char *)data, size, &wire, &e) == 0)
		round_trip(&wire, 1);
	buf_reset(&wire);
	if ((v = rec_decode(&rec_fuzz_root, data, size)) != NULL) {
		if (rec_encode(&rec_fuzz_root, v, &wire) == -1)
			abort();
		round_trip(&wire, 0);
		free(v);
	}
	buf_free(&wire);
	return 0;
}
