/* consumer add, set, del, show, list. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sysexits.h>

#include "gwctl/gwctl.h"
#include "mail/address.h"

/* A consumer being made up: what the lists point to is ours. */
struct draft {
	struct consumer c;
	struct address addrs[CONSUMER_ADDRS_MAX];
	struct login logins[CONSUMER_LOGINS_MAX];
	char id[65], tenant[65], name[256];
};

static void
draft_free(struct draft *d)
{
	size_t i;

	for (i = 0; i < d->c.addresses.n; i++)
		free((void *)(uintptr_t)d->addrs[i].addr);
	for (i = 0; i < d->c.logins.n; i++) {
		free((void *)(uintptr_t)d->logins[i].peer);
		free((void *)(uintptr_t)d->logins[i].name);
	}
	d->c.addresses.n = d->c.logins.n = 0;
}

static void
draft_begin(struct draft *d)
{
	memset(d, 0, sizeof *d);
	(void)strlcpy(d->tenant, "default", sizeof d->tenant);
	d->c.id = d->id;
	d->c.tenant = d->tenant;
	d->c.name = d->name;
	d->c.addresses.v = d->addrs;
	d->c.logins.v = d->logins;
}

/* ---- addresses ---- */

static size_t
find_address(const struct draft *d, const char *addr)
{
	size_t i;

	for (i = 0; i < d->c.addresses.n; i++)
		if (strcasecmp(d->addrs[i].addr, addr) == 0)
			break;
	return i;
}

static int
add_plain_address(struct draft *d, const char *addr)
{
	char *copy;

	if (find_address(d, addr) < d->c.addresses.n)
		return 0;
	if (d->c.addresses.n == CONSUMER_ADDRS_MAX)
		return complain(
		    EX_DATAERR, "a consumer has at most %d addresses", CONSUMER_ADDRS_MAX);
	if ((copy = strdup(addr)) == NULL)
		return complain(EX_OSERR, "out of memory");
	d->addrs[d->c.addresses.n++].addr = copy;
	return 0;
}

static int
add_address(struct draft *d, const char *text)
{
	char norm[MAIL_ADDR_MAX + 1];

	if (mail_addr_normalise(text, norm, sizeof norm) == -1)
		return complain(EX_DATAERR, "'%s' is no mail address", shown(text));
	return add_plain_address(d, norm);
}

static int
del_address(struct draft *d, const char *text)
{
	char norm[MAIL_ADDR_MAX + 1];
	size_t i;

	if (mail_addr_normalise(text, norm, sizeof norm) == -1 ||
	    (i = find_address(d, norm)) == d->c.addresses.n)
		return complain(EX_NOINPUT, "consumer '%s' has no address %s", d->id, shown(text));
	free((void *)(uintptr_t)d->addrs[i].addr);
	d->addrs[i] = d->addrs[--d->c.addresses.n];
	return 0;
}

/* ---- logins ---- */

/*
 * "[PEER:]NAME".  The peer is one of the configuration, or "*" (the default) for each of them.
 * Where peers do not tell case apart, neither does the entry.
 */
static int
split_login(struct gwctl *t, const char *text, char peer[65], char name[321])
{
	const char *colon = strchr(text, ':'), *rest = colon != NULL ? colon + 1 : text;
	size_t i;
	int rc, lower = 1;

	if ((rc = gwctl_conf(t)) != 0)
		return rc;
	(void)strlcpy(peer, "*", 65);
	if (colon != NULL) {
		if ((size_t)(colon - text) > 64)
			return complain(EX_DATAERR, "'%s': no such peer", shown(text));
		memcpy(peer, text, (size_t)(colon - text));
		peer[colon - text] = '\0';
		if (strcmp(peer, "*") != 0 && conf_peer_find(t->conf, peer) == NULL)
			return complain(EX_DATAERR,
			    "'%s': the configuration has no peer \"%s\"; write '*:%s' for a name "
			    "with a colon",
			    shown(text), shown(peer), shown(text));
	}
	if (*rest == '\0' || strlcpy(name, rest, 321) >= 321)
		return complain(EX_DATAERR, "'%s' is no login", shown(text));
	for (i = 0; i < t->conf->npeers; i++)
		if ((strcmp(peer, "*") == 0 || strcmp(peer, t->conf->peers[i].name) == 0) &&
		    t->conf->peers[i].login_case != CONF_CASE_LOWER)
			lower = 0;
	for (i = 0; lower && name[i] != '\0'; i++)
		if (name[i] >= 'A' && name[i] <= 'Z')
			name[i] = (char)(name[i] - 'A' + 'a');
	return 0;
}

static size_t
find_login(const struct draft *d, const char *peer, const char *name)
{
	size_t i;

	for (i = 0; i < d->c.logins.n; i++)
		if (strcmp(d->logins[i].peer, peer) == 0 && strcmp(d->logins[i].name, name) == 0)
			break;
	return i;
}

static int
add_plain_login(struct draft *d, const char *peer, const char *name)
{
	struct login *l = &d->logins[d->c.logins.n];

	if (find_login(d, peer, name) < d->c.logins.n)
		return 0;
	if (d->c.logins.n == CONSUMER_LOGINS_MAX)
		return complain(
		    EX_DATAERR, "a consumer has at most %d logins", CONSUMER_LOGINS_MAX);
	l->peer = strdup(peer);
	l->name = strdup(name);
	d->c.logins.n++;
	return l->peer != NULL && l->name != NULL ? 0 : complain(EX_OSERR, "out of memory");
}

static int
add_login(struct gwctl *t, struct draft *d, const char *text)
{
	char peer[65], name[321];
	int rc = split_login(t, text, peer, name);

	return rc != 0 ? rc : add_plain_login(d, peer, name);
}

static int
del_login(struct gwctl *t, struct draft *d, const char *text)
{
	char peer[65], name[321];
	size_t i;
	int rc;

	if ((rc = split_login(t, text, peer, name)) != 0)
		return rc;
	if ((i = find_login(d, peer, name)) == d->c.logins.n)
		return complain(
		    EX_NOINPUT, "consumer '%s' has no login %s:%s", d->id, peer, shown(name));
	free((void *)(uintptr_t)d->logins[i].peer);
	free((void *)(uintptr_t)d->logins[i].name);
	d->logins[i] = d->logins[--d->c.logins.n];
	return 0;
}

static int
copy_text(char *out, size_t outsz, const char *what, const char *s)
{
	if (strlcpy(out, s, outsz) < outsz)
		return 0;
	return complain(EX_DATAERR, "%s: more than %zu octets", what, outsz - 1);
}

/* ---- add ---- */

enum {
	O_INTERNAL = 1000,
	O_EXTERNAL,
	O_ADDRESS,
	O_LOGIN,
	O_NAME,
	O_TENANT,
	O_ADD_ADDRESS,
	O_DEL_ADDRESS,
	O_ADD_LOGIN,
	O_DEL_LOGIN,
	O_JSON,
	O_YES
};

int
verb_consumer_add(struct gwctl *t, int argc, char *argv[])
{
	static const struct option longs[] = {
	    {"internal", no_argument, NULL, O_INTERNAL},
	    {"external", no_argument, NULL, O_EXTERNAL},
	    {"address", required_argument, NULL, O_ADDRESS},
	    {"login", required_argument, NULL, O_LOGIN},
	    {"name", required_argument, NULL, O_NAME},
	    {"tenant", required_argument, NULL, O_TENANT},
	    {NULL, 0, NULL, 0},
	};
	struct draft *d = malloc(sizeof *d);
	struct consumer_put q = {.create = 1};
	int o, rc = 0, kinds = 0;

	if (d == NULL)
		return complain(EX_OSERR, "out of memory");
	draft_begin(d);
	while (rc == 0 && (o = getopt_long(argc, argv, "", longs, NULL)) != -1)
		switch (o) {
		case O_INTERNAL:
		case O_EXTERNAL:
			d->c.kind = o == O_INTERNAL ? CONSUMER_INTERNAL : CONSUMER_EXTERNAL;
			kinds++;
			break;
		case O_ADDRESS:
			rc = add_address(d, optarg);
			break;
		case O_LOGIN:
			rc = add_login(t, d, optarg);
			break;
		case O_NAME:
			rc = copy_text(d->name, sizeof d->name, "name", optarg);
			break;
		case O_TENANT:
			rc = copy_text(d->tenant, sizeof d->tenant, "tenant", optarg);
			break;
		default:
			rc = complain_usage();
		}
	if (rc == 0 && (optind != argc - 1 || kinds != 1))
		rc = complain_usage();
	if (rc == 0 && d->c.addresses.n == 0 && d->c.kind == CONSUMER_EXTERNAL)
		rc = complain(EX_USAGE, "an external consumer needs an --address");
	if (rc == 0)
		rc = copy_text(d->id, sizeof d->id, "id", argv[optind]);
	q.consumer.v = &d->c;
	q.consumer.n = 1;
	if (rc == 0 && (rc = gwctl_change(t, M_consumer_put, &q)) == 0)
		(void)printf("%s\tadded\n", shown(d->id));
	draft_free(d);
	free(d);
	return rc;
}

/* ---- asking ---- */

/* One consumer by id or address: 0 and m (ipc_done), or the exit code. */
static int
get_consumer(struct gwctl *t, const char *what, struct ipc_msg *m)
{
	struct consumer_get by_id = {.id = what, .addr = ""}, by_addr = {.id = "", .addr = what};
	const struct consumer_page *p;
	int rc;

	if (strlen(what) <= 64) {
		if ((rc = gwctl_ask(t, M_consumer_get, &by_id, M_consumer_page, m)) != 0)
			return rc;
		p = m->body;
		if (p->consumers.n == 1)
			return 0;
		ipc_done(&t->policy, m);
	}
	if (strchr(what, '@') != NULL && strlen(what) <= 320) {
		if ((rc = gwctl_ask(t, M_consumer_get, &by_addr, M_consumer_page, m)) != 0)
			return rc;
		p = m->body;
		if (p->consumers.n == 1)
			return 0;
		ipc_done(&t->policy, m);
	}
	return complain(EX_NOINPUT, "there is no consumer '%s': gwctl consumer list", shown(what));
}

/* ---- set ---- */

static int
load_draft(struct gwctl *t, const char *id, struct draft *d)
{
	const struct consumer *c;
	struct ipc_msg m;
	size_t i;
	int rc;

	if ((rc = get_consumer(t, id, &m)) != 0)
		return rc;
	c = ((const struct consumer_page *)m.body)->consumers.v;
	d->c.kind = c->kind;
	(void)strlcpy(d->id, c->id, sizeof d->id);
	(void)strlcpy(d->tenant, c->tenant, sizeof d->tenant);
	(void)strlcpy(d->name, c->name, sizeof d->name);
	for (i = 0; rc == 0 && i < c->addresses.n; i++)
		rc = add_plain_address(d, c->addresses.v[i].addr);
	for (i = 0; rc == 0 && i < c->logins.n; i++)
		rc = add_plain_login(d, c->logins.v[i].peer, c->logins.v[i].name);
	ipc_done(&t->policy, &m);
	return rc;
}

/* The first --address or --login takes away what was there. */
static void
clear_addresses(struct draft *d)
{
	while (d->c.addresses.n > 0)
		free((void *)(uintptr_t)d->addrs[--d->c.addresses.n].addr);
}

static void
clear_logins(struct draft *d)
{
	while (d->c.logins.n > 0) {
		struct login *l = &d->logins[--d->c.logins.n];

		free((void *)(uintptr_t)l->peer);
		free((void *)(uintptr_t)l->name);
	}
}

static const struct option set_options[] = {
    {"internal", no_argument, NULL, O_INTERNAL},
    {"external", no_argument, NULL, O_EXTERNAL},
    {"address", required_argument, NULL, O_ADDRESS},
    {"add-address", required_argument, NULL, O_ADD_ADDRESS},
    {"del-address", required_argument, NULL, O_DEL_ADDRESS},
    {"login", required_argument, NULL, O_LOGIN},
    {"add-login", required_argument, NULL, O_ADD_LOGIN},
    {"del-login", required_argument, NULL, O_DEL_LOGIN},
    {"name", required_argument, NULL, O_NAME},
    {NULL, 0, NULL, 0},
};

static int
set_one(struct gwctl *t, struct draft *d, int o, const char *arg, int *addrs, int *logins)
{
	switch (o) {
	case O_INTERNAL:
	case O_EXTERNAL:
		d->c.kind = o == O_INTERNAL ? CONSUMER_INTERNAL : CONSUMER_EXTERNAL;
		return 0;
	case O_ADDRESS:
		if ((*addrs)++ == 0)
			clear_addresses(d);
		return add_address(d, arg);
	case O_ADD_ADDRESS:
		return add_address(d, arg);
	case O_DEL_ADDRESS:
		return del_address(d, arg);
	case O_LOGIN:
		if ((*logins)++ == 0)
			clear_logins(d);
		return add_login(t, d, arg);
	case O_ADD_LOGIN:
		return add_login(t, d, arg);
	case O_DEL_LOGIN:
		return del_login(t, d, arg);
	case O_NAME:
		return copy_text(d->name, sizeof d->name, "name", arg);
	default:
		return complain_usage();
	}
}

int
verb_consumer_set(struct gwctl *t, int argc, char *argv[])
{
	struct consumer_put q = {.create = 0};
	struct draft *d;
	int o, rc = 0, addrs = 0, logins = 0, given = 0;

	/* First the id, which stands behind the options, then their meaning for it. */
	while ((o = getopt_long(argc, argv, "", set_options, NULL)) != -1) {
		if (o == '?')
			return complain_usage();
		given++;
	}
	if (optind != argc - 1 || given == 0)
		return complain_usage();
	if ((d = malloc(sizeof *d)) == NULL)
		return complain(EX_OSERR, "out of memory");
	draft_begin(d);
	rc = load_draft(t, argv[optind], d);
	optind = 0;
	while (rc == 0 && (o = getopt_long(argc, argv, "", set_options, NULL)) != -1)
		rc = set_one(t, d, o, optarg, &addrs, &logins);
	q.consumer.v = &d->c;
	q.consumer.n = 1;
	if (rc == 0 && (rc = gwctl_change(t, M_consumer_put, &q)) == 0)
		(void)printf("%s\tchanged\n", shown(d->id));
	draft_free(d);
	free(d);
	return rc;
}

/* ---- del ---- */

/* How many certificates would go with it, and whether some have private halves here. */
static int
certs_of(struct gwctl *t, const char *id, size_t *n, int *secret)
{
	struct cert_list q = {.consumer = id};
	const struct cert_page *p;
	uint8_t after[32];
	struct ipc_msg m;
	size_t i, got;
	int rc;

	*n = 0;
	*secret = 0;
	do {
		if ((rc = gwctl_ask(t, M_cert_list, &q, M_cert_page, &m)) != 0)
			return rc;
		p = m.body;
		got = p->certs.n;
		for (i = 0; i < got; i++) {
			struct bytes f = p->certs.v[i].cert.v->keys.v[0].fpr;

			*secret |= p->certs.v[i].secret;
			memcpy(after, f.p, f.n);
			q.after = (struct bytes){after, f.n};
		}
		*n += got;
		ipc_done(&t->policy, &m);
	} while (got > 0);
	return 0;
}

static int
del_one(struct gwctl *t, const char *id, int yes)
{
	struct consumer_del q = {.id = id};
	char question[400];
	int rc, secret;
	size_t n;

	if ((rc = certs_of(t, id, &n, &secret)) != 0)
		return rc;
	if (secret && !yes) {
		(void)snprintf(question, sizeof question,
		    "Consumer '%s' has private keys here: its mail will not be opened any more.",
		    shown(id));
		if ((yes = ask_yes(question)) == -1)
			return complain(EX_USAGE, "%s Say --yes to remove it.", question);
		if (!yes)
			return complain(EX_NOPERM, "%s: kept", shown(id));
	}
	if ((rc = gwctl_change(t, M_consumer_del, &q)) == 0)
		(void)printf("%s\tremoved, with %zu certificate%s%s\n", shown(id), n,
		    n == 1 ? "" : "s", secret ? "; the private keys stay in the key store" : "");
	return rc;
}

int
verb_consumer_del(struct gwctl *t, int argc, char *argv[])
{
	static const struct option longs[] = {
	    {"yes", no_argument, NULL, O_YES},
	    {NULL, 0, NULL, 0},
	};
	int o, i, rc, worst = 0, yes = 0;

	while ((o = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (o != O_YES)
			return complain_usage();
		yes = 1;
	}
	if (optind == argc)
		return complain_usage();
	for (i = optind; i < argc && worst != EX_UNAVAILABLE; i++) {
		if (argv[i][0] == '\0' || strlen(argv[i]) > 64)
			worst = complain(EX_DATAERR, "'%s' is no id", shown(argv[i]));
		else if ((rc = del_one(t, argv[i], yes)) != 0)
			worst = rc;
	}
	return worst;
}

/* ---- show, list ---- */

/* What --json gives: the kind as a word. */
#define REC_SHOWN_CONSUMER(F, L)                                                                   \
	F(STR, id, 0, 64)                                                                          \
	F(STR, tenant, 0, 64)                                                                      \
	F(STR, kind, 0, 16)                                                                        \
	F(STR, name, 0, 255)                                                                       \
	F(U8, gateway_password, 0, 1) /* there is one */                                           \
	F(STR, phrase, 0, PHRASE_LEN)                                                              \
	L(address, addresses, 0, CONSUMER_ADDRS_MAX)                                               \
	L(login, logins, 0, CONSUMER_LOGINS_MAX)
REC_DECLARE(shown_consumer, REC_SHOWN_CONSUMER)
REC_DEFINE(shown_consumer, REC_SHOWN_CONSUMER)

static const char *
kind_name(const struct consumer *c)
{
	return c->kind == CONSUMER_INTERNAL ? "internal" : "external";
}

static struct shown_consumer
for_json(const struct consumer *c)
{
	struct shown_consumer s = {
	    .id = c->id, .tenant = c->tenant, .kind = kind_name(c), .name = c->name};

	s.gateway_password = c->factor.n > 0;
	s.phrase = c->phrase;
	s.addresses.v = c->addresses.v;
	s.addresses.n = c->addresses.n;
	s.logins.v = c->logins.v;
	s.logins.n = c->logins.n;
	return s;
}

static void
print_consumer(const struct consumer *c)
{
	size_t i;

	(void)printf("%-10s %s\n%-10s %s\n%-10s %s\n%-10s %s\n", "id", shown(c->id), "kind",
	    kind_name(c), "name", shown(c->name[0] != '\0' ? c->name : NULL), "tenant",
	    shown(c->tenant));
	for (i = 0; i < c->addresses.n; i++)
		(void)printf(
		    "%-10s %s\n", i == 0 ? "addresses" : "", shown(c->addresses.v[i].addr));
	for (i = 0; i < c->logins.n; i++)
		(void)printf("%-10s %s:%s\n", i == 0 ? "logins" : "", shown(c->logins.v[i].peer),
		    shown(c->logins.v[i].name));
	if (c->kind == CONSUMER_INTERNAL)
		(void)printf("%-10s %s\n%-10s %s\n", "password", c->factor.n > 0 ? "set" : "-",
		    "phrase", shown(c->phrase[0] != '\0' ? c->phrase : NULL));
}

int
verb_consumer_show(struct gwctl *t, int argc, char *argv[])
{
	static const struct option longs[] = {
	    {"json", no_argument, NULL, O_JSON},
	    {NULL, 0, NULL, 0},
	};
	struct shown_consumer s;
	const struct consumer *c;
	struct ipc_msg m;
	int o, rc, json = 0;

	while ((o = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (o != O_JSON)
			return complain_usage();
		json = 1;
	}
	if (optind != argc - 1)
		return complain_usage();
	if ((rc = get_consumer(t, argv[optind], &m)) != 0)
		return rc;
	c = ((const struct consumer_page *)m.body)->consumers.v;
	s = for_json(c);
	if (json)
		rc = json_print(&rec_shown_consumer, &s);
	else
		print_consumer(c);
	ipc_done(&t->policy, &m);
	return rc;
}

static void
consumer_row(struct table *table, const struct consumer *c)
{
	char more[32] = "", addr[SHOWN_MAX + 32];

	if (c->addresses.n > 1)
		(void)snprintf(more, sizeof more, " +%zu", c->addresses.n - 1);
	(void)snprintf(addr, sizeof addr, "%s%s",
	    c->addresses.n > 0 ? shown(c->addresses.v[0].addr) : "-", more);
	table_row(table,
	    (const char *[]){shown(c->id), kind_name(c), shown(c->tenant), addr, shown(c->name)});
}

static int
each_consumer(struct gwctl *t, struct table *table, struct json_list *list)
{
	char after[65] = "";
	struct consumer_list q = {.after = after};
	const struct consumer_page *p;
	struct shown_consumer s;
	struct ipc_msg m;
	size_t i, n;
	int rc;

	do {
		if ((rc = gwctl_ask(t, M_consumer_list, &q, M_consumer_page, &m)) != 0)
			return rc;
		p = m.body;
		for (i = 0, n = p->consumers.n; i < n; i++) {
			s = for_json(&p->consumers.v[i]);
			if (list != NULL)
				json_list_item(list, &rec_shown_consumer, &s);
			else if (table != NULL)
				consumer_row(table, &p->consumers.v[i]);
			else
				(void)printf("%s\n", shown(p->consumers.v[i].id));
			(void)strlcpy(after, p->consumers.v[i].id, sizeof after);
		}
		ipc_done(&t->policy, &m);
	} while (n > 0);
	return 0;
}

int
verb_consumer_list(struct gwctl *t, int argc, char *argv[])
{
	static const char *const heads[] = {"ID", "KIND", "TENANT", "ADDRESS", "NAME", NULL};
	struct json_list list;
	struct table table;
	int rc, end = 0, how = list_options(argc, argv);

	if (how == -1)
		return EX_USAGE;
	if (how == LIST_JSON) {
		json_list_begin(&list, "consumers");
		rc = each_consumer(t, NULL, &list);
		end = json_list_end(&list);
	} else if (how == LIST_TABLE) {
		table_begin(&table, heads);
		rc = each_consumer(t, &table, NULL);
		end = table_end(&table);
	} else
		rc = each_consumer(t, NULL, NULL);
	return rc != 0 ? rc : end;
}
