/* export: certificates, and private keys for a backup. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/log.h"
#include "keyctl/export.h"
#include "openpgp/armor.h"
#include "openpgp/seckey.h"

#define EXPORT_MAX (512 * 1024 * 1024) /* octets of everything that is written */

static int
parse_options(int argc, char *argv[], struct export_options *o)
{
	static const struct option longs[] = {
	    {"secret", no_argument, NULL, 's'},
	    {"tls", no_argument, NULL, 't'},
	    {"gnupg-home", required_argument, NULL, 'g'},
	    {"all", no_argument, NULL, 'a'},
	    {"yes", no_argument, NULL, 'y'},
	    {"passphrase-file", required_argument, NULL, 'p'},
	    {"output", required_argument, NULL, 'o'},
	    {NULL, 0, NULL, 0},
	};
	int c;

	memset(o, 0, sizeof *o);
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1)
		switch (c) {
		case 's':
			o->secret = 1;
			break;
		case 't':
			o->secret = o->tls = 1; /* its public half is in the certificate */
			break;
		case 'g':
			o->home = optarg;
			o->secret = 1;
			break;
		case 'a':
			o->all = 1;
			break;
		case 'y':
			o->yes = 1;
			break;
		case 'p':
			o->passphrase_file = optarg;
			break;
		case 'o':
			o->output = optarg;
			break;
		default:
			return complain_usage(argv[0]);
		}
	if (optind + !o->all != argc || (o->tls && (o->all || o->home != NULL)) ||
	    (o->home != NULL && o->output != NULL))
		return complain_usage(argv[0]);
	o->what = o->all ? NULL : argv[optind];
	return 0;
}

/* Every private key of a certificate that cryptod has. 0 or the exit code. */
static int
fetch_keys(struct keyctl *t, const struct cert *c, struct pgp_skey *keys[CERT_KEYS_MAX], size_t *n)
{
	enum key_use use;
	int code;

	*n = 0;
	for (size_t i = 0; i < c->keys.n; i++) {
		if (c->keys.v[i].fpr.n != KEY_FPR)
			continue;
		if ((keys[*n] = fetch_key(t, c->keys.v[i].fpr, &use, &code)) != NULL)
			(*n)++;
		else if (code != 0)
			return code;
	}
	if (*n == 0)
		return complain(EX_NOINPUT, "no private key of this certificate is here");
	return 0;
}

int
export_secret(struct keyctl *t, const struct stored_cert *sc, const char *pass, struct buf *out)
{
	struct pgp_skey *keys[CERT_KEYS_MAX];
	struct err e = {0};
	size_t n = 0;
	int rc;

	rc = fetch_keys(t, sc->cert.v, keys, &n);
	if (rc == 0 && pgp_seckey_write(sc->raw.p, sc->raw.n, keys, n, pass, out, &e) == -1)
		rc = complain_err(&e);
	while (n > 0)
		pgp_skey_free(keys[--n]);
	return rc;
}

/* What is written to a file. */
struct writing {
	struct keyctl *t;
	const struct export_options *o;
	const char *pass;
	struct buf out;
};

static int
add_cert(void *arg, const struct stored_cert *sc)
{
	struct writing *w = arg;
	struct buf raw;
	struct sink to = sink_buf(&w->out);
	enum pgp_armor_type type = w->o->secret ? PGP_ARMOR_SECRET_KEY : PGP_ARMOR_PUBLIC_KEY;
	struct pgp_armor *a = NULL;
	int rc = 0;

	buf_init(&raw, PGP_SECKEY_MAX);
	if (!w->o->secret && buf_put(&raw, sc->raw.p, sc->raw.n) == -1)
		rc = complain(EX_OSERR, "out of memory");
	if (w->o->secret)
		rc = export_secret(w->t, sc, w->pass, &raw);
	if (rc == 0 &&
	    ((a = malloc(sizeof *a)) == NULL || pgp_armor_open(a, type, &to) == -1 ||
		pgp_armor_write(a, buf_ptr(&raw), buf_len(&raw)) == -1 || pgp_armor_close(a) == -1))
		rc = complain(EX_OSERR, "armour: %s", strerror(errno));
	if (a != NULL)
		explicit_bzero(a, sizeof *a);
	free(a);
	buf_wipe_free(&raw);
	return rc;
}

/* All certificates of a consumer; of everybody, when it is "". */
static int
each_of(struct keyctl *t, const char *consumer, int secret,
    int (*each)(void *arg, const struct stored_cert *sc), void *arg)
{
	struct cert_list req = {.consumer = consumer};
	const struct cert_page *page;
	uint8_t after[32];
	struct err e = {0};
	struct ipc_msg m;
	unsigned found = 0;
	size_t n;
	int rc = 0;

	do {
		if (control_call(
			&t->policy, M_cert_list, &req, M_cert_page, &m, CONTROL_TIMEOUT, &e) == -1)
			return complain_err(&e);
		page = m.body;
		n = page->certs.n;
		for (size_t i = 0; rc == 0 && i < n; i++) {
			if (secret && !page->certs.v[i].secret)
				continue;
			rc = each(arg, &page->certs.v[i]);
			found++;
		}
		if (n > 0) {
			struct bytes last = page->certs.v[n - 1].cert.v->keys.v[0].fpr;

			memcpy(after, last.p, last.n);
			req.after = (struct bytes){after, last.n};
		}
		ipc_done(&t->policy, &m);
	} while (rc == 0 && n > 0);
	if (rc == 0 && found == 0 && consumer[0] == '\0')
		rc = complain(EX_NOINPUT, "there are no keys%s", secret ? " here" : "");
	else if (rc == 0 && found == 0)
		rc = complain(EX_NOINPUT, "consumer '%s' has no key%s", log_str(consumer),
		    secret ? " here" : "");
	return rc;
}

int
export_each(struct keyctl *t, const struct export_options *o,
    int (*each)(void *arg, const struct stored_cert *sc), void *arg)
{
	char consumer[CONSUMER_ID];
	uint8_t fpr[KEY_FPR];
	struct held_cert h;
	int rc;

	if (o->all)
		return each_of(t, "", o->secret, each, arg);
	if (strchr(o->what, '@') != NULL) {
		rc = find_consumer(t, NULL, o->what, 0, consumer);
		return rc != 0 ? rc : each_of(t, consumer, o->secret, each, arg);
	}
	if (parse_fpr(o->what, fpr) == -1)
		return complain(EX_USAGE, "%s: neither an address nor a fingerprint of 40 digits",
		    log_str(o->what));
	if ((rc = find_cert(t, (struct bytes){fpr, sizeof fpr}, NULL, &h)) == 0)
		rc = h.rec != NULL ? each(arg, h.rec)
				   : complain(EX_NOINPUT, "there is no certificate with this key");
	held_free(&h);
	return rc;
}

int
write_file(const char *name, unsigned mode, struct buf *b)
{
	int fd = STDOUT_FILENO, rc = 0;
	ssize_t n;

	if (name != NULL &&
	    (fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode)) == -1)
		return complain(EX_CANTCREAT, "%s: %s", name, strerror(errno));
	while (rc == 0 && buf_len(b) > 0) {
		if ((n = write(fd, buf_ptr(b), buf_len(b))) > 0)
			buf_drain(b, (size_t)n);
		else if (n == -1 && errno != EINTR)
			rc = -1;
	}
	if (name != NULL && (fsync(fd) == -1 || close(fd) == -1))
		rc = -1;
	if (rc == 0)
		return 0;
	return complain(
	    EX_IOERR, "%s: %s", name != NULL ? name : "standard output", strerror(errno));
}

/* A private key leaves the gateway: is that meant? */
static int
confirm(const struct export_options *o)
{
	int answer;

	if (!o->secret || o->yes)
		return 0;
	if ((answer = ask_yes("Private keys will be written, protected only by the passphrase that "
			      "you give now.")) == -1)
		return complain(EX_USAGE, "no terminal to ask on: --yes says that it is meant");
	return answer ? 0 : complain(EX_NOPERM, "nothing was exported");
}

int
verb_export(struct keyctl *t, int argc, char *argv[])
{
	struct export_options o;
	char pass[PASS_MAX] = "";
	struct writing w = {.t = t, .o = &o, .pass = pass};
	struct err e = {0};
	int rc;

	if ((rc = parse_options(argc, argv, &o)) != 0 || (rc = confirm(&o)) != 0 ||
	    (!o.tls && (rc = connect_policy(t)) != 0) || (o.secret && (rc = connect_keys(t)) != 0))
		return rc;
	if (o.secret && ask_passphrase(o.passphrase_file, "Passphrase for the exported keys", 1,
			    pass, &e) == -1)
		return complain_err(&e);
	buf_init(&w.out, EXPORT_MAX);
	if (o.home != NULL)
		rc = export_home(t, &o, pass);
	else if ((rc = o.tls ? export_tls(t, o.what, pass, &w.out)
			     : export_each(t, &o, add_cert, &w)) == 0)
		rc = write_file(o.output, o.secret ? 0600 : 0644, &w.out);
	explicit_bzero(pass, sizeof pass);
	buf_wipe_free(&w.out);
	return rc;
}
