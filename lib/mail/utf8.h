#ifndef MAIL_UTF8_H
#define MAIL_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * One character of UTF-8 (RFC 3629: no surrogates, no overlong forms, up to U+10FFFF).
 *
 * Returns its octets (1 to 4) and its code point in *cp, or 0 when p[0..n) does not start with
 * one (n may be 0).
 */
unsigned mail_utf8_next(const uint8_t *p, size_t n, uint32_t *cp);

/* Octets of a code point (up to 0x10ffff) written to out. */
unsigned mail_utf8_put(uint8_t out[4], uint32_t cp);

/* Is all of it UTF-8? */
bool mail_utf8_valid(const void *p, size_t n);

#endif
