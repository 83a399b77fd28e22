/*
 * A certificate, its issuer's and an OCSP response, all of them from strangers.  Two octets with
 * the length stand before each of the certificates; the seeds were good at the time NOW.
 */
#include <stdlib.h>
#include <string.h>

#include "keyd/keyd.h"

#define NOW 1795378337

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void
must(int ok)
{
	if (!ok)
		abort();
}

static struct bytes
take(const uint8_t **p, size_t *n)
{
	struct bytes b = {*p, 0};

	if (*n < 2)
		return b;
	b.p = *p + 2;
	b.n = get_be16(*p) <= *n - 2 ? get_be16(*p) : *n - 2;
	*p += 2 + b.n;
	*n -= 2 + b.n;
	return b;
}

static int
is_text(const char *s)
{
	for (; *s != '\0'; s++)
		if (*s < ' ' || *s > '~')
			return 0;
	return 1;
}

static void
check_url(const struct url *u)
{
	char host[HOSTPORT_TEXT_MAX];

	must(host_valid(u->host) || netaddr_parse_host(u->host, &(struct netaddr){0}) == 0);
	must(u->port > 0 && u->path[0] == '/' && strlen(u->path) <= URL_MAX);
	must(is_text(u->path) && strchr(u->path, ' ') == NULL);
	must(is_text(url_authority(host, sizeof host, u)));
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct bytes cert = take(&p, &n), issuer = take(&p, &n);
	struct answer a = {.status = OCSP_STATUS_MAX};
	struct err e = {0};
	struct subject s;
	uint8_t *question;
	size_t len;

	if (subject_parse(&s, cert, issuer, &e) == -1) {
		must(e.code != 0 && is_text(e.text));
		return 0;
	}
	if (s.url.host[0] != '\0')
		check_url(&s.url);
	if (subject_check(&s, &e) == 0 && (question = subject_question(&s, &len)) != NULL)
		free(question);
	if (response_check(&s, p, n, NOW, &a, &e) == 0)
		must(a.status <= OCSP_UNKNOWN && is_text(a.text));
	else
		must(e.code != 0 && is_text(e.text));
	subject_free(&s);
	return 0;
}
