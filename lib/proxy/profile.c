#include "proxy/profile.h"

#include <string.h>

void
profile_options(struct profile_options *out, const struct conf_profile *p, const char *usual)
{
	size_t i;

	memset(out, 0, sizeof *out);
	out->o.min_version = p->min_version == CONF_TLS13 ? TLS_V13 : TLS_V12;
	out->o.ciphers = p->ciphers;
	out->o.ciphersuites = p->ciphersuites;
	out->o.groups = p->groups;
	out->o.any_kex = !p->pfs;
	for (i = 0; i < p->alpn.n && i < PROFILE_ALPN_MAX; i++)
		out->alpn[i] = p->alpn.v[i];
	if (i == 0 && usual != NULL)
		out->alpn[i++] = usual;
	out->o.alpn = out->alpn;
	out->o.nalpn = i;
}

int
profile_check(const struct conf *conf, struct err *e)
{
	struct profile_options o;
	struct err why;
	size_t i;

	for (i = 0; i < conf->nprofiles; i++) {
		profile_options(&o, &conf->profiles[i], NULL);
		if (tls_options_check(&o.o, &why) == -1)
			return err_set(e, why.code, "tls_profile %s (line %u): %s",
			    conf->profiles[i].name, conf->profiles[i].line, why.text);
	}
	return 0;
}
