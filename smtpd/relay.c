/* Who may send to whom. */
#include "smtpd/relay.h"

#include <string.h>

int
relay_is_route(const char *local)
{
	return strpbrk(local, "%!@:") != NULL;
}

/* Mail of the world is for our domains. */
static enum relay_verdict
judge_mx(const struct relay_facts *f)
{
	const struct whose *w = f->whose;

	if (w->whose == WHOSE_FOREIGN)
		return RELAY_DENIED;
	/*
	 * The server behind us may take it for somebody elsewhere, and us for somebody it trusts.
	 * With a tag it need not be this very address that is known.
	 */
	if (relay_is_route(f->to->local) && (!w->known || strchr(f->to->local, '+') != NULL))
		return RELAY_DENIED;
	if (f->tenant[0] != '\0' && strcmp(f->tenant, w->tenant) != 0)
		return RELAY_OTHER;
	if (w->whose == WHOSE_UNKNOWN)
		return RELAY_UNKNOWN;
	return w->whose == WHOSE_ASK ? RELAY_ASK : RELAY_TAKE;
}

enum relay_verdict
relay_judge(const struct relay_facts *f)
{
	if (f->service != CONF_MX && !f->trusted)
		return RELAY_DENIED;
	if (f->whose->defer)
		return RELAY_LATER;
	if (f->service == CONF_MX)
		return judge_mx(f);
	switch (f->whose->whose) {
	case WHOSE_UNKNOWN:
		return RELAY_UNKNOWN;
	case WHOSE_ASK:
		/* Who relays through us may be that very server. */
		return f->service == CONF_SUBMISSION ? RELAY_ASK : RELAY_TAKE;
	default:
		return RELAY_TAKE;
	}
}
