#ifndef POLICY_POLICY_H
#define POLICY_POLICY_H

#include <stdbool.h>

#include "base/err.h"

/*
 * What shall happen to a message, per recipient.  The stock policy stands behind this interface;
 * a rule language can take its place without its callers noticing.  Pure: facts in, outcome out.
 */
enum policy_want { POLICY_NO, POLICY_OPPORTUNISTIC, POLICY_REQUIRED };

struct policy_facts {
	const char *sender; /* envelope, "" for <> */
	const char *recipient; /* envelope */
	const char *subject; /* decoded to UTF-8, "" when there is none */
	const char *sensitivity; /* value of the Sensitivity field, unfolded, "" */
	int consumer; /* the session belongs to a consumer of ours */
};

struct policy_outcome {
	enum policy_want encrypt;
	/* Where the sender has a valid key; a message is never held up for want of one. */
	bool sign;
	const char *reason; /* static text: which rule decided, for the log and for refusals */
};

/*
 * Decide for one recipient.
 *
 * Returns 0, or -1 with e when the policy cannot be evaluated: then the message is deferred and
 * never sent as it is.
 */
int policy_evaluate(const struct policy_facts *f, struct policy_outcome *out, struct err *e);

#endif
