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

int
identity_map(const struct conf_peer *peer, const char *tenant, const char *authzid,
    const char *authcid, struct held *h, struct err *e)
{
	char who[ADDR_MAX_LOGIN], as[ADDR_MAX_LOGIN], addr[MAIL_ADDR_MAX + 1];
	int rc;

	if (master_spelling(peer, authcid) || master_spelling(peer, authzid) ||
	    identity_normalise(peer, authcid, who, sizeof who) == -1)
		return 0;
	if (authzid[0] != '\0' &&
	    (identity_normalise(peer, authzid, as, sizeof as) == -1 || strcmp(as, who) != 0))
		return 0;
	if ((rc = db_consumer_login(tenant, peer->name, who, h, e)) != 0)
		return keep_internal(rc, h);
	if (mail_addr_normalise(who, addr, sizeof addr) == -1)
		return 0;
	return keep_internal(db_consumer_addr(tenant, addr, h, e), h);
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
