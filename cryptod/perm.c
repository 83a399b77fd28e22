#include "cryptod/perm.h"

#define NO_KEY 0

static const struct perm {
	enum proc_id who;
	unsigned use; /* enum key_use */
	enum perm_op op;
	enum perm_need need;
} rows[] = {
    {P_WORKER, USE_SIGN, PERM_SIGN, PERM_BY_GRANT},
    {P_WORKER, USE_DECRYPT, PERM_UNWRAP, PERM_BY_GRANT},

    {P_SMTPD, USE_TLS, PERM_TLS_SIGN, PERM_FREE}, {P_POP3D, USE_TLS, PERM_TLS_SIGN, PERM_FREE},
    /* All that an authority's key ever does: there is no row that has it sign a digest. */
    {P_SMTPD, USE_CA, PERM_MINT, PERM_FREE}, {P_POP3D, USE_CA, PERM_MINT, PERM_FREE},

    {P_POLICYD, NO_KEY, PERM_GRANT, PERM_FREE},

    {P_KEYCTL, NO_KEY, PERM_STATE, PERM_FREE}, {P_KEYCTL, NO_KEY, PERM_IGNITE, PERM_FREE},
    {P_KEYCTL, NO_KEY, PERM_LIST, PERM_FREE}, {P_KEYCTL, USE_CERTIFY, PERM_CERTIFY, PERM_FREE},
    {P_KEYCTL, USE_SIGN, PERM_CERTIFY, PERM_NEW}, /* back signature of a new subkey */
    {P_KEYCTL, USE_CERTIFY, PERM_GENERATE, PERM_FREE},
    {P_KEYCTL, USE_SIGN, PERM_GENERATE, PERM_FREE},
    {P_KEYCTL, USE_DECRYPT, PERM_GENERATE, PERM_FREE},
    {P_KEYCTL, USE_TLS, PERM_GENERATE, PERM_FREE}, {P_KEYCTL, USE_TLS, PERM_IMPORT, PERM_FREE},
    {P_KEYCTL, USE_TLS, PERM_EXPORT, PERM_FREE}, {P_KEYCTL, USE_CERTIFY, PERM_IMPORT, PERM_FREE},
    {P_KEYCTL, USE_SIGN, PERM_IMPORT, PERM_FREE}, {P_KEYCTL, USE_DECRYPT, PERM_IMPORT, PERM_FREE},
    {P_KEYCTL, USE_CERTIFY, PERM_EXPORT, PERM_FREE}, {P_KEYCTL, USE_SIGN, PERM_EXPORT, PERM_FREE},
    {P_KEYCTL, USE_DECRYPT, PERM_EXPORT, PERM_FREE}, {P_KEYCTL, USE_CA, PERM_CA_INIT, PERM_FREE},
    {P_KEYCTL, USE_CA, PERM_CA_GET, PERM_FREE}, {P_KEYCTL, USE_CA, PERM_EXPORT, PERM_FREE},
    {P_KEYCTL, USE_CA, PERM_DISABLE, PERM_FREE}, {P_KEYCTL, USE_CERTIFY, PERM_DISABLE, PERM_FREE},
    {P_KEYCTL, USE_SIGN, PERM_DISABLE, PERM_FREE},
    /* Decryption keys are never disabled: old mail stays readable. */
};

#define NROWS (sizeof rows / sizeof rows[0])

enum perm_need
perm_need(enum proc_id who, unsigned use, enum perm_op op)
{
	for (size_t i = 0; i < NROWS; i++)
		if (rows[i].who == who && rows[i].use == use && rows[i].op == op)
			return rows[i].need;
	return PERM_NEVER;
}

int
perm_any(enum proc_id who, enum perm_op op)
{
	for (size_t i = 0; i < NROWS; i++)
		if (rows[i].who == who && rows[i].op == op)
			return 1;
	return 0;
}
