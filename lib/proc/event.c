#include "proc/event.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "proc/sink.h"

/*
 * Octets that a value may take in a line, escaped: so chosen that a line has room for all of them
 * whatever they are, and so for our own words behind them.
 */
#define ADDR_ROOM 321
#define HOST_ROOM 384
#define SHORT_ROOM 65
#define TEXT_ROOM 768

struct line {
	char *p;
	size_t n, size; /* n < size always */
};

static void
put(struct line *l, const char *s, size_t n)
{
	size_t room = l->size - 1 - l->n;

	if (n > room)
		n = room;
	memcpy(l->p + l->n, s, n);
	l->n += n;
}

/* Our own words. */
static void
puts_own(struct line *l, const char *s)
{
	put(l, s, strlen(s));
}

/* Text from outside, n octets, made safe by one of log.h's functions. */
static void
put_safe(struct line *l, char *(*safe)(char *, size_t, const void *, size_t), size_t room,
    const char *s, size_t n)
{
	size_t left = l->size - l->n;

	/* Less than that they do not take. */
	if (n == 0 || left < 8)
		return;
	(void)safe(l->p + l->n, left < room ? left : room, s, n);
	l->n += strlen(l->p + l->n);
}

static void
put_str(struct line *l, const char *s, size_t room)
{
	if (s != NULL)
		put_safe(l, log_escape, room, s, strlen(s));
}

static void
put_text(struct line *l, const char *s)
{
	if (s != NULL)
		put_safe(l, log_escape_text, TEXT_ROOM, s, strlen(s));
}

static void
put_angle(struct line *l, const char *name, const char *s)
{
	puts_own(l, name);
	puts_own(l, "=<");
	put_str(l, s, ADDR_ROOM);
	puts_own(l, ">");
}

static void
put_uint(struct line *l, uint64_t v)
{
	char b[20];
	size_t i = sizeof b;

	do
		b[--i] = (char)('0' + v % 10);
	while ((v /= 10) > 0);
	put(l, b + i, sizeof b - i);
}

/* Milliseconds as seconds, as many digits as matter: 0, 0.03, 1.2, 46, 3600. */
static void
put_seconds(struct line *l, uint64_t ms)
{
	unsigned cents;

	if (ms >= 100000) {
		put_uint(l, (ms + 500) / 1000);
		return;
	}
	ms = ms >= 10000 ? (ms + 50) / 100 * 10 : (ms + 5) / 10;
	put_uint(l, ms / 100);
	if ((cents = (unsigned)(ms % 100)) == 0)
		return;
	put(l, ".", 1);
	put_uint(l, cents / 10);
	if (cents % 10 != 0)
		put_uint(l, cents % 10);
}

static int
given(const char *s)
{
	return s != NULL && s[0] != '\0';
}

/*
 * A host: "name[address]", ":port" behind it.  The name is what DNS says; the brackets around what
 * can be nothing but an address, or "unknown", stay, for others find the address by them.
 */
static void
put_host(struct line *l, const char *s)
{
	const char *open, *close;
	size_t n, m;

	if (!given(s))
		return;
	open = strrchr(s, '[');
	if (open == NULL) {
		put_str(l, s, HOST_ROOM);
		return;
	}
	n = strcmp(open, "[unknown]") == 0 ? strlen("unknown")
					   : strspn(open + 1, "0123456789abcdefABCDEF:.");
	close = open + 1 + n;
	m = *close == ']' && close[1] == ':' ? 1 + strspn(close + 2, "0123456789") : 0;
	if (n == 0 || n > 45 || m > 6 || *close != ']' || close[1 + m] != '\0') {
		put_str(l, s, HOST_ROOM);
		return;
	}
	put_safe(l, log_escape, HOST_ROOM, s, (size_t)(open - s));
	put(l, open, n + 2 + m);
}

static void
put_qid(struct line *l, const struct log_event *e, const char *without)
{
	if (given(e->qid)) {
		put_str(l, e->qid, SHORT_ROOM);
		puts_own(l, ": ");
	} else
		puts_own(l, without);
}

static void
put_login(struct line *l, const struct log_event *e)
{
	if (given(e->mechanism)) {
		puts_own(l, ", sasl_method=");
		put_str(l, e->mechanism, SHORT_ROOM);
	}
	if (given(e->user)) {
		puts_own(l, ", sasl_username=");
		put_str(l, e->user, ADDR_ROOM);
	}
}

static int
begins(const char *s, const char *word)
{
	return strncmp(s, word, strlen(word)) == 0;
}

static void
put_reject(struct line *l, const struct log_event *e)
{
	const char *what = e->what != NULL ? e->what : "";
	const char *gap = "; ";

	put_qid(l, e, "NOQUEUE: ");
	puts_own(l, "reject: ");
	put_str(l, what, SHORT_ROOM);
	puts_own(l, " ");
	put_host(l, e->client);
	puts_own(l, ": ");
	put_text(l, e->text);
	if (given(e->sender) || begins(what, "RCPT") || begins(what, "DATA") ||
	    begins(what, "BDAT") || begins(what, "END-OF-MESSAGE")) {
		puts_own(l, gap);
		put_angle(l, "from", e->sender);
		gap = " ";
	}
	if (given(e->rcpt)) {
		puts_own(l, gap);
		put_angle(l, "to", e->rcpt);
		gap = " ";
	}
	if (given(e->proto)) {
		puts_own(l, gap);
		puts_own(l, "proto=");
		put_str(l, e->proto, SHORT_ROOM);
		gap = " ";
	}
	if (given(e->helo)) {
		puts_own(l, gap);
		put_angle(l, "helo", e->helo);
	}
}

static int
hex_of(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The address of an ORCPT (RFC 3461, 4.2), out of xtext; -1: it is none that we show. */
static int
orcpt_addr(char *out, size_t outsz, const char *s)
{
	size_t n = 0;

	if (strncasecmp(s, "rfc822;", 7) != 0)
		return -1;
	for (s += 7; *s != '\0' && n + 1 < outsz; s++)
		if (*s == '+' && hex_of(s[1]) >= 0 && hex_of(s[2]) >= 0) {
			out[n++] = (char)(hex_of(s[1]) << 4 | hex_of(s[2]));
			s += 2;
		} else
			out[n++] = *s;
	out[n] = '\0';
	return 0;
}

static void
put_delivery(struct line *l, const struct log_event *e)
{
	const uint32_t delays[] = {e->delay_a, e->delay_b, e->delay_c, e->delay_d};
	char orig[ADDR_MAX + 1];
	uint64_t sum = 0;
	size_t i;

	put_angle(l, "to", e->rcpt);
	if (given(e->orcpt) && orcpt_addr(orig, sizeof orig, e->orcpt) == 0 &&
	    strcasecmp(orig, e->rcpt != NULL ? e->rcpt : "") != 0) {
		puts_own(l, ", ");
		put_angle(l, "orig_to", orig);
	}
	puts_own(l, ", relay=");
	put_host(l, given(e->relay) ? e->relay : "none");
	for (i = 0; i < 4; i++)
		sum += delays[i];
	puts_own(l, ", delay=");
	put_seconds(l, sum);
	puts_own(l, ", delays=");
	for (i = 0; i < 4; i++) {
		if (i > 0)
			put(l, "/", 1);
		put_seconds(l, delays[i]);
	}
	if (given(e->dsn)) {
		puts_own(l, ", dsn=");
		put_str(l, e->dsn, SHORT_ROOM);
	}
	puts_own(l, ", status=");
	puts_own(l, event_status_name(e->status));
	puts_own(l, " (");
	/* Some who count want to see something here. */
	put_text(l, given(e->text) ? e->text : "-");
	puts_own(l, ")");
}

/* With or without the angle brackets that belong to a Message-ID. */
static void
put_msgid(struct line *l, const char *s)
{
	size_t n;

	if (s == NULL)
		s = "";
	n = strlen(s);
	if (n >= 2 && s[0] == '<' && s[n - 1] == '>') {
		s++;
		n -= 2;
	}
	puts_own(l, "message-id=<");
	put_safe(l, log_escape, ADDR_ROOM, s, n);
	puts_own(l, ">");
}

static void
put_login_failed(struct line *l, const struct log_event *e)
{
	put_host(l, e->client);
	puts_own(l, ": SASL ");
	put_str(l, given(e->mechanism) ? e->mechanism : "?", SHORT_ROOM);
	puts_own(l, " authentication failed: ");
	put_text(l, given(e->text) ? e->text : "(reason unavailable)");
	puts_own(l, ", sasl_username=");
	put_str(l, e->user, ADDR_ROOM);
}

/* Of connections; WHAT is ours. */
static void
put_session(struct line *l, const struct log_event *e)
{
	if (e->kind == EV_LOST)
		put_str(l, e->what, SHORT_ROOM);
	else
		puts_own(l, e->kind == EV_CONNECT ? "connect from" : "disconnect from");
	puts_own(l, " ");
	put_host(l, e->client);
	if (given(e->text)) {
		puts_own(l, e->kind == EV_DISCONNECT ? " " : ": ");
		put_text(l, e->text);
	}
	/* In Postfix's own grammar, which has no id here, the line ends before. */
	if (e->kind == EV_CONNECT && given(e->qid) && given(e->connector)) {
		puts_own(l, ", connector=");
		put_str(l, e->connector, SHORT_ROOM);
	}
}

static void
put_client(struct line *l, const struct log_event *e)
{
	puts_own(l, "client=");
	put_host(l, e->client);
	put_login(l, e);
	if (e->kind != EV_LOGIN)
		return;
	if (given(e->relay)) {
		puts_own(l, ", relay=");
		put_host(l, e->relay);
	}
	if (given(e->text)) {
		puts_own(l, " (");
		put_text(l, e->text);
		puts_own(l, ")");
	}
}

static void
put_crypto(struct line *l, const struct log_event *e)
{
	puts_own(l, "crypto=");
	/* Composed and escaped by the worker, from words of ours and names of keys. */
	if (given(e->text))
		put_safe(l, log_clean, TEXT_ROOM, e->text, strlen(e->text));
	if (e->nrcpt > 0) {
		puts_own(l, ", nrcpt=");
		put_uint(l, e->nrcpt);
	}
}

static void
put_queued(struct line *l, const struct log_event *e)
{
	put_angle(l, "from", e->sender);
	puts_own(l, ", size=");
	put_uint(l, e->size);
	puts_own(l, ", nrcpt=");
	put_uint(l, e->nrcpt);
	puts_own(l, " (queue active)");
}

/* What stands behind the queue id. */
static void
put_rest(struct line *l, const struct log_event *e)
{
	switch ((enum event_kind)e->kind) {
	case EV_CONNECT:
	case EV_DISCONNECT:
	case EV_LOST:
		put_session(l, e);
		break;
	case EV_CLIENT:
	case EV_LOGIN:
		put_client(l, e);
		break;
	case EV_LOGIN_FAILED:
		put_login_failed(l, e);
		break;
	case EV_MESSAGE:
		put_msgid(l, e->msgid);
		break;
	case EV_QUEUED:
		put_queued(l, e);
		break;
	case EV_CRYPTO:
		put_crypto(l, e);
		break;
	case EV_DELIVERY:
		put_delivery(l, e);
		break;
	case EV_HELD:
		put_angle(l, "to", e->rcpt);
		puts_own(l, ", status=held (");
		put_text(l, e->text);
		puts_own(l, ")");
		break;
	case EV_NOTICE:
		put_text(l, e->text);
		puts_own(l, ": ");
		put_str(l, e->rcpt, SHORT_ROOM);
		break;
	case EV_EXPIRED:
		put_angle(l, "from", e->sender);
		puts_own(l, ", status=expired, returned to sender");
		break;
	case EV_REMOVED:
		puts_own(l, "removed");
		break;
	default:
		put_text(l, e->text);
	}
}

size_t
event_line(char *out, size_t outsz, const struct log_event *e)
{
	struct line l = {out, 0, outsz};

	if (outsz == 0)
		return 0;
	if (e->kind == EV_REJECT)
		put_reject(&l, e);
	else {
		put_qid(&l, e, "");
		put_rest(&l, e);
	}
	out[l.n] = '\0';
	return l.n;
}

const char *
event_status_name(unsigned status)
{
	static const char *const names[ES_MAX] = {[ES_NONE] = "",
	    [ES_SENT] = "sent",
	    [ES_DEFERRED] = "deferred",
	    [ES_BOUNCED] = "bounced"};

	return status < ES_MAX ? names[status] : "";
}

const char *
event_kind_name(unsigned kind)
{
	static const char *const names[EV_MAX] = {
	    [EV_CONNECT] = "connect",
	    [EV_DISCONNECT] = "disconnect",
	    [EV_REJECT] = "reject",
	    [EV_CLIENT] = "client",
	    [EV_MESSAGE] = "message",
	    [EV_QUEUED] = "queued",
	    [EV_CRYPTO] = "crypto",
	    [EV_DELIVERY] = "delivery",
	    [EV_HELD] = "held",
	    [EV_NOTICE] = "notice",
	    [EV_EXPIRED] = "expired",
	    [EV_REMOVED] = "removed",
	    [EV_ADMIN] = "admin",
	    [EV_LOST] = "lost",
	    [EV_LOGIN] = "login",
	    [EV_LOGIN_FAILED] = "login-failed",
	};

	return kind < EV_MAX && names[kind] != NULL ? names[kind] : "?";
}

/* Cut what is out of bounds; the strings that were cut stand in *mem, to be freed. */
static void
fit(struct log_event *e, char **mem)
{
	const struct rec_field *f;
	const char *s;
	unsigned i, n;
	char *p;

	if (e->kind >= EV_MAX)
		e->kind = EV_ADMIN;
	if (e->status >= ES_MAX)
		e->status = ES_NONE;
	f = rec_log_event.rows(&n);
	for (i = 0; i < n; i++, f++) {
		if (f->type != REC_STR)
			continue;
		p = (char *)e + f->off;
		memcpy(&s, p, sizeof s);
		if (s == NULL || strlen(s) <= f->max)
			continue;
		/* Without memory it is lost, not the others. */
		s = mem[i] = strndup(s, f->max);
		memcpy(p, &s, sizeof s);
	}
}

#define FIELDS_MAX 64

void
proc_event(const struct log_event *given_event)
{
	struct log_event e = *given_event;
	char *mem[FIELDS_MAX] = {NULL};
	unsigned i;

	if (e.level == LOG_L_ERR || e.level > LOG_L_DEBUG)
		e.level = e.kind == EV_LOGIN_FAILED ? LOG_L_WARN : LOG_L_INFO;
	if (e.pid == 0)
		e.pid = (uint32_t)sink_pid();
	if (e.when == 0)
		e.when = clock_unix_ms();
	if (rec_bad_field(&rec_log_event, &e) != NULL)
		fit(&e, mem);
	sink_event(&e);
	for (i = 0; i < FIELDS_MAX; i++)
		free(mem[i]);
}
