#include <string.h>

#include "anvild/counts.h"
#include "t/unit/unit.h"

Suite *counts_suite(void);

#define MINUTE 60000

static struct counts *c;
static struct conf_gate gate;
static char text[COUNTS_TEXT_MAX];
static uint64_t now;

static void
set_up(void)
{
	memset(&gate, 0, sizeof gate);
	gate.name = (char *)(uintptr_t) "default";
	c = counts_new();
	now = 1000 * MINUTE;
}

static void
tear_down(void)
{
	counts_free(c);
}

static struct bytes
ip4(unsigned a, unsigned b)
{
	static uint8_t v[8][4];
	static unsigned i;
	uint8_t *p = v[i++ % 8];

	p[0] = 192;
	p[1] = 0;
	p[2] = (uint8_t)a;
	p[3] = (uint8_t)b;
	return (struct bytes){p, 4};
}

static enum client_verdict
enter(unsigned instance, struct bytes ip)
{
	return counts_enter(c, &gate, instance, ip, now, text);
}

static void
leave(unsigned instance, struct bytes ip, unsigned errors)
{
	counts_leave(c, gate.name, instance, ip, errors, now);
}

static unsigned
connected(void)
{
	struct counts_facts f;

	counts_facts(c, &f);
	return f.connections;
}

START_TEST(connections_of_a_client_are_limited_over_all_smtpd)
{
	gate.connections = 3;
	ck_assert_int_eq(enter(0, ip4(2, 1)), CLIENT_OK);
	ck_assert_int_eq(enter(1, ip4(2, 1)), CLIENT_OK);
	ck_assert_int_eq(enter(2, ip4(2, 1)), CLIENT_OK);
	ck_assert_int_eq(enter(0, ip4(2, 1)), CLIENT_CONNECTIONS);
	ck_assert_str_eq(text, "4, limit 3");
	ck_assert_int_eq(enter(0, ip4(2, 2)), CLIENT_OK);
	ck_assert_str_eq(text, "");
	leave(1, ip4(2, 1), 0);
	ck_assert_int_eq(enter(0, ip4(2, 1)), CLIENT_OK);
	ck_assert_uint_eq(connected(), 4);
}
END_TEST

START_TEST(connections_of_a_network_are_limited)
{
	unsigned i;

	gate.network_connections = 10;
	for (i = 0; i < 10; i++)
		ck_assert_int_eq(enter(0, ip4(2, i)), CLIENT_OK);
	ck_assert_int_eq(enter(0, ip4(2, 99)), CLIENT_NETWORK);
	ck_assert_int_eq(enter(0, ip4(3, 99)), CLIENT_OK);
	leave(0, ip4(2, 5), 0);
	ck_assert_int_eq(enter(0, ip4(2, 99)), CLIENT_OK);
}
END_TEST

START_TEST(a_64_of_ipv6_is_one_client)
{
	uint8_t a[16] = {0x20, 1, 0xd, 0xb8}, b[16] = {0x20, 1, 0xd, 0xb8};

	gate.connections = 1;
	b[15] = 77;
	ck_assert_int_eq(enter(0, (struct bytes){a, 16}), CLIENT_OK);
	ck_assert_int_eq(enter(0, (struct bytes){b, 16}), CLIENT_CONNECTIONS);
	b[7] = 1;
	ck_assert_int_eq(enter(0, (struct bytes){b, 16}), CLIENT_OK);
}
END_TEST

START_TEST(gates_count_apart)
{
	struct conf_gate other = gate;

	gate.connections = other.connections = 1;
	other.name = (char *)(uintptr_t) "other";
	ck_assert_int_eq(enter(0, ip4(2, 1)), CLIENT_OK);
	ck_assert_int_eq(counts_enter(c, &other, 0, ip4(2, 1), now, text), CLIENT_OK);
	ck_assert_int_eq(enter(0, ip4(2, 1)), CLIENT_CONNECTIONS);
	/* A gate that is unknown has no clients. */
	counts_leave(c, "third", 0, ip4(2, 1), 0, now);
	ck_assert_uint_eq(connected(), 2);
}
END_TEST

START_TEST(the_connections_of_an_smtpd_that_died_are_no_more)
{
	unsigned i;

	gate.connections = 4;
	gate.network_connections = 6;
	for (i = 0; i < 2; i++) {
		ck_assert_int_eq(enter(0, ip4(2, 1)), CLIENT_OK);
		ck_assert_int_eq(enter(1, ip4(2, 1)), CLIENT_OK);
		ck_assert_int_eq(enter(1, ip4(2, 2)), CLIENT_OK);
	}
	ck_assert_int_eq(enter(0, ip4(2, 1)), CLIENT_CONNECTIONS);
	ck_assert_int_eq(enter(0, ip4(2, 3)), CLIENT_NETWORK);
	counts_forget(c, 1, now);
	ck_assert_uint_eq(connected(), 2);
	/* Its last words, if they come late, take nothing from others. */
	leave(1, ip4(2, 1), 0);
	leave(1, ip4(2, 2), 0);
	ck_assert_uint_eq(connected(), 2);
	for (i = 0; i < 2; i++)
		ck_assert_int_eq(enter(1, ip4(2, 1)), CLIENT_OK);
	ck_assert_int_eq(enter(1, ip4(2, 1)), CLIENT_CONNECTIONS);
	for (i = 0; i < 2; i++)
		ck_assert_int_eq(enter(1, ip4(2, 2)), CLIENT_OK);
	ck_assert_int_eq(enter(1, ip4(2, 3)), CLIENT_NETWORK);
}
END_TEST

START_TEST(leaving_more_often_than_coming_changes_nothing)
{
	gate.connections = 2;
	ck_assert_int_eq(enter(0, ip4(2, 1)), CLIENT_OK);
	ck_assert_int_eq(enter(0, ip4(2, 1)), CLIENT_OK);
	leave(1, ip4(2, 1), 0);
	leave(3, ip4(2, 1), 0);
	ck_assert_int_eq(enter(0, ip4(2, 1)), CLIENT_CONNECTIONS);
	leave(0, ip4(2, 1), 0);
	leave(0, ip4(2, 1), 0);
	leave(0, ip4(2, 1), 0);
	ck_assert_uint_eq(connected(), 0);
}
END_TEST

START_TEST(the_rate_of_connections_is_that_of_the_last_minute)
{
	unsigned i;

	gate.connection_rate = 10;
	for (i = 0; i < 10; i++) {
		ck_assert_int_eq(enter(0, ip4(2, 1)), CLIENT_OK);
		leave(0, ip4(2, 1), 0);
	}
	ck_assert_int_eq(enter(0, ip4(2, 1)), CLIENT_RATE);
	ck_assert_str_eq(text, "11 per minute, limit 10");
	ck_assert_int_eq(enter(0, ip4(2, 2)), CLIENT_OK);
	/* At the front of the next minute all of the last one still counts, later less of it. */
	now += MINUTE;
	ck_assert_int_eq(enter(0, ip4(2, 1)), CLIENT_RATE);
	now += MINUTE / 2;
	for (i = 0; i < 5; i++)
		ck_assert_int_eq(enter(0, ip4(2, 1)), CLIENT_OK);
	ck_assert_int_eq(enter(0, ip4(2, 1)), CLIENT_RATE);
	now += 10 * MINUTE;
	for (i = 0; i < 10; i++)
		ck_assert_int_eq(enter(0, ip4(2, 1)), CLIENT_OK);
	ck_assert_int_eq(enter(0, ip4(2, 1)), CLIENT_RATE);
}
END_TEST

START_TEST(rates_of_messages_and_recipients_are_apart)
{
	unsigned i;

	gate.message_rate = 3;
	gate.recipient_rate = 20;
	for (i = 0; i < 3; i++)
		ck_assert_int_eq(counts_rate(c, &gate, ip4(2, 1), 1, 0, now, text), 1);
	ck_assert_int_eq(counts_rate(c, &gate, ip4(2, 1), 1, 0, now, text), 0);
	ck_assert_str_eq(text, "4 per minute, limit 3");
	for (i = 0; i < 20; i++)
		ck_assert_int_eq(counts_rate(c, &gate, ip4(2, 1), 0, 1, now, text), 1);
	ck_assert_int_eq(counts_rate(c, &gate, ip4(2, 1), 0, 1, now, text), 0);
	ck_assert_int_eq(counts_rate(c, &gate, ip4(2, 9), 1, 1, now, text), 1);
	now += 2 * MINUTE;
	ck_assert_int_eq(counts_rate(c, &gate, ip4(2, 1), 1, 0, now, text), 1);
	/* Without a limit there is none. */
	gate.message_rate = 0;
	for (i = 0; i < 1000; i++)
		ck_assert_int_eq(counts_rate(c, &gate, ip4(2, 1), 1, 0, now, text), 1);
}
END_TEST

START_TEST(what_is_refused_is_not_counted)
{
	unsigned i;

	gate.message_rate = 60;
	for (i = 0; i < 60; i++)
		ck_assert_int_eq(counts_rate(c, &gate, ip4(2, 1), 1, 0, now, text), 1);
	for (i = 0; i < 1000; i++)
		ck_assert_int_eq(counts_rate(c, &gate, ip4(2, 1), 1, 0, now, text), 0);
	now += MINUTE + MINUTE / 2;
	for (i = 0; i < 30; i++)
		ck_assert_int_eq(counts_rate(c, &gate, ip4(2, 1), 1, 0, now, text), 1);
}
END_TEST

START_TEST(too_many_errors_keep_a_client_out_for_a_while)
{
	gate.error_rate = 10;
	gate.connections = 5;
	ck_assert_int_eq(enter(0, ip4(2, 1)), CLIENT_OK);
	leave(0, ip4(2, 1), 10);
	ck_assert_int_eq(enter(0, ip4(2, 1)), CLIENT_OK);
	leave(0, ip4(2, 1), 5);
	ck_assert_int_eq(enter(0, ip4(2, 1)), CLIENT_ERRORS);
	ck_assert_str_eq(text, "15 per minute, limit 10");
	ck_assert_int_eq(enter(0, ip4(2, 2)), CLIENT_OK);
	now += 2 * MINUTE;
	ck_assert_int_eq(enter(0, ip4(2, 1)), CLIENT_OK);
	leave(0, ip4(2, 1), UINT32_MAX);
	ck_assert_int_eq(enter(0, ip4(2, 2)), CLIENT_OK);
	leave(0, ip4(2, 1), UINT32_MAX); /* no overflow makes it few */
	ck_assert_int_eq(enter(0, ip4(2, 1)), CLIENT_ERRORS);
}
END_TEST

START_TEST(no_number_of_clients_takes_more_memory_than_there_is_for_them)
{
	uint8_t ip[16] = {0x20, 1, 0xd, 0xb8};
	struct counts_facts f;
	uint32_t i;

	gate.connections = 1;
	ck_assert_int_eq(enter(0, ip4(2, 1)), CLIENT_OK);
	for (i = 0; i < COUNTS_CLIENTS_MAX * 2; i++) {
		memcpy(ip + 4, &i, 4);
		ck_assert_int_eq(enter(0, (struct bytes){ip, 16}), CLIENT_OK);
		leave(0, (struct bytes){ip, 16}, 1);
	}
	counts_facts(c, &f);
	ck_assert_uint_eq(f.clients, COUNTS_CLIENTS_MAX);
	ck_assert_uint_le(f.networks, COUNTS_CLIENTS_MAX);
	/* Who is connected is not forgotten. */
	ck_assert_int_eq(enter(0, ip4(2, 1)), CLIENT_CONNECTIONS);
	now += 5 * MINUTE;
	counts_sweep(c, now);
	counts_facts(c, &f);
	ck_assert_uint_eq(f.clients, 1);
	ck_assert_uint_eq(f.networks, 1);
	ck_assert_int_eq(enter(0, ip4(2, 1)), CLIENT_CONNECTIONS);
}
END_TEST

START_TEST(clients_beyond_all_room_are_let_in)
{
	uint8_t ip[16] = {0x20, 1, 0xd, 0xb8};
	uint32_t i;

	gate.connections = 1;
	for (i = 0; i < COUNTS_CLIENTS_MAX + 10; i++) {
		memcpy(ip + 4, &i, 4);
		ck_assert_int_eq(enter(0, (struct bytes){ip, 16}), CLIENT_OK);
	}
	ck_assert_uint_eq(connected(), COUNTS_CLIENTS_MAX);
	for (i = 0; i < COUNTS_CLIENTS_MAX + 10; i++) {
		memcpy(ip + 4, &i, 4);
		leave(0, (struct bytes){ip, 16}, 0);
	}
	ck_assert_uint_eq(connected(), 0);
}
END_TEST

Suite *
counts_suite(void)
{
	const TTest *const tests[] = {connections_of_a_client_are_limited_over_all_smtpd,
	    connections_of_a_network_are_limited, a_64_of_ipv6_is_one_client, gates_count_apart,
	    the_connections_of_an_smtpd_that_died_are_no_more,
	    leaving_more_often_than_coming_changes_nothing,
	    the_rate_of_connections_is_that_of_the_last_minute,
	    rates_of_messages_and_recipients_are_apart, what_is_refused_is_not_counted,
	    too_many_errors_keep_a_client_out_for_a_while,
	    no_number_of_clients_takes_more_memory_than_there_is_for_them,
	    clients_beyond_all_room_are_let_in, NULL};

	return unit_suite_around("counts", set_up, tear_down, tests);
}
