/* What is remembered of a maildrop: a file that is taken says the same when it is written again. */
#include <stdlib.h>
#include <string.h>

#include <openssl/sha.h>

#include "pop3d/memory.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const uint8_t id[MEMORY_ID];

static void
must(int ok)
{
	if (!ok)
		abort();
}

static void
decode(const uint8_t *p, size_t n)
{
	struct memory m;
	struct buf b;
	struct err e;
	size_t i;

	memory_init(&m);
	buf_init(&b, n + 1024);
	if (memory_decode(&m, id, p, n, &e) == -1)
		must(m.n == 0 && m.v == NULL);
	else {
		for (i = 0; i < m.n; i++)
			must(memory_find(&m, m.v[i].uid) == &m.v[i]);
		must(memory_encode(&m, id, 0, &b) == 0);
		must(buf_len(&b) == n && memcmp(buf_ptr(&b), p, n) == 0);
	}
	buf_free(&b);
	memory_free(&m);
}

/* As it is, and with head and checksum put right, so that mutations reach the entries. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	size_t head = 8 + MEMORY_ID + 4, sum = SHA256_DIGEST_LENGTH;
	uint8_t *p = calloc(1, head + n + sum);

	if (p == NULL)
		return 0;
	decode(data, n);
	memcpy(p, "GWPOP3M1", 8);
	if (n > 0) {
		p[head - 1] = data[0];
		memcpy(p + head, data + 1, n - 1);
		(void)SHA256(p, head + n - 1, p + head + n - 1);
		decode(p, head + n - 1 + sum);
	}
	free(p);
	return 0;
}
