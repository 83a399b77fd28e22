/* Attachments that somebody encrypted one by one, and PGP/MIME inside of other multiparts. */
#include "filterd/parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "mail/write.h"
#include "openpgp/armor.h"

#define NAME_MAX_OUT 200 /* octets of an attachment's name that are kept */
#define WINDOW (16 * 1024) /* octets looked at together */

static const char *const endings[] = {".pgp", ".gpg", ".asc"};

/* Octets of the name without such an ending; all of it when it has none. */
static size_t
stem(const char *name)
{
	size_t n = strlen(name), i;

	for (i = 0; n > 4 && i < sizeof endings / sizeof endings[0]; i++)
		if (strcasecmp(name + n - 4, endings[i]) == 0)
			return n - 4;
	return n;
}

int
parts_attachment(const struct mail_index *ix, uint32_t i)
{
	const struct mail_part *p = &ix->parts[i];

	if (!mail_part_leaf(p) || !mail_part_is(p, "application", NULL) ||
	    mail_part_is(p, "application", "pgp-signature") ||
	    mail_part_is(p, "application", "pgp-keys"))
		return 0;
	return mail_part_is(p, "application", "pgp-encrypted") || p->name[stem(p->name)] != '\0';
}

static int
is_below(const struct mail_index *ix, uint32_t i, uint32_t top)
{
	for (; i != MAIL_NONE; i = ix->parts[i].parent)
		if (i == top)
			return 1;
	return 0;
}

/* A leaf in which no mail program sees markup. */
static int
is_inert(const struct mail_part *p)
{
	if (mail_part_is(p, "application", NULL))
		return strstr(p->subtype, "html") == NULL && strstr(p->subtype, "xml") == NULL;
	return mail_part_is(p, "text", "plain") || mail_part_is(p, "image", "png") ||
	       mail_part_is(p, "image", "jpeg") || mail_part_is(p, "image", "gif");
}

int
parts_nested(const struct mail_index *ix, uint32_t i)
{
	uint32_t k;

	if (i == 0 || ix->truncated != 0 || pgp_ciphertext(ix, i) == MAIL_NONE)
		return 0;
	for (k = 0; k < ix->n; k++) {
		if (is_below(ix, k, i))
			continue;
		if (mail_part_leaf(&ix->parts[k])
			? !is_inert(&ix->parts[k])
			: mail_part_is(&ix->parts[k], "multipart", "encrypted"))
			return 0;
		/* Others may see other parts in it. */
		if ((ix->parts[k].flags & MAIL_AMBIGUOUS) != 0)
			return 0;
	}
	return 1;
}

/* Binary packets, or a message in armour? -1 when it cannot be read. */
static int
is_message(const struct octets *o)
{
	struct pgp_block b;
	uint8_t first;
	int found;

	if (o->size == 0)
		return 0;
	if (octets_read(o, &first, 1, 0) == -1)
		return -1;
	if (pgp_is_binary(&first, 1))
		return 1;
	found = pgp_armor_find(o, 0, &b);
	return found == 1 ? b.type == PGP_ARMOR_MESSAGE : found;
}

/* Decrypt a part's content.  READ_DONE: plain holds plaintext that was encrypted to the reader. */
static enum read_result
decrypt_part(struct inlining *x, uint32_t i, struct spool *plain, struct pgp_result *res)
{
	struct reading *r = x->r;
	enum read_result rc;
	struct spool stored;
	struct octets o;
	struct sink to;
	int is;

	spool_init(&stored, WORKER_MESSAGE_MAX, r->w->spooldir);
	to = spool_sink(&stored);
	if (mail_part_decode(&r->in, &r->ix.parts[i], &to) == -1 ||
	    spool_octets(&stored, &o) == -1) {
		rc = reading_defer(r, strerror(errno));
		goto out;
	}
	if ((is = is_message(&o)) != 1) {
		rc = is == 0 ? READ_NOT_OURS : reading_defer(r, "the message cannot be read now");
		goto out;
	}
	x->blocks++;
	rc = reading_decrypt(r, &o, plain, res);
	if (rc == READ_NOT_OURS)
		x->foreign++;
	else if (rc == READ_DONE && res->status == PGP_IO)
		rc = reading_defer(r, "the message cannot be read now");
	else if (rc == READ_DONE && !res->encrypted)
		rc = READ_NOT_OURS; /* signed or compressed only: it can be read by others too */
	else if (rc == READ_DONE && res->status != PGP_OK) {
		x->failed++;
		x->no_integrity += res->status == PGP_NO_INTEGRITY;
		rc = READ_NOT_OURS;
	}
out:
	spool_free(&stored);
	return rc;
}

/* The name as a parameter, any octets (RFC 2231, 4). */
static int
put_filename(const struct sink *out, const char *name, size_t n)
{
	static const char hex[] = "0123456789ABCDEF";
	char c[3] = "%";
	size_t i;

	if (sink_puts(out, "Content-Disposition: attachment;\r\n filename*=utf-8''") == -1)
		return -1;
	for (i = 0; i < n; i++) {
		uint8_t o = (uint8_t)name[i];

		if ((o >= '0' && o <= '9') || (o >= 'a' && o <= 'z') || (o >= 'A' && o <= 'Z') ||
		    o == '-' || o == '.' || o == '_') {
			if (sink_write(out, &name[i], 1) == -1)
				return -1;
			continue;
		}
		c[1] = hex[o >> 4];
		c[2] = hex[o & 15];
		if (sink_write(out, c, 3) == -1)
			return -1;
	}
	return sink_puts(out, "\r\n");
}

/* A file is never shown: whatever it holds, it is octets to be saved. */
static int
put_file(const struct mail_part *p, const struct octets *o, const struct sink *out)
{
	const char *name = p->name[0] != '\0' ? p->name : "decrypted";
	size_t n = stem(name);
	struct mail_filter b64;
	struct sink to;

	if (n > NAME_MAX_OUT) /* its end says what it is */
		name += n - NAME_MAX_OUT;
	if (sink_puts(out, "Content-Type: application/octet-stream\r\n"
			   "Content-Transfer-Encoding: base64\r\n") == -1 ||
	    put_filename(out, name, n > NAME_MAX_OUT ? NAME_MAX_OUT : n) == -1 ||
	    sink_puts(out, "\r\n") == -1)
		return -1;
	mail_filter_init(&b64, MAIL_B64_ENCODE, out);
	to = mail_filter_sink(&b64);
	return sink_copy(&to, o, 0, o->size) == -1 || mail_filter_end(&b64) == -1 ? -1 : 0;
}

enum read_result
open_attachment(struct inlining *x, uint32_t i, struct piece *piece)
{
	struct reading *r = x->r;
	struct pgp_result *res = calloc(1, sizeof *res);
	enum read_result rc;
	struct spool plain;
	struct octets o;
	struct sink to;

	if (res == NULL)
		return reading_defer(r, "out of memory");
	spool_init(&plain, PLAIN_MAX, r->w->spooldir);
	spool_init(&piece->text, 2 * PLAIN_MAX, r->w->spooldir);
	piece->part = i;
	piece->entity = 1;
	if ((rc = decrypt_part(x, i, &plain, res)) == READ_DONE) {
		x->opened++;
		reading_signatures(r, res);
		to = spool_sink(&piece->text);
		if (spool_octets(&plain, &o) == -1 || put_file(&r->ix.parts[i], &o, &to) == -1)
			rc = reading_defer(r, strerror(errno));
	}
	if (rc != READ_DONE)
		spool_free(&piece->text);
	spool_free(&plain);
	free(res);
	return rc;
}

/* Does a line of it begin as a delimiter of this boundary would? */
static int
holds_delimiter(const struct octets *o, const char *boundary)
{
	size_t n = strlen(boundary), have, i;
	uint8_t w[WINDOW + MAIL_BOUNDARY_MAX + 4];
	uint64_t off;

	for (off = 0; off < o->size; off += WINDOW) {
		have = o->size - off < sizeof w ? (size_t)(o->size - off) : sizeof w;
		if (octets_read(o, w, have, off) == -1)
			return 1;
		for (i = 0; i + n + 3 <= have && i < WINDOW; i++)
			if (w[i] == '\n' && w[i + 1] == '-' && w[i + 2] == '-' &&
			    memcmp(w + i + 3, boundary, n) == 0)
				return 1;
	}
	return 0;
}

/* Would it end a multipart around it, so that its parts become those of others? */
static int
breaks_out(const struct mail_index *ix, uint32_t i, struct spool *entity)
{
	struct octets o;

	if (spool_octets(entity, &o) == -1)
		return 1;
	for (i = ix->parts[i].parent; i != MAIL_NONE; i = ix->parts[i].parent)
		if (ix->parts[i].boundary[0] != '\0' && holds_delimiter(&o, ix->parts[i].boundary))
			return 1;
	return 0;
}

enum read_result
open_nested(struct inlining *x, uint32_t i, struct piece *piece)
{
	struct reading *r = x->r;
	struct pgp_result *res = calloc(1, sizeof *res);
	enum mail_signature before = r->verdict.signature;
	char signer[sizeof r->signer], fingerprint[sizeof r->fingerprint];
	enum read_result rc;
	struct spool plain;
	struct sink to;

	if (res == NULL)
		return reading_defer(r, "out of memory");
	memcpy(signer, r->signer, sizeof signer);
	memcpy(fingerprint, r->fingerprint, sizeof fingerprint);
	spool_init(&plain, PLAIN_MAX, r->w->spooldir);
	spool_init(&piece->text, 2 * PLAIN_MAX, r->w->spooldir);
	piece->part = i;
	piece->entity = 1;
	if ((rc = decrypt_part(x, pgp_ciphertext(&r->ix, i), &plain, res)) == READ_DONE) {
		to = spool_sink(&piece->text);
		rc = write_part(r, &plain, res, &to);
	}
	if (rc == READ_DONE && breaks_out(&r->ix, i, &piece->text)) {
		/* It stays as it is stored, so nothing is said of what is in it. */
		r->verdict.signature = before;
		memcpy(r->signer, signer, sizeof signer);
		memcpy(r->fingerprint, fingerprint, sizeof fingerprint);
		x->failed++;
		rc = READ_NOT_OURS;
	} else if (rc == READ_DONE)
		x->opened++;
	if (rc != READ_DONE)
		spool_free(&piece->text);
	spool_free(&plain);
	free(res);
	return rc;
}
