#include "filterd/worker.h"

#include <errno.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/log.h"

#define SEATS 3 /* a proxy, policyd, cryptod */

/* Take a seat that the dispatcher gave. */
static int
take_seat(struct worker *w, struct ipc_msg *m)
{
	const struct worker_seat *s = m->body;
	struct ipc *c;

	switch (s->peer) {
	case P_SMTPD:
	case P_POP3D:
	case P_IMAPD:
		c = &w->proxy;
		break;
	case P_POLICYD:
		c = &w->policyd;
		break;
	case P_CRYPTOD:
		c = &w->cryptod;
		break;
	default:
		return -1;
	}
	if (c->fd != -1)
		return -1;
	ipc_init(c, m->fd, P_WORKER, s->peer);
	m->fd = -1;
	return 0;
}

/* A seat that was never taken has nothing to close. */
static void
close_seat(struct ipc *c)
{
	if (c->fd != -1)
		ipc_close(c);
}

/* Wait to be given a session: three seats, then the word to go. */
static int
wait_for_session(struct worker *w, unsigned *deadline)
{
	struct ipc_msg m;
	int seats = 0, rc = 0;

	for (;;) {
		if (ipc_recv(&w->control, &m, -1) == -1)
			return -1;
		if (m.def->type == M_worker_go) {
			*deadline = ((const struct worker_go *)m.body)->deadline;
			ipc_done(&w->control, &m);
			errno = EPROTO;
			return seats == SEATS ? 0 : -1;
		}
		if (m.def->type == M_worker_seat)
			rc = take_seat(w, &m);
		else
			rc = -1;
		ipc_done(&w->control, &m);
		if (rc == -1) {
			errno = EPROTO;
			return -1;
		}
		seats++;
	}
}

static int
serve_one(struct worker *w, struct ipc_msg *m)
{
	int fd = m->fd;

	m->fd = -1;
	if (m->def->type == M_secure_req)
		return secure_message(w, m->body, m->id, fd);
	if (m->def->type == M_open_req)
		return open_message(w, m->body, m->id, fd);
	if (fd != -1)
		close(fd);
	return -1;
}

static int
serve(struct worker *w, unsigned deadline)
{
	struct ipc_msg m;
	int rc;

	for (;;) {
		if (ipc_recv(&w->proxy, &m, -1) == -1)
			return errno == ECONNRESET ? EX_OK : EX_PROTOCOL;
		/* A message that keeps us busy for longer ends the process: SIGALRM. */
		(void)alarm(deadline);
		rc = serve_one(w, &m);
		(void)alarm(0);
		ipc_done(&w->proxy, &m);
		ask_reset(&w->ask);
		if (rc == -1)
			return EX_IOERR;
		/* A channel that broke or may be out of step: the next message gets a new worker.
		 */
		if (w->ask.dead)
			return EX_TEMPFAIL;
	}
}

int
worker_run(int control, int spooldir)
{
	struct worker w;
	unsigned deadline;
	int rc = EX_PROTOCOL;

	memset(&w, 0, sizeof w);
	w.proxy.fd = w.policyd.fd = w.cryptod.fd = -1;
	w.spooldir = spooldir;
	ipc_init(&w.control, control, P_WORKER, P_FILTERD);
	if (wait_for_session(&w, &deadline) == -1) {
		/* The dispatcher may let an idle worker go. */
		rc = errno == ECONNRESET ? EX_OK : EX_PROTOCOL;
	} else {
		ask_init(&w.ask, &w.policyd, &w.cryptod);
		rc = serve(&w, deadline);
		ask_reset(&w.ask);
	}
	close_seat(&w.proxy);
	close_seat(&w.policyd);
	close_seat(&w.cryptod);
	ipc_close(&w.control);
	return rc;
}
