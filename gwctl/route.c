/* route list, test. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sysexits.h>

#include "conf/table.h"
#include "gwctl/gwctl.h"

#define TEST_MS 70000 /* names of many servers may be slow, each up to half a minute */
#define LIST_TEXT 1024 /* octets of a cell */

#define REC_ROUTE_VALUE(F, L) F(STR, value, 0, 500)
#define REC_ROUTE_INFO(F, L)                                                                       \
	F(STR, route, 0, 64)                                                                       \
	L(route_value, domains, 0, CONF_LIST_MAX)                                                  \
	L(route_value, servers, 0, CONF_LIST_MAX)                                                  \
	L(route_value, fallback, 0, CONF_LIST_MAX)                                                 \
	F(STR, protocol, 0, 16)                                                                    \
	F(STR, tls, 0, 16)                                                                         \
	F(U8, implicit, 0, 1)                                                                      \
	F(U8, dane, 0, 1)                                                                          \
	F(U8, mta_sts, 0, 1)                                                                       \
	F(STR, profile, 0, 64)                                                                     \
	F(STR, login, 0, 255)                                                                      \
	F(U64, concurrency, 0, UINT64_MAX)                                                         \
	F(U64, reuse, 0, UINT64_MAX)                                                               \
	F(U64, timeout, 0, UINT64_MAX)
#define REC_ROUTE_TRIAL(F, L)                                                                      \
	F(STR, domain, 0, 255)                                                                     \
	F(U8, ok, 0, 1)                                                                            \
	L(route_value, lines, 0, 64)

REC_DECLARE(route_value, REC_ROUTE_VALUE)
REC_DECLARE(route_info, REC_ROUTE_INFO)
REC_DECLARE(route_trial, REC_ROUTE_TRIAL)
REC_DEFINE(route_value, REC_ROUTE_VALUE)
REC_DEFINE(route_info, REC_ROUTE_INFO)
REC_DEFINE(route_trial, REC_ROUTE_TRIAL)

/* ---- list ---- */

static size_t
values(struct route_value *out, const struct conf_strings *from)
{
	size_t i;

	for (i = 0; i < from->n && i < CONF_LIST_MAX; i++)
		out[i].value = from->v[i];
	return i;
}

static const char *
joined(char out[LIST_TEXT], const struct conf_strings *v, const char *none)
{
	size_t i;

	(void)strlcpy(out, v->n == 0 ? none : "", LIST_TEXT);
	for (i = 0; i < v->n; i++) {
		(void)strlcat(out, i > 0 ? ", " : "", LIST_TEXT);
		(void)strlcat(out, shown(v->v[i]), LIST_TEXT);
	}
	return out;
}

/* "may, dane, mta-sts" */
static const char *
tls_text(char out[LIST_TEXT], const struct conf_route *r)
{
	int on = r->tls != CONF_ROUTE_TLS_NONE;

	(void)snprintf(out, LIST_TEXT, "%s%s%s%s", conf_word(CONF_S_ROUTE, r, "tls"),
	    on && r->implicit ? ", implicit" : "",
	    on && r->dane && r->tls != CONF_ROUTE_TLS_DANE ? ", dane" : "",
	    r->mta_sts && (r->tls == CONF_ROUTE_TLS_MAY || r->tls == CONF_ROUTE_TLS_ENCRYPT)
		? ", mta_sts"
		: "");
	return out;
}

static void
put_json(struct json_list *list, const struct conf_route *r)
{
	static struct route_value domains[CONF_LIST_MAX], servers[CONF_LIST_MAX],
	    fallback[CONF_LIST_MAX];
	const struct route_info v = {
	    .route = r->name,
	    .domains = {domains, values(domains, &r->domains)},
	    .servers = {servers, values(servers, &r->servers)},
	    .fallback = {fallback, values(fallback, &r->fallback)},
	    .protocol = conf_word(CONF_S_ROUTE, r, "protocol"),
	    .tls = conf_word(CONF_S_ROUTE, r, "tls"),
	    .implicit = r->implicit != 0,
	    .dane = r->dane != 0,
	    .mta_sts = r->mta_sts != 0,
	    .profile = r->profile_name,
	    .login = r->login,
	    .concurrency = r->concurrency,
	    .reuse = r->reuse,
	    .timeout = r->timeout,
	};

	json_list_item(list, &rec_route_info, &v);
}

int
verb_route_list(struct gwctl *t, int argc, char *argv[])
{
	static const char *const heads[] = {
	    "ROUTE", "PROTOCOL", "TLS", "SERVERS", "FALLBACK", "DOMAINS", NULL};
	char servers[LIST_TEXT], fallback[LIST_TEXT], domains[LIST_TEXT], tls[LIST_TEXT];
	const struct conf_route *r;
	struct json_list list;
	struct table table;
	int rc, how = list_options(argc, argv);

	if (how == -1)
		return EX_USAGE;
	if ((rc = gwctl_conf(t)) != 0)
		return rc;
	if (how == LIST_JSON)
		json_list_begin(&list, "routes");
	else if (how == LIST_TABLE)
		table_begin(&table, heads);
	for (r = t->conf->routes; r < t->conf->routes + t->conf->nroutes; r++) {
		if (how == LIST_JSON)
			put_json(&list, r);
		else if (how == LIST_TABLE)
			table_row(&table,
			    (const char *const[]){r->name, conf_word(CONF_S_ROUTE, r, "protocol"),
				tls_text(tls, r), joined(servers, &r->servers, "(MX)"),
				joined(fallback, &r->fallback, ""),
				joined(domains, &r->domains, "")});
		else
			(void)printf("%s\n", r->name);
	}
	if (how == LIST_JSON)
		return json_list_end(&list);
	return how == LIST_TABLE ? table_end(&table) : 0;
}

/* ---- test ---- */

/* What stands behind the last @, in lower case, without a final dot. 0, or -1: that is no domain.
 */
static int
domain_text(const char *s, char *out, size_t outsz)
{
	const char *at = strrchr(s, '@');
	size_t i, n;

	n = strlcpy(out, at != NULL ? at + 1 : s, outsz);
	if (n == 0 || n >= outsz)
		return -1;
	if (n > 1 && out[n - 1] == '.')
		out[--n] = '\0';
	if (out[0] == '[')
		return out[n - 1] == ']' ? 0 : -1;
	for (i = 0; i < n; i++)
		if (out[i] >= 'A' && out[i] <= 'Z')
			out[i] = (char)(out[i] - 'A' + 'a');
	return host_valid(out) ? 0 : -1;
}

static int
print_trial(const char *domain, const struct route_test_rep *rep, int json)
{
	struct route_value lines[64];
	struct route_trial v = {.domain = domain, .ok = rep->ok, .lines = {lines, rep->lines.n}};
	size_t i;
	int rc = 0;

	for (i = 0; i < rep->lines.n; i++) {
		lines[i].value = rep->lines.v[i].text;
		if (!json)
			(void)printf("%s\n", shown(rep->lines.v[i].text));
	}
	if (json)
		rc = json_print(&rec_route_trial, &v);
	if (rc == 0 && rep->lines.n == 0)
		return complain(EX_TEMPFAIL, "deliverd is busy; try again");
	/* Scripts see by the code whether mail could go there. */
	return rc != 0 ? rc : rep->ok ? EX_OK : EX_NOHOST;
}

int
verb_route_test(struct gwctl *t, int argc, char *argv[])
{
	static const struct option longs[] = {
	    {"json", no_argument, NULL, 'j'},
	    {NULL, 0, NULL, 0},
	};
	struct ipc deliverd = {.fd = -1};
	struct route_test_req q;
	char domain[256];
	struct ipc_msg m;
	struct err e = {0};
	int c, rc, json = 0;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c != 'j')
			return complain_usage();
		json = 1;
	}
	if (argc - optind != 1)
		return complain_usage();
	if (domain_text(argv[optind], domain, sizeof domain) == -1)
		return complain(EX_DATAERR, "'%s' is no domain", shown(argv[optind]));
	if ((rc = gwctl_master(t)) != 0)
		return rc;
	if (control_channel(&t->master, P_DELIVERD, 0, &deliverd, &e) == -1)
		return complain_err(&e);
	q.domain = domain;
	if (control_call(&deliverd, M_route_test_req, &q, M_route_test_rep, &m, TEST_MS, &e) == -1)
		rc = complain_err(&e);
	else {
		rc = print_trial(domain, m.body, json);
		ipc_done(&deliverd, &m);
	}
	ipc_close(&deliverd);
	return rc;
}
