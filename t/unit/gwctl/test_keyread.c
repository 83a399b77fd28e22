/* Reading certificates of other people's making. */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "gwctl/keys.h"
#include "openpgp/algo.h"
#include "openpgp/armor.h"
#include "openpgp/cert.h"
#include "openpgp/certmake.h"
#include "openpgp/skey.h"
#include "proc/jail.h"
#include "t/unit/gwctl/tool.h"

Suite *keyread_suite(void);

#define NOW 1800000000
#define OUT_MAX (16 * 1024 * 1024)

static struct pgp_skey *primary;

static int
sign_by_hand(void *ctx, const uint8_t *fpr, size_t fprlen, unsigned hash, const uint8_t *digest,
    size_t n, struct pgp_sigval *out)
{
	(void)ctx;
	(void)fpr;
	(void)fprlen;
	return pgp_skey_sign(primary, hash, digest, n, out);
}

/* Append a certificate; a new key unless the old one is to be kept. */
static void
add_cert(struct buf *out, const char *uid, int keep)
{
	const struct pgp_secret by_hand = {.sign = sign_by_hand};
	struct cert_key k;
	struct pgp_certspec spec = {
	    .keys = &k, .nkeys = 1, .uids = &uid, .nuids = 1, .created = NOW - 100};
	struct err e = {0};

	ck_assert_int_eq(pgp_algo_init(), 0);
	if (primary != NULL && !keep) {
		pgp_skey_free(primary);
		primary = NULL;
	}
	if (primary == NULL)
		primary = pgp_skey_generate(PGP_GEN_ED25519, 0, NOW - 100, &e);
	ck_assert_ptr_nonnull(primary);
	pgp_skey_public(primary, &k);
	k.flags = KEY_CERTIFY | KEY_SIGN;
	ck_assert_msg(pgp_certmake(&spec, &by_hand, out, &e) == 0, "%s", e.text);
}

static void
armour(struct buf *out, const struct buf *in, enum pgp_armor_type type)
{
	const struct sink to = sink_buf(out);
	struct pgp_armor a;

	ck_assert_int_eq(pgp_armor_open(&a, type, &to), 0);
	ck_assert_int_eq(pgp_armor_write(&a, buf_ptr(in), buf_len(in)), 0);
	ck_assert_int_eq(pgp_armor_close(&a), 0);
}

/* A build without sandbox says so in every jail. */
static void
quiet(enum log_level level, const char *line, void *arg)
{
	(void)level;
	(void)line;
	(void)arg;
}

/* One run over these octets; give the result to free and mem to buf_free. */
static struct read_certs *
run(const void *p, size_t n, uint64_t from, struct buf *mem)
{
	struct keyread job = {.p = p, .n = n, .from = from, .now = NOW};
	struct read_certs *r;
	struct err e = {0};

	log_set_sink(quiet, NULL);
	buf_init(mem, OUT_MAX);
	ck_assert_msg(jail_run(keyread_run, &job, "test", mem, &e) == 0, "%s", e.text);
	r = rec_decode(&rec_read_certs, buf_ptr(mem), buf_len(mem));
	ck_assert_ptr_nonnull(r);
	return r;
}

START_TEST(reads_armoured_and_binary_files_of_several)
{
	struct buf one, two, text, mem;
	struct read_certs *r;
	size_t i;

	buf_init(&one, OUT_MAX);
	buf_init(&two, OUT_MAX);
	buf_init(&text, OUT_MAX);
	add_cert(&one, "One <one@x.test>", 0);
	add_cert(&one, "Two <two@x.test>", 0);
	add_cert(&two, "Three <three@x.test>", 0);
	ck_assert_int_eq(buf_puts(&text, "Here are my keys:\n\n"), 0);
	armour(&text, &one, PGP_ARMOR_PUBLIC_KEY);
	ck_assert_int_eq(buf_puts(&text, "and hers\n"), 0);
	armour(&text, &two, PGP_ARMOR_PUBLIC_KEY);
	r = run(buf_ptr(&text), buf_len(&text), 0, &mem);
	ck_assert_uint_eq(r->code, 0);
	ck_assert_uint_eq(r->certs.n, 3);
	ck_assert_uint_eq(r->next, 0);
	for (i = 0; i < 3; i++)
		ck_assert_uint_eq(r->certs.v[i].cert.n, 1);
	ck_assert_str_eq(r->certs.v[2].cert.v->uids.v[0].addr, "three@x.test");
	free(r);
	buf_free(&mem);
	r = run(buf_ptr(&one), buf_len(&one), 0, &mem);
	ck_assert_uint_eq(r->certs.n, 2);
	free(r);
	buf_free(&mem);
	buf_free(&one);
	buf_free(&two);
	buf_free(&text);
}
END_TEST

START_TEST(long_files_come_in_runs)
{
	struct buf all, mem;
	struct read_certs *r;
	uint64_t from = 0;
	size_t n = 0;
	int i, runs = 0;

	buf_init(&all, OUT_MAX);
	for (i = 0; i < KEYREAD_MAX + 5; i++)
		add_cert(&all, "X <x@x.test>", 0);
	do {
		r = run(buf_ptr(&all), buf_len(&all), from, &mem);
		ck_assert_uint_eq(r->code, 0);
		n += r->certs.n;
		ck_assert(r->next == 0 || r->next > from);
		from = r->next;
		runs++;
		free(r);
		buf_free(&mem);
	} while (from != 0);
	ck_assert_uint_eq(n, KEYREAD_MAX + 5);
	ck_assert_int_eq(runs, 2);
	buf_free(&all);
}
END_TEST

START_TEST(says_what_is_wrong_with_a_file)
{
	struct buf one, text, mem;
	struct read_certs *r;
	size_t cut;

	buf_init(&one, OUT_MAX);
	buf_init(&text, OUT_MAX);
	add_cert(&one, "One <one@x.test>", 0);
	r = run("hello\n", 6, 0, &mem);
	ck_assert_ptr_nonnull(strstr(r->text, "no OpenPGP public key"));
	free(r);
	buf_free(&mem);
	r = run("", 0, 0, &mem);
	ck_assert_uint_ne(r->code, 0);
	free(r);
	buf_free(&mem);
	armour(&text, &one, PGP_ARMOR_SECRET_KEY);
	r = run(buf_ptr(&text), buf_len(&text), 0, &mem);
	ck_assert_ptr_nonnull(strstr(r->text, "keyctl import"));
	free(r);
	buf_free(&mem);
	/* cut anywhere, and any octet wrong: an answer, whatever it is */
	for (cut = 0; cut < buf_len(&one); cut += 7) {
		r = run(buf_ptr(&one), cut, 0, &mem);
		ck_assert(r->code != 0 || r->certs.n == 0 || r->certs.v[0].code != 0 ||
			  r->certs.v[0].cert.v->uids.n == 0);
		free(r);
		buf_free(&mem);
		one.data[one.off + cut] ^= 0x41;
		r = run(buf_ptr(&one), buf_len(&one), 0, &mem);
		free(r);
		buf_free(&mem);
		one.data[one.off + cut] ^= 0x41;
	}
	buf_free(&one);
	buf_free(&text);
}
END_TEST

START_TEST(one_bad_certificate_does_not_hide_the_next)
{
	struct buf all, mem;
	struct read_certs *r;
	size_t first;

	buf_init(&all, OUT_MAX);
	add_cert(&all, "One <one@x.test>", 0);
	first = buf_len(&all);
	add_cert(&all, "Two <two@x.test>", 0);
	all.data[all.off + first - 20] ^= 1; /* in the signature */
	r = run(buf_ptr(&all), buf_len(&all), 0, &mem);
	ck_assert_uint_eq(r->certs.n, 2);
	ck_assert_uint_ne(r->certs.v[0].code, 0);
	ck_assert_uint_eq(r->certs.v[0].cert.n, 0);
	ck_assert_uint_eq(r->certs.v[1].cert.n, 1);
	free(r);
	buf_free(&mem);
	buf_free(&all);
}
END_TEST

START_TEST(merging_takes_nothing_away)
{
	struct keymerge job = {.now = NOW};
	struct buf a, b, mem;
	struct read_cert *r;
	struct err e = {0};

	log_set_sink(quiet, NULL);
	buf_init(&a, OUT_MAX);
	buf_init(&b, OUT_MAX);
	buf_init(&mem, OUT_MAX);
	add_cert(&a, "One <one@x.test>", 0);
	add_cert(&b, "Uno <uno@x.test>", 1);
	job.old = (struct bytes){buf_ptr(&a), buf_len(&a)};
	job.add = (struct bytes){buf_ptr(&b), buf_len(&b)};
	ck_assert_int_eq(jail_run(keymerge_run, &job, "test", &mem, &e), 0);
	r = rec_decode(&rec_read_cert, buf_ptr(&mem), buf_len(&mem));
	ck_assert_ptr_nonnull(r);
	ck_assert_uint_eq(r->cert.n, 1);
	ck_assert_uint_eq(r->cert.v->uids.n, 2);
	free(r);
	/* somebody else's certificate is no copy */
	buf_reset(&b);
	buf_reset(&mem);
	add_cert(&b, "One <one@x.test>", 0);
	job.add = (struct bytes){buf_ptr(&b), buf_len(&b)};
	ck_assert_int_eq(jail_run(keymerge_run, &job, "test", &mem, &e), 0);
	r = rec_decode(&rec_read_cert, buf_ptr(&mem), buf_len(&mem));
	ck_assert_ptr_nonnull(r);
	ck_assert_uint_eq(r->cert.n, 0);
	ck_assert_uint_ne(r->code, 0);
	free(r);
	buf_free(&a);
	buf_free(&b);
	buf_free(&mem);
}
END_TEST

Suite *
keyread_suite(void)
{
	const TTest *const tests[] = {reads_armoured_and_binary_files_of_several,
	    long_files_come_in_runs, says_what_is_wrong_with_a_file,
	    one_bad_certificate_does_not_hide_the_next, merging_takes_nothing_away, NULL};

	return unit_suite("keyread", tests);
}
