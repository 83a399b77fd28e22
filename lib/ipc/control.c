#include "ipc/control.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/version.h"
#include "ipc/messages.h"

static int
control_connect(const char *run_dir, struct err *e)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = -1, n;

	n = snprintf(sun.sun_path, sizeof sun.sun_path, "%s/%s", run_dir, CONTROL_NAME);
	if (n < 0 || (size_t)n >= sizeof sun.sun_path)
		return err_set(e, ENAMETOOLONG,
		    "%s/%s: name too long for a socket; shorten run_dir", run_dir, CONTROL_NAME);
	if ((fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) == -1)
		return err_sys(e, "control socket");
	if (connect(fd, (struct sockaddr *)&sun, sizeof sun) == 0)
		return fd;
	n = errno;
	close(fd);
	if (n == ENOENT || n == ECONNREFUSED)
		return err_set(e, n, "%s: Postern is not running; start it first", sun.sun_path);
	if (n == EACCES || n == EPERM)
		return err_set(e, n,
		    "%s: permission denied; be root, in the group _gwadm, or the user that runs "
		    "Postern",
		    sun.sun_path);
	errno = n;
	return err_sys(e, "%s", sun.sun_path);
}

int
control_open(struct ipc *c, const char *run_dir, enum proc_id self, struct err *e)
{
	struct ctl_hello hello = {.role = (uint8_t)self, .version = POSTERN_VERSION};
	int fd;

	memset(c, 0, sizeof *c);
	c->fd = -1;
	if ((fd = control_connect(run_dir, e)) == -1)
		return -1;
	ipc_init(c, fd, self, P_MASTER);
	if (ipc_send(c, M_ctl_hello, 0, &hello, -1, CONTROL_TIMEOUT) == -1) {
		err_sys(e, "%s/%s", run_dir, CONTROL_NAME);
		ipc_close(c);
		errno = e != NULL ? e->code : EIO;
		return -1;
	}
	return 0;
}

/*
 * The next answer of master to the request id.  What it says about the hello (id 0) is passed
 * over when it agrees, and is the answer when it does not.
 */
static int
master_answer(struct ipc *master, uint64_t id, struct ipc_msg *m, int timeout, struct err *e)
{
	const struct ctl_reply *r;

	for (;;) {
		if (ipc_recv(master, m, timeout) == -1)
			return err_sys(e, "no answer from master");
		r = m->def->type == M_ctl_reply ? m->body : NULL;
		if (r != NULL && !r->ok) {
			err_set(e, EHOSTDOWN, "%s", r->text);
			ipc_done(master, m);
			return -1;
		}
		if (m->id == id && id != 0)
			return 0;
		ipc_done(master, m);
	}
}

static uint64_t
next_id(void)
{
	static uint64_t last = 1U << 31; /* apart from those of ipc_call */

	return ++last;
}

int
control_channel(
    struct ipc *master, enum proc_id peer, unsigned instance, struct ipc *out, struct err *e)
{
	struct ctl_connect req = {.peer = (uint8_t)peer, .instance = (uint16_t)instance};
	const struct ctl_channel *r;
	uint64_t id = next_id();
	struct ipc_msg m;

	memset(out, 0, sizeof *out);
	out->fd = -1;
	if (ipc_send(master, M_ctl_connect, id, &req, -1, CONTROL_TIMEOUT) == -1)
		return err_sys(e, "control socket");
	if (master_answer(master, id, &m, CONTROL_TIMEOUT, e) == -1)
		return -1;
	r = m.body;
	if (m.def->type != M_ctl_channel || r->peer != peer) {
		ipc_done(master, &m);
		return err_set(e, EBADMSG, "master gave no channel to %s", proc_name(peer));
	}
	ipc_init(out, m.fd, master->self, peer);
	m.fd = -1;
	ipc_done(master, &m);
	return 0;
}

/* What went wrong with a daemon, for people. */
static int
call_failed(struct ipc *c, uint16_t type, const void *body, int timeout, struct err *e)
{
	const struct ipc_msgdef *d = ipc_message(type);
	const char *who = proc_name(c->peer), *field;

	switch (errno) {
	case ETIMEDOUT:
		return err_set(
		    e, ETIMEDOUT, "%s did not answer within %d seconds", who, timeout / 1000);
	case ECONNRESET:
	case EPIPE:
		return err_set(e, ECONNRESET, "%s closed the connection; see its log", who);
	case EINVAL:
		field = d != NULL ? rec_bad_field(d->rec, body) : NULL;
		return err_set(e, EINVAL, "%s: value not permitted", field != NULL ? field : "?");
	case EBADMSG:
	case EPROTO:
		return err_set(e, EBADMSG, "%s gave an answer that makes no sense", who);
	default:
		return err_sys(e, "%s", who);
	}
}

int
control_call(struct ipc *c, uint16_t type, const void *body, uint16_t want, struct ipc_msg *m,
    int timeout, struct err *e)
{
	if (ipc_call(c, type, body, -1, want, m, timeout) == 0)
		return 0;
	return call_failed(c, type, body, timeout, e);
}

/* policyd's refusal as an error. */
static int
refused(const struct admin_rep *r, struct err *e)
{
	static const int codes[] = {
	    [ADMIN_NOTFOUND] = ENOENT,
	    [ADMIN_EXISTS] = EEXIST,
	    [ADMIN_INVALID] = EINVAL,
	    [ADMIN_FULL] = ENOSPC,
	    [ADMIN_FAILED] = EIO,
	};
	int code = r->status < sizeof codes / sizeof codes[0] ? codes[r->status] : 0;

	return err_set(
	    e, code != 0 ? code : EIO, "%s", r->text[0] != '\0' ? r->text : "policyd: failed");
}

int
control_admin(struct ipc *policy, uint16_t type, const void *body, uint16_t want, struct ipc_msg *m,
    int timeout, struct err *e)
{
	const struct admin_rep *r;
	uint64_t id = next_id();
	int rc = 0;

	if (ipc_send(policy, type, id, body, -1, timeout) == -1 ||
	    ipc_recv(policy, m, timeout) == -1)
		return call_failed(policy, type, body, timeout, e);
	r = m->def->type == M_admin_rep ? m->body : NULL;
	if (m->id != id || (r == NULL && m->def->type != want))
		rc = err_set(e, EBADMSG, "policyd gave an answer that makes no sense");
	else if (r != NULL && (r->status != ADMIN_OK || want != M_admin_rep))
		rc = refused(r, e);
	if (rc == -1)
		ipc_done(policy, m);
	return rc;
}

int
control_status(struct ipc *master, struct ipc_msg *m, int timeout, struct err *e)
{
	struct ctl_status_req req = {.unused = 0};
	uint64_t id = next_id();

	if (ipc_send(master, M_ctl_status_req, id, &req, -1, timeout) == -1)
		return err_sys(e, "control socket");
	if (master_answer(master, id, m, timeout, e) == -1)
		return -1;
	if (m->def->type == M_ctl_status_rep)
		return 0;
	ipc_done(master, m);
	return err_set(e, EBADMSG, "master gave an answer that makes no sense");
}

int
control_verb(struct ipc *master, unsigned verb, int timeout, struct err *e)
{
	struct ctl_verb req = {.verb = (uint8_t)verb};
	uint64_t id = next_id();
	struct ipc_msg m;

	if (ipc_send(master, M_ctl_verb, id, &req, -1, timeout) == -1)
		return err_sys(e, "control socket");
	if (master_answer(master, id, &m, timeout, e) == -1)
		return -1;
	ipc_done(master, &m);
	return 0;
}
