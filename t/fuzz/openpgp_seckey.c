#include <stddef.h>
#include <stdint.h>

#include "openpgp/seckey.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pgp_seckey s;
	struct err e;

	/* without a passphrase: hashing one takes most of a second */
	if (pgp_seckey_read(data, size, NULL, 1795000000, &s, &e) == 0)
		pgp_seckey_clear(&s);
	return 0;
}
