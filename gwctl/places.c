/* status: connectors and peers as the configuration has them, with what the proxies say of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "gwctl/status.h"

static const char *const services[] = {[CONF_SMTP] = "smtp", [CONF_POP3] = "pop3"};
static const char *const modes[] = {
    [CONF_TLS_NONE] = "none", [CONF_TLS_STARTTLS] = "starttls", [CONF_TLS_IMPLICIT] = "implicit"};

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

/* The end of a connector's certificate: "PATH: ends on 2027-01-31", or "ENDED on ...". */
static void
end_of(const struct status *st, struct shown_connector *c, char out[DATE_TEXT])
{
	const char *path = c->certificate;
	size_t i, n = strlen(path);
	const struct fact *f;
	const char *p;

	out[0] = '\0';
	for (i = 0; n > 0 && i < st->s.daemons.n; i++)
		for (f = NULL; (f = status_fact(&st->daemons[i], "tls.certificate", f)) != NULL;)
			if (strncmp(f->value, path, n) == 0 && f->value[n] == ':' &&
			    (p = strrchr(f->value, ' ')) != NULL) {
				(void)strlcpy(out, p + 1, DATE_TEXT);
				c->certificate_ended = strstr(f->value + n, ": ENDED") != NULL;
			}
	c->certificate_end = out;
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

/* The configuration's; what is running may be older, until a reload. */
int
status_places(struct status *st, const struct conf *c)
{
	struct status_text *text;
	size_t i, k, n = 0;

	if (c == NULL) /* -r was given instead */
		return 0;
	for (i = 0; i < c->nconnectors; i++)
		n += c->connectors[i].listen.n;
	st->connectors = calloc(n + 1, sizeof *st->connectors);
	st->peers = calloc(c->npeers + 1, sizeof *st->peers);
	text = st->texts = calloc(n + c->npeers + 1, sizeof *st->texts);
	if (st->connectors == NULL || st->peers == NULL || text == NULL)
		return complain(EX_OSERR, "out of memory");
	st->s.connectors.v = st->connectors;
	st->s.peers.v = st->peers;
	for (i = 0; i < c->nconnectors; i++)
		for (k = 0; k < c->connectors[i].listen.n; k++, text++) {
			const struct conf_connector *x = &c->connectors[i];
			struct shown_connector *to = &st->connectors[st->s.connectors.n++];

			*to = (struct shown_connector){
			    .connector = x->name,
			    .service = services[x->service],
			    .listen = netaddr_format(
				text->listen, sizeof text->listen, ':', &x->listen.v[k]),
			    .client_tls = modes[x->tls],
			    .certificate = x->certificate,
			    .sessions = sessions_of(st, x->name),
			    .peer = x->peer->name,
			    .server = server_of(x->peer, text),
			    .tls = modes[x->peer->tls],
			};
			end_of(st, to, text->end);
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
