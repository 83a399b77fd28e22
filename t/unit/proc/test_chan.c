#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ipc/messages.h"
#include "proc/chan.h"
#include "t/unit/unit.h"

Suite *chan_suite(void);

/* One side is a channel on a loop, smtpd; the other is driven by hand, dnsd. */
static struct event_base *base;
static struct chan *chan;
static struct ipc peer;

static struct {
	int answers, error, closed, handled, fd;
	uint64_t last_id;
	char text[64];
} seen;

static struct chan_req *other; /* cancelled by on_cancel_other */

static void
on_answer(void *arg, struct ipc_msg *m, int error)
{
	const struct dns_addr_rep *r;

	(void)arg;
	seen.answers++;
	seen.error = error;
	if (m != NULL) {
		r = m->body;
		(void)strlcpy(seen.text, r->text, sizeof seen.text);
	}
}

static void
on_cancel_other(void *arg, struct ipc_msg *m, int error)
{
	on_answer(arg, m, error);
	chan_cancel(other);
	other = NULL;
}

static void
on_free(void *arg, struct ipc_msg *m, int error)
{
	on_answer(arg, m, error);
	chan_free(chan);
	chan = NULL;
}

static void
on_closed(struct chan *c, void *arg)
{
	ck_assert_ptr_eq(c, chan);
	ck_assert_ptr_eq(arg, &seen);
	seen.closed++;
	chan = NULL;
}

static void
set_up(void)
{
	int fds[2];

	memset(&seen, 0, sizeof seen);
	seen.fd = -1;
	base = event_base_new();
	ck_assert_int_eq(ipc_pair(fds), 0);
	chan = chan_new(base, fds[0], P_SMTPD, P_DNSD, NULL, on_closed, &seen);
	ck_assert_ptr_nonnull(chan);
	ipc_init(&peer, fds[1], P_DNSD, P_SMTPD);
}

static void
tear_down(void)
{
	chan_free(chan);
	chan = NULL;
	ipc_close(&peer);
	event_base_free(base);
}

/* Turn the loop n times without waiting. */
static void
turn(int n)
{
	while (n-- > 0)
		event_base_loop(base, EVLOOP_NONBLOCK);
}

static struct chan_req *
request(unsigned timeout, chan_reply_fn fn)
{
	struct dns_addr_req q = {.name = "mail.example.org"};

	return chan_request(chan, M_dns_addr_req, &q, -1, timeout, fn, NULL);
}

/* Read the peer's next request. */
static uint64_t
take_request(void)
{
	struct ipc_msg m;
	uint64_t id;

	turn(2);
	ck_assert_int_eq(ipc_recv(&peer, &m, 1000), 0);
	ck_assert_int_eq(m.def->type, M_dns_addr_req);
	id = m.id;
	ipc_done(&peer, &m);
	return id;
}

static void
answer(uint64_t id, const char *text)
{
	struct dns_addr_rep r = {.text = text};

	ck_assert_int_eq(ipc_send(&peer, M_dns_addr_rep, id, &r, -1, 1000), 0);
}

START_TEST(matches_an_answer_to_its_request)
{
	uint64_t a, b;

	set_up();
	ck_assert_ptr_nonnull(request(5000, on_answer));
	ck_assert_ptr_nonnull(request(5000, on_answer));
	ck_assert_int_eq(seen.answers, 0);
	a = take_request();
	b = take_request();
	ck_assert_uint_ne(a, b);
	answer(b, "second");
	turn(2);
	ck_assert_int_eq(seen.answers, 1);
	ck_assert_str_eq(seen.text, "second");
	answer(a, "first");
	turn(2);
	ck_assert_int_eq(seen.answers, 2);
	ck_assert_str_eq(seen.text, "first");
	tear_down();
}
END_TEST

START_TEST(drops_an_answer_that_nobody_waits_for)
{
	uint64_t id;

	set_up();
	chan_cancel(request(5000, on_answer));
	id = take_request();
	answer(id, "late");
	answer(id + 1000, "never asked");
	answer(0, "nobody's");
	turn(4);
	ck_assert_int_eq(seen.answers, 0);
	ck_assert_int_eq(seen.closed, 0);
	tear_down();
}
END_TEST

START_TEST(answers_a_request_only_once)
{
	uint64_t id;

	set_up();
	request(5000, on_answer);
	id = take_request();
	answer(id, "one");
	answer(id, "two");
	turn(4);
	ck_assert_int_eq(seen.answers, 1);
	ck_assert_str_eq(seen.text, "one");
	tear_down();
}
END_TEST

START_TEST(times_out)
{
	set_up();
	request(20, on_answer);
	take_request();
	while (seen.answers == 0)
		event_base_loop(base, EVLOOP_ONCE);
	ck_assert_int_eq(seen.error, ETIMEDOUT);
	ck_assert_int_eq(seen.closed, 0);
	tear_down();
}
END_TEST

START_TEST(fails_open_requests_when_the_peer_dies)
{
	set_up();
	request(5000, on_answer);
	request(5000, on_answer);
	take_request();
	ipc_close(&peer);
	turn(3);
	ck_assert_int_eq(seen.answers, 2);
	ck_assert_int_eq(seen.error, ECONNRESET);
	ck_assert_int_eq(seen.closed, 1);
	tear_down();
}
END_TEST

START_TEST(cancels_a_request_in_the_callback_of_another)
{
	uint64_t id;

	set_up();
	request(5000, on_cancel_other);
	other = request(5000, on_answer);
	id = take_request();
	take_request();
	answer(id, "");
	turn(2);
	ck_assert_int_eq(seen.answers, 1);
	ck_assert_ptr_null(other);
	tear_down();
}
END_TEST

START_TEST(cancels_a_request_while_all_are_failing)
{
	set_up();
	request(5000, on_cancel_other);
	other = request(5000, on_answer);
	ipc_close(&peer);
	turn(3);
	ck_assert_int_eq(seen.answers, 1);
	ck_assert_int_eq(seen.closed, 1);
	tear_down();
}
END_TEST

START_TEST(may_be_freed_in_its_own_callback)
{
	uint64_t id;

	set_up();
	request(5000, on_free);
	request(5000, on_answer);
	id = take_request();
	take_request();
	answer(id, "");
	answer(id, "and more in the buffer");
	turn(3);
	ck_assert_int_eq(seen.answers, 2);
	ck_assert_int_eq(seen.error, ECANCELED);
	ck_assert_int_eq(seen.closed, 0);
	tear_down();
}
END_TEST

START_TEST(may_be_freed_when_a_request_fails_by_death)
{
	set_up();
	request(5000, on_free);
	request(5000, on_free);
	ipc_close(&peer);
	turn(3);
	ck_assert_int_eq(seen.answers, 2);
	tear_down();
}
END_TEST

static const struct {
	const char *name;
	const char *octets;
	size_t n;
	int closes;
} frames[] = {
    {"a message that does not exist", "\0\0\0\020\377\377\0\0\0\0\0\0\0\0\0\0", 16, 0},
    {"a message in the wrong direction", "\0\0\0\020\002\000\0\0\0\0\0\0\0\0\0\0", 16, 0},
    {"another's message", "\0\0\0\020\004\001\0\0\0\0\0\0\0\0\0\0", 16, 0},
    {"an answer without its fields", "\0\0\0\020\002\001\0\0\0\0\0\0\0\0\0\1", 16, 0},
    {"a field out of its bounds", "\0\0\0\021\002\001\0\0\0\0\0\0\0\0\0\1\377", 17, 0},
    {"a length below the header", "\0\0\0\017\002\001\0\0\0\0\0\0\0\0\0\0", 16, 1},
    {"a length above the maximum", "\377\377\377\377\002\001\0\0\0\0\0\0\0\0\0\0", 16, 1},
    {"a descriptor that did not come", "\0\0\0\020\002\001\1\0\0\0\0\0\0\0\0\0", 16, 1},
    {"a descriptor flag that is none", "\0\0\0\020\002\001\7\0\0\0\0\0\0\0\0\0", 16, 1},
    {"reserved octet", "\0\0\0\020\002\001\0\1\0\0\0\0\0\0\0\0", 16, 1},
};

START_TEST(survives_bad_frames)
{
	const int i = _i;
	uint64_t id;

	set_up();
	request(5000, on_answer);
	id = take_request();
	ck_assert_int_eq(write(peer.fd, frames[i].octets, frames[i].n), (ssize_t)frames[i].n);
	turn(3);
	ck_assert_msg(seen.closed == frames[i].closes, "%s", frames[i].name);
	if (!frames[i].closes) {
		/* The channel is still in step. */
		ck_assert_int_eq(seen.answers, 0);
		answer(id, "good");
		turn(3);
		ck_assert_msg(seen.answers == 1 && seen.error == 0, "%s", frames[i].name);
	} else
		ck_assert_msg(seen.error == ECONNRESET, "%s", frames[i].name);
	tear_down();
}
END_TEST

static void
on_part(struct chan *c, struct ipc_msg *m)
{
	(void)c;
	seen.handled++;
	seen.last_id = m->id;
	if (m->fd != -1) {
		seen.fd = m->fd;
		m->fd = -1;
	}
}

START_TEST(gives_a_descriptor_to_the_handler)
{
	static const struct chan_handler handlers[] = {{M_plumb, on_part}, {0, NULL}};
	struct plumb p = {.peer = P_POLICYD};
	int fds[2], pipefd[2];
	char c;

	memset(&seen, 0, sizeof seen);
	base = event_base_new();
	ck_assert_int_eq(ipc_pair(fds), 0);
	ck_assert_int_eq(pipe(pipefd), 0);
	chan = chan_new(base, fds[0], P_SMTPD, P_MASTER, handlers, on_closed, &seen);
	ipc_init(&peer, fds[1], P_MASTER, P_SMTPD);
	ck_assert_int_eq(ipc_send(&peer, M_plumb, 0, &p, pipefd[0], 1000), 0);
	turn(2);
	ck_assert_int_eq(seen.handled, 1);
	ck_assert_int_eq(write(pipefd[1], "x", 1), 1);
	ck_assert_int_eq(read(seen.fd, &c, 1), 1);
	close(seen.fd);
	close(pipefd[1]);
	tear_down();
}
END_TEST

START_TEST(handles_parts_before_the_answer_under_one_id)
{
	static const struct chan_handler handlers[] = {{M_secure_out, on_part}, {0, NULL}};
	struct mailbox to = {"bob@example.org"};
	struct blob b = {.kind = BLOB_INLINE, .size = 1, .data = {(const uint8_t *)"x", 1}};
	struct secure_req q = {.sender = "", .rcpts = {&to, 1}, .message = {&b, 1}};
	struct rcpt_index idx = {0};
	struct secure_out part = {.rcpts = {&idx, 1}, .unchanged = 1, .facts = ""};
	struct secure_rep rep = {.result = SECURE_OK};
	struct ipc_msg m;
	int fds[2];

	memset(&seen, 0, sizeof seen);
	base = event_base_new();
	ck_assert_int_eq(ipc_pair(fds), 0);
	chan = chan_new(base, fds[0], P_SMTPD, P_WORKER, handlers, on_closed, &seen);
	ipc_init(&peer, fds[1], P_WORKER, P_SMTPD);
	ck_assert_ptr_nonnull(chan_request(chan, M_secure_req, &q, -1, 5000, on_answer, NULL));
	turn(2);
	ck_assert_int_eq(ipc_recv(&peer, &m, 1000), 0);
	ck_assert_int_eq(ipc_send(&peer, M_secure_out, m.id, &part, -1, 1000), 0);
	ck_assert_int_eq(ipc_send(&peer, M_secure_out, m.id, &part, -1, 1000), 0);
	ck_assert_int_eq(ipc_send(&peer, M_secure_rep, m.id, &rep, -1, 1000), 0);
	ipc_done(&peer, &m);
	turn(3);
	ck_assert_int_eq(seen.handled, 2);
	ck_assert_int_eq(seen.answers, 1);
	tear_down();
}
END_TEST

START_TEST(handles_a_flood_in_order)
{
	static const struct chan_handler handlers[] = {{M_dns_addr_rep, on_part}, {0, NULL}};
	struct dns_addr_rep r = {.text = "some text that takes a little room in the frame"};
	uint64_t i, sent = 0;
	int fds[2];

	memset(&seen, 0, sizeof seen);
	seen.fd = -1;
	base = event_base_new();
	ck_assert_int_eq(ipc_pair(fds), 0);
	chan = chan_new(base, fds[0], P_SMTPD, P_DNSD, handlers, on_closed, &seen);
	ipc_init(&peer, fds[1], P_DNSD, P_SMTPD);
	for (i = 1; i <= 20000; i++) {
		ck_assert_int_eq(ipc_queue(&peer, M_dns_addr_rep, i, &r, -1), 0);
		if (i % 3000 != 0)
			continue;
		while (ipc_flush(&peer) == 0)
			turn(1);
		sent = i;
	}
	while (ipc_flush(&peer) == 0)
		turn(1);
	turn(200);
	ck_assert_uint_lt(sent, i);
	ck_assert_int_eq(seen.handled, 20000);
	ck_assert_uint_eq(seen.last_id, 20000);
	ck_assert_int_eq(seen.closed, 0);
	tear_down();
}
END_TEST

START_TEST(gives_up_a_peer_that_does_not_read)
{
	char name[256];
	struct dns_addr_req q = {.name = name};
	long i;

	set_up();
	memset(name, 'a', 250);
	name[250] = '\0';
	for (i = 0; i < 100000; i++)
		if (chan_send(chan, M_dns_addr_req, 1, &q, -1) == -1)
			break;
	ck_assert_int_eq(errno, ENOBUFS);
	ck_assert_int_lt(i, 100000);
	ck_assert_int_eq(seen.closed, 0);
	turn(2);
	ck_assert_int_eq(seen.closed, 1);
	tear_down();
}
END_TEST

START_TEST(refuses_to_send_what_the_table_forbids)
{
	struct grant_rep r = {0};
	struct dns_addr_req q = {.name = ""};

	set_up();
	ck_assert_int_eq(chan_send(chan, M_grant_rep, 1, &r, -1), -1);
	ck_assert_int_eq(errno, EPERM);
	ck_assert_ptr_null(chan_request(chan, M_dns_addr_req, &q, -1, 100, on_answer, NULL));
	ck_assert_int_eq(errno, EINVAL);
	turn(2);
	ck_assert_int_eq(seen.answers, 0);
	tear_down();
}
END_TEST

START_TEST(poll_takes_the_last_words_of_a_dead_peer)
{
	uint64_t id;

	set_up();
	request(5000, on_answer);
	id = take_request();
	answer(id, "last");
	ipc_close(&peer);
	chan_poll(chan);
	ck_assert_str_eq(seen.text, "last");
	ck_assert_int_eq(seen.error, 0);
	ck_assert_int_eq(seen.closed, 1);
	tear_down();
}
END_TEST

START_TEST(adopts_what_a_blocking_reader_has_buffered)
{
	static const struct chan_handler handlers[] = {{M_start, on_part}, {0, NULL}};
	struct start s = {0};
	struct ipc_msg m;
	struct ipc raw;
	int fds[2];

	memset(&seen, 0, sizeof seen);
	base = event_base_new();
	ck_assert_int_eq(ipc_pair(fds), 0);
	ipc_init(&raw, fds[0], P_SMTPD, P_MASTER);
	ipc_init(&peer, fds[1], P_MASTER, P_SMTPD);
	ck_assert_int_eq(ipc_send(&peer, M_start, 1, &s, -1, 1000), 0);
	ck_assert_int_eq(ipc_send(&peer, M_start, 2, &s, -1, 1000), 0);
	ck_assert_int_eq(ipc_recv(&raw, &m, 1000), 0);
	ipc_done(&raw, &m);
	chan = chan_adopt(base, &raw, handlers, on_closed, &seen);
	ck_assert_ptr_nonnull(chan);
	ck_assert_int_eq(raw.fd, -1);
	turn(2);
	ck_assert_int_eq(seen.handled, 1);
	ck_assert_uint_eq(seen.last_id, 2);
	tear_down();
}
END_TEST

Suite *
chan_suite(void)
{
	const TTest *const tests[] = {
	    matches_an_answer_to_its_request,
	    drops_an_answer_that_nobody_waits_for,
	    answers_a_request_only_once,
	    times_out,
	    fails_open_requests_when_the_peer_dies,
	    cancels_a_request_in_the_callback_of_another,
	    cancels_a_request_while_all_are_failing,
	    may_be_freed_in_its_own_callback,
	    may_be_freed_when_a_request_fails_by_death,
	    gives_a_descriptor_to_the_handler,
	    handles_parts_before_the_answer_under_one_id,
	    handles_a_flood_in_order,
	    gives_up_a_peer_that_does_not_read,
	    refuses_to_send_what_the_table_forbids,
	    poll_takes_the_last_words_of_a_dead_peer,
	    adopts_what_a_blocking_reader_has_buffered,
	    NULL,
	};
	Suite *s = unit_suite("chan", tests);
	TCase *c = tcase_create("frames");

	tcase_add_loop_test(c, survives_bad_frames, 0, sizeof frames / sizeof frames[0]);
	suite_add_tcase(s, c);
	return s;
}
