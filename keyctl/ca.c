/* The authorities for inspected foreign servers: made, shown, given out, brought back. */
#include "keyctl/ca.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sysexits.h>

#include "base/clock.h"
#include "base/enc.h"
#include "base/log.h"
#include "keyctl/import.h"
#include "keyctl/tlskey.h"
#include "model/json.h"

#define DAYS_DEFAULT 3650
#define UNTRUSTED "UNTRUSTED - " /* before the name of the other one */
#define NAME_MAX_GIVEN (CA_NAME_MAX - (sizeof UNTRUSTED - 1)) /* octets */
#define BACKUP_MAX (64 * 1024) /* octets of a key and a certificate in PEM */

static const struct algo {
	const char *name;
	enum key_kind kind;
} algos[] = {{"nistp256", KIND_P256}, {"nistp384", KIND_P384}, {"rsa3072", KIND_RSA3072}};
#define NALGOS (sizeof algos / sizeof algos[0])

static const char *
authority_name(unsigned authority)
{
	return authority == AUTHORITY_PROXY ? "proxy" : "untrusted";
}

static int
take(const struct ca_rep *rep, struct ca *out)
{
	struct err e = {0};

	buf_reset(&out->der);
	if (rep->fpr.n != KEY_FPR || buf_put(&out->der, rep->cert.p, rep->cert.n) == -1)
		return complain(EX_PROTOCOL, "cryptod gave an answer that makes no sense");
	memcpy(out->fpr, rep->fpr.p, KEY_FPR);
	return cacert_read(rep->cert, &out->view, &e) == 0 ? 0 : complain_err(&e);
}

int
ca_get(struct keyctl *t, unsigned authority, struct ca *out)
{
	struct ca_get_req req = {.authority = (uint8_t)authority};
	const struct ca_rep *rep;
	struct err e = {0};
	struct ipc_msg m;
	int rc;

	buf_init(&out->der, CERT_DER_MAX);
	if (control_call(&t->keys, M_ca_get_req, &req, M_ca_rep, &m, CONTROL_TIMEOUT, &e) == -1)
		return complain_err(&e);
	rep = m.body;
	if (rep->status == CRYPTO_OK)
		rc = take(rep, out);
	else
		rc = rep->status == CRYPTO_NOKEY ? EX_NOINPUT
						 : complain_status(rep->status, rep->text);
	ipc_done(&t->keys, &m);
	return rc;
}

/* ---- init ---- */

struct init_options {
	const char *name; /* NULL: by the host's */
	const struct algo *algo;
	unsigned days;
	int replace;
};

static int
parse_init(int argc, char *argv[], struct init_options *o)
{
	static const struct option longs[] = {
	    {"name", required_argument, NULL, 'n'},
	    {"days", required_argument, NULL, 'd'},
	    {"algo", required_argument, NULL, 'a'},
	    {"replace", no_argument, NULL, 'r'},
	    {NULL, 0, NULL, 0},
	};
	const char *algo = algos[0].name, *days = NULL;
	unsigned long n;
	char *end;
	int c;

	*o = (struct init_options){.days = DAYS_DEFAULT};
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1)
		switch (c) {
		case 'n':
			o->name = optarg;
			break;
		case 'd':
			days = optarg;
			break;
		case 'a':
			algo = optarg;
			break;
		case 'r':
			o->replace = 1;
			break;
		default:
			return complain_usage("ca init");
		}
	if (optind != argc)
		return complain_usage("ca init");
	for (size_t i = 0; i < NALGOS; i++)
		if (strcasecmp(algos[i].name, algo) == 0)
			o->algo = &algos[i];
	if (o->algo == NULL)
		return complain(
		    EX_USAGE, "--algo %s: one of nistp256, nistp384, rsa3072", log_str(algo));
	if (days != NULL) {
		n = strtoul(days, &end, 10);
		if (days[0] < '0' || days[0] > '9' || *end != '\0' || n < 1 || n > CA_DAYS_MAX)
			return complain(EX_USAGE, "--days %s: 1 to %d", log_str(days), CA_DAYS_MAX);
		o->days = (unsigned)n;
	}
	if (o->name != NULL && (o->name[0] == '\0' || strlen(o->name) > NAME_MAX_GIVEN))
		return complain(EX_USAGE, "--name: 1 to %zu octets", NAME_MAX_GIVEN);
	return 0;
}

/* One is there: shall it go?  0, or the exit code. */
static int
may_replace(const struct ca *there, int replace)
{
	char question[600], name[SHOWN_MAX], date[16];
	int answer;

	if (replace)
		return 0;
	(void)snprintf(question, sizeof question,
	    "There is a proxy authority already: %s, until %s.\n"
	    "Clients that trust it will not trust what another one signs.",
	    shown(there->view.name, name), date_text(there->view.ends, date));
	if ((answer = ask_yes(question)) == -1)
		return complain(EX_CANTCREAT,
		    "there is a proxy authority already: %s; --replace says that it shall go",
		    name);
	return answer ? 0 : complain(EX_NOPERM, "nothing was changed");
}

/* Have it made, and tell. 0 or the exit code. */
static int
make(struct keyctl *t, const struct ca_init_req *req)
{
	const struct ca_rep *rep;
	char fpr[2 * KEY_FPR + 1], name[SHOWN_MAX], date[16];
	struct err e = {0};
	struct ipc_msg m;
	struct ca ca;
	int rc;

	if (req->kind == KIND_RSA3072) /* takes seconds */
		progress("ca init", "authorities", req->authority - 1, AUTHORITY_MAX - 1);
	rc = control_call(&t->keys, M_ca_init_req, req, M_ca_rep, &m, SLOW_CALL, &e);
	progress_clear();
	if (rc == -1)
		return complain_err(&e);
	buf_init(&ca.der, CERT_DER_MAX);
	rep = m.body;
	if (rep->status != CRYPTO_OK)
		rc = complain_status(rep->status, rep->text);
	else if ((rc = take(rep, &ca)) == 0)
		(void)printf("%-9s  %s  %-8s  until %s  %s\n", authority_name(req->authority),
		    hex_encode(fpr, ca.fpr, KEY_FPR), ca.view.algo, date_text(ca.view.ends, date),
		    shown(ca.view.name, name));
	ipc_done(&t->keys, &m);
	buf_free(&ca.der);
	return rc;
}

static int
make_untrusted(struct keyctl *t, const char *name, enum key_kind kind, unsigned days, int replace)
{
	char text[CA_NAME_MAX + 1];
	struct ca_init_req req = {.authority = AUTHORITY_UNTRUSTED,
	    .kind = (uint8_t)kind,
	    .name = text,
	    .days = days,
	    .replace = (uint8_t)replace};

	(void)snprintf(text, sizeof text, UNTRUSTED "%.*s", (int)NAME_MAX_GIVEN, name);
	return make(t, &req);
}

/* As given, or by the host that this is. */
static const char *
name_of(const struct keyctl *t, const struct init_options *o, char out[NAME_MAX_GIVEN + 1])
{
	static const char plain[] = "Postern authority";

	if (o->name != NULL)
		(void)strlcpy(out, o->name, NAME_MAX_GIVEN + 1);
	else if ((size_t)snprintf(out, NAME_MAX_GIVEN + 1, "%s of %s", plain,
		     t->conf->node.hostname) > NAME_MAX_GIVEN)
		(void)strlcpy(out, plain, NAME_MAX_GIVEN + 1);
	return out;
}

int
verb_ca_init(struct keyctl *t, int argc, char *argv[])
{
	char name[NAME_MAX_GIVEN + 1];
	int have[AUTHORITY_MAX], keep, rc;
	struct ca ca[AUTHORITY_MAX];
	struct ca_init_req req;
	struct init_options o;

	if ((rc = parse_init(argc, argv, &o)) != 0 || (rc = connect_keys(t)) != 0)
		return rc;
	for (unsigned i = 1; i < AUTHORITY_MAX; i++) {
		rc = ca_get(t, i, &ca[i]);
		buf_free(&ca[i].der);
		if (rc != 0 && rc != EX_NOINPUT)
			return rc;
		have[i] = rc == 0;
	}
	/* With the other one missing an earlier run was cut short, and this one makes it whole. */
	keep = have[AUTHORITY_PROXY] && !have[AUTHORITY_UNTRUSTED] && !o.replace;
	if (have[AUTHORITY_PROXY] && !keep &&
	    (rc = may_replace(&ca[AUTHORITY_PROXY], o.replace)) != 0)
		return rc;
	req = (struct ca_init_req){.authority = AUTHORITY_PROXY,
	    .kind = (uint8_t)o.algo->kind,
	    .name = name_of(t, &o, name),
	    .days = o.days,
	    .replace = (uint8_t)have[AUTHORITY_PROXY]};
	rc = keep ? 0 : make(t, &req);
	if (rc == 0)
		rc = make_untrusted(t, name, o.algo->kind, o.days, have[AUTHORITY_UNTRUSTED]);
	if (rc == 0)
		(void)printf("Clients must trust the first one: keyctl ca export --output FILE "
			     "--hints\n");
	return rc;
}

/* ---- list ---- */

#define REC_CA_LISTED(F, L)                                                                        \
	F(STR, authority, 0, 16)                                                                   \
	F(STR, state, 0, 16) /* valid, ended, none */                                              \
	F(STR, name, 0, CA_NAME_MAX)                                                               \
	F(STR, fpr, 0, 64)                                                                         \
	F(STR, algo, 0, 32)                                                                        \
	F(U64, begins, 0, UINT64_MAX)                                                              \
	F(U64, expires, 0, UINT64_MAX)                                                             \
	F(STR, sha256, 0, 64)
#define REC_CA_LISTING(F, L) L(ca_listed, authorities, 0, AUTHORITY_MAX)
REC_DECLARE(ca_listed, REC_CA_LISTED)
REC_DECLARE(ca_listing, REC_CA_LISTING)
REC_DEFINE(ca_listed, REC_CA_LISTED)
REC_DEFINE(ca_listing, REC_CA_LISTING)

static void
print_table(const struct ca_listing *l)
{
	char name[SHOWN_MAX], date[16];

	(void)printf("%-9s  %-5s  %-10s  %-8s  %-40s  %s\n", "AUTHORITY", "STATE", "EXPIRES",
	    "ALGO", "FINGERPRINT", "NAME");
	for (size_t i = 0; i < l->authorities.n; i++) {
		const struct ca_listed *a = &l->authorities.v[i];

		(void)printf("%-9s  %-5s  %-10s  %-8s  %-40s  %s\n", a->authority, a->state,
		    date_text(a->expires, date), a->algo, a->fpr, shown(a->name, name));
	}
}

static int
print_json(const struct ca_listing *l)
{
	struct buf b;
	int rc = 0;

	buf_init(&b, 16384);
	if (json_from_rec(&rec_ca_listing, l, JSON_LINES, &b) == -1)
		rc = complain(EX_OSERR, "ca list: out of memory");
	else
		(void)printf("%.*s\n", (int)buf_len(&b), (const char *)buf_ptr(&b));
	buf_free(&b);
	return rc;
}

int
verb_ca_list(struct keyctl *t, int argc, char *argv[])
{
	static const struct option longs[] = {
	    {"json", no_argument, NULL, 'j'},
	    {NULL, 0, NULL, 0},
	};
	char fpr[AUTHORITY_MAX][2 * KEY_FPR + 1];
	struct ca_listed rows[AUTHORITY_MAX];
	struct ca_listing l = {.authorities = {rows, 0}};
	struct ca ca[AUTHORITY_MAX];
	int c, rc, json = 0;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c != 'j')
			return complain_usage("ca list");
		json = 1;
	}
	if (optind != argc)
		return complain_usage("ca list");
	if ((rc = connect_keys(t)) != 0)
		return rc;
	for (unsigned i = 1; i < AUTHORITY_MAX; i++) {
		struct ca_listed *a = &rows[l.authorities.n++];

		*a = (struct ca_listed){.authority = authority_name(i),
		    .state = "none",
		    .name = "",
		    .fpr = "",
		    .algo = "",
		    .sha256 = ""};
		rc = ca_get(t, i, &ca[i]);
		buf_free(&ca[i].der);
		if (rc == EX_NOINPUT)
			continue;
		if (rc != 0)
			return rc;
		a->state = ca[i].view.ends <= clock_unix() ? "ended" : "valid";
		a->name = ca[i].view.name;
		a->fpr = hex_encode(fpr[i], ca[i].fpr, KEY_FPR);
		a->algo = ca[i].view.algo;
		a->begins = ca[i].view.begins;
		a->expires = ca[i].view.ends;
		a->sha256 = ca[i].view.sha256;
	}
	if (json)
		return print_json(&l);
	print_table(&l);
	return 0;
}

/* ---- export and import ---- */

struct export_ca {
	int der, pem, untrusted, hints, secret, yes;
	const char *passphrase_file, *output;
};

static int
parse_export(int argc, char *argv[], struct export_ca *o)
{
	static const struct option longs[] = {
	    {"pem", no_argument, NULL, 'p'},
	    {"der", no_argument, NULL, 'd'},
	    {"untrusted", no_argument, NULL, 'u'},
	    {"hints", no_argument, NULL, 'h'},
	    {"secret", no_argument, NULL, 's'},
	    {"yes", no_argument, NULL, 'y'},
	    {"passphrase-file", required_argument, NULL, 'f'},
	    {"output", required_argument, NULL, 'o'},
	    {NULL, 0, NULL, 0},
	};
	int c;

	memset(o, 0, sizeof *o);
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1)
		switch (c) {
		case 'p':
			o->pem = 1;
			break;
		case 'd':
			o->der = 1;
			break;
		case 'u':
			o->untrusted = 1;
			break;
		case 'h':
			o->hints = 1;
			break;
		case 's':
			o->secret = 1;
			break;
		case 'y':
			o->yes = 1;
			break;
		case 'f':
			o->passphrase_file = optarg;
			break;
		case 'o':
			o->output = optarg;
			break;
		default:
			return complain_usage("ca export");
		}
	if (optind != argc || (o->pem && o->der) ||
	    (o->secret && (o->pem || o->der || o->untrusted || o->hints)) ||
	    (!o->secret && (o->yes || o->passphrase_file != NULL)) || (o->untrusted && o->hints))
		return complain_usage("ca export");
	return 0;
}

/* Append the authority's key, under a passphrase that is asked for. */
static int
add_secret(struct keyctl *t, const struct export_ca *o, const struct ca *ca, struct buf *out)
{
	struct key_export_req req = {.fpr = {ca->fpr, KEY_FPR}};
	const struct key_export_rep *rep;
	char pass[PASS_MAX];
	struct err e = {0};
	struct ipc_msg m;
	int rc = 0, answer;

	if (!o->yes && (answer = ask_yes("Whoever has this key can be any server to clients that "
					 "trust the authority.  It will be protected only by the "
					 "passphrase that you give now.")) != 1)
		return answer == 0 ? complain(EX_NOPERM, "nothing was exported")
				   : complain(EX_USAGE,
					 "no terminal to ask on: --yes says that it is meant");
	if (ask_passphrase(o->passphrase_file, "Passphrase for the backup", 1, pass, &e) == -1)
		return complain_err(&e);
	if (control_call(
		&t->keys, M_key_export_req, &req, M_key_export_rep, &m, CONTROL_TIMEOUT, &e) == -1)
		rc = complain_err(&e);
	else {
		rep = m.body;
		if (rep->status != CRYPTO_OK || rep->key.n != 1)
			rc = complain_status(rep->status, rep->text);
		else if (tls_key_write(rep->key.v[0].algo, rep->key.v[0].params, rep->secret, pass,
			     out, &e) == -1)
			rc = complain_err(&e);
		ipc_done(&t->keys, &m);
	}
	explicit_bzero(pass, sizeof pass);
	return rc;
}

int
verb_ca_export(struct keyctl *t, int argc, char *argv[])
{
	struct export_ca o;
	struct err e = {0};
	struct bytes der;
	struct buf out;
	struct ca ca;
	int rc;

	if ((rc = parse_export(argc, argv, &o)) != 0 || (rc = connect_keys(t)) != 0)
		return rc;
	buf_init(&out, BACKUP_MAX);
	if ((rc = ca_get(t, o.untrusted ? AUTHORITY_UNTRUSTED : AUTHORITY_PROXY, &ca)) != 0) {
		if (rc == EX_NOINPUT)
			(void)complain(rc, "there is no such authority: run keyctl ca init");
		goto out;
	}
	der = (struct bytes){buf_ptr(&ca.der), buf_len(&ca.der)};
	if (o.secret && (rc = add_secret(t, &o, &ca, &out)) != 0)
		goto out;
	if ((o.der ? buf_put(&out, der.p, der.n) : cacert_pem(der, &out, &e)) == -1) {
		rc = e.code != 0 ? complain_err(&e) : complain(EX_OSERR, "out of memory");
		goto out;
	}
	if (o.untrusted)
		(void)complain(0, "warning: nobody must install this certificate: it signs for "
				  "servers whose own certificates are bad");
	if (!o.hints || o.output != NULL)
		rc = write_file(o.output, o.secret ? 0600 : 0644, &out);
	if (rc == 0 && o.hints)
		ca_hints(&ca.view, o.output);
out:
	buf_free(&ca.der);
	buf_wipe_free(&out);
	return rc;
}

struct import_ca {
	struct keyctl *t;
	const char *name; /* of the file */
	int replace;
};

static int
bring_back(void *arg, const struct tls_key *k)
{
	struct import_ca *o = arg;
	uint64_t now = clock_unix();
	struct ca_init_req req = {.authority = AUTHORITY_PROXY,
	    .name = k->authority,
	    .replace = (uint8_t)o->replace,
	    .algo = k->algo,
	    .params = k->params,
	    .secret = k->secret};
	struct ca ca;
	int rc, untrusted;

	if (k->authority[0] == '\0')
		return complain(EX_DATAERR, "%s: its certificate is no proxy authority's", o->name);
	/* No longer than clients trust it. */
	if (k->expires < now + 86400)
		return complain(EX_DATAERR, "%s: this authority has ended", o->name);
	req.days = (k->expires - now) / 86400 > CA_DAYS_MAX
		       ? CA_DAYS_MAX
		       : (uint32_t)((k->expires - now) / 86400);
	if ((rc = ca_get(o->t, AUTHORITY_PROXY, &ca)) == 0) {
		rc = may_replace(&ca, o->replace);
		req.replace = 1;
	} else if (rc == EX_NOINPUT)
		rc = 0;
	buf_free(&ca.der);
	if (rc != 0 || (rc = make(o->t, &req)) != 0)
		return rc;
	untrusted = ca_get(o->t, AUTHORITY_UNTRUSTED, &ca);
	buf_free(&ca.der);
	if (untrusted == EX_NOINPUT)
		return make_untrusted(o->t, k->authority, KIND_P256, req.days, 0);
	return untrusted;
}

int
verb_ca_import(struct keyctl *t, int argc, char *argv[])
{
	static const struct option longs[] = {
	    {"replace", no_argument, NULL, 'r'},
	    {"passphrase-file", required_argument, NULL, 'f'},
	    {NULL, 0, NULL, 0},
	};
	struct import_ca o = {.t = t};
	const char *passphrase_file = NULL;
	int c, rc;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1)
		if (c == 'r')
			o.replace = 1;
		else if (c == 'f')
			passphrase_file = optarg;
		else
			return complain_usage("ca import");
	if (optind + 1 != argc)
		return complain_usage("ca import");
	o.name = argv[optind];
	if ((rc = connect_keys(t)) != 0)
		return rc;
	return read_tls_backup(o.name, passphrase_file, bring_back, &o);
}
