#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/buf.h"
#include "openpgp/cert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Certificates in a row, merged with themselves; what came of one must come of its own octets. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pgp_cert_iter it = {data, size, 1795000000};
	const struct cert_key *keys[4];
	struct pgp_cert *c, *again;
	struct err e;
	int r;

	while ((r = pgp_cert_next(&it, &c, &e)) != 0) {
		struct buf merged;

		if (r < 0)
			continue;
		(void)pgp_cert_encryption_keys(c->rec, it.now, keys, 4, &e);
		(void)pgp_cert_signing_key(c->rec, it.now, &e);
		(void)pgp_cert_primary_uid(c->rec, it.now);
		if ((again = pgp_cert_read(c->raw.p, c->raw.n, it.now, &e)) == NULL)
			abort();
		if (again->rec->keys.n != c->rec->keys.n || again->rec->uids.n != c->rec->uids.n)
			abort();
		buf_init(&merged, PGP_CERT_MAX * 2);
		if (pgp_cert_merge(c->raw.p, c->raw.n, again->raw.p, again->raw.n, &merged, &e) <
			0 ||
		    buf_len(&merged) != c->raw.n)
			abort();
		buf_free(&merged);
		pgp_cert_free(again);
		pgp_cert_free(c);
	}
	return 0;
}
