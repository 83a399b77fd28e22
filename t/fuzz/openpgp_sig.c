#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "openpgp/s2k.h"
#include "openpgp/sig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Signatures and string-to-key specifiers: what is pointed to lies inside. */
static void
inside(const uint8_t *data, size_t size, struct bytes b)
{
	if (b.n > 0 && (b.p < data || b.p + b.n > data + size))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pgp_sig s;
	struct pgp_s2k k;

	if (pgp_s2k_parse(&k, data, size) > (ssize_t)size)
		abort();
	if (pgp_sig_parse(&s, data, size) < 0)
		return 0;
	inside(data, size, s.hashed);
	inside(data, size, s.value);
	inside(data, size, s.embedded);
	inside(data, size, s.issuer_fpr);
	inside(data, size, s.signer_uid);
	inside(data, size, s.ciphers);
	inside(data, size, s.hashes);
	inside(data, size, s.compress);
	return 0;
}
