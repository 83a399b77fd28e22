#ifndef KEYD_KEYD_H
#define KEYD_KEYD_H

#include <stddef.h>
#include <stdint.h>

#include "net/line.h"
#include "proc/proc.h"

extern const struct proc keyd;

/* url.c */

#define URL_MAX 1024 /* octets of a responder's URL; longer ones are not asked */

struct url {
	char host[HOST_MAX]; /* name in lower case, or address without brackets */
	uint16_t port;
	int tls; /* https */
	char path[URL_MAX + 2]; /* with the query; begins with "/" */
};

/*
 * The URL of a responder, which a certificate names and so perhaps an attacker (RFC 3986): http
 * only, a host name or address, perhaps a port, path and query of visible ASCII; no user, no
 * fragment.
 *
 * Returns 0, or -1 with e; its text has nothing of the URL in it.
 */
int url_parse(const void *p, size_t n, struct url *u, struct err *e);

/* "ocsp.example.org", "[2001:db8::1]:8080": the port only where it is not the scheme's. Returns
 * out.
 */
char *url_authority(char *out, size_t outsz, const struct url *u);

/*
 * May we connect there?  A certificate, or somebody's DNS, chooses the address: it must not have us
 * speak to what only this machine can reach.  So it is an address of the Internet (IANA's
 * special-purpose registries, RFC 6890) and port 80 or 8080, or else in one of the networks that
 * the administrator has named.
 *
 * own_port	the port is none that was chosen by others
 */
int address_allowed(const struct netaddr *a, const struct conf_nets *allow, int own_port);

/* subject.c: whose revocation is asked for */

#define SERIAL_MAX 64 /* octets; RFC 5280, 4.1.2.2, allows 20 */

struct subject {
	struct x509_st *cert, *issuer;
	uint8_t key[32]; /* of the cache: issuer's name and key, serial number; by subject_check */
	char serial[2 * SERIAL_MAX + 2]; /* hexadecimal */
	int asks; /* the certificate names a responder */
	struct url url; /* which we can ask; if there is none, host is "" */
	struct err why; /* and this says why */
};

/* Parse the certificate and the one that is said to have issued it. 0 (then subject_free), or -1
 * with e. */
int subject_parse(struct subject *s, struct bytes cert, struct bytes issuer, struct err *e);
void subject_free(struct subject *s);

/* See that it was issued by that one; else nothing that is said of it would be worth anything. 0,
 * or -1 with e. */
int subject_check(struct subject *s, struct err *e);

/* The DER of a question (RFC 6960, 4.1; without nonce, RFC 5019, 2.1.1), for free; NULL: ENOMEM. */
uint8_t *subject_question(const struct subject *s, size_t *n);

/* response.c */

#define SKEW_S 300 /* by which clocks may differ */
#define AGE_MAX_S (10 * 86400) /* of a response that does not say when the next one comes */
#define TEXT_MAX 256

/* What is known of a certificate. */
struct answer {
	enum ocsp_status status;
	char text[TEXT_MAX]; /* printable ASCII, nothing in it that a stranger wrote */
	uint64_t this_update, next_update; /* seconds since the epoch; next_update 0: not said */
	uint8_t *der; /* the response, or NULL; its owner frees it */
	size_t n;
};

/*
 * Verify an OCSP response (RFC 6960, 3.2): it is about this certificate, signed by its issuer or
 * by a responder that the issuer has certified for that, and of now.
 *
 * now		seconds since the epoch
 * a		receives status (good, revoked or unknown), text and times; der is left alone
 *
 * Returns 0, or -1 with e: the response is worth nothing.
 */
int response_check(const struct subject *s, const uint8_t *der, size_t n, uint64_t now,
    struct answer *a, struct err *e);

/* http.c: the answer to a request of HTTP/1.0 (RFC 1945) or HTTP/1.1 (RFC 9112) */

#define HTTP_HEAD_MAX 8192 /* octets of status line, header and all that divides chunks */
#define HTTP_LINE_MAX 2048

struct http {
	struct line_reader line;
	struct buf body;
	const char *type; /* that it has to have; NULL: any */
	int chunks; /* HTTP/1.1 was asked for: it may come in chunks, and other answers before it */
	enum {
		HTTP_IN_HEAD,
		HTTP_IN_BODY,
		HTTP_IN_SIZE,
		HTTP_IN_CHUNK,
		HTTP_BEHIND_CHUNK,
		HTTP_IN_TRAILER,
		HTTP_AT_END
	} at;
	size_t lines; /* octets of them so far */
	size_t length; /* still to come of the body, once has_length, or of a chunk */
	int has_length, chunked, typed, status;
};

enum http_status { HTTP_BAD = -1, HTTP_MORE, HTTP_DONE };

/* max: octets of a body. */
void http_init(struct http *h, size_t max, const char *type, int chunks);
void http_free(struct http *h);

/*
 * Take n octets; *used receives how many are done with, the others must come again with more
 * behind them.  HTTP_BAD fills e: only status 200 is good, redirections are not followed.
 */
enum http_status http_take(struct http *h, const uint8_t *p, size_t n, size_t *used, struct err *e);

/* The other side has ended; HTTP_DONE or HTTP_BAD. */
enum http_status http_end(struct http *h, struct err *e);

/* fetch.c: one request to a server */

struct fetch;

struct fetch_request {
	struct url url;
	const uint8_t *post; /* n octets of an OCSP request; NULL: GET */
	size_t n;
	const char *type; /* of the answer; NULL: any */
	size_t max; /* octets of it */
	uint32_t ms; /* from the name to the last octet */
	struct ssl_ctx_st *tls; /* HTTPS: whom to trust; NULL: HTTP */
};

/*
 * p NULL: e says why there is no answer; with e->code EKEYREJECTED it is the server's certificate.
 * Called once, from the loop, never within fetch_start.
 */
typedef void (*fetch_done)(void *arg, const uint8_t *p, size_t n, const struct err *e);

/*
 * Ask.  What r points to is copied, but for type; tls is kept by reference count.  NULL: ENOMEM.
 */
struct fetch *fetch_start(const struct fetch_request *r, fetch_done done, void *arg);
void fetch_cancel(struct fetch *f); /* NULL is allowed */

/* cache.c: what was found out, the least recently used goes first */

#define CACHE_MAX 4096 /* answers */
#define CACHE_OCTETS (16 * 1024 * 1024) /* of responses in them */
#define CACHE_MS (3600 * 1000) /* that a good answer is kept, if it is good for that long */
#define CACHE_FAILED_MS (60 * 1000) /* the same of a failure, and of OCSP_UNKNOWN */

/*
 * What need not be asked for again: a failure, or a good answer for the first half of the time that
 * it is kept.  Valid until the next call of cache_*, or NULL.
 */
const struct answer *cache_find(const uint8_t key[32], uint64_t now_ms);

/*
 * Asking again has failed: what was found out before, if it still counts, and nobody need ask again
 * for a minute.
 */
const struct answer *cache_renew(const uint8_t key[32], uint64_t now_ms);

/* Copied; without memory it is not kept. now: seconds since the epoch. */
void cache_keep(const uint8_t key[32], const struct answer *a, uint64_t now_ms, uint64_t now);
void cache_forget_failures(void);
void cache_clear(void);
unsigned cache_count(void);

/* question.c: questions of the daemons */

#define FETCH_MS 10000 /* for one */
#define QUESTIONS_MAX 256 /* under way at once */
#define WAITERS_MAX 4096 /* who wait for them */

void question_new(struct chan *c, uint64_t id, const struct ocsp_req *q);
void question_forget(const struct chan *c); /* the asker is gone */
void question_abort(void);

struct question_counts {
	uint64_t asked, cached, stapled, fetched, failed;
	uint64_t status[OCSP_STATUS_MAX]; /* of answers given */
	unsigned open;
};

const struct question_counts *question_count(void);

#endif
