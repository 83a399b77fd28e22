/*
 * Retrieval of hostile mail.  The first octet of the input says what the rest is: a stored
 * message, a plaintext to be encrypted first, packets in PGP/MIME, or the text of inline armour;
 * and whether a banner is shown.
 */
#include "mail/header.h"
#include "mail/mime.h"
#include "mail/verdict.h"
#include "t/fuzz/filterd_ask.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HEAD "From: " BOB "\r\nTo: x@example.net\r\nSubject: s\r\n"

enum kind { STORED, PLAINTEXT, SIGNED_PLAINTEXT, PACKETS, INLINE, KINDS };

static void
encrypt(struct buf *out, const uint8_t *p, size_t n, int sign)
{
	struct pgp_recipient to = {&cert, &keys[1]};
	struct pgp_signer by = {&keys[0], NULL};
	struct pgp_secret secret = ask_secret(&worker.ask);
	struct pgp_encrypt_params params = {.to = &to,
	    .nto = 1,
	    .signers = sign ? &by : NULL,
	    .nsigners = sign ? 1 : 0,
	    .secret = sign ? &secret : NULL,
	    .armor = true,
	    .now = clock_unix()};
	struct sink sink = sink_buf(out);
	struct pgp_encrypt *w = pgp_encrypt_open(&params, &sink, NULL);

	if (w == NULL || pgp_encrypt_write(w, p, n) == -1 || pgp_encrypt_close(w, NULL) == -1)
		abort();
}

static void
make_message(struct buf *m, enum kind kind, const uint8_t *p, size_t n)
{
	if (kind == STORED) {
		buf_put(m, p, n);
		return;
	}
	buf_puts(m, HEAD);
	if (kind == INLINE) {
		buf_puts(m, "\r\nHello\r\n");
		encrypt(m, p, n, 1);
		return;
	}
	buf_puts(m, "Content-Type: multipart/encrypted; boundary=\"=_\"\r\n\r\n--=_\r\n"
		    "Content-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n--=_\r\n\r\n");
	if (kind == PACKETS)
		buf_put(m, p, n);
	else
		encrypt(m, p, n, kind == SIGNED_PLAINTEXT);
	buf_puts(m, "\r\n--=_--\r\n");
}

/* Nothing of the sender's gets out of the one part that is his. */
static void
check_banner(const struct mail_index *ix)
{
	const struct mail_part *m = &ix->parts[0], *one;

	if (!mail_part_is(m, "multipart", "mixed") || m->child == MAIL_NONE)
		abort();
	one = &ix->parts[m->child];
	if (!mail_part_is(one, "multipart", "alternative") || one->next == MAIL_NONE ||
	    ix->parts[one->next].next != MAIL_NONE || (m->flags & MAIL_UNCLOSED) != 0)
		abort();
}

/* Only our own verdict stands in what a reader gets, and it stands first. */
static void
check_virtual(const struct octets *o, int banner)
{
	struct mail_index ix;
	struct mail_header h;
	struct mail_field f;
	size_t pos = 0;
	int ours = 1;

	if (mail_index_make(&ix, o) == -1 || mail_header_load(&h, o, 0, ix.parts[0].head_len) == -1)
		abort();
	while (mail_field_next(&h, &pos, &f)) {
		if (!mail_is_ours(f.name.p, f.name.n))
			ours = 0;
		else if (!ours)
			abort();
	}
	if (mail_header_count(&h, MAIL_VERDICT_FIELD) > 1 ||
	    mail_header_count(&h, MAIL_SIGNER_FIELD) > 1)
		abort();
	if (banner && mail_header_count(&h, MAIL_VERDICT_FIELD) > 0 && ix.truncated == 0)
		check_banner(&ix);
	mail_header_free(&h);
	mail_index_free(&ix);
}

/* What is kept of a message for the next time. */
struct kept_of {
	uint8_t sticky[STICKY_MAX];
	size_t n;
};

static void
open_once(const struct buf *m, int banner, struct kept_of *k, struct buf *out)
{
	struct blob b = {.kind = BLOB_INLINE, .size = buf_len(m), .data = {buf_ptr(m), buf_len(m)}};
	struct open_req q = {
	    .banner = (uint8_t)banner, .sticky = {k->sticky, k->n}, .message = {&b, 1}};
	const struct open_rep *p;
	struct sink to = sink_buf(out);
	struct ipc_msg a;
	struct octets o;
	struct spool s;

	if (open_message(&worker, &q, 1, -1) == -1 || !next_answer(&a))
		abort();
	p = a.body;
	if (p->result == OPEN_DEFER)
		abort(); /* every peer is there: nothing is worth another try */
	if (p->result == OPEN_VIRTUAL) {
		if (spool_receive(&s, p->message.v, a.fd, WORKER_MESSAGE_MAX) == -1)
			abort();
		a.fd = -1;
		if (spool_octets(&s, &o) == -1 || sink_copy(&to, &o, 0, o.size) == -1)
			abort();
		check_virtual(&o, banner);
		spool_free(&s);
	}
	k->n = p->sticky.n;
	memcpy(k->sticky, p->sticky.p, p->sticky.n);
	ipc_done(&proxy, &a);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kept_of kept = {{0}, 0};
	struct buf m, one, two;
	int banner;

	if (size == 0 || size > INPUT_MAX)
		return 0;
	stand_in(P_POP3D);
	buf_init(&m, BLOB_INLINE_MAX);
	buf_init(&one, WORKER_MESSAGE_MAX);
	buf_init(&two, WORKER_MESSAGE_MAX);
	make_message(&m, (enum kind)(data[0] % KINDS), data + 1, size - 1);
	banner = data[0] / KINDS % 2;
	open_once(&m, banner, &kept, &one);
	open_once(&m, banner, &kept, &two);
	if (buf_len(&one) != buf_len(&two) ||
	    memcmp(buf_ptr(&one), buf_ptr(&two), buf_len(&one)) != 0)
		abort(); /* the same message must always look the same */
	buf_free(&m);
	buf_free(&one);
	buf_free(&two);
	return 0;
}
