/* Keys from and to a GnuPG home: which, whose, with which passphrase. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/clock.h"
#include "keyctl/export.h"
#include "keyctl/gpghome.h"
#include "keyctl/import.h"
#include "keyctl/keyctl.h"

#define TRIES 3 /* of a passphrase on the terminal */

/* ---- import ---- */

struct home_import {
	struct keyctl *t;
	const struct import_options *o;
	struct gpg_home home;
	struct home_reply list;
	struct import_count count;
	char last[PASS_MAX]; /* the passphrase that was right last: people have few */
};

/* The words for one key: its user id, else its fingerprint. */
static const char *
name_of(const struct home_key *k, char out[SHOWN_MAX])
{
	return shown(k->uid[0] != '\0' ? k->uid : k->fpr, out);
}

/* A key as gpg gave it, to cryptod and policyd. 0 or the exit code, said. */
static int
take(struct home_import *h, const struct home_key *k, const char *pass, struct bytes data)
{
	struct import_ask ask = {.p = data.p, .n = data.n, .pass = pass, .now = clock_unix()};
	struct import_answer a = {.rec = NULL};
	char name[SHOWN_MAX];
	int rc;

	buf_init(&a.mem, 0);
	if ((rc = import_read_jailed(name_of(k, name), &ask, &a)) == 0)
		rc = import_one(h->t, h->o, name, a.rec, &h->count);
	import_answer_free(&a);
	if (rc != 0)
		h->count.failed++;
	return rc;
}

static int
fail(struct home_import *h, const struct home_key *k, const char *text)
{
	char name[SHOWN_MAX], safe[SHOWN_MAX];

	h->count.failed++;
	progress_clear();
	return complain(EX_NOPERM, "%s: %s", name_of(k, name), shown(text, safe));
}

/*
 * One key with this passphrase.  *right: gpg took it.  0, or the exit code: without *right
 * nothing was said yet.
 */
static int
take_with(struct home_import *h, const struct home_key *k, const char *pass, int *right)
{
	struct home_ask ask = {.op = HOME_EXPORT, .n = 1, .fpr = {k->fpr}, .pass = pass};
	struct home_reply r = {.rec = NULL};
	struct err e = {0};
	int rc;

	buf_init(&r.mem, 0);
	*right = 1;
	if (home_request(&h->home, &ask, &r, &e) == -1) {
		h->count.failed++;
		rc = complain_err(&e);
	} else if (r.rec->keys.n != 1) {
		h->count.failed++;
		rc = complain(EX_SOFTWARE, "%s: no answer", k->fpr);
	} else if (r.rec->keys.v[0].code == EKEYREJECTED) {
		*right = 0;
		rc = EX_NOPERM;
	} else if (r.rec->keys.v[0].code != 0)
		rc = fail(h, k, r.rec->keys.v[0].text);
	else
		rc = take(h, k, pass, r.rec->keys.v[0].data);
	home_reply_free(&r);
	return rc;
}

/* A key with a passphrase: the last one, the file's, or one that is asked for. */
static int
take_protected(struct home_import *h, const struct home_key *k, size_t i)
{
	char pass[PASS_MAX], what[2 * SHOWN_MAX], name[SHOWN_MAX];
	struct err e = {0};
	int rc, right = 0;

	if (h->last[0] != '\0') {
		rc = take_with(h, k, h->last, &right);
		if (right)
			return rc;
		if (h->o->passphrase_file != NULL)
			return fail(h, k, "wrong passphrase, left out");
	}
	(void)snprintf(what, sizeof what, "Passphrase of %s (%s, key %zu of %zu)", name_of(k, name),
	    k->fpr, i + 1, h->list.rec->keys.n);
	for (int tries = 0; tries < TRIES; tries++) {
		progress_clear();
		if (tries > 0)
			(void)complain(0, "%s: wrong passphrase", name);
		if (ask_passphrase(h->o->passphrase_file, what, 0, pass, &e) == -1) {
			h->count.failed++;
			return complain(EX_NOPERM, "%s", e.text);
		}
		rc = take_with(h, k, pass, &right);
		if (right)
			(void)strlcpy(h->last, pass, sizeof h->last);
		explicit_bzero(pass, sizeof pass);
		if (right)
			return rc;
		if (h->o->passphrase_file != NULL)
			break;
	}
	return fail(h, k, "wrong passphrase, left out");
}

/* What is wrong with one key need not be wrong with the next. */
static int
goes_on(int rc)
{
	return rc == 0 || rc == EX_DATAERR || rc == EX_NOINPUT || rc == EX_NOPERM;
}

static int
take_batch(struct home_import *h, size_t from, int *worst)
{
	const struct home_answer *l = h->list.rec;
	struct home_ask ask = {.op = HOME_EXPORT};
	struct home_reply r = {.rec = NULL};
	struct err e = {0};
	int rc = 0;

	buf_init(&r.mem, 0);
	while (ask.n < HOME_BATCH && from + ask.n < l->keys.n) {
		ask.fpr[ask.n] = l->keys.v[from + ask.n].fpr;
		ask.n++;
	}
	if (home_request(&h->home, &ask, &r, &e) == -1)
		rc = complain_err(&e);
	else if (r.rec->keys.n != ask.n)
		rc = complain(EX_SOFTWARE, "%s: no answer", h->home.dir);
	for (size_t i = 0; goes_on(rc) && i < ask.n; i++) {
		const struct home_key *k = &l->keys.v[from + i], *got = &r.rec->keys.v[i];

		progress("import", "keys", from + i, l->keys.n);
		rc = got->code == EACCES ? take_protected(h, k, from + i)
		     : got->code != 0    ? fail(h, k, got->text)
					 : take(h, k, NULL, got->data);
		if (rc != 0)
			*worst = rc;
	}
	home_reply_free(&r);
	return goes_on(rc) ? 0 : rc;
}

static int
take_all(struct home_import *h)
{
	struct home_ask ask = {.op = HOME_LIST};
	struct err e = {0};
	int rc = 0, worst = 0;
	size_t n;

	if (home_request(&h->home, &ask, &h->list, &e) == -1)
		return complain_err(&e);
	if ((n = h->list.rec->keys.n) == 0)
		return complain(EX_NOINPUT, "%s: no secret keys in it", h->home.dir);
	for (size_t i = 0; rc == 0 && i < n; i += HOME_BATCH)
		rc = take_batch(h, i, &worst);
	progress("import", "keys", n, n);
	progress_clear();
	(void)printf("%zu secret keys: %u imported, %u were there, %u failed\n", n, h->count.fresh,
	    h->count.there, h->count.failed);
	return rc != 0 ? rc : worst;
}

int
import_home(struct keyctl *t, const struct import_options *o)
{
	struct home_import *h;
	struct err e = {0};
	int rc;

	if ((h = calloc(1, sizeof *h)) == NULL)
		return complain(EX_OSERR, "out of memory");
	h->t = t;
	h->o = o;
	h->count.quiet = 1;
	buf_init(&h->list.mem, 0);
	if (home_open(&h->home, o->home, 0, &e) == -1)
		rc = complain_err(&e);
	else
		rc = take_all(h);
	home_close(&h->home);
	home_reply_free(&h->list);
	explicit_bzero(h, sizeof *h);
	free(h);
	return rc;
}

/* ---- export ---- */

struct home_export {
	struct keyctl *t;
	const char *pass;
	struct gpg_home home;
	struct home_ask ask;
	struct buf keys[HOME_BATCH]; /* those of ask */
	char names[HOME_BATCH][SHOWN_MAX];
	size_t all, done;
	unsigned fresh, there, failed;
};

static int
count_cert(void *arg, const struct stored_cert *sc)
{
	size_t *n = arg;

	(void)sc;
	(*n)++;
	return 0;
}

/* Give gpg what was gathered. */
static int
flush(struct home_export *h)
{
	struct home_reply r = {.rec = NULL};
	struct err e = {0};
	char text[SHOWN_MAX];
	int rc = 0;

	buf_init(&r.mem, 0);
	if (h->ask.n > 0 && home_request(&h->home, &h->ask, &r, &e) == -1)
		rc = complain_err(&e);
	else if (h->ask.n > 0 && r.rec->keys.n != h->ask.n)
		rc = complain(EX_SOFTWARE, "%s: no answer", h->home.dir);
	for (size_t i = 0; i < h->ask.n; i++) {
		if (rc == 0 && r.rec->keys.v[i].code != 0) {
			h->failed++;
			(void)complain(
			    0, "%s: %s", h->names[i], shown(r.rec->keys.v[i].text, text));
		} else if (rc == 0)
			*(r.rec->keys.v[i].fresh ? &h->fresh : &h->there) += 1;
		buf_wipe_free(&h->keys[i]);
	}
	h->done += h->ask.n;
	h->ask.n = 0;
	progress("export", "keys", h->done, h->all);
	home_reply_free(&r);
	return rc;
}

static int
give(void *arg, const struct stored_cert *sc)
{
	const struct cert_uid *u = pgp_cert_primary_uid(sc->cert.v, clock_unix());
	struct home_export *h = arg;
	struct buf *b = &h->keys[h->ask.n];
	int rc;

	progress("export", "keys", h->done + h->ask.n, h->all);
	(void)shown(u != NULL ? u->text : sc->consumer, h->names[h->ask.n]);
	buf_init(b, PGP_SECKEY_MAX);
	if ((rc = export_secret(h->t, sc, h->pass, b)) != 0) {
		buf_wipe_free(b);
		return rc;
	}
	h->ask.key[h->ask.n++] = (struct bytes){buf_ptr(b), buf_len(b)};
	return h->ask.n == HOME_BATCH ? flush(h) : 0;
}

int
export_home(struct keyctl *t, const struct export_options *o, const char *pass)
{
	struct home_export *h;
	struct err e = {0};
	int rc;

	if ((h = calloc(1, sizeof *h)) == NULL)
		return complain(EX_OSERR, "out of memory");
	h->t = t;
	h->pass = pass;
	h->ask.op = HOME_IMPORT;
	h->home.cleaner = -1;
	if ((rc = export_each(t, o, count_cert, &h->all)) != 0)
		goto out;
	if (home_open(&h->home, o->home, 1, &e) == -1) {
		rc = complain_err(&e);
		goto out;
	}
	if ((rc = export_each(t, o, give, h)) == 0)
		rc = flush(h);
	progress_clear();
	for (size_t i = 0; i < h->ask.n; i++)
		buf_wipe_free(&h->keys[i]);
	(void)printf("%zu secret keys: %u exported, %u were there, %u failed\n", h->all, h->fresh,
	    h->there, h->failed);
	if (rc == 0 && h->failed > 0)
		rc = EX_DATAERR;
out:
	home_close(&h->home);
	free(h);
	return rc;
}
