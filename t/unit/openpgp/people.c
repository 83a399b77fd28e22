#include "t/unit/openpgp/people.h"

#include <errno.h>
#include <string.h>

#include "openpgp/cert.h"
#include "t/unit/unit.h"

struct person people[PEOPLE];
int secret_errno;
struct pgp_signer signer_of[PEOPLE];
struct pgp_recipient recipient_of[PEOPLE];
const struct cert_key *const key_of[PEOPLE] = {
    [ALICE] = &people[ALICE].keys[1],
    [BOB] = &people[BOB].keys[1],
    [CAROL] = &people[CAROL].keys[1],
    [ROBERT] = &people[ROBERT].keys[1],
};

static struct pgp_skey *
secret_key(const uint8_t *fpr, size_t n)
{
	unsigned i, k;

	if (secret_errno != 0) {
		errno = secret_errno;
		return NULL;
	}
	for (i = 0; i < PEOPLE; i++) {
		for (k = 0; k < 2; k++) {
			if (people[i].keys[k].fpr.n == n &&
			    memcmp(people[i].keys[k].fpr.p, fpr, n) == 0)
				return k == 0 ? people[i].sign : people[i].encrypt;
		}
	}
	errno = ENOKEY;
	return NULL;
}

static int
do_sign(void *ctx, const uint8_t *fpr, size_t fprlen, unsigned hash, const uint8_t *digest,
    size_t n, struct pgp_sigval *out)
{
	struct pgp_skey *k = secret_key(fpr, fprlen);

	(void)ctx;
	return k == NULL ? -1 : pgp_skey_sign(k, hash, digest, n, out);
}

static int
do_unwrap(void *ctx, const uint8_t *fpr, size_t fprlen, const uint8_t *esk, size_t n,
    struct pgp_session_key *out)
{
	struct pgp_skey *k = secret_key(fpr, fprlen);

	(void)ctx;
	return k == NULL ? -1 : pgp_skey_unwrap(k, esk, n, out);
}

const struct pgp_secret secret = {do_sign, do_unwrap, NULL};

static const struct cert *
find_cert(void *ctx, const uint8_t keyid[8], const uint8_t *fpr, size_t fprlen)
{
	unsigned i;

	(void)ctx;
	for (i = 0; i < PEOPLE; i++) {
		if (pgp_cert_find(&people[i].cert, fprlen ? fpr : keyid, fprlen ? fprlen : 8))
			return &people[i].cert;
	}
	return NULL;
}

const struct pgp_certs certs = {find_cert, NULL};

static void
make_person(enum who who)
{
	static const uint8_t ciphers[] = {9, 8, 7}, hashes[] = {8, 10};
	struct person *p = &people[who];

	p->sign = pgp_skey_generate(who == ROBERT ? PGP_GEN_RSA : PGP_GEN_ED25519, 0, MADE, NULL);
	p->encrypt = who == ROBERT ? p->sign : pgp_skey_generate(PGP_GEN_CV25519, 0, MADE, NULL);
	if (p->sign == NULL || p->encrypt == NULL)
		abort();
	pgp_skey_public(p->sign, &p->keys[0]);
	pgp_skey_public(p->encrypt, &p->keys[1]);
	p->keys[0].flags = KEY_CERTIFY | KEY_SIGN;
	p->keys[1].flags = KEY_ENCRYPT;
	p->cert.keys.v = p->keys;
	p->cert.keys.n = 2;
	p->cert.ciphers = (struct bytes){ciphers, sizeof ciphers};
	p->cert.hashes = (struct bytes){hashes, sizeof hashes};
	signer_of[who] = (struct pgp_signer){&p->keys[0], NULL};
	recipient_of[who] = (struct pgp_recipient){&p->cert, &p->keys[1]};
}

void
people_make(void)
{
	unsigned i;

	for (i = 0; i < PEOPLE && people[i].sign == NULL; i++)
		make_person((enum who)i);
}

void
mail_init(struct mail *m)
{
	buf_init(&m->b, 64 << 20);
	m->to = sink_buf(&m->b);
}

void
mail_free(struct mail *m)
{
	buf_free(&m->b);
}

void
people_encrypt(
    struct mail *m, const struct pgp_encrypt_params *p, const void *data, size_t n, size_t step)
{
	const uint8_t *from = data;
	struct pgp_encrypt *w;
	struct err e = {0};
	size_t k;

	mail_init(m);
	w = pgp_encrypt_open(p, &m->to, &e);
	ck_assert_msg(w != NULL, "%s", e.text);
	for (; n > 0; from += k, n -= k) {
		k = n < step ? n : step;
		ck_assert_int_eq(pgp_encrypt_write(w, from, k), 0);
	}
	ck_assert_msg(pgp_encrypt_close(w, &e) == 0, "%s", e.text);
}

int
people_decrypt(struct mail *out, const void *p, size_t n, enum who who, struct pgp_result *r)
{
	struct pgp_decrypt_params params = {
	    .secret = &secret, .certs = &certs, .now = NOW, .max_size = 64 << 20, .max_ratio = 200};
	struct octets in = octets_mem(p, n);
	struct err e = {0};
	int rc;

	if (who < PEOPLE) {
		params.keys = &key_of[who];
		params.nkeys = 1;
	}
	mail_init(out);
	rc = pgp_decrypt(&in, &params, &out->to, r, &e);
	ck_assert_int_eq(rc == 0, r->status == PGP_OK);
	ck_assert_int_eq(rc == 0, e.code == 0);
	return rc;
}
