/* key list, show, delete, export. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/enc.h"
#include "gwctl/keys.h"
#include "openpgp/armor.h"
#include "openpgp/cert.h"
#include "openpgp/pk.h"

#define FPR_TEXT (2 * 32 + 1)

#define REC_SHOWN_KEY(F, L)                                                                        \
	F(STR, fpr, 0, 64)                                                                         \
	F(STR, algo, 0, 32)                                                                        \
	F(STR, uses, 0, 64)                                                                        \
	F(U64, created, 0, UINT64_MAX)                                                             \
	F(U64, expires, 0, UINT64_MAX) /* 0: never */                                              \
	F(STR, state, 0, 16)
#define REC_SHOWN_UID(F, L)                                                                        \
	F(STR, text, 0, 1024)                                                                      \
	F(STR, addr, 0, 320)                                                                       \
	F(U64, revoked, 0, UINT64_MAX)
#define REC_SHOWN_CERT(F, L)                                                                       \
	F(STR, fpr, 0, 64)                                                                         \
	F(STR, consumer, 0, 64)                                                                    \
	F(U8, secret, 0, 1)                                                                        \
	F(U8, manual, 0, 1)                                                                        \
	F(U64, added, 0, UINT64_MAX)                                                               \
	F(STR, trouble, 0, 511) /* why nothing can be encrypted to it now; "" when it can */       \
	L(shown_uid, uids, 0, CERT_UIDS_MAX)                                                       \
	L(shown_key, keys, 0, CERT_KEYS_MAX)

REC_DECLARE(shown_key, REC_SHOWN_KEY)
REC_DECLARE(shown_uid, REC_SHOWN_UID)
REC_DECLARE(shown_cert, REC_SHOWN_CERT)
REC_DEFINE(shown_key, REC_SHOWN_KEY)
REC_DEFINE(shown_uid, REC_SHOWN_UID)
REC_DEFINE(shown_cert, REC_SHOWN_CERT)

/* ---- words ---- */

static const char *
state_text(enum pgp_key_state s)
{
	static const char *const names[] = {
	    [PGP_KEY_OK] = "valid",
	    [PGP_KEY_NOT_YET] = "not yet",
	    [PGP_KEY_EXPIRED] = "expired",
	    [PGP_KEY_REVOKED] = "revoked",
	};

	return names[s];
}

static const char *
uses_text(unsigned flags, char out[64])
{
	(void)snprintf(out, 64, "%s%s%s", flags & KEY_CERTIFY ? "certify " : "",
	    flags & KEY_SIGN ? "sign " : "", flags & KEY_ENCRYPT ? "encrypt " : "");
	if (out[0] != '\0')
		out[strlen(out) - 1] = '\0';
	return out;
}

/* When a subkey ends: its own time or the primary's, the earlier one. */
static uint64_t
expiry(const struct cert *c, const struct cert_key *k)
{
	uint64_t primary = c->keys.v[0].expires;

	return k->expires == 0 || (primary != 0 && primary < k->expires) ? primary : k->expires;
}

static const char *
trouble(const struct cert *c, uint64_t now, struct err *e)
{
	const struct cert_key *k;

	e->text[0] = '\0';
	return pgp_cert_encryption_keys(c, now, &k, 1, e) >= 1 ? "" : e->text;
}

static const char *
uid_of(const struct cert *c, uint64_t now)
{
	const struct cert_uid *u = pgp_cert_primary_uid(c, now);

	return u != NULL ? shown(u->text) : "";
}

/* ---- one certificate ---- */

static int
cert_json(const struct stored_cert *sc, uint64_t now, struct json_list *list)
{
	struct {
		char fpr[FPR_TEXT], algo[PGP_KEY_TEXT_MAX], uses[64];
	} *text = calloc(CERT_KEYS_MAX, sizeof *text);
	struct shown_key keys[CERT_KEYS_MAX];
	struct shown_uid uids[CERT_UIDS_MAX];
	const struct cert *c = sc->cert.v;
	struct shown_cert s = {.consumer = sc->consumer,
	    .secret = sc->secret,
	    .manual = sc->manual,
	    .added = sc->added};
	struct err e;
	size_t i;

	if (text == NULL)
		return complain(EX_OSERR, "out of memory");
	for (i = 0; i < c->keys.n; i++) {
		const struct cert_key *k = &c->keys.v[i];

		keys[i] = (struct shown_key){
		    .fpr = hex_encode(text[i].fpr, k->fpr.p, k->fpr.n),
		    .algo = pgp_key_text(k->algo, k->params, text[i].algo),
		    .uses = uses_text(k->flags, text[i].uses),
		    .created = k->created,
		    .expires = expiry(c, k),
		    .state = state_text(pgp_key_state(c, k, now)),
		};
	}
	for (i = 0; i < c->uids.n; i++)
		uids[i] = (struct shown_uid){.text = c->uids.v[i].text,
		    .addr = c->uids.v[i].addr,
		    .revoked = c->uids.v[i].revoked};
	s.fpr = keys[0].fpr;
	s.trouble = trouble(c, now, &e);
	s.keys.v = keys;
	s.keys.n = c->keys.n;
	s.uids.v = uids;
	s.uids.n = c->uids.n;
	json_list_item(list, &rec_shown_cert, &s);
	free(text);
	return 0;
}

static void
cert_row(const struct stored_cert *sc, uint64_t now, struct table *table)
{
	char fpr[FPR_TEXT], algo[PGP_KEY_TEXT_MAX], created[DATE_TEXT], expires[DATE_TEXT];
	const struct cert_key *k = &sc->cert.v->keys.v[0];

	table_row(table,
	    (const char *[]){hex_encode(fpr, k->fpr.p, k->fpr.n),
		pgp_key_text(k->algo, k->params, algo), date_text(k->created, created),
		date_text(k->expires, expires), state_text(pgp_key_state(sc->cert.v, k, now)),
		sc->secret ? "private" : "public", shown(sc->consumer), uid_of(sc->cert.v, now)});
	if (pgp_key_state(sc->cert.v, k, now) != PGP_KEY_OK)
		table_tint(table, 4, TINT_BAD);
}

static void
cert_print(const struct stored_cert *sc, uint64_t now)
{
	char fpr[FPR_TEXT], algo[PGP_KEY_TEXT_MAX], uses[64], created[DATE_TEXT],
	    expires[DATE_TEXT];
	const struct cert *c = sc->cert.v;
	const char *bad;
	struct err e;
	size_t i;

	(void)printf("%-12s %s\n%-12s %s\n%-12s %s%s\n", "certificate",
	    hex_encode(fpr, c->keys.v[0].fpr.p, c->keys.v[0].fpr.n), "consumer",
	    shown(sc->consumer), "private keys", sc->secret ? "in the key store" : "not here",
	    sc->manual ? "" : " (found automatically)");
	(void)printf("%-12s %s\n", "added", time_text(sc->added, created));
	if ((bad = trouble(c, now, &e))[0] != '\0')
		(void)printf("%-12s nothing can be encrypted to it now: %s\n", "note", shown(bad));
	for (i = 0; i < c->uids.n; i++)
		(void)printf("%-12s %s%s\n", i == 0 ? "user ids" : "", shown(c->uids.v[i].text),
		    c->uids.v[i].revoked != 0 && c->uids.v[i].revoked <= now ? "  (revoked)" : "");
	for (i = 0; i < c->keys.n; i++) {
		const struct cert_key *k = &c->keys.v[i];

		(void)printf("%-12s %s  %s  %s  %s to %s  %s\n", i == 0 ? "keys" : "",
		    hex_encode(fpr, k->fpr.p, k->fpr.n), pgp_key_text(k->algo, k->params, algo),
		    uses_text(k->flags, uses), date_text(k->created, created),
		    expiry(c, k) == 0 ? "ever" : date_text(expiry(c, k), expires),
		    state_text(pgp_key_state(c, k, now)));
	}
}

/* ---- list ---- */

static void
print_fpr(struct bytes fpr)
{
	char text[FPR_TEXT];

	(void)printf("%s\n", hex_encode(text, fpr.p, fpr.n));
}

static int
each_cert(struct gwctl *t, const char *consumer, struct table *table, struct json_list *list)
{
	struct cert_list q = {.consumer = consumer};
	uint64_t now = clock_unix();
	const struct cert_page *p;
	uint8_t after[32];
	struct ipc_msg m;
	size_t i, n;
	int rc;

	do {
		if ((rc = gwctl_ask(t, M_cert_list, &q, M_cert_page, &m)) != 0)
			return rc;
		p = m.body;
		for (i = 0, n = p->certs.n; rc == 0 && i < n; i++) {
			struct bytes last = p->certs.v[i].cert.v->keys.v[0].fpr;

			if (list != NULL)
				rc = cert_json(&p->certs.v[i], now, list);
			else if (table != NULL)
				cert_row(&p->certs.v[i], now, table);
			else
				print_fpr(last);
			memcpy(after, last.p, last.n);
			q.after = (struct bytes){after, last.n};
		}
		ipc_done(&t->policy, &m);
	} while (rc == 0 && n > 0);
	return rc;
}

int
verb_key_list(struct gwctl *t, int argc, char *argv[])
{
	static const struct option longs[] = {
	    {"consumer", required_argument, NULL, 'c'},
	    {"json", no_argument, NULL, 'j'},
	    {"quiet", no_argument, NULL, 'q'},
	    {NULL, 0, NULL, 0},
	};
	static const char *const heads[] = {"FINGERPRINT", "ALGO", "CREATED", "EXPIRES", "STATE",
	    "HALVES", "CONSUMER", "USER ID", NULL};
	const char *consumer = "";
	struct json_list list;
	struct table table;
	int o, rc, end = 0, how = 0;

	while ((o = getopt_long(argc, argv, "q", longs, NULL)) != -1)
		if (o == 'c')
			consumer = optarg;
		else if (o == '?' || (how != 0 && how != o))
			return complain_usage();
		else
			how = o;
	if (optind != argc)
		return complain_usage();
	if (how == 'j') {
		json_list_begin(&list, "certificates");
		rc = each_cert(t, consumer, NULL, &list);
		end = json_list_end(&list);
	} else if (how == 0) {
		table_begin(&table, heads);
		rc = each_cert(t, consumer, &table, NULL);
		end = table_end(&table);
	} else
		rc = each_cert(t, consumer, NULL, NULL);
	return rc != 0 ? rc : end;
}

/* ---- finding ---- */

static int
find_by_id(struct gwctl *t, const char *what, struct bytes id, struct found *f)
{
	struct cert_get q = {.id = id};
	const struct cert_page *p;
	int rc;

	if ((rc = gwctl_ask(t, M_cert_get, &q, M_cert_page, &f->m)) != 0)
		return rc;
	p = f->m.body;
	if (p->certs.n == 0) {
		ipc_done(&t->policy, &f->m);
		return complain(EX_NOINPUT, "there is no key %s: gwctl key list", shown(what));
	}
	f->certs = p->certs.v;
	f->n = p->certs.n;
	return 0;
}

static int
find_by_address(struct gwctl *t, const char *what, struct found *f)
{
	struct consumer_get cq = {.id = "", .addr = what};
	struct cert_list q = {.consumer = ""};
	const struct cert_page *p;
	char consumer[65];
	struct ipc_msg m;
	int rc;

	if ((rc = gwctl_ask(t, M_consumer_get, &cq, M_consumer_page, &m)) != 0)
		return rc;
	consumer[0] = '\0';
	if (((const struct consumer_page *)m.body)->consumers.n == 1)
		(void)strlcpy(consumer, ((const struct consumer_page *)m.body)->consumers.v[0].id,
		    sizeof consumer);
	ipc_done(&t->policy, &m);
	if (consumer[0] == '\0')
		return complain(EX_NOINPUT, "%s belongs to no consumer", shown(what));
	q.consumer = consumer;
	if ((rc = gwctl_ask(t, M_cert_list, &q, M_cert_page, &f->m)) != 0)
		return rc;
	p = f->m.body;
	if (p->certs.n == 0) {
		ipc_done(&t->policy, &f->m);
		return complain(EX_NOINPUT, "consumer '%s' has no certificate", shown(consumer));
	}
	f->certs = p->certs.v;
	f->n = p->certs.n;
	return 0;
}

int
find_certs(struct gwctl *t, const char *what, struct found *f)
{
	uint8_t id[32];
	size_t n = parse_key_id(what, id);

	memset(f, 0, sizeof *f);
	if (n > 0)
		return find_by_id(t, what, (struct bytes){id, n}, f);
	if (strchr(what, '@') != NULL && strlen(what) <= 320)
		return find_by_address(t, what, f);
	return complain(EX_USAGE,
	    "'%s' is neither a fingerprint, nor a key id of 16 digits, nor an "
	    "address",
	    shown(what));
}

/* ---- show, delete, export ---- */

int
verb_key_show(struct gwctl *t, int argc, char *argv[])
{
	static const struct option longs[] = {
	    {"json", no_argument, NULL, 'j'},
	    {NULL, 0, NULL, 0},
	};
	uint64_t now = clock_unix();
	struct json_list list;
	struct found f;
	size_t i;
	int o, rc, json = 0;

	while ((o = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (o != 'j')
			return complain_usage();
		json = 1;
	}
	if (optind != argc - 1)
		return complain_usage();
	if ((rc = find_certs(t, argv[optind], &f)) != 0)
		return rc;
	if (json)
		json_list_begin(&list, "certificates");
	for (i = 0; rc == 0 && i < f.n; i++) {
		if (json) {
			rc = cert_json(&f.certs[i], now, &list);
			continue;
		}
		if (i > 0)
			(void)putchar('\n');
		cert_print(&f.certs[i], now);
	}
	if (json && json_list_end(&list) != 0)
		rc = EX_OSERR;
	ipc_done(&t->policy, &f.m);
	return rc;
}

static int
is_primary(const struct stored_cert *sc, struct bytes id)
{
	const struct bytes f = sc->cert.v->keys.v[0].fpr;

	return f.n == id.n && memcmp(f.p, id.p, id.n) == 0;
}

/* Is it the certificate itself that was named, and may it go? 0 or the exit code. */
static int
may_delete(const struct found *f, struct bytes id, const char *what, int yes)
{
	const struct bytes first = f->certs[0].cert.v->keys.v[0].fpr;
	char question[600], fpr[FPR_TEXT];
	size_t i, named = 0;

	for (i = 0; i < f->n; i++) {
		if (!is_primary(&f->certs[i], id))
			continue;
		named++;
		if (!f->certs[i].secret || yes)
			continue;
		(void)snprintf(question, sizeof question,
		    "The private keys of %s are here: mail of consumer '%s' will not be opened "
		    "or signed with them any more.",
		    shown(what), shown(f->certs[i].consumer));
		if ((yes = ask_yes(question)) == -1)
			return complain(EX_USAGE, "%s Say --yes to remove it.", question);
		if (!yes)
			return complain(EX_NOPERM, "kept");
	}
	if (named > 0)
		return 0;
	return complain(EX_DATAERR, "%s is a subkey; to remove its certificate name that: %s",
	    shown(what), hex_encode(fpr, first.p, first.n));
}

int
verb_key_delete(struct gwctl *t, int argc, char *argv[])
{
	static const struct option longs[] = {
	    {"yes", no_argument, NULL, 'y'},
	    {NULL, 0, NULL, 0},
	};
	struct cert_del q;
	struct found f;
	uint8_t id[32];
	int o, rc, yes = 0;

	while ((o = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (o != 'y')
			return complain_usage();
		yes = 1;
	}
	if (optind != argc - 1)
		return complain_usage();
	q.fpr = (struct bytes){id, parse_key_id(argv[optind], id)};
	if (q.fpr.n < 20)
		return complain(EX_USAGE, "'%s' is no whole fingerprint; gwctl key list shows them",
		    shown(argv[optind]));
	if ((rc = find_certs(t, argv[optind], &f)) != 0)
		return rc;
	rc = may_delete(&f, q.fpr, argv[optind], yes);
	ipc_done(&t->policy, &f.m);
	if (rc == 0 && (rc = gwctl_change(t, M_cert_del, &q)) == 0)
		(void)printf("%s\tremoved\n", argv[optind]);
	return rc;
}

static int
to_file(void *ctx, const void *p, size_t n)
{
	return fwrite(p, 1, n, ctx) == n ? 0 : -1;
}

static int
write_certs(const struct found *f, int binary, FILE *out)
{
	const struct sink to = {to_file, out};
	struct pgp_armor a;
	size_t i;

	for (i = 0; i < f->n; i++) {
		const struct bytes raw = f->certs[i].raw;

		if (binary) {
			if (sink_write(&to, raw.p, raw.n) == -1)
				return -1;
		} else if (pgp_armor_open(&a, PGP_ARMOR_PUBLIC_KEY, &to) == -1 ||
			   pgp_armor_write(&a, raw.p, raw.n) == -1 || pgp_armor_close(&a) == -1)
			return -1;
	}
	return fflush(out) == EOF ? -1 : 0;
}

int
verb_key_export(struct gwctl *t, int argc, char *argv[])
{
	static const struct option longs[] = {
	    {"binary", no_argument, NULL, 'b'},
	    {"output", required_argument, NULL, 'o'},
	    {NULL, 0, NULL, 0},
	};
	const char *output = NULL;
	FILE *out = stdout;
	struct found f;
	int o, rc, binary = 0;

	while ((o = getopt_long(argc, argv, "", longs, NULL)) != -1)
		if (o == 'b')
			binary = 1;
		else if (o == 'o')
			output = optarg;
		else
			return complain_usage();
	if (optind != argc - 1)
		return complain_usage();
	if (binary && output == NULL && isatty(STDOUT_FILENO))
		return complain(EX_USAGE, "--binary needs --output FILE on a terminal");
	if ((rc = find_certs(t, argv[optind], &f)) != 0)
		return rc;
	if (output != NULL && (out = fopen(output, "we")) == NULL)
		rc = complain(EX_CANTCREAT, "%s: %s", shown(output), strerror(errno));
	else if (write_certs(&f, binary, out) == -1)
		rc = complain(EX_IOERR, "%s: %s",
		    output != NULL ? shown(output) : "standard output", strerror(errno));
	if (output != NULL && out != NULL && fclose(out) == EOF && rc == 0)
		rc = complain(EX_IOERR, "%s: %s", shown(output), strerror(errno));
	ipc_done(&t->policy, &f.m);
	return rc;
}
