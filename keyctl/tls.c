/* Keys of TLS: into the key store, and out of it for a backup. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/clock.h"
#include "base/enc.h"
#include "base/log.h"
#include "keyctl/export.h"
#include "keyctl/import.h"
#include "keyctl/tlskey.h"

#define TRIES 3 /* of a passphrase on the terminal */
#define ANSWER_MAX (64 * 1024) /* octets of an encoded struct tls_key */
#define PEM_MAX (64 * 1024)

/* A key as the jail read it: rec points into mem. */
struct answer {
	struct tls_key *rec;
	struct buf mem;
};

static void
answer_free(struct answer *a)
{
	free(a->rec);
	a->rec = NULL;
	buf_wipe_free(&a->mem);
}

static int
read_jailed(const char *name, const struct tls_key_ask *ask, struct answer *a)
{
	struct err e = {0};

	answer_free(a);
	buf_init(&a->mem, ANSWER_MAX);
	if (jail_run(tls_key_read, ask, name, &a->mem, &e) == -1)
		return complain_err(&e);
	a->rec = rec_decode(&rec_tls_key, buf_ptr(&a->mem), buf_len(&a->mem));
	return a->rec != NULL ? 0 : complain(EX_DATAERR, "%s: cannot be read", name);
}

/* Read the key, asking for its passphrase when it has one. */
static int
read_key(
    const struct import_options *o, const char *name, struct tls_key_ask *ask, struct answer *a)
{
	char pass[PASS_MAX], what[SHOWN_MAX];
	const struct tls_key *k;
	struct err e = {0};
	int rc, tries = 0;

	rc = read_jailed(name, ask, a);
	while (rc == 0 && !a->rec->of_chain &&
	       (a->rec->code == EACCES || (a->rec->code == EKEYREJECTED && tries > 0)) &&
	       tries < (o->passphrase_file != NULL ? 1 : TRIES)) {
		if (tries++ > 0)
			(void)complain(0, "%s: %s", name, shown(a->rec->text, what));
		(void)snprintf(what, sizeof what, "Passphrase of %s", name);
		if (ask_passphrase(o->passphrase_file, what, 0, pass, &e) == -1)
			return complain_err(&e);
		ask->pass = pass;
		rc = read_jailed(name, ask, a);
		ask->pass = NULL;
		explicit_bzero(pass, sizeof pass);
	}
	if (rc != 0 || a->rec->code == 0)
		return rc;
	k = a->rec;
	if (k->of_chain && o->certificate != NULL)
		return complain(EX_DATAERR, "%s: %s", o->certificate, shown(k->text, what));
	return complain(tries > 0 && k->code == EKEYREJECTED ? EX_NOPERM : EX_DATAERR, "%s: %s",
	    name, shown(k->text, what));
}

/* What is to be done next, for whoever reads it. */
static void
tell(const struct import_options *o, const char *file, const struct tls_key *k)
{
	char text[SHOWN_MAX], date[16];

	if (o->certificate != NULL) {
		(void)printf("  belongs to the certificate of %s, which ends on %s\n",
		    shown(k->subject, text), date_text(k->expires, date));
		if (k->expires <= clock_unix())
			(void)complain(0, "%s: this certificate has expired", o->certificate);
	}
	(void)printf(
	    "  to use it: certificates = {\"%s\"} in postern.conf, section node or connector\n"
	    "  the file is not needed any more: keep it in a safe, or shred -u %s\n",
	    o->certificate != NULL ? o->certificate : "/path/of/chain.pem", file);
}

static int
store(struct keyctl *t, const struct import_options *o, const char *name, const struct tls_key *k)
{
	char label[KEY_LABEL_MAX + 1], fpr[2 * KEY_FPR + 1], text[SHOWN_MAX];
	const char *base = strrchr(name, '/');
	struct key_import_req req = {
	    .use = USE_TLS,
	    .algo = k->algo,
	    .label = label,
	    .params = k->params,
	    .secret = k->secret,
	};
	struct put_result put;
	int rc;

	(void)strlcpy(label, base != NULL ? base + 1 : name, sizeof label);
	if ((rc = put_key(t, &req, &put)) != 0)
		return rc;
	if (put.use != USE_TLS)
		return complain(EX_DATAERR, "%s: this key is there already, for another use: %s",
		    name, key_use_name(put.use));
	(void)printf("%s\ttls\t%s\t%s%s\n", hex_encode(fpr, put.fpr, KEY_FPR), k->kind,
	    shown(label, text), put.fresh ? "" : "\t(was there)");
	tell(o, name, k);
	return 0;
}

int
import_tls(struct keyctl *t, const struct import_options *o, const char *name)
{
	struct answer a = {.rec = NULL};
	struct tls_key_ask ask = {.pass = NULL};
	struct buf file, chain;
	int rc;

	buf_init(&file, TLS_FILE_MAX);
	buf_init(&chain, TLS_FILE_MAX);
	buf_init(&a.mem, ANSWER_MAX);
	if ((rc = read_file(name, &file)) != 0 ||
	    (o->certificate != NULL && (rc = read_file(o->certificate, &chain)) != 0))
		goto out;
	if (o->certificate != NULL && buf_len(&chain) == 0) {
		rc = complain(EX_DATAERR, "%s: empty", o->certificate);
		goto out;
	}
	ask.file = (struct bytes){buf_ptr(&file), buf_len(&file)};
	ask.chain = (struct bytes){buf_ptr(&chain), buf_len(&chain)};
	if ((rc = read_key(o, name, &ask, &a)) == 0)
		rc = store(t, o, name, a.rec);
out:
	answer_free(&a);
	buf_wipe_free(&file);
	buf_free(&chain);
	return rc;
}

int
read_tls_backup(const char *name, const char *passphrase_file,
    int (*fn)(void *arg, const struct tls_key *k), void *arg)
{
	const struct import_options o = {.passphrase_file = passphrase_file, .certificate = name};
	struct answer a = {.rec = NULL};
	struct tls_key_ask ask = {.pass = NULL};
	struct buf file;
	int rc;

	buf_init(&file, TLS_FILE_MAX);
	buf_init(&a.mem, ANSWER_MAX);
	if ((rc = read_file(name, &file)) == 0) {
		ask.file = ask.chain = (struct bytes){buf_ptr(&file), buf_len(&file)};
		if ((rc = read_key(&o, name, &ask, &a)) == 0)
			rc = fn(arg, a.rec);
	}
	answer_free(&a);
	buf_wipe_free(&file);
	return rc;
}

int
export_tls(struct keyctl *t, const char *handle, const char *pass, struct buf *out)
{
	struct key_export_req req;
	const struct key_export_rep *rep;
	uint8_t fpr[KEY_FPR];
	struct err e = {0};
	struct ipc_msg m;
	int rc = 0;

	if (parse_fpr(handle, fpr) == -1)
		return complain(EX_USAGE, "%s: not a handle of 40 digits, as keyctl list shows it",
		    log_str(handle));
	req.fpr = (struct bytes){fpr, sizeof fpr};
	if (control_call(
		&t->keys, M_key_export_req, &req, M_key_export_rep, &m, CONTROL_TIMEOUT, &e) == -1)
		return complain_err(&e);
	rep = m.body;
	if (rep->status != CRYPTO_OK || rep->key.n != 1)
		rc = complain_status(rep->status, rep->text);
	else if (rep->key.v[0].use == USE_CA)
		rc = complain(EX_DATAERR, "this key is an authority's: keyctl ca export --secret");
	else if (rep->key.v[0].use != USE_TLS)
		rc = complain(EX_DATAERR, "this key's use is %s: export it without --tls",
		    key_use_name(rep->key.v[0].use));
	else if (tls_key_write(
		     rep->key.v[0].algo, rep->key.v[0].params, rep->secret, pass, out, &e) == -1)
		rc = complain_err(&e);
	ipc_done(&t->keys, &m);
	return rc;
}
