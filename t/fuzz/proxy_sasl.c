/* SASL PLAIN: what is taken is, written again, the same response; what is not leaves nothing. */
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
}

/* The input as the client's line, and as what that line encodes: mutations then reach the fields.
 */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *s;

	if (n > 2 * RAW_MAX || (s = malloc(B64_LEN(n) + 1)) == NULL)
		return 0;
	memcpy(s, data, n);
	s[n] = '\0';
	parse(s);
	(void)b64_encode(s, data, n);
	parse(s);
	free(s);
	return 0;
}
