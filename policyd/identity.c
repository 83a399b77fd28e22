#include "policyd/identity.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "mail/address.h"

int
identity_normalise(const struct conf_peer *peer, const char *name, char *out, size_t outsz)
{
	const unsigned char *p;
	size_t i;

	if (name[0] == '\0')
		return -1;
	for (p = (const unsigned char *)name; *p != '\0'; p++)
		if (*p < 0x20 || *p == 0x7f)
			return -1;
	if (strlcpy(out, name, outsz) >= outsz)
		return -1;
	if (strchr(out, '@') == NULL && peer->login_domain[0] != '\0')
		if (strlcat(out, "@", outsz) >= outsz ||
		    strlcat(out, peer->login_domain, outsz) >= outsz)
			return -1;
	if (peer->login_case == CONF_CASE_LOWER)
		for (i = 0; out[i] != '\0'; i++)
			if (out[i] >= 'A' && out[i] <= 'Z')
				out[i] = (char)(out[i] - 'A' + 'a');
	return 0;
}

static int
master_spelling(const struct conf_peer *peer, const char *name)
{
	return peer->master_separator[0] != '\0' && strpbrk(name, peer->master_separator) != NULL;
}

/* Only our own people have keys here. */
static int
keep_internal(int rc, struct held *h)
{
	if (rc == 1 && ((const struct consumer *)h->rec)->kind != CONSUMER_INTERNAL) {
		held_free(h);
		return 0;
	}
	return rc;
}

/*
 * By the login map.  An entry without domain stands for a name of the peer's own domain, so that
 * "alice" is found however the client spelled it.
 */
static int
by_login(const struct conf_peer *peer, const char *tenant, const char *who, struct held *h,
    struct err *e)
{
	char bare[ADDR_MAX_LOGIN], *at;
	int rc = db_consumer_login(tenant, peer->name, who, h, e);

	if (rc != 0 || peer->login_domain[0] == '\0')
		return rc;
	(void)strlcpy(bare, who, sizeof bare);
	if ((at = strrchr(bare, '@')) == NULL || at == bare ||
	    strcasecmp(at + 1, peer->login_domain) != 0)
		return 0;
	*at = '\0';
	return db_consumer_login(tenant, peer->name, bare, h, e);
}

/* Has the consumer this very address, its local part letter for letter? */
static int
has_exactly(const struct consumer *c, const char *addr)
{
	size_t i;

	for (i = 0; i < c->addresses.n; i++)
		if (strcmp(c->addresses.v[i].addr, addr) == 0)
			return 1;
	return 0;
}

/*
 * By address.  The login must be the address itself, not one of the other spellings that mail
 * knows (quotes, a final dot): the peer may take those for somebody else.  So it does with case
 * where it is told apart.
 */
static int
by_address(const struct conf_peer *peer, const char *tenant, const char *who, struct held *h,
    struct err *e)
{
	char addr[MAIL_ADDR_MAX + 1];
	int rc;

	if (mail_addr_normalise(who, addr, sizeof addr) == -1 || strcasecmp(who, addr) != 0)
		return 0;
	rc = db_consumer_addr(tenant, addr, h, e);
	if (rc == 1 && peer->login_case == CONF_CASE_KEEP && !has_exactly(h->rec, addr)) {
		held_free(h);
		return 0;
	}
	return rc;
}

int
identity_map(const struct conf_peer *peer, const char *tenant, const char *authzid,
    const char *authcid, struct held *h, struct err *e)
{
	char who[ADDR_MAX_LOGIN], as[ADDR_MAX_LOGIN];
	int rc;

	if (master_spelling(peer, authcid) || master_spelling(peer, authzid) ||
	    identity_normalise(peer, authcid, who, sizeof who) == -1)
		return 0;
	if (authzid[0] != '\0' &&
	    (identity_normalise(peer, authzid, as, sizeof as) == -1 || strcmp(as, who) != 0))
		return 0;
	if ((rc = by_login(peer, tenant, who, h, e)) == 0)
		rc = by_address(peer, tenant, who, h, e);
	return keep_internal(rc, h);
}

int
consumer_has(const struct consumer *c, const char *addr)
{
	char norm[MAIL_ADDR_MAX + 1];
	size_t i;

	if (mail_addr_normalise(addr, norm, sizeof norm) == -1)
		return 0;
	for (i = 0; i < c->addresses.n; i++)
		if (strcasecmp(c->addresses.v[i].addr, norm) == 0)
			return 1;
	return 0;
}
