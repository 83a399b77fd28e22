/* What is shown of a verdict in the text, and what stays of it when a message is opened again. */
#include <stdio.h>
#include <string.h>

#include <openssl/sha.h>

#include "base/enc.h"
#include "filterd/banner.h"
#include "filterd/mask.h"
#include "filterd/sticky.h"
#include "mail/mime.h"
#include "mail/write.h"
#include "t/unit/filterd/harness.h"

Suite *banner_suite(void);

#define HEAD                                                                                       \
	"Received: from somewhere\r\nFrom: Bob <bob@partner.example>\r\nTo: alice@our.example\r\n" \
	"Subject: outer\r\n"
#define ENTITY "Content-Type: text/plain; charset=utf-8\r\n\r\nthe secret words\r\n"

static const enum who to_alice[] = {ALICE, NOBODY};
static const enum who to_carol[] = {CAROL, NOBODY};

/* A text with a block of armour in it. */
static void
stored_inline(struct buf *m, const char *before)
{
	struct buf a;

	buf_init(&a, 1 << 20);
	buf_init(m, 1 << 20);
	encrypted(&a, to_alice, BOB, "the secret words\r\n", 18, NULL);
	buf_printf(m, HEAD "Content-Type: text/plain\r\n\r\n%s%.*s", before, (int)buf_len(&a),
	    buf_ptr(&a));
	buf_free(&a);
}

/* The content of a part, decoded. */
static void
content(const struct octets *o, const struct mail_part *p, struct buf *out)
{
	struct sink to;

	buf_init(out, 1 << 20);
	to = sink_buf(out);
	ck_assert_int_eq(mail_part_decode(o, p, &to), 0);
}

/* The message is ours around the sender's: text and HTML of the banner; where his part is. */
static uint32_t
parts(const struct buf *m, struct mail_index *ix, struct octets *o, struct buf *text,
    struct buf *html)
{
	const struct mail_part *alt;
	uint32_t second;

	*o = octets_mem(buf_ptr(m), buf_len(m));
	ck_assert_int_eq(mail_index_make(ix, o), 0);
	ck_assert(mail_part_is(&ix->parts[0], "multipart", "mixed"));
	alt = &ix->parts[ix->parts[0].child];
	ck_assert(mail_part_is(alt, "multipart", "alternative"));
	ck_assert(mail_part_is(&ix->parts[alt->child], "text", "plain"));
	second = ix->parts[alt->child].next;
	ck_assert(mail_part_is(&ix->parts[second], "text", "html"));
	ck_assert_uint_eq(ix->parts[second].next, MAIL_NONE);
	content(o, &ix->parts[alt->child], text);
	content(o, &ix->parts[second], html);
	ck_assert_uint_ne(alt->next, MAIL_NONE);
	ck_assert_uint_eq(ix->parts[alt->next].next, MAIL_NONE);
	ck_assert_uint_eq(ix->parts[0].flags & MAIL_UNCLOSED, 0);
	return alt->next;
}

static const struct {
	enum who signer;
	const char *from, *want, *says;
} signers[] = {
    {BOB, "From: bob@partner.example\r\n", "yes good", "Good: signed by its sender"},
    {NOBODY, "From: bob@partner.example\r\n", "yes none", "Not signed"},
    {ERIN, "From: erin@partner.example\r\n", "yes expired-key", "had expired"},
    {RITA, "From: rita@partner.example\r\n", "yes revoked-key", "revoked"},
    {MALLORY, "From: mallory@evil.example\r\n", "yes no-key", "not known"},
    {CAROL, "From: bob@partner.example\r\n", "yes not-sender", "somebody else"},
};

START_TEST(shows_each_verdict_in_text_and_html_at_the_same_size)
{
	static size_t size;
	struct outcome o, plain;
	struct buf m, text, html;
	struct mail_index ix;
	struct octets in;
	char header[200];
	size_t i, n = sizeof signers / sizeof signers[0], added;
	uint32_t body;

	for (i = 0; i < n; i++) {
		harness_reset();
		(void)snprintf(header, sizeof header, "%sSubject: x\r\n", signers[i].from);
		stored(&m, header, to_alice, signers[i].signer, ENTITY);
		opens(&plain, &m, signers[i].want);
		world.banner = 1;
		opens(&o, &m, signers[i].want);
		body = parts(&o.octets, &ix, &in, &text, &html);
		ck_holds(&text, PHRASE);
		ck_holds(&html, PHRASE);
		ck_holds(&text, signers[i].says);
		ck_holds(&html, signers[i].says);
		ck_holds(&text, "was encrypted, and was opened");
		/* On failure nothing positive is said. */
		if (i != 0) {
			ck_lacks(&text, "Good");
			ck_lacks(&html, "Good");
			ck_lacks(&html, "#2a7d2a");
		} else {
			ck_holds(&text, "Signed by: bob@partner.example");
			ck_holds(&html, "Signed by: bob@partner.example");
		}
		/* The sender's entity stands there as it was. */
		ck_assert_uint_eq(
		    ix.parts[body].head_len + ix.parts[body].body_len, strlen(ENTITY));
		ck_assert_mem_eq(
		    buf_ptr(&o.octets) + ix.parts[body].head_off, ENTITY, strlen(ENTITY));
		/* No verdict adds more than another. */
		added = buf_len(&o.octets) - buf_len(&plain.octets);
		if (i == 0)
			size = added;
		ck_assert_uint_eq(added, size);
		mail_index_free(&ix);
		buf_free(&text);
		buf_free(&html);
		buf_free(&m);
		outcome_free(&o);
		outcome_free(&plain);
	}
}
END_TEST

START_TEST(the_same_message_looks_the_same_and_senders_cannot_know_the_boundary)
{
	struct outcome a, b, c;
	struct buf m;

	harness_reset();
	world.banner = 1;
	stored(&m, HEAD, to_alice, BOB, ENTITY);
	opens(&a, &m, "yes good");
	opens(&b, &m, "yes good");
	ck_assert_uint_eq(buf_len(&a.octets), buf_len(&b.octets));
	ck_assert_mem_eq(buf_ptr(&a.octets), buf_ptr(&b.octets), buf_len(&a.octets));
	buf_free(&m);
	/* Whoever mails back what he got sees other boundaries. */
	buf_init(&m, 1 << 20);
	signed_mime(&m, HEAD, ENTITY, BOB, 0);
	opens(&c, &m, "no good");
	ck_assert_ptr_null(memmem(buf_ptr(&c.octets), buf_len(&c.octets),
	    memmem(buf_ptr(&a.octets), buf_len(&a.octets), "=_m_", 4), 36));
	outcome_free(&a);
	outcome_free(&b);
	outcome_free(&c);
	buf_free(&m);
}
END_TEST

START_TEST(a_boundary_cannot_be_tried_by_one_digest)
{
	uint8_t in[32 + sizeof PHRASE - 1], sum[32];
	char quick[2 * sizeof sum + 1];
	struct outcome o;
	struct buf m;

	harness_reset();
	world.banner = 1;
	stored(&m, HEAD, to_alice, BOB, ENTITY);
	opens(&o, &m, "yes good");
	(void)SHA256(buf_ptr(&m), buf_len(&m), in);
	memcpy(in + 32, PHRASE, sizeof PHRASE - 1);
	hex_encode(quick, SHA256(in, sizeof in, sum), 16);
	ck_holds(&o.octets, "=_m_");
	ck_lacks(&o.octets, quick);
	outcome_free(&o);
	buf_free(&m);
}
END_TEST

START_TEST(signed_mail_stays_verifiable_inside)
{
	struct outcome o;
	struct buf m, text, html;
	struct mail_index ix, was;
	struct octets in, old;
	uint32_t body;

	harness_reset();
	world.banner = 1;
	buf_init(&m, 1 << 20);
	signed_mime(&m, HEAD, ENTITY, BOB, 0);
	opens(&o, &m, "no good");
	body = parts(&o.octets, &ix, &in, &text, &html);
	ck_holds(&text, "was not encrypted");
	ck_assert(mail_part_is(&ix.parts[body], "multipart", "signed"));
	old = octets_mem(buf_ptr(&m), buf_len(&m));
	ck_assert_int_eq(mail_index_make(&was, &old), 0);
	/* The body octet for octet, but for the line end in front of our delimiter. */
	ck_assert_uint_eq(ix.parts[body].body_len, was.parts[0].body_len);
	ck_assert_mem_eq(buf_ptr(&o.octets) + ix.parts[body].body_off,
	    buf_ptr(&m) + was.parts[0].body_off, was.parts[0].body_len);
	mail_index_free(&ix);
	mail_index_free(&was);
	buf_free(&text);
	buf_free(&html);
	buf_free(&m);
	outcome_free(&o);
}
END_TEST

START_TEST(armour_in_text_has_a_banner_too)
{
	struct outcome o;
	struct buf m, text, html, body;
	struct mail_index ix;
	struct octets in;
	uint32_t i;

	harness_reset();
	world.banner = 1;
	stored_inline(&m, "");
	opens(&o, &m, "yes good");
	i = parts(&o.octets, &ix, &in, &text, &html);
	content(&in, &ix.parts[i], &body);
	ck_holds(&body, "the secret words");
	ck_lacks(&body, "BEGIN PGP");
	mail_index_free(&ix);
	buf_free(&text);
	buf_free(&html);
	buf_free(&body);
	buf_free(&m);
	outcome_free(&o);
	stored_inline(&m, "in clear\r\n");
	opens(&o, &m, "partly partly-good");
	i = parts(&o.octets, &ix, &in, &text, &html);
	ck_holds(&text, "only for parts");
	ck_holds(&text, "Only parts");
	mail_index_free(&ix);
	buf_free(&text);
	buf_free(&html);
	buf_free(&m);
	outcome_free(&o);
}
END_TEST

START_TEST(what_cannot_be_opened_is_told_in_the_banner)
{
	struct outcome o;
	struct buf m, text, html;
	struct mail_index ix;
	struct octets in;
	uint32_t i;

	harness_reset();
	world.banner = 1;
	stored(&m, HEAD, to_alice, BOB, ENTITY);
	world.false_key = 1;
	opens(&o, &m, "failed none");
	i = parts(&o.octets, &ix, &in, &text, &html);
	ck_assert(mail_part_is(&ix.parts[i], "multipart", "encrypted"));
	ck_holds(&text, "could not be opened");
	mail_index_free(&ix);
	buf_free(&text);
	buf_free(&html);
	buf_free(&m);
	outcome_free(&o);
}
END_TEST

START_TEST(what_is_not_ours_has_no_banner)
{
	struct outcome o;
	struct buf m;
	static const char forged[] = "X-Postern-Verdict: x\r\n" HEAD "\r\nplain text\r\n";

	harness_reset();
	world.banner = 1;
	stored(&m, HEAD, to_carol, BOB, ENTITY);
	open_as(&o, ALICE, buf_ptr(&m), buf_len(&m));
	ck_assert_int_eq(o.result, OPEN_UNCHANGED);
	outcome_free(&o);
	open_as(&o, ALICE, forged, sizeof forged - 1);
	ck_assert_int_eq(o.result, OPEN_VIRTUAL);
	ck_lacks(&o.octets, PHRASE);
	ck_lacks(&o.octets, "Postern");
	outcome_free(&o);
	buf_free(&m);
	/* Nobody's session has no phrase: the header tells, no banner that looks like anybody's. */
	buf_init(&m, 1 << 20);
	signed_mime(&m, HEAD, ENTITY, BOB, 0);
	open_as(&o, NOBODY, buf_ptr(&m), buf_len(&m));
	ck_assert_int_eq(o.result, OPEN_VIRTUAL);
	ck_assert_str_eq(verdict(&o.octets), "no good");
	ck_lacks(&o.octets, "Notice of the mail gateway");
	outcome_free(&o);
	buf_free(&m);
}
END_TEST

static const char look_alike[] =
    "Content-Type: text/plain\r\n\r\n[ Notice of the mail gateway. Your phrase: x ]\r\n"
    "Signature: Good: signed by its sender, and unchanged.\r\n";

START_TEST(hostile_bodies_stay_in_their_part)
{
	static const char *const plain[] = {
	    /* multiparts that are not closed, or close more than they opened */
	    "Content-Type: multipart/mixed; boundary=\"q\"\r\n\r\n--q\r\n\r\nx\r\n",
	    "Content-Type: multipart/mixed; boundary=\"q\"\r\n\r\n--q--\r\n--q--\r\n--=_m_\r\n",
	    "Content-Type: multipart/mixed; boundary=\"=_m_\"\r\n\r\n--=_m_\r\n\r\nx\r\n",
	    "Content-Type: text/plain\r\n\r\n--=_m_00000000000000000000000000000000--\r\n",
	    "Content-Type: text/html\r\n\r\n<style>div{display:none}</style><!-- <div>\r\n",
	    "Content-Type: message/rfc822\r\n\r\nSubject: x\r\n",
	    "Content-Type: text/plain",
	    "",
	    /* his idea of our banner */
	    look_alike,
	};
	struct outcome o;
	struct buf m, text, html;
	struct mail_index ix;
	struct octets in;
	size_t i;

	for (i = 0; i < sizeof plain / sizeof plain[0]; i++) {
		harness_reset();
		world.banner = 1;
		stored(&m, HEAD, to_alice, MALLORY, plain[i]);
		opens(&o, &m, "yes no-key");
		(void)parts(&o.octets, &ix, &in, &text, &html);
		ck_holds(&text, PHRASE);
		ck_holds(&text, "the signer's key is not known");
		mail_index_free(&ix);
		buf_free(&text);
		buf_free(&html);
		buf_free(&m);
		outcome_free(&o);
	}
}
END_TEST

/* ---- the banner by itself ---- */

static void
make(const struct mail_verdict *v, const char *phrase, struct buf *out)
{
	static const uint8_t key[BANNER_KEY_LEN];
	struct reading r;
	struct sink to = sink_buf(out);

	memset(&r, 0, sizeof r);
	r.phrase = phrase;
	r.banner_key = key;
	buf_init(out, 2 * BANNER_LEN);
	ck_assert_int_eq(banner_begin(&r, v, &to), 0);
}

START_TEST(every_banner_is_as_long_as_every_other)
{
	char amp[MAIL_ADDR_MAX + 1], wide[MAIL_ADDR_MAX + 1], quote[MAIL_ADDR_MAX + 1];
	const char *const who[] = {NULL, "a@b.test", amp, wide, quote};
	struct mail_verdict v;
	struct buf b;
	size_t i;
	int d, s;

	memset(amp, '&', MAIL_ADDR_MAX);
	memset(quote, '"', MAIL_ADDR_MAX);
	for (i = 0; i < MAIL_ADDR_MAX; i++)
		wide[i] = (char)(i % 2 == 0 ? 0xc3 : 0xbc);
	amp[MAIL_ADDR_MAX] = wide[MAIL_ADDR_MAX] = quote[MAIL_ADDR_MAX] = '\0';
	for (d = MAIL_DEC_NO; d <= MAIL_DEC_NO_INTEGRITY; d++)
		for (s = MAIL_SIG_NONE; s <= MAIL_SIG_DAMAGED; s++)
			for (i = 0; i < sizeof who / sizeof who[0]; i++) {
				v = (struct mail_verdict){.decrypted = (enum mail_decrypted)d,
				    .signature = (enum mail_signature)s,
				    .signer = who[i],
				    .fingerprint = "0123456789ABCDEF0123456789ABCDEF"
						   "0123456789ABCDEF0123456789ABCDEF"};
				make(&v, i % 2 == 0 ? PHRASE : "short", &b);
				ck_assert_uint_eq(buf_len(&b), BANNER_LEN);
				buf_free(&b);
			}
}
END_TEST

START_TEST(signers_names_cannot_write_into_the_banner)
{
	static const struct {
		const char *name, *lacks, *holds;
	} t[] = {
	    {"<script>x</script>@a.test", "<script>", "&lt;script&gt;"},
	    {"\"</div></body>\"@a.test", "\"</div></body>\"@", "&#34;&lt;/div"},
	    {"a'&amp;@a.test", "a'&amp;@", "a&#39;&amp;amp;@"},
	    {"x@a.test\r\nSignature: Good", "x@a.test\r\n", "x@a.test??Signature: Good"},
	    {"\xe2\x80\xaetset.a@x", "\xe2\x80\xae", "?tset.a@x"},
	    {"\xff\xfe@a.test", "\xff", "??@a.test"},
	};
	struct mail_verdict v = {.decrypted = MAIL_DEC_YES, .signature = MAIL_SIG_GOOD};
	struct buf b, whole, text, html;
	struct mail_index ix;
	struct octets in;
	size_t i;

	for (i = 0; i < sizeof t / sizeof t[0]; i++) {
		v.signer = t[i].name;
		make(&v, PHRASE, &b);
		buf_init(&whole, 2 * BANNER_LEN);
		buf_printf(&whole, "%.*s\r\nx\r\n--=_m_", (int)buf_len(&b), buf_ptr(&b));
		buf_printf(&whole, "%.32s--\r\n",
		    (const char *)memmem(buf_ptr(&b), buf_len(&b), "=_m_", 4) + 4);
		(void)parts(&whole, &ix, &in, &text, &html);
		ck_lacks(&html, t[i].lacks);
		ck_holds(&html, t[i].holds);
		ck_lacks(&text, "\r\nSignature: Good\r\n");
		mail_index_free(&ix);
		buf_free(&text);
		buf_free(&html);
		buf_free(&whole);
		buf_free(&b);
	}
}
END_TEST

/* ---- sticky ---- */

/* Open again with what was kept. */
static void
again(struct outcome *o, const struct outcome *before, const struct buf *m, const char *want)
{
	world.sticky = before->sticky;
	world.nsticky = before->nsticky;
	opens(o, m, want);
	world.nsticky = 0;
}

START_TEST(a_verdict_never_gets_better_by_itself)
{
	struct outcome first, later, fresh;
	struct buf m;
	int b;

	for (b = 0; b < 2; b++) {
		harness_reset();
		world.banner = b;
		stored(&m, HEAD, to_alice, BOB, ENTITY);
		world.unknown = 1U << BOB;
		opens(&first, &m, "yes no-key");
		ck_assert_uint_eq(first.nsticky, STICKY_LEN);
		ck_lacks(&first.octets, "X-Postern-Signer");
		world.unknown = 0;
		again(&later, &first, &m, "yes no-key");
		ck_assert_uint_eq(buf_len(&first.octets), buf_len(&later.octets));
		ck_assert_mem_eq(
		    buf_ptr(&first.octets), buf_ptr(&later.octets), buf_len(&first.octets));
		ck_assert_mem_eq(first.sticky, later.sticky, STICKY_LEN);
		/* Without what was kept it is what it is. */
		opens(&fresh, &m, "yes good");
		outcome_free(&first);
		outcome_free(&later);
		outcome_free(&fresh);
		buf_free(&m);
	}
}
END_TEST

START_TEST(a_verdict_may_get_worse_at_the_same_size)
{
	struct outcome first, later, last;
	struct buf m;
	int b;

	for (b = 0; b < 2; b++) {
		harness_reset();
		world.banner = b;
		stored(&m, HEAD, to_alice, BOB, ENTITY);
		opens(&first, &m, "yes good");
		ck_holds(&first.octets, "X-Postern-Signer: bob@partner.example");
		people[BOB].keys[0].revoked = 1;
		again(&later, &first, &m, "yes revoked-key");
		people[BOB].keys[0].revoked = 0;
		ck_holds(&later.octets, "X-Postern-Signer: - ");
		ck_lacks(&later.octets, "Good");
		ck_assert_uint_eq(buf_len(&first.octets), buf_len(&later.octets));
		/* And it stays so, if this is kept. */
		again(&last, &later, &m, "yes revoked-key");
		ck_assert_uint_eq(buf_len(&first.octets), buf_len(&last.octets));
		ck_lacks(&last.octets, "X-Postern-Signer: bob");
		outcome_free(&first);
		outcome_free(&later);
		outcome_free(&last);
		buf_free(&m);
	}
}
END_TEST

START_TEST(what_was_kept_of_another_message_or_is_malformed_has_no_effect)
{
	struct outcome first, o;
	struct buf m, other;
	unsigned i;

	harness_reset();
	world.unknown = 1U << BOB;
	stored(&m, HEAD, to_alice, BOB, ENTITY);
	opens(&first, &m, "yes no-key");
	world.unknown = 0;
	stored(&other, HEAD, to_alice, BOB, ENTITY);
	again(&o, &first, &other, "yes good");
	outcome_free(&o);
	for (i = 0; i < STICKY_LEN; i++) {
		struct outcome bad = first;

		/* An unknown version or verdict, a length out of bounds, other octets. */
		bad.sticky[i] ^= i == 2 || i == 3 ? 0x0f : 0xff;
		again(&o, &bad, &m, "yes good");
		outcome_free(&o);
	}
	first.nsticky = STICKY_LEN - 1;
	again(&o, &first, &m, "yes good");
	outcome_free(&o);
	outcome_free(&first);
	buf_free(&m);
	buf_free(&other);
}
END_TEST

START_TEST(nothing_is_kept_while_a_key_is_missing)
{
	struct outcome o;
	struct buf m, a;
	static const char plain[] = HEAD "\r\nplain text\r\n";

	harness_reset();
	stored(&m, HEAD, to_carol, BOB, ENTITY);
	open_as(&o, ALICE, buf_ptr(&m), buf_len(&m));
	ck_assert_int_eq(o.result, OPEN_UNCHANGED);
	ck_assert_uint_eq(o.nsticky, 0);
	outcome_free(&o);
	buf_free(&m);
	/* A block for us and one for carol. */
	stored_inline(&m, "");
	buf_init(&a, 1 << 20);
	encrypted(&a, to_carol, BOB, "x", 1, NULL);
	buf_put(&m, buf_ptr(&a), buf_len(&a));
	opens(&o, &m, "partly partly-good");
	ck_assert_uint_eq(o.nsticky, 0);
	outcome_free(&o);
	/* What will look the same for ever may be kept, unchanged or not. */
	open_as(&o, ALICE, plain, sizeof plain - 1);
	ck_assert_int_eq(o.result, OPEN_UNCHANGED);
	ck_assert_uint_eq(o.nsticky, STICKY_LEN);
	outcome_free(&o);
	world.opening = OPENING_DEFER;
	open_as(&o, ALICE, buf_ptr(&m), buf_len(&m));
	ck_assert_int_eq(o.result, OPEN_DEFER);
	ck_assert_uint_eq(o.nsticky, 0);
	outcome_free(&o);
	buf_free(&m);
	buf_free(&a);
}
END_TEST

/* ---- what is sent ---- */

/* A message from alice, and whether the phrase went out with it to whom. */
static void
sends(const char *rcpt, const struct buf *m, struct outcome *o)
{
	const char *to[] = {rcpt, NULL};

	secure(o, "alice@our.example", to, buf_ptr(m), buf_len(m), 0);
	ck_assert_msg(o->result == SECURE_OK && o->ncopies == 1, "%s", o->text);
}

#define OUT "From: alice@our.example\r\nTo: x@nokey.example\r\nSubject: x\r\n"

static const struct {
	const char *cte, *text;
} quotes[] = {
    {"7bit", "> [ Notice of the mail gateway. Your phrase: " PHRASE " ]\r\n" PHRASE "\r\n"},
    {"quoted-printable", "Your phrase: toka=\r\nlirumesipona=\r\n" PHRASE "=0A\r\n"},
    {"quoted-printable", "toka=\nlirumesipon=\r\na\r\n"},
    {"base64", "a " PHRASE " b"},
    {"base64", "ab " PHRASE " b"},
    {"base64", "abc " PHRASE " b"},
    {"base64", "some forty octets of text go in front here a " PHRASE " b"},
    {"base64", "some forty octets of text go in front here ab " PHRASE " b"},
};

START_TEST(a_quoted_banner_does_not_tell_the_phrase)
{
	struct buf m, text;
	struct outcome o;
	struct mail_index ix;
	struct octets in;
	struct mail_filter f;
	struct sink to;

	harness_reset();
	buf_init(&m, 1 << 20);
	buf_printf(&m,
	    OUT "MIME-Version: 1.0\r\nContent-Type: text/plain\r\n"
		"Content-Transfer-Encoding: %s\r\n\r\n",
	    quotes[_i].cte);
	if (strcmp(quotes[_i].cte, "base64") == 0) {
		to = sink_buf(&m);
		mail_filter_init(&f, MAIL_B64_ENCODE, &to);
		ck_assert_int_eq(
		    mail_filter_write(&f, quotes[_i].text, strlen(quotes[_i].text)), 0);
		ck_assert_int_eq(mail_filter_end(&f), 0);
	} else
		buf_puts(&m, quotes[_i].text);
	/* From a login of ours that may not sign it leaves unchanged otherwise. */
	world.consumer = ALICE;
	sends("x@nokey.example", &m, &o);
	ck_assert_int_eq(o.copies[0].unchanged, 0);
	in = octets_mem(buf_ptr(&o.copies[0].octets), buf_len(&o.copies[0].octets));
	ck_assert_int_eq(mail_index_make(&ix, &in), 0);
	content(&in, &ix.parts[ix.parts[0].child], &text);
	ck_lacks(&text, PHRASE);
	ck_lacks(&text, "lirumesi");
	ck_holds(&text, "xxxxxxxxxxxx");
	mail_index_free(&ix);
	buf_free(&text);
	outcome_free(&o);
	/* Somebody else's phrase is just a word. */
	world.consumer = CHIEF;
	sends("x@nokey.example", &m, &o);
	ck_assert_int_eq(o.copies[0].unchanged, 1);
	outcome_free(&o);
	buf_free(&m);
}
END_TEST

START_TEST(what_the_sender_signed_and_what_has_no_phrase_stays)
{
	struct octets in, masked;
	struct mail_index ix;
	struct outcome o;
	struct spool s;
	struct buf m;
	size_t i, at;
	uint8_t *p;

	harness_reset();
	buf_init(&m, 1 << 20);
	signed_mime(&m, OUT, "Content-Type: text/plain\r\n\r\n" PHRASE "\r\n", ALICE, 0);
	sends("x@nokey.example", &m, &o);
	ck_assert_int_eq(o.copies[0].unchanged, 1);
	outcome_free(&o);
	buf_free(&m);
	/* At each place around the borders of the windows it is found, and nothing else changes. */
	for (i = 0; i < 60; i += 3) {
		buf_init(&m, 1 << 20);
		buf_puts(&m, OUT "Content-Type: text/plain\r\n\r\n");
		while (buf_len(&m) < 64 * 1024 - 50 + i)
			buf_putc(&m, buf_len(&m) % 64 == 0 ? '\n' : 't');
		buf_puts(&m, PHRASE "\r\n");
		in = octets_mem(buf_ptr(&m), buf_len(&m));
		at = buf_len(&m) - PHRASE_LEN - 2;
		ck_assert_int_eq(mail_index_make(&ix, &in), 0);
		spool_init(&s, 1 << 20, -1);
		ck_assert_int_eq(mask_phrase(&in, &ix, PHRASE, &s), 1);
		ck_assert_int_eq(spool_octets(&s, &masked), 0);
		ck_assert_uint_eq(masked.size, in.size);
		ck_assert_ptr_nonnull(p = malloc(in.size));
		ck_assert_int_eq(octets_read(&masked, p, in.size, 0), 0);
		ck_assert_mem_eq(p, buf_ptr(&m), at);
		ck_assert_mem_eq(p + at, "xxxxxxxxxxxxxxxx\r\n", PHRASE_LEN + 2);
		free(p);
		spool_free(&s);
		mail_index_free(&ix);
		buf_free(&m);
	}
}
END_TEST

Suite *
banner_suite(void)
{
	const TTest *const tests[] = {shows_each_verdict_in_text_and_html_at_the_same_size,
	    the_same_message_looks_the_same_and_senders_cannot_know_the_boundary,
	    a_boundary_cannot_be_tried_by_one_digest, signed_mail_stays_verifiable_inside,
	    armour_in_text_has_a_banner_too, what_cannot_be_opened_is_told_in_the_banner,
	    what_is_not_ours_has_no_banner, hostile_bodies_stay_in_their_part,
	    every_banner_is_as_long_as_every_other, signers_names_cannot_write_into_the_banner,
	    a_verdict_never_gets_better_by_itself, a_verdict_may_get_worse_at_the_same_size,
	    what_was_kept_of_another_message_or_is_malformed_has_no_effect,
	    nothing_is_kept_while_a_key_is_missing,
	    what_the_sender_signed_and_what_has_no_phrase_stays, NULL};

	Suite *s = suite_create("banner");
	TCase *c = tcase_create("banner");
	size_t i;

	tcase_set_timeout(c, 120);
	for (i = 0; tests[i] != NULL; i++)
		tcase_add_test(c, tests[i]);
	tcase_add_loop_test(
	    c, a_quoted_banner_does_not_tell_the_phrase, 0, sizeof quotes / sizeof quotes[0]);
	suite_add_tcase(s, c);
	return s;
}
