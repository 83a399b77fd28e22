/*
 * The stock policy: encrypt and sign where a key is there; require encryption where the sender
 * asked for it with a tag in the subject or with Sensitivity: company-confidential.
 */
#include <string.h>

#include "policy/policy.h"

static const char *const triggers[] = {"[encrypt]", "[secure]", "[pgp]"};

/* The trigger that the subject contains, or NULL. */
static const char *
subject_trigger(const char *subject)
{
	size_t i;

	for (i = 0; i < sizeof triggers / sizeof triggers[0]; i++)
		if (strcasestr(subject, triggers[i]) != NULL)
			return triggers[i];
	return NULL;
}

/*
 * RFC 2156, 5.3.4 gives the values.  Wherever the word stands, in a comment or beside one, the
 * sender is taken to have meant it: a refusal too many is a nuisance, clear text is a leak.
 */
static int
company_confidential(const char *v)
{
	return strcasestr(v, "company-confidential") != NULL;
}

int
policy_evaluate(const struct policy_facts *f, struct policy_outcome *out, struct err *e)
{
	(void)e;
	out->encrypt = POLICY_OPPORTUNISTIC;
	out->sign = true;
	out->reason = "opportunistic";
	if (subject_trigger(f->subject) != NULL) {
		out->encrypt = POLICY_REQUIRED;
		out->reason = "the subject asks for encryption";
	} else if (company_confidential(f->sensitivity)) {
		out->encrypt = POLICY_REQUIRED;
		out->reason = "Sensitivity: company-confidential asks for encryption";
	}
	return 0;
}
