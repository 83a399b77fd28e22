/* tls: who uses which action, profile and certificate, as the configuration has it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "conf/table.h"
#include "gwctl/gwctl.h"

/* Who uses an action or profile. */
#define REC_TLS_USER(F, L)                                                                         \
	F(STR, name, 0, 64)                                                                        \
	F(STR, tls, 0, 16) /* a connector's: disabled, enabled, required; else "action", "peer" */
#define REC_TLS_ACTION(F, L)                                                                       \
	F(STR, action, 0, 64)                                                                      \
	F(STR, service, 0, 16)                                                                     \
	F(STR, tls, 0, 16)                                                                         \
	F(STR, profile, 0, 64)                                                                     \
	L(tls_user, connectors, 0, CONF_SECTIONS_MAX)
#define REC_TLS_PROFILE(F, L)                                                                      \
	F(STR, profile, 0, 64)                                                                     \
	F(STR, min_version, 0, 16)                                                                 \
	F(U8, pfs, 0, 1)                                                                           \
	F(STR, client_certificate, 0, 16)                                                          \
	F(STR, ocsp, 0, 16)                                                                        \
	F(U8, stapling, 0, 1)                                                                      \
	F(U8, tickets, 0, 1)                                                                       \
	F(STR, verify, 0, 16)                                                                      \
	L(tls_user, users, 0, 3 * CONF_SECTIONS_MAX)
#define REC_TLS_FILE(F, L) F(STR, path, 0, 1024)
#define REC_TLS_CONNECTOR(F, L)                                                                    \
	F(STR, connector, 0, 64)                                                                   \
	F(STR, service, 0, 16)                                                                     \
	F(STR, tls, 0, 16)                                                                         \
	F(STR, action, 0, 64) /* "" for none: as inspect with the profile "default" */             \
	F(STR, does, 0, 16) /* inspect, allow; "" with tls = disabled, as the profile */           \
	F(STR, profile, 0, 64)                                                                     \
	F(STR, shows, 0, 16) /* own, minted, server: which certificates clients see; "": none */   \
	L(tls_file, certificates, 0, CONF_LIST_MAX)

REC_DECLARE(tls_user, REC_TLS_USER)
REC_DECLARE(tls_action, REC_TLS_ACTION)
REC_DECLARE(tls_profile, REC_TLS_PROFILE)
REC_DECLARE(tls_file, REC_TLS_FILE)
REC_DECLARE(tls_connector, REC_TLS_CONNECTOR)
REC_DEFINE(tls_user, REC_TLS_USER)
REC_DEFINE(tls_action, REC_TLS_ACTION)
REC_DEFINE(tls_profile, REC_TLS_PROFILE)
REC_DEFINE(tls_file, REC_TLS_FILE)
REC_DEFINE(tls_connector, REC_TLS_CONNECTOR)

static const char *
support(const struct conf_connector *k)
{
	return conf_word(CONF_S_CONNECTOR, k, "tls");
}

static const char *
does(const struct conf_connector *k)
{
	if (k->tls == CONF_SUPPORT_DISABLED)
		return "";
	return k->inspect == CONF_TLS_ALLOW ? "allow" : "inspect";
}

/* Whose certificates clients see. */
static const char *
shows(const struct conf_connector *k)
{
	if (k->tls == CONF_SUPPORT_DISABLED)
		return "";
	if (k->inspect == CONF_TLS_ALLOW)
		return "server";
	return k->transparent != CONF_TRANSPARENT_NO ? "minted" : "own";
}

/* One way to print rows of all three listings. */
struct out {
	int how; /* LIST_* */
	struct table table;
	struct json_list json;
};

static int
begin(struct out *o, int argc, char *argv[], const char *name, const char *const heads[])
{
	if ((o->how = list_options(argc, argv)) == -1)
		return -1;
	if (o->how == LIST_JSON)
		json_list_begin(&o->json, name);
	else if (o->how == LIST_TABLE)
		table_begin(&o->table, heads);
	return 0;
}

/* cells[0] is the name. */
static void
row(struct out *o, const struct rec *r, const void *v, const char *const cells[])
{
	if (o->how == LIST_JSON)
		json_list_item(&o->json, r, v);
	else if (o->how == LIST_TABLE)
		table_row(&o->table, cells);
	else
		(void)printf("%s\n", cells[0]);
}

static int
end(struct out *o)
{
	if (o->how == LIST_JSON)
		return json_list_end(&o->json);
	return o->how == LIST_TABLE ? table_end(&o->table) : 0;
}

/* "submission (enabled), pop3 (required)" */
#define USERS_TEXT 2048
static const char *
users_text(char out[USERS_TEXT], const struct tls_user *v, size_t n)
{
	size_t i, used = 0;

	out[0] = '\0';
	for (i = 0; i < n && used < USERS_TEXT; i++)
		used += (size_t)snprintf(out + used, USERS_TEXT - used, "%s%s (%s)",
		    i > 0 ? ", " : "", v[i].name, v[i].tls);
	return out;
}

int
verb_tls_actions(struct gwctl *t, int argc, char *argv[])
{
	static const char *const heads[] = {
	    "ACTION", "SERVICE", "TLS", "PROFILE", "CONNECTORS", NULL};
	struct tls_action v;
	struct tls_user users[CONF_SECTIONS_MAX];
	char text[USERS_TEXT];
	const struct conf *c;
	struct out o;
	size_t i, k, n;
	int rc;

	if (begin(&o, argc, argv, "actions", heads) == -1)
		return EX_USAGE;
	if ((rc = gwctl_conf(t)) != 0)
		return rc;
	for (c = t->conf, i = 0; i < c->nactions; i++) {
		const struct conf_action *a = &c->actions[i];

		for (n = k = 0; k < c->nconnectors; k++)
			if (c->connectors[k].action == a)
				users[n++] = (struct tls_user){
				    c->connectors[k].name, support(&c->connectors[k])};
		v = (struct tls_action){.action = a->name,
		    .service = conf_word(CONF_S_ACTION, a, "service"),
		    .tls = conf_word(CONF_S_ACTION, a, "tls"),
		    .profile = a->profile->name,
		    .connectors = {users, n}};
		row(&o, &rec_tls_action, &v,
		    (const char *const[]){
			v.action, v.service, v.tls, v.profile, users_text(text, users, n)});
	}
	return end(&o);
}

/* Actions with this profile; connectors and peers for whose TLS it counts. */
static size_t
profile_users(const struct conf *c, const struct conf_profile *p, struct tls_user *v)
{
	size_t i, n = 0;

	for (i = 0; i < c->nactions; i++)
		if (c->actions[i].profile == p)
			v[n++] = (struct tls_user){c->actions[i].name, "action"};
	for (i = 0; i < c->nconnectors; i++)
		if (c->connectors[i].profile == p && c->connectors[i].tls != CONF_SUPPORT_DISABLED)
			v[n++] =
			    (struct tls_user){c->connectors[i].name, support(&c->connectors[i])};
	for (i = 0; i < c->npeers; i++)
		if (c->peers[i].profile == p && c->peers[i].tls != CONF_TLS_NONE)
			v[n++] = (struct tls_user){c->peers[i].name, "peer"};
	return n;
}

int
verb_tls_profiles(struct gwctl *t, int argc, char *argv[])
{
	static const char *const heads[] = {"PROFILE", "TLS", "PFS", "CLIENTS", "OCSP", "STAPLING",
	    "TICKETS", "VERIFY", "USED BY", NULL};
	static const char *const yes[] = {"no", "yes"};
	struct tls_profile v;
	struct tls_user users[3 * CONF_SECTIONS_MAX];
	char text[USERS_TEXT];
	const struct conf *c;
	struct out o;
	size_t i, n;
	int rc;

	if (begin(&o, argc, argv, "profiles", heads) == -1)
		return EX_USAGE;
	if ((rc = gwctl_conf(t)) != 0)
		return rc;
	for (c = t->conf, i = 0; i < c->nprofiles; i++) {
		const struct conf_profile *p = &c->profiles[i];

		n = profile_users(c, p, users);
		v = (struct tls_profile){.profile = p->name,
		    .min_version = conf_word(CONF_S_PROFILE, p, "min_version"),
		    .pfs = p->pfs != 0,
		    .client_certificate = conf_word(CONF_S_PROFILE, p, "client_certificate"),
		    .ocsp = conf_word(CONF_S_PROFILE, p, "ocsp"),
		    .stapling = p->stapling != 0,
		    .tickets = p->tickets != 0,
		    .verify = conf_word(CONF_S_PROFILE, p, "verify"),
		    .users = {users, n}};
		row(&o, &rec_tls_profile, &v,
		    (const char *const[]){v.profile, v.min_version, yes[v.pfs],
			v.client_certificate, v.ocsp, yes[v.stapling], yes[v.tickets], v.verify,
			users_text(text, users, n)});
	}
	return end(&o);
}

int
verb_tls_connectors(struct gwctl *t, int argc, char *argv[])
{
	static const char *const heads[] = {
	    "CONNECTOR", "SERVICE", "TLS", "ACTION", "DOES", "PROFILE", "CERTIFICATES", NULL};
	struct tls_connector v;
	struct tls_file files[CONF_LIST_MAX];
	char text[USERS_TEXT];
	const struct conf *c;
	struct out o;
	size_t i, k, used;
	int rc;

	if (begin(&o, argc, argv, "connectors", heads) == -1)
		return EX_USAGE;
	if ((rc = gwctl_conf(t)) != 0)
		return rc;
	for (c = t->conf, i = 0; i < c->nconnectors; i++) {
		const struct conf_connector *x = &c->connectors[i];

		text[0] = '\0';
		for (used = k = 0; k < x->chains.n && k < CONF_LIST_MAX; k++) {
			files[k].path = x->chains.v[k];
			if (used < sizeof text)
				used += (size_t)snprintf(text + used, sizeof text - used, "%s%s",
				    k > 0 ? ", " : "", shown(x->chains.v[k]));
		}
		v = (struct tls_connector){.connector = x->name,
		    .service = conf_word(CONF_S_CONNECTOR, x, "service"),
		    .tls = support(x),
		    .action = x->action_name,
		    .does = does(x),
		    .profile = x->tls != CONF_SUPPORT_DISABLED ? x->profile->name : "",
		    .shows = shows(x),
		    .certificates = {files, k}};
		if (k == 0 && v.shows[0] != '\0')
			(void)snprintf(text, sizeof text, "(%s)", v.shows);
		row(&o, &rec_tls_connector, &v,
		    (const char *const[]){
			v.connector, v.service, v.tls, v.action, v.does, v.profile, text});
	}
	return end(&o);
}
