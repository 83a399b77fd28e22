/* list: the private keys, and whose they are. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/tree.h>
#include <sysexits.h>

#include "base/clock.h"
#include "base/enc.h"
#include "keyctl/ca.h"
#include "keyctl/keyctl.h"
#include "model/json.h"
#include "openpgp/pk.h"

#define LIST_MAX 1000000 /* keys */
#define LIST_TEXT_MAX (512 * 1024 * 1024) /* octets of JSON */

/* A line, as --json gives it. */
#define REC_LISTED(F, L)                                                                           \
	F(STR, fpr, 0, 64)                                                                         \
	F(STR, use, 0, 16)                                                                         \
	F(STR, algo, 0, 32)                                                                        \
	F(U64, created, 0, UINT64_MAX)                                                             \
	F(U64, expires, 0, UINT64_MAX) /* 0: never, or not known */                                \
	F(STR, state, 0, 16) /* valid, expired, revoked, disabled, no certificate */               \
	F(STR, certificate, 0, 64) /* fingerprint of its primary key */                            \
	F(STR, consumer, 0, 64)                                                                    \
	F(STR, label, 0, KEY_LABEL_MAX)
#define REC_LISTING(F, L) L(listed, keys, 0, LIST_MAX)

REC_DECLARE(listed, REC_LISTED)
REC_DECLARE(listing, REC_LISTING)
REC_DEFINE(listed, REC_LISTED)
REC_DEFINE(listing, REC_LISTING)

/* One key of a certificate that policyd has. */
struct known {
	RB_ENTRY(known) entry;
	uint8_t fpr[KEY_FPR], primary[KEY_FPR];
	uint64_t expires;
	enum pgp_key_state state;
	char consumer[CONSUMER_ID];
};
RB_HEAD(known_tree, known);

static int
known_cmp(const struct known *a, const struct known *b)
{
	return memcmp(a->fpr, b->fpr, KEY_FPR);
}

RB_GENERATE_INTERNAL(known_tree, known, entry, known_cmp, static __attribute__((unused)))

struct list {
	struct known_tree known;
	struct listing out;
	size_t room;
	uint64_t now;
	int no_policy;
	struct ca ca[AUTHORITY_MAX]; /* view.ends 0: there is none */
};

static int
know(struct list *l, const struct stored_cert *sc)
{
	const struct cert *c = sc->cert.v;

	for (size_t i = 0; i < c->keys.n; i++) {
		const struct cert_key *k = &c->keys.v[i];
		uint64_t primary = c->keys.v[0].expires;
		struct known *n;

		if (k->fpr.n != KEY_FPR || c->keys.v[0].fpr.n != KEY_FPR)
			continue;
		if ((n = calloc(1, sizeof *n)) == NULL)
			return complain(EX_OSERR, "out of memory");
		memcpy(n->fpr, k->fpr.p, KEY_FPR);
		memcpy(n->primary, c->keys.v[0].fpr.p, KEY_FPR);
		n->expires = k->expires == 0 || (primary != 0 && primary < k->expires) ? primary
										       : k->expires;
		n->state = pgp_key_state(c, k, l->now);
		(void)strlcpy(n->consumer, sc->consumer, sizeof n->consumer);
		if (RB_INSERT(known_tree, &l->known, n) != NULL)
			free(n);
	}
	return 0;
}

/* Ask policyd for every certificate; without it the list is still of use. */
static int
know_all(struct keyctl *t, struct list *l)
{
	struct cert_list req = {.consumer = ""};
	const struct cert_page *page;
	uint8_t after[32];
	struct err e = {0};
	struct ipc_msg m;
	size_t n = 1;
	int rc = 0;

	if (connect_policy(t) != 0) {
		l->no_policy = 1;
		return 0;
	}
	while (rc == 0 && n > 0) {
		if (control_call(
			&t->policy, M_cert_list, &req, M_cert_page, &m, CONTROL_TIMEOUT, &e) == -1)
			return complain_err(&e);
		page = m.body;
		n = page->certs.n;
		for (size_t i = 0; rc == 0 && i < n; i++)
			if (page->certs.v[i].secret)
				rc = know(l, &page->certs.v[i]);
		if (n > 0) {
			struct bytes last = page->certs.v[n - 1].cert.v->keys.v[0].fpr;

			memcpy(after, last.p, last.n);
			req.after = (struct bytes){after, last.n};
		}
		ipc_done(&t->policy, &m);
	}
	return rc;
}

/* The authorities, whose certificates are cryptod's. */
static int
know_authorities(struct keyctl *t, struct list *l)
{
	int rc;

	for (unsigned i = 1; i < AUTHORITY_MAX; i++) {
		rc = ca_get(t, i, &l->ca[i]);
		buf_free(&l->ca[i].der);
		if (rc != 0 && rc != EX_NOINPUT)
			return rc;
	}
	return 0;
}

/* When the authority with this key ends; 0: it is no authority's, any more. */
static uint64_t
authority_ends(const struct list *l, const struct key_info *k)
{
	for (unsigned i = 1; i < AUTHORITY_MAX; i++)
		if (l->ca[i].view.ends != 0 && memcmp(l->ca[i].fpr, k->fpr.p, KEY_FPR) == 0)
			return l->ca[i].view.ends;
	return 0;
}

static const char *
state_of(const struct list *l, const struct known *n, const struct key_info *k)
{
	if (n != NULL && n->state == PGP_KEY_REVOKED)
		return "revoked";
	if (k->disabled)
		return "disabled";
	if (k->use == USE_TLS)
		return "valid"; /* its certificate is in a file */
	if (k->use == USE_CA)
		return authority_ends(l, k) > l->now ? "valid" : "expired";
	if (n == NULL)
		return l->no_policy ? "-" : "no certificate";
	return n->state == PGP_KEY_EXPIRED ? "expired" : "valid";
}

static int
add_line(void *arg, const struct key_info *k)
{
	struct list *l = arg;
	char fpr[2 * KEY_FPR + 1], algo[PGP_KEY_TEXT_MAX];
	struct known find, *n;
	struct listed *line;
	void *v;

	if (l->out.keys.n == l->room) {
		l->room = l->room == 0 ? 64 : 2 * l->room;
		if (l->room > LIST_MAX ||
		    (v = realloc(l->out.keys.v, l->room * sizeof *line)) == NULL)
			return complain(EX_OSERR, "too many keys");
		l->out.keys.v = v;
	}
	memcpy(find.fpr, k->fpr.p, KEY_FPR);
	n = RB_FIND(known_tree, &l->known, &find);
	line = &l->out.keys.v[l->out.keys.n];
	memset(line, 0, sizeof *line);
	line->fpr = strdup(hex_encode(fpr, k->fpr.p, KEY_FPR));
	line->use = key_use_name(k->use);
	line->algo = strdup(pgp_key_text(k->algo, k->params, algo));
	line->created = k->created;
	line->expires = n != NULL ? n->expires : k->use == USE_CA ? authority_ends(l, k) : 0;
	line->state = state_of(l, n, k);
	line->certificate = n != NULL ? strdup(hex_encode(fpr, n->primary, KEY_FPR)) : NULL;
	line->consumer = n != NULL ? strdup(n->consumer) : NULL;
	line->label = strdup(k->label);
	l->out.keys.n++;
	return 0;
}

static void
print_table(const struct list *l)
{
	char created[16], expires[16], who[SHOWN_MAX], label[SHOWN_MAX];

	(void)printf("%-40s  %-7s  %-15s  %-10s  %-10s  %-14s  %-16s  %s\n", "FINGERPRINT", "USE",
	    "ALGO", "CREATED", "EXPIRES", "STATE", "CONSUMER", "LABEL");
	for (size_t i = 0; i < l->out.keys.n; i++) {
		const struct listed *k = &l->out.keys.v[i];

		(void)printf("%-40s  %-7s  %-15s  %-10s  %-10s  %-14s  %-16s  %s\n", k->fpr, k->use,
		    k->algo, date_text(k->created, created), date_text(k->expires, expires),
		    k->state, k->consumer != NULL ? shown(k->consumer, who) : "-",
		    shown(k->label, label));
	}
}

static int
print_json(const struct list *l)
{
	struct buf b;
	int rc = 0;

	buf_init(&b, LIST_TEXT_MAX);
	if (json_from_rec(&rec_listing, &l->out, JSON_LINES, &b) == -1)
		rc = complain(EX_OSERR, "list: too large");
	else
		(void)printf("%.*s\n", (int)buf_len(&b), (const char *)buf_ptr(&b));
	buf_free(&b);
	return rc;
}

static void
list_free(struct list *l)
{
	struct known *n;

	while ((n = RB_ROOT(&l->known)) != NULL) {
		RB_REMOVE(known_tree, &l->known, n);
		free(n);
	}
	for (size_t i = 0; i < l->out.keys.n; i++) {
		struct listed *k = &l->out.keys.v[i];
		const char *own[] = {k->fpr, k->algo, k->certificate, k->consumer, k->label};

		for (size_t j = 0; j < sizeof own / sizeof own[0]; j++)
			free((void *)(uintptr_t)own[j]);
	}
	free(l->out.keys.v);
}

int
verb_list(struct keyctl *t, int argc, char *argv[])
{
	static const struct option longs[] = {
	    {"json", no_argument, NULL, 'j'},
	    {NULL, 0, NULL, 0},
	};
	struct list l = {.now = clock_unix()};
	int c, rc, json = 0;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c != 'j')
			return complain_usage(argv[0]);
		json = 1;
	}
	if (optind != argc)
		return complain_usage(argv[0]);
	RB_INIT(&l.known);
	if ((rc = connect_keys(t)) == 0 && (rc = know_authorities(t, &l)) == 0 &&
	    (rc = know_all(t, &l)) == 0 && (rc = each_key(t, add_line, &l)) == 0) {
		if (json)
			rc = print_json(&l);
		else
			print_table(&l);
	}
	list_free(&l);
	return rc;
}
