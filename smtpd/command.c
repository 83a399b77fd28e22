/* The arguments of SMTP commands, strictly; what is offered to a client. */
#include "smtpd/command.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mail/utf8.h"
#include "proxy/route.h"
#include "smtpd/xclient.h"

#define N(a) (sizeof(a) / sizeof(a)[0])

static int
parse_size(const char *s, uint64_t *out)
{
	char *end;

	/* RFC 1870, 4: up to 20 digits. */
	if (!isdigit((unsigned char)*s) || strlen(s) > 20)
		return -1;
	errno = 0;
	*out = strtoull(s, &end, 10);
	return *end != '\0' || errno != 0 ? -1 : 0;
}

unsigned
features_of(const struct smtp_reply *ehlo, uint64_t *size)
{
	static const struct {
		const char *keyword;
		unsigned bit;
	} known[] = {
	    {"PIPELINING", F_PIPELINING},
	    {"SIZE", F_SIZE},
	    {"8BITMIME", F_8BITMIME},
	    {"SMTPUTF8", F_SMTPUTF8},
	    {"DSN", F_DSN},
	    {"ENHANCEDSTATUSCODES", F_ENHANCED},
	    {"STARTTLS", F_STARTTLS},
	};
	unsigned have = 0, m;
	size_t i;

	for (i = 0; i < N(known); i++)
		if (smtp_reply_keyword(ehlo, known[i].keyword) != NULL)
			have |= known[i].bit;
	*size = smtp_reply_size(ehlo);
	for (m = 0; m < SASL_MECHS; m++)
		if (smtp_reply_has(ehlo, "AUTH", sasl_mech_name(m)))
			have |= F_MECH(m);
	return have;
}

/* Could TLS begin with a client that asks for it? */
static int
has_tls(unsigned peer, const struct proxy_route *r)
{
	if (r->transparent != CONF_TRANSPARENT_NO)
		return (peer & F_STARTTLS) != 0;
	if (r->inspect == CONF_TLS_INSPECT)
		return 1;
	/* To this peer we begin TLS ourselves; what passes untouched has a connection of its own.
	 */
	return r->tls == CONF_TLS_STARTTLS || (peer & F_STARTTLS) != 0;
}

unsigned
features_offered(unsigned peer, const struct proxy_route *r, int is_tls)
{
	unsigned f = (peer & ~(unsigned)F_STARTTLS) | F_PIPELINING | F_SIZE;

	if (r->client_tls == CONF_TLS_STARTTLS && !is_tls && has_tls(peer, r))
		f |= F_STARTTLS;
	if (r->tls_required && !is_tls)
		f &= ~(unsigned)F_LOGINS;
	/* A token has no room for a gateway password. */
	if (r->second_factor == CONF_FACTOR_PASSWORD)
		f &= ~(unsigned)F_TOKENS;
	return f;
}

uint64_t
size_offered(uint64_t ours, uint64_t peer)
{
	uint64_t fits;

	if (peer == 0)
		return ours;
	fits = peer > 2 * EXPANSION_ROOM ? (peer - EXPANSION_ROOM) / 10 * 7 : peer / 3;
	if (fits == 0)
		fits = 1; /* 0 would say that there is no limit (RFC 1870, 4) */
	return fits < ours ? fits : ours;
}

uint64_t
size_declared(uint64_t n, uint64_t peer)
{
	uint64_t grown = n > UINT64_MAX / 2 ? n : n + n / 7 * 3 + EXPANSION_ROOM;

	if (peer != 0 && grown > peer)
		return n > peer ? n : peer;
	return grown;
}

void
ehlo_answer(struct answer *a, const char *hostname, unsigned features, uint64_t size, int may_login)
{
	char mechs[64] = "";
	unsigned m;

	answer_set(a, 250, "%s", hostname);
	answer_add(a, "PIPELINING");
	answer_add(a, "SIZE %" PRIu64, size);
	if (features & F_8BITMIME)
		answer_add(a, "8BITMIME");
	if (features & F_SMTPUTF8)
		answer_add(a, "SMTPUTF8");
	if (features & F_DSN)
		answer_add(a, "DSN");
	if (features & F_ENHANCED)
		answer_add(a, "ENHANCEDSTATUSCODES");
	if (features & F_CHUNKING)
		answer_add(a, "CHUNKING");
	if (features & F_REQUIRETLS)
		answer_add(a, "REQUIRETLS");
	if (features & F_XCLIENT) {
		answer_add(a, XCLIENT_KEYWORD);
		answer_add(a, XFORWARD_KEYWORD);
	}
	if (features & F_STARTTLS)
		answer_add(a, "STARTTLS");
	for (m = 0; m < SASL_MECHS; m++)
		if (features & F_MECH(m)) {
			(void)strlcat(mechs, " ", sizeof mechs);
			(void)strlcat(mechs, sasl_mech_name(m), sizeof mechs);
		}
	if (may_login && mechs[0] != '\0')
		answer_add(a, "AUTH%s", mechs);
}

/* RFC 3461, 4: printable ASCII but "+" and "=", and "+" with two upper-case digits. */
static int
xtext_valid(const char *s)
{
	static const char hex[] = "0123456789ABCDEF";

	for (; *s != '\0'; s++) {
		if (*s == '+') {
			if (s[1] == '\0' || strchr(hex, s[1]) == NULL || s[2] == '\0' ||
			    strchr(hex, s[2]) == NULL)
				return 0;
			s += 2;
		} else if (*s < '!' || *s > '~' || *s == '=')
			return 0;
	}
	return 1;
}

static int
syntax(struct answer *why, const char *what)
{
	answer_set(why, 501, "5.5.4 %s", what);
	return -1;
}

static int
mail_size(struct mail_cmd *m, const char *v, struct answer *why)
{
	return parse_size(v, &m->size) == -1 ? syntax(why, "SIZE needs a number of octets") : 0;
}

static int
mail_body(struct mail_cmd *m, const char *v, struct answer *why)
{
	if (strcasecmp(v, "7BIT") == 0)
		m->body = BODY_7BIT;
	else if (strcasecmp(v, "8BITMIME") == 0)
		m->body = BODY_8BITMIME;
	else
		return syntax(why, "BODY is 7BIT or 8BITMIME");
	return 0;
}

static int
mail_smtputf8(struct mail_cmd *m, const char *v, struct answer *why)
{
	if (v[0] != '\0')
		return syntax(why, "SMTPUTF8 has no value");
	m->smtputf8 = 1;
	return 0;
}

static int
mail_requiretls(struct mail_cmd *m, const char *v, struct answer *why)
{
	if (v[0] != '\0')
		return syntax(why, "REQUIRETLS has no value");
	m->requiretls = 1;
	return 0;
}

static int
mail_ret(struct mail_cmd *m, const char *v, struct answer *why)
{
	if (strcasecmp(v, "FULL") == 0)
		m->ret = RET_FULL;
	else if (strcasecmp(v, "HDRS") == 0)
		m->ret = RET_HDRS;
	else
		return syntax(why, "RET is FULL or HDRS");
	return 0;
}

static int
mail_envid(struct mail_cmd *m, const char *v, struct answer *why)
{
	if (v[0] == '\0' || !xtext_valid(v) ||
	    strlcpy(m->envid, v, sizeof m->envid) >= sizeof m->envid) {
		m->envid[0] = '\0';
		return syntax(why, "ENVID needs up to 100 octets of xtext");
	}
	return 0;
}

/* RFC 4954, 5.  Who submitted it is for the peer's AUTH to say: taken, and not passed on. */
static int
mail_auth(struct mail_cmd *m, const char *v, struct answer *why)
{
	(void)m;
	if (v[0] == '\0' || strlen(v) > 500 || !xtext_valid(v))
		return syntax(why, "AUTH needs a mailbox or <> in xtext");
	return 0;
}

static int
rcpt_notify(struct rcpt_cmd *r, const char *v, struct answer *why)
{
	static const struct {
		const char *word;
		unsigned bit;
	} words[] = {{"NEVER", NOTIFY_NEVER}, {"SUCCESS", NOTIFY_SUCCESS},
	    {"FAILURE", NOTIFY_FAILURE}, {"DELAY", NOTIFY_DELAY}};
	size_t len, i;

	do {
		len = strcspn(v, ",");
		for (i = 0; i < N(words); i++)
			if (len == strlen(words[i].word) && strncasecmp(v, words[i].word, len) == 0)
				break;
		if (i == N(words) || (r->notify & words[i].bit) != 0)
			return syntax(why, "NOTIFY is NEVER, or of SUCCESS, FAILURE, DELAY");
		r->notify |= words[i].bit;
		v += len;
	} while (*v++ == ',');
	if ((r->notify & NOTIFY_NEVER) && r->notify != NOTIFY_NEVER)
		return syntax(why, "NOTIFY=NEVER stands alone");
	return 0;
}

static int
rcpt_orcpt(struct rcpt_cmd *r, const char *v, int utf8, struct answer *why)
{
	const char *p;
	size_t type = strcspn(v, ";"), i;

	for (i = 0; i < type; i++)
		if (!isalnum((unsigned char)v[i]) && v[i] != '-')
			goto bad;
	if (type == 0 || v[type] != ';' || v[type + 1] == '\0')
		goto bad;
	/* RFC 6533, 3: utf-8;... may have characters as they are, and "\x{...}" for others. */
	if (type == 5 && strncasecmp(v, "utf-8", 5) == 0) {
		for (p = v + type + 1; *p != '\0'; p++)
			if ((*p > 0 && *p <= ' ') || *p == 0x7f || *p == '=' || (*p < 0 && !utf8))
				goto bad;
		if (!mail_utf8_valid(v, strlen(v)))
			goto bad;
	} else if (!xtext_valid(v + type + 1))
		goto bad;
	if (strlcpy(r->orcpt, v, sizeof r->orcpt) < sizeof r->orcpt)
		return 0;
	r->orcpt[0] = '\0';
bad:
	return syntax(why, "ORCPT needs a type, a semicolon and xtext");
}

static const struct {
	const char *name;
	unsigned feature; /* any of these is enough */
	int (*set)(struct mail_cmd *m, const char *v, struct answer *why);
} mail_params[] = {
    {"SIZE", ~0u, mail_size}, /* ours whatever the peer has */
    {"BODY", F_8BITMIME, mail_body},
    {"SMTPUTF8", F_SMTPUTF8, mail_smtputf8},
    {"REQUIRETLS", F_REQUIRETLS, mail_requiretls},
    {"RET", F_DSN, mail_ret},
    {"ENVID", F_DSN, mail_envid},
    {"AUTH", F_LOGINS, mail_auth},
};

static int
set_mail(struct mail_cmd *m, unsigned offered, unsigned *seen, const char *name, const char *v,
    struct answer *why)
{
	size_t i;

	for (i = 0; i < N(mail_params); i++) {
		if (strcasecmp(name, mail_params[i].name) != 0 ||
		    (offered & mail_params[i].feature) == 0)
			continue;
		if (*seen & 1u << i)
			return syntax(why, "a parameter is given twice");
		*seen |= 1u << i;
		return mail_params[i].set(m, v, why);
	}
	answer_set(why, 555, "5.5.4 parameter not offered");
	return -1;
}

static int
set_rcpt(struct rcpt_cmd *r, unsigned offered, int utf8, const char *name, const char *v,
    struct answer *why)
{
	if ((offered & F_DSN) != 0 && strcasecmp(name, "NOTIFY") == 0)
		return r->notify != 0 ? syntax(why, "NOTIFY is given twice")
				      : rcpt_notify(r, v, why);
	if ((offered & F_DSN) != 0 && strcasecmp(name, "ORCPT") == 0)
		return r->orcpt[0] != '\0' ? syntax(why, "ORCPT is given twice")
					   : rcpt_orcpt(r, v, utf8, why);
	answer_set(why, 555, "5.5.4 parameter not offered");
	return -1;
}

/* "FROM:" or "TO:", blanks that some clients put there, and the path. */
static int
parse_path(const char **args, const char *word, struct mail_path *p, struct answer *why)
{
	const char *s = *args;
	size_t n = strlen(word), used;

	if (strncasecmp(s, word, n) != 0) {
		answer_set(why, 501, "5.5.4 %s<address> is expected", word);
		return -1;
	}
	s += n;
	s += strspn(s, " ");
	if (mail_path_parse(p, s, strlen(s), &used) == -1) {
		answer_set(why, 501,
		    word[0] == 'F' ? "5.1.7 bad sender address syntax"
				   : "5.1.3 bad recipient address syntax");
		return -1;
	}
	s += used;
	if (*s != '\0' && *s != ' ')
		return syntax(why, "a space is expected behind the address");
	*args = s;
	return 0;
}

#define PARAM_MAX 1024 /* octets of one parameter with its NUL */

/* The next KEY[=VALUE] of *s. 1, 0 at the end, -1. */
static int
next_param(const char **s, char out[PARAM_MAX], const char **value, struct answer *why)
{
	size_t n;
	char *eq;

	*s += strspn(*s, " ");
	if (**s == '\0')
		return 0;
	n = strcspn(*s, " ");
	if (n >= PARAM_MAX)
		return syntax(why, "a parameter is too long");
	memcpy(out, *s, n);
	out[n] = '\0';
	*s += n;
	if ((eq = strchr(out, '=')) != NULL)
		*eq++ = '\0';
	*value = eq != NULL ? eq : "";
	return 1;
}

int
command_mail(const char *args, unsigned offered, struct mail_cmd *m, struct answer *why)
{
	char param[PARAM_MAX];
	const char *v;
	unsigned seen = 0;
	int rc;

	memset(m, 0, sizeof *m);
	if (parse_path(&args, "FROM:", &m->path, why) == -1)
		return -1;
	if (!m->path.null && m->path.domain[0] == '\0')
		return syntax(why, "a sender address has a domain");
	while ((rc = next_param(&args, param, &v, why)) == 1)
		if (set_mail(m, offered, &seen, param, v, why) == -1)
			return -1;
	if (rc == 0 && m->path.utf8 && !m->smtputf8) {
		answer_set(why, 553, "5.6.7 this address needs SMTPUTF8");
		return -1;
	}
	return rc;
}

int
command_rcpt(const char *args, unsigned offered, int utf8, struct rcpt_cmd *r, struct answer *why)
{
	char param[PARAM_MAX];
	const char *v;
	int rc;

	memset(r, 0, sizeof *r);
	if (parse_path(&args, "TO:", &r->path, why) == -1)
		return -1;
	if (r->path.null) {
		answer_set(why, 501, "5.1.3 a recipient is expected");
		return -1;
	}
	while ((rc = next_param(&args, param, &v, why)) == 1)
		if (set_rcpt(r, offered, utf8, param, v, why) == -1)
			return -1;
	if (rc == 0 && r->path.utf8 && !utf8) {
		answer_set(why, 553, "5.6.7 this address needs SMTPUTF8");
		return -1;
	}
	return rc;
}

void
command_mail_text(char out[COMMAND_MAX], const struct mail_cmd *m, unsigned features, uint64_t size)
{
	size_t n = (size_t)snprintf(out, COMMAND_MAX, "MAIL FROM:<%s>", m->path.addr);

	if ((features & F_SIZE) && size > 0)
		n += (size_t)snprintf(out + n, COMMAND_MAX - n, " SIZE=%" PRIu64, size);
	if ((features & F_8BITMIME) && m->body != BODY_NONE)
		n += (size_t)snprintf(out + n, COMMAND_MAX - n, " BODY=%s",
		    m->body == BODY_7BIT ? "7BIT" : "8BITMIME");
	if ((features & F_SMTPUTF8) && m->smtputf8)
		n += (size_t)snprintf(out + n, COMMAND_MAX - n, " SMTPUTF8");
	if ((features & F_DSN) && m->ret != RET_NONE)
		n += (size_t)snprintf(
		    out + n, COMMAND_MAX - n, " RET=%s", m->ret == RET_FULL ? "FULL" : "HDRS");
	if ((features & F_DSN) && m->envid[0] != '\0')
		(void)snprintf(out + n, COMMAND_MAX - n, " ENVID=%s", m->envid);
}

void
command_rcpt_params(char *out, size_t outsz, const struct rcpt_cmd *r, unsigned features)
{
	out[0] = '\0';
	if ((features & F_DSN) == 0)
		return;
	if (r->notify == NOTIFY_NEVER)
		(void)strlcat(out, " NOTIFY=NEVER", outsz);
	else if (r->notify != 0) {
		(void)strlcat(out, " NOTIFY=", outsz);
		(void)strlcat(out, r->notify & NOTIFY_SUCCESS ? "SUCCESS," : "", outsz);
		(void)strlcat(out, r->notify & NOTIFY_FAILURE ? "FAILURE," : "", outsz);
		(void)strlcat(out, r->notify & NOTIFY_DELAY ? "DELAY," : "", outsz);
		out[strlen(out) - 1] = '\0';
	}
	if (r->orcpt[0] != '\0') {
		(void)strlcat(out, " ORCPT=", outsz);
		(void)strlcat(out, r->orcpt, outsz);
	}
}

int
command_helo_valid(const char *s)
{
	size_t n = strlen(s), i;

	if (n == 0 || n > 255 || !mail_utf8_valid(s, n))
		return 0;
	for (i = 0; i < n; i++)
		if ((s[i] > 0 && s[i] <= ' ') || s[i] == 0x7f || strchr("<>()\\\",;", s[i]) != NULL)
			return 0;
	return (s[0] == '[') == (s[n - 1] == ']');
}
