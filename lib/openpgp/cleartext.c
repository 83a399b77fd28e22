#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "openpgp/algo.h"
#include "openpgp/dearmor.h"
#include "openpgp/detached.h"
#include "openpgp/sigset.h"

/*
 * The cleartext signature framework, RFC 4880, 7.  The text is read twice: first to find the
 * signatures, which say what to hash (the Hash header is only a promise), then to hash it.
 */
#define STAGE 8192

struct clear {
	const struct octets *in;
	const struct sink *out;
	struct pgp_input input;
	struct pgp_lines lines;
	struct pgp_sigset set;
	struct pgp_dearmor *armor;
	uint64_t text, text_end; /* offsets in the input */
	bool sink_failed;
	size_t staged;
	uint8_t stage[STAGE];
	uint8_t line[PGP_CLEAR_LINE_MAX];
};

static int
bad(void)
{
	errno = EBADMSG;
	return -1;
}

static int
lines_at(struct clear *c, uint64_t off, uint64_t end)
{
	pgp_input_close(&c->input);
	if (pgp_input_open(&c->input, c->in, off, end) == -1)
		return -1;
	c->lines =
	    (struct pgp_lines){.from = &c->input.src, .size = sizeof c->line, .buf = c->line};
	return 0;
}

/* "Hash: " and names of hashes, RFC 4880, 7: in any other words stands what nobody has signed. */
static bool
is_hash_header(struct bytes line)
{
	const char *p = (const char *)line.p, *end = p + line.n, *name;
	unsigned algo;
	size_t n;

	if (line.n < 6 || strncasecmp(p, "Hash:", 5) != 0)
		return false;
	for (p += 5; p < end; p += n) {
		while (p < end && (*p == ' ' || *p == ','))
			p++;
		for (n = 0; p + n < end && p[n] != ' ' && p[n] != ','; n++)
			;
		if (n == 0)
			break;
		for (algo = PGP_HASH_MD5; algo <= PGP_HASH_SHA3_512; algo++) {
			name = pgp_hash_name(algo);
			if (pgp_hash_len(algo) > 0 && strlen(name) == n &&
			    strncasecmp(p, name, n) == 0)
				break;
		}
		if (algo > PGP_HASH_SHA3_512)
			return false;
	}
	return true;
}

/* Up to the empty line behind the headers, of which "Hash" is the only one there is. */
static int
read_head(struct clear *c)
{
	struct bytes line;
	unsigned n = 0;
	int rc;

	do {
		if (c->lines.off > PGP_ARMOR_PREFACE_MAX)
			return bad();
		if ((rc = pgp_lines_next(&c->lines, &line)) != 1)
			return rc == 0 ? bad() : -1;
	} while (pgp_armor_begins(line) != PGP_ARMOR_CLEARSIGNED);
	for (;;) {
		if ((rc = pgp_lines_next(&c->lines, &line)) != 1)
			return rc == 0 ? bad() : -1;
		if (line.n == 0)
			break;
		/* Anything else would be text that looks signed and is not. */
		if (c->lines.cut || !is_hash_header(line) || ++n > PGP_ARMOR_HEADERS_MAX)
			return bad();
	}
	c->text = c->lines.off;
	return 0;
}

/* Find the end of the text, read the signatures behind it. */
static int
read_signatures(struct clear *c)
{
	struct bytes line;
	int rc;

	for (;;) {
		c->text_end = c->lines.off;
		if ((rc = pgp_lines_next(&c->lines, &line)) != 1)
			return rc == 0 ? bad() : -1;
		if (c->lines.cut)
			return bad();
		if (line.n == 0 || line.p[0] != '-')
			continue;
		if (pgp_armor_begins(line) == PGP_ARMOR_SIGNATURE)
			break;
		/* RFC 4880, 7.1: any other line with a dash has its escape. "- " lost its blank
		 * when it was trimmed. */
		if (line.n > 1 && line.p[1] != ' ')
			return bad();
	}
	if ((c->armor = malloc(sizeof *c->armor)) == NULL)
		return -1;
	pgp_dearmor_open_inside(c->armor, &c->input.src, PGP_ARMOR_SIGNATURE);
	buf_init(&c->set.octets, PGP_SIG_BLOB_MAX);
	while ((rc = pgp_src_fill(&c->armor->src)) == 1) {
		if (buf_put(&c->set.octets, c->armor->src.p, c->armor->src.n) == -1)
			return errno == EMSGSIZE ? bad() : -1;
		pgp_src_take(&c->armor->src, c->armor->src.n);
	}
	if (rc == -1)
		return -1;
	return pgp_sigset_add(
	    &c->set, (struct bytes){buf_ptr(&c->set.octets), buf_len(&c->set.octets)});
}

static int
flush(struct clear *c)
{
	if (pgp_hashing_update(&c->set.hashing, c->stage, c->staged) == -1)
		return -1;
	if (sink_write(c->out, c->stage, c->staged) == -1) {
		c->sink_failed = true;
		return -1;
	}
	c->staged = 0;
	return 0;
}

static int
stage(struct clear *c, const uint8_t *p, size_t n)
{
	size_t k;

	for (; n > 0; p += k, n -= k) {
		if (c->staged == sizeof c->stage && flush(c) == -1)
			return -1;
		k = sizeof c->stage - c->staged;
		k = k < n ? k : n;
		memcpy(c->stage + c->staged, p, k);
		c->staged += k;
	}
	return 0;
}

/*
 * Hash and hand out the text.  The line end before the signature is not signed (RFC 4880, 7.1),
 * but a text has one.
 */
static int
read_text(struct clear *c)
{
	struct bytes line;
	bool first = true;
	int rc;

	if (lines_at(c, c->text, c->text_end) == -1)
		return -1;
	while ((rc = pgp_lines_next(&c->lines, &line)) == 1) {
		if (!first && stage(c, (const uint8_t *)"\r\n", 2) == -1)
			return -1;
		first = false;
		if (line.n > 0 && line.p[0] == '-') {
			/* "- " alone was trimmed to "-". */
			line.p += line.n > 1 ? 2 : 1;
			line.n -= line.n > 1 ? 2 : 1;
		}
		if (stage(c, line.p, line.n) == -1)
			return -1;
	}
	if (rc == -1 || flush(c) == -1)
		return -1;
	if (!first && sink_write(c->out, "\r\n", 2) == -1) {
		c->sink_failed = true;
		return -1;
	}
	return 0;
}

int
pgp_clear_verify(const struct octets *in, const struct pgp_certs *certs, uint64_t now,
    const struct sink *out, struct pgp_result *r, struct err *e)
{
	struct clear *c;
	int rc = -1;

	memset(r, 0, sizeof *r);
	r->status = PGP_IO;
	if ((c = calloc(1, sizeof *c)) == NULL)
		return err_sys(e, "clear-signed text");
	c->in = in;
	c->out = out;
	if (lines_at(c, 0, in->size) == -1 || read_head(c) == -1 || read_signatures(c) == -1 ||
	    read_text(c) == -1) {
		if (c->sink_failed || errno == EIO || errno == ENOMEM) {
			err_sys(e, "clear-signed text");
			goto out;
		}
		r->status = PGP_MALFORMED;
		err_set(e, EBADMSG, "not a well-formed clear-signed text");
		goto out;
	}
	r->size = c->text_end - c->text;
	r->mode = 't';
	r->remarks = c->armor->remarks;
	pgp_sigset_check(&c->set, certs, now, r);
	rc = 0;
out:
	pgp_sigset_free(&c->set);
	free(c->armor);
	pgp_input_close(&c->input);
	free(c);
	return rc;
}
