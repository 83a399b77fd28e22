#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "openpgp/armor.h"

/* Any text decodes to octets that encode and decode to themselves, or is refused with a reason. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_block(const uint8_t *data, size_t size)
{
	enum pgp_armor_type type = PGP_ARMOR_NONE;
	struct buf out, text, again;
	struct pgp_armor a;
	struct err e = {0};
	struct sink to;
	size_t used = 0;
	int rc;

	buf_init(&out, 1 << 20);
	buf_init(&text, 4 << 20);
	buf_init(&again, 1 << 20);
	rc = pgp_dearmor(data, size, &out, &type, &used, &e);
	if (rc == -1 && e.code == 0)
		abort();
	if (rc == 1) {
		to = sink_buf(&text);
		if (type == PGP_ARMOR_NONE || used > size || pgp_armor_open(&a, type, &to) == -1 ||
		    pgp_armor_write(&a, buf_ptr(&out), buf_len(&out)) == -1 ||
		    pgp_armor_close(&a) == -1 || buf_len(&text) > pgp_armor_len(buf_len(&out)) ||
		    pgp_dearmor(buf_ptr(&text), buf_len(&text), &again, NULL, NULL, NULL) != 1 ||
		    buf_len(&again) != buf_len(&out) ||
		    (buf_len(&out) > 0 &&
			memcmp(buf_ptr(&again), buf_ptr(&out), buf_len(&out)) != 0))
			abort();
	}
	buf_free(&out);
	buf_free(&text);
	buf_free(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct octets in = octets_mem(data, size);
	struct pgp_block block;
	uint64_t from = 0;

	check_block(data, size);
	while (pgp_armor_find(&in, from, &block) == 1) {
		if (block.begin < from || block.end <= block.begin || block.end > size)
			abort();
		from = block.end;
	}
	return 0;
}
