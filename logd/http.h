#ifndef LOGD_HTTP_H
#define LOGD_HTTP_H

#include <stddef.h>
#include <stdint.h>

/*
 * A request of HTTP/1.0 or 1.1 (RFC 9112) for the figures: GET or HEAD of /metrics, without a body.
 * Strict: CRLF, no folded fields, one Host in 1.1; nothing but what a scraper sends.
 */
#define HTTP_REQUEST_MAX 4096 /* octets of a request with its empty line */

enum http_status { HTTP_MORE, HTTP_GET, HTTP_HEAD, HTTP_BAD };

/*
 * Look at the n octets that have come so far.
 *
 * code	receives the status for HTTP_BAD: 400, 404, 405, 431, 505
 */
enum http_status http_request(const uint8_t *p, size_t n, unsigned *code);

/* The words for a status code: "Not Found". */
const char *http_reason(unsigned code);

#endif
