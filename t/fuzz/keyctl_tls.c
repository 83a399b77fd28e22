#include <stdlib.h>
#include <string.h>

#include "keyctl/tlskey.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/*
 * A key file and, behind its first NUL, a certificate.  Without a passphrase: how long its
 * derivation takes is the file's to say, and only the jail's clock ends it.
 */
int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct tls_key_ask a = {.file = {p, n}};
	const uint8_t *nul = n > 0 ? memchr(p, '\0', n) : NULL;
	struct tls_key *k;
	struct buf out;

	if (nul != NULL) {
		a.file.n = (size_t)(nul - p);
		a.chain = (struct bytes){nul + 1, n - a.file.n - 1};
	}
	buf_init(&out, 65536);
	/* What one side encodes the other must take. */
	if (tls_key_read(&a, &out) == -1 ||
	    (k = rec_decode(&rec_tls_key, buf_ptr(&out), buf_len(&out))) == NULL)
		abort();
	free(k);
	buf_wipe_free(&out);
	return 0;
}
