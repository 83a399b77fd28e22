/* revoke: a revocation in the certificate, and the signing keys it concerns at rest. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "base/clock.h"
#include "base/enc.h"
#include "base/log.h"
#include "keyctl/keyctl.h"
#include "openpgp/certmake.h"
#include "openpgp/skey.h"

struct revoke_options {
	enum pgp_reason reason;
	const char *text;
	int yes;
	uint8_t fpr[KEY_FPR];
};

static int
parse_reason(const char *s, enum pgp_reason *out)
{
	static const struct {
		const char *name;
		enum pgp_reason reason;
	} t[] = {
	    {"superseded", PGP_REASON_SUPERSEDED},
	    {"compromised", PGP_REASON_COMPROMISED},
	    {"retired", PGP_REASON_RETIRED},
	};

	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++)
		if (strcmp(t[i].name, s) == 0) {
			*out = t[i].reason;
			return 0;
		}
	return -1;
}

static int
parse_options(int argc, char *argv[], struct revoke_options *o)
{
	static const struct option longs[] = {
	    {"reason", required_argument, NULL, 'r'},
	    {"text", required_argument, NULL, 't'},
	    {"yes", no_argument, NULL, 'y'},
	    {NULL, 0, NULL, 0},
	};
	int c;

	memset(o, 0, sizeof *o);
	o->text = "";
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 'y')
			o->yes = 1;
		else if (c == 't')
			o->text = optarg;
		else if (c != 'r')
			return complain_usage(argv[0]);
		else if (parse_reason(optarg, &o->reason) == -1)
			return complain(
			    EX_USAGE, "--reason %s: superseded, compromised or retired", optarg);
	}
	if (optind + 1 != argc || o->reason == PGP_REASON_NONE)
		return complain_usage(argv[0]);
	if (parse_fpr(argv[optind], o->fpr) == -1)
		return complain(
		    EX_USAGE, "%s: not a fingerprint of 40 digits", log_str(argv[optind]));
	return 0;
}

/* The primary's use in cryptod. */
struct primary {
	struct bytes fpr;
	unsigned use; /* 0: its private half is not here */
};

static int
look(void *arg, const struct key_info *k)
{
	struct primary *p = arg;

	if (k->fpr.n == p->fpr.n && memcmp(k->fpr.p, p->fpr.p, p->fpr.n) == 0)
		p->use = k->use;
	return 0;
}

static int
local_sign(void *ctx, const uint8_t *fpr, size_t fprlen, unsigned hash, const uint8_t *digest,
    size_t n, struct pgp_sigval *out)
{
	struct pgp_skey *k = ctx;
	struct cert_key pub;

	pgp_skey_public(k, &pub);
	if (pub.fpr.n != fprlen || memcmp(pub.fpr.p, fpr, fprlen) != 0) {
		errno = ENOKEY;
		return -1;
	}
	return pgp_skey_sign(k, hash, digest, n, out);
}

/*
 * Append the certificate with its revocation.  cryptod certifies with certify keys only; a primary
 * that came from elsewhere and signs mail here is taken out for this one signature.
 */
static int
revoked_copy(
    struct keyctl *t, const struct revoke_options *o, const struct stored_cert *sc, struct buf *out)
{
	struct primary p = {.fpr = sc->cert.v->keys.v[0].fpr};
	struct pgp_secret secret = remote_secret(t);
	struct pgp_skey *own = NULL;
	struct err e = {0};
	enum key_use use;
	int rc;

	if ((rc = each_key(t, look, &p)) != 0)
		return rc;
	if (p.use == 0)
		return complain(EX_NOINPUT,
		    "the private half of its primary key is not here: revoke it where that is, "
		    "then gwctl key import the certificate");
	if (p.use != USE_CERTIFY) {
		if ((own = fetch_key(t, p.fpr, &use, &rc)) == NULL)
			return rc != 0 ? rc : complain(EX_NOINPUT, "the primary key is gone");
		secret = (struct pgp_secret){.sign = local_sign, .ctx = own};
	}
	if (pgp_cert_revoke(sc->raw.p, sc->raw.n, o->fpr, KEY_FPR, o->reason, o->text, clock_unix(),
		&secret, out, &e) == -1)
		rc = complain_err(&e);
	pgp_skey_free(own);
	return rc;
}

/* What is to be disabled: the revoked key, or with the primary all of its certificate. */
struct disable {
	struct keyctl *t;
	const struct revoke_options *o;
	const struct cert *cert;
	uint8_t fprs[CERT_KEYS_MAX][KEY_FPR];
	unsigned n;
};

static int
note_signing(void *arg, const struct key_info *k)
{
	struct disable *d = arg;
	int whole = memcmp(d->cert->keys.v[0].fpr.p, d->o->fpr, KEY_FPR) == 0;

	/* Certify keys stay: they may have to revoke more. Decryption keys stay for ever. */
	if (k->use != USE_SIGN || k->disabled || d->n == CERT_KEYS_MAX)
		return 0;
	if (memcmp(k->fpr.p, d->o->fpr, KEY_FPR) != 0 &&
	    (!whole || pgp_cert_find(d->cert, k->fpr.p, k->fpr.n) == NULL))
		return 0;
	memcpy(d->fprs[d->n++], k->fpr.p, KEY_FPR);
	return 0;
}

static int
disable_keys(struct disable *d)
{
	struct key_disable_req req = {.disabled = 1};
	const struct keys_rep *rep;
	struct err e = {0};
	struct ipc_msg m;
	int rc;

	if ((rc = each_key(d->t, note_signing, d)) != 0)
		return rc;
	for (unsigned i = 0; rc == 0 && i < d->n; i++) {
		req.fpr = (struct bytes){d->fprs[i], KEY_FPR};
		if (control_call(&d->t->keys, M_key_disable_req, &req, M_keys_rep, &m,
			CONTROL_TIMEOUT, &e) == -1)
			return complain_err(&e);
		rep = m.body;
		if (rep->status != CRYPTO_OK)
			rc = complain_status(rep->status, rep->text);
		ipc_done(&d->t->keys, &m);
	}
	return rc;
}

static int
confirm(const struct revoke_options *o, const struct stored_cert *sc)
{
	const struct cert_uid *u = pgp_cert_primary_uid(sc->cert.v, clock_unix());
	char question[700], fpr[2 * KEY_FPR + 1], uid[SHOWN_MAX], who[SHOWN_MAX];
	int answer;

	if (o->yes)
		return 0;
	(void)snprintf(question, sizeof question,
	    "%s %s of %s (consumer %s) will be revoked; "
	    "that cannot be undone.",
	    memcmp(sc->cert.v->keys.v[0].fpr.p, o->fpr, KEY_FPR) == 0 ? "The whole certificate"
								      : "Key",
	    hex_encode(fpr, o->fpr, KEY_FPR), u != NULL ? shown(u->text, uid) : "-",
	    shown(sc->consumer, who));
	if ((answer = ask_yes(question)) == -1)
		return complain(EX_USAGE, "no terminal to ask on: --yes says that it is meant");
	return answer ? 0 : complain(EX_NOPERM, "nothing was revoked");
}

static int
revoke_in(struct keyctl *t, const struct revoke_options *o, const struct stored_cert *sc)
{
	struct disable d = {.t = t, .o = o, .cert = sc->cert.v};
	char fpr[2 * KEY_FPR + 1];
	struct buf out;
	int rc;

	buf_init(&out, PGP_CERT_MAX);
	if ((rc = confirm(o, sc)) == 0 && (rc = revoked_copy(t, o, sc, &out)) == 0 &&
	    (rc = store_cert(t, sc->consumer, buf_ptr(&out), buf_len(&out))) == 0 &&
	    (rc = disable_keys(&d)) == 0)
		(void)printf("%s revoked; %u signing keys disabled, decryption keys stay\n",
		    hex_encode(fpr, o->fpr, KEY_FPR), d.n);
	buf_free(&out);
	return rc;
}

int
verb_revoke(struct keyctl *t, int argc, char *argv[])
{
	struct revoke_options o;
	struct held_cert h;
	int rc;

	if ((rc = parse_options(argc, argv, &o)) != 0 || (rc = connect_keys(t)) != 0 ||
	    (rc = connect_policy(t)) != 0)
		return rc;
	if ((rc = find_cert(t, (struct bytes){o.fpr, KEY_FPR}, NULL, &h)) == 0)
		rc = h.rec != NULL ? revoke_in(t, &o, h.rec)
				   : complain(EX_NOINPUT, "there is no certificate with this key");
	held_free(&h);
	return rc;
}
