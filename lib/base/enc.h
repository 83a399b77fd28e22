#ifndef BASE_ENC_H
#define BASE_ENC_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Hexadecimal and base64 (RFC 4648), strict. */

/* n octets as 2n upper-case digits and a NUL; out holds 2n + 1. Returns out. */
char *hex_encode(char *out, const void *p, size_t n);

/* Digits of either case; returns octets written, or -1 with EINVAL (odd, not hex) or EMSGSIZE. */
ssize_t hex_decode(uint8_t *out, size_t outsz, const char *s, size_t n);

#define B64_LEN(n) (((n) + 2) / 3 * 4) /* octets that n octets take in base64, no NUL */

/* Encode without line breaks; out holds B64_LEN(n) + 1. Returns the length without the NUL. */
size_t b64_encode(char *out, const void *p, size_t n);

/*
 * Decode one run without white space, padding required (RFC 4648, 3.2, 3.3, 3.5: trailing bits
 * must be zero).
 *
 * Returns octets written (n / 4 * 3 suffice), or -1 with EINVAL or EMSGSIZE.
 */
ssize_t b64_decode(uint8_t *out, size_t outsz, const char *s, size_t n);

/* What a letter of base64 stands for, 0 to 63, or -1. */
int b64_value(uint8_t c);

#endif
