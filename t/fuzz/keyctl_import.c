#include <stdlib.h>

#include "keyctl/imported.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* Secret keys as a file holds them; one octet in front chooses which and whether with passphrase.
 */
int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct import_ask a = {.now = 1790000000};
	struct buf out;

	if (n == 0)
		return 0;
	a.index = p[0] & 3;
	a.pass = (p[0] & 4) != 0 ? "pass" : NULL;
	a.p = p + 1;
	a.n = n - 1;
	buf_init(&out, 4 << 20);
	if (import_read(&a, &out) == 0) {
		struct imported *im = rec_decode(&rec_imported, buf_ptr(&out), buf_len(&out));
		uint8_t uses[CERT_KEYS_MAX];

		/* What one side encodes the other must take. */
		if (im == NULL)
			abort();
		import_uses(im, uses);
		free(im);
	}
	buf_wipe_free(&out);
	return 0;
}
