/* The backend of the queue: what a client of mx, relay and submission is offered, and who it is. */
#include "smtpd/queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/enc.h"
#include "base/log.h"

#define NAME_MS 3000 /* milliseconds for the name of the client's address */

int
intake_new(struct session *s)
{
	struct intake *in = calloc(1, sizeof *in);

	if (in == NULL)
		return -1;
	in->designated = -1;
	s->intake = in;
	return 0;
}

void
intake_forget(struct session *s)
{
	s->intake->designated = -1;
	s->by_address = 0;
	chan_cancel(s->intake->ptr);
	s->intake->ptr = NULL;
}

/* --- the beginning --- */

static void
on_name(void *arg, struct ipc_msg *m, int error)
{
	const struct dns_ptr_rep *p = m != NULL ? m->body : NULL;
	struct session *s = arg;

	(void)error;
	s->intake->ptr = NULL;
	if (p != NULL && p->status == DNS_OK && host_valid(p->name))
		session_named(s, p->name);
	session_came(s);
	if (s->waiting && s->intake->step == Q_NAME)
		queue_go_on(s);
}

/* Where the gate looks it up, it has done so, or has waited long enough. */
static int
gate_names(const struct session *s)
{
	return s->gate != NULL && s->route->service == CONF_MX;
}

static void
ask_name(struct session *s)
{
	struct chan *c = proc_chan(P_DNSD, 0);
	struct dns_ptr_req q;
	struct netaddr a;

	if (c == NULL || netaddr_from_sockaddr(&a, (const struct sockaddr *)&s->from) == -1)
		return;
	q.ip = (struct bytes){a.addr, a.family == AF_INET ? 4 : 16};
	s->intake->ptr = chan_request(c, M_dns_ptr_req, &q, -1, NAME_MS, on_name, s);
}

static void
queue_open(struct session *s)
{
	if (!gate_names(s) && strcmp(s->name, "unknown") == 0)
		ask_name(s);
	/* Its name is in all lines about it, or in none. */
	if (s->intake->ptr == NULL)
		session_came(s);
	session_greet(s);
}

static unsigned
queue_features(const struct session *s)
{
	unsigned f = F_PIPELINING | F_SIZE | F_8BITMIME | F_SMTPUTF8 | F_DSN | F_ENHANCED |
		     F_CHUNKING | auth_offers(s);

	if (conn_is_tls(s->c))
		f |= F_REQUIRETLS;
	else if (s->route->client_tls == CONF_TLS_STARTTLS)
		f |= F_STARTTLS;
	if (xclient_offered(s))
		f |= F_XCLIENT;
	return f;
}

static uint64_t
queue_size(const struct session *s)
{
	return s->route->limits.message_size;
}

/* --- who may send --- */

static int
has_print(const struct conf_strings *prints, const uint8_t is[32])
{
	uint8_t one[32];
	size_t i;

	for (i = 0; i < prints->n; i++)
		if (hex_decode(one, sizeof one, prints->v[i], strlen(prints->v[i])) == 32 &&
		    memcmp(one, is, sizeof one) == 0)
			return 1;
	return 0;
}

static int
by_certificate(const struct session *s, const struct conf_connector *k)
{
	uint8_t cert[32], key[32];

	if (k->relay_certificates.n == 0 || conn_tls_client_prints(s->c, cert, key) == -1)
		return 0;
	return has_print(&k->relay_certificates, cert) || has_print(&k->relay_certificates, key);
}

/* By its address or certificate; then its mail is signed by address, too. */
static int
is_designated(struct session *s)
{
	const struct conf_connector *k = proxy_connector(s->route->connector);

	if (k == NULL || k->service != CONF_RELAY)
		return 0;
	return cidr_match(
		   k->relay_clients.v, k->relay_clients.n, (const struct sockaddr *)&s->from) ||
	       by_certificate(s, k);
}

int
queue_trusts(struct session *s)
{
	struct intake *in = s->intake;

	if (s->authed)
		return 1;
	if (in->designated == -1)
		in->designated = s->by_address = is_designated(s);
	return in->designated;
}

static int
queue_admit(struct session *s)
{
	if (s->route->service != CONF_SUBMISSION || s->authed)
		return 0;
	session_error(s, 530, "5.7.0 Authentication required");
	return -1;
}

/* --- the end --- */

static void
queue_reset(struct session *s)
{
	struct intake *in = s->intake;

	queue_stop(s);
	queue_message_free(in);
	in->logged = 0;
	s->qid[0] = '\0';
	if (s->route->service == CONF_MX)
		s->tenant[0] = '\0';
}

/* A client that begins TLS may show a certificate there. */
static void
queue_forget(struct session *s)
{
	envelope_reset(s);
	s->intake->designated = -1;
	s->by_address = 0;
}

static void
queue_free(struct session *s)
{
	queue_stop(s);
	queue_message_free(s->intake);
	put_forget(s);
	intake_forget(s);
	if (s->intake->patience != NULL)
		event_free(s->intake->patience);
	free(s->intake);
}

const struct backend queue_backend = {
    .open = queue_open,
    .features = queue_features,
    .size = queue_size,
    .admit = queue_admit,
    .mail = queue_mail,
    .rcpt = queue_rcpt,
    .text = queue_text,
    .took = queue_took,
    .message = queue_message,
    .wants = queue_wants,
    .secured = put_begin,
    .reset = queue_reset,
    .forget = queue_forget,
    .expired = put_expired,
    .free = queue_free,
};
