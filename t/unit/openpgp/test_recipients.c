#include <errno.h>
#include <string.h>

#include "openpgp/container.h"
#include "openpgp/layers.h"
#include "openpgp/packet.h"
#include "t/unit/openpgp/people.h"
#include "t/unit/unit.h"

/* Messages put together by hand: PKESK packets in any order and number, hidden or not. */

#define HIDDEN 1
#define LITERAL_LEN 19
static const char literal[] = "\xcb\x11"
			      "b\x00\x00\x00\x00\x00"
			      "hello hello";

static unsigned unwraps;
static int locked = -1; /* whose key cannot be asked now */

static int
counted_unwrap(void *ctx, const uint8_t *fpr, size_t fprlen, const uint8_t *esk, size_t n,
    struct pgp_session_key *out)
{
	unwraps++;
	if (locked >= 0 && memcmp(fpr, people[locked].keys[1].fpr.p, fprlen) == 0) {
		errno = EAGAIN;
		return -1;
	}
	return secret.unwrap(ctx, fpr, fprlen, esk, n, out);
}

static const struct pgp_secret counted = {NULL, counted_unwrap, NULL};

static struct pgp_session_key
session_key(unsigned seed)
{
	struct pgp_session_key k = {.algo = PGP_CIPHER_AES256, .n = 32};

	for (unsigned i = 0; i < k.n; i++)
		k.key[i] = (uint8_t)(seed >> (8 * (i % 4)));
	return k;
}

static void
put(struct buf *b, unsigned tag, const void *p, size_t n)
{
	uint8_t head[PGP_HEAD_MAX];

	ck_assert_int_eq(buf_put(b, head, pgp_packet_head(head, tag, (uint32_t)n)), 0);
	ck_assert_int_eq(buf_put(b, p, n), 0);
}

static void
put_pkesk(struct buf *b, enum who who, int hidden, const struct pgp_session_key *key)
{
	const struct cert_key *k = &people[who].keys[1];
	struct pgp_pk *pk = pgp_pk_load(k, NULL);
	uint8_t body[10 + PGP_ESK_MAX] = {3};
	struct pgp_esk esk;

	ck_assert_int_eq(pgp_pk_wrap(pk, key, &esk), 0);
	if (!hidden)
		memcpy(body + 1, pgp_keyid(k->fpr.p, k->fpr.n), 8);
	body[9] = k->algo;
	memcpy(body + 10, esk.data, esk.n);
	put(b, PGP_TAG_PKESK, body, 10 + esk.n);
	pgp_pk_free(pk);
}

/* The container; its prefix, which choosing goes by. */
static void
put_data(struct buf *b, const struct pgp_session_key *key, uint8_t prefix[PGP_PREFIX_MAX])
{
	struct sink to = sink_buf(b);
	size_t at = buf_len(b);
	struct pgp_seipd s;

	ck_assert_int_eq(pgp_seipd_open(&s, key, &to), 0);
	ck_assert_int_eq(pgp_seipd_write(&s, literal, LITERAL_LEN), 0);
	ck_assert_int_eq(pgp_seipd_end(&s), 0);
	pgp_seipd_free(&s);
	/* tag, one octet of length, version */
	memcpy(prefix, (const uint8_t *)buf_ptr(b) + at + 3, PGP_PREFIX_MAX);
}

/* With the keys of everybody named in who, a bit each. */
static enum pgp_status
open_with(const struct buf *b, unsigned who, struct buf *plain)
{
	const struct cert_key *keys[PEOPLE];
	struct pgp_decrypt_params p = {.keys = keys, .secret = &counted, .now = NOW};
	struct octets in = octets_mem(buf_ptr(b), buf_len(b));
	struct sink out = sink_buf(plain);
	struct pgp_result r;

	for (unsigned i = 0; i < PEOPLE; i++)
		if (who & 1U << i)
			keys[p.nkeys++] = key_of[i];
	buf_drain(plain, buf_len(plain));
	unwraps = 0;
	if (pgp_decrypt(&in, &p, &out, &r, NULL) == 0) {
		ck_assert_uint_eq(buf_len(plain), 11);
		ck_assert_mem_eq(buf_ptr(plain), "hello hello", 11);
		ck_assert(r.integrity);
	}
	return r.status;
}

struct scene {
	struct buf b, data, plain;
	struct pgp_session_key key;
	uint8_t prefix[PGP_PREFIX_MAX];
};

static void
begin(struct scene *s)
{
	buf_init(&s->b, 1 << 20);
	buf_init(&s->data, 65536);
	buf_init(&s->plain, 65536);
	s->key = session_key(0x12345678);
	put_data(&s->data, &s->key, s->prefix);
	locked = -1;
}

static void
end(struct scene *s)
{
	buf_free(&s->b);
	buf_free(&s->data);
	buf_free(&s->plain);
}

static enum pgp_status
finish(struct scene *s, unsigned who)
{
	ck_assert_int_eq(buf_put(&s->b, buf_ptr(&s->data), buf_len(&s->data)), 0);
	return open_with(&s->b, who, &s->plain);
}

#define A (1U << ALICE)
#define B (1U << BOB)
#define C (1U << CAROL)
#define R (1U << ROBERT)

START_TEST(the_order_of_recipients_does_not_matter)
{
	static const enum who orders[][3] = {{ALICE, BOB, ROBERT}, {ALICE, ROBERT, BOB},
	    {BOB, ALICE, ROBERT}, {BOB, ROBERT, ALICE}, {ROBERT, ALICE, BOB}, {ROBERT, BOB, ALICE}};
	static const unsigned whose[] = {A, B, R, A | B, B | R, A | B | R, C | A, C | B | R};
	struct scene s;
	bool may;

	for (size_t o = 0; o < 6; o++) {
		for (unsigned hidden = 0; hidden < 8; hidden++) {
			begin(&s);
			for (unsigned i = 0; i < 3; i++)
				put_pkesk(&s.b, orders[o][i], (hidden >> i) & 1, &s.key);
			ck_assert_int_eq(finish(&s, whose[0]), PGP_OK);
			for (size_t w = 1; w < sizeof whose / sizeof whose[0]; w++)
				ck_assert_msg(open_with(&s.b, whose[w], &s.plain) == PGP_OK,
				    "order %zu hidden %x keys %x", o, hidden, whose[w]);
			/* she is tried where a hidden one could be hers */
			may = false;
			for (unsigned i = 0; i < 3; i++)
				may |= orders[o][i] != ROBERT && (hidden >> i) & 1;
			ck_assert_int_eq(
			    open_with(&s.b, C, &s.plain), may ? PGP_FAILED : PGP_NO_KEY);
			end(&s);
			if (hidden == 1 && o > 1)
				break; /* the rest would say the same again */
		}
	}
}
END_TEST

/* Packets that say they are for us and are not, before and behind the one that is. */
START_TEST(false_session_keys_give_way_to_the_right_one)
{
	struct pgp_session_key wrong;
	struct scene s;

	for (unsigned at = 0; at < 5; at++) {
		begin(&s);
		for (unsigned i = 0; i < 5; i++) {
			wrong = session_key(i + 1);
			put_pkesk(&s.b, ALICE, i & 1, i == at ? &s.key : &wrong);
		}
		ck_assert_int_eq(finish(&s, A), PGP_OK);
		ck_assert_uint_eq(unwraps, 5);
		end(&s);
	}
	begin(&s);
	for (unsigned i = 0; i < 5; i++) {
		wrong = session_key(i + 1);
		put_pkesk(&s.b, ALICE, i & 1, &wrong);
	}
	ck_assert_int_eq(finish(&s, A | B), PGP_FAILED);
	end(&s);
}
END_TEST

/* A false key whose quick check (the repeated octets) is right by chance, one in 65,536. */
START_TEST(integrity_decides_between_keys_that_look_right)
{
	struct pgp_session_key wrong;
	struct scene s;
	unsigned seed = 1;

	begin(&s);
	do
		wrong = session_key(seed += 0x01000193);
	while (!pgp_prefix_matches(&wrong, s.prefix));
	put_pkesk(&s.b, ALICE, HIDDEN, &wrong);
	put_pkesk(&s.b, ALICE, 0, &wrong);
	put_pkesk(&s.b, BOB, 0, &s.key);
	ck_assert_int_eq(finish(&s, A | B), PGP_OK);
	ck_assert_int_eq(open_with(&s.b, A, &s.plain), PGP_FAILED);
	end(&s);
}
END_TEST

START_TEST(tries_are_bounded_and_named_keys_come_first)
{
	struct pgp_session_key wrong = session_key(1);
	struct scene s;

	begin(&s);
	for (unsigned i = 0; i < PGP_TRIES_MAX + 10; i++)
		put_pkesk(&s.b, i & 1 ? BOB : ALICE, HIDDEN, &wrong);
	put_pkesk(&s.b, CAROL, 0, &s.key);
	ck_assert_int_eq(finish(&s, A | B | C), PGP_OK);
	ck_assert_uint_eq(unwraps, PGP_TRIES_MAX);
	end(&s);
	begin(&s);
	for (unsigned i = 0; i < 20; i++)
		put_pkesk(&s.b, ROBERT, HIDDEN, &wrong); /* another algorithm: nobody tries */
	for (unsigned i = 0; i < 20; i++)
		put_pkesk(&s.b, i & 1 ? BOB : ALICE, HIDDEN, &wrong);
	put_pkesk(&s.b, CAROL, HIDDEN, &s.key);
	ck_assert_int_eq(finish(&s, A | B | C), PGP_OK);
	ck_assert_uint_eq(unwraps, 63);
	end(&s);
}
END_TEST

START_TEST(a_key_that_is_away_matters_only_if_no_other_opens)
{
	struct pgp_session_key wrong = session_key(1);
	struct scene s;

	begin(&s);
	put_pkesk(&s.b, ALICE, 0, &s.key);
	put_pkesk(&s.b, BOB, 0, &s.key);
	put_pkesk(&s.b, CAROL, HIDDEN, &wrong);
	locked = ALICE;
	ck_assert_int_eq(finish(&s, A | B | C), PGP_OK);
	ck_assert_int_eq(open_with(&s.b, A | C, &s.plain), PGP_TEMPORARY);
	ck_assert_int_eq(open_with(&s.b, A, &s.plain), PGP_TEMPORARY);
	ck_assert_uint_eq(buf_len(&s.plain), 0);
	locked = -1;
	ck_assert_int_eq(open_with(&s.b, C, &s.plain), PGP_FAILED);
	end(&s);
}
END_TEST

/* RFC 4880, 5.7: nothing is asked of the keys for a message that nothing protects. */
START_TEST(data_without_integrity_are_refused_unopened)
{
	struct scene s;

	begin(&s);
	put_pkesk(&s.b, ALICE, 0, &s.key);
	put(&s.b, PGP_TAG_SED, "0123456789abcdefghijklmnopqrst", 30);
	ck_assert_int_eq(open_with(&s.b, A, &s.plain), PGP_NO_INTEGRITY);
	ck_assert_uint_eq(unwraps, 0);
	ck_assert_uint_eq(buf_len(&s.plain), 0);
	end(&s);
}
END_TEST

Suite *recipients_suite(void);

Suite *
recipients_suite(void)
{
	people_make();
	return unit_suite(
	    "openpgp recipients", (const TTest *const[]){the_order_of_recipients_does_not_matter,
				      false_session_keys_give_way_to_the_right_one,
				      integrity_decides_between_keys_that_look_right,
				      tries_are_bounded_and_named_keys_come_first,
				      a_key_that_is_away_matters_only_if_no_other_opens,
				      data_without_integrity_are_refused_unopened, NULL});
}
