/*
 * Keys and certificates from the command line, for t/golden/cert.sh only.
 *
 *	show FILE [TIME]			what each certificate comes to, one fact per line
 *	make TYPE PASS PUB SEC UID...		ed25519 or rsa; writes both halves, binary
 *	import FILE PASS			what a secret key holds ("-": no passphrase)
 *	export FILE PASS NEWPASS OUT		read a secret key, write it under a new passphrase
 *	revoke FILE PASS FPR REASON TEXT OUT	the certificate with a revocation
 *	merge A B OUT				one certificate from two
 *	uses FILE ADDR [TIME]			keys that mail to an address would use, or why none
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/enc.h"
#include "openpgp/armor.h"
#include "openpgp/certmake.h"
#include "openpgp/params.h"
#include "openpgp/seckey.h"

#define FILE_MAX (16 * 1024 * 1024)

static struct err why;

static void
load(const char *path, struct buf *b)
{
	int fd = open(path, O_RDONLY);
	ssize_t n;
	uint8_t *p;

	if (fd < 0)
		err(1, "%s", path);
	buf_init(b, FILE_MAX);
	while ((p = buf_reserve(b, 65536)) != NULL && (n = read(fd, p, 65536)) > 0)
		buf_added(b, (size_t)n);
	close(fd);
}

/* As load, without armour. */
static void
load_binary(const char *path, struct buf *b)
{
	struct buf text;

	load(path, b);
	if (buf_len(b) > 0 && !pgp_is_binary(buf_ptr(b), buf_len(b))) {
		text = *b;
		buf_init(b, FILE_MAX);
		if (pgp_dearmor(buf_ptr(&text), buf_len(&text), b, NULL, NULL, &why) <= 0)
			errx(1, "%s: %s", path, why.text);
		buf_free(&text);
	}
}

static void
save(const char *path, const struct buf *b)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || write(fd, buf_ptr(b), buf_len(b)) != (ssize_t)buf_len(b))
		err(1, "%s", path);
	close(fd);
}

static void
print_prefs(const char *what, struct bytes b, const char *(*name)(unsigned))
{
	printf("%s", what);
	for (size_t i = 0; i < b.n; i++)
		printf(" %s", name(b.p[i]));
	printf("\n");
}

static void
print_key(const struct cert *c, const struct cert_key *k, uint64_t now)
{
	static const char *const states[] = {"ok", "early", "expired", "revoked"};
	char hex[2 * PGP_FPR_MAX + 1];
	struct pgp_params p;
	unsigned bits = 0;

	if (pgp_params_parse(&p, k->algo, k->params.p, k->params.n, 1, NULL) == 0)
		bits = pgp_params_bits(&p);
	printf("%s %s algo %u bits %u created %llu expires %llu %s %s%s%s%s\n",
	    k == c->keys.v ? "pub" : "sub", hex_encode(hex, k->fpr.p, k->fpr.n), k->algo, bits,
	    (unsigned long long)k->created, (unsigned long long)k->expires,
	    states[pgp_key_state(c, k, now)], k->flags & KEY_ENCRYPT ? "e" : "",
	    k->flags & KEY_SIGN ? "s" : "", k->flags & KEY_CERTIFY ? "c" : "",
	    k->flags & 0x20 ? "a" : "");
}

static int
show(const char *path, uint64_t now)
{
	struct pgp_cert *c;
	struct buf b;
	struct pgp_cert_iter it;
	int r;

	load_binary(path, &b);
	it = (struct pgp_cert_iter){buf_ptr(&b), buf_len(&b), now};
	while ((r = pgp_cert_next(&it, &c, &why)) != 0) {
		if (r < 0) {
			printf("unusable: %s\n", why.text);
			continue;
		}
		for (size_t i = 0; i < c->rec->keys.n; i++)
			print_key(c->rec, &c->rec->keys.v[i], now);
		for (size_t i = 0; i < c->rec->uids.n; i++) {
			const struct cert_uid *u = &c->rec->uids.v[i];

			printf("uid %s%s %s\n", u->revoked ? "revoked" : "ok",
			    u->primary ? "*" : "", u->text);
		}
		print_prefs("ciphers", c->rec->ciphers, pgp_cipher_name);
		print_prefs("hashes", c->rec->hashes, pgp_hash_name);
		print_prefs("compress", c->rec->compress, pgp_comp_name);
		printf("features %u\n", c->rec->features);
		pgp_cert_free(c);
	}
	buf_free(&b);
	return 0;
}

/* The secret operations on keys in this process. */
struct ring {
	struct pgp_skey *keys[CERT_KEYS_MAX];
	size_t n;
};

static int
ring_sign(void *ctx, const uint8_t *fpr, size_t fprlen, unsigned hash, const uint8_t *digest,
    size_t n, struct pgp_sigval *out)
{
	struct ring *r = ctx;
	struct cert_key k;

	for (size_t i = 0; i < r->n; i++) {
		pgp_skey_public(r->keys[i], &k);
		if (k.fpr.n == fprlen && memcmp(k.fpr.p, fpr, fprlen) == 0)
			return pgp_skey_sign(r->keys[i], hash, digest, n, out);
	}
	errno = ENOKEY;
	return -1;
}

static void
write_secret(const struct buf *pub, const struct ring *r, const char *pass, const char *path)
{
	struct buf b;

	buf_init(&b, PGP_SECKEY_MAX);
	if (pgp_seckey_write(buf_ptr(pub), buf_len(pub), r->keys, r->n, pass, &b, &why) < 0)
		errx(1, "%s", why.text);
	save(path, &b);
	buf_wipe_free(&b);
}

static int
make(int argc, char **argv)
{
	static const struct {
		const char *name;
		enum pgp_keytype sign, decrypt;
	} kinds[] = {{"ed25519", PGP_GEN_ED25519, PGP_GEN_CV25519},
	    {"rsa", PGP_GEN_RSA, PGP_GEN_RSA}, {"nistp256", PGP_GEN_P256, PGP_GEN_P256},
	    {"nistp384", PGP_GEN_P384, PGP_GEN_P384}, {"nistp521", PGP_GEN_P521, PGP_GEN_P521},
	    {"brainpoolP256r1", PGP_GEN_BP256, PGP_GEN_BP256},
	    {"brainpoolP384r1", PGP_GEN_BP384, PGP_GEN_BP384},
	    {"brainpoolP512r1", PGP_GEN_BP512, PGP_GEN_BP512}};
	size_t kind = 0;
	static const uint8_t flags[3] = {KEY_CERTIFY, KEY_SIGN, KEY_ENCRYPT};
	uint64_t now = clock_unix();
	struct cert_key pub[3];
	struct ring r = {.n = 3};
	const struct pgp_secret secret = {.sign = ring_sign, .ctx = &r};
	struct pgp_certspec spec = {
	    pub, 3, (const char *const *)argv + 4, (size_t)argc - 4, now, now + 86400 * 365};
	struct buf b;

	while (strcmp(kinds[kind].name, argv[0]) != 0)
		if (++kind == sizeof kinds / sizeof kinds[0])
			errx(2, "%s: no such kind of key", argv[0]);
	buf_init(&b, PGP_CERT_MAX);
	for (int i = 0; i < 3; i++) {
		if ((r.keys[i] = pgp_skey_generate(i == 2 ? kinds[kind].decrypt : kinds[kind].sign,
			 i == 2, now, &why)) == NULL)
			errx(1, "%s", why.text);
		pgp_skey_public(r.keys[i], &pub[i]);
		pub[i].flags = flags[i];
	}
	pub[2].expires = now + 86400 * 200;
	if (pgp_certmake(&spec, &secret, &b, &why) < 0)
		errx(1, "%s", why.text);
	save(argv[2], &b);
	write_secret(&b, &r, argv[1], argv[3]);
	for (int i = 0; i < 3; i++)
		pgp_skey_free(r.keys[i]);
	buf_free(&b);
	return 0;
}

static void
import(const char *path, const char *pass, struct pgp_seckey *s)
{
	struct buf b;

	load(path, &b);
	if (pgp_seckey_read(buf_ptr(&b), buf_len(&b), strcmp(pass, "-") == 0 ? NULL : pass,
		clock_unix(), s, &why) < 0)
		errx(1, "%s", why.text);
	buf_wipe_free(&b);
}

static int
show_secret(const char *path, const char *pass)
{
	struct pgp_seckey s;
	struct cert_key k;
	char hex[2 * PGP_FPR4 + 1];

	import(path, pass, &s);
	for (size_t i = 0; i < s.nkeys; i++) {
		pgp_skey_public(s.keys[i], &k);
		printf("secret %s flags %u\n", hex_encode(hex, k.fpr.p, k.fpr.n), s.flags[i]);
	}
	printf("missing %u unsupported %u\n", s.missing, s.unsupported);
	pgp_seckey_clear(&s);
	return 0;
}

static void
ring_of(const struct pgp_seckey *s, struct ring *r)
{
	r->n = s->nkeys;
	memcpy(r->keys, s->keys, s->nkeys * sizeof s->keys[0]);
}

static int
reexport(char **argv)
{
	struct pgp_seckey s;
	struct ring r;
	struct buf b;

	import(argv[0], argv[1], &s);
	ring_of(&s, &r);
	buf_init(&b, PGP_CERT_MAX);
	if (buf_put(&b, s.cert->raw.p, s.cert->raw.n) < 0)
		err(1, "export");
	write_secret(&b, &r, argv[2], argv[3]);
	buf_free(&b);
	pgp_seckey_clear(&s);
	return 0;
}

static int
revoke_key(char **argv)
{
	struct pgp_seckey s;
	struct ring r;
	const struct pgp_secret secret = {.sign = ring_sign, .ctx = &r};
	struct buf b;
	uint8_t fpr[PGP_FPR4];

	import(argv[0], argv[1], &s);
	ring_of(&s, &r);
	if (hex_decode(fpr, sizeof fpr, argv[2], strlen(argv[2])) != sizeof fpr)
		errx(1, "%s: not a fingerprint", argv[2]);
	buf_init(&b, PGP_CERT_MAX);
	if (pgp_cert_revoke(s.cert->raw.p, s.cert->raw.n, fpr, sizeof fpr,
		(enum pgp_reason)atoi(argv[3]), argv[4], clock_unix(), &secret, &b, &why) < 0)
		errx(1, "%s", why.text);
	save(argv[5], &b);
	buf_free(&b);
	pgp_seckey_clear(&s);
	return 0;
}

static int
merge(char **argv)
{
	struct buf a, b, out;

	load_binary(argv[0], &a);
	load_binary(argv[1], &b);
	buf_init(&out, PGP_CERT_MAX);
	if (pgp_cert_merge(buf_ptr(&a), buf_len(&a), buf_ptr(&b), buf_len(&b), &out, &why) < 0)
		errx(1, "%s", why.text);
	save(argv[2], &out);
	buf_free(&a);
	buf_free(&b);
	buf_free(&out);
	return 0;
}

static bool
has_addr(const struct cert *c, const char *addr, uint64_t now)
{
	for (size_t i = 0; i < c->uids.n; i++) {
		const struct cert_uid *u = &c->uids.v[i];

		if (strcasecmp(u->addr, addr) == 0 && (u->revoked == 0 || now < u->revoked))
			return true;
	}
	return false;
}

static int
uses(const char *path, const char *addr, uint64_t now)
{
	const struct cert_key *keys[8], *s;
	char hex[2 * PGP_FPR_MAX + 1];
	struct pgp_cert *c;
	struct buf b;
	int n;

	load_binary(path, &b);
	if ((c = pgp_cert_read(buf_ptr(&b), buf_len(&b), now, &why)) == NULL)
		errx(1, "%s", why.text);
	if (!has_addr(c->rec, addr, now))
		printf("no such address\n");
	if ((n = pgp_cert_encryption_keys(c->rec, now, keys, 8, &why)) < 0)
		printf("not encrypted: %s\n", why.text);
	for (int i = 0; i < n; i++)
		printf("encrypt %s\n", hex_encode(hex, keys[i]->fpr.p, keys[i]->fpr.n));
	if ((s = pgp_cert_signing_key(c->rec, now, &why)) == NULL)
		printf("not signed: %s\n", why.text);
	else
		printf("sign %s\n", hex_encode(hex, s->fpr.p, s->fpr.n));
	pgp_cert_free(c);
	buf_free(&b);
	return 0;
}

static uint64_t
at(const char *s)
{
	return s == NULL ? clock_unix() : strtoull(s, NULL, 10);
}

int
main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";

	if (strcmp(verb, "show") == 0 && argc >= 3)
		return show(argv[2], at(argv[3]));
	if (strcmp(verb, "make") == 0 && argc >= 7)
		return make(argc - 2, argv + 2);
	if (strcmp(verb, "import") == 0 && argc == 4)
		return show_secret(argv[2], argv[3]);
	if (strcmp(verb, "export") == 0 && argc == 6)
		return reexport(argv + 2);
	if (strcmp(verb, "revoke") == 0 && argc == 8)
		return revoke_key(argv + 2);
	if (strcmp(verb, "merge") == 0 && argc == 5)
		return merge(argv + 2);
	if (strcmp(verb, "uses") == 0 && argc >= 4)
		return uses(argv[2], argv[3], at(argv[4]));
	fprintf(stderr, "usage: pgp_cert show|make|import|export|revoke|merge|uses ...\n");
	return 64;
}
