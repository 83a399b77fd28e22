#include <string.h>

#include "master/master.h"
#include "t/unit/unit.h"

Suite *tickets_suite(void);

#define KEY_LEN (16 + 32 + 32)

/* Two proxies and dnsd, all of them children of this master. */
static const enum proc_id roles[] = {P_SMTPD, P_POP3D, P_DNSD};
static struct ipc far[3];

static void
set_up(void)
{
	int fds[2];
	size_t i;

	M.base = event_base_new();
	for (i = 0; i < 3; i++) {
		ck_assert_int_eq(ipc_pair(fds), 0);
		M.children[i].chan = chan_new(M.base, fds[0], P_MASTER, roles[i], NULL, NULL, NULL);
		ipc_init(&far[i], fds[1], roles[i], P_MASTER);
	}
	M.nchildren = 3;
}

static void
tear_down(void)
{
	size_t i;

	for (i = 0; i < 3; i++) {
		chan_free(M.children[i].chan);
		M.children[i].chan = NULL;
		ipc_close(&far[i]);
	}
	M.nchildren = 0;
	event_base_free(M.base);
	tickets_wipe();
}

/* The keys that came last, name, aes and hmac of each behind each other; how many. */
static size_t
taken(size_t i, uint8_t out[TICKET_KEYS_MAX][KEY_LEN])
{
	const struct ticket_keys *k;
	struct ipc_msg m;
	size_t j, n;

	chan_flush(M.children[i].chan, 1000);
	ck_assert_int_eq(ipc_recv(&far[i], &m, 1000), 0);
	ck_assert_int_eq(m.def->type, M_ticket_keys);
	k = m.body;
	n = k->keys.n;
	for (j = 0; j < n; j++) {
		memcpy(out[j], k->keys.v[j].name.p, 16);
		memcpy(out[j] + 16, k->keys.v[j].aes.p, 32);
		memcpy(out[j] + 48, k->keys.v[j].hmac.p, 32);
	}
	ipc_done(&far[i], &m);
	return n;
}

START_TEST(all_proxies_have_the_same_keys_and_nobody_else_has)
{
	uint8_t a[TICKET_KEYS_MAX][KEY_LEN], b[TICKET_KEYS_MAX][KEY_LEN];
	struct ipc_msg m;

	tickets_renew();
	tickets_renew();
	ck_assert_uint_eq(taken(0, a), 1);
	ck_assert_uint_eq(taken(0, a), 2);
	ck_assert_uint_eq(taken(1, b), 1);
	ck_assert_uint_eq(taken(1, b), 2);
	ck_assert_int_eq(memcmp(a, b, 2 * KEY_LEN), 0);
	chan_flush(M.children[2].chan, 1000);
	ck_assert_int_eq(ipc_recv(&far[2], &m, 0), -1);
}
END_TEST

START_TEST(the_newest_key_is_first_and_the_fourth_goes)
{
	uint8_t old[TICKET_KEYS_MAX][KEY_LEN], new[TICKET_KEYS_MAX][KEY_LEN];
	unsigned i;

	for (i = 1; i <= 8; i++) {
		tickets_renew();
		ck_assert_uint_eq(taken(0, new), i < TICKET_KEYS_MAX ? i : TICKET_KEYS_MAX);
		if (i > 1) {
			ck_assert_int_ne(memcmp(new[0], old[0], KEY_LEN), 0);
			ck_assert_int_ne(memcmp(new[0], new[1], 16), 0);
			ck_assert_int_eq(memcmp(new[1], old[0], KEY_LEN), 0);
		}
		if (i > 2)
			ck_assert_int_eq(memcmp(new[2], old[1], KEY_LEN), 0);
		memcpy(old, new, sizeof old);
	}
}
END_TEST

START_TEST(a_new_process_gets_what_the_others_have)
{
	uint8_t a[TICKET_KEYS_MAX][KEY_LEN], b[TICKET_KEYS_MAX][KEY_LEN];

	ck_assert_int_eq(tickets_rotate(), 0);
	tickets_renew();
	ck_assert_uint_eq(taken(0, a), 2);
	ck_assert_uint_eq(taken(1, b), 2);
	ck_assert_int_eq(tickets_send(M.children[1].chan), 0);
	ck_assert_uint_eq(taken(1, b), 2);
	ck_assert_int_eq(memcmp(a, b, 2 * KEY_LEN), 0);
	ck_assert_int_eq(tickets_send(M.children[2].chan), 0);
	ck_assert_uint_eq(chan_pending(M.children[2].chan), 0);
}
END_TEST

Suite *
tickets_suite(void)
{
	return unit_suite_around("tickets", set_up, tear_down,
	    (const TTest *const[]){all_proxies_have_the_same_keys_and_nobody_else_has,
		the_newest_key_is_first_and_the_fourth_goes,
		a_new_process_gets_what_the_others_have, NULL});
}
