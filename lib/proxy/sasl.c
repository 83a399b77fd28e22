#include "proxy/sasl.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "base/enc.h"
#include "mail/utf8.h"

#define RESPONSE_MAX (2 * LOGIN_MAX + PASSWORD_MAX + 2) /* octets of PLAIN, decoded */
#define TOKEN_RESPONSE_MAX (SASL_RESPONSE_MAX / 4 * 3) /* octets of a token's, decoded */
#define END 0x01 /* ^A, behind each field of a token's response */

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

int
sasl_plain_make(char *out, size_t outsz, const struct credentials *c)
{
	uint8_t raw[RESPONSE_MAX];
	size_t z = strlen(c->authzid), a = strlen(c->authcid), p = strlen(c->password);
	size_t n = z + a + p + 2;

	if (B64_LEN(n) >= outsz) {
		errno = EMSGSIZE;
		return -1;
	}
	memcpy(raw, c->authzid, z + 1);
	memcpy(raw + z + 1, c->authcid, a + 1);
	memcpy(raw + z + a + 2, c->password, p);
	(void)b64_encode(out, raw, n);
	explicit_bzero(raw, n);
	return 0;
}

int
sasl_login_parse(char *out, size_t outsz, const char *b64, int secret)
{
	ssize_t n = b64_decode((uint8_t *)out, outsz - 1, b64, strlen(b64));

	if (n > 0) {
		out[n] = '\0';
		if (strlen(out) == (size_t)n && (secret || sasl_name_valid(out)))
			return 0;
	}
	explicit_bzero(out, outsz);
	errno = EINVAL;
	return -1;
}

static const char *const mechs[SASL_MECHS] = {
    [SASL_PLAIN] = "PLAIN",
    [SASL_LOGIN] = "LOGIN",
    [SASL_XOAUTH2] = "XOAUTH2",
    [SASL_OAUTHBEARER] = "OAUTHBEARER",
};

const char *
sasl_mech_name(enum sasl_mech m)
{
	return mechs[m];
}

int
sasl_mech_find(const char *name, size_t n)
{
	int m;

	for (m = 0; m < SASL_MECHS; m++)
		if (strlen(mechs[m]) == n && strncasecmp(mechs[m], name, n) == 0)
			return m;
	return -1;
}

/* --- tokens --- */

/* The field that starts at *p, without its ^A, which becomes a NUL; NULL without one. */
static char *
field(char **p, char *end)
{
	char *start = *p, *stop = memchr(start, END, (size_t)(end - start));

	if (stop == NULL)
		return NULL;
	*stop = '\0';
	*p = stop + 1;
	return start;
}

/* Octets of a field's value: those of a token, a host or a port, none of which has a space. */
static bool
visible(const char *s)
{
	if (*s == '\0')
		return false;
	for (; *s != '\0'; s++)
		if (*s < 0x21 || *s > 0x7e)
			return false;
	return true;
}

/* "Bearer TOKEN" (RFC 6750, 2.1; the scheme in any case). */
static bool
bearer(const char *s)
{
	return strncasecmp(s, "Bearer ", 7) == 0 && visible(s + 7);
}

static int
take_name(struct credentials *c, const char *name)
{
	if (*name == '\0' || !sasl_name_valid(name) ||
	    strlcpy(c->authcid, name, sizeof c->authcid) >= sizeof c->authcid)
		return -1;
	return 0;
}

/* "user=NAME^Aauth=Bearer TOKEN^A^A": these two, in this order, and nothing else. */
static int
parse_xoauth2(struct credentials *c, char *p, char *end)
{
	char *user = field(&p, end), *auth = user != NULL ? field(&p, end) : NULL;

	if (auth == NULL || end - p != 1 || *p != END || strncmp(user, "user=", 5) != 0 ||
	    strncmp(auth, "auth=", 5) != 0 || !bearer(auth + 5))
		return -1;
	return take_name(c, user + 5);
}

/* A saslname (RFC 5801, 4), in place: "=2C" is a comma, "=3D" an equals sign. */
static int
unescape(char *s)
{
	char *to = s;

	for (; *s != '\0'; s++) {
		if (*s == ',')
			return -1;
		*to++ = *s;
		if (*s != '=')
			continue;
		if (strncmp(s, "=2C", 3) != 0 && strncmp(s, "=3D", 3) != 0)
			return -1;
		to[-1] = s[1] == '2' ? ',' : '=';
		s += 2;
	}
	*to = '\0';
	return 0;
}

/* "n,a=NAME,"; channel binding ("p=") would bind to our TLS, not to the peer's. */
static int
parse_gs2(struct credentials *c, char *s)
{
	size_t n = strlen(s);

	if ((strncmp(s, "n,a=", 4) != 0 && strncmp(s, "y,a=", 4) != 0) || s[n - 1] != ',')
		return -1;
	s[n - 1] = '\0';
	return unescape(s + 4) == -1 ? -1 : take_name(c, s + 4);
}

static int
parse_oauthbearer(struct credentials *c, char *p, char *end)
{
	static const char *const keys[] = {"auth=", "host=", "port="};
	unsigned seen = 0, k;
	char *s;

	if ((s = field(&p, end)) == NULL || parse_gs2(c, s) == -1)
		return -1;
	while (end - p > 1) {
		if ((s = field(&p, end)) == NULL)
			return -1;
		for (k = 0; k < 3 && strncmp(s, keys[k], 5) != 0; k++)
			;
		if (k == 3 || (seen & (1u << k)) != 0 || !(k == 0 ? bearer : visible)(s + 5))
			return -1;
		seen |= 1u << k;
	}
	return end - p == 1 && *p == END && (seen & 1) != 0 ? 0 : -1;
}

static int
parse_token(
    struct credentials *c, const char *b64, int (*parse)(struct credentials *c, char *p, char *end))
{
	char raw[TOKEN_RESPONSE_MAX];
	ssize_t n = -1;
	int rc = -1;

	explicit_bzero(c, sizeof *c);
	if (strlen(b64) <= SASL_RESPONSE_MAX)
		n = b64_decode((uint8_t *)raw, sizeof raw, b64, strlen(b64));
	if (n > 0 && memchr(raw, '\0', (size_t)n) == NULL)
		rc = parse(c, raw, raw + n);
	explicit_bzero(raw, sizeof raw);
	if (rc == -1) {
		explicit_bzero(c, sizeof *c);
		errno = EINVAL;
	}
	return rc;
}

int
sasl_xoauth2_parse(struct credentials *c, const char *b64)
{
	return parse_token(c, b64, parse_xoauth2);
}

int
sasl_oauthbearer_parse(struct credentials *c, const char *b64)
{
	return parse_token(c, b64, parse_oauthbearer);
}
