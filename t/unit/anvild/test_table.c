#include <errno.h>
#include <string.h>

#include "anvild/table.h"
#include "base/netaddr.h"
#include "t/unit/unit.h"

Suite *table_suite(void);

struct item {
	struct entry e;
	int value;
};

static struct key
key(unsigned n)
{
	struct key k;

	memset(&k, 0, sizeof k);
	k.who.family = 4;
	memcpy(k.who.addr, &n, sizeof n);
	return k;
}

static struct item *
get(struct table *t, unsigned n, uint64_t now)
{
	struct key k = key(n);

	return (struct item *)table_get(t, &k, now);
}

static int
has(struct table *t, unsigned n)
{
	struct key k = key(n);

	return table_find(t, &k) != NULL;
}

START_TEST(the_entry_used_longest_ago_makes_room)
{
	struct table *t = table_new(sizeof(struct item), 3);

	get(t, 1, 10)->value = 1;
	get(t, 2, 11)->value = 2;
	get(t, 3, 12)->value = 3;
	ck_assert_int_eq(get(t, 1, 13)->value, 1);
	ck_assert_int_eq(get(t, 4, 14)->value, 0);
	ck_assert_uint_eq(table_count(t), 3);
	ck_assert(has(t, 1) && !has(t, 2) && has(t, 3) && has(t, 4));
	table_free(t);
}
END_TEST

START_TEST(what_is_pinned_stays)
{
	struct table *t = table_new(sizeof(struct item), 2);
	struct item *one = get(t, 1, 10), *two;

	table_pin(t, &one->e);
	table_pin(t, &one->e);
	(void)get(t, 2, 11);
	(void)get(t, 3, 12);
	ck_assert(has(t, 1) && !has(t, 2) && has(t, 3));
	two = get(t, 3, 12);
	table_pin(t, &two->e);
	ck_assert_ptr_null(get(t, 4, 13));
	table_sweep(t, 1000);
	ck_assert_uint_eq(table_count(t), 2);
	table_unpin(t, &one->e, 20);
	ck_assert_ptr_null(get(t, 4, 21));
	table_unpin(t, &one->e, 22);
	ck_assert_ptr_nonnull(get(t, 4, 23));
	ck_assert(!has(t, 1) && has(t, 3));
	table_unpin(t, &two->e, 24);
	table_unpin(t, &two->e, 24); /* once too often does no harm */
	table_free(t);
}
END_TEST

START_TEST(sweeping_drops_what_was_not_used_since)
{
	struct table *t = table_new(sizeof(struct item), 1000);
	unsigned i;

	for (i = 0; i < 1000; i++)
		(void)get(t, i, i);
	(void)get(t, 3, 1000);
	table_sweep(t, 500);
	ck_assert_uint_eq(table_count(t), 501);
	ck_assert(has(t, 3) && !has(t, 499) && has(t, 500));
	table_free(t);
}
END_TEST

START_TEST(never_holds_more_than_it_may)
{
	struct table *t = table_new(sizeof(struct item), 5000);
	unsigned i;

	for (i = 0; i < 50000; i++)
		ck_assert_ptr_nonnull(get(t, i * 7919, i));
	ck_assert_uint_eq(table_count(t), 5000);
	table_free(t);
}
END_TEST

static struct client_key
of(const char *text, int (*cut)(struct bytes, struct client_key *))
{
	struct client_key k;
	struct netaddr a;

	ck_assert_int_eq(netaddr_parse_host(text, &a), 0);
	ck_assert_int_eq(cut((struct bytes){a.addr, a.family == AF_INET ? 4 : 16}, &k), 0);
	return k;
}

static int
same(const char *a, const char *b, int (*cut)(struct bytes, struct client_key *))
{
	struct client_key x = of(a, cut), y = of(b, cut);

	return memcmp(&x, &y, sizeof x) == 0;
}

START_TEST(a_client_is_an_address_or_a_64_and_a_network_a_24_or_a_48)
{
	uint8_t five[5] = {0};
	struct client_key k;

	ck_assert(!same("192.0.2.1", "192.0.2.2", client_key));
	ck_assert(same("2001:db8::1", "2001:db8::2:0:0:1", client_key));
	ck_assert(!same("2001:db8::1", "2001:db8:0:1::1", client_key));
	ck_assert(same("::ffff:192.0.2.1", "192.0.2.1", client_key));
	ck_assert(same("192.0.2.1", "192.0.2.255", network_key));
	ck_assert(!same("192.0.2.1", "192.0.3.1", network_key));
	ck_assert(same("2001:db8::1", "2001:db8:0:ff::1", network_key));
	ck_assert(!same("2001:db8::1", "2001:db8:1::1", network_key));
	/* No IPv6 client is an IPv4 one. */
	ck_assert(!same("c000:201::", "192.0.2.1", client_key));
	ck_assert_int_eq(client_key((struct bytes){five, 5}, &k), -1);
	ck_assert_int_eq(errno, EINVAL);
}
END_TEST

Suite *
table_suite(void)
{
	const TTest *const tests[] = {the_entry_used_longest_ago_makes_room, what_is_pinned_stays,
	    sweeping_drops_what_was_not_used_since, never_holds_more_than_it_may,
	    a_client_is_an_address_or_a_64_and_a_network_a_24_or_a_48, NULL};

	return unit_suite("table", tests);
}
