#include "base/enc.h"

#include <errno.h>

char *
hex_encode(char *out, const void *p, size_t n)
{
	static const char digits[] = "0123456789ABCDEF";
	const uint8_t *b = p;
	size_t i;

	for (i = 0; i < n; i++) {
		out[2 * i] = digits[b[i] >> 4];
		out[2 * i + 1] = digits[b[i] & 15];
	}
	out[2 * n] = '\0';
	return out;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

ssize_t
hex_decode(uint8_t *out, size_t outsz, const char *s, size_t n)
{
	size_t i;
	int hi, lo;

	if (n % 2 != 0) {
		errno = EINVAL;
		return -1;
	}
	if (n / 2 > outsz) {
		errno = EMSGSIZE;
		return -1;
	}
	for (i = 0; i < n; i += 2) {
		hi = hex_digit(s[i]);
		lo = hex_digit(s[i + 1]);
		if (hi < 0 || lo < 0) {
			errno = EINVAL;
			return -1;
		}
		out[i / 2] = (uint8_t)(hi << 4 | lo);
	}
	return (ssize_t)(n / 2);
}

size_t
b64_encode(char *out, const void *p, size_t n)
{
	static const char abc[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const uint8_t *b = p;
	char *o = out;
	uint32_t v;
	size_t i;

	for (i = 0; i + 3 <= n; i += 3) {
		v = (uint32_t)b[i] << 16 | (uint32_t)b[i + 1] << 8 | b[i + 2];
		*o++ = abc[v >> 18];
		*o++ = abc[v >> 12 & 63];
		*o++ = abc[v >> 6 & 63];
		*o++ = abc[v & 63];
	}
	if (i < n) {
		v = (uint32_t)b[i] << 16 | (i + 1 < n ? (uint32_t)b[i + 1] << 8 : 0);
		*o++ = abc[v >> 18];
		*o++ = abc[v >> 12 & 63];
		*o++ = i + 1 < n ? abc[v >> 6 & 63] : '=';
		*o++ = '=';
	}
	*o = '\0';
	return (size_t)(o - out);
}

int
b64_value(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

ssize_t
b64_decode(uint8_t *out, size_t outsz, const char *s, size_t n)
{
	size_t i, k, o = 0, pad = 0;
	uint32_t v;
	int d;

	if (n % 4 != 0)
		goto bad;
	if (n > 0 && s[n - 1] == '=')
		pad = s[n - 2] == '=' ? 2 : 1;
	if (n / 4 * 3 - pad > outsz) {
		errno = EMSGSIZE;
		return -1;
	}
	for (i = 0; i < n; i += 4) {
		size_t have = i + 4 == n ? 4 - pad : 4;

		for (v = 0, k = 0; k < 4; k++) {
			d = k < have ? b64_value((uint8_t)s[i + k]) : 0;
			if (d < 0)
				goto bad;
			v = v << 6 | (uint32_t)d;
		}
		if ((have == 2 && (v & 0xffff) != 0) || (have == 3 && (v & 0xff) != 0))
			goto bad;
		for (k = 0; k + 1 < have; k++)
			out[o++] = (uint8_t)(v >> (16 - 8 * k));
	}
	return (ssize_t)o;
bad:
	errno = EINVAL;
	return -1;
}
