/* queue show, flush, hold, release, requeue, delete, check. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "gwctl/queue.h"
#include "queue/qstore.h"

#define ACT_TIMEOUT 120000 /* ms: a change of all that a large queue holds */
#define HEADER_SHOWN (256 * 1024) /* octets of a header that are shown */

/* ---- show ---- */

enum show { SHOW_TEXT, SHOW_JSON, SHOW_RAW };

static void
show_facts(const struct queue_info *q)
{
	const struct envelope *e = &q->envelope.v[0];
	char when[DATE_TEXT];
	size_t i;

	(void)printf("Queue ID:    %s\n", shown(e->qid));
	if (strcmp(e->tx, e->qid) != 0)
		(void)printf("Transaction: %s\n", shown(e->tx));
	(void)printf("Sender:      <%s>\n", shown(e->sender));
	(void)printf("Message-ID:  %s\n", shown(e->msgid));
	(void)printf("Arrived:     %s%s%s\n", time_text(e->arrived / 1000, when),
	    e->connector[0] != '\0' ? " at connector " : "",
	    e->connector[0] != '\0' ? shown(e->connector) : "");
	if (e->tenant[0] != '\0')
		(void)printf("Tenant:      %s\n", shown(e->tenant));
	(void)printf("Size:        %" PRIu64 " octets\n", q->size);
	(void)printf("Attempts:    %" PRIu32, q->attempts);
	if (q->next > 0)
		(void)printf(", the next one at %s", time_text(q->next / 1000, when));
	(void)putchar('\n');
	for (i = 0; i < q->rcpts.n; i++)
		(void)printf("Recipient:   <%s>, %s%s%s\n", shown(q->rcpts.v[i].addr),
		    queue_state_name(q->rcpts.v[i].state),
		    q->rcpts.v[i].text[0] != '\0' ? ": " : "",
		    q->rcpts.v[i].text[0] != '\0' ? shown(q->rcpts.v[i].text) : "");
	if (q->nrcpts > q->rcpts.n)
		(void)printf("and %zu recipients more\n", (size_t)q->nrcpts - q->rcpts.n);
	(void)putchar('\n');
}

/* Whole lines of the header out of what was read. 1 when that was the last one. */
static int
show_header(struct buf *b, size_t *left)
{
	char line[1024];
	const uint8_t *p, *nl;
	size_t n;

	for (;;) {
		p = buf_ptr(b);
		if ((nl = memchr(p, '\n', buf_len(b))) == NULL)
			return 0;
		n = (size_t)(nl - p) + 1;
		if (n > *left || n == 1 || (n == 2 && p[0] == '\r'))
			return 1;
		*left -= n;
		n -= n >= 2 && p[n - 2] == '\r' ? 2 : 1;
		(void)snprintf(line, sizeof line, "%.*s", (int)n, (const char *)p);
		(void)printf("%s\n", shown(line));
		buf_drain(b, (size_t)(nl - p) + 1);
	}
}

/* One piece; *got is how much came. 0, 1 when no more is wanted, or -1 with the code in *rc. */
static int
show_piece(struct ipc *c, const char *qid, uint64_t off, enum show how, struct buf *b, size_t *left,
    size_t *got, int *rc)
{
	struct queue_show_req q = {.qid = qid, .offset = off};
	const struct queue_show_rep *p;
	struct err e = {0};
	struct ipc_msg m;
	int end = 0;

	if (control_call(c, M_queue_show_req, &q, M_queue_show_rep, &m, CONTROL_TIMEOUT, &e) ==
	    -1) {
		*rc = complain_err(&e);
		return -1;
	}
	p = m.body;
	*got = p->piece.n;
	if (!p->found)
		*rc = complain(
		    EX_DATAERR, "%s is not in the queue%s", shown(qid), off > 0 ? " any more" : "");
	else if (p->text[0] != '\0')
		*rc = complain(EX_IOERR, "%s cannot be read: %s", shown(qid), shown(p->text));
	else if (how == SHOW_JSON)
		end = p->message.n == 1 ? (*rc = queue_json(&p->message.v[0]), 1) : 1;
	else if (how == SHOW_RAW)
		(void)fwrite(p->piece.p, 1, p->piece.n, stdout);
	else {
		if (p->message.n == 1)
			show_facts(&p->message.v[0]);
		end = buf_put(b, p->piece.p, p->piece.n) == -1 || show_header(b, left);
	}
	ipc_done(c, &m);
	return *rc != 0 ? -1 : end;
}

static int
show(struct ipc *c, const char *qid, enum show how)
{
	size_t left = HEADER_SHOWN, got;
	uint64_t off = 0;
	struct buf b;
	int rc = 0;

	buf_init(&b, HEADER_SHOWN + 2 * QUEUE_PIECE_MAX);
	while (show_piece(c, qid, off, how, &b, &left, &got, &rc) == 0 && got > 0)
		off += got;
	buf_free(&b);
	return rc;
}

int
verb_queue_show(struct gwctl *t, int argc, char *argv[])
{
	static const struct option longs[] = {
	    {"json", no_argument, NULL, SHOW_JSON},
	    {"raw", no_argument, NULL, SHOW_RAW},
	    {NULL, 0, NULL, 0},
	};
	enum show how = SHOW_TEXT;
	struct ipc c;
	int o, rc;

	while ((o = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (o == '?' || (how != SHOW_TEXT && how != (enum show)o))
			return complain_usage();
		how = (enum show)o;
	}
	if (argc - optind != 1)
		return complain_usage();
	if (argv[optind][0] == '\0' || strlen(argv[optind]) >= QUEUE_ID_MAX)
		return complain(EX_DATAERR, "'%s' is no queue id", shown(argv[optind]));
	if ((rc = queue_connect(t, &c)) != 0)
		return rc;
	rc = show(&c, argv[optind], how);
	ipc_close(&c);
	return rc;
}

/* ---- changes ---- */

static int
ask(struct ipc *c, struct queue_act_req *q, uint64_t *count)
{
	const struct queue_act_rep *p;
	struct err e = {0};
	struct ipc_msg m;
	int rc = 0;

	if (control_call(c, M_queue_act_req, q, M_queue_act_rep, &m, ACT_TIMEOUT, &e) == -1)
		return complain_err(&e);
	p = m.body;
	if (!p->ok)
		rc = complain(EX_TEMPFAIL, "%s", shown(p->text));
	*count += p->count;
	ipc_done(c, &m);
	return rc;
}

static void
count_one(void *arg, const struct queue_info *q)
{
	(void)q;
	(*(uint64_t *)arg)++;
}

/* Is all that to be deleted? 0, or the exit code. */
static int
confirm(struct ipc *c, struct queue_choice *choice)
{
	uint64_t n = 0;
	char question[200];
	int i, rc = 0, yes;

	if (choice->n == 0)
		rc = queue_each(c, &choice->filter, count_one, &n, NULL);
	for (i = 0; i < choice->n && rc == 0; i++) {
		choice->filter.qid = choice->ids[i];
		rc = queue_each(c, &choice->filter, count_one, &n, NULL);
	}
	if (rc != 0 || n == 0)
		return rc;
	(void)snprintf(question, sizeof question,
	    "%" PRIu64 " message%s will be deleted; nobody is told.", n, n == 1 ? "" : "s");
	if ((yes = ask_yes(question)) == -1)
		return complain(EX_USAGE, "%s Say --yes to delete.", question);
	return yes ? 0 : complain(EX_NOPERM, "kept");
}

static int
act(struct gwctl *t, enum queue_verb verb, const char *done, unsigned takes, int argc, char *argv[])
{
	struct queue_choice choice;
	struct queue_act_req q = {.verb = (uint8_t)verb, .filter = {&choice.filter, 1}};
	uint64_t n = 0, before;
	struct ipc c;
	int i, rc;

	if ((rc = queue_options(&choice, takes, argc, argv)) != 0)
		return rc;
	if (verb != QV_FLUSH && queue_choice_is_empty(&choice) && !choice.all)
		return complain(EX_USAGE, "say which messages, or --all");
	if (choice.all && !queue_choice_is_empty(&choice))
		return complain(EX_USAGE, "--all means everything: leave out the rest");
	q.reason = choice.reason != NULL ? choice.reason : "by the administrator";
	if ((rc = queue_connect(t, &c)) != 0)
		return rc;
	if (verb == QV_DELETE && !choice.yes && (rc = confirm(&c, &choice)) != 0)
		goto out;
	if (choice.n == 0)
		rc = ask(&c, &q, &n);
	for (i = 0; i < choice.n; i++) {
		choice.filter.qid = choice.ids[i];
		before = n;
		if ((rc = ask(&c, &q, &n)) != 0)
			break;
		if (n == before)
			rc = complain(
			    EX_DATAERR, "%s: no such message in the queue", shown(choice.ids[i]));
	}
	if (n > 0 || rc == 0)
		(void)printf("%" PRIu64 " message%s %s\n", n, n == 1 ? "" : "s", done);
out:
	ipc_close(&c);
	return rc;
}

int
verb_queue_flush(struct gwctl *t, int argc, char *argv[])
{
	return act(t, QV_FLUSH, "tried now", Q_CHANGE, argc, argv);
}

int
verb_queue_hold(struct gwctl *t, int argc, char *argv[])
{
	return act(t, QV_HOLD, "held", Q_CHANGE | Q_REASON, argc, argv);
}

int
verb_queue_release(struct gwctl *t, int argc, char *argv[])
{
	return act(t, QV_RELEASE, "released", Q_CHANGE, argc, argv);
}

int
verb_queue_requeue(struct gwctl *t, int argc, char *argv[])
{
	return act(t, QV_REQUEUE, "requeued", Q_CHANGE, argc, argv);
}

int
verb_queue_delete(struct gwctl *t, int argc, char *argv[])
{
	return act(t, QV_DELETE, "deleted", Q_CHANGE | Q_YES, argc, argv);
}

/* ---- check ---- */

static void
tell(void *arg, const char *line)
{
	(void)arg;
	(void)printf("%s\n", shown(line));
}

/* What is repaired must belong to who runs queued. 0 or the exit code. */
static int
become_owner(int dir, const char *path)
{
	struct stat st;

	if (fstat(dir, &st) == -1)
		return complain(EX_OSERR, "%s: %s", path, strerror(errno));
	if (geteuid() != 0 || st.st_uid == 0)
		return 0;
	if (setgroups(1, &st.st_gid) == -1 || setgid(st.st_gid) == -1 || setuid(st.st_uid) == -1)
		return complain(EX_OSERR, "%s: cannot become its owner: %s", path, strerror(errno));
	return 0;
}

int
verb_queue_check(struct gwctl *t, int argc, char *argv[])
{
	static const struct option longs[] = {
	    {"repair", no_argument, NULL, 'r'},
	    {NULL, 0, NULL, 0},
	};
	char path[1024];
	struct err e = {0};
	int o, rc, dir, repair = 0, n;

	while ((o = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (o != 'r')
			return complain_usage();
		repair = 1;
	}
	if (optind != argc)
		return complain_usage();
	if ((rc = gwctl_conf(t)) != 0)
		return rc;
	(void)snprintf(path, sizeof path, "%s/queue", t->conf->node.spool_dir);
	if ((dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1)
		return complain(errno == EACCES ? EX_NOPERM : EX_NOINPUT, "%s: %s%s", path,
		    strerror(errno), errno == ENOENT ? "; there has been no queue yet" : "");
	if ((rc = become_owner(dir, path)) == 0) {
		if ((n = qstore_check(dir, repair, tell, NULL, &e)) == -1)
			rc = e.code == EBUSY
				 ? complain(EX_TEMPFAIL,
				       "%s: queued is at work on it: gwctl stop ends the gateway",
				       path)
				 : complain_err(&e);
		else if (n > 0 && !repair)
			rc = complain(EX_DATAERR, "%d finding%s: --repair keeps what can be read",
			    n, n == 1 ? "" : "s");
		else
			(void)printf("%s: %s\n", path, n == 0 ? "no fault was found" : "repaired");
	}
	close(dir);
	return rc;
}
