/* SASL: what PLAIN takes is, written again, the same response; what is not taken leaves nothing. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/enc.h"
#include "proxy/sasl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define RAW_MAX (2 * LOGIN_MAX + PASSWORD_MAX + 2)

static void
must(int ok)
{
	if (!ok)
		abort();
}

static size_t
put(char *out, const char *field)
{
	size_t n = strlen(field);

	memcpy(out, field, n);
	return n;
}

static void
parse(const char *b64)
{
	static const struct credentials none;
	struct credentials c;
	char raw[RAW_MAX], again[B64_LEN(RAW_MAX) + 1];
	size_t n;

	memset(&c, 'x', sizeof c);
	if (sasl_plain_parse(&c, b64) == -1) {
		must(memcmp(&c, &none, sizeof c) == 0);
		return;
	}
	must(c.authcid[0] != '\0' && c.password[0] != '\0');
	must(sasl_name_valid(c.authzid) && sasl_name_valid(c.authcid));
	must(strpbrk(c.authzid, "\r\n") == NULL && strpbrk(c.authcid, "\r\n") == NULL);
	n = put(raw, c.authzid);
	raw[n++] = '\0';
	n += put(raw + n, c.authcid);
	raw[n++] = '\0';
	n += put(raw + n, c.password);
	(void)b64_encode(again, raw, n);
	must(strcmp(again, b64) == 0);
	must(sasl_plain_make(again, sizeof again, &c) == 0 && strcmp(again, b64) == 0);
}

/* Of a token's response a name remains, or nothing. */
static void
token(const char *b64, int (*take)(struct credentials *c, const char *b64))
{
	static const struct credentials none;
	struct credentials c;

	memset(&c, 'x', sizeof c);
	if (take(&c, b64) == -1) {
		must(memcmp(&c, &none, sizeof c) == 0);
		return;
	}
	must(c.authcid[0] != '\0' && sasl_name_valid(c.authcid));
	must(c.authzid[0] == '\0' && c.password[0] == '\0');
}

static void
login(const char *b64)
{
	char name[LOGIN_MAX + 1];

	if (sasl_login_parse(name, sizeof name, b64, 0) == 0)
		must(name[0] != '\0' && sasl_name_valid(name));
	else
		must(name[0] == '\0');
}

static void
all(const char *b64)
{
	parse(b64);
	token(b64, sasl_xoauth2_parse);
	token(b64, sasl_oauthbearer_parse);
	login(b64);
}

/* The input as the client's line, and as what that line encodes: mutations then reach the fields.
 */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *s;

	if (n > SASL_RESPONSE_MAX || (s = malloc(B64_LEN(n) + 1)) == NULL)
		return 0;
	memcpy(s, data, n);
	s[n] = '\0';
	all(s);
	(void)b64_encode(s, data, n);
	all(s);
	free(s);
	return 0;
}
