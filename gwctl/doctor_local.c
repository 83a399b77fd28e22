/* doctor: configuration, daemons, clock, spool, ports, certificates. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#include "gwctl/doctor.h"

#define CONNECT_MS 2000
#define SOON 14 /* days before its end that a certificate is told of */
#define RESTARTS_RECENT 3600 /* seconds */

struct told {
	struct doctor *d;
	unsigned lines;
};

static void
on_line(void *arg, const char *text)
{
	struct told *t = arg;

	t->lines++;
	doctor_say(
	    t->d, DOCTOR_WRONG, "", "correct it; postern.conf(5) tells the options", "%s", text);
}

static void
on_warning(void *arg, const char *text)
{
	struct told *t = arg;

	doctor_say(t->d, DOCTOR_NOTE, "", "see postern.conf(5)", "%s", text);
}

void
doctor_config(struct doctor *d)
{
	struct told told = {.d = d};
	const struct conf_report report = {.line = on_line, .arg = &told, .warn = on_warning};
	struct err e = {0};

	d->t->conf = conf_load(d->t->config, &report, &e);
	if (d->t->conf != NULL)
		doctor_say(d, DOCTOR_GOOD, d->t->config, "", "correct");
	else if (told.lines == 0)
		doctor_say(d, DOCTOR_WRONG, d->t->config,
		    "gwctl setup writes one, -c names another", "%s", e.text);
}

/* ---- daemons ---- */

static void
one_daemon(struct doctor *d, const struct ctl_proc *p)
{
	uint64_t now = (uint64_t)time(NULL);
	char name[64];

	(void)snprintf(name, sizeof name, "%s/%u", proc_name(p->role), p->instance);
	if (p->state == PROC_BACKOFF)
		doctor_say(d, DOCTOR_WRONG, name, "the log says why; gwctl status -v shows it now",
		    "does not stay up: %s", p->note);
	else if (p->state != PROC_RUNNING)
		doctor_say(
		    d, DOCTOR_NOTE, name, "look again in a moment", "is starting or leaving");
	else if (p->restarts > 0 && p->since <= now && now - p->since < RESTARTS_RECENT)
		doctor_say(d, DOCTOR_NOTE, name, "the log says how it died",
		    "was started anew %" PRIu32 " times, the last time within an hour",
		    p->restarts);
	else if (p->note[0] != '\0')
		doctor_say(d, DOCTOR_WRONG, name,
		    p->role == P_CRYPTOD ? "keyctl unlock opens the key store, keyctl init makes it"
					 : "see gwctl status",
		    "%s", p->note);
}

void
doctor_daemons(struct doctor *d)
{
	const struct ctl_status_rep *rep;
	unsigned before = d->wrong + d->notes;
	struct ipc_msg m;
	struct err e = {0};
	size_t i;

	if (d->t->conf == NULL)
		return;
	d->t->run_dir = d->t->conf->node.run_dir;
	if (control_open(&d->t->master, d->t->run_dir, P_GWCTL, &e) == -1 ||
	    control_status(&d->t->master, &m, d->timeout, &e) == -1) {
		doctor_say(d, DOCTOR_WRONG, "master",
		    e.code == EACCES || e.code == EPERM ? "ask as root, or as a member of _gwadm"
							: "systemctl start postern, or postern",
		    "%s", e.text);
		return;
	}
	rep = m.body;
	d->running = 1;
	for (i = 0; i < rep->procs.n; i++)
		one_daemon(d, &rep->procs.v[i]);
	if (!rep->privileged)
		doctor_say(d, DOCTOR_NOTE, "master", "start it as root",
		    "runs as an ordinary user: daemons have no users and no jails of their own");
	if (d->wrong + d->notes == before)
		doctor_say(d, DOCTOR_GOOD, "", "", "all %zu run", rep->procs.n);
	ipc_done(&d->t->master, &m);
}

/* ---- clock ---- */

void
doctor_clock(struct doctor *d)
{
	struct timex t = {.modes = 0};
	int state = adjtimex(&t);

	if (state == -1)
		doctor_say(d, DOCTOR_NOTE, "", "look at timedatectl",
		    "cannot be asked whether it is set: %s", strerror(errno));
	else if (state == TIME_ERROR || (t.status & STA_UNSYNC) != 0)
		doctor_say(d, DOCTOR_WRONG, "", "run chrony, ntpsec or systemd-timesyncd",
		    "nobody sets it: signatures, certificates and DNSSEC depend on the time");
	else
		doctor_say(d, DOCTOR_GOOD, "", "", "is synchronised");
}

/* ---- spool ---- */

static void
one_folder(struct doctor *d, const char *what, const char *path, uint64_t least)
{
	struct statvfs v;
	struct statfs f;
	uint64_t room;

	if (statvfs(path, &v) == -1 || statfs(path, &f) == -1) {
		doctor_say(d, DOCTOR_WRONG, path,
		    "make install and systemd-tmpfiles --create make the folders", "%s: %s", what,
		    strerror(errno));
		return;
	}
	room = (uint64_t)v.f_bavail * v.f_frsize;
	if (f.f_type == TMPFS_MAGIC)
		doctor_say(d, DOCTOR_WRONG, path, "choose a folder on a disk",
		    "%s is in memory: what is in it does not outlive a restart of the machine",
		    what);
	else if (room < least)
		doctor_say(d, DOCTOR_WRONG, path, "make room on its file system",
		    "%s: %" PRIu64 " MiB are free, mail is refused below %" PRIu64 " MiB", what,
		    room >> 20, least >> 20);
	else if (room < 4 * least)
		doctor_say(d, DOCTOR_NOTE, path, "make room on its file system",
		    "%s: only %" PRIu64 " MiB are free", what, room >> 20);
	else if (v.f_files > 0 && v.f_favail < 1000)
		doctor_say(d, DOCTOR_WRONG, path, "remove files on its file system",
		    "%s: only %" PRIu64 " inodes are free", what, (uint64_t)v.f_favail);
	else
		doctor_say(
		    d, DOCTOR_GOOD, path, "", "%s: %" PRIu64 " MiB are free", what, room >> 20);
}

void
doctor_spool(struct doctor *d)
{
	const struct conf *c = d->t->conf;

	one_folder(d, "spool", c->node.spool_dir,
	    conf_has_queue(c) ? c->queue.min_free + 4 * c->queue.segment : 64 << 20);
	one_folder(d, "databases", c->node.state_dir, 64 << 20);
}

/* ---- ports ---- */

/* 0, or errno of connecting. */
static int
try_connect(const struct netaddr *a)
{
	struct sockaddr_storage ss;
	socklen_t len = netaddr_to_sockaddr(a, &ss), n = sizeof(int);
	int fd = socket(a->family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), code = 0;
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	if (fd == -1)
		return errno;
	if (connect(fd, (const struct sockaddr *)&ss, len) == -1) {
		if (errno != EINPROGRESS)
			code = errno;
		else if (poll(&p, 1, CONNECT_MS) != 1)
			code = ETIMEDOUT;
		else
			(void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &n);
	}
	close(fd);
	return code;
}

void
doctor_ports(struct doctor *d)
{
	const struct conf *c = d->t->conf;
	const struct conf_connector *k;
	char text[NETADDR_TEXT_MAX], about[160];
	struct netaddr a;
	size_t i, j;
	int code;

	if (!d->running)
		return;
	for (i = 0; i < c->nconnectors; i++) {
		k = &c->connectors[i];
		for (j = 0; j < k->nbound; j++) {
			a = k->bound[j].addr;
			(void)snprintf(about, sizeof about, "connector %s, %s", k->name,
			    netaddr_format(text, sizeof text, ':', &a));
			if (netaddr_is_any(&a)) {
				memset(a.addr, 0, sizeof a.addr);
				a.addr[a.family == AF_INET ? 0 : 15] =
				    a.family == AF_INET ? 127 : 1;
				if (a.family == AF_INET)
					a.addr[3] = 1;
			}
			if ((code = try_connect(&a)) == 0)
				doctor_say(d, DOCTOR_GOOD, about, "", "answers");
			else
				doctor_say(d, DOCTOR_WRONG, about,
				    "gwctl reload if the configuration is newer than the gateway; "
				    "else the log says why",
				    "%s", strerror(code));
		}
	}
}

/* ---- certificates ---- */

static void
judge_cert(struct doctor *d, const char *about, X509 *x)
{
	const char *host = d->t->conf->node.hostname;
	int days = 0, seconds = 0;

	(void)ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(x));
	if (days < 0 || seconds < 0)
		doctor_say(d, DOCTOR_WRONG, about, "renew it, and gwctl tls install it",
		    "ended %d days ago", -days);
	else if (days < SOON)
		doctor_say(d, DOCTOR_NOTE, about, "renew it, and gwctl tls install it",
		    "ends in %d days", days);
	else if (X509_cmp_current_time(X509_get0_notBefore(x)) > 0)
		doctor_say(d, DOCTOR_WRONG, about, "look at the clock", "is not valid yet");
	else if (X509_check_host(x, host, 0, 0, NULL) != 1)
		doctor_say(d, DOCTOR_NOTE, about,
		    "get one for it, or set hostname to a name that is in it",
		    "is not for %s, as this node calls itself", host);
	else
		doctor_say(d, DOCTOR_GOOD, about, "", "is good for %d days", days);
}

void
doctor_tls(struct doctor *d)
{
	const struct conf *c = d->t->conf;
	const struct conf_connector *k;
	char about[1200];
	size_t i, j;
	FILE *f;
	X509 *x;

	for (i = 0; i < c->nconnectors; i++) {
		k = &c->connectors[i];
		if (k->tls == CONF_SUPPORT_DISABLED)
			doctor_say(d, DOCTOR_NOTE, k->name,
			    "get a certificate, gwctl tls install it, and remove tls = disabled",
			    "the connector has no TLS: clients speak in clear");
		for (j = 0; j < k->chains.n; j++) {
			(void)snprintf(
			    about, sizeof about, "connector %s, %s", k->name, k->chains.v[j]);
			x = NULL;
			if ((f = fopen(k->chains.v[j], "re")) != NULL) {
				x = PEM_read_X509(f, NULL, NULL, NULL);
				(void)fclose(f);
			}
			if (x != NULL)
				judge_cert(d, about, x);
			else
				doctor_say(d, DOCTOR_WRONG, about,
				    "gwctl tls install puts it there", "%s",
				    f == NULL ? strerror(errno) : "has no certificate");
			X509_free(x);
		}
	}
}
