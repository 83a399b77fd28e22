#include <errno.h>
#include <string.h>

#include "base/enc.h"
#include "openpgp/packet.h"
#include "openpgp/sig.h"
#include "openpgp/skey.h"
#include "t/unit/unit.h"

Suite *sig_suite(void);

#define NOW 1790000000

struct made {
	struct pgp_skey *k;
	struct pgp_pk *pk;
	struct cert_key pub;
	EVP_MD_CTX *md;
	struct buf body;
};

static void
start(struct made *m, enum pgp_keytype type)
{
	struct err e = {0};

	m->k = pgp_skey_generate(type, 0, NOW, &e);
	ck_assert_msg(m->k != NULL, "%s", e.text);
	pgp_skey_public(m->k, &m->pub);
	m->pk = pgp_pk_load(&m->pub, &e);
	ck_assert_msg(m->pk != NULL, "%s", e.text);
	m->md = EVP_MD_CTX_new();
	buf_init(&m->body, 65536);
}

static void
end(struct made *m)
{
	EVP_MD_CTX_free(m->md);
	buf_free(&m->body);
	pgp_pk_free(m->pk);
	pgp_skey_free(m->k);
}

static void
hash(struct made *m, const char *text)
{
	ck_assert_int_gt(EVP_DigestInit_ex(m->md, pgp_hash_md(PGP_HASH_SHA256), NULL), 0);
	ck_assert_int_gt(EVP_DigestUpdate(m->md, text, strlen(text)), 0);
}

/* Begin, let the caller add subpackets, then finish over "text". */
static void
begin(struct made *m, struct pgp_sigmake *s)
{
	pgp_sigmake_begin(
	    s, PGP_SIG_BINARY, m->pub.algo, PGP_HASH_SHA256, NOW, m->pub.fpr.p, m->pub.fpr.n);
}

static void
finish(struct made *m, struct pgp_sigmake *s, const char *text)
{
	uint8_t digest[PGP_DIGEST_MAX];
	struct pgp_sigval v;
	int n;

	hash(m, text);
	ck_assert_int_eq(n = pgp_sigmake_digest(s, m->md, digest), 32);
	ck_assert_int_eq(pgp_skey_sign(m->k, PGP_HASH_SHA256, digest, (size_t)n, &v), 0);
	buf_reset(&m->body);
	ck_assert_int_eq(pgp_sigmake_body(s, &v, &m->body), 0);
}

START_TEST(made_signatures_parse_and_verify)
{
	static const enum pgp_keytype types[] = {PGP_GEN_ED25519, PGP_GEN_RSA};

	for (size_t i = 0; i < 2; i++) {
		struct pgp_sigmake s;
		struct made m;
		struct pgp_sig sig;

		start(&m, types[i]);
		begin(&m, &s);
		ck_assert_int_eq(pgp_sigmake_add(&s, PGP_SUB_SIGNER_UID, "a@example.org", 13), 0);
		finish(&m, &s, "text");
		ck_assert_int_eq(pgp_sig_parse(&sig, buf_ptr(&m.body), buf_len(&m.body)), 0);
		ck_assert_uint_eq(sig.version, 4);
		ck_assert_uint_eq(sig.created, NOW);
		ck_assert(!sig.unusable && sig.has_issuer && sig.issuer_hashed);
		ck_assert_mem_eq(sig.issuer, m.pub.fpr.p + 12, 8);
		ck_assert_mem_eq(sig.issuer_fpr.p, m.pub.fpr.p, 20);
		ck_assert_uint_eq(sig.signer_uid.n, 13);
		hash(&m, "text");
		ck_assert_int_eq(pgp_sig_verify(&sig, m.md, m.pk), 0);
		hash(&m, "texT");
		ck_assert_int_eq(pgp_sig_verify(&sig, m.md, m.pk), -1);
		ck_assert_int_eq(errno, EBADMSG);
		end(&m);
	}
}
END_TEST

START_TEST(every_hashed_octet_counts)
{
	struct pgp_sigmake s;
	struct made m;
	struct pgp_sig sig;
	uint8_t *p;
	size_t unhashed = 0;

	start(&m, PGP_GEN_ED25519);
	begin(&m, &s);
	finish(&m, &s, "text");
	p = m.body.data + m.body.off;
	ck_assert_int_eq(pgp_sig_parse(&sig, p, buf_len(&m.body)), 0);
	unhashed = sig.hashed.n + 2;
	for (size_t i = 0; i < buf_len(&m.body); i++) {
		int r;

		/* the issuer key id is a hint, the counts of bits too */
		if (i >= unhashed && i < unhashed + 10)
			continue;
		p[i] ^= 0x20;
		r = pgp_sig_parse(&sig, p, buf_len(&m.body));
		if (r == 0) {
			if (pgp_hash_md(sig.hash) != pgp_hash_md(PGP_HASH_SHA256))
				r = -1;
			else {
				hash(&m, "text");
				r = pgp_sig_verify(&sig, m.md, m.pk);
			}
		}
		ck_assert_msg(r < 0, "octet %zu", i);
		p[i] ^= 0x20;
	}
	end(&m);
}
END_TEST

/* Table of hashed and unhashed areas around a fixed rest. */
START_TEST(subpackets_are_parsed_strictly)
{
	static const struct {
		const char *hashed, *unhashed;
		int ok, unusable;
	} rows[] = {
	    {"05025F000000", "", 1, 0}, {"", "", 1, 1}, /* no creation time */
	    {"", "05025F000000", 1, 1}, /* only where anyone could put it */
	    {"04025F0000", "", 0, 0}, /* three octets of time */
	    {"06025F00000000", "", 0, 0}, {"05025F0000", "", 0, 0}, /* runs over the end */
	    {"00", "", 0, 0}, /* no type */
	    {"05025F00000002E5AA", "", 1, 1}, /* critical, of private use: unknown */
	    {"05025F0000000265AA", "", 1, 0}, /* not critical */
	    {"05025F000000", "02E5AA", 1, 0}, /* unhashed: whoever put it there */
	    {"05825F000000", "", 1, 0}, /* critical and known */
	    {"05025F00000012940000000000000000000000000000000000", "", 1,
		1}, /* critical notation */
	    {"05025F000000029C", "", 0, 0},
	    {"05025F000000081001020304050607", "", 0, 0}, /* a key id of seven octets */
	    {"05025F0000000910010203040506070809", "", 0, 0},
	    {"05025F00000009100102030405060708", "", 1, 0},
	    {"05025F000000022101", "", 1, 0}, /* fingerprint of a version that we don't know */
	    {"05025F0000000421040101", "", 0, 0},
	    {"05025F000000011B", "", 1, 0}, /* flags of no octets */
	    {"05025F000000FF000000021B03", "", 1, 0}, /* five-octet length */
	    {"05025F000000FFFFFFFFFF1B03", "", 0, 0}, {"05025F000000C0", "", 0, 0},
	    {"05025F0000000119", "", 0, 0}, /* primary user id of no octet */
	};
	uint8_t b[512];
	char hex[1024];

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct pgp_sig s;
		ssize_t n;
		int r;

		snprintf(hex, sizeof hex,
		    "04001608%04zX%s%04zX%s"
		    "ABCD"
		    "000101"
		    "000101",
		    strlen(rows[i].hashed) / 2, rows[i].hashed, strlen(rows[i].unhashed) / 2,
		    rows[i].unhashed);
		n = hex_decode(b, sizeof b, hex, strlen(hex));
		ck_assert_int_gt(n, 0);
		r = pgp_sig_parse(&s, b, (size_t)n);
		ck_assert_msg((r == 0) == rows[i].ok, "row %zu", i);
		if (r == 0)
			ck_assert_msg(s.unusable == rows[i].unusable, "row %zu", i);
		else
			ck_assert_int_eq(errno, EBADMSG);
		for (ssize_t cut = 0; cut < n - 5; cut++)
			ck_assert_int_eq(pgp_sig_parse(&s, b, (size_t)cut), -1);
	}
}
END_TEST

START_TEST(too_many_subpackets_are_refused)
{
	uint8_t b[1024] = {4, 0, 22, 8};
	struct pgp_sig s;
	size_t n = 6;

	for (int i = 0; i < 2; i++) {
		unsigned subs = i == 0 ? PGP_SIG_SUBS_MAX : PGP_SIG_SUBS_MAX + 1;

		n = 6;
		for (unsigned j = 0; j < subs; j++) {
			b[n++] = 2;
			b[n++] = 101;
			b[n++] = 0;
		}
		put_be16(b + 4, (uint16_t)(n - 6));
		memcpy(b + n, "\0\0\1\2\0\1\1", 7);
		ck_assert_int_eq(pgp_sig_parse(&s, b, n + 7), i == 0 ? 0 : -1);
	}
}
END_TEST

START_TEST(other_versions_are_told_apart)
{
	static const uint8_t v3[] = {
	    3, 5, 1, 0x5f, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 0xab, 0xcd, 0, 1, 1};
	static const uint8_t v6[] = {6, 0, 27, 8, 0, 0, 0, 0}, v2[] = {2, 5}, v5[] = {5, 0, 22, 8};
	struct pgp_sig s;

	ck_assert_int_eq(pgp_sig_parse(&s, v3, sizeof v3), -1);
	ck_assert_int_eq(errno, ENOTSUP);
	ck_assert_uint_eq(s.version, 3);
	ck_assert_uint_eq(s.type, PGP_SIG_TEXT);
	ck_assert_uint_eq(s.hash, PGP_HASH_SHA1);
	ck_assert_uint_eq(s.issuer[7], 8);
	ck_assert_int_eq(pgp_sig_parse(&s, v6, sizeof v6), -1);
	ck_assert_int_eq(errno, ENOTSUP);
	ck_assert_uint_eq(s.pk, PGP_PK_ED25519);
	ck_assert_int_eq(pgp_sig_parse(&s, v5, sizeof v5), -1);
	ck_assert_int_eq(errno, ENOTSUP);
	ck_assert_int_eq(pgp_sig_parse(&s, v2, sizeof v2), -1);
	ck_assert_int_eq(errno, ENOTSUP);
	ck_assert_int_eq(pgp_sig_parse(&s, v2, 0), -1);
	ck_assert_int_eq(errno, EBADMSG);
}
END_TEST

START_TEST(an_area_that_is_full_says_so)
{
	static const uint8_t big[PGP_SIG_AREA_MAX];
	struct pgp_sigmake s;
	struct made m;
	struct pgp_sig sig;

	start(&m, PGP_GEN_ED25519);
	begin(&m, &s);
	ck_assert_int_eq(pgp_sigmake_add(&s, 100, big, sizeof big), -1);
	ck_assert_int_eq(errno, EMSGSIZE);
	/* lengths of one and two octets, at their border */
	ck_assert_int_eq(pgp_sigmake_add(&s, 100, big, 190), 0);
	ck_assert_int_eq(pgp_sigmake_add(&s, 100, big, 191), 0);
	ck_assert_int_eq(pgp_sigmake_add(&s, 100, big, 3000), 0);
	ck_assert_int_eq(pgp_sigmake_add_unhashed(&s, 100, big, 4000), 0);
	ck_assert_int_eq(pgp_sigmake_add_unhashed(&s, 100, big, 200), -1);
	finish(&m, &s, "text");
	ck_assert_int_eq(pgp_sig_parse(&sig, buf_ptr(&m.body), buf_len(&m.body)), 0);
	hash(&m, "text");
	ck_assert_int_eq(pgp_sig_verify(&sig, m.md, m.pk), 0);
	end(&m);
}
END_TEST

START_TEST(an_unusable_signature_is_never_good)
{
	struct pgp_sigmake s;
	struct made m;
	struct pgp_sig sig;

	start(&m, PGP_GEN_ED25519);
	begin(&m, &s);
	ck_assert_int_eq(pgp_sigmake_add(&s, 100 | PGP_SUB_CRITICAL, "x", 1), 0);
	finish(&m, &s, "text");
	ck_assert_int_eq(pgp_sig_parse(&sig, buf_ptr(&m.body), buf_len(&m.body)), 0);
	hash(&m, "text");
	ck_assert_int_eq(pgp_sig_verify(&sig, m.md, m.pk), -1);
	end(&m);
}
END_TEST

START_TEST(the_packet_has_a_header_that_reads_back)
{
	struct pgp_sigmake s;
	struct made m;
	struct pgp_sigval v = {.n = 7, .data = {0, 1, 1, 0, 1, 1, 0}};
	struct pgp_packet p;
	struct bytes in;

	start(&m, PGP_GEN_ED25519);
	begin(&m, &s);
	ck_assert_int_eq(pgp_sigmake_packet(&s, &v, &m.body), 0);
	in = (struct bytes){buf_ptr(&m.body), buf_len(&m.body)};
	ck_assert_int_eq(pgp_packet_next(&in, &p), 1);
	ck_assert_uint_eq(p.tag, PGP_TAG_SIG);
	ck_assert_uint_eq(in.n, 0);
	end(&m);
}
END_TEST

Suite *
sig_suite(void)
{
	const TTest *const tests[] = {made_signatures_parse_and_verify, every_hashed_octet_counts,
	    subpackets_are_parsed_strictly, too_many_subpackets_are_refused,
	    other_versions_are_told_apart, an_area_that_is_full_says_so,
	    an_unusable_signature_is_never_good, the_packet_has_a_header_that_reads_back, NULL};

	return unit_suite("openpgp signatures", tests);
}
