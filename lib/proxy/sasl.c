#include "proxy/sasl.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/enc.h"
#include "mail/utf8.h"

#define RESPONSE_MAX (2 * LOGIN_MAX + PASSWORD_MAX + 2) /* octets of PLAIN, decoded */

bool
sasl_name_valid(const char *s)
{
	const uint8_t *p = (const uint8_t *)s;
	size_t n = strlen(s);
	uint32_t cp;
	unsigned len;

	for (; n > 0; p += len, n -= len) {
		if ((len = mail_utf8_next(p, n, &cp)) == 0)
			return false;
		if (cp < 0x20 || (cp >= 0x7f && cp <= 0x9f))
			return false;
	}
	return true;
}

/* One field up to its NUL, or up to the end when last. */
static int
take(char *out, size_t outsz, const uint8_t **p, const uint8_t *end, bool last)
{
	const uint8_t *nul = memchr(*p, '\0', (size_t)(end - *p));
	size_t n;

	if ((nul == NULL) != last)
		return -1;
	n = (size_t)((last ? end : nul) - *p);
	if (n >= outsz)
		return -1;
	memcpy(out, *p, n);
	out[n] = '\0';
	*p += last ? n : n + 1;
	return 0;
}

int
sasl_plain_parse(struct credentials *c, const char *b64)
{
	uint8_t raw[RESPONSE_MAX];
	const uint8_t *p = raw;
	ssize_t n = b64_decode(raw, sizeof raw, b64, strlen(b64));
	int rc = -1;

	if (n == -1 || take(c->authzid, sizeof c->authzid, &p, raw + n, false) == -1 ||
	    take(c->authcid, sizeof c->authcid, &p, raw + n, false) == -1 ||
	    take(c->password, sizeof c->password, &p, raw + n, true) == -1)
		goto out;
	if (c->authcid[0] != '\0' && c->password[0] != '\0' && sasl_name_valid(c->authzid) &&
	    sasl_name_valid(c->authcid))
		rc = 0;
out:
	explicit_bzero(raw, sizeof raw);
	if (rc == -1) {
		explicit_bzero(c, sizeof *c);
		errno = EINVAL;
	}
	return rc;
}
