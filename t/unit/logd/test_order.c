#include <stdio.h>
#include <string.h>

#include "logd/order.h"
#include "t/unit/unit.h"

Suite *order_suite(void);

static struct order *o;
static char got[65536];
static size_t given;

static void
give(const struct said *s)
{
	given++;
	if (s->text != NULL && strlen(got) + strlen(s->text) + 2 < sizeof got) {
		strcat(got, s->text);
		strcat(got, s->event.n == 2 && memcmp(s->event.p, "ev", 2) == 0 ? "+ " : " ");
	}
}

static void
set_up(void)
{
	got[0] = '\0';
	given = 0;
	ck_assert_ptr_nonnull(o = order_new(give));
}

static void
tear_down(void)
{
	order_free(o);
}

static void
say(uint64_t when, const char *text, int event)
{
	struct said s = {.when = when, .who = "smtpd", .text = text};

	if (event)
		s.event = (struct bytes){(const uint8_t *)"ev", 2};
	order_add(o, &s, 1000);
}

START_TEST(what_was_said_first_leaves_first)
{
	say(102, "c", 1);
	say(101, "a", 0);
	say(101, "b", 1);
	say(103, "d", 0);
	ck_assert_uint_eq(order_due(o), 101 + ORDER_MS);
	order_flush(o, 200);
	ck_assert_str_eq(got, "a b+ c+ d ");
	ck_assert_uint_eq(order_due(o), 0);
}
END_TEST

START_TEST(what_can_only_be_behind_the_rest_of_its_millisecond_is)
{
	struct said s = {.when = 101, .who = "queued", .text = "removed", .step = 3};

	order_add(o, &s, 1000);
	s = (struct said){.when = 101, .who = "deliverd", .text = "sent", .step = 2};
	order_add(o, &s, 1000);
	say(102, "later", 0);
	say(101, "client", 0);
	order_flush(o, 200);
	ck_assert_str_eq(got, "client sent removed later ");
}
END_TEST

START_TEST(what_is_younger_stays)
{
	say(105, "e", 1);
	say(101, "a", 1);
	say(104, "d", 0);
	order_flush(o, 101);
	ck_assert_str_eq(got, "");
	order_flush(o, 102);
	ck_assert_str_eq(got, "a+ ");
	ck_assert_uint_eq(order_due(o), 104 + ORDER_MS);
	say(103, "c", 1);
	say(102, "b", 0);
	order_flush(o, 105);
	ck_assert_str_eq(got, "a+ b c+ d ");
	order_flush(o, UINT64_MAX);
	ck_assert_str_eq(got, "a+ b c+ d e+ ");
}
END_TEST

START_TEST(the_future_is_now)
{
	say(UINT64_MAX, "later", 0);
	ck_assert_uint_eq(order_due(o), 1000 + ORDER_MS);
	order_flush(o, 1001);
	ck_assert_str_eq(got, "later ");
}
END_TEST

START_TEST(more_than_can_be_held_leaves_in_order)
{
	static char big[ORDER_OCTETS + 10];
	char text[16];
	unsigned i;

	for (i = 0; i < ORDER_MAX + 5; i++) {
		(void)snprintf(text, sizeof text, "%u", i);
		say(100 + i % 2, text, 0);
	}
	ck_assert_uint_eq(given, ORDER_MAX);
	ck_assert_uint_eq(strncmp(got, "0 2 4 6 ", 8), 0);
	/* One that never fits goes behind all others. */
	memset(big, 'x', sizeof big - 1);
	say(1, big, 0);
	ck_assert_uint_eq(given, ORDER_MAX + 6);
	ck_assert_uint_eq(order_due(o), 0);
}
END_TEST

START_TEST(a_record_needs_no_line)
{
	const struct said s = {.when = 1, .who = "smtpd", .event = {(const uint8_t *)"ev", 2}};

	order_add(o, &s, 1000);
	order_flush(o, UINT64_MAX);
	ck_assert_uint_eq(given, 1);
	ck_assert_str_eq(got, "");
}
END_TEST

Suite *
order_suite(void)
{
	return unit_suite_around("order", set_up, tear_down,
	    (const TTest *const[]){what_was_said_first_leaves_first,
		what_can_only_be_behind_the_rest_of_its_millisecond_is, what_is_younger_stays,
		the_future_is_now, more_than_can_be_held_leaves_in_order, a_record_needs_no_line,
		NULL});
}
