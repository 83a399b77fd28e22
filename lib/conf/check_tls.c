/* TLS: profiles and actions, what peers and connectors make of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "conf/load.h"

#define CHAIN_PATH_MAX 1023 /* octets; what M_config_file takes */

/* In clear, and with TLS from the first octet on. */
static const uint16_t peer_ports[][2] = {[CONF_SMTP] = {25, 465}, [CONF_POP3] = {110, 995}};

static int
filled(const char *s)
{
	return s != NULL && *s != '\0';
}

static const struct conf_profile *
default_profile(const struct conf_load *l)
{
	return conf_profile_find(l->c, "default");
}

static const struct conf_profile *
find_profile(struct conf_load *l, const char *name, const struct scan_section *at)
{
	const struct conf_profile *p;

	if (!filled(name))
		return default_profile(l);
	if ((p = conf_profile_find(l->c, name)) != NULL)
		return p;
	conf_error(&l->errs, conf_line(at, "profile"),
	    "profile = %s: there is no such TLS profile; add a section tls_profile \"%s\"", name,
	    name);
	return default_profile(l);
}

/* ---- profiles and actions ---- */

static size_t
asked_length(const char *pair)
{
	return strcspn(pair, "=");
}

const char *
conf_profile_expects(const struct conf_profile *p, const char *asked)
{
	const char *pair;
	size_t i, n;

	for (i = 0; i < p->names.n; i++) {
		pair = p->names.v[i];
		n = asked_length(pair);
		if (strlen(asked) == n && strncasecmp(pair, asked, n) == 0)
			return pair + n + 1;
	}
	return asked;
}

static void
check_names(struct conf_load *l, const struct conf_profile *p, const struct scan_section *at)
{
	size_t i, j, n;

	for (i = 0; i < p->names.n; i++)
		for (j = 0; j < i; j++) {
			n = asked_length(p->names.v[i]);
			if (n != asked_length(p->names.v[j]) ||
			    strncasecmp(p->names.v[i], p->names.v[j], n) != 0)
				continue;
			conf_error(&l->errs, conf_value_line(l, at, "names", i),
			    "names: %.*s stands twice, first in line %u: remove one", (int)n,
			    p->names.v[i], conf_value_line(l, at, "names", j));
			break;
		}
}

static void
check_profile(struct conf_load *l, const struct conf_profile *p, const struct scan_section *at)
{
	int none = p->client_certificate == CONF_CLIENT_CERT_NONE;

	if (at == NULL)
		return;
	if (!none && p->client_ca != NULL && *p->client_ca == '\0')
		conf_error(&l->errs, conf_line(at, "client_certificate"),
		    "client_certificate of tls_profile \"%s\": set client_ca = FILE, the "
		    "authorities of the clients' certificates",
		    p->name);
	if (none && filled(p->client_ca))
		conf_error(&l->errs, conf_line(at, "client_ca"),
		    "client_ca is for client_certificate = ask or require: set that, or remove it");
	if (p->min_version == CONF_TLS13 && filled(p->ciphers))
		conf_error(&l->warns, conf_line(at, "ciphers"),
		    "warning: ciphers are of TLS 1.2, which min_version = 1.3 leaves out: they do "
		    "not count");
	check_names(l, p, at);
}

void
conf_check_profiles(struct conf_load *l)
{
	const struct scan_section *at;
	struct conf_action *a;
	size_t i;

	for (i = 0; i < l->c->nprofiles; i++)
		check_profile(l, &l->c->profiles[i], l->titled[CONF_S_PROFILE][i]);
	for (i = 0; i < l->c->nactions; i++) {
		a = &l->c->actions[i];
		at = l->titled[CONF_S_ACTION][i];
		a->profile = find_profile(l, a->profile_name, at);
		if (a->tls == CONF_TLS_ALLOW && a->profile != default_profile(l))
			conf_error(&l->warns, conf_line(at, "profile"),
			    "warning: action \"%s\" passes TLS on untouched: its profile does not "
			    "count",
			    a->name);
	}
}

/* ---- peers ---- */

/* DANE stands on DNSSEC (RFC 6698), which with the system's anchor is a matter of luck. */
static void
check_anchor(struct conf_load *l, const char *peer, unsigned line)
{
	if (l->c->dns.trust_anchor == NULL || *l->c->dns.trust_anchor != '\0')
		return;
	conf_error(&l->warns, line,
	    "warning: peer \"%s\": verify = dane needs DNSSEC, and without dns.trust_anchor that "
	    "is done only where the system has an anchor and the name servers pass DNSSEC through",
	    peer);
}

static void
check_verify(struct conf_load *l, const struct conf_peer *p, const struct scan_section *at)
{
	unsigned line = conf_line(at, conf_given(at, "verify") ? "verify" : "profile");
	struct netaddr a;

	if (p->verify != CONF_VERIFY_FINGERPRINT && p->fingerprints.n > 0)
		conf_error(&l->errs, conf_line(at, "fingerprints"),
		    "fingerprints are for verify = fingerprint: set that, or remove them");
	if (p->tls == CONF_TLS_NONE || p->host == NULL)
		return;
	if (p->verify == CONF_VERIFY_FINGERPRINT && p->fingerprints.n == 0 &&
	    conf_count(at, "fingerprints") == 0)
		conf_error(&l->errs, line,
		    "peer \"%s\": verify = fingerprint without fingerprints: add them", p->name);
	if (p->verify != CONF_VERIFY_DANE)
		return;
	check_anchor(l, p->name, line);
	if (netaddr_parse_host(p->host, &a) == 0)
		conf_error(&l->errs, line,
		    "peer \"%s\" at %s: verify = dane looks the name of the host up: write host "
		    "as a name",
		    p->name, p->host);
}

/* Whoever speaks for a mail server can log in as its users. */
static void
check_wire(struct conf_load *l, const struct conf_peer *p, const struct scan_section *at)
{
	if (p->host == NULL || host_is_loopback(p->host))
		return;
	if (p->tls == CONF_TLS_NONE)
		conf_error(&l->errs, conf_line(at, "tls"),
		    "peer \"%s\" at %s would get logins in clear: set tls = starttls or implicit",
		    p->name, p->host);
	else if (p->verify == CONF_VERIFY_NONE)
		conf_error(&l->errs, conf_line(at, conf_given(at, "verify") ? "verify" : "profile"),
		    "peer \"%s\" at %s would not be verified: set verify = ca (ca_file and "
		    "server_name say what to trust), fingerprint or dane",
		    p->name, p->host);
}

void
conf_complete_peer(struct conf_load *l, struct conf_peer *p, const struct scan_section *at)
{
	const uint16_t *ports = peer_ports[p->service];
	const struct conf_profile *f;
	size_t i;

	f = p->profile = find_profile(l, p->profile_name, at);
	if (p->port == 0)
		p->port = ports[p->tls == CONF_TLS_IMPLICIT];
	if (p->tls_port == 0)
		p->tls_port = p->tls == CONF_TLS_IMPLICIT ? p->port : ports[1];
	if (p->verify == CONF_VERIFY_DEFAULT)
		p->verify = f->verify;
	if (p->server_name == NULL && p->host != NULL && (p->server_name = strdup(p->host)) == NULL)
		conf_no_memory(l);
	if (p->ca_file == NULL && f->ca_file != NULL && (p->ca_file = strdup(f->ca_file)) == NULL)
		conf_no_memory(l);
	if (p->verify == CONF_VERIFY_FINGERPRINT && p->fingerprints.n == 0)
		for (i = 0; i < f->fingerprints.n; i++)
			if (conf_strings_add(&p->fingerprints, f->fingerprints.v[i]) == -1)
				conf_no_memory(l);
	check_verify(l, p, at);
	check_wire(l, p, at);
}

/* ---- connectors ---- */

void
conf_complete_action(struct conf_load *l, struct conf_connector *k, const struct scan_section *at)
{
	const struct conf_action *a;

	k->inspect = CONF_TLS_INSPECT;
	k->profile = default_profile(l);
	if (!filled(k->action_name))
		return;
	if ((a = conf_action_find(l->c, k->action_name)) == NULL) {
		conf_error(&l->errs, conf_line(at, "action"),
		    "action = %s: there is no such action; add a section action \"%s\"",
		    k->action_name, k->action_name);
		return;
	}
	k->action = a;
	k->inspect = a->tls;
	k->profile = a->profile;
	/* One action of smtp does for all that speak it. */
	if (a->service != k->service && !(a->service == CONF_SMTP && conf_is_smtp(k->service)))
		conf_error(&l->errs, conf_line(at, "action"),
		    "action = %s: that action (line %u) is of service %s, connector \"%s\" of %s",
		    a->name, a->line, conf_word(CONF_S_ACTION, a, "service"), k->name,
		    conf_word(CONF_S_CONNECTOR, k, "service"));
	else if (a->tls == CONF_TLS_INSPECT && k->tls == CONF_SUPPORT_DISABLED)
		conf_error(&l->errs, conf_line(at, "tls"),
		    "connector \"%s\" has tls = disabled, and its action \"%s\" (line %u) "
		    "inspects TLS: set tls = enabled or required in every connector of that "
		    "action, or remove the action here",
		    k->name, a->name, a->line);
}

/* Certificates of our own are shown: TLS ends here, and it is us whom the client wanted. */
static int
shows_certificates(const struct conf_connector *k)
{
	return k->tls != CONF_SUPPORT_DISABLED && k->inspect == CONF_TLS_INSPECT &&
	       k->transparent == CONF_TRANSPARENT_NO;
}

static void
add_chain(struct conf_load *l, struct conf_connector *k, const char *value, unsigned line)
{
	char path[CHAIN_PATH_MAX + 2];
	size_t i;
	int n;

	if (*value == '/')
		n = snprintf(path, sizeof path, "%s", value);
	else
		n = snprintf(path, sizeof path, "%s/%s.pem",
		    l->c->node.tls_dir != NULL ? l->c->node.tls_dir : "", value);
	if (n > CHAIN_PATH_MAX) {
		conf_error(&l->errs, line, "certificates: the path of %s has more than %d octets",
		    value, CHAIN_PATH_MAX);
		return;
	}
	for (i = 0; i < k->chains.n; i++)
		if (strcmp(k->chains.v[i], path) == 0) {
			conf_error(&l->errs, line, "certificates: %s stands twice: remove one",
			    conf_show(path, strlen(path)));
			return;
		}
	if (conf_strings_add(&k->chains, path) == -1)
		conf_no_memory(l);
}

static void
complete_chains(struct conf_load *l, struct conf_connector *k, const struct scan_section *at)
{
	const struct scan_section *node = l->single[CONF_S_NODE], *from = at;
	const struct conf_strings *v = &k->certificates;
	size_t i;

	if (!shows_certificates(k)) {
		if (k->certificates.n > 0)
			conf_error(&l->warns, conf_line(at, "certificates"),
			    "warning: connector \"%s\" does not show its certificates: %s", k->name,
			    k->tls == CONF_SUPPORT_DISABLED ? "tls = disabled"
			    : k->inspect == CONF_TLS_ALLOW
				? "its action passes TLS on untouched"
				: "it is transparent, clients see minted ones");
		return;
	}
	if (conf_count(at, "certificates") == 0) {
		v = &l->c->node.certificates;
		from = node;
	}
	if (conf_count(from, "certificates") == 0)
		conf_error(&l->errs, conf_line(at, "tls"),
		    "connector \"%s\" offers TLS without a certificate: set certificates = NAME "
		    "or FILE, here or in section node (gwctl tls install NAME puts it there), or "
		    "tls = disabled",
		    k->name);
	for (i = 0; i < v->n; i++)
		add_chain(l, k, v->v[i], conf_value_line(l, from, "certificates", i));
}

static void
check_clients(struct conf_load *l, const struct conf_connector *k, const struct scan_section *at)
{
	enum conf_client_cert want =
	    k->inspect == CONF_TLS_INSPECT ? k->profile->client_certificate : CONF_CLIENT_CERT_NONE;
	int clear = k->tls == CONF_SUPPORT_DISABLED ||
		    (k->tls == CONF_SUPPORT_ENABLED && k->starttls == CONF_STARTTLS_OPTIONAL);
	int factor = k->second_factor == CONF_FACTOR_CERTIFICATE;

	if (k->tls == CONF_SUPPORT_DISABLED && k->starttls == CONF_STARTTLS_REQUIRED)
		conf_error(&l->errs, conf_line(at, "starttls"),
		    "connector \"%s\" requires TLS and offers none: set tls = enabled and "
		    "certificates, or remove starttls",
		    k->name);
	if (factor && want != CONF_CLIENT_CERT_REQUIRE)
		conf_error(&l->errs, conf_line(at, "second_factor"),
		    "second_factor = certificate: set action to one that inspects TLS, with a "
		    "tls_profile of client_certificate = require and client_ca = FILE");
	if (factor && clear)
		conf_error(&l->errs, conf_line(at, "second_factor"),
		    "second_factor = certificate: clients show one in TLS only: set tls = "
		    "required, or tls = enabled and starttls = required");
	if (!factor && clear && k->tls != CONF_SUPPORT_DISABLED && want == CONF_CLIENT_CERT_REQUIRE)
		conf_error(&l->warns, conf_line(at, "starttls"),
		    "warning: connector \"%s\" asks for certificates in TLS, and clients may do "
		    "without TLS: starttls = required has all show one",
		    k->name);
}

/* Foreign servers: a bad certificate must not become a good one of ours. */
static void
check_foreign(struct conf_load *l, const struct conf_connector *k, const struct scan_section *at)
{
	const struct conf_profile *p = k->profile;
	unsigned line = conf_line(at, conf_given(at, "action") ? "action" : "transparent");

	if (k->transparent == CONF_TRANSPARENT_NO || k->inspect != CONF_TLS_INSPECT ||
	    k->tls == CONF_SUPPORT_DISABLED)
		return;
	if (p->verify == CONF_VERIFY_NONE)
		conf_error(&l->errs, line,
		    "connector \"%s\" would show good certificates for foreign servers that were "
		    "not verified: set verify = ca in tls_profile \"%s\"",
		    k->name, p->name);
	else if (p->verify == CONF_VERIFY_FINGERPRINT && p->fingerprints.n == 0)
		conf_error(&l->errs, line,
		    "connector \"%s\": verify = fingerprint without fingerprints in tls_profile "
		    "\"%s\": add them",
		    k->name, p->name);
	else if (p->verify == CONF_VERIFY_DANE)
		conf_error(&l->errs, line,
		    "connector \"%s\": verify = dane wants the name of a host, and foreign "
		    "servers are known by their addresses: set verify = ca or fingerprint in "
		    "tls_profile \"%s\"",
		    k->name, p->name);
}

/* What does not happen to mail within TLS that is passed on. */
static void
check_allowed(struct conf_load *l, const struct conf_connector *k, const struct scan_section *at)
{
	unsigned line = conf_line(at, "action");
	size_t i;

	if (k->inspect != CONF_TLS_ALLOW || k->tls == CONF_SUPPORT_DISABLED)
		return;
	for (i = 0; i < k->nbound; i++)
		if (k->bound[i].tls == CONF_TLS_STARTTLS && k->peer != NULL &&
		    k->peer->tls == CONF_TLS_IMPLICIT) {
			conf_error(&l->errs, line,
			    "connector \"%s\": action \"%s\" passes a request for TLS on, and peer "
			    "\"%s\" (line %u) has TLS from the first octet only: set tls = "
			    "required here",
			    k->name, k->action->name, k->peer->name, k->peer->line);
			break;
		}
	if (k->service == CONF_SMTP)
		conf_error(&l->warns, line,
		    "warning: connector \"%s\": action \"%s\" passes TLS on untouched: mail in it "
		    "leaves as it came, also what policy wants encrypted",
		    k->name, k->action->name);
	if (k->second_factor == CONF_FACTOR_PASSWORD)
		conf_error(&l->warns, conf_line(at, "second_factor"),
		    "warning: connector \"%s\": logins within TLS are passed on untouched: they "
		    "need no second_factor",
		    k->name);
	if (k->banner)
		conf_error(&l->warns, conf_line(at, "banner"),
		    "warning: connector \"%s\": mail within TLS is passed on untouched: it gets no "
		    "banner",
		    k->name);
	if (k->sizes == CONF_SIZES_EXACT)
		conf_error(&l->warns, conf_line(at, "sizes"),
		    "warning: connector \"%s\": mail within TLS is passed on untouched: its sizes "
		    "are the peer's",
		    k->name);
	if (k->sign_by_address.n > 0)
		conf_error(&l->warns, conf_line(at, "sign_by_address"),
		    "warning: connector \"%s\": mail within TLS is passed on untouched: it is not "
		    "signed",
		    k->name);
}

void
conf_check_tls(struct conf_load *l, struct conf_connector *k, const struct scan_section *at)
{
	complete_chains(l, k, at);
	check_clients(l, k, at);
	check_foreign(l, k, at);
	check_allowed(l, k, at);
}
