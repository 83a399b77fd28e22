/* Outbound: what leaves, for whom, and what is refused or deferred. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "mail/mime.h"
#include "openpgp/decrypt.h"
#include "openpgp/message.h"
#include "t/unit/filterd/harness.h"

Suite *secure_suite(void);

#define A "alice@our.example"
#define B "bob@partner.example"
#define C "carol@partner.example"
#define N "nokey@partner.example"
#define HEAD                                                                                       \
	"From: Alice <" A ">\r\nTo: " B "\r\nCc: " C "\r\nSubject: a plan\r\n"                     \
	"Date: Mon, 1 Jan 2024 00:00:00 +0000\r\n"
#define PLAIN HEAD "\r\nthe secret words\r\n"

static const char *const to_bob[] = {B, NULL};
static const char *const to_both[] = {B, C, NULL};

/* Key ids in the ciphertext of a secured copy. */
static unsigned
key_ids(const struct buf *msg, uint8_t ids[][8], unsigned max)
{
	struct octets in = octets_mem(buf_ptr(msg), buf_len(msg));
	static struct pgp_result r;
	unsigned i;
	struct err e;

	ck_assert_int_eq(pgp_recipients(&in, &r, &e), 0);
	ck_assert_int_eq(r.status, PGP_NO_KEY);
	for (i = 0; i < r.nrcpts && i < max; i++)
		memcpy(ids[i], r.rcpts[i], 8);
	return r.nrcpts;
}

static int
is_id_of(const uint8_t id[8], enum who who)
{
	return memcmp(id, pgp_keyid(people[who].keys[1].fpr.p, 20), 8) == 0;
}

/* The copy as its reader sees it through a gateway of his own. */
static void
reads(const struct buf *copy, enum who reader, const char *want, const char *text)
{
	struct outcome o;

	harness_reset();
	open_as(&o, reader, buf_ptr(copy), buf_len(copy));
	ck_assert_msg(o.result == OPEN_VIRTUAL, "%s", o.text);
	ck_assert_str_eq(verdict(&o.octets), want);
	ck_holds(&o.octets, text);
	outcome_free(&o);
	harness_reset();
}

START_TEST(encrypts_and_signs_to_one_key)
{
	struct outcome o;
	uint8_t ids[4][8];

	harness_reset();
	secure(&o, A, to_bob, PLAIN, strlen(PLAIN), 0);
	ck_assert_msg(o.result == SECURE_OK, "%s", o.text);
	ck_assert_uint_eq(o.ncopies, 1);
	ck_lacks(&o.copies[0].octets, "secret words");
	ck_holds(&o.copies[0].octets, "Subject: a plan\r\n");
	ck_holds(&o.copies[0].octets, "multipart/encrypted");
	ck_assert_uint_eq(key_ids(&o.copies[0].octets, ids, 4), 1);
	ck_assert(is_id_of(ids[0], BOB));
	ck_assert_ptr_nonnull(strstr(o.copies[0].facts, "encrypted=pgp/mime"));
	reads(&o.copies[0].octets, BOB, "yes good", "the secret words\r\n");
	outcome_free(&o);
}
END_TEST

START_TEST(groups_recipients_that_share_a_fate)
{
	static const char *const rcpts[] = {B, N, C, "other@partner.example", NULL};
	static const char m[] = "From: " A "\r\nTo: " B ", " C ", " N
				"\r\nCc: other@partner.example\r\nSubject: x\r\n\r\nwords\r\n";
	uint8_t ids[4][8];
	struct outcome o;

	harness_reset();
	secure(&o, A, rcpts, m, sizeof m - 1, 0);
	ck_assert_int_eq(o.result, SECURE_OK);
	ck_assert_uint_eq(o.ncopies, 2);
	ck_assert_uint_eq(o.copies[0].nrcpts, 2);
	ck_assert_uint_eq(o.copies[0].rcpts[1], 2);
	ck_assert_uint_eq(key_ids(&o.copies[0].octets, ids, 4), 2);
	ck_assert_uint_eq(o.copies[1].nrcpts, 2);
	ck_holds(&o.copies[1].octets, "multipart/signed");
	reads(&o.copies[0].octets, CAROL, "yes good", "words");
	reads(&o.copies[1].octets, NOBODY, "no good", "words");
	outcome_free(&o);
}
END_TEST

START_TEST(hides_blind_recipients_from_each_other)
{
	static const char *const rcpts[] = {B, C, "CHIEF@our.example", NULL};
	static const char m[] = "From: " A "\r\nTo: \"B.\" <bob@PARTNER.example>\r\n\r\nwords\r\n";
	uint8_t ids[4][8];
	struct outcome o;
	unsigned i;

	harness_reset();
	secure(&o, A, rcpts, m, sizeof m - 1, 0);
	ck_assert_int_eq(o.result, SECURE_OK);
	ck_assert_uint_eq(o.ncopies, 3);
	for (i = 0; i < o.ncopies; i++) {
		ck_assert_uint_eq(o.copies[i].nrcpts, 1);
		ck_assert_uint_eq(o.copies[i].rcpts[0], i);
		if (i < 2) {
			ck_assert_uint_eq(key_ids(&o.copies[i].octets, ids, 4), 1);
			ck_assert(is_id_of(ids[0], i == 0 ? BOB : CAROL));
		}
	}
	outcome_free(&o);
}
END_TEST

/* Header lines that ask for encryption, or do not. */
static const struct {
	const char *header;
	int asks;
} triggers[] = {
    {"Subject: [encrypt] x", 1},
    {"Subject: x [SECURE]", 1},
    {"Subject: [PGP]x", 1},
    {"subject : [pgp] x", 1},
    {"Subject: one\r\nSubject: [encrypt]", 1},
    {"Subject: [enc\r\n rypt]", 0},
    {"Subject:\r\n [encrypt]", 1},
    {"Subject: =?utf-8?B?W2VuY3J5cHRd?= x", 1},
    {"Subject: =?utf-8?q?=5bEncrypt=5d?= x", 1},
    {"Subject: =?utf-8?q?=5bEnc?= =?iso-8859-1?q?rypt=5d?=", 1},
    {"Sensitivity: Company-Confidential", 1},
    {"sensitivity: company-confidential (really)", 1},
    {"Sensitivity: Personal\r\nSensitivity: company-confidential", 1},
    {"Sensitivity: personal", 0},
    {"Subject: encrypt this", 0},
};

START_TEST(refuses_when_encryption_is_required_and_no_key_is_there)
{
	static const char *const rcpts[] = {N, NULL};
	char m[1024];
	struct outcome o;

	harness_reset();
	(void)snprintf(
	    m, sizeof m, "From: " A "\r\nTo: " N "\r\n%s\r\n\r\nwords\r\n", triggers[_i].header);
	secure(&o, A, rcpts, m, strlen(m), 0);
	if (!triggers[_i].asks) {
		ck_assert_int_eq(o.result, SECURE_OK);
		ck_assert_uint_eq(o.ncopies, 1);
	} else {
		ck_assert_int_eq(o.result, SECURE_REFUSE);
		ck_assert_uint_eq(o.ncopies, 0);
		ck_assert_str_eq(o.dsn, "5.7.1");
		ck_assert_uint_eq(o.nrefusals, 1);
		ck_assert_ptr_nonnull(strstr(o.text, N));
		ck_assert_ptr_nonnull(strstr(o.text, "imported"));
		ck_assert_ptr_nonnull(strstr(o.refusal, "there is no key"));
		ck_assert_ptr_null(strstr(o.text, "\\x"));
	}
	outcome_free(&o);
}
END_TEST

START_TEST(names_every_recipient_that_stands_in_the_way)
{
	static const char *const rcpts[] = {
	    B, "erin@partner.example", N, "rita@partner.example", NULL};
	static const char m[] = "From: " A "\r\nTo: " B "\r\nSubject: [secure]\r\n\r\nwords\r\n";
	struct outcome o;

	harness_reset();
	secure(&o, A, rcpts, m, sizeof m - 1, 0);
	ck_assert_int_eq(o.result, SECURE_REFUSE);
	ck_assert_uint_eq(o.ncopies, 0);
	ck_assert_uint_eq(o.nrefusals, 3);
	ck_assert_ptr_nonnull(strstr(o.refusal, "erin@partner.example"));
	ck_assert_ptr_nonnull(strstr(o.refusal, "expired on"));
	outcome_free(&o);
}
END_TEST

START_TEST(passes_mail_of_unmapped_logins_as_it_is)
{
	static const char req[] = "From: x@y.example\r\nSubject: [pgp]\r\n\r\nwords\r\n";
	static const char *const rcpts[] = {N, NULL};
	struct outcome o;

	harness_reset();
	world.consumer = NOBODY;
	secure(&o, A, to_both, PLAIN, strlen(PLAIN), 0);
	ck_assert_int_eq(o.result, SECURE_OK);
	ck_assert_uint_eq(o.ncopies, 1);
	ck_assert_int_eq(o.copies[0].unchanged, 1);
	ck_assert_uint_eq(o.copies[0].nrcpts, 2);
	outcome_free(&o);
	/* But one that asked for encryption does not leave in clear. */
	secure(&o, A, rcpts, req, sizeof req - 1, 0);
	ck_assert_int_eq(o.result, SECURE_REFUSE);
	outcome_free(&o);
}
END_TEST

START_TEST(refuses_a_sender_of_a_foreign_domain)
{
	struct outcome o;

	harness_reset();
	world.outside = 1;
	secure(&o, A, to_both, PLAIN, strlen(PLAIN), 0);
	ck_assert_int_eq(o.result, SECURE_REFUSE);
	ck_assert_uint_eq(o.ncopies, 0);
	ck_assert_ptr_nonnull(strstr(o.text, "domain"));
	outcome_free(&o);
}
END_TEST

/* However it is written, and in whatever charset: who asks for encryption gets it, or a refusal. */
static const char *const askings[] = {
    "=?windows-874?B?W2VuY3J5cHRdIMrHsem0?=", /* a charset that is not known here */
    "=?x-nobody?Q?=5Bencrypt=5D_a?=",
    "=?utf-8?Q?=5Bencrypt=5D =ZZ?=", /* broken behind it */
    "=?utf-8?B?W2VuY3J5cHRd!?=",
    "=?utf-8?Q?=5Benc?=\r\n =?utf-8?Q?rypt=5D?=",
    "x\r\nSubject: [Encrypt]",
    "[encrypt]\r\nSubject: x",
    "x\r\nSUBJECT \t: [secure] y",
    "x\r\nsensitivity: Company-Confidential",
};

START_TEST(hears_whoever_asks_for_encryption)
{
	static const char *const rcpts[] = {N, NULL};
	struct outcome o;
	char m[1024];

	harness_reset();
	(void)snprintf(
	    m, sizeof m, "From: " A "\r\nTo: " N "\r\nSubject: %s\r\n\r\nwords\r\n", askings[_i]);
	secure(&o, A, rcpts, m, strlen(m), 0);
	ck_assert_int_eq(o.result, SECURE_REFUSE);
	ck_assert_uint_eq(o.ncopies, 0);
	outcome_free(&o);
}
END_TEST

/* Each copy may be as large as the message. */
START_TEST(one_recipient_gets_one_copy_however_often_it_is_named)
{
	static const char m[] = "From: " A "\r\nSubject: x\r\n\r\nwords\r\n";
	static const char *const rcpts[] = {B, B, B, NULL};
	struct outcome o;

	harness_reset();
	secure(&o, A, rcpts, m, sizeof m - 1, 0);
	ck_assert_int_eq(o.result, SECURE_OK);
	ck_assert_uint_eq(o.ncopies, 1);
	ck_assert_uint_eq(o.copies[0].nrcpts, 3);
	ck_assert_ptr_nonnull(strstr(o.copies[0].facts, "keys=1,"));
	outcome_free(&o);
}
END_TEST

/* A header of many short fields is read once, not once for each of them. */
START_TEST(many_fields_take_no_time)
{
	static const char *const rcpts[] = {B, NULL};
	uint64_t before;
	struct outcome o;
	struct buf m;
	int i;

	harness_reset();
	buf_init(&m, 1 << 20);
	buf_puts(&m, "From: " A "\r\nSubject: x\r\n");
	for (i = 0; i < 36000; i++)
		buf_puts(&m, "To:a\r\n");
	buf_puts(&m, "\r\nwords\r\n");
	before = clock_ms();
	secure(&o, A, rcpts, buf_ptr(&m), buf_len(&m), 0);
	ck_assert_uint_lt(clock_ms() - before, 5000);
	ck_assert_int_eq(o.result, SECURE_OK);
	outcome_free(&o);
	buf_free(&m);
}
END_TEST

/* Senders that are not alice, though the session is hers. */
static const struct {
	const char *sender, *from;
} strangers[] = {
    {A, "From: chief@our.example\r\n"},
    {"chief@our.example", "From: " A "\r\n"},
    {A, "From: " A "\r\nFrom: chief@our.example\r\n"},
    {A, "From: chief@our.example\r\nFrom: " A "\r\n"},
    {A, "From: " A ", chief@our.example\r\n"},
    {A, "From: " A "\r\nFrom : chief@our.example\r\n"},
    {A, "From: chief@our.example <" A "@evil.example>\r\n"},
    {A, "From: group: " A ";\r\n"},
    {A, ""},
    {"", "From: " A "\r\n"},
};

START_TEST(never_signs_as_somebody_else)
{
	static const char *const rcpts[] = {B, N, NULL};
	struct outcome o;
	char m[1024];
	size_t i;

	harness_reset();
	(void)snprintf(
	    m, sizeof m, "%sTo: " B ", " N "\r\nSubject: x\r\n\r\nwords\r\n", strangers[_i].from);
	secure(&o, strangers[_i].sender, rcpts, m, strlen(m), 0);
	ck_assert_int_eq(o.result, SECURE_OK);
	ck_assert_uint_eq(world.signatures, 0);
	ck_assert_uint_eq(o.ncopies, 2);
	for (i = 0; i < o.ncopies; i++)
		ck_assert_ptr_nonnull(strstr(o.copies[i].facts, "signed=no"));
	ck_assert_int_eq(o.copies[1].unchanged, 1);
	outcome_free(&o);
}
END_TEST

static const struct {
	const char *name;
	struct world w;
	int dead;
} troubles[] = {
    {"signing deferred", {.sign_defer = 1}, 0},
    {"locked at signing", {.crypto = CRYPTO_LOCKED}, 0},
    {"busy", {.crypto = CRYPTO_BUSY}, 0},
    {"denied", {.crypto = CRYPTO_DENIED}, 0},
    {"signing key lost", {.crypto = CRYPTO_NOKEY}, 0},
    {"signing fails", {.crypto = CRYPTO_FAILED}, 0},
    {"policyd away", {.policyd_gone = 1}, 1},
    {"cryptod away", {.cryptod_gone = 1}, 1},
};

START_TEST(defers_and_sends_nothing_when_a_peer_cannot_help)
{
	static const char *const lists[][2] = {{B, NULL}, {N, NULL}};
	struct outcome o;
	unsigned k;

	for (k = 0; k < 2; k++) {
		harness_reset();
		world = troubles[_i].w;
		secure(&o, A, lists[k], PLAIN, strlen(PLAIN), 0);
		ck_assert_msg(o.result == SECURE_DEFER, "%s", troubles[_i].name);
		ck_assert_int_eq(o.answered, 1);
		ck_assert_int_eq(o.dsn[0], '4');
		ck_assert_uint_gt(strlen(o.text), 10);
		ck_assert_uint_eq(o.ncopies, 0);
		ck_assert_int_eq(o.dead, troubles[_i].dead);
		outcome_free(&o);
	}
}
END_TEST

static void
already_encrypted(struct buf *m, const char *header)
{
	static const enum who to[] = {BOB, NOBODY};
	struct buf a;

	buf_init(&a, 1 << 20);
	buf_init(m, 1 << 20);
	encrypted(&a, to, NOBODY, "Content-Type: text/plain\r\n\r\nx", 29, NULL);
	pgp_mime(m, header, &a);
	buf_free(&a);
}

START_TEST(passes_what_the_sender_has_encrypted)
{
	struct outcome o;
	struct buf m;

	already_encrypted(&m, "From: " A "\r\nTo: " B "\r\nSubject: [secure]\r\n");
	harness_reset();
	secure(&o, A, to_both, buf_ptr(&m), buf_len(&m), 0);
	ck_assert_int_eq(o.result, SECURE_OK);
	ck_assert_uint_eq(o.ncopies, 1);
	ck_assert_int_eq(o.copies[0].unchanged, 1);
	ck_assert_uint_eq(o.copies[0].nrcpts, 2);
	ck_assert_uint_eq(world.signatures, 0);
	outcome_free(&o);
	buf_free(&m);
}
END_TEST

#define ENC                                                                                        \
	"From: " A "\r\nTo: " N "\r\nSubject: [secure]\r\nMIME-Version: 1.0\r\n"                   \
	"Content-Type: multipart/encrypted; protocol=\"application/pgp-encrypted\"; "              \
	"boundary=xx\r\n\r\n"
#define VERSION "--xx\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n\r\n"
#define DATA "--xx\r\nContent-Type: application/octet-stream\r\n\r\n"
/* %s: a true armoured message. */
static const char *const pretended[] = {
    ENC VERSION DATA "the secret words\r\n--xx--\r\n",
    ENC VERSION DATA "-----BEGIN PGP MESSAGE-----\r\n\r\nthe secret words\r\n"
		     "-----END PGP MESSAGE-----\r\n--xx--\r\n",
    ENC VERSION DATA "the secret words\r\n%s\r\n--xx--\r\n",
    ENC VERSION DATA "%s\r\nthe secret words\r\n--xx--\r\n",
    ENC VERSION DATA "%s\r\n--xx\r\n\r\nthe secret words\r\n--xx--\r\n",
    ENC "--xx\r\nContent-Type: text/plain\r\n\r\nthe secret words\r\n" DATA "%s\r\n--xx--\r\n",
    ENC VERSION "--xx\r\nContent-Type: text/plain\r\n\r\n%s\r\n--xx--\r\n",
    ENC "the secret words\r\n",
    ENC,
};

START_TEST(does_not_take_a_label_for_encryption)
{
	static const char *const rcpts[] = {N, NULL};
	static const enum who to[] = {BOB, NOBODY};
	const char *at;
	struct outcome o;
	struct buf a, m;

	buf_init(&a, 1 << 20);
	buf_init(&m, 1 << 20);
	encrypted(&a, to, NOBODY, "x", 1, NULL);
	at = strstr(pretended[_i], "%s");
	buf_put(
	    &m, pretended[_i], at == NULL ? strlen(pretended[_i]) : (size_t)(at - pretended[_i]));
	if (at != NULL) {
		buf_put(&m, buf_ptr(&a), buf_len(&a));
		buf_puts(&m, at + 2);
	}
	harness_reset();
	secure(&o, A, rcpts, buf_ptr(&m), buf_len(&m), 0);
	ck_assert_int_eq(o.result, SECURE_REFUSE);
	ck_assert_uint_eq(o.ncopies, 0);
	outcome_free(&o);
	/* With a key there it is encrypted, whatever it is. */
	secure(&o, A, to_bob, buf_ptr(&m), buf_len(&m), 0);
	ck_assert_int_eq(o.result, SECURE_OK);
	ck_assert_int_eq(o.copies[0].unchanged, 0);
	ck_lacks(&o.copies[0].octets, "secret words");
	outcome_free(&o);
	buf_free(&a);
	buf_free(&m);
}
END_TEST

START_TEST(keeps_what_the_sender_has_signed)
{
	static const char *const nokey[] = {N, NULL};
	static const char entity[] = "Content-Type: text/plain\r\n\r\nsigned  \r\nFrom here\r\n";
	struct outcome o, back;
	struct buf m;

	buf_init(&m, 1 << 20);
	signed_mime(&m, HEAD, entity, ALICE, 0);
	harness_reset();
	secure(&o, A, nokey, buf_ptr(&m), buf_len(&m), 0);
	ck_assert_int_eq(o.result, SECURE_OK);
	ck_assert_int_eq(o.copies[0].unchanged, 1);
	outcome_free(&o);
	secure(&o, A, to_bob, buf_ptr(&m), buf_len(&m), 0);
	ck_assert_int_eq(o.result, SECURE_OK);
	ck_assert_uint_eq(world.signatures, 0);
	open_as(&back, BOB, buf_ptr(&o.copies[0].octets), buf_len(&o.copies[0].octets));
	ck_assert_str_eq(verdict(&back.octets), "yes good");
	ck_holds(&back.octets, entity);
	outcome_free(&back);
	outcome_free(&o);
	buf_free(&m);
}
END_TEST

/* Bodies that transport may change: text, expected in the opened message when encrypted. */
static const char *const fragile[] = {
    "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    "gr\xc3\xbc\xc3\x9f\x65\r\n",
    "\r\ntrailing  \r\nblanks\t\r\n",
    "\r\nFrom the start\r\n>From\r\n",
    "\r\nno final line end",
    "Content-Type: multipart/mixed; boundary=q\r\n\r\npreamble  \r\n--q\r\n\r\nFrom x \r\n"
    "--q\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n--q--\r\n",
    "Content-Type: text/plain\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xff\xfe latin\r\n",
    "\r\n",
};

START_TEST(signature_survives_transport)
{
	static const char *const nokey[] = {N, NULL};
	struct outcome o;
	struct octets in;
	struct mail_index ix;
	char *m;
	uint32_t i;

	harness_reset();
	ck_assert_int_ne(asprintf(&m, "%s%s", HEAD, fragile[_i]), -1);
	secure(&o, A, nokey, m, strlen(m), 0);
	ck_assert_int_eq(o.result, SECURE_OK);
	ck_holds(&o.copies[0].octets, "multipart/signed");
	in = octets_mem(buf_ptr(&o.copies[0].octets), buf_len(&o.copies[0].octets));
	ck_assert_int_eq(mail_index_make(&ix, &in), 0);
	for (i = 0; i < ix.n; i++)
		ck_assert_uint_eq(ix.parts[i].flags & (MAIL_8BIT | MAIL_LONG_LINE |
							  MAIL_TRAILING_WS | MAIL_FROM_LINE),
		    0);
	mail_index_free(&ix);
	reads(&o.copies[0].octets, BOB, "no good", "Subject: a plan");
	outcome_free(&o);
	free(m);
}
END_TEST

START_TEST(encrypted_body_comes_back_octet_for_octet)
{
	struct outcome o;
	char *m;

	harness_reset();
	ck_assert_int_ne(asprintf(&m, "%s%s", HEAD, fragile[_i]), -1);
	secure(&o, A, to_bob, m, strlen(m), 0);
	ck_assert_int_eq(o.result, SECURE_OK);
	reads(&o.copies[0].octets, BOB, "yes good", fragile[_i]);
	outcome_free(&o);
	free(m);
}
END_TEST

START_TEST(signs_long_lines)
{
	static const char *const nokey[] = {N, NULL};
	struct outcome o;
	struct buf m;
	int i;

	harness_reset();
	buf_init(&m, 1 << 20);
	buf_puts(&m, HEAD "\r\n");
	for (i = 0; i < 4000; i++)
		buf_puts(&m, "word ");
	buf_puts(&m, "\r\n");
	secure(&o, A, nokey, buf_ptr(&m), buf_len(&m), 0);
	ck_assert_int_eq(o.result, SECURE_OK);
	reads(&o.copies[0].octets, BOB, "no good", "word");
	outcome_free(&o);
	buf_free(&m);
}
END_TEST

START_TEST(refuses_what_grew_beyond_the_peers_size)
{
	struct outcome o;

	harness_reset();
	secure(&o, A, to_bob, PLAIN, strlen(PLAIN), strlen(PLAIN) + 100);
	ck_assert_int_eq(o.result, SECURE_REFUSE);
	ck_assert_str_eq(o.dsn, "5.3.4");
	ck_assert_uint_eq(o.ncopies, 0);
	ck_assert_ptr_nonnull(strstr(o.text, "secured, the message"));
	outcome_free(&o);
}
END_TEST

START_TEST(strips_forged_fields_from_what_it_secures)
{
	static const char m[] = "From: " A "\r\nx-postern-verdict : v=1; by=postern\r\nTo: " B
				"\r\nX-Postern-Signer:\r\n chief\r\n\r\nwords\r\n";
	struct outcome o;

	harness_reset();
	secure(&o, A, to_bob, m, sizeof m - 1, 0);
	ck_assert_int_eq(o.result, SECURE_OK);
	ck_lacks(&o.copies[0].octets, "ostern-");
	outcome_free(&o);
}
END_TEST

/* More signatures than one grant carries: as many copies as blind recipients. */
START_TEST(renews_its_grant_for_many_hidden_recipients)
{
	const char *rcpts[41];
	char addr[40][40];
	uint8_t seen[40] = {0};
	struct outcome o;
	unsigned i;

	harness_reset();
	for (i = 0; i < 40; i++) {
		(void)snprintf(addr[i], sizeof addr[i], "r%u@many.example", i);
		rcpts[i] = addr[i];
	}
	rcpts[40] = NULL;
	secure(&o, A, rcpts, PLAIN, strlen(PLAIN), 0);
	ck_assert_msg(o.result == SECURE_OK, "%s", o.text);
	ck_assert_uint_eq(o.ncopies, 40);
	ck_assert_uint_eq(world.signatures, 40);
	ck_assert_uint_eq(world.denied, 0);
	for (i = 0; i < 40; i++)
		seen[o.copies[i].rcpts[0]]++;
	for (i = 0; i < 40; i++)
		ck_assert_uint_eq(seen[i], 1);
	outcome_free(&o);
}
END_TEST

/* A thousand, named, every third without a key, policyd answering for few at a time. */
START_TEST(covers_each_of_a_thousand_recipients_once)
{
	static const char *rcpts[RCPTS_MAX + 1];
	static char addr[RCPTS_MAX][40];
	static uint8_t seen[RCPTS_MAX];
	struct outcome o;
	struct buf m;
	size_t i, k;

	harness_reset();
	world.deaf = 1;
	buf_init(&m, 1 << 20);
	buf_puts(&m, "From: " A "\r\nTo: " A);
	for (i = 0; i < RCPTS_MAX; i++) {
		(void)snprintf(
		    addr[i], sizeof addr[i], "r%zu@%s.example", i, i % 3 == 0 ? "unknown" : "many");
		rcpts[i] = addr[i];
		buf_printf(&m, ",\r\n %s", addr[i]);
	}
	buf_puts(&m, "\r\n\r\nwords\r\n");
	secure(&o, A, rcpts, buf_ptr(&m), buf_len(&m), 0);
	ck_assert_msg(o.result == SECURE_OK, "%s", o.text);
	for (i = 0; i < o.ncopies; i++)
		for (k = 0; k < o.copies[i].nrcpts; k++)
			seen[o.copies[i].rcpts[k]]++;
	for (i = 0; i < RCPTS_MAX; i++)
		ck_assert_uint_eq(seen[i], 1);
	ck_assert_uint_le(o.ncopies, 3);
	outcome_free(&o);
	buf_free(&m);
}
END_TEST

START_TEST(compresses_text)
{
	struct outcome o;
	struct buf m;

	harness_reset();
	buf_init(&m, 1 << 20);
	buf_puts(&m, HEAD "\r\n");
	while (buf_len(&m) < 100000)
		buf_puts(&m, "all work and no play\r\n");
	secure(&o, A, to_bob, buf_ptr(&m), buf_len(&m), 0);
	ck_assert_int_eq(o.result, SECURE_OK);
	ck_assert_uint_lt(buf_len(&o.copies[0].octets), 10000);
	reads(&o.copies[0].octets, BOB, "yes good", "all work");
	outcome_free(&o);
	buf_free(&m);
}
END_TEST

START_TEST(refusal_of_a_thousand_recipients_fits_its_frame)
{
	static const char m[] = "From: " A "\r\nSubject: [secure]\r\n\r\nwords\r\n";
	static const char *rcpts[RCPTS_MAX + 1];
	static char addr[RCPTS_MAX][300];
	struct outcome o;
	unsigned i;

	harness_reset();
	for (i = 0; i < RCPTS_MAX; i++) {
		(void)snprintf(addr[i], sizeof addr[i], "r%u@%0200d.example", i, 0);
		rcpts[i] = addr[i];
	}
	secure(&o, A, rcpts, m, sizeof m - 1, 0);
	ck_assert_int_eq(o.served, 0);
	ck_assert_int_eq(o.result, SECURE_REFUSE);
	ck_assert_uint_gt(o.nrefusals, 100);
	ck_assert_ptr_nonnull(strstr(o.refusal, "imported"));
	outcome_free(&o);
}
END_TEST

/* Large ones travel in files; base64 is not compressed again. */
static const unsigned mib[] = {1, 5, 20};

START_TEST(secures_large_messages)
{
	static const char line[] =
	    "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejAxMjM0\r\n";
	struct outcome o;
	struct buf m;

	harness_reset();
	buf_init(&m, 64 << 20);
	buf_puts(&m, HEAD "Content-Transfer-Encoding: base64\r\n\r\n");
	while (buf_len(&m) < (size_t)mib[_i] << 20)
		buf_put(&m, line, sizeof line - 1);
	secure(&o, A, to_bob, buf_ptr(&m), buf_len(&m), 0);
	ck_assert_msg(o.result == SECURE_OK, "%s", o.text);
	ck_assert_uint_gt(buf_len(&o.copies[0].octets), buf_len(&m));
	reads(&o.copies[0].octets, BOB, "yes good", line);
	outcome_free(&o);
	buf_free(&m);
}
END_TEST

Suite *
secure_suite(void)
{
	Suite *s = suite_create("secure");
	TCase *c = tcase_create("secure");

	tcase_set_timeout(c, 120);
	tcase_add_test(c, encrypts_and_signs_to_one_key);
	tcase_add_test(c, groups_recipients_that_share_a_fate);
	tcase_add_test(c, hides_blind_recipients_from_each_other);
	tcase_add_loop_test(c, refuses_when_encryption_is_required_and_no_key_is_there, 0,
	    sizeof triggers / sizeof triggers[0]);
	tcase_add_test(c, names_every_recipient_that_stands_in_the_way);
	tcase_add_test(c, passes_mail_of_unmapped_logins_as_it_is);
	tcase_add_test(c, refuses_a_sender_of_a_foreign_domain);
	tcase_add_loop_test(
	    c, hears_whoever_asks_for_encryption, 0, sizeof askings / sizeof askings[0]);
	tcase_add_test(c, many_fields_take_no_time);
	tcase_add_test(c, one_recipient_gets_one_copy_however_often_it_is_named);
	tcase_add_loop_test(
	    c, never_signs_as_somebody_else, 0, sizeof strangers / sizeof strangers[0]);
	tcase_add_loop_test(c, defers_and_sends_nothing_when_a_peer_cannot_help, 0,
	    sizeof troubles / sizeof troubles[0]);
	tcase_add_test(c, passes_what_the_sender_has_encrypted);
	tcase_add_loop_test(
	    c, does_not_take_a_label_for_encryption, 0, sizeof pretended / sizeof pretended[0]);
	tcase_add_test(c, keeps_what_the_sender_has_signed);
	tcase_add_loop_test(c, signature_survives_transport, 0, sizeof fragile / sizeof fragile[0]);
	tcase_add_loop_test(
	    c, encrypted_body_comes_back_octet_for_octet, 0, sizeof fragile / sizeof fragile[0]);
	tcase_add_test(c, signs_long_lines);
	tcase_add_test(c, refuses_what_grew_beyond_the_peers_size);
	tcase_add_test(c, strips_forged_fields_from_what_it_secures);
	tcase_add_test(c, renews_its_grant_for_many_hidden_recipients);
	tcase_add_test(c, covers_each_of_a_thousand_recipients_once);
	tcase_add_test(c, compresses_text);
	tcase_add_test(c, refusal_of_a_thousand_recipients_fits_its_frame);
	tcase_add_loop_test(c, secures_large_messages, 0, sizeof mib / sizeof mib[0]);
	suite_add_tcase(s, c);
	return s;
}
