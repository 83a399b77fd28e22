#include "openpgp/message.h"

const char *
pgp_sig_state_name(enum pgp_sig_state s)
{
	static const char *const names[] = {
	    [PGP_SIG_GOOD] = "good",
	    [PGP_SIG_BAD] = "bad",
	    [PGP_SIG_UNKNOWN_KEY] = "unknown-key",
	    [PGP_SIG_EXPIRED_KEY] = "expired-key",
	    [PGP_SIG_REVOKED_KEY] = "revoked-key",
	    [PGP_SIG_EXPIRED] = "expired",
	    [PGP_SIG_WEAK] = "weak",
	    [PGP_SIG_UNSUPPORTED] = "unsupported",
	};

	return (size_t)s < sizeof names / sizeof names[0] ? names[s] : "unsupported";
}

const char *
pgp_status_name(enum pgp_status s)
{
	static const char *const names[] = {
	    [PGP_OK] = "ok",
	    [PGP_MALFORMED] = "malformed",
	    [PGP_NO_KEY] = "no-key",
	    [PGP_TEMPORARY] = "temporary",
	    [PGP_FAILED] = "failed",
	    [PGP_NO_INTEGRITY] = "no-integrity",
	    [PGP_UNSUPPORTED] = "unsupported",
	    [PGP_LIMIT] = "limit",
	    [PGP_IO] = "io",
	};

	return (size_t)s < sizeof names / sizeof names[0] ? names[s] : "failed";
}
