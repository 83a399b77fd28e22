/* The commands of a transaction. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "deliverd/client_int.h"

bool
tx_is_ascii(const char *s)
{
	for (; *s != '\0'; s++)
		if ((uint8_t)*s >= 0x80)
			return false;
	return true;
}

bool
tx_path_valid(const char *addr)
{
	bool quoted = false;
	const char *p;

	for (p = addr; *p != '\0'; p++) {
		if ((uint8_t)*p < ' ' || *p == 0x7f)
			return false;
		if (quoted && *p == '\\' && p[1] >= ' ' && p[1] != 0x7f)
			p++;
		else if (*p == '"')
			quoted = !quoted;
		else if (!quoted && strchr(" <>\\", *p) != NULL)
			return false;
	}
	return !quoted && *addr != '\0';
}

/* RFC 3461, 4: what can be a parameter's value. */
static bool
is_xtext(const char *s, bool utf8)
{
	if (*s == '\0')
		return false;
	for (; *s != '\0'; s++)
		if (*s == '=' || *s == 0x7f || ((uint8_t)*s <= ' ') ||
		    ((uint8_t)*s >= 0x80 && !utf8))
			return false;
	return true;
}

/* Append; what does not fit, which cannot be with bounds as they are, is cut. */
static void __attribute__((format(printf, 2, 3))) add(char *out, const char *fmt, ...)
{
	size_t n = strlen(out);
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(out + n, TX_COMMAND_MAX - n, fmt, ap);
	va_end(ap);
}

void
tx_mail_text(char out[TX_COMMAND_MAX], const struct client *c)
{
	const struct transaction *t = &c->tx;
	const struct envelope *e = t->m->env;

	(void)snprintf(out, TX_COMMAND_MAX, "MAIL FROM:<%s>", e->sender != NULL ? e->sender : "");
	if (c->features & CF_SIZE)
		add(out, " SIZE=%" PRIu64, t->size);
	if (t->binary)
		add(out, " BODY=BINARYMIME");
	else if (t->facts.eight)
		add(out, " BODY=8BITMIME");
	if (t->utf8)
		add(out, " SMTPUTF8");
	if (e->requiretls)
		add(out, " REQUIRETLS");
	if (!(c->features & CF_DSN))
		return;
	if (e->ret != MAIL_RET_UNSAID)
		add(out, " RET=%s", e->ret == MAIL_RET_FULL ? "FULL" : "HDRS");
	if (e->envid != NULL && is_xtext(e->envid, false))
		add(out, " ENVID=%s", e->envid);
}

static void
add_notify(char *out, unsigned notify)
{
	static const struct {
		unsigned bit;
		const char *word;
	} words[] = {{RCPT_SUCCESS, "SUCCESS"}, {RCPT_FAILURE, "FAILURE"}, {RCPT_DELAY, "DELAY"}};
	const char *sep = " NOTIFY=";
	size_t i;

	/* NEVER stands alone (RFC 3461, 4.1). */
	if (notify & RCPT_NEVER) {
		add(out, " NOTIFY=NEVER");
		return;
	}
	for (i = 0; i < sizeof words / sizeof words[0]; i++)
		if (notify & words[i].bit) {
			add(out, "%s%s", sep, words[i].word);
			sep = ",";
		}
}

void
tx_rcpt_text(char out[TX_COMMAND_MAX], const struct client *c, const struct job_rcpt *r)
{
	(void)snprintf(out, TX_COMMAND_MAX, "RCPT TO:<%s>", r->addr);
	if (!(c->features & CF_DSN))
		return;
	add_notify(out, r->notify);
	if (r->orcpt != NULL && is_xtext(r->orcpt, c->tx.utf8) && strchr(r->orcpt, ';') != NULL)
		add(out, " ORCPT=%s", r->orcpt);
}
