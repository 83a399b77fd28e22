#ifndef NET_DOTS_H
#define NET_DOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/io.h"

/*
 * Dot-stuffed data: the message behind DATA (RFC 5321, 4.5.2) and multi-line answers of POP3
 * (RFC 1939, 3).  Streaming, for any cut of the input.  Lines end with CRLF and with nothing
 * else: only CRLF.CRLF (or .CRLF at the very beginning) is the end, and a dot behind a bare LF
 * or a bare CR is neither the end nor stuffed (RFC 5321, 4.1.1.4: SMTP smuggling).
 */
#define DOTS_BARE_CR 0x1u
#define DOTS_BARE_LF 0x2u

struct dots_decoder {
	bool strict; /* nothing is put out from the first bare CR or LF on */
	bool odd; /* not strict: dots were not stuffed as dots_encode (any_lf) would */
	uint8_t state;
	uint64_t octets; /* decoded so far, counting what was not put out too */
	/* When strict; else all 0. */
	unsigned flags; /* what was seen so far: DOTS_* */
	uint64_t first_bad; /* offset in the decoded data of the first bare CR or LF */
	size_t line; /* octets of the present line */
	size_t longest; /* octets of the longest line, without CRLF */
};

/*
 * strict	for SMTP: a message with a bare CR or LF will be refused at its end, so nothing
 *		behind it is put out.  Not strict, for POP3: octets pass as they are.
 */
void dots_decode_init(struct dots_decoder *d, bool strict);

/*
 * Decode from n octets at p.
 *
 * used		receives the octets taken: n, or fewer when the end was found (the rest is the next
 *		command)
 * out		receives the data with its dots unstuffed and its last CRLF, without the end mark;
 *		NULL to look for the end only
 *
 * Returns 1 at the end of the data, 0 when more is needed, or -1 with the sink's errno; then the
 * rest of these octets has been read all the same, *used is right, a further call may go on with
 * out NULL, and dots_ended tells whether the end was among them.
 */
int dots_decode(
    struct dots_decoder *d, const uint8_t *p, size_t n, size_t *used, const struct sink *out);
bool dots_ended(const struct dots_decoder *d);

struct dots_encoder {
	uint8_t state;
	bool any_lf;
	const struct sink *out;
	uint64_t octets; /* put out so far */
};

/* out must outlive the encoder. */
void dots_encode_init(struct dots_encoder *e, const struct sink *out);

/*
 * For POP3: stuff dots behind a bare LF too.  A message may have been stored with such lines, or
 * decrypted to them, and many clients end a line at LF: for them LF "." LF would be the end, and
 * what follows in the message would be taken for our next answers.
 */
void dots_encode_any_lf(struct dots_encoder *e);

/* Stuff and put out n octets. Returns 0, or -1 with the sink's errno. */
int dots_encode(struct dots_encoder *e, const void *p, size_t n);

/* CRLF where the data did not end with one (empty data needs none), then the end mark. */
int dots_encode_end(struct dots_encoder *e);

#endif
