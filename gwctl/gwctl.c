/* Words, connections, complaints. */
#include "gwctl/gwctl.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/log.h"
#include "base/version.h"
#include "openpgp/algo.h"

/* What the verbs of the queue have in common. */
#define QUEUE_FILTER                                                                               \
	"[--sender PATTERN] [--rcpt PATTERN] [--destination NAME]\n"                               \
	"    [--tenant NAME] [--state active|waiting|deferred|held]... [--older TIME]"
#define QUEUE_CHANGE "QID...\n    --all\n    " QUEUE_FILTER

/* The first word, and the second one where a verb has two. */
static const struct verb {
	const char *group, *name;
	int (*run)(struct gwctl *t, int argc, char *argv[]);
	const char *usage, *what;
} verbs[] = {
    {"setup", NULL, verb_setup,
	"--placement internal|gateway|both --domain DOMAIN --mail-host HOST\n"
	"    [--hostname NAME] [--output FILE] [--force]\n"
	"    [--smtp-listen ADDRESS[:PORT]]... [--pop-listen ADDRESS[:PORT]]... [--clients "
	"NET]...\n"
	"    [--mx-listen ADDRESS[:PORT]]... [--relay-listen ADDRESS[:PORT]]... [--relay-client "
	"NET]...\n"
	"    [--certificate NAME|FILE]...\n"
	"    [--peer-smtp HOST:PORT[,none|starttls|implicit]] [--peer-mx ...] [--peer-pop3 ...]\n"
	"    [--ca-file FILE] [--login-domain DOMAIN] [--key-file FILE] [--log-file FILE]\n"
	"    [--state-dir DIR] [--spool-dir DIR] [--run-dir DIR] [--libexec-dir DIR]",
	"write a working postern.conf"},
    {"config", "check", verb_config_check, "", "tell every error of the configuration"},
    {"config", "dump", verb_config_dump, "", "print every setting with its value"},
    {"status", NULL, verb_status, "[-v | --verbose | -q | --quiet | --json | --metrics]",
	"show what runs, and what needs attention"},
    {"doctor", NULL, verb_doctor, "[-q | --quiet | --json] [AREA...]",
	"look at everything that must be right, and say what to do"},
    {"log", NULL, verb_log,
	"[--since TIME] [--until TIME] [--from PATTERN] [--to PATTERN]\n"
	"    [--client PATTERN] [--message-id PATTERN] [--status sent|deferred|bounced]\n"
	"    [--tenant NAME] [--id QID] [-f | --follow] [-q | --quiet | --json]\n"
	"    [--kind connect|disconnect|lost|reject|login|login-failed|client|message|crypto|"
	"queued|delivery|held|notice|expired|removed|admin]...",
	"search what happened to mail"},
    {"trace", NULL, verb_trace, "[--json] QID", "tell the whole life of a transaction"},
    {"reload", NULL, verb_reload, "", "make the gateway read its configuration again"},
    {"reopen", NULL, verb_reopen, "", "make the gateway open its log file again"},
    {"stop", NULL, verb_stop, "", "end the gateway, when what is under way is finished"},
    {"tls", "connectors", verb_tls_connectors, "[-q | --quiet | --json]",
	"list what connectors do with TLS, and with which certificates"},
    {"tls", "actions", verb_tls_actions, "[-q | --quiet | --json]",
	"list the actions, and which connectors use them"},
    {"tls", "profiles", verb_tls_profiles, "[-q | --quiet | --json]",
	"list the TLS profiles, and who uses them"},
    {"tls", "install", verb_tls_install,
	"[--no-reload] [--passphrase-file FILE] NAME CHAIN KEYFILE",
	"install a certificate: the key into the key store, the chain where NAME stands for it"},
    {"tls", "reports", verb_tls_reports, "[-q | --quiet | --json]\n    --send [DOMAIN...]",
	"list what is kept for reports about TLS, or send them now"},
    {"domain", "add", verb_domain_add, "[--tenant NAME] [--recipients ask|list|any] DOMAIN...",
	"manage a mail domain, or change one"},
    {"domain", "del", verb_domain_del, "DOMAIN...", "manage it no longer"},
    {"domain", "list", verb_domain_list, "[-q | --quiet | --json]", "list the managed domains"},
    {"recipient", "add", verb_recipient_add, "[--file FILE] ADDRESS|@DOMAIN...",
	"list addresses that take mail, for domains with --recipients list"},
    {"recipient", "del", verb_recipient_del, "ADDRESS|@DOMAIN...", "take them off the list"},
    {"recipient", "list", verb_recipient_list, "[-q | --quiet | --json]",
	"list the recipients that are no consumers"},
    {"route", "list", verb_route_list, "[-q | --quiet | --json]",
	"list where mail from the queue goes"},
    {"route", "test", verb_route_test, "[--json] DOMAIN",
	"tell where mail of a domain would go now, and how"},
    {"queue", "list", verb_queue_list, QUEUE_FILTER " [-q | --quiet | --json]",
	"list the messages that are on their way, as mailq(1) does"},
    {"queue", "summary", verb_queue_summary, QUEUE_FILTER " [--json]",
	"count them by domain and by age"},
    {"queue", "show", verb_queue_show, "[--json | --raw] QID",
	"show one: its recipients and its header, or all of it"},
    {"queue", "flush", verb_queue_flush, QUEUE_CHANGE, "try messages now"},
    {"queue", "hold", verb_queue_hold, "[--reason TEXT] " QUEUE_CHANGE,
	"keep messages until they are released"},
    {"queue", "release", verb_queue_release, QUEUE_CHANGE, "let held ones go"},
    {"queue", "requeue", verb_queue_requeue, QUEUE_CHANGE,
	"begin anew with their attempts, by the routes of now"},
    {"queue", "delete", verb_queue_delete, "[--yes] " QUEUE_CHANGE,
	"delete messages; nobody is told"},
    {"queue", "check", verb_queue_check, "[--repair]",
	"check the queue on the disk, while the gateway does not run"},
    {"consumer", "add", verb_consumer_add,
	"--internal|--external [--address ADDRESS]... [--login [PEER:]NAME]...\n"
	"    [--name TEXT] [--tenant NAME] ID",
	"enter a person or device"},
    {"consumer", "set", verb_consumer_set,
	"[--internal|--external] [--name TEXT]\n"
	"    [--address ADDRESS]... [--add-address ADDRESS]... [--del-address ADDRESS]...\n"
	"    [--login [PEER:]NAME]... [--add-login [PEER:]NAME]... [--del-login [PEER:]NAME]... ID",
	"change one; --address and --login replace all that were there"},
    {"consumer", "del", verb_consumer_del, "[--yes] ID...", "remove one with its certificates"},
    {"consumer", "password", verb_consumer_password, "[--remove] [--json] ID",
	"make a gateway password, for connectors with second_factor = password"},
    {"consumer", "phrase", verb_consumer_phrase, "[--json] ID",
	"make a new phrase for the banners in fetched mail"},
    {"consumer", "show", verb_consumer_show, "[--json] ID|ADDRESS", "show one"},
    {"consumer", "list", verb_consumer_list, "[-q | --quiet | --json]", "list all"},
    {"key", "import", verb_key_import, "[--consumer ID] FILE...",
	"add OpenPGP certificates (public keys); - is standard input"},
    {"key", "list", verb_key_list, "[--consumer ID] [-q | --quiet | --json]",
	"list the certificates"},
    {"key", "show", verb_key_show, "[--json] FINGERPRINT|KEYID|ADDRESS",
	"show certificates with all their keys"},
    {"key", "delete", verb_key_delete, "[--yes] FINGERPRINT", "remove a certificate"},
    {"key", "export", verb_key_export, "[--output FILE] [--binary] FINGERPRINT|KEYID|ADDRESS",
	"write certificates"},
};

#define NVERBS (sizeof verbs / sizeof verbs[0])

static const struct verb *at_work;

int
complain(int code, const char *fmt, ...)
{
	va_list ap;

	(void)fflush(stdout);
	progress_clear();
	(void)fprintf(stderr, "%s: ", getprogname());
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fputc('\n', stderr);
	return code;
}

int
complain_err(const struct err *e)
{
	static const struct {
		int err, code;
	} codes[] = {
	    {ENOENT, EX_NOINPUT},
	    {EISDIR, EX_NOINPUT},
	    {EEXIST, EX_CANTCREAT},
	    {ECONNREFUSED, EX_UNAVAILABLE},
	    {EHOSTDOWN, EX_UNAVAILABLE},
	    {ECONNRESET, EX_UNAVAILABLE},
	    {ETIMEDOUT, EX_TEMPFAIL},
	    {EAGAIN, EX_TEMPFAIL},
	    {EACCES, EX_NOPERM},
	    {EPERM, EX_NOPERM},
	    {EINVAL, EX_DATAERR},
	    {EBADMSG, EX_DATAERR},
	    {ENOTSUP, EX_DATAERR},
	    {EMSGSIZE, EX_DATAERR},
	    {ENOKEY, EX_DATAERR},
	    {EIO, EX_IOERR},
	    {ENOSPC, EX_IOERR},
	    {ENOMEM, EX_OSERR},
	};
	size_t i;

	for (i = 0; i < sizeof codes / sizeof codes[0]; i++)
		if (codes[i].err == e->code)
			return complain(codes[i].code, "%s", e->text);
	return complain(EX_SOFTWARE, "%s", e->text);
}

static void
print_usage(FILE *f, const struct verb *v)
{
	(void)fprintf(f, "usage: %s [-c FILE] %s%s%s%s%s\n", getprogname(), v->group,
	    v->name != NULL ? " " : "", v->name != NULL ? v->name : "",
	    v->usage[0] != '\0' ? " " : "", v->usage);
}

int
complain_usage(void)
{
	if (at_work != NULL)
		print_usage(stderr, at_work);
	return EX_USAGE;
}

static void
usage(FILE *f, const char *group)
{
	char words[64];
	size_t i;

	(void)fprintf(f, "usage: %s [-c FILE] [-r RUN_DIR] VERB ...\n\n", getprogname());
	for (i = 0; i < NVERBS; i++) {
		if (group != NULL && strcmp(verbs[i].group, group) != 0)
			continue;
		(void)snprintf(words, sizeof words, "%s %s", verbs[i].group,
		    verbs[i].name != NULL ? verbs[i].name : "");
		(void)fprintf(f, "  %-17s  %s\n", words, verbs[i].what);
	}
	(void)fprintf(
	    f, "\n%s VERB --help tells the options of a verb; see gwctl(8).\n", getprogname());
}

/* ---- connections ---- */

static void
report_line(void *arg, const char *text)
{
	(void)arg;
	(void)fprintf(stderr, "%s\n", text);
}

int
gwctl_conf(struct gwctl *t)
{
	const struct conf_report all = {.line = report_line, .warn = t->warn ? report_line : NULL};
	struct err e = {0};

	if (t->conf != NULL || (t->conf = conf_load(t->config, &all, &e)) != NULL)
		return 0;
	if (e.code == EINVAL) /* each error has been reported */
		return complain(EX_CONFIG, "%s is not usable; correct it and try again", t->config);
	return complain(e.code == EACCES ? EX_NOPERM : EX_CONFIG, "%s%s", e.text,
	    e.code == ENOENT ? "; gwctl setup writes one, -c names another" : "");
}

int
gwctl_master(struct gwctl *t)
{
	struct err e = {0};
	int rc;

	if (t->master.fd != -1)
		return 0;
	if (t->run_dir == NULL) {
		if ((rc = gwctl_conf(t)) != 0)
			return rc;
		t->run_dir = t->conf->node.run_dir;
	}
	if (control_open(&t->master, t->run_dir, P_GWCTL, &e) == 0)
		return 0;
	return complain(
	    e.code == EACCES || e.code == EPERM ? EX_NOPERM : EX_UNAVAILABLE, "%s", e.text);
}

int
gwctl_control(struct gwctl *t, unsigned verb, int timeout)
{
	struct err e = {0};
	int rc;

	if ((rc = gwctl_master(t)) != 0)
		return rc;
	return control_verb(&t->master, verb, timeout, &e) == 0 ? 0 : complain_err(&e);
}

static int
connect_policy(struct gwctl *t)
{
	struct err e = {0};
	int rc;

	if (t->policy.fd != -1)
		return 0;
	if ((rc = gwctl_master(t)) != 0)
		return rc;
	return control_channel(&t->master, P_POLICYD, 0, &t->policy, &e) == 0 ? 0
									      : complain_err(&e);
}

int
gwctl_ask(struct gwctl *t, uint16_t type, const void *body, uint16_t want, struct ipc_msg *m)
{
	struct err e = {0};
	int rc;

	if ((rc = connect_policy(t)) != 0)
		return rc;
	return control_admin(&t->policy, type, body, want, m, CONTROL_TIMEOUT, &e) == 0
		   ? 0
		   : complain_err(&e);
}

int
gwctl_change(struct gwctl *t, uint16_t type, const void *body)
{
	struct ipc_msg m;
	int rc = gwctl_ask(t, type, body, M_admin_rep, &m);

	if (rc == 0)
		ipc_done(&t->policy, &m);
	return rc;
}

/* ---- verbs ---- */

static const struct verb *
find_verb(const char *group, const char *name)
{
	size_t i;

	for (i = 0; i < NVERBS; i++)
		if (strcmp(verbs[i].group, group) == 0 &&
		    (verbs[i].name == NULL || (name != NULL && strcmp(verbs[i].name, name) == 0)))
			return &verbs[i];
	return NULL;
}

static int
is_group(const char *group)
{
	size_t i;

	for (i = 0; i < NVERBS; i++)
		if (strcmp(verbs[i].group, group) == 0)
			return 1;
	return 0;
}

static int
run_verb(struct gwctl *t, int argc, char *argv[])
{
	const struct verb *v = find_verb(argv[0], argc > 1 ? argv[1] : NULL);
	int skip;

	if (v == NULL && strcmp(argv[0], "help") == 0) {
		if (argc > 1 && (v = find_verb(argv[1], argc > 2 ? argv[2] : NULL)) != NULL) {
			print_usage(stdout, v);
			(void)printf("%s\n", v->what);
		} else
			usage(stdout, argc > 1 && is_group(argv[1]) ? argv[1] : NULL);
		return EX_OK;
	}
	if (v == NULL && is_group(argv[0])) {
		if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
			usage(stdout, argv[0]);
			return EX_OK;
		}
		if (argc > 1)
			(void)complain(0, "%s %s: no such verb", argv[0], shown(argv[1]));
		usage(stderr, argv[0]);
		return EX_USAGE;
	}
	if (v == NULL) {
		(void)complain(0, "%s: no such verb", shown(argv[0]));
		usage(stderr, NULL);
		return EX_USAGE;
	}
	skip = v->name != NULL;
	argc -= skip;
	argv += skip;
	at_work = v;
	if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
		print_usage(stdout, v);
		(void)printf("%s\n", v->what);
		return EX_OK;
	}
	optind = 0; /* the verb's own options; 0 makes GNU getopt begin anew */
	return v->run(t, argc, argv);
}

static int
globals(struct gwctl *t, int argc, char *argv[])
{
	int c;

	while ((c = getopt(argc, argv, "+c:r:hV")) != -1)
		switch (c) {
		case 'c':
			t->config = optarg;
			break;
		case 'r':
			t->run_dir = optarg;
			break;
		case 'V':
			(void)printf("%s %s\n", getprogname(), POSTERN_VERSION);
			return EX_OK;
		case 'h':
			usage(stdout, NULL);
			return EX_OK;
		default:
			usage(stderr, NULL);
			return EX_USAGE;
		}
	return -1;
}

int
gwctl_main(int argc, char *argv[])
{
	struct gwctl t = {
	    .config = SYSCONFDIR "/postern/postern.conf",
	    .master = {.fd = -1},
	    .policy = {.fd = -1},
	};
	int rc;

	log_init(getprogname(), LOG_L_WARN);
	if ((rc = globals(&t, argc, argv)) != -1)
		return rc;
	if (optind == argc) {
		usage(stderr, NULL);
		return EX_USAGE;
	}
	if (pgp_algo_init() == -1)
		return complain(EX_SOFTWARE, "the crypto libraries do not start");
	rc = run_verb(&t, argc - optind, argv + optind);
	if ((fflush(stdout) == EOF || ferror(stdout)) && rc == EX_OK)
		rc = complain(EX_IOERR, "standard output: %s", strerror(errno));
	if (t.policy.fd != -1)
		ipc_close(&t.policy);
	if (t.master.fd != -1)
		ipc_close(&t.master);
	conf_free(t.conf);
	return rc;
}
