#include <errno.h>
#include <string.h>

#include "openpgp/tpk.h"

/* The first certificate of a range. */
static int
read_one(struct tpk *t, const void *p, size_t n, struct err *e)
{
	struct bytes in = {p, n};
	int r = tpk_read(t, &in, e);

	return r == 0 ? err_set(e, EBADMSG, "no certificate in it") : r;
}

int
pgp_cert_merge(
    const void *old, size_t oldlen, const void *add, size_t addlen, struct buf *out, struct err *e)
{
	struct tpk a = {0}, b = {0};
	int r = -1;

	if (read_one(&a, old, oldlen, e) < 0 || read_one(&b, add, addlen, e) < 0)
		goto out;
	if (a.comps[0].body.n != b.comps[0].body.n ||
	    memcmp(a.comps[0].body.p, b.comps[0].body.p, a.comps[0].body.n) != 0) {
		err_set(e, EINVAL, "certificates of different keys cannot be merged");
		goto out;
	}
	for (int i = 0; i < b.ncomps; i++) {
		int c = tpk_add_comp(&a, b.comps[i].tag, b.comps[i].body);

		for (int s = b.comps[i].first; c >= 0 && s >= 0; s = b.sigs[s].next)
			if (tpk_add_sig(&a, c, b.sigs[s].body) < 0)
				c = -1;
		if (c < 0) {
			err_sys(e, "certificate");
			goto out;
		}
	}
	if (tpk_write(&a, out) < 0) {
		err_sys(e, "certificate");
		goto out;
	}
	r = 0;
out:
	tpk_free(&a);
	tpk_free(&b);
	return r;
}
