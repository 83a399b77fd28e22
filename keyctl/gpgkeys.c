/* What is done inside the jail of a GnuPG home. */
#include "keyctl/gpgkeys.h"

#include <errno.h>
#include <gpgme.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"

REC_DEFINE(home_key, REC_HOME_KEY)
REC_DEFINE(home_answer, REC_HOME_ANSWER)

#define UID_MAX 1024 /* octets shown of a user id */

struct passing {
	const char *pass;
	int asked, bad;
};

/* All results; strings and octets are ours. */
struct results {
	struct home_key *v;
	size_t n, room;
};

static struct home_key *
add(struct results *r)
{
	struct home_key *v;

	if (r->n == r->room) {
		if (r->n == HOME_KEYS_MAX)
			return NULL;
		r->room = r->room == 0 ? 64 : 2 * r->room;
		if ((v = realloc(r->v, r->room * sizeof *v)) == NULL)
			return NULL;
		r->v = v;
	}
	v = &r->v[r->n++];
	*v = (struct home_key){.fpr = "", .uid = "", .text = ""};
	return v;
}

static gpgme_error_t
give_pass(void *arg, const char *hint, const char *info, int was_bad, int fd)
{
	struct passing *p = arg;

	(void)hint;
	(void)info;
	p->asked = 1;
	if (was_bad)
		p->bad = 1;
	if (p->pass == NULL || was_bad)
		return gpgme_error(GPG_ERR_CANCELED);
	if (gpgme_io_writen(fd, p->pass, strlen(p->pass)) != 0 || gpgme_io_writen(fd, "\n", 1) != 0)
		return gpgme_error(GPG_ERR_GENERAL);
	return 0;
}

static int
failed(struct err *e, gpgme_error_t g, const char *what)
{
	char text[200];

	(void)gpgme_strerror_r(g, text, sizeof text);
	return err_set(e, EIO, "gpg cannot %s: %s", what, text);
}

static int
open_ctx(const struct home_ask *a, struct passing *p, gpgme_ctx_t *ctx, struct err *e)
{
	gpgme_error_t g;

	*ctx = NULL;
	if ((g = gpgme_new(ctx)) != 0 ||
	    (g = gpgme_set_protocol(*ctx, GPGME_PROTOCOL_OpenPGP)) != 0 ||
	    (g = gpgme_ctx_set_engine_info(*ctx, GPGME_PROTOCOL_OpenPGP, a->gpg, a->home)) != 0 ||
	    (g = gpgme_set_pinentry_mode(*ctx, GPGME_PINENTRY_MODE_LOOPBACK)) != 0)
		return failed(e, g, "be started");
	gpgme_set_passphrase_cb(*ctx, give_pass, p);
	gpgme_set_offline(*ctx, 1);
	(void)gpgme_set_ctx_flag(*ctx, "no-auto-check-trustdb", "1");
	return 0;
}

static char *
cut(const char *s)
{
	return strndup(s != NULL ? s : "", UID_MAX);
}

static int
list(gpgme_ctx_t ctx, struct results *r, struct err *e)
{
	struct home_key *to;
	gpgme_key_t k;
	gpgme_error_t g;

	if ((g = gpgme_op_keylist_start(ctx, NULL, 1)) != 0)
		return failed(e, g, "list the keys");
	while ((g = gpgme_op_keylist_next(ctx, &k)) == 0) {
		if (k->subkeys == NULL || k->subkeys->fpr == NULL || strlen(k->subkeys->fpr) > 64) {
			gpgme_key_unref(k);
			continue;
		}
		if ((to = add(r)) == NULL) {
			gpgme_key_unref(k);
			return err_set(e, E2BIG, "more than %d secret keys", HOME_KEYS_MAX);
		}
		to->fpr = strdup(k->subkeys->fpr);
		to->uid = cut(k->uids != NULL ? k->uids->uid : NULL);
		gpgme_key_unref(k);
		if (to->fpr == NULL || to->uid == NULL)
			return err_sys(e, "secret keys");
	}
	if (gpgme_err_code(g) != GPG_ERR_EOF)
		return failed(e, g, "list the keys");
	return 0;
}

static void
say(struct home_key *k, const struct err *e)
{
	k->code = (uint32_t)e->code;
	k->text = strdup(e->text);
	if (k->text == NULL)
		k->text = "";
}

static void
take_out(gpgme_ctx_t ctx, const char *fpr, struct passing *p, struct home_key *to)
{
	gpgme_data_t d = NULL;
	gpgme_error_t g;
	struct err e = {0};
	size_t n = 0;
	char *mem = NULL;

	p->asked = p->bad = 0;
	if ((g = gpgme_data_new(&d)) == 0) {
		g = gpgme_op_export(ctx, fpr, GPGME_EXPORT_MODE_SECRET, d);
		mem = gpgme_data_release_and_get_mem(d, &n);
	}
	if (p->asked && p->pass == NULL)
		err_set(&e, EACCES, "protected by a passphrase");
	else if (p->bad || (p->asked && (g != 0 || n == 0)))
		err_set(&e, EKEYREJECTED, "wrong passphrase");
	else if (g != 0)
		(void)failed(&e, g, "export the key");
	else if (n == 0)
		err_set(&e, ENOKEY, "gpg gave nothing: its private half is on a card or damaged");
	else if (n > PGP_SECKEY_MAX)
		err_set(&e, EMSGSIZE, "more than %d octets", PGP_SECKEY_MAX);
	if (e.code != 0) {
		say(to, &e);
		if (mem != NULL)
			explicit_bzero(mem, n);
		gpgme_free(mem);
	} else
		to->data = (struct bytes){(uint8_t *)mem, n};
}

static void
put_in(gpgme_ctx_t ctx, struct bytes key, struct home_key *to)
{
	gpgme_data_t d = NULL;
	gpgme_import_result_t res;
	gpgme_error_t g;
	struct err e = {0};

	if ((g = gpgme_data_new_from_mem(&d, (const char *)key.p, key.n, 0)) == 0)
		g = gpgme_op_import(ctx, d);
	if (g != 0)
		(void)failed(&e, g, "import the key");
	else if ((res = gpgme_op_import_result(ctx)) == NULL ||
		 res->secret_imported + res->secret_unchanged == 0)
		err_set(&e, EIO, "gpg did not take the key");
	else
		to->fresh = res->secret_imported > 0;
	gpgme_data_release(d);
	if (e.code != 0)
		say(to, &e);
}

static int
run(const struct home_ask *a, struct results *r, struct err *e)
{
	struct passing p = {.pass = a->pass};
	struct home_key *to;
	gpgme_ctx_t ctx;
	int rc = -1;

	if (open_ctx(a, &p, &ctx, e) == -1)
		goto out;
	if (a->op == HOME_LIST) {
		rc = list(ctx, r, e);
		goto out;
	}
	/* As its owner, who is not root; gpg makes none where a link stands. */
	if (a->op == HOME_IMPORT && mkdir(a->secret_dir, 0700) == -1 && errno != EEXIST) {
		err_sys(e, "%s", a->secret_dir);
		goto out;
	}
	for (size_t i = 0; i < a->n; i++) {
		if ((to = add(r)) == NULL) {
			err_sys(e, "keys");
			goto out;
		}
		if (a->op == HOME_EXPORT)
			take_out(ctx, a->fpr[i], &p, to);
		else
			put_in(ctx, a->key[i], to);
	}
	rc = 0;
out:
	gpgme_release(ctx);
	return rc;
}

int
home_run(const void *arg, struct buf *out)
{
	struct results r = {NULL, 0, 0};
	struct home_answer an = {.text = ""};
	struct err e = {0};

	/* gpg gets nothing of our environment. */
	if (clearenv() != 0 || setenv("PATH", "/usr/bin:/bin", 1) == -1)
		return -1;
	if (run(arg, &r, &e) == -1) {
		an.code = (uint32_t)e.code;
		an.text = e.text;
	} else {
		an.keys.v = r.v;
		an.keys.n = r.n;
	}
	return rec_encode(&rec_home_answer, &an, out); /* the process ends: nothing is freed */
}
