/*
 * The walk over a whole store before it is used, in a child: what a damaged file makes of LMDB
 * (a SIGBUS, a SIGSEGV, an assertion, an endless search) happens there and is reported with the
 * file's name.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/inner.h"

/* Seconds: for the start, and for each 4 MiB; a walk reads about 500 MiB a second. */
#define WALK_SECONDS 60
#define WALK_STEP (4ULL << 20)

static int report_fd = -1; /* in the child */

static int
compare_keys(const MDB_val *a, const MDB_val *b)
{
	size_t n = a->mv_size < b->mv_size ? a->mv_size : b->mv_size;
	int c = memcmp(a->mv_data, b->mv_data, n);

	return c != 0 ? c : (a->mv_size > b->mv_size) - (a->mv_size < b->mv_size);
}

/* One record: its checksum or tag, and whether a search by its key finds it. */
static int
check_record(struct store *s, MDB_txn *txn, MDB_dbi dbi, const char *name, MDB_val *k, MDB_val *v,
    struct tally *sum, struct err *e)
{
	struct frame_place at = {name, k->mv_data, k->mv_size};
	uint8_t *plain = NULL;
	struct bytes b;
	MDB_val found;
	int rc;

	if (s->frame.gcm != NULL && (plain = malloc(v->mv_size + 16)) == NULL)
		return err_sys(e, "%.200s", s->name);
	rc = k->mv_size > STORE_KEY_MAX
		 ? -1
		 : frame_decode(&s->frame, &at, v->mv_data, v->mv_size, plain, &b);
	if (plain != NULL && rc == 0)
		explicit_bzero(plain, b.n);
	free(plain);
	if (rc == -1)
		return store_damaged(s, e, DATA_FILE, "a record of table %s is wrong", name);
	if (mdb_get(txn, dbi, k, &found) != 0 || found.mv_data != v->mv_data)
		return store_damaged(s, e, DATA_FILE, "a record of table %s is not found", name);
	tally_add(sum, frame_tag(&s->frame, v->mv_data, v->mv_size));
	return 0;
}

static int
check_table(struct store *s, MDB_txn *txn, const char *name, struct err *e)
{
	struct tally want, sum = {0};
	MDB_cursor *c = NULL;
	MDB_val k, v, before = {0, NULL};
	MDB_dbi dbi;
	int rc;

	if ((rc = tally_get(s, txn, name, &want, e)) != 1)
		return rc == 0 ? store_damaged(s, e, DATA_FILE, "table %s has no tally", name) : -1;
	if ((rc = mdb_dbi_open(txn, name, 0, &dbi)) != 0 ||
	    (rc = mdb_cursor_open(txn, dbi, &c)) != 0)
		return store_fail(s, e, rc == MDB_NOTFOUND ? MDB_CORRUPTED : rc, name);
	while ((rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) == 0) {
		if (sum.count == want.count ||
		    (before.mv_data != NULL && compare_keys(&before, &k) >= 0)) {
			rc = store_damaged(s, e, DATA_FILE, "table %s is out of order", name);
			goto out;
		}
		before = k;
		if ((rc = check_record(s, txn, dbi, name, &k, &v, &sum, e)) == -1)
			goto out;
	}
	if (rc != MDB_NOTFOUND) {
		rc = store_fail(s, e, rc, name);
		goto out;
	}
	rc = 0;
	if (sum.count != want.count || memcmp(sum.sum, want.sum, sizeof sum.sum) != 0)
		rc = store_damaged(s, e, DATA_FILE, "table %s has lost or changed records", name);
out:
	mdb_cursor_close(c);
	return rc;
}

/* Whether the file is as the transaction that it claims to be left it, and no older one. */
static int
check_txn(struct store *s, MDB_txn *txn, const struct seq *q, struct err *e)
{
	struct frame_place at = {TALLY, TALLY_TXN, sizeof TALLY_TXN - 1};
	uint8_t plain[FRAME_SEALED_HEAD + TALLY_LEN];
	MDB_val k = {at.klen, (void *)(uintptr_t)TALLY_TXN}, v;
	struct bytes b;
	int rc = mdb_get(txn, s->tally, &k, &v);

	if (rc != 0)
		return store_fail(s, e, rc == MDB_NOTFOUND ? MDB_CORRUPTED : rc, TALLY);
	if (v.mv_size > sizeof plain ||
	    frame_decode(&s->frame, &at, v.mv_data, v.mv_size, plain, &b) == -1 || b.n != 8 ||
	    get_be64(b.p) != mdb_txn_id(txn))
		return store_damaged(s, e, DATA_FILE, "its last transaction is not what it says");
	if (mdb_txn_id(txn) < q->txn)
		return store_damaged(s, e, DATA_FILE,
		    "it is older than " SEQ_FILE " says (if that is on purpose, remove " SEQ_FILE
		    ")");
	return 0;
}

/* The tables that the file names and the tallies must be the same ones. */
static int
check_tables(struct store *s, MDB_txn *txn, struct err *e)
{
	char name[STORE_NAME_MAX + 1];
	MDB_cursor *c = NULL;
	MDB_val k, v;
	MDB_dbi main_dbi;
	uint64_t tables = 0, tallies = 0;
	int rc, i;

	if ((rc = mdb_dbi_open(txn, NULL, 0, &main_dbi)) != 0)
		return store_fail(s, e, rc, "tables");
	for (i = 0; i < 2; i++) {
		if ((rc = mdb_cursor_open(txn, i ? s->tally : main_dbi, &c)) != 0)
			return store_fail(s, e, rc, "tables");
		while ((rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) == 0) {
			if (k.mv_size > 0 && *(char *)k.mv_data == '=')
				continue; /* TALLY and what is no table in it */
			if (i == 1) {
				tallies++;
				continue;
			}
			tables++;
			if (k.mv_size > STORE_NAME_MAX)
				break;
			memcpy(name, k.mv_data, k.mv_size);
			name[k.mv_size] = '\0';
			if (check_table(s, txn, name, e) == -1) {
				mdb_cursor_close(c);
				return -1;
			}
		}
		mdb_cursor_close(c);
		if (rc != MDB_NOTFOUND)
			return store_fail(s, e, rc == 0 ? MDB_CORRUPTED : rc, "tables");
	}
	if (tables != tallies)
		return store_damaged(s, e, DATA_FILE, "a table is missing");
	return 0;
}

/* Hand an error to the parent and leave, without what exit would run. */
static void __attribute__((noreturn)) leave(const struct err *e)
{
	(void)!write(report_fd, e, sizeof *e);
	_exit(1);
}

static void
on_assert(MDB_env *env, const char *msg)
{
	struct err e;
	struct store *s = mdb_env_get_userctx(env);

	(void)store_damaged(s, &e, DATA_FILE, "LMDB: %.100s", msg);
	leave(&e);
}

static int
check_records(struct store *s, const struct seq *q, struct err *e)
{
	MDB_txn *txn;
	int rc;

	if ((rc = mdb_env_create(&s->env)) != 0 ||
	    (rc = mdb_env_set_mapsize(s->env, s->map_size)) != 0 ||
	    (rc = mdb_env_set_maxdbs(s->env, STORE_TABLES_MAX * 2)) != 0 ||
	    (rc = mdb_env_open(s->env, s->data_path, MDB_NOSUBDIR | MDB_NOLOCK | MDB_RDONLY, 0)) !=
		0 ||
	    (rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn)) != 0)
		return store_fail(s, e, rc, "open");
	(void)mdb_env_set_userctx(s->env, s);
	(void)mdb_env_set_assert(s->env, on_assert);
	rc = mdb_dbi_open(txn, TALLY, 0, &s->tally);
	if (rc == MDB_NOTFOUND) {
		/* Made, but nothing was ever stored: a crash in the first moment. */
		if (q->txn == 0 && mdb_txn_id(txn) == 0)
			return 0;
		return store_damaged(s, e, DATA_FILE, "its tables are missing");
	}
	if (rc != 0)
		return store_fail(s, e, rc, TALLY);
	if (secret_check(s, txn, 1, e) == -1 || check_txn(s, txn, q, e) == -1)
		return -1;
	return check_tables(s, txn, e);
}

static void __attribute__((noreturn)) child(struct store *s, int fd, const struct seq *q)
{
	static const int deadly[] = {SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGABRT, SIGTERM};
	struct rlimit no_core = {0, 0};
	struct err e = {0};
	sigset_t none;
	size_t i;

	/* Nobody would read what it finds, and it holds the lock. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	for (i = 0; i < sizeof deadly / sizeof deadly[0]; i++)
		(void)signal(deadly[i], SIG_DFL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)setrlimit(RLIMIT_CORE, &no_core);
	if (pages_check(s, fd, &e) == -1 || check_records(s, q, &e) == -1)
		leave(&e);
	_exit(0);
}

/* What the child has to say, sizeof *told octets or none; -1 when it says nothing in time. */
static int
listen_to(int fd, struct err *told, uint64_t seconds)
{
	struct pollfd p = {fd, POLLIN, 0};
	uint64_t end = clock_ms() + seconds * 1000, now;
	size_t n = 0;
	ssize_t got;

	while (n < sizeof *told) {
		if ((now = clock_ms()) >= end)
			return -1;
		if (poll(&p, 1, (int)(end - now < 60000 ? end - now : 60000)) <= 0)
			continue;
		got = read(fd, (uint8_t *)told + n, sizeof *told - n);
		if (got == 0 || (got == -1 && errno != EINTR))
			break;
		n += got > 0 ? (size_t)got : 0;
	}
	if (n < sizeof *told)
		*told = (struct err){0};
	told->text[sizeof told->text - 1] = '\0';
	return 0;
}

/* Sent by somebody (an administrator, the kernel short of memory): says nothing of the file. */
static int
is_outside_signal(int sig)
{
	return sig != SIGBUS && sig != SIGSEGV && sig != SIGFPE && sig != SIGILL && sig != SIGABRT;
}

static int
wait_for(struct store *s, pid_t pid, int fd, uint64_t seconds, struct err *e)
{
	struct err told = {0};
	int status, late = listen_to(fd, &told, seconds);

	if (late == -1)
		(void)kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) == -1)
		if (errno != EINTR)
			return err_sys(e, "%.200s: check", s->name);
	if (late == -1)
		return store_damaged(s, e, DATA_FILE, "reading it came to no end");
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFEXITED(status) && told.code != 0)
		return err_set(e, told.code, "%s", told.text);
	if (WIFSIGNALED(status) && is_outside_signal(WTERMSIG(status)))
		return err_set(e, EINTR, "%.200s: the check was killed by signal %d (%s)", s->name,
		    WTERMSIG(status), strsignal(WTERMSIG(status)));
	if (WIFSIGNALED(status))
		return store_damaged(s, e, DATA_FILE, "reading it ended with signal %d (%s)",
		    WTERMSIG(status), strsignal(WTERMSIG(status)));
	return store_damaged(s, e, DATA_FILE, "reading it failed");
}

static int
walk(struct store *s, int fd, const struct seq *q, uint64_t size, struct err *e)
{
	uint64_t seconds = WALK_SECONDS + size / WALK_STEP;
	int p[2], rc;
	pid_t pid;

	if (pipe2(p, O_CLOEXEC) == -1)
		return err_sys(e, "%.200s: pipe", s->name);
	switch (pid = fork()) {
	case -1:
		rc = err_sys(e, "%.200s: fork", s->name);
		break;
	case 0:
		report_fd = p[1];
		child(s, fd, q);
	default:
		(void)close(p[1]);
		p[1] = -1;
		rc = wait_for(s, pid, p[0], seconds, e);
	}
	(void)close(p[0]);
	if (p[1] != -1)
		(void)close(p[1]);
	return rc;
}

int
check_walk(struct store *s, struct err *e)
{
	struct seq q;
	struct stat st;
	int fd, rc = -1, code;

	if (seq_read(s, &q, e) == -1)
		return -1;
	if ((fd = open(s->data_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)) == -1) {
		if (errno != ENOENT)
			return err_sys(e, "%.200s/" DATA_FILE, s->name);
		return q.txn == 0 ? 0 : store_damaged(s, e, DATA_FILE, "it is missing");
	}
	if (fstat(fd, &st) == -1)
		(void)err_sys(e, "%.200s/" DATA_FILE, s->name);
	else if (!S_ISREG(st.st_mode))
		(void)err_set(e, EINVAL, "%.200s/" DATA_FILE ": not a regular file", s->name);
	else if ((uint64_t)st.st_size < q.size)
		(void)store_damaged(s, e, DATA_FILE, "it was truncated from %llu to %llu octets",
		    (unsigned long long)q.size, (unsigned long long)st.st_size);
	else if (st.st_size == 0)
		rc = 0; /* made, never written */
	else
		rc = walk(s, fd, &q, (uint64_t)st.st_size, e);
	code = errno;
	(void)close(fd);
	errno = code;
	return rc;
}
