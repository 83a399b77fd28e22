#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cryptod/pool.h"
#include "t/unit/unit.h"

/* Jobs that wait for a gate, and say in which order they were done and by which thread. */
struct job {
	struct pool_job job;
	int number;
	pthread_t by;
};

static struct event_base *base;
static struct pool *pool;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static int order[POOL_JOBS_MAX + 8];
static unsigned ndone;
static int begun; /* jobs that are at work or were */

static void
work(struct pool_job *p)
{
	struct job *j = (struct job *)p;

	(void)__atomic_add_fetch(&begun, 1, __ATOMIC_SEQ_CST);
	(void)pthread_mutex_lock(&gate);
	(void)pthread_mutex_unlock(&gate);
	j->by = pthread_self();
}

static void
done(struct pool_job *p)
{
	struct job *j = (struct job *)p;

	ck_assert(!pthread_equal(j->by, pthread_self()));
	order[ndone++] = j->number;
}

static int
submit(struct job *j, int number, const char *line)
{
	memset(j, 0, sizeof *j);
	j->job.work = work;
	j->job.done = done;
	j->number = number;
	return pool_submit(pool, &j->job, line);
}

static void
begin(unsigned threads)
{
	struct err e = {0};

	ck_assert_ptr_nonnull(base = event_base_new());
	ck_assert_msg((pool = pool_new(base, threads, &e)) != NULL, "%s", e.text);
}

static void
end(void)
{
	pool_free(pool);
	event_base_free(base);
}

static void
await(unsigned n)
{
	for (int i = 0; i < 20000 && ndone < n; i++) {
		(void)event_base_loop(base, EVLOOP_NONBLOCK);
		(void)usleep(1000);
	}
	ck_assert_uint_eq(ndone, n);
}

static void
await_begun(int n)
{
	for (int i = 0; i < 20000 && __atomic_load_n(&begun, __ATOMIC_SEQ_CST) < n; i++)
		(void)usleep(1000);
	ck_assert_int_eq(__atomic_load_n(&begun, __ATOMIC_SEQ_CST), n);
}

START_TEST(a_line_of_many_holds_up_no_other)
{
	struct job first, many[50], other[2];

	begin(1);
	(void)pthread_mutex_lock(&gate);
	ck_assert_int_eq(submit(&first, 0, "a"), 0);
	await_begun(1);
	for (int i = 0; i < 50; i++)
		ck_assert_int_eq(submit(&many[i], 1 + i, "a"), 0);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(submit(&other[i], 100 + i, "b"), 0);
	(void)pthread_mutex_unlock(&gate);
	await(53);
	/* In turn, and in the order in which they came. */
	ck_assert_int_eq(order[1], 1);
	ck_assert_int_eq(order[2], 100);
	ck_assert_int_eq(order[3], 2);
	ck_assert_int_eq(order[4], 101);
	for (int i = 5; i < 53; i++)
		ck_assert_int_eq(order[i], i - 2);
	end();
}
END_TEST

START_TEST(bounds_each_line_and_all_of_them)
{
	struct job *jobs = calloc(POOL_JOBS_MAX + 1, sizeof *jobs), one;
	struct pool_jobs left;
	struct pool_job *j;
	char line[16] = "line-0";
	unsigned n = 0;

	ck_assert_ptr_nonnull(jobs);
	begin(1);
	(void)pthread_mutex_lock(&gate);
	ck_assert_int_eq(submit(&jobs[n++], 0, "first"), 0);
	await_begun(1);
	while (n <= POOL_JOBS_MAX) {
		line[5] = (char)('0' + (n - 1) / POOL_LINE_MAX);
		ck_assert_int_eq(submit(&jobs[n], 0, line), 0);
		if (n == POOL_LINE_MAX) {
			ck_assert_int_eq(submit(&one, 0, line), -1);
			ck_assert_int_eq(errno, EBUSY);
		}
		n++;
	}
	ck_assert_int_eq(submit(&one, 0, "one more"), -1);
	ck_assert_int_eq(errno, EBUSY);
	/* One back, one in its place. */
	ck_assert_int_eq(pool_cancel(pool, &jobs[n - 1].job), 1);
	ck_assert_int_eq(submit(&one, 0, "one more"), 0);
	ck_assert_int_eq(pool_cancel(pool, &jobs[0].job), 0);
	(void)pthread_mutex_unlock(&gate);
	pool_halt(pool, &left);
	n = 0;
	TAILQ_FOREACH (j, &left, next)
		n++;
	ck_assert_uint_eq(n, POOL_JOBS_MAX + 1);
	(void)event_base_loop(base, EVLOOP_NONBLOCK);
	ck_assert_uint_eq(ndone, 0);
	end();
	free(jobs);
}
END_TEST

START_TEST(nobody_is_at_work_while_it_is_held)
{
	struct job jobs[16];

	begin(4);
	for (int i = 0; i < 8; i++)
		ck_assert_int_eq(submit(&jobs[i], i, "a"), 0);
	pool_hold(pool);
	begun = 0;
	for (int i = 8; i < 16; i++)
		ck_assert_int_eq(submit(&jobs[i], i, "b"), 0);
	(void)usleep(50000);
	ck_assert_int_eq(__atomic_load_n(&begun, __ATOMIC_SEQ_CST), 0);
	pool_release(pool);
	await(16);
	end();
}
END_TEST

START_TEST(a_halt_gives_back_what_was_not_answered)
{
	struct pool_jobs left;
	struct pool_job *j;
	struct job jobs[3];
	unsigned n = 0;

	begin(2);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(submit(&jobs[i], i, "a"), 0);
	await_begun(3);
	pool_halt(pool, &left);
	TAILQ_FOREACH (j, &left, next)
		n++;
	ck_assert_uint_eq(n, 3);
	/* It goes on afterwards. */
	ck_assert_int_eq(submit(&jobs[0], 0, "a"), 0);
	await(1);
	end();
}
END_TEST

Suite *pool_suite(void);

Suite *
pool_suite(void)
{
	const TTest *const tests[] = {
	    a_line_of_many_holds_up_no_other,
	    bounds_each_line_and_all_of_them,
	    nobody_is_at_work_while_it_is_held,
	    a_halt_gives_back_what_was_not_answered,
	    NULL,
	};

	return unit_suite("cryptod pool", tests);
}
