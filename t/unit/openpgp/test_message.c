#include <bzlib.h>
#include <errno.h>
#include <string.h>
#include <zlib.h>

#include "openpgp/algo.h"
#include "openpgp/armor.h"
#include "openpgp/packet.h"
#include "t/unit/openpgp/people.h"
#include "t/unit/unit.h"

#define BIG 300001

static uint8_t data[BIG];

static void
fill(void)
{
	size_t i;

	for (i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)(i * 7 + (i >> 9) * 31);
}

static struct pgp_encrypt_params
to_alice(bool sign)
{
	return (struct pgp_encrypt_params){.to = &recipient_of[ALICE],
	    .nto = 1,
	    .signers = &signer_of[BOB],
	    .nsigners = sign,
	    .secret = &secret,
	    .now = NOW - 10};
}

START_TEST(opens_what_it_made)
{
	static const size_t sizes[] = {0, 1, 511, 512, 8191, 8192, 32767, 65500, 65536, BIG};
	struct pgp_encrypt_params p;
	struct mail made, got;
	struct pgp_result r;
	size_t i;
	unsigned how;

	fill();
	for (i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		for (how = 0; how < 16; how++) {
			p = to_alice(how & 1);
			p.size_known = (how & 2) != 0;
			p.size = sizes[i];
			p.armor = (how & 4) != 0;
			p.compress = how & 8 ? 1 + (how & 1) : 0;
			people_encrypt(&made, &p, data, sizes[i], how & 2 ? 100000 : 1000);
			ck_assert_int_eq(
			    people_decrypt(&got, buf_ptr(&made.b), buf_len(&made.b), ALICE, &r), 0);
			ck_assert_uint_eq(buf_len(&got.b), sizes[i]);
			ck_assert_uint_eq(r.size, sizes[i]);
			ck_assert(sizes[i] == 0 || memcmp(buf_ptr(&got.b), data, sizes[i]) == 0);
			ck_assert(r.encrypted && r.integrity && r.cipher == PGP_CIPHER_AES256);
			ck_assert_uint_eq(r.nsigs, how & 1);
			ck_assert(r.nsigs == 0 || r.sigs[0].state == PGP_SIG_GOOD);
			ck_assert_int_eq(r.compressed, p.compress != 0);
			mail_free(&made);
			mail_free(&got);
		}
	}
}
END_TEST

START_TEST(opens_for_every_recipient_and_nobody_else)
{
	struct pgp_recipient to[] = {
	    recipient_of[ALICE], recipient_of[ROBERT], recipient_of[ALICE]};
	struct pgp_encrypt_params p = to_alice(true);
	struct mail made, got;
	struct pgp_result r;
	unsigned anonymous;

	p.to = to;
	p.nto = 3;
	for (anonymous = 0; anonymous < 2; anonymous++) {
		p.anonymous = anonymous;
		people_encrypt(&made, &p, "hello", 5, 5);
		ck_assert_int_eq(
		    people_decrypt(&got, buf_ptr(&made.b), buf_len(&made.b), ALICE, &r), 0);
		ck_assert_uint_eq(r.nrcpts, 2); /* a key that comes twice is used once */
		mail_free(&got);
		ck_assert_int_eq(
		    people_decrypt(&got, buf_ptr(&made.b), buf_len(&made.b), ROBERT, &r), 0);
		mail_free(&got);
		ck_assert_int_eq(
		    people_decrypt(&got, buf_ptr(&made.b), buf_len(&made.b), CAROL, &r), -1);
		/* Anonymous: the packet may be hers, and unwraps to some key. */
		ck_assert_int_eq(r.status, anonymous ? PGP_FAILED : PGP_NO_KEY);
		ck_assert(r.encrypted && (anonymous || buf_len(&got.b) == 0));
		mail_free(&got);
		ck_assert_int_eq(
		    people_decrypt(&got, buf_ptr(&made.b), buf_len(&made.b), PEOPLE, &r), -1);
		ck_assert_int_eq(r.status, PGP_NO_KEY);
		ck_assert_uint_eq(r.nrcpts, 2);
		mail_free(&got);
		mail_free(&made);
	}
}
END_TEST

/* Offset of the SEIPD packet in a message. */
static size_t
container_at(const struct buf *b)
{
	struct bytes in = {buf_ptr(b), buf_len(b)};
	struct pgp_packet pkt;
	size_t at;

	do {
		at = buf_len(b) - in.n;
		ck_assert_int_eq(pgp_packet_next(&in, &pkt), 1);
	} while (pkt.tag != PGP_TAG_SEIPD);
	return at;
}

START_TEST(alterations_all_fail_alike)
{
	struct pgp_encrypt_params p = to_alice(true);
	struct mail made, got;
	struct pgp_result r;
	size_t i, at, n;
	uint8_t *m;

	p.compress = 2;
	people_encrypt(&made, &p, "a short mail, altered everywhere", 32, 32);
	at = container_at(&made.b);
	n = buf_len(&made.b);
	m = made.b.data + made.b.off;
	for (i = 0; i < n; i++) {
		m[i] ^= 0x10;
		ck_assert_int_eq(people_decrypt(&got, m, n, ALICE, &r), -1);
		/* From the version octet of the container on nothing tells one from another. */
		if (i > at + 3)
			ck_assert_msg(r.status == PGP_FAILED, "octet %zu: %s", i - at,
			    pgp_status_name(r.status));
		ck_assert_uint_eq(r.nsigs, 0);
		m[i] ^= 0x10;
		mail_free(&got);
	}
	for (i = 0; i < n; i++) {
		ck_assert_int_eq(people_decrypt(&got, m, i, ALICE, &r), -1);
		if (i > at + 4)
			ck_assert_int_eq(r.status, PGP_FAILED);
		mail_free(&got);
	}
	mail_free(&made);
}
END_TEST

START_TEST(damaged_session_keys_fail_like_damaged_data)
{
	struct pgp_encrypt_params p = to_alice(false);
	struct mail made, got;
	struct pgp_result r;
	enum who who;
	uint8_t *m;

	for (who = ALICE; who <= ROBERT; who += ROBERT - ALICE) {
		p.to = &recipient_of[who];
		people_encrypt(&made, &p, "hello", 5, 5);
		m = made.b.data + made.b.off;
		m[container_at(&made.b) - 2] ^= 1; /* the end of the wrapped key */
		ck_assert_int_eq(people_decrypt(&got, m, buf_len(&made.b), who, &r), -1);
		ck_assert_int_eq(r.status, PGP_FAILED);
		mail_free(&got);
		mail_free(&made);
	}
}
END_TEST

START_TEST(names_what_it_does_not_open)
{
	static const struct {
		const char *octets;
		size_t n;
		enum pgp_status status;
	} cases[] = {
	    {"\xc9\x02"
	     "ab",
		4, PGP_NO_INTEGRITY},
	    {"\xd4\x04\x01\x09\x02\x10", 6, PGP_UNSUPPORTED}, /* GnuPG's OCB */
	    {"\xd2\x04\x02\x09\x02\x06", 6, PGP_UNSUPPORTED}, /* version 2 */
	    {"\xd2\x04\x01\x09\x02\x06", 6, PGP_NO_KEY},
	    {"\xc3\x04\x04\x09\x00\x08\xd2\x02\x01\x01", 10, PGP_NO_KEY}, /* password */
	    {"", 0, PGP_MALFORMED}, {"Hello", 5, PGP_MALFORMED},
	    {"\xcb\x05"
	     "b\x00\x00\x00\x00",
		7, PGP_MALFORMED}, /* literal too short */
	    /* the same with a session key in front */
	    {"\xc1\x0c\x03\0\0\0\0\0\0\0\0\x12xx"
	     "\xc9\x02"
	     "ab",
		18, PGP_NO_INTEGRITY},
	    {"\xc8\x02\x03"
	     "B",
		4, PGP_MALFORMED}, /* bzip2, cut */
	    {"\xc8\x02\x04x", 4, PGP_UNSUPPORTED}, {"\xc8\x02\x02\xff", 4, PGP_MALFORMED},
	    {"\xe0\x00", 2, PGP_MALFORMED}, /* tag 32: critical */
	    {"\xca\x03PGP", 5, PGP_MALFORMED}, /* no message behind the marker */
	};
	struct mail got;
	struct pgp_result r;
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		ck_assert_int_eq(people_decrypt(&got, cases[i].octets, cases[i].n, ALICE, &r), -1);
		ck_assert_msg(
		    r.status == cases[i].status, "case %zu: %s", i, pgp_status_name(r.status));
		mail_free(&got);
	}
}
END_TEST

#define LITERAL                                                                                    \
	"\xcb\x07"                                                                                 \
	"b\x00\x00\x00\x00\x00x"

START_TEST(keeps_to_the_grammar)
{
	static const struct {
		const char *octets;
		size_t n;
		int rc;
	} cases[] = {
	    {LITERAL, 9, 0},
	    {"\xca\x03PGP" LITERAL, 14, 0}, /* marker */
	    {"\xd5\x02xx" LITERAL, 13, 0}, /* padding */
	    {"\xf0\x02xx" LITERAL "\xf0\x00", 15, 0}, /* private, not critical */
	    {LITERAL LITERAL, 18, -1},
	    {LITERAL "\xc1\x00", 11, -1}, /* session key behind the data */
	    {"\xc8\x0a\x00" LITERAL, 12, 0}, /* "uncompressed" */
	    {"\xc8\x0a\x00" LITERAL LITERAL, 21, -1},
	    {LITERAL "junk", 13, -1},
	    /* announced as encrypted, and in clear */
	    {"\xc1\x0c\x03\1\2\3\4\5\6\7\x08\x12xx" LITERAL, 23, -1},
	    {"\xc3\x04\x04\x09\x00\x08" LITERAL, 15, -1},
	    {"\xc3\x04\x04\x09\x00\x08\xc8\x0a\x00" LITERAL, 18, -1},
	};
	static uint8_t deep[64 * 2 + 9], many[300 * 5 + 9];
	struct mail got;
	struct pgp_result r;
	size_t i, n;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		ck_assert_msg(
		    people_decrypt(&got, cases[i].octets, cases[i].n, ALICE, &r) == cases[i].rc,
		    "case %zu", i);
		mail_free(&got);
	}
	/* Nesting: algorithm 0 costs nothing, so the depth is what bounds it. */
	memcpy(deep + sizeof deep - 9, LITERAL, 9);
	for (i = 0, n = 9; i < 42; i++) {
		n += 3;
		memcpy(deep + sizeof deep - n, "\xa3\x00", 2); /* indeterminate length */
		n -= 1;
	}
	ck_assert_int_eq(people_decrypt(&got, deep + sizeof deep - n, n, ALICE, &r), -1);
	mail_free(&got);
	for (i = 0; i < 300; i++)
		memcpy(many + i * 5, "\xca\x03PGP", 5);
	memcpy(many + 1500, LITERAL, 9);
	ck_assert_int_eq(people_decrypt(&got, many, sizeof many, ALICE, &r), -1);
	ck_assert_int_eq(r.status, PGP_MALFORMED);
	mail_free(&got);
}
END_TEST

/* n times the same packet, then a literal one. */
static enum pgp_status
repeated(const char *packet, size_t len, unsigned n)
{
	struct mail m, got;
	struct pgp_result r;

	mail_init(&m);
	while (n-- > 0)
		ck_assert_int_eq(buf_put(&m.b, packet, len), 0);
	ck_assert_int_eq(buf_put(&m.b, LITERAL, 9), 0);
	(void)people_decrypt(&got, buf_ptr(&m.b), buf_len(&m.b), ALICE, &r);
	mail_free(&got);
	mail_free(&m);
	return r.status;
}

START_TEST(bounds_the_number_of_packets)
{
	static const char pkesk[] = "\xc1\x0c\x03\1\2\3\4\5\6\7\x08\x12xx";
	static const char ops[] = "\xc4\x0d\x03\x00\x08\x16\1\2\3\4\5\6\7\x08";
	static const char sig[] = "\xc2\x02\x03x";

	ck_assert_int_eq(repeated(ops, 15, PGP_SIGS_MAX), PGP_OK);
	ck_assert_int_eq(repeated(ops, 15, PGP_SIGS_MAX + 1), PGP_MALFORMED);
	ck_assert_int_eq(repeated(sig, 4, PGP_SIGS_MAX), PGP_OK);
	ck_assert_int_eq(repeated(sig, 4, PGP_SIGS_MAX + 1), PGP_MALFORMED);
	ck_assert_int_eq(repeated(pkesk, 14, PGP_PKESK_MAX + 1), PGP_MALFORMED);
}
END_TEST

START_TEST(bounds_compression_inside_of_compression)
{
	uint8_t m[512], z[512];
	struct mail got;
	struct pgp_result r;
	size_t n = 9, head;
	unsigned depth;
	uLongf len;

	memcpy(m, LITERAL, 9);
	for (depth = 1; depth <= 3; depth++) {
		len = sizeof z;
		ck_assert_int_eq(compress(z, &len, m, n), Z_OK);
		head = pgp_packet_head(m, PGP_TAG_COMPRESSED, (uint32_t)len + 1);
		m[head] = PGP_COMP_ZLIB;
		memcpy(m + head + 1, z, len);
		n = head + 1 + len;
		ck_assert_int_eq(people_decrypt(&got, m, n, ALICE, &r) == 0, depth <= 2);
		mail_free(&got);
	}
}
END_TEST

/* A literal of n octets, compressed by libbz2, as a packet in m; its length. */
static size_t
bzip2_packet(uint8_t *m, unsigned room, const uint8_t *p, size_t n)
{
	static uint8_t plain[BIG + 20], z[BIG + BIG / 100 + 700];
	unsigned len = sizeof z;
	size_t head = pgp_packet_head(plain, PGP_TAG_LITERAL, (uint32_t)n + 6);

	memcpy(plain + head, "b\0\0\0\0\0", 6);
	memcpy(plain + head + 6, p, n);
	ck_assert_int_eq(BZ2_bzBuffToBuffCompress(
			     (char *)z, &len, (char *)plain, (unsigned)(head + 6 + n), 9, 0, 0),
	    BZ_OK);
	ck_assert_uint_le(len + 10, room);
	head = pgp_packet_head(m, PGP_TAG_COMPRESSED, len + 1);
	m[head] = PGP_COMP_BZIP2;
	memcpy(m + head + 1, z, len);
	return head + 1 + len;
}

START_TEST(reads_bzip2_and_notices_what_is_cut_or_altered)
{
	static uint8_t m[BIG + BIG / 50];
	static const size_t sizes[] = {0, 1, 16384, 16385, BIG};
	struct mail got;
	struct pgp_result r;
	size_t n = 0, i;

	fill();
	for (i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		n = bzip2_packet(m, sizeof m, data, sizes[i]);
		ck_assert_int_eq(people_decrypt(&got, m, n, ALICE, &r), 0);
		ck_assert(r.compressed);
		ck_assert_uint_eq(r.size, sizes[i]);
		ck_assert(sizes[i] == 0 || memcmp(buf_ptr(&got.b), data, sizes[i]) == 0);
		mail_free(&got);
	}
	n = bzip2_packet(m, sizeof m, data, 20);
	ck_assert_uint_eq(m[1], n - 2); /* a length of one octet */
	for (i = 3; i < n; i++) {
		m[i] ^= 0x41;
		ck_assert_int_eq(people_decrypt(&got, m, n, ALICE, &r), -1);
		m[i] ^= 0x41;
		mail_free(&got);
	}
	for (i = 3; i < n; i++) {
		m[1] = (uint8_t)(i - 2);
		ck_assert_int_eq(people_decrypt(&got, m, i, ALICE, &r), -1);
		ck_assert_int_eq(r.status, PGP_MALFORMED);
		mail_free(&got);
	}
}
END_TEST

/* 8 MiB of zeros are 50 octets of bzip2. */
START_TEST(bounds_expansion_of_bzip2)
{
	static uint8_t zeros[8 << 20], z[65536];
	struct pgp_decrypt_params dp = {.now = NOW, .max_ratio = 200};
	unsigned len = sizeof z - 3;
	struct octets in;
	struct pgp_result r;
	struct mail got;

	memcpy(zeros,
	    "\xcb\xff\x00\x7f\xff\x00"
	    "b\0\0\0\0\0",
	    12);
	ck_assert_int_eq(
	    BZ2_bzBuffToBuffCompress((char *)z + 3, &len, (char *)zeros, 0x7fff00 + 6, 9, 0, 0),
	    BZ_OK);
	z[0] = 0xc8;
	z[1] = (uint8_t)(len + 1);
	z[2] = PGP_COMP_BZIP2;
	ck_assert_uint_lt(len, 190);
	in = octets_mem(z, len + 3);
	mail_init(&got);
	ck_assert_int_eq(pgp_decrypt(&in, &dp, &got.to, &r, NULL), -1);
	ck_assert_int_eq(r.status, PGP_LIMIT);
	ck_assert_uint_lt(buf_len(&got.b), 128 * 1024);
	mail_free(&got);
	dp.max_ratio = 0;
	dp.max_size = 1 << 20;
	mail_init(&got);
	ck_assert_int_eq(pgp_decrypt(&in, &dp, &got.to, &r, NULL), -1);
	ck_assert_int_eq(r.status, PGP_LIMIT);
	mail_free(&got);
	dp.max_size = 0;
	mail_init(&got);
	ck_assert_int_eq(pgp_decrypt(&in, &dp, &got.to, &r, NULL), 0);
	ck_assert_uint_eq(buf_len(&got.b), 0x7fff00 - 6);
	mail_free(&got);
}
END_TEST

START_TEST(bounds_expansion)
{
	static uint8_t zeros[4 << 20];
	struct pgp_decrypt_params dp = {
	    .secret = &secret, .now = NOW, .keys = &key_of[ALICE], .nkeys = 1};
	struct pgp_encrypt_params p = to_alice(false);
	struct pgp_result r;
	struct mail made, got;
	struct octets in;

	p.compress = 2;
	people_encrypt(&made, &p, zeros, sizeof zeros, 1 << 20);
	in = octets_mem(buf_ptr(&made.b), buf_len(&made.b));
	dp.max_ratio = 50;
	mail_init(&got);
	ck_assert_int_eq(pgp_decrypt(&in, &dp, &got.to, &r, NULL), -1);
	ck_assert_int_eq(r.status, PGP_LIMIT);
	ck_assert_uint_lt(buf_len(&got.b), 256 * 1024);
	dp.max_ratio = 2000;
	dp.max_size = sizeof zeros - 1;
	buf_reset(&got.b);
	ck_assert_int_eq(pgp_decrypt(&in, &dp, &got.to, &r, NULL), -1);
	ck_assert_int_eq(r.status, PGP_LIMIT);
	dp.max_size = sizeof zeros;
	buf_reset(&got.b);
	ck_assert_int_eq(pgp_decrypt(&in, &dp, &got.to, &r, NULL), 0);
	ck_assert_uint_eq(buf_len(&got.b), sizeof zeros);
	mail_free(&got);
	mail_free(&made);
}
END_TEST

START_TEST(says_when_the_key_store_is_locked)
{
	struct pgp_encrypt_params p = to_alice(true);
	struct pgp_encrypt *w;
	struct mail made, got;
	struct pgp_result r;
	struct err e = {0};

	people_encrypt(&made, &p, "hello", 5, 5);
	secret_errno = EAGAIN;
	ck_assert_int_eq(people_decrypt(&got, buf_ptr(&made.b), buf_len(&made.b), ALICE, &r), -1);
	ck_assert_int_eq(r.status, PGP_TEMPORARY);
	mail_free(&got);
	mail_free(&made);
	mail_init(&made);
	w = pgp_encrypt_open(&p, &made.to, &e);
	ck_assert_ptr_nonnull(w);
	ck_assert_int_eq(pgp_encrypt_close(w, &e), -1);
	ck_assert_int_eq(errno, EAGAIN);
	mail_free(&made);
	secret_errno = 0;
}
END_TEST

static ssize_t
dribble(void *ctx, void *p, size_t n, uint64_t off)
{
	const struct buf *b = ctx;
	size_t left = buf_len(b) - (size_t)off;

	n = n < left ? n : left;
	n = n < 1000 ? n : 1000;
	memcpy(p, buf_ptr(b) + off, n);
	return (ssize_t)n;
}

START_TEST(reads_files_as_it_reads_memory)
{
	struct pgp_decrypt_params dp = {
	    .secret = &secret, .certs = &certs, .now = NOW, .keys = &key_of[ALICE], .nkeys = 1};
	struct pgp_encrypt_params p = to_alice(true);
	struct pgp_result r;
	struct mail made, got;
	struct octets in;
	unsigned armor;

	fill();
	for (armor = 0; armor < 2; armor++) {
		p.armor = armor;
		people_encrypt(&made, &p, data, sizeof data, 5000);
		in = (struct octets){buf_len(&made.b), NULL, dribble, &made.b};
		mail_init(&got);
		ck_assert_int_eq(pgp_decrypt(&in, &dp, &got.to, &r, NULL), 0);
		ck_assert_uint_eq(buf_len(&got.b), sizeof data);
		ck_assert_mem_eq(buf_ptr(&got.b), data, sizeof data);
		ck_assert_int_eq(r.sigs[0].state, PGP_SIG_GOOD);
		mail_free(&got);
		mail_free(&made);
	}
}
END_TEST

static int
full_disk(void *ctx, const void *p, size_t n)
{
	(void)ctx;
	(void)p;
	(void)n;
	errno = ENOSPC;
	return -1;
}

START_TEST(reports_a_full_disk_as_such)
{
	const struct sink full = {full_disk, NULL};
	struct pgp_decrypt_params dp = {
	    .secret = &secret, .now = NOW, .keys = &key_of[ALICE], .nkeys = 1};
	struct pgp_encrypt_params p = to_alice(false);
	struct pgp_result r;
	struct mail made;
	struct octets in;
	struct err e = {0};

	people_encrypt(&made, &p, "hello", 5, 5);
	in = octets_mem(buf_ptr(&made.b), buf_len(&made.b));
	ck_assert_int_eq(pgp_decrypt(&in, &dp, &full, &r, &e), -1);
	ck_assert_int_eq(r.status, PGP_IO);
	ck_assert_int_eq(e.code, ENOSPC);
	ck_assert_ptr_null(pgp_encrypt_open(&p, &full, &e));
	ck_assert_int_eq(e.code, ENOSPC);
	mail_free(&made);
}
END_TEST

START_TEST(chooses_what_all_recipients_can)
{
	static const uint8_t a[] = {9, 8, 7}, b[] = {8, 7}, old[] = {2, 3}, sha512[] = {10};
	struct cert one = {.ciphers = {a, 3}}, two = {.ciphers = {b, 2}},
		    three = {.ciphers = {old, 2}, .hashes = {sha512, 1}}, none = {0};
	struct pgp_recipient to[2] = {{&one, NULL}, {&one, NULL}};

	ck_assert_uint_eq(pgp_choose_cipher(to, 2), PGP_CIPHER_AES256);
	ck_assert_uint_eq(pgp_choose_hash(to, 2), PGP_HASH_SHA256);
	to[1].cert = &two;
	ck_assert_uint_eq(pgp_choose_cipher(to, 2), PGP_CIPHER_AES192);
	to[1].cert = &three;
	ck_assert_uint_eq(pgp_choose_cipher(to, 2), PGP_CIPHER_AES128);
	ck_assert_uint_eq(pgp_choose_hash(to, 2), PGP_HASH_SHA512);
	to[1].cert = &none;
	ck_assert_uint_eq(pgp_choose_cipher(to, 2), PGP_CIPHER_AES128);
	to[1].cert = NULL;
	ck_assert_uint_eq(pgp_choose_cipher(to, 2), PGP_CIPHER_AES128);
}
END_TEST

START_TEST(refuses_wrong_parameters)
{
	struct pgp_encrypt_params p;
	struct mail made;
	struct pgp_encrypt *w;
	struct err e;
	unsigned i;

	for (i = 0; i < 5; i++) {
		p = to_alice(true);
		mail_init(&made);
		if (i == 0)
			p.nto = p.nsigners = 0;
		else if (i == 1)
			p.cipher = PGP_CIPHER_3DES;
		else if (i == 2)
			p.hash = PGP_HASH_SHA1;
		else if (i == 3)
			p.compress = PGP_COMP_BZIP2;
		else
			p.secret = NULL;
		ck_assert_ptr_null(pgp_encrypt_open(&p, &made.to, &e));
		mail_free(&made);
	}
	p = to_alice(false);
	p.size_known = true;
	p.size = 5;
	mail_init(&made);
	w = pgp_encrypt_open(&p, &made.to, &e);
	ck_assert_int_eq(pgp_encrypt_write(w, "abc", 3), 0);
	ck_assert_int_eq(pgp_encrypt_close(w, &e), -1);
	w = pgp_encrypt_open(&p, &made.to, &e);
	ck_assert_int_eq(pgp_encrypt_write(w, "abcdef", 6), -1);
	pgp_encrypt_abort(w);
	mail_free(&made);
}
END_TEST

START_TEST(tells_the_recipients_without_a_key)
{
	struct pgp_recipient to[40];
	struct pgp_encrypt_params p = to_alice(true);
	struct pgp_result r;
	struct mail made;
	struct octets in;
	unsigned i;

	for (i = 0; i < 40; i++)
		to[i] = recipient_of[i % PEOPLE];
	p.to = to;
	p.nto = 40; /* but only PEOPLE different keys */
	people_encrypt(&made, &p, "hello", 5, 5);
	in = octets_mem(buf_ptr(&made.b), buf_len(&made.b));
	ck_assert_int_eq(pgp_recipients(&in, &r, NULL), 0);
	ck_assert(r.encrypted && r.status == PGP_NO_KEY);
	ck_assert_uint_eq(r.nrcpts, PEOPLE);
	for (i = 0; i < PEOPLE; i++)
		ck_assert_mem_eq(
		    r.rcpts[i], pgp_keyid(people[i].keys[1].fpr.p, people[i].keys[1].fpr.n), 8);
	mail_free(&made);
	p.nto = 0;
	people_encrypt(&made, &p, "hello", 5, 5);
	in = octets_mem(buf_ptr(&made.b), buf_len(&made.b));
	ck_assert_int_eq(pgp_recipients(&in, &r, NULL), 0);
	ck_assert(!r.encrypted && r.status == PGP_OK && r.nrcpts == 0);
	mail_free(&made);
	in = octets_mem("hello", 5);
	ck_assert_int_eq(pgp_recipients(&in, &r, NULL), -1);
	ck_assert_int_eq(r.status, PGP_MALFORMED);
}
END_TEST

START_TEST(throws_the_plaintext_away_without_a_sink)
{
	struct pgp_decrypt_params dp = {
	    .secret = &secret, .certs = &certs, .now = NOW, .keys = &key_of[ALICE], .nkeys = 1};
	struct pgp_encrypt_params p = to_alice(true);
	const struct sink nowhere = {NULL, NULL};
	struct pgp_result r;
	struct mail made;
	struct octets in;

	people_encrypt(&made, &p, "hello", 5, 5);
	in = octets_mem(buf_ptr(&made.b), buf_len(&made.b));
	ck_assert_int_eq(pgp_decrypt(&in, &dp, &nowhere, &r, NULL), 0);
	ck_assert_int_eq(pgp_decrypt(&in, &dp, NULL, &r, NULL), 0);
	ck_assert_uint_eq(r.size, 5);
	mail_free(&made);
}
END_TEST

Suite *message_suite(void);

Suite *
message_suite(void)
{
	people_make();
	return unit_suite("message",
	    (const TTest *const[]){opens_what_it_made, opens_for_every_recipient_and_nobody_else,
		alterations_all_fail_alike, damaged_session_keys_fail_like_damaged_data,
		names_what_it_does_not_open, keeps_to_the_grammar, bounds_the_number_of_packets,
		bounds_compression_inside_of_compression, bounds_expansion,
		reads_bzip2_and_notices_what_is_cut_or_altered, bounds_expansion_of_bzip2,
		says_when_the_key_store_is_locked, reads_files_as_it_reads_memory,
		reports_a_full_disk_as_such, chooses_what_all_recipients_can,
		refuses_wrong_parameters, tells_the_recipients_without_a_key,
		throws_the_plaintext_away_without_a_sink, NULL});
}
