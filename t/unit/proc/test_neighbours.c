#include <errno.h>
#include <string.h>

#include "proc/internal.h"
#include "t/unit/unit.h"

Suite *neighbours_suite(void);

/* This process is smtpd; dnsd is played by hand, and dies when told. */
static struct proc_env env;
static struct ipc dnsd;
static int ups, downs, answers, error;
static char text[64];

static void
plumbed(enum proc_id peer, unsigned instance, struct chan *c)
{
	ck_assert_int_eq(peer, P_DNSD);
	ck_assert_uint_eq(instance, 0);
	ck_assert_ptr_eq(proc_chan(P_DNSD, 0), c);
	ups += c != NULL;
	downs += c == NULL;
}

static const struct proc daemon_table = {.self = P_SMTPD, .plumbed = plumbed};

static void
plumb(void)
{
	struct plumb p = {.peer = P_DNSD, .serial = 1};
	int fds[2];

	ck_assert_int_eq(ipc_pair(fds), 0);
	ck_assert_int_eq(neighbours_plumb(&p, fds[0]), 0);
	ipc_init(&dnsd, fds[1], P_DNSD, P_SMTPD);
}

static void
set_up(void)
{
	memset(&env, 0, sizeof env);
	ups = downs = answers = error = 0;
	text[0] = '\0';
	ipc_init(&dnsd, -1, P_DNSD, P_SMTPD);
	env.base = event_base_new();
	env.self = P_SMTPD;
	neighbours_init(&env, &daemon_table, NULL);
}

static void
tear_down(void)
{
	neighbours_free();
	ipc_close(&dnsd);
	event_base_free(env.base);
}

static void
turn(void)
{
	int i;

	for (i = 0; i < 3; i++)
		event_base_loop(env.base, EVLOOP_NONBLOCK);
}

static void
on_answer(void *arg, struct ipc_msg *m, int e)
{
	ck_assert_ptr_eq(arg, text);
	answers++;
	error = e;
	if (m != NULL)
		(void)strlcpy(text, ((const struct dns_addr_rep *)m->body)->text, sizeof text);
}

static struct proc_req *
request(unsigned timeout)
{
	struct dns_addr_req q = {.name = "mail.example.org"};

	return proc_request(P_DNSD, M_dns_addr_req, &q, timeout, on_answer, text);
}

/* dnsd reads the question and, unless with is NULL, answers. */
static void
take(const char *with)
{
	struct dns_addr_rep r = {.text = with};
	struct ipc_msg m;

	turn();
	ck_assert_int_eq(ipc_recv(&dnsd, &m, 1000), 0);
	ck_assert_str_eq(((const struct dns_addr_req *)m.body)->name, "mail.example.org");
	if (with != NULL)
		ck_assert_int_eq(ipc_send(&dnsd, M_dns_addr_rep, m.id, &r, -1, 1000), 0);
	ipc_done(&dnsd, &m);
	turn();
}

START_TEST(a_request_waits_for_a_neighbour_that_is_down)
{
	set_up();
	ck_assert_ptr_nonnull(request(5000));
	turn();
	ck_assert_int_eq(answers, 0);
	plumb();
	take("found");
	ck_assert_int_eq(answers, 1);
	ck_assert_str_eq(text, "found");
	tear_down();
}
END_TEST

START_TEST(a_request_is_asked_again_of_the_successor)
{
	set_up();
	plumb();
	ck_assert_ptr_nonnull(request(5000));
	take(NULL);
	ipc_close(&dnsd);
	turn();
	ck_assert_int_eq(answers, 0);
	ck_assert_int_eq(downs, 1);
	plumb();
	take("after all");
	ck_assert_str_eq(text, "after all");
	ck_assert_int_eq(ups, 2);
	tear_down();
}
END_TEST

START_TEST(a_new_channel_may_come_before_the_end_of_the_old_one)
{
	struct ipc old;

	set_up();
	plumb();
	ck_assert_ptr_nonnull(request(5000));
	take(NULL);
	old = dnsd;
	STAILQ_INIT(&old.outfds);
	plumb();
	take("new");
	ck_assert_str_eq(text, "new");
	ck_assert_int_eq(downs, 0);
	ipc_close(&old);
	turn();
	ck_assert_ptr_nonnull(proc_chan(P_DNSD, 0));
	tear_down();
}
END_TEST

START_TEST(a_request_ends_with_its_time)
{
	set_up();
	ck_assert_ptr_nonnull(request(20));
	while (answers == 0)
		event_base_loop(env.base, EVLOOP_ONCE);
	ck_assert_int_eq(error, ETIMEDOUT);
	plumb();
	ck_assert_ptr_nonnull(request(20));
	take(NULL);
	while (answers == 1)
		event_base_loop(env.base, EVLOOP_ONCE);
	ck_assert_int_eq(error, ETIMEDOUT);
	tear_down();
}
END_TEST

START_TEST(a_cancelled_request_is_not_answered)
{
	set_up();
	proc_cancel(request(5000));
	plumb();
	proc_cancel(request(5000));
	proc_cancel(NULL);
	turn();
	ck_assert_int_eq(answers, 0);
	tear_down();
}
END_TEST

START_TEST(only_what_the_table_allows_is_asked)
{
	struct dns_addr_req q = {.name = ""};
	struct grant_req g = {0};

	set_up();
	ck_assert_ptr_null(proc_request(P_CRYPTOD, M_grant_req, &g, 100, on_answer, text));
	ck_assert_int_eq(errno, EPERM);
	ck_assert_ptr_null(proc_request(P_DNSD, M_dns_addr_req, &q, 100, on_answer, text));
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_ptr_null(proc_chan(P_MAX, 0));
	ck_assert_ptr_null(proc_chan(P_DNSD, 64));
	tear_down();
}
END_TEST

Suite *
neighbours_suite(void)
{
	return unit_suite("neighbours",
	    (const TTest *const[]){a_request_waits_for_a_neighbour_that_is_down,
		a_request_is_asked_again_of_the_successor,
		a_new_channel_may_come_before_the_end_of_the_old_one, a_request_ends_with_its_time,
		a_cancelled_request_is_not_answered, only_what_the_table_allows_is_asked, NULL});
}
