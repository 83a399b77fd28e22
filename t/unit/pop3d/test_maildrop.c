#include <errno.h>
#include <string.h>

#include "pop3d/maildrop.h"
#include "t/unit/unit.h"

#define N(a) (sizeof(a) / sizeof(a)[0])

static struct proxy_route route = {.tenant = "default",
    .peer = "office",
    .login_domain = "example.org",
    .login_case = CONF_CASE_LOWER};

static struct maildrop *
drop_of(const char *authzid, const char *authcid)
{
	struct maildrop *d = maildrop_new(&route, authzid, authcid);

	ck_assert_ptr_nonnull(d);
	return d;
}

START_TEST(spellings_of_one_login_are_one_maildrop)
{
	static const struct {
		const char *authzid, *authcid;
		int same; /* as alice's */
	} t[] = {
	    {"", "alice", 1},
	    {"", "Alice", 1},
	    {"", "ALICE@Example.ORG", 1},
	    {"", "alice@example.net", 0},
	    {"", "bob", 0},
	    {"alice", "alice", 0}, /* somebody who acts for alice may be shown something else */
	    {"alice", "admin", 0},
	    {"", "alice*admin", 0},
	    {"", "alic", 0},
	};
	struct maildrop *alice = drop_of("", "alice"), *d;
	size_t i;

	for (i = 0; i < N(t); i++) {
		d = drop_of(t[i].authzid, t[i].authcid);
		ck_assert_msg((memcmp(d->id, alice->id, MEMORY_ID) == 0) == t[i].same, "%zu", i);
		ck_assert_msg((strcmp(d->name, alice->name) == 0) == t[i].same, "%zu", i);
		maildrop_free(d);
	}
	route.login_case = CONF_CASE_KEEP;
	d = drop_of("", "Alice");
	ck_assert_int_ne(memcmp(d->id, alice->id, MEMORY_ID), 0);
	maildrop_free(d);
	(void)strlcpy(route.peer, "other", sizeof route.peer);
	d = drop_of("", "alice");
	ck_assert_int_ne(memcmp(d->id, alice->id, MEMORY_ID), 0);
	maildrop_free(d);
	maildrop_free(alice);
}
END_TEST

START_TEST(slots_are_found_in_whatever_order_they_came)
{
	static const uint32_t order[] = {5, 1, 9, 3, 7, 8, 2, UINT32_MAX, 6, 4};
	struct maildrop *d = drop_of("", "alice");
	size_t i;

	ck_assert_ptr_null(maildrop_slot(d, 1));
	for (i = 0; i < N(order); i++) {
		ck_assert_ptr_nonnull(maildrop_add(d, order[i]));
		ck_assert_ptr_nonnull(maildrop_add(d, order[i]));
	}
	ck_assert_uint_eq(d->n, N(order));
	for (i = 0; i + 1 < d->n; i++)
		ck_assert_uint_lt(d->v[i].number, d->v[i + 1].number);
	ck_assert_uint_eq(maildrop_slot(d, UINT32_MAX)->number, UINT32_MAX);
	ck_assert_ptr_null(maildrop_slot(d, 10));
	ck_assert_ptr_null(maildrop_add(d, 0));
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_ptr_null(maildrop_add(d, (uint64_t)UINT32_MAX + 1));
	maildrop_free(d);
}
END_TEST

START_TEST(listings_that_make_no_sense_are_the_peers_fault)
{
	static const char *const bad[] = {"", "x", "1", "1x 5", "0 5", "-1 5", "4294967296 5", "1 ",
	    "99999999999999999999999999 5", " 1 5"};
	static const char *const bad_list[] = {
	    "2 x", "2 -5", "2 5x", "2 99999999999999999999999999"};
	struct maildrop *d = drop_of("", "alice");
	uint64_t last = 0;
	size_t i;

	for (i = 0; i < N(bad); i++) {
		last = 0;
		ck_assert_msg(maildrop_uidl_line(d, bad[i], &last) == NULL, "%s", bad[i]);
		last = 0;
		ck_assert_msg(maildrop_list_line(d, bad[i], &last) == NULL, "%s", bad[i]);
		ck_assert_int_eq(errno, EPROTO);
	}
	for (i = 0; i < N(bad_list); i++) {
		last = 1;
		ck_assert_msg(maildrop_list_line(d, bad_list[i], &last) == NULL, "%s", bad_list[i]);
	}
	last = 0;
	ck_assert_uint_eq(maildrop_list_line(d, "3 120 more", &last)->listed, 120);
	ck_assert_ptr_null(maildrop_list_line(d, "3 120", &last));
	ck_assert_ptr_null(maildrop_list_line(d, "2 120", &last));
	ck_assert_uint_eq(maildrop_list_line(d, "4  1", &last)->number, 4);
	ck_assert_uint_eq(maildrop_uidl_line(d, "4 abc", NULL)->flags, SLOT_UID);
	maildrop_free(d);
}
END_TEST

/* A message with this UIDL and listed size. */
static struct slot *
message(struct maildrop *d, const char *uidl, const char *list)
{
	struct slot *x;

	ck_assert_ptr_nonnull(maildrop_uidl_line(d, uidl, NULL));
	ck_assert_ptr_nonnull(x = maildrop_list_line(d, list, NULL));
	x->flags = SLOT_UID;
	return x;
}

START_TEST(recalls_a_message_unless_something_has_changed)
{
	struct maildrop *d = drop_of("", "alice");
	struct slot *x;
	size_t n;

	x = message(d, "1 one", "1 100");
	ck_assert_int_eq(maildrop_recall(d, x), 0);
	ck_assert_ptr_null(maildrop_sticky(d, x, &n));
	maildrop_learn(d, x, 120, false, true, (const uint8_t *)"sticky", 6);
	ck_assert_uint_eq(x->size, 120);
	/* The next session: another number, the same UIDL. */
	x = message(d, "7 one", "7 100");
	ck_assert_int_eq(maildrop_recall(d, x), 1);
	ck_assert_uint_eq(x->size, 120);
	ck_assert_uint_eq(x->flags, SLOT_UID | SLOT_SIZE);
	ck_assert_mem_eq(maildrop_sticky(d, x, &n), "sticky", 6);
	/* A banner makes it longer: the size is void, the verdict stays. */
	x->flags = SLOT_UID;
	d->banner = true;
	ck_assert_int_eq(maildrop_recall(d, x), 0);
	ck_assert_mem_eq(maildrop_sticky(d, x, &n), "sticky", 6);
	d->banner = false;
	/* Another size at the peer: the UIDL is another message's now. */
	x = message(d, "7 one", "7 101");
	ck_assert_int_eq(maildrop_recall(d, x), 0);
	maildrop_free(d);
}
END_TEST

START_TEST(a_plain_message_has_its_size_with_a_banner_too)
{
	struct maildrop *d = drop_of("", "alice");
	struct slot *x = message(d, "1 one", "1 100");

	maildrop_learn(d, x, 100, true, true, NULL, 0);
	x->flags = SLOT_UID;
	d->banner = true;
	ck_assert_int_eq(maildrop_recall(d, x), 1);
	ck_assert_uint_eq(x->flags, SLOT_UID | SLOT_SIZE | SLOT_PLAIN);
	maildrop_free(d);
}
END_TEST

START_TEST(ciphertext_for_lack_of_a_key_is_not_remembered)
{
	struct maildrop *d = drop_of("", "alice");
	struct slot *x = message(d, "1 one", "1 100");
	size_t n;

	maildrop_learn(d, x, 100, false, false, NULL, 0);
	ck_assert_uint_eq(x->size, 100); /* for this session */
	ck_assert_uint_eq(d->memory.n, 0);
	/* It was readable once, and its key is gone: the size is, the verdict is not. */
	maildrop_learn(d, x, 120, false, true, (const uint8_t *)"sticky", 6);
	maildrop_learn(d, x, 100, false, false, NULL, 0);
	x->flags = SLOT_UID;
	ck_assert_int_eq(maildrop_recall(d, x), 0);
	ck_assert_mem_eq(maildrop_sticky(d, x, &n), "sticky", 6);
	maildrop_free(d);
}
END_TEST

START_TEST(what_is_met_again_stays_young)
{
	struct maildrop *d = drop_of("", "alice");
	struct slot *x = message(d, "1 one", "1 100");
	struct memory_entry *m;
	uint32_t today;
	bool keep;
	int i;

	maildrop_learn(d, x, 120, false, true, (const uint8_t *)"sticky", 6);
	m = memory_find(&d->memory, x->uid);
	today = m->day;
	/* Fetched once more, with the same outcome, or while its key is away. */
	for (i = 0; i < 2; i++) {
		keep = i == 0;
		m->day = today - MEMORY_UNUSED_DAYS;
		m->changed = d->changed = false;
		maildrop_learn(d, x, 120, false, keep, (const uint8_t *)"sticky", keep ? 6 : 0);
		ck_assert_uint_ge(m->day, today);
		ck_assert(m->changed && d->changed);
	}
	maildrop_free(d);
}
END_TEST

START_TEST(forgets_what_is_gone)
{
	struct maildrop *d = drop_of("", "alice"), *later = drop_of("", "alice");
	struct slot *x;
	uint64_t octets;

	maildrop_learn(d, message(d, "1 one", "1 10"), 11, true, true, NULL, 0);
	maildrop_learn(d, message(d, "2 two", "2 20"), 22, true, true, NULL, 0);
	maildrop_learn(d, message(d, "3 three", "3 30"), 33, true, true, NULL, 0);
	ck_assert_uint_eq(maildrop_count(d, &octets), 3);
	ck_assert_uint_eq(octets, 66);
	maildrop_slot(d, 2)->flags |= SLOT_DELETED;
	ck_assert_uint_eq(maildrop_count(d, &octets), 2);
	ck_assert_uint_eq(octets, 44);
	maildrop_undelete(d);
	ck_assert_uint_eq(maildrop_count(d, &octets), 3);
	maildrop_slot(d, 2)->flags |= SLOT_DELETED;
	maildrop_expunged(d);
	ck_assert_ptr_null(memory_find(&d->memory, maildrop_slot(d, 2)->uid));
	ck_assert_ptr_nonnull(memory_find(&d->memory, maildrop_slot(d, 1)->uid));
	/* Somebody else has removed the third. */
	later->memory = d->memory;
	memory_init(&d->memory);
	x = message(later, "1 one", "1 10");
	maildrop_prune(later);
	ck_assert_ptr_nonnull(memory_find(&later->memory, x->uid));
	ck_assert_ptr_null(memory_find(&later->memory, maildrop_slot(d, 3)->uid));
	maildrop_free(d);
	maildrop_free(later);
}
END_TEST

Suite *maildrop_suite(void);

Suite *
maildrop_suite(void)
{
	return unit_suite(
	    "maildrop", (const TTest *const[]){spellings_of_one_login_are_one_maildrop,
			    slots_are_found_in_whatever_order_they_came,
			    listings_that_make_no_sense_are_the_peers_fault,
			    recalls_a_message_unless_something_has_changed,
			    a_plain_message_has_its_size_with_a_banner_too,
			    ciphertext_for_lack_of_a_key_is_not_remembered,
			    what_is_met_again_stays_young, forgets_what_is_gone, NULL});
}
