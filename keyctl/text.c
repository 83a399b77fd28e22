#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/enc.h"
#include "keyctl/keyctl.h"

int
parse_fpr(const char *s, uint8_t fpr[KEY_FPR])
{
	char digits[2 * KEY_FPR];
	size_t n = 0;

	if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X'))
		s += 2;
	for (; *s != '\0'; s++) {
		if (*s == ' ' || *s == ':')
			continue;
		if (n == sizeof digits)
			return -1;
		digits[n++] = *s;
	}
	return n == sizeof digits && hex_decode(fpr, KEY_FPR, digits, n) == KEY_FPR ? 0 : -1;
}

int
parse_span(const char *s, uint64_t *seconds)
{
	static const struct {
		char unit;
		uint64_t days;
	} units[] = {{'d', 1}, {'w', 7}, {'m', 30}, {'y', 365}};
	char *end;
	unsigned long n;

	if (strcmp(s, "never") == 0 || strcmp(s, "0") == 0) {
		*seconds = 0;
		return 0;
	}
	if (!isdigit((unsigned char)*s))
		return -1;
	n = strtoul(s, &end, 10);
	for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
		if (end[0] == units[i].unit && end[1] == '\0' && n >= 1 &&
		    n <= UINT64_C(36500) / units[i].days) {
			*seconds = n * units[i].days * 86400;
			return 0;
		}
	return -1;
}

const char *
date_text(uint64_t t, char out[16])
{
	time_t when = (time_t)t;
	struct tm tm;

	if (t == 0 || t > UINT32_MAX || gmtime_r(&when, &tm) == NULL ||
	    strftime(out, 16, "%Y-%m-%d", &tm) == 0)
		(void)snprintf(out, 16, "-");
	return out;
}

const char *
shown(const char *s, char out[SHOWN_MAX])
{
	const unsigned char *p = (const unsigned char *)s;
	size_t n = 0;

	for (; *p != '\0' && n + 5 < SHOWN_MAX; p++) {
		/* Controls, C1 as UTF-8 too: a terminal would obey them. */
		if (*p < 0x20 || *p == 0x7f) {
			out[n++] = '?';
		} else if (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0) {
			out[n++] = '?';
			p++;
		} else
			out[n++] = (char)*p;
	}
	if (*p != '\0') {
		memcpy(out + n, "...", 3);
		n += 3;
	}
	out[n] = '\0';
	return out;
}

const char *
algo_text(const struct key_info *k, char out[ALGO_TEXT_MAX])
{
	static const struct {
		const char *name;
		uint8_t len, oid[10];
	} t[] = {
	    {"ed25519", 9, {0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01}},
	    {"cv25519", 10, {0x2b, 0x06, 0x01, 0x04, 0x01, 0x97, 0x55, 0x01, 0x05, 0x01}},
	    {"nistp256", 8, {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}},
	    {"nistp384", 5, {0x2b, 0x81, 0x04, 0x00, 0x22}},
	    {"nistp521", 5, {0x2b, 0x81, 0x04, 0x00, 0x23}},
	    {"brainpoolP256r1", 9, {0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x07}},
	    {"brainpoolP384r1", 9, {0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x0b}},
	    {"brainpoolP512r1", 9, {0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x0d}},
	};
	const struct cert_key ck = {
	    .version = 4, .algo = k->algo, .fpr = k->fpr, .params = k->params};

	if (k->algo == PGP_PK_RSA) {
		(void)snprintf(out, ALGO_TEXT_MAX, "rsa%u", pgp_key_bits(&ck));
		return out;
	}
	(void)snprintf(out, ALGO_TEXT_MAX, "algorithm %u", k->algo);
	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++)
		if (k->params.n > t[i].len && k->params.p[0] == t[i].len &&
		    memcmp(k->params.p + 1, t[i].oid, t[i].len) == 0)
			(void)strlcpy(out, t[i].name, ALGO_TEXT_MAX);
	return out;
}
