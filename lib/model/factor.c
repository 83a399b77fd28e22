#include "model/factor.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

void
factor_password(char out[FACTOR_TEXT_LEN + 1])
{
	/* Without those that are mistaken for others: 0 o, 1 l. */
	static const char letters[32] = "abcdefghijkmnpqrstuvwxyz23456789";
	uint8_t r[FACTOR_LETTERS];
	unsigned i;
	char *p = out;

	arc4random_buf(r, sizeof r);
	for (i = 0; i < FACTOR_LETTERS; i++) {
		if (i > 0 && i % 5 == 0 && i < 25)
			*p++ = '-';
		*p++ = letters[r[i] % 32];
	}
	*p = '\0';
	explicit_bzero(r, sizeof r);
}

static int
digest(uint8_t out[32], const uint8_t *salt, const char *secret)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	int ok = md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 &&
		 EVP_DigestUpdate(md, salt, FACTOR_SALT_LEN) == 1 &&
		 EVP_DigestUpdate(md, secret, strlen(secret)) == 1 &&
		 EVP_DigestFinal_ex(md, out, NULL) == 1;

	EVP_MD_CTX_free(md);
	if (!ok)
		errno = ENOMEM;
	return ok ? 0 : -1;
}

int
factor_hash(uint8_t out[FACTOR_HASH_LEN], const char *secret)
{
	arc4random_buf(out, FACTOR_SALT_LEN);
	return digest(out + FACTOR_SALT_LEN, out, secret);
}

int
factor_match(struct bytes stored, const char *secret)
{
	static const uint8_t none[FACTOR_HASH_LEN];
	const uint8_t *p = stored.n == FACTOR_HASH_LEN ? stored.p : none;
	uint8_t sum[32];
	int same;

	if (digest(sum, p, secret) == -1)
		return 0;
	same = CRYPTO_memcmp(sum, p + FACTOR_SALT_LEN, sizeof sum) == 0;
	explicit_bzero(sum, sizeof sum);
	return same && p != none;
}

void
phrase_make(char out[PHRASE_LEN + 1])
{
	static const char consonants[16] = "bdfghklmnprstvwz", vowels[4] = "aiou";
	uint8_t r[PHRASE_LEN / 2];
	unsigned i;

	arc4random_buf(r, sizeof r);
	for (i = 0; i < PHRASE_LEN / 2; i++) {
		out[2 * i] = consonants[r[i] % 16];
		out[2 * i + 1] = vowels[r[i] / 16 % 4];
	}
	out[PHRASE_LEN] = '\0';
}
