/* Routes at work: what a configuration says of them, as deliveries need it. */
#include "deliverd/route.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/enc.h"
#include "net/tls.h"
#include "proc/proc.h"
#include "proxy/profile.h"

/* All of one configuration; contexts are shared by routes with the same profile. */
struct set {
	struct route **v;
	size_t n;
};

static struct set current, prepared;

static void
route_free(struct route *r)
{
	size_t i;

	tls_ctx_free(r->ctx);
	for (i = 0; i < r->nnames; i++)
		free(r->names[i]);
	free(r->names);
	free(r->servers);
	free(r->fallback);
	free(r->prints);
	freezero(r, sizeof *r);
}

void
route_drop(struct route *r)
{
	if (r != NULL && --r->refs == 0)
		route_free(r);
}

struct route *
route_keep(struct route *r)
{
	r->refs++;
	return r;
}

static void
set_free(struct set *s)
{
	size_t i;

	for (i = 0; i < s->n; i++) {
		s->v[i]->old = true;
		route_drop(s->v[i]);
	}
	free(s->v);
	memset(s, 0, sizeof *s);
}

/* ---- made of the configuration ---- */

static int
take_servers(struct conf_server **out, size_t *n, const struct conf_strings *from)
{
	size_t i;

	*n = 0;
	if (from->n == 0)
		return 0;
	if ((*out = calloc(from->n, sizeof **out)) == NULL)
		return -1;
	for (i = 0; i < from->n; i++)
		if (conf_server_parse(from->v[i], &(*out)[*n]) == 0)
			++*n;
	return 0;
}

static int
take_profile(struct route *r, const struct conf_profile *p)
{
	size_t i;

	if (p->names.n > 0 && (r->names = calloc(p->names.n, sizeof *r->names)) == NULL)
		return -1;
	for (i = 0; i < p->names.n; i++, r->nnames++)
		if ((r->names[i] = strdup(p->names.v[i])) == NULL)
			return -1;
	if (p->verify != CONF_VERIFY_FINGERPRINT || p->fingerprints.n == 0)
		return 0;
	if ((r->prints = calloc(p->fingerprints.n, sizeof *r->prints)) == NULL)
		return -1;
	for (i = 0; i < p->fingerprints.n; i++)
		if (hex_decode(r->prints[r->nprints], sizeof *r->prints, p->fingerprints.v[i],
			strlen(p->fingerprints.v[i])) == sizeof *r->prints)
			r->nprints++;
	return 0;
}

/* The first line of the file. 0, or -1 with e. */
static int
take_password(struct route *r, const struct conf_route *c, struct err *e)
{
	const uint8_t *text, *end;
	size_t n;

	if (c->login[0] == '\0')
		return 0;
	if (strlcpy(r->login, c->login, sizeof r->login) >= sizeof r->login)
		return err_set(e, EINVAL, "route %s: login has more than %zu octets", c->name,
		    sizeof r->login - 1);
	if ((text = proc_file(c->password_file, &n)) == NULL)
		return err_set(e, ENOENT, "route %s: password_file: %s is not there", c->name,
		    c->password_file);
	if ((end = memchr(text, '\n', n)) != NULL)
		n = (size_t)(end - text);
	if (n > 0 && text[n - 1] == '\r')
		n--;
	if (n == 0 || n >= sizeof r->password || memchr(text, '\0', n) != NULL)
		return err_set(e, EINVAL,
		    "route %s: password_file: the first line of %s must have 1 to %zu octets",
		    c->name, c->password_file, sizeof r->password - 1);
	memcpy(r->password, text, n);
	r->password[n] = '\0';
	return 0;
}

/* A context for the profile, or the one that another route has made of it. 0, or -1 with e. */
static int
take_ctx(struct route *r, const struct conf *c, const struct conf_route *k,
    const struct set *so_far, struct err *e)
{
	const struct conf_profile *p = k->profile;
	struct profile_options o;
	const uint8_t *pem;
	struct err why;
	size_t i, n = 0;

	if (r->tls == CONF_ROUTE_TLS_NONE)
		return 0;
	/* so_far->v[0] has the profile "default". */
	for (i = 0; i < so_far->n; i++) {
		const char *theirs = i == 0 ? "default" : c->routes[i - 1].profile->name;

		if (so_far->v[i]->ctx == NULL || strcmp(theirs, p->name) != 0)
			continue;
		r->ctx = tls_ctx_keep(so_far->v[i]->ctx);
		return 0;
	}
	pem = proc_file(p->ca_file, &n);
	if (pem == NULL && r->tls == CONF_ROUTE_TLS_VERIFY && r->nprints == 0)
		return err_set(e, ENOENT, "route %s: tls_profile %s: ca_file: %s is not there",
		    k->name, p->name, p->ca_file);
	profile_options(&o, p, NULL);
	if ((r->ctx = tls_client_ctx(&o.o, pem, n, p->ca_file, &why)) == NULL)
		return err_set(
		    e, why.code, "route %s: tls_profile %s: %s", k->name, p->name, why.text);
	return 0;
}

static struct route *
make(const struct conf *c, const struct conf_route *k, const struct set *so_far, struct err *e)
{
	struct route *r = calloc(1, sizeof *r);

	if (r == NULL)
		goto no_memory;
	r->refs = 1;
	(void)strlcpy(r->name, k->name, sizeof r->name);
	r->protocol = k->protocol;
	r->tls = k->tls;
	r->implicit = k->implicit && k->tls != CONF_ROUTE_TLS_NONE;
	r->dane = k->dane;
	r->mta_sts = k->mta_sts;
	r->reuse_ms = (uint32_t)k->reuse * 1000;
	r->timeout_ms = (uint32_t)k->timeout * 1000;
	if (take_servers(&r->servers, &r->nservers, &k->servers) == -1 ||
	    take_servers(&r->fallback, &r->nfallback, &k->fallback) == -1 ||
	    take_profile(r, k->profile) == -1)
		goto no_memory;
	if (take_password(r, k, e) == 0 && take_ctx(r, c, k, so_far, e) == 0)
		return r;
	route_free(r);
	return NULL;
no_memory:
	(void)err_set(e, ENOMEM, "no memory for routes");
	if (r != NULL)
		route_free(r);
	return NULL;
}

/* What counts for domains that no route is about: the defaults of a route. */
static struct route *
make_usual(const struct conf *c, struct err *e)
{
	static char none[] = "";
	const struct conf_route usual = {
	    .name = none,
	    .protocol = CONF_PROTO_SMTP,
	    .tls = CONF_ROUTE_TLS_MAY,
	    .dane = 1,
	    .mta_sts = 1,
	    .profile = conf_profile_find(c, "default"),
	    .login = none,
	    .password_file = none,
	    .reuse = 5,
	    .timeout = 60,
	};

	return make(c, &usual, &prepared, e);
}

int
route_prepare(const struct conf *c, struct err *e)
{
	struct route *r;
	size_t i;

	set_free(&prepared);
	if ((prepared.v = calloc(c->nroutes + 1, sizeof(struct route *))) == NULL)
		return err_set(e, ENOMEM, "no memory for routes");
	if ((r = make_usual(c, e)) == NULL)
		goto failed;
	prepared.v[prepared.n++] = r;
	for (i = 0; i < c->nroutes; i++) {
		if ((r = make(c, &c->routes[i], &prepared, e)) == NULL)
			goto failed;
		prepared.v[prepared.n++] = r;
	}
	return 0;
failed:
	set_free(&prepared);
	return -1;
}

void
route_commit(void)
{
	struct set old = current;

	current = prepared;
	memset(&prepared, 0, sizeof prepared);
	set_free(&old);
}

void
route_clear(void)
{
	set_free(&prepared);
	set_free(&current);
}

/* ---- asked for ---- */

struct route *
route_get(const char *name)
{
	size_t i;

	for (i = 0; i < current.n; i++)
		if (strcmp(current.v[i]->name, name) == 0)
			return route_keep(current.v[i]);
	return NULL;
}

struct route *
route_of(const char *domain)
{
	const struct conf_route *k = conf_route_of(proc_env()->conf, domain);

	return route_get(k != NULL ? k->name : "");
}

const struct route *
route_at(size_t i)
{
	return i < current.n ? current.v[i] : NULL;
}

uint16_t
route_port(const struct route *r)
{
	if (r->protocol == CONF_PROTO_LMTP)
		return 24;
	return r->implicit ? 465 : 25;
}

const char *
route_expects(const struct route *r, const char *host)
{
	size_t i, n = strlen(host);

	for (i = 0; i < r->nnames; i++)
		if (strncasecmp(r->names[i], host, n) == 0 && r->names[i][n] == '=')
			return r->names[i] + n + 1;
	return NULL;
}
