/* Words, connections, complaints. */
#include "keyctl/keyctl.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sysexits.h>

#include "base/log.h"
#include "base/version.h"
#include "openpgp/algo.h"

static const struct verb {
	const char *name;
	int (*run)(struct keyctl *t, int argc, char *argv[]);
	const char *usage, *what; /* usage: a line for each way to use it */
} verbs[] = {
    {"init", verb_init, "[--passphrase-file FILE | --key-file FILE] [--cost PASSES,KIB]",
	"make an empty key store, sealed under a passphrase or a key file"},
    {"unlock", verb_unlock, "[--passphrase-file FILE | --key-file FILE]",
	"open the key store until it is locked"},
    {"lock", verb_lock, "", "wipe every key and the sealing key from memory"},
    {"status", verb_status, "[--json]", "tell whether the key store is open"},
    {"generate", verb_generate,
	"--address ADDRESS [--name NAME] [--consumer ID] "
	"[--algo ed25519|rsa3072|nistp256|nistp384|nistp521|brainpoolP256r1|...] "
	"[--expires SPAN]",
	"make the keys and the certificate of an address"},
    {"import", verb_import,
	"[--consumer ID] [--passphrase-file FILE] FILE...\n"
	"--gnupg-home FOLDER [--consumer ID] [--passphrase-file FILE]\n"
	"--tls [--certificate CHAIN] [--passphrase-file FILE] FILE...",
	"take over OpenPGP secret keys, or a key of TLS"},
    {"export", verb_export,
	"[--secret] [--yes] [--passphrase-file FILE] [--output FILE] --all|FINGERPRINT|ADDRESS\n"
	"--gnupg-home FOLDER [--yes] [--passphrase-file FILE] --all|FINGERPRINT|ADDRESS\n"
	"--tls [--yes] [--passphrase-file FILE] [--output FILE] HANDLE",
	"write certificates, with --secret their private keys; or a key of TLS"},
    {"list", verb_list, "[--json]", "list the private keys"},
    {"revoke", verb_revoke,
	"--reason superseded|compromised|retired [--text TEXT] [--yes] FINGERPRINT",
	"declare a key, or a whole certificate, invalid"},
    {"ca init", verb_ca_init,
	"[--name NAME] [--days N] [--algo nistp256|nistp384|rsa3072] [--replace]",
	"make the authorities that mint certificates for inspected servers"},
    {"ca list", verb_ca_list, "[--json]", "show the two authorities"},
    {"ca export", verb_ca_export,
	"[--pem | --der] [--untrusted] [--hints] [--output FILE]\n"
	"--secret [--yes] [--passphrase-file FILE] [--output FILE]",
	"write the proxy authority's certificate for clients; or a backup"},
    {"ca import", verb_ca_import, "[--replace] [--passphrase-file FILE] FILE",
	"make the proxy authority of a backup the one of this gateway"},
};

#define NVERBS (sizeof verbs / sizeof verbs[0])

int
complain(int code, const char *fmt, ...)
{
	va_list ap;

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
	int code = EX_SOFTWARE;

	switch (e->code) {
	case ENOENT:
	case EISDIR:
		code = EX_NOINPUT;
		break;
	case ECONNREFUSED:
	case EHOSTDOWN:
	case ECONNRESET:
		code = EX_UNAVAILABLE;
		break;
	case ETIMEDOUT:
	case EAGAIN:
	case EBUSY:
		code = EX_TEMPFAIL;
		break;
	case EACCES:
	case EPERM:
	case EKEYREJECTED:
		code = EX_NOPERM;
		break;
	case EINVAL:
	case EBADMSG:
	case ENOTSUP:
	case EMSGSIZE:
	case E2BIG:
	case ENOKEY:
	case EKEYEXPIRED:
	case EKEYREVOKED:
		code = EX_DATAERR;
		break;
	case EIO:
	case ENOSPC:
		code = EX_IOERR;
		break;
	case ENOMEM:
		code = EX_OSERR;
		break;
	default:
		break;
	}
	return complain(code, "%s", e->text);
}

int
complain_status(unsigned status, const char *text)
{
	static const struct {
		int code;
		const char *text;
	} t[] = {
	    [CRYPTO_OK] = {EX_OK, ""},
	    [CRYPTO_LOCKED] = {EX_TEMPFAIL, "the key store is locked: run keyctl unlock"},
	    [CRYPTO_NOKEY] = {EX_NOINPUT, "there is no such key"},
	    [CRYPTO_DENIED] = {EX_NOPERM, "not permitted"},
	    [CRYPTO_BUSY] = {EX_TEMPFAIL, "cryptod is busy, try again"},
	    [CRYPTO_FAILED] = {EX_SOFTWARE, "the operation failed; see the log of cryptod"},
	};

	if (status >= sizeof t / sizeof t[0])
		status = CRYPTO_FAILED;
	return complain(
	    t[status].code, "%s", text != NULL && *text != '\0' ? text : t[status].text);
}

/* Does the verb's name begin with this word? */
static int
begins_with(const struct verb *v, const char *word)
{
	size_t n = strcspn(v->name, " ");

	return strlen(word) == n && strncmp(v->name, word, n) == 0;
}

/* All verbs, or those of one group. */
static void
usage(FILE *f, const char *group)
{
	(void)fprintf(f, "usage: %s [-c FILE] VERB ...\n\n", getprogname());
	for (size_t i = 0; i < NVERBS; i++)
		if (group == NULL || begins_with(&verbs[i], group))
			(void)fprintf(f, "  %-10s %s\n", verbs[i].name, verbs[i].what);
	(void)fprintf(
	    f, "\n%s VERB --help tells the options of a verb; see keyctl(1).\n", getprogname());
}

static void
verb_usage(FILE *f, const struct verb *v)
{
	const char *line = v->usage, *begin = "usage:";
	size_t n;

	for (;; line += n + 1, begin = "      ") {
		n = strcspn(line, "\n");
		(void)fprintf(
		    f, "%s %s [-c FILE] %s %.*s\n", begin, getprogname(), v->name, (int)n, line);
		if (line[n] == '\0')
			return;
	}
}

int
complain_usage(const char *verb)
{
	for (size_t i = 0; i < NVERBS; i++)
		if (strcmp(verbs[i].name, verb) == 0)
			verb_usage(stderr, &verbs[i]);
	return EX_USAGE;
}

static int
load_conf(struct keyctl *t)
{
	struct err e = {0};

	if (t->conf == NULL && (t->conf = conf_load(t->config, NULL, &e)) == NULL)
		return complain(e.code == EACCES ? EX_NOPERM : EX_CONFIG, "%s", e.text);
	return 0;
}

static int
connect_to(struct keyctl *t, enum proc_id peer, struct ipc *out)
{
	struct err e = {0};
	int rc;

	if (out->fd != -1)
		return 0;
	if ((rc = load_conf(t)) != 0)
		return rc;
	if (t->master.fd == -1 &&
	    control_open(&t->master, t->conf->node.run_dir, P_KEYCTL, &e) == -1)
		return complain(e.code == EACCES ? EX_NOPERM : EX_UNAVAILABLE, "%s", e.text);
	if (control_channel(&t->master, peer, 0, out, &e) == -1)
		return complain_err(&e);
	return 0;
}

int
connect_keys(struct keyctl *t)
{
	return connect_to(t, P_CRYPTOD, &t->keys);
}

int
connect_policy(struct keyctl *t)
{
	return connect_to(t, P_POLICYD, &t->policy);
}

/* Passphrases and private keys pass through here. */
static void
guard_memory(void)
{
	const struct rlimit none = {0, 0};

	(void)setrlimit(RLIMIT_CORE, &none);
	(void)prctl(PR_SET_DUMPABLE, 0);
}

static int
run_verb(struct keyctl *t, int argc, char *argv[])
{
	const char *group = NULL;

	for (size_t i = 0; i < NVERBS; i++) {
		const char *second = strchr(verbs[i].name, ' ');

		if (!begins_with(&verbs[i], argv[0]))
			continue;
		if (second != NULL) {
			group = argv[0];
			if (argc < 2 || strcmp(second + 1, argv[1]) != 0)
				continue;
			argc--;
			argv++;
		}
		if (argc > 1 && strcmp(argv[1], "--help") == 0) {
			verb_usage(stdout, &verbs[i]);
			(void)printf("%s\n", verbs[i].what);
			return EX_OK;
		}
		optind = 0; /* the verb's own options; 0 makes GNU getopt begin anew */
		return verbs[i].run(t, argc, argv);
	}
	if (group != NULL && argc > 1 && strcmp(argv[1], "--help") == 0) {
		usage(stdout, group);
		return EX_OK;
	}
	if (group == NULL)
		(void)complain(EX_USAGE, "%s: no such verb", log_str(argv[0]));
	else if (argc > 1)
		(void)complain(EX_USAGE, "%s %s: no such verb", group, log_str(argv[1]));
	usage(stderr, group);
	return EX_USAGE;
}

int
keyctl_main(int argc, char *argv[])
{
	struct keyctl t = {
	    .config = SYSCONFDIR "/postern/postern.conf",
	    .master = {.fd = -1},
	    .keys = {.fd = -1},
	    .policy = {.fd = -1},
	};
	int c, rc;

	guard_memory();
	log_init(getprogname(), LOG_L_WARN);
	while ((c = getopt(argc, argv, "+c:hV")) != -1)
		switch (c) {
		case 'c':
			t.config = optarg;
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
	if (optind == argc) {
		usage(stderr, NULL);
		return EX_USAGE;
	}
	if (pgp_algo_init() == -1)
		return complain(EX_SOFTWARE, "the crypto libraries do not start");
	rc = run_verb(&t, argc - optind, argv + optind);
	if (rc == EX_OK && (fflush(stdout) == EOF || ferror(stdout)))
		rc = complain(EX_IOERR, "standard output: %s", strerror(errno));
	struct ipc *all[] = {&t.keys, &t.policy, &t.master};
	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
		if (all[i]->fd != -1)
			ipc_close(all[i]);
	conf_free(t.conf);
	return rc;
}
