#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/enc.h"
#include "openpgp/algo.h"
#include "openpgp/armor.h"
#include "openpgp/cert.h"
#include "openpgp/decrypt.h"
#include "openpgp/detached.h"
#include "openpgp/seckey.h"

/*
 * The message engine on the command line, with keys from files, for comparison with other
 * implementations.  See message.sh.
 */
#define KEYS_MAX 64
#define CERTS_MAX 32
#define FILE_MAX (1024 * 1024) /* of a key or signature */
#define CHUNK 100000 /* plaintext is fed by this many octets */

static struct {
	struct pgp_cert *certs[CERTS_MAX];
	unsigned ncerts;
	struct pgp_seckey secrets[CERTS_MAX];
	unsigned nsecrets;
	struct cert_key pub[KEYS_MAX]; /* of all secret keys */
	const struct cert_key *pubs[KEYS_MAX];
	struct pgp_skey *keys[KEYS_MAX];
	size_t nkeys;
	struct cert_key signers[CERTS_MAX];
	unsigned nsigners;
	const char *pass, *name;
	bool armor, text, known;
	uint8_t compress, hash;
	uint64_t max_size;
	unsigned max_ratio;
} o;

static void
load(const char *path, struct buf *out)
{
	struct buf raw;
	FILE *f = fopen(path, "r");
	uint8_t *p;
	size_t n;

	buf_init(&raw, FILE_MAX);
	buf_init(out, FILE_MAX);
	if (f == NULL || (p = buf_reserve(&raw, FILE_MAX)) == NULL)
		err(1, "%s", path);
	n = fread(p, 1, FILE_MAX, f);
	buf_added(&raw, n);
	(void)fclose(f);
	if (pgp_is_binary(p, n)) {
		*out = raw;
		return;
	}
	if (pgp_dearmor(p, n, out, NULL, NULL, NULL) != 1)
		errx(1, "%s: no armour in there", path);
	buf_free(&raw);
}

static void
add_cert(const char *path)
{
	struct pgp_cert_iter it;
	struct buf b;
	struct err e;
	int rc;

	load(path, &b);
	it = (struct pgp_cert_iter){buf_ptr(&b), buf_len(&b), clock_unix()};
	while (o.ncerts < CERTS_MAX && (rc = pgp_cert_next(&it, &o.certs[o.ncerts], &e)) != 0) {
		if (rc == -1)
			errx(1, "%s: %s", path, e.text);
		o.ncerts++;
	}
	buf_free(&b);
}

static struct pgp_seckey *
add_secret(const char *path)
{
	struct pgp_seckey *s = &o.secrets[o.nsecrets];
	struct buf b;
	struct err e;
	size_t i;

	load(path, &b);
	if (o.nsecrets == CERTS_MAX ||
	    pgp_seckey_read(buf_ptr(&b), buf_len(&b), o.pass, clock_unix(), s, &e) == -1)
		errx(1, "%s: %s", path, e.text);
	o.nsecrets++;
	for (i = 0; i < s->nkeys && o.nkeys < KEYS_MAX; i++, o.nkeys++) {
		o.keys[o.nkeys] = s->keys[i];
		pgp_skey_public(s->keys[i], &o.pub[o.nkeys]);
		o.pub[o.nkeys].flags = s->flags[i];
		o.pubs[o.nkeys] = &o.pub[o.nkeys];
	}
	buf_wipe_free(&b);
	return s;
}

static void
add_signer(const char *path)
{
	size_t first = o.nkeys, i;

	(void)add_secret(path);
	for (i = o.nkeys; i-- > first;) {
		if (o.pub[i].flags & KEY_SIGN) {
			o.signers[o.nsigners++] = o.pub[i];
			return;
		}
	}
	errx(1, "%s: no signing key", path);
}

static struct pgp_skey *
secret_key(const uint8_t *fpr, size_t n)
{
	size_t i;

	for (i = 0; i < o.nkeys; i++) {
		if (o.pub[i].fpr.n == n && memcmp(o.pub[i].fpr.p, fpr, n) == 0)
			return o.keys[i];
	}
	errno = ENOKEY;
	return NULL;
}

static int
secret_sign(void *ctx, const uint8_t *fpr, size_t fprlen, unsigned hash, const uint8_t *digest,
    size_t n, struct pgp_sigval *out)
{
	struct pgp_skey *k = secret_key(fpr, fprlen);

	(void)ctx;
	return k == NULL ? -1 : pgp_skey_sign(k, hash, digest, n, out);
}

static int
secret_unwrap(void *ctx, const uint8_t *fpr, size_t fprlen, const uint8_t *esk, size_t n,
    struct pgp_session_key *out)
{
	struct pgp_skey *k = secret_key(fpr, fprlen);

	(void)ctx;
	return k == NULL ? -1 : pgp_skey_unwrap(k, esk, n, out);
}

static const struct pgp_secret secret = {secret_sign, secret_unwrap, NULL};

static const struct cert *
find_cert(void *ctx, const uint8_t keyid[8], const uint8_t *fpr, size_t fprlen)
{
	unsigned i;

	(void)ctx;
	for (i = 0; i < o.ncerts; i++) {
		if (pgp_cert_find(o.certs[i]->rec, fprlen ? fpr : keyid, fprlen ? fprlen : 8))
			return o.certs[i]->rec;
	}
	return NULL;
}

static const struct pgp_certs certs = {find_cert, NULL};

static int
file_write(void *ctx, const void *p, size_t n)
{
	return fwrite(p, 1, n, ctx) == n ? 0 : -1;
}

static ssize_t
file_pread(void *ctx, void *p, size_t n, uint64_t off)
{
	return pread(*(int *)ctx, p, n, (off_t)off);
}

static struct octets
open_octets(const char *path, int *fd)
{
	struct stat st;

	if ((*fd = open(path, O_RDONLY | O_CLOEXEC)) == -1 || fstat(*fd, &st) == -1)
		err(1, "%s", path);
	return (struct octets){.size = (uint64_t)st.st_size, .pread = file_pread, .ctx = fd};
}

static FILE *
create(const char *path)
{
	FILE *f = fopen(path, "w");

	if (f == NULL)
		err(1, "%s", path);
	return f;
}

static void
show(const struct pgp_result *r)
{
	char hex[65];
	unsigned i;

	printf("status %s\n", pgp_status_name(r->status));
	printf("encrypted %d integrity %d compressed %d cipher %s\n", r->encrypted, r->integrity,
	    r->compressed, r->cipher ? pgp_cipher_name(r->cipher) : "none");
	printf("mode %c name %s size %llu\n", r->mode ? r->mode : '-',
	    r->filename_len ? r->filename : "-", (unsigned long long)r->size);
	for (i = 0; i < r->nsigs; i++)
		printf("signature %s %s %s\n", pgp_sig_state_name(r->sigs[i].state),
		    pgp_hash_name(r->sigs[i].hash),
		    r->sigs[i].primary_len
			? hex_encode(hex, r->sigs[i].primary, r->sigs[i].primary_len)
			: hex_encode(hex, r->sigs[i].keyid, 8));
}

static void
feed(const char *path, int (*write)(void *, const void *, size_t), void *to)
{
	static uint8_t chunk[CHUNK];
	FILE *f = fopen(path, "r");
	size_t n;

	if (f == NULL)
		err(1, "%s", path);
	while ((n = fread(chunk, 1, sizeof chunk, f)) > 0) {
		if (write(to, chunk, n) == -1)
			err(1, "writing");
	}
	(void)fclose(f);
}

static int
encrypt_write(void *w, const void *p, size_t n)
{
	return pgp_encrypt_write(w, p, n);
}

static int
cmd_encrypt(char **arg)
{
	struct pgp_signer signers[CERTS_MAX];
	struct pgp_recipient to[CERTS_MAX];
	struct pgp_encrypt_params p = {.to = to, .signers = signers, .secret = &secret};
	FILE *f = create(arg[1]);
	struct sink out = {file_write, f};
	struct pgp_encrypt *w;
	struct stat st;
	struct err e;
	unsigned i;

	for (i = 0; i < o.ncerts; i++) {
		to[i].cert = o.certs[i]->rec;
		if (pgp_cert_encryption_keys(to[i].cert, clock_unix(), &to[i].key, 1, &e) == -1)
			errx(1, "%s", e.text);
	}
	for (i = 0; i < o.nsigners; i++)
		signers[i] = (struct pgp_signer){&o.signers[i], NULL};
	p.nto = o.ncerts;
	p.nsigners = o.nsigners;
	p.armor = o.armor;
	p.text = o.text;
	p.compress = o.compress;
	p.hash = o.hash;
	p.filename = o.name;
	p.now = clock_unix();
	if (o.known) {
		if (stat(arg[0], &st) == -1)
			err(1, "%s", arg[0]);
		p.size_known = true;
		p.size = (uint64_t)st.st_size;
	}
	if ((w = pgp_encrypt_open(&p, &out, &e)) == NULL)
		errx(1, "%s", e.text);
	feed(arg[0], encrypt_write, w);
	if (pgp_encrypt_close(w, &e) == -1)
		errx(1, "%s", e.text);
	return fclose(f) == 0 ? 0 : 1;
}

static int
cmd_decrypt(char **arg)
{
	struct pgp_decrypt_params p = {.keys = o.pubs,
	    .nkeys = o.nkeys,
	    .secret = &secret,
	    .certs = &certs,
	    .now = clock_unix(),
	    .max_size = o.max_size,
	    .max_ratio = o.max_ratio};
	FILE *f = create(arg[1]);
	struct sink out = {file_write, f};
	struct pgp_result r;
	struct octets in;
	struct err e;
	int fd, rc;

	in = open_octets(arg[0], &fd);
	rc = pgp_decrypt(&in, &p, &out, &r, &e);
	if (fclose(f) != 0)
		err(1, "%s", arg[1]);
	show(&r);
	if (rc == -1)
		warnx("%s", e.text);
	(void)close(fd);
	return rc == 0 ? 0 : 1;
}

static int
sign_write(void *s, const void *p, size_t n)
{
	return pgp_sign_write(s, p, n);
}

static int
cmd_sign(char **arg)
{
	struct pgp_signer signers[CERTS_MAX];
	struct pgp_sign_params p = {.signers = signers,
	    .nsigners = o.nsigners,
	    .secret = &secret,
	    .hash = o.hash,
	    .text = o.text,
	    .armor = o.armor,
	    .now = clock_unix()};
	FILE *f = create(arg[1]);
	struct sink out = {file_write, f};
	struct pgp_sign *s;
	struct err e;
	unsigned i;

	for (i = 0; i < o.nsigners; i++)
		signers[i] = (struct pgp_signer){&o.signers[i], NULL};
	if ((s = pgp_sign_open(&p, &e)) == NULL)
		errx(1, "%s", e.text);
	feed(arg[0], sign_write, s);
	if (pgp_sign_close(s, &out, &e) == -1)
		errx(1, "%s", e.text);
	return fclose(f) == 0 ? 0 : 1;
}

static int
cmd_verify(char **arg)
{
	struct pgp_result r;
	struct octets data;
	struct buf sig;
	struct err e;
	int fd, rc;

	load(arg[0], &sig);
	data = open_octets(arg[1], &fd);
	rc = pgp_verify_octets(
	    buf_ptr(&sig), buf_len(&sig), &data, 0, data.size, &certs, clock_unix(), &r, &e);
	show(&r);
	if (rc == -1)
		warnx("%s", e.text);
	buf_free(&sig);
	(void)close(fd);
	return rc == 0 ? 0 : 1;
}

static int
cmd_clearverify(char **arg)
{
	FILE *f = create(arg[1]);
	struct sink out = {file_write, f};
	struct pgp_result r;
	struct octets in;
	struct err e;
	int fd, rc;

	in = open_octets(arg[0], &fd);
	rc = pgp_clear_verify(&in, &certs, clock_unix(), &out, &r, &e);
	if (fclose(f) != 0)
		err(1, "%s", arg[1]);
	show(&r);
	if (rc == -1)
		warnx("%s", e.text);
	(void)close(fd);
	return rc == 0 ? 0 : 1;
}

static const struct {
	const char *name;
	int (*run)(char **arg);
} verbs[] = {
    {"encrypt", cmd_encrypt}, /* IN OUT: -r and -s */
    {"decrypt", cmd_decrypt}, /* IN OUT: -k and -c */
    {"sign", cmd_sign}, /* IN OUT: -s */
    {"verify", cmd_verify}, /* SIGNATURE DATA: -c */
    {"clearverify", cmd_clearverify}, /* IN OUT: -c */
};

static void
option(int c)
{
	switch (c) {
	case 'r':
	case 'c':
		add_cert(optarg);
		break;
	case 's':
		add_signer(optarg);
		break;
	case 'k':
		(void)add_secret(optarg);
		break;
	case 'p':
		o.pass = optarg;
		break;
	case 'a':
		o.armor = true;
		break;
	case 't':
		o.text = true;
		break;
	case 'n':
		o.known = true;
		break;
	case 'f':
		o.name = optarg;
		break;
	case 'z':
		o.compress = (uint8_t)atoi(optarg);
		break;
	case 'h':
		o.hash = (uint8_t)atoi(optarg);
		break;
	case 'm':
		o.max_size = strtoull(optarg, NULL, 10);
		break;
	case 'x':
		o.max_ratio = (unsigned)atoi(optarg);
		break;
	default:
		exit(64);
	}
}

static void
clean_up(void)
{
	unsigned i;

	for (i = 0; i < o.ncerts; i++)
		pgp_cert_free(o.certs[i]);
	for (i = 0; i < o.nsecrets; i++)
		pgp_seckey_clear(&o.secrets[i]);
}

int
main(int argc, char *argv[])
{
	size_t i;
	int c, rc;

	for (i = 0; argc > 1 && i < sizeof verbs / sizeof verbs[0]; i++) {
		if (strcmp(argv[1], verbs[i].name) != 0)
			continue;
		argc--;
		argv++;
		while ((c = getopt(argc, argv, "r:c:s:k:p:atnf:z:h:m:x:")) != -1)
			option(c);
		if (argc - optind != 2)
			break;
		rc = verbs[i].run(argv + optind);
		clean_up();
		return rc;
	}
	(void)fprintf(stderr, "usage: pgp_message encrypt|decrypt|sign|verify|clearverify "
			      "[options] FILE FILE\n");
	return 64;
}
