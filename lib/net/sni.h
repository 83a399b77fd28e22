#ifndef NET_SNI_H
#define NET_SNI_H

#include <stddef.h>
#include <stdint.h>

#define SNI_NAME_MAX 253 /* octets of a DNS name (RFC 1035, 2.3.4) */

/*
 * A host name (RFC 1123, 2.1) in lower case and without a final dot: labels of letters, digits and
 * hyphens, no address.
 *
 * wildcard	its first label may be "*" and no more (RFC 6125, 6.4.3)
 * out		receives it with a NUL; "" when it is none
 *
 * Returns 0, or -1 with errno EINVAL.
 */
int sni_host_name(const void *p, size_t n, int wildcard, char out[SNI_NAME_MAX + 1]);

/*
 * The host name in the body of a server_name extension (RFC 6066, 3), as sni_host_name writes it.
 * Returns 0, or -1 with errno EINVAL (malformed, no host name in it) and out "".
 */
int sni_parse(const uint8_t *ext, size_t n, char out[SNI_NAME_MAX + 1]);

#endif
