#include "filterd/sticky.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

#include "base/enc.h"

#define VERSION 1

/* version, signature, octets of the signer's field (big-endian), SHA-256 of the stored message */
enum { AT_VERSION, AT_SIGNATURE, AT_SIGNER, AT_DIGEST = 4 };

static int
hash_more(void *ctx, const void *p, size_t n)
{
	if (EVP_DigestUpdate(ctx, p, n) == 1)
		return 0;
	errno = ENOMEM;
	return -1;
}

int
sticky_digest(struct reading *r)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	struct sink to = {hash_more, md};
	int rc = -1;

	if (md == NULL || EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1)
		errno = ENOMEM;
	else if (sink_copy(&to, &r->in, 0, r->in.size) == 0) {
		rc = EVP_DigestFinal_ex(md, r->digest, NULL) == 1 ? 0 : -1;
		errno = ENOMEM;
	}
	EVP_MD_CTX_free(md);
	return rc;
}

void
sticky_take(struct reading *r, struct bytes record)
{
	const uint8_t *p = record.p;
	uint16_t len;

	if (record.n != STICKY_LEN || p[AT_VERSION] != VERSION ||
	    p[AT_SIGNATURE] > MAIL_SIG_DAMAGED ||
	    memcmp(p + AT_DIGEST, r->digest, sizeof r->digest) != 0)
		return;
	len = (uint16_t)(p[AT_SIGNER] << 8 | p[AT_SIGNER + 1]);
	if (len != 0 && (len < MAIL_SIGNER_MIN || len > MAIL_SIGNER_MAX))
		return;
	r->stuck = 1;
	r->stuck_signature = (enum mail_signature)p[AT_SIGNATURE];
	r->signer_len = len;
}

size_t
sticky_make(const struct reading *r, uint8_t *out)
{
	if (r->foreign)
		return 0;
	out[AT_VERSION] = VERSION;
	out[AT_SIGNATURE] = (uint8_t)r->verdict.signature;
	out[AT_SIGNER] = (uint8_t)(r->signer_len >> 8);
	out[AT_SIGNER + 1] = (uint8_t)r->signer_len;
	memcpy(out + AT_DIGEST, r->digest, sizeof r->digest);
	return STICKY_LEN;
}
