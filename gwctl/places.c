/* status: connectors and peers as the configuration has them, with what the proxies say of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "gwctl/status.h"

static const char *const services[] = {[CONF_SMTP] = "smtp",
    [CONF_POP3] = "pop3",
    [CONF_MX] = "mx",
    [CONF_RELAY] = "relay",
    [CONF_SUBMISSION] = "submission"};
static const char *const modes[] = {
    [CONF_TLS_NONE] = "none", [CONF_TLS_STARTTLS] = "starttls", [CONF_TLS_IMPLICIT] = "implicit"};
static const char *const ways[] = {[CONF_TRANSPARENT_NO] = "no",
    [CONF_TRANSPARENT_REDIRECT] = "redirect",
    [CONF_TRANSPARENT_TPROXY] = "tproxy"};

/* Is this fact about name?  Then what follows behind the name and a blank. */
static const char *
about(const struct fact *f, const char *name)
{
	size_t n = strlen(name);

	return strncmp(f->value, name, n) == 0 && f->value[n] == ' ' ? f->value + n + 1 : NULL;
}

/* "NAME sessions=N" of all proxies. */
static uint64_t
sessions_of(const struct status *st, const char *connector)
{
	const struct fact *f;
	const char *p;
	uint64_t n = 0;
	size_t i;

	for (i = 0; i < st->s.daemons.n; i++) {
		const struct shown_daemon *d = &st->daemons[i];

		for (f = NULL; status_is_proxy(d) && (f = status_fact(d, "connector", f)) != NULL;)
			if ((p = about(f, connector)) != NULL && strncmp(p, "sessions=", 9) == 0)
				n += strtoull(p + 9, NULL, 10);
	}
	return n;
}

/* The end of a certificate: "PATH: ends on 2027-01-31", or "ENDED on ...". */
static void
end_of(const struct status *st, struct shown_tls_cert *c, char out[DATE_TEXT])
{
	size_t i, n = strlen(c->file);
	const struct fact *f;
	const char *p;

	for (i = 0; i < st->s.daemons.n; i++)
		for (f = NULL; (f = status_fact(&st->daemons[i], "tls.certificate", f)) != NULL;)
			if (strncmp(f->value, c->file, n) == 0 && f->value[n] == ':' &&
			    (p = strrchr(f->value, ' ')) != NULL) {
				(void)strlcpy(out, p + 1, DATE_TEXT);
				c->ended = strstr(f->value + n, ": ENDED") != NULL;
			}
	c->end = out;
}

static void
add_certificates(struct status *st, const struct conf_connector *k)
{
	struct shown_tls_cert *c;
	size_t i, j, *n = &st->s.tls_certificates.n;

	for (i = 0; i < k->chains.n && *n < STATUS_CERTIFICATES_MAX; i++) {
		for (j = 0; j < *n && strcmp(st->certificates[j].file, k->chains.v[i]) != 0; j++)
			continue;
		if (j < *n)
			continue;
		c = &st->certificates[j];
		*c = (struct shown_tls_cert){.file = k->chains.v[i], .connector = k->name};
		end_of(st, c, st->certificate_ends[(*n)++]);
	}
}

/* A number behind " KEY=" in the text. */
static uint64_t
number_at(const char *s, const char *key)
{
	const char *p = strstr(s, key);

	return p != NULL ? strtoull(p + strlen(key), NULL, 10) : 0;
}

/* "NAME up=MS down=MS tls=VERSION error=TEXT": the newest of what several processes say counts. */
static void
outcome_of(const struct status *st, struct shown_peer *p, struct status_text *text)
{
	uint64_t up = 0, down = 0, ms;
	const struct fact *f;
	const char *v, *x;
	size_t i;

	for (i = 0; i < st->s.daemons.n; i++)
		for (f = NULL; (f = status_fact(&st->daemons[i], "peer", f)) != NULL;) {
			if ((v = about(f, p->peer)) == NULL)
				continue;
			if ((ms = number_at(v, "up=")) > up) {
				up = ms;
				x = strstr(v, " tls=");
				(void)snprintf(text->tls, sizeof text->tls, "%.*s",
				    x != NULL ? (int)strcspn(x + 5, " ") : 0,
				    x != NULL ? x + 5 : "");
			}
			if ((ms = number_at(v, " down=")) > down) {
				down = ms;
				x = strstr(v, " error=");
				(void)strlcpy(
				    text->error, x != NULL ? x + 7 : "", sizeof text->error);
			}
		}
	if (up >= down)
		text->error[0] = '\0';
	p->state = up == 0 && down == 0 ? "unknown" : up >= down ? "up" : "down";
	p->last_up = up / 1000;
	p->last_down = down / 1000;
	p->tls_version = text->tls;
	p->error = text->error;
}

static const char *
server_of(const struct conf_peer *p, struct status_text *text)
{
	struct hostport hp;

	(void)strlcpy(hp.host, p->host, sizeof hp.host);
	hp.port = (uint16_t)p->port;
	return hostport_format(text->server, sizeof text->server, &hp);
}

static void
add_connector(struct status *st, const struct conf_connector *k, const struct conf_listener *l,
    struct status_text *text)
{
	struct shown_connector *to = &st->connectors[st->s.connectors.n++];

	*to = (struct shown_connector){
	    .connector = k->name,
	    .service = services[k->service],
	    .listen = netaddr_format(text->listen, sizeof text->listen, ':', &l->addr),
	    .client_tls = modes[l->tls],
	    .sessions = sessions_of(st, k->name),
	    .transparent = ways[k->transparent],
	    .peer = "",
	    .server = "",
	    .tls = "",
	};
	if (k->peer != NULL) {
		to->peer = k->peer->name;
		to->server = server_of(k->peer, text);
		to->tls = modes[k->peer->tls];
	}
}

static int
make_room(struct status *st, const struct conf *c)
{
	size_t i, n = 0, chains = 0;

	for (i = 0; i < c->nconnectors; i++) {
		n += c->connectors[i].nbound;
		chains += c->connectors[i].chains.n;
	}
	st->connectors = calloc(n + 1, sizeof *st->connectors);
	st->certificates = calloc(chains + 1, sizeof *st->certificates);
	st->certificate_ends = calloc(chains + 1, sizeof *st->certificate_ends);
	st->peers = calloc(c->npeers + 1, sizeof *st->peers);
	st->texts = calloc(n + c->npeers + 1, sizeof *st->texts);
	if (st->connectors == NULL || st->certificates == NULL || st->certificate_ends == NULL ||
	    st->peers == NULL || st->texts == NULL)
		return complain(EX_OSERR, "out of memory");
	st->s.connectors.v = st->connectors;
	st->s.tls_certificates.v = st->certificates;
	st->s.peers.v = st->peers;
	return 0;
}

/* The configuration's; what is running may be older, until a reload. */
int
status_places(struct status *st, const struct conf *c)
{
	const struct conf_connector *k;
	struct status_text *text;
	size_t i;

	if (c == NULL) /* -r was given instead */
		return 0;
	if (make_room(st, c) != 0)
		return EX_OSERR;
	text = st->texts;
	for (k = c->connectors; k < c->connectors + c->nconnectors; k++) {
		for (i = 0; i < k->nbound; i++)
			add_connector(st, k, &k->bound[i], text++);
		add_certificates(st, k);
		if (k->transparent != CONF_TRANSPARENT_NO && k->inspect == CONF_TLS_INSPECT &&
		    k->tls != CONF_SUPPORT_DISABLED && st->minting == NULL)
			st->minting = k->name;
	}
	for (i = 0; i < c->npeers; i++, text++) {
		const struct conf_peer *x = &c->peers[i];
		struct shown_peer *p = &st->peers[st->s.peers.n++];

		*p = (struct shown_peer){.peer = x->name,
		    .service = services[x->service],
		    .server = server_of(x, text),
		    .tls = modes[x->tls]};
		outcome_of(st, p, text);
	}
	return 0;
}
