/* A worker's life: seats, requests, its end. */
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "filterd/zygote.h"
#include "t/unit/filterd/harness.h"

Suite *worker_suite(void);

#define PLAIN "From: bob@partner.example\r\nX-Postern-Signer: x\r\n\r\nwords\r\n"

START_TEST(serves_its_session_and_ends_with_it)
{
	struct outcome o;

	harness_reset();
	ck_assert_int_eq(through_worker(&o, PLAIN, strlen(PLAIN), 1), EX_OK);
	ck_assert_int_eq(o.answered, 1);
	ck_assert_int_eq(o.result, OPEN_VIRTUAL);
	ck_lacks(&o.octets, "X-Postern");
	outcome_free(&o);
}
END_TEST

START_TEST(serves_one_message_after_the_other)
{
	static const enum who to[] = {ALICE, NOBODY};
	struct outcome o;
	struct buf a, m;

	harness_reset();
	buf_init(&a, 1 << 20);
	buf_init(&m, 1 << 20);
	encrypted(&a, to, BOB, "\r\nwords", 7, NULL);
	pgp_mime(&m, "From: bob@partner.example\r\n", &a);
	ck_assert_int_eq(through_worker(&o, buf_ptr(&m), buf_len(&m), 20), EX_OK);
	ck_assert_int_eq(o.answered, 20);
	ck_assert_str_eq(verdict(&o.octets), "yes good");
	ck_assert_uint_eq(world.unwraps, 20);
	/* Nothing is remembered from one message to the next. */
	ck_assert_uint_eq(world.openings, 20);
	ck_assert_uint_eq(world.lookups, 20);
	ck_assert_uint_eq(world.denied, 0);
	outcome_free(&o);
	buf_free(&a);
	buf_free(&m);
}
END_TEST

START_TEST(ends_when_a_peer_is_gone)
{
	static const enum who to[] = {ALICE, NOBODY};
	struct outcome o;
	struct buf a, m;

	harness_reset();
	buf_init(&a, 1 << 20);
	buf_init(&m, 1 << 20);
	encrypted(&a, to, NOBODY, "x", 1, NULL);
	pgp_mime(&m, "From: bob@partner.example\r\n", &a);
	world.policyd_gone = 1;
	ck_assert_int_eq(through_worker(&o, buf_ptr(&m), buf_len(&m), 1), EX_TEMPFAIL);
	ck_assert_int_eq(o.result, OPEN_DEFER);
	outcome_free(&o);
	buf_free(&a);
	buf_free(&m);
}
END_TEST

/* Seats in the order given, then the word to go. */
static int
seated(const enum proc_id *peers, int go, const void *garbage, size_t n)
{
	struct worker_go g = {.deadline = 5};
	struct worker_seat s;
	struct ipc control;
	int fds[2], pair[2], theirs[8], k = 0, rc;

	ck_assert_int_eq(ipc_pair(fds), 0);
	ipc_init(&control, fds[0], P_FILTERD, P_WORKER);
	for (; *peers != P_NONE; peers++) {
		ck_assert_int_eq(ipc_pair(pair), 0);
		s.peer = (uint8_t)*peers;
		ck_assert_int_eq(ipc_send(&control, M_worker_seat, 0, &s, pair[0], 1000), 0);
		theirs[k++] = pair[1];
		if (*peers == P_POP3D && n > 0)
			ck_assert_int_eq(write(pair[1], garbage, n), n);
	}
	if (go)
		ck_assert_int_eq(ipc_send(&control, M_worker_go, 0, &g, -1, 1000), 0);
	else
		ipc_close(&control);
	rc = worker_run(fds[1], -1);
	while (k > 0)
		close(theirs[--k]);
	if (go)
		ipc_close(&control);
	return rc;
}

START_TEST(refuses_a_table_that_is_not_laid)
{
	static const enum proc_id none[] = {P_NONE}, two[] = {P_POP3D, P_POLICYD, P_NONE},
				  twice[] = {P_POP3D, P_SMTPD, P_POLICYD, P_NONE},
				  strange[] = {P_POP3D, P_DNSD, P_NONE},
				  four[] = {P_POP3D, P_POLICYD, P_CRYPTOD, P_CRYPTOD, P_NONE};

	ck_assert_int_eq(seated(none, 0, NULL, 0), EX_OK);
	ck_assert_int_eq(seated(two, 0, NULL, 0), EX_OK);
	ck_assert_int_eq(seated(two, 1, NULL, 0), EX_PROTOCOL);
	ck_assert_int_eq(seated(twice, 1, NULL, 0), EX_PROTOCOL);
	ck_assert_int_eq(seated(strange, 1, NULL, 0), EX_PROTOCOL);
	ck_assert_int_eq(seated(four, 1, NULL, 0), EX_PROTOCOL);
}
END_TEST

START_TEST(ends_on_garbage_from_its_proxy)
{
	static const enum proc_id all[] = {P_POP3D, P_POLICYD, P_CRYPTOD, P_NONE};

	ck_assert_int_eq(seated(all, 1, "\xff\xff\xff\xff garbage, garbage", 22), EX_PROTOCOL);
	ck_assert_int_eq(seated(all, 1, "\0\0\0\x10\x05\x02\0\0\0\0\0\0\0\0\0\0", 16), EX_PROTOCOL);
}
END_TEST

/* The zygote's answer to a request, or its word of a worker's end. */
static void
hear(struct ipc *c, uint16_t type, uint32_t *pid, int *fd)
{
	struct ipc_msg m;

	ck_assert_int_eq(ipc_recv(c, &m, 10000), 0);
	ck_assert_uint_eq(m.def->type, type);
	if (type == M_zygote_child) {
		*pid = ((const struct zygote_child *)m.body)->pid;
		*fd = m.fd;
		m.fd = -1;
	} else {
		ck_assert_uint_eq(((const struct zygote_exit *)m.body)->pid, *pid);
		ck_assert_uint_eq(((const struct zygote_exit *)m.body)->status, 0);
	}
	ipc_done(c, &m);
}

/* 5 MiB to alice: spooled to a file on both ways. */
static void
large_message(struct buf *m)
{
	static const enum who to[] = {ALICE, NOBODY};
	static const struct pgp_encrypt_params plain = {.armor = true};
	struct buf a, t;

	buf_init(&a, 1 << 24);
	buf_init(&t, 1 << 24);
	buf_init(m, 1 << 24);
	buf_puts(&t, "Content-Type: text/plain; charset=utf-8\r\n\r\n");
	while (buf_len(&t) < 5 << 20)
		buf_puts(&t, "a line of a large message\r\n");
	encrypted(&a, to, BOB, buf_ptr(&t), buf_len(&t), &plain);
	pgp_mime(m, "From: bob@partner.example\r\nSubject: =?koi8-r?q?=C1?=\r\n", &a);
	buf_free(&a);
	buf_free(&t);
}

START_TEST(zygote_forks_workers_and_tells_of_their_end)
{
	struct outcome o;
	struct buf m;

	static const struct zygote_fork q = {0};
	uint32_t pid[3];
	int fds[2], fd[3], st;
	struct ipc c;
	pid_t zygote;
	unsigned i;

	ck_assert_int_eq(ipc_pair(fds), 0);
	ck_assert_int_ne(zygote = fork(), -1);
	if (zygote == 0) {
		close(fds[0]);
		zygote_run(fds[1], open("/tmp", O_RDONLY | O_DIRECTORY), (uint64_t)256 << 20);
	}
	close(fds[1]);
	ipc_init(&c, fds[0], P_FILTERD, P_ZYGOTE);
	for (i = 0; i < 3; i++)
		ck_assert_int_eq(ipc_send(&c, M_zygote_fork, i, &q, -1, 1000), 0);
	for (i = 0; i < 3; i++)
		hear(&c, M_zygote_child, &pid[i], &fd[i]);
	/* In a release build this one is in its sandbox. */
	harness_reset();
	large_message(&m);
	through_control(&o, fd[0], buf_ptr(&m), buf_len(&m), 2);
	ck_assert_int_eq(o.answered, 2);
	ck_assert_str_eq(verdict(&o.octets), "yes good");
	ck_assert_uint_gt(buf_len(&o.octets), 5 << 20);
	outcome_free(&o);
	buf_free(&m);
	hear(&c, M_zygote_exit, &pid[0], NULL);
	for (i = 1; i < 3; i++) {
		/* An idle worker that is let go. */
		close(fd[i]);
		hear(&c, M_zygote_exit, &pid[i], NULL);
	}
	ipc_close(&c);
	ck_assert_int_eq(waitpid(zygote, &st, 0), zygote);
	ck_assert_int_eq(st, 0);
}
END_TEST

Suite *
worker_suite(void)
{
	return unit_suite(
	    "worker", (const TTest *[]){serves_its_session_and_ends_with_it,
			  serves_one_message_after_the_other, ends_when_a_peer_is_gone,
			  refuses_a_table_that_is_not_laid, ends_on_garbage_from_its_proxy,
			  zygote_forks_workers_and_tells_of_their_end, NULL});
}
