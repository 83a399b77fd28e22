/* setup: write a working configuration. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "gwctl/gwctl.h"

#define LISTENERS_MAX 16
#define SETUP_TEXT_MAX (256 * 1024)

struct peer_option {
	char host[HOST_MAX];
	unsigned port;
	const char *tls; /* a word of postern.conf, NULL: none was given */
};

struct setup {
	const char *placement, *domain, *mail_host, *hostname, *output;
	const char *login_domain, *ca_file, *key_file, *log_file;
	const char *state_dir, *spool_dir, *run_dir, *libexec_dir;
	const char *smtp_listen[LISTENERS_MAX], *pop_listen[LISTENERS_MAX], *clients[LISTENERS_MAX];
	const char *certificates[LISTENERS_MAX];
	const char *mx_listen[LISTENERS_MAX], *relay_listen[LISTENERS_MAX];
	const char *relay_clients[LISTENERS_MAX];
	size_t nsmtp, npop, nclients, ncertificates, nmx, nrelay, nrelay_clients;
	int internal, gateway; /* what the placement is made of */
	struct peer_option smtp, mx, pop3;
	int force;
};

/* Everybody's own networks: an open door is opened on purpose only (--clients any). */
static const char *const own_nets[] = {
    "127.0.0.0/8", "::1", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fd00::/8"};

/* Values are written between quotes: nothing that ends or expands them. */
static int
plain(const char *what, const char *s)
{
	const unsigned char *p;

	for (p = (const unsigned char *)s; *p != '\0'; p++)
		if (*p < 0x20 || *p == 0x7f || strchr("\"\\$", *p) != NULL)
			return complain(EX_USAGE,
			    "--%s %s: quotes, backslashes, $ and controls cannot stand there", what,
			    shown(s));
	return 0;
}

/* ---- options ---- */

/* "HOST:PORT[,TLS]", "[::1]:25,none". */
static int
parse_peer(const char *what, const char *arg, struct peer_option *p)
{
	static const char *const words[] = {"none", "starttls", "implicit"};
	char text[HOSTPORT_TEXT_MAX + 16], *comma;
	struct hostport hp;
	size_t i;

	if (strlcpy(text, arg, sizeof text) >= sizeof text)
		return complain(EX_USAGE, "--%s %s: too long", what, shown(arg));
	if ((comma = strchr(text, ',')) != NULL)
		*comma++ = '\0';
	if (hostport_parse(text, &hp) == -1)
		return complain(EX_USAGE,
		    "--%s %s: HOST:PORT is needed, or HOST:PORT,none|starttls|implicit", what,
		    shown(arg));
	(void)strlcpy(p->host, hp.host, sizeof p->host);
	p->port = hp.port;
	for (i = 0; comma != NULL && i < sizeof words / sizeof words[0]; i++)
		if (strcmp(comma, words[i]) == 0)
			p->tls = words[i];
	if (comma != NULL && p->tls == NULL)
		return complain(EX_USAGE,
		    "--%s %s: none, starttls or implicit can stand behind "
		    "the comma",
		    what, shown(arg));
	return 0;
}

static int
add_value(const char *what, const char *arg, const char **v, size_t *n)
{
	if (*n == LISTENERS_MAX)
		return complain(EX_USAGE, "--%s: at most %d of them; edit the file for more", what,
		    LISTENERS_MAX);
	v[(*n)++] = arg;
	return 0;
}

enum {
	S_PLACEMENT = 1000,
	S_DOMAIN,
	S_MAIL_HOST,
	S_HOSTNAME,
	S_OUTPUT,
	S_FORCE,
	S_SMTP_LISTEN,
	S_POP_LISTEN,
	S_MX_LISTEN,
	S_RELAY_LISTEN,
	S_RELAY_CLIENT,
	S_CLIENTS,
	S_CERTIFICATE,
	S_PEER_SMTP,
	S_PEER_MX,
	S_PEER_POP3,
	S_CA_FILE,
	S_LOGIN_DOMAIN,
	S_KEY_FILE,
	S_LOG_FILE,
	S_STATE_DIR,
	S_SPOOL_DIR,
	S_RUN_DIR,
	S_LIBEXEC_DIR
};

static const struct option longs[] = {
    {"placement", required_argument, NULL, S_PLACEMENT},
    {"domain", required_argument, NULL, S_DOMAIN},
    {"mail-host", required_argument, NULL, S_MAIL_HOST},
    {"hostname", required_argument, NULL, S_HOSTNAME},
    {"output", required_argument, NULL, S_OUTPUT},
    {"force", no_argument, NULL, S_FORCE},
    {"smtp-listen", required_argument, NULL, S_SMTP_LISTEN},
    {"pop-listen", required_argument, NULL, S_POP_LISTEN},
    {"mx-listen", required_argument, NULL, S_MX_LISTEN},
    {"relay-listen", required_argument, NULL, S_RELAY_LISTEN},
    {"relay-client", required_argument, NULL, S_RELAY_CLIENT},
    {"clients", required_argument, NULL, S_CLIENTS},
    {"certificate", required_argument, NULL, S_CERTIFICATE},
    {"peer-smtp", required_argument, NULL, S_PEER_SMTP},
    {"peer-mx", required_argument, NULL, S_PEER_MX},
    {"peer-pop3", required_argument, NULL, S_PEER_POP3},
    {"ca-file", required_argument, NULL, S_CA_FILE},
    {"login-domain", required_argument, NULL, S_LOGIN_DOMAIN},
    {"key-file", required_argument, NULL, S_KEY_FILE},
    {"log-file", required_argument, NULL, S_LOG_FILE},
    {"state-dir", required_argument, NULL, S_STATE_DIR},
    {"spool-dir", required_argument, NULL, S_SPOOL_DIR},
    {"run-dir", required_argument, NULL, S_RUN_DIR},
    {"libexec-dir", required_argument, NULL, S_LIBEXEC_DIR},
    {NULL, 0, NULL, 0},
};

/* Where an option with one value goes, or NULL. */
static const char **
single(struct setup *s, int o)
{
	switch (o) {
	case S_PLACEMENT:
		return &s->placement;
	case S_DOMAIN:
		return &s->domain;
	case S_MAIL_HOST:
		return &s->mail_host;
	case S_HOSTNAME:
		return &s->hostname;
	case S_OUTPUT:
		return &s->output;
	case S_CA_FILE:
		return &s->ca_file;
	case S_LOGIN_DOMAIN:
		return &s->login_domain;
	case S_KEY_FILE:
		return &s->key_file;
	case S_LOG_FILE:
		return &s->log_file;
	case S_STATE_DIR:
		return &s->state_dir;
	case S_SPOOL_DIR:
		return &s->spool_dir;
	case S_RUN_DIR:
		return &s->run_dir;
	case S_LIBEXEC_DIR:
		return &s->libexec_dir;
	default:
		return NULL;
	}
}

static int
take_option(struct setup *s, int o, int at, const char *arg)
{
	const char *name = longs[at].name, **to;

	if (o != S_FORCE && plain(name, arg) != 0)
		return EX_USAGE;
	if ((to = single(s, o)) != NULL) {
		*to = arg;
		return 0;
	}
	switch (o) {
	case S_FORCE:
		s->force = 1;
		return 0;
	case S_SMTP_LISTEN:
		return add_value(name, arg, s->smtp_listen, &s->nsmtp);
	case S_POP_LISTEN:
		return add_value(name, arg, s->pop_listen, &s->npop);
	case S_MX_LISTEN:
		return add_value(name, arg, s->mx_listen, &s->nmx);
	case S_RELAY_LISTEN:
		return add_value(name, arg, s->relay_listen, &s->nrelay);
	case S_RELAY_CLIENT:
		return add_value(name, arg, s->relay_clients, &s->nrelay_clients);
	case S_CLIENTS:
		return add_value(name, arg, s->clients, &s->nclients);
	case S_CERTIFICATE:
		return add_value(name, arg, s->certificates, &s->ncertificates);
	case S_PEER_SMTP:
		return parse_peer(name, arg, &s->smtp);
	case S_PEER_MX:
		return parse_peer(name, arg, &s->mx);
	default:
		return parse_peer(name, arg, &s->pop3);
	}
}

/* What follows from the mail server's name. */
static int
complete_peer(
    struct setup *s, struct peer_option *p, const char *what, unsigned port, const char *tls)
{
	if (p->host[0] == '\0') {
		if (s->mail_host == NULL)
			return complain(EX_USAGE,
			    "name the mail server behind the gateway with --mail-host, or with "
			    "--%s HOST:PORT",
			    what);
		if (strlcpy(p->host, s->mail_host, sizeof p->host) >= sizeof p->host)
			return complain(EX_USAGE, "--mail-host: too long");
		p->port = port;
		p->tls = tls;
	}
	/* A server on this machine is often without TLS; elsewhere clear text is refused. */
	if (p->tls == NULL)
		p->tls = p->port == 995 || p->port == 465 ? "implicit"
			 : host_is_loopback(p->host)      ? "none"
							  : "starttls";
	return 0;
}

static int
complete(struct gwctl *t, struct setup *s)
{
	int rc;

	if (s->placement == NULL)
		return complain_usage();
	s->internal = strcmp(s->placement, "gateway") != 0;
	s->gateway = strcmp(s->placement, "internal") != 0;
	if (s->internal && s->gateway && strcmp(s->placement, "both") != 0)
		return complain(EX_USAGE, "--placement %s: internal, gateway or both is expected",
		    shown(s->placement));
	if (!s->gateway && s->nmx + s->nrelay + s->nrelay_clients > 0)
		return complain(EX_USAGE,
		    "--mx-listen, --relay-listen and --relay-client are for --placement gateway or "
		    "both");
	if (s->nrelay > 0 && s->nrelay_clients == 0)
		return complain(EX_USAGE,
		    "--relay-listen: name the hosts that may send out there, with --relay-client");
	if (s->domain == NULL || !host_valid(s->domain))
		return complain(EX_USAGE, "--domain DOMAIN: the mail domain of the organisation");
	if (s->output == NULL)
		s->output = t->config;
	if (s->login_domain == NULL)
		s->login_domain = s->domain;
	if (s->internal &&
	    ((rc = complete_peer(s, &s->smtp, "peer-smtp", 587, "starttls")) != 0 ||
		(rc = complete_peer(s, &s->pop3, "peer-pop3", 995, "implicit")) != 0))
		return rc;
	/* Mail that comes in goes on to there. */
	if (s->gateway)
		return complete_peer(s, &s->mx, "peer-mx", 25, "starttls");
	/* Delivery notices need a door that takes mail from <> without a login. */
	if (s->mx.host[0] != '\0' || (s->mail_host != NULL && s->smtp.port != 25))
		return complete_peer(s, &s->mx, "peer-mx", 25, "starttls");
	return 0;
}

/* ---- the file ---- */

static void
put_setting(struct buf *b, const char *name, const char *value, const char *instead)
{
	if (value != NULL)
		(void)buf_printf(b, "\t%s = \"%s\"\n", name, value);
	else
		(void)buf_printf(b, "\t# %s = %s\n", name, instead);
}

static void
put_values(struct buf *b, const char *name, const char *const *v, size_t n)
{
	size_t i;

	(void)buf_printf(b, "\t%s = {", name);
	for (i = 0; i < n; i++)
		(void)buf_printf(b, "%s\"%s\"", i > 0 ? ", " : "", v[i]);
	(void)buf_puts(b, "}\n");
}

static void
put_node(struct buf *b, const struct setup *s)
{
	(void)buf_printf(b,
	    "# postern.conf: the configuration of this node, written by gwctl setup for the mail "
	    "of %s.\n#\n"
	    "# See postern.conf(5).  What stands behind # is the default.  After a change:\n"
	    "# gwctl config check, then gwctl reload.\n\n"
	    "node {\n",
	    s->domain);
	put_setting(b, "hostname", s->hostname, "\"gw.example.org\"\t\tthe name of this machine");
	put_setting(b, "state_dir", s->state_dir, LOCALSTATEDIR "/lib/postern");
	put_setting(b, "spool_dir", s->spool_dir, LOCALSTATEDIR "/spool/postern");
	put_setting(b, "run_dir", s->run_dir, RUNDIR "/postern");
	put_setting(b, "libexec_dir", s->libexec_dir, PREFIX "/libexec/postern");
	if (s->ncertificates > 0)
		put_values(b, "certificates", s->certificates, s->ncertificates);
	else
		(void)buf_puts(
		    b, "\t# certificates = {\"mail\"}\t\tto be shown to clients, see below\n");
	(void)buf_puts(b, "}\n\nlog {\n");
	if (s->log_file != NULL)
		(void)buf_puts(b, "\tdestination = file\n");
	else
		(void)buf_puts(b, "\t# destination = syslog\t\t\tor file\n");
	put_setting(b, "file", s->log_file, LOCALSTATEDIR "/log/postern.log");
	(void)buf_puts(b,
	    "\t# level = info\t\t\t\terr, warn, info, debug\n}\n\n"
	    "# The secret that unlocks the private keys at start.  Without it the keys stay locked "
	    "until\n# somebody runs keyctl unlock.\nignition {\n");
	put_setting(b, "key_file", s->key_file, SYSCONFDIR "/postern/ignition.key");
	(void)buf_puts(b, "}\n\n");
}

static void
put_peer(struct buf *b, const struct setup *s, const char *name, const char *service,
    const struct peer_option *p, int logins)
{
	(void)buf_printf(b,
	    "peer \"%s\" {\n\tservice = %s\n\thost = \"%s\"\n\tport = %u\n"
	    "\ttls = %s\t\t\t\t# none, starttls, implicit\n",
	    name, service, p->host, p->port, p->tls);
	put_setting(b, "ca_file", s->ca_file, SYSCONFDIR "/ssl/certs/ca-certificates.crt");
	if (logins)
		(void)buf_printf(b,
		    "\tlogin_domain = \"%s\"\t\t# a login without @ is one of this domain\n",
		    s->login_domain);
}

static void
put_connector(struct buf *b, const struct setup *s, const char *name, const char *service,
    const char *peer, const char *const *listen, size_t n)
{
	(void)buf_printf(b, "connector \"%s\" {\n\tservice = %s\n", name, service);
	put_values(b, "listen", listen, n);
	(void)buf_printf(b, "\tpeer = \"%s\"\n", peer);
	if (s->nclients == 0)
		put_values(b, "clients", own_nets, sizeof own_nets / sizeof own_nets[0]);
	else if (s->nclients != 1 || strcmp(s->clients[0], "any") != 0)
		put_values(b, "clients", s->clients, s->nclients);
	else
		(void)buf_puts(b, "\t# clients = {\"10.0.0.0/8\"}\t\teverybody may connect\n");
	if (s->ncertificates == 0)
		(void)buf_puts(b, "\ttls = disabled\t\t\t\t# passwords pass in clear, see above\n");
	(void)buf_puts(b, "}\n\n");
}

/* The queue: from the world, from our hosts, and where mail of the domain goes. */
static void
put_gateway(struct buf *b, const struct setup *s)
{
	static const char *const all[] = {"0.0.0.0", "[::]"};
	static const char *const second[] = {"0.0.0.0:2525", "[::]:2525"};
	const char *tls = s->ncertificates == 0 ? "\ttls = disabled\n" : "";

	(void)buf_puts(b, "# What the MX records point to.\nconnector \"mx\" {\n\tservice = mx\n");
	put_values(b, "listen", s->nmx > 0 ? s->mx_listen : all, s->nmx > 0 ? s->nmx : 2);
	(void)buf_printf(b,
	    "%s\t# gate = \"default\"\t\t\tlists, rates, greylisting: gate in postern.conf(5)\n"
	    "\t# inbound = pass\t\t\tdecrypt: encrypted mail is opened before it goes on\n}\n\n"
	    "# Where mail of our domain goes; that of all others goes to their MX.\n"
	    "route \"office\" {\n\tdomains = {\"%s\", \".%s\"}\n\tservers = {\"%s%s%s:%u\"}\n"
	    "\ttls = %s\n}\n\n"
	    "queue {\n\tpostmaster = \"postmaster@%s\"\n}\n\n",
	    tls, s->domain, s->domain, strchr(s->mx.host, ':') != NULL ? "[" : "", s->mx.host,
	    strchr(s->mx.host, ':') != NULL ? "]" : "", s->mx.port,
	    strcmp(s->mx.tls, "none") == 0 ? "may" : "verify", s->domain);
	if (s->nrelay_clients == 0) {
		(void)buf_puts(b,
		    "# Hosts that send out through the gateway.\n#connector \"relay\" {\n"
		    "#\tservice = relay\n#\tlisten = {\"0.0.0.0:2525\"}\n"
		    "#\trelay_clients = {\"10.0.0.5\"}\n#}\n\n");
		return;
	}
	(void)buf_puts(b, "# Hosts that send out through the gateway.\n"
			  "connector \"relay\" {\n\tservice = relay\n");
	put_values(
	    b, "listen", s->nrelay > 0 ? s->relay_listen : second, s->nrelay > 0 ? s->nrelay : 2);
	put_values(b, "relay_clients", s->relay_clients, s->nrelay_clients);
	(void)buf_printf(b, "%s}\n\n", tls);
}

static void
put_internal(struct buf *b, const struct setup *s)
{
	static const char *const all[] = {"0.0.0.0", "[::]"};

	(void)buf_puts(b, "# The mail server behind the gateway, one section for each service.\n");
	put_peer(b, s, "office-smtp", "smtp", &s->smtp, 1);
	if (s->mx.host[0] != '\0')
		(void)buf_puts(
		    b, "\tnotify = \"office-mx\"\t\t\t# takes delivery notices without a login\n");
	(void)buf_puts(b, "}\n\n");
	if (s->mx.host[0] != '\0') {
		put_peer(b, s, "office-mx", "smtp", &s->mx, 0);
		(void)buf_puts(b, "}\n\n");
	}
	put_peer(b, s, "office-pop3", "pop3", &s->pop3, 1);
	(void)buf_puts(b, "}\n\n# Where the users' mail programs connect.\n");
	if (s->ncertificates == 0)
		(void)buf_puts(b, "# TLS: gwctl tls install mail chain.pem key.pem; then "
				  "certificates = {\"mail\"} "
				  "in section\n# node, and the lines tls = disabled go.\n");
	if (s->nsmtp > 0)
		put_connector(b, s, "submission", "smtp", "office-smtp", s->smtp_listen, s->nsmtp);
	else
		put_connector(b, s, "submission", "smtp", "office-smtp", all, 2);
	if (s->npop > 0)
		put_connector(b, s, "pop3", "pop3", "office-pop3", s->pop_listen, s->npop);
	else
		put_connector(b, s, "pop3", "pop3", "office-pop3", all, 2);
}

static void
put_all(struct buf *b, const struct setup *s)
{
	put_node(b, s);
	if (s->internal)
		put_internal(b, s);
	if (s->gateway)
		put_gateway(b, s);
}

static void
report_line(void *arg, const char *text)
{
	(void)arg;
	(void)fprintf(stderr, "%s\n", text);
}

/* Is what would be written a configuration? */
static int
check(const struct setup *s, const struct buf *b)
{
	const struct conf_report all = {.line = report_line};
	struct err e = {0};
	struct conf *c = conf_load_mem(buf_ptr(b), buf_len(b), s->output, &all, &e);

	if (c == NULL)
		return complain(
		    EX_CONFIG, "nothing was written: these options give no configuration");
	conf_free(c);
	return 0;
}

/* All or nothing: a name of its own first, then the real one. */
static int
write_file(const struct setup *s, const struct buf *b)
{
	char temp[PATH_MAX];
	size_t done = 0;
	ssize_t n = 0;
	int fd, bad;

	if (snprintf(temp, sizeof temp, "%s.XXXXXX", s->output) >= (int)sizeof temp)
		return complain(EX_CANTCREAT, "%s: name too long", s->output);
	if ((fd = mkstemp(temp)) == -1)
		return complain(EX_CANTCREAT, "%s: %s", temp, strerror(errno));
	while (done < buf_len(b) && (n = write(fd, buf_ptr(b) + done, buf_len(b) - done)) > 0)
		done += (size_t)n;
	bad = n <= 0 || fchmod(fd, 0644) == -1 || fsync(fd) == -1;
	bad = close(fd) == -1 || bad;
	/* link refuses a file that is there, also one that has just come. */
	if (!bad)
		bad = s->force ? rename(temp, s->output) == -1 : link(temp, s->output) == -1;
	if (bad)
		(void)complain(0, "%s: %s%s", s->output, strerror(errno),
		    errno == EEXIST ? "; --force replaces it" : "");
	if (bad || !s->force)
		(void)unlink(temp);
	return bad ? EX_CANTCREAT : 0;
}

static void
next_steps(const struct setup *s)
{
	int stock = strcmp(s->output, SYSCONFDIR "/postern/postern.conf") == 0;
	char with[PATH_MAX + 8] = "";

	if (!stock)
		(void)snprintf(with, sizeof with, " -c %s", s->output);
	(void)printf("%s: written\n\nNext:\n", s->output);
	if (stock)
		(void)printf("  systemctl start postern\n");
	else
		(void)printf("  postern%s -F\n", with);
	(void)printf("  keyctl%s init%s%s\n"
		     "  gwctl%s domain add %s\n"
		     "  gwctl%s consumer add alice --internal --address alice@%s\n"
		     "  keyctl%s generate --address alice@%s\n"
		     "  gwctl%s doctor\n",
	    with, s->key_file != NULL ? " --key-file " : "", s->key_file != NULL ? s->key_file : "",
	    with, s->domain, with, s->domain, with, s->domain, with);
	if (s->internal)
		(void)printf(
		    "Then let mail programs send and fetch through this machine: submission and "
		    "POP3 are set up.\nAn IMAP connector comes with its daemon, imapd, which is "
		    "not "
		    "there yet.\n");
	if (s->gateway)
		(void)printf("Then let the MX records of %s point to this machine%s.\n", s->domain,
		    s->nrelay_clients > 0 ? ", and the mail servers send through its relay" : "");
}

int
verb_setup(struct gwctl *t, int argc, char *argv[])
{
	struct setup s;
	struct buf b;
	int o, at = 0, rc = 0;

	memset(&s, 0, sizeof s);
	while (rc == 0 && (o = getopt_long(argc, argv, "", longs, &at)) != -1)
		rc = o == '?' ? complain_usage() : take_option(&s, o, at, optarg);
	if (rc == 0 && optind != argc)
		rc = complain_usage();
	if (rc != 0 || (rc = complete(t, &s)) != 0)
		return rc;
	/* Told before anything else is looked at. */
	if (!s.force && access(s.output, F_OK) == 0)
		return complain(EX_CANTCREAT,
		    "%s is there already; --force replaces it, --output "
		    "names another file",
		    s.output);
	buf_init(&b, SETUP_TEXT_MAX);
	put_all(&b, &s);
	if ((rc = check(&s, &b)) == 0 && (rc = write_file(&s, &b)) == 0)
		next_steps(&s);
	buf_free(&b);
	return rc;
}
