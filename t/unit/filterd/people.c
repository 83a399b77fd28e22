#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "openpgp/armor.h"
#include "openpgp/cert.h"
#include "openpgp/detached.h"
#include "t/unit/filterd/harness.h"

#define AGE 1000000 /* seconds since the keys were made */

struct person people[PEOPLE] = {
    [ALICE] = {.addr = "alice@our.example"},
    [CHIEF] = {.addr = "chief@our.example"},
    [BOB] = {.addr = "bob@partner.example"},
    [CAROL] = {.addr = "carol@partner.example"},
    [ERIN] = {.addr = "erin@partner.example"},
    [RITA] = {.addr = "rita@partner.example"},
    [MALLORY] = {.addr = "mallory@evil.example"},
};

static void
make(struct person *p)
{
	static const uint8_t ciphers[] = {9, 8, 7}, hashes[] = {8, 10}, compress[] = {2, 1};

	p->sign = pgp_skey_generate(PGP_GEN_ED25519, 0, clock_unix() - AGE, NULL);
	p->encrypt = pgp_skey_generate(PGP_GEN_CV25519, 0, clock_unix() - AGE, NULL);
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
	p->cert.compress = (struct bytes){compress, sizeof compress};
	p->cert.features = 1;
	p->mailbox.addr = p->addr;
}

void
people_make(void)
{
	unsigned i;

	for (i = 0; i < PEOPLE; i++)
		make(&people[i]);
	people[ERIN].keys[0].expires = clock_unix() - AGE / 2;
	people[RITA].keys[0].revoked = 1;
}

static struct pgp_skey *
secret_key(const uint8_t *fpr, size_t n)
{
	unsigned i, k;

	for (i = 0; i < PEOPLE; i++)
		for (k = 0; k < 2; k++)
			if (people[i].keys[k].fpr.n == n &&
			    memcmp(people[i].keys[k].fpr.p, fpr, n) == 0)
				return k == 0 ? people[i].sign : people[i].encrypt;
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

const struct pgp_secret own_secret = {do_sign, do_unwrap, NULL};

static const struct cert *
find(void *ctx, const uint8_t keyid[8], const uint8_t *fpr, size_t fprlen)
{
	unsigned i;

	(void)ctx;
	for (i = 0; i < PEOPLE; i++)
		if (pgp_cert_find(&people[i].cert, fprlen ? fpr : keyid, fprlen ? fprlen : 8))
			return &people[i].cert;
	return NULL;
}

const struct pgp_certs own_certs = {find, NULL};

void
encrypted(struct buf *out, const enum who *to, enum who signer, const void *text, size_t n,
    const struct pgp_encrypt_params *more)
{
	struct pgp_encrypt_params p = {0};
	struct pgp_recipient r[PEOPLE];
	struct pgp_signer s = {0};
	struct sink sink = sink_buf(out);
	struct pgp_encrypt *w;
	struct err e = {0};

	if (more != NULL)
		p = *more;
	else
		p.armor = true;
	for (; to[p.nto] != NOBODY; p.nto++)
		r[p.nto] =
		    (struct pgp_recipient){&people[to[p.nto]].cert, &people[to[p.nto]].keys[1]};
	p.to = r;
	p.now = clock_unix() - (signer == ERIN ? AGE / 4 : 0);
	if (signer < PEOPLE) {
		s.key = &people[signer].keys[0];
		p.signers = &s;
		p.nsigners = 1;
		p.secret = &own_secret;
	}
	w = pgp_encrypt_open(&p, &sink, &e);
	ck_assert_msg(w != NULL, "%s", e.text);
	ck_assert_int_eq(pgp_encrypt_write(w, text, n), 0);
	ck_assert_msg(pgp_encrypt_close(w, &e) == 0, "%s", e.text);
}

void
pgp_mime(struct buf *out, const char *header, const struct buf *armour)
{
	buf_printf(out,
	    "%sMIME-Version: 1.0\r\nContent-Type: multipart/encrypted;\r\n"
	    " protocol=\"application/pgp-encrypted\"; boundary=xx\r\n\r\n"
	    "--xx\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n\r\n"
	    "--xx\r\nContent-Type: application/octet-stream\r\n\r\n",
	    header);
	buf_put(out, buf_ptr(armour), buf_len(armour));
	buf_puts(out, "\r\n--xx--\r\n");
}

void
stored(struct buf *m, const char *header, const enum who *to, enum who signer, const char *text)
{
	struct buf a;

	buf_init(&a, 1 << 20);
	buf_init(m, 1 << 20);
	encrypted(&a, to, signer, text, strlen(text), NULL);
	pgp_mime(m, header, &a);
	buf_free(&a);
}

/* Append the armoured signature of this; text: whose line ends do not count. */
static void
sign(struct buf *out, const char *signed_text, enum who signer, bool text)
{
	struct pgp_signer s = {.key = &people[signer].keys[0]};
	struct pgp_sign_params p = {.signers = &s,
	    .nsigners = 1,
	    .secret = &own_secret,
	    .hash = 8,
	    .text = text,
	    .armor = true,
	    .now = clock_unix() - (signer == ERIN ? AGE / 4 : 0)};
	struct sink to = sink_buf(out);
	struct err e = {0};
	struct pgp_sign *w = pgp_sign_open(&p, &e);

	ck_assert_msg(w != NULL, "%s", e.text);
	ck_assert_int_eq(pgp_sign_write(w, signed_text, strlen(signed_text)), 0);
	ck_assert_msg(pgp_sign_close(w, &to, &e) == 0, "%s", e.text);
}

void
clear_signed(struct buf *out, const char *shown, const char *signed_text, enum who signer)
{
	buf_printf(out, "-----BEGIN PGP SIGNED MESSAGE-----\r\nHash: SHA256\r\n\r\n%s\r\n", shown);
	sign(out, signed_text, signer, true);
}

void
signed_mime(struct buf *out, const char *header, const char *entity, enum who signer, int alter)
{
	buf_printf(out,
	    "%sMIME-Version: 1.0\r\nContent-Type: multipart/signed; micalg=pgp-sha256;\r\n"
	    " protocol=\"application/pgp-signature\"; boundary=yy\r\n\r\n--yy\r\n%s%s\r\n--yy\r\n"
	    "Content-Type: application/pgp-signature\r\n\r\n",
	    header, entity, alter ? "!" : "");
	sign(out, entity, signer, false);
	buf_puts(out, "\r\n--yy--\r\n");
}
