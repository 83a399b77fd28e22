#include "filterd/banner.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/enc.h"
#include "base/log.h"
#include "mail/utf8.h"
#include "mail/write.h"

#define DIGEST_HEX 32 /* digits in a boundary */
#define ADDR_TEXT (BANNER_SIGNER_MAX + 5) /* with "..." and NUL */
#define ADDR_HTML (6 * ADDR_TEXT)
#define FILL_LINE 76
#define STRETCH 16384 /* rounds, once a session: 9 ms here, years for 48 bits of phrase */

static const char *const encryption[] = {
    [MAIL_DEC_NO] = "This message was not encrypted.",
    [MAIL_DEC_YES] = "This message was encrypted, and was opened for you.",
    [MAIL_DEC_PART] = "Only parts of this message were encrypted; these were opened for you.",
    [MAIL_DEC_FAILED] = "This message is encrypted but damaged, and could not be opened.",
    [MAIL_DEC_NO_INTEGRITY] =
	"This message is encrypted without protection against changes, and was not opened.",
};

static const char *const signature[] = {
    [MAIL_SIG_NONE] = "Not signed: nothing proves who wrote it.",
    [MAIL_SIG_GOOD] = "Good: signed by its sender, and unchanged.",
    [MAIL_SIG_PART] = "Good, but only for parts of this message.",
    [MAIL_SIG_BAD] = "BAD: the message was changed, or the signature is another message's.",
    [MAIL_SIG_NO_KEY] = "Cannot be checked: the signer's key is not known.",
    [MAIL_SIG_EXPIRED] = "Not valid: the signer's key had expired.",
    [MAIL_SIG_REVOKED] = "Not valid: the signer's key was revoked.",
    [MAIL_SIG_UNTRUSTED] = "Not trusted: nobody vouches for the signer's key.",
    [MAIL_SIG_NOT_SENDER] = "Signed by somebody else than its sender.",
    [MAIL_SIG_DAMAGED] = "Cannot be checked: the signature is damaged.",
};

/* The colour of the frame: good, and everything else. */
static const char *
colour(const struct mail_verdict *v)
{
	return v->signature == MAIL_SIG_GOOD ? "#2a7d2a" : "#a05000";
}

int
banner_key(const char *phrase, uint8_t key[BANNER_KEY_LEN])
{
	static const uint8_t salt[] = "boundaries of banners";

	if (PKCS5_PBKDF2_HMAC(phrase, (int)strlen(phrase), salt, sizeof salt - 1, STRETCH,
		EVP_sha256(), BANNER_KEY_LEN, key) == 1)
		return 0;
	errno = ENOMEM;
	return -1;
}

/*
 * A boundary that the sender can neither know nor have put into the message: it depends on the
 * digest of that message and on the phrase.  kind: 'm' around all, 'a' in our part.
 */
static void
boundary(const struct reading *r, char kind, char out[DIGEST_HEX + 5])
{
	uint8_t in[sizeof r->digest + BANNER_KEY_LEN], sum[32];

	memcpy(in, r->digest, sizeof r->digest);
	memcpy(in + sizeof r->digest, r->banner_key, BANNER_KEY_LEN);
	memset(sum, 0, sizeof sum);
	(void)EVP_Digest(in, sizeof in, sum, NULL, EVP_sha256(), NULL);
	(void)snprintf(out, 5, "=_%c_", kind);
	hex_encode(out + 4, sum, DIGEST_HEX / 2);
}

/* The address for people: no controls, nothing that turns the direction of text or is invisible. */
static void
signer_text(char out[ADDR_TEXT], const char *addr)
{
	char plain[3 * MAIL_ADDR_MAX];
	const uint8_t *p = (const uint8_t *)addr;
	size_t n = strlen(addr), o = 0;
	uint32_t cp;
	unsigned len;

	for (; n > 0 && o + 4 < sizeof plain; p += len, n -= len) {
		if ((len = mail_utf8_next(p, n, &cp)) == 0) {
			len = 1;
			cp = '?';
		}
		if (cp < 0x20 || (cp >= 0x7f && cp < 0xa1) || cp == 0xad || cp == 0x61c ||
		    cp == 0x180e || (cp >= 0x2000 && cp < 0x2070) || cp == 0xfeff || cp == 0xfffd)
			cp = '?';
		o += mail_utf8_put((uint8_t *)plain + o, cp);
	}
	(void)log_clean(out, ADDR_TEXT, plain, o);
}

static void
html_escape(char out[ADDR_HTML], const char *s)
{
	size_t o = 0;

	for (; *s != '\0' && o + 7 < ADDR_HTML; s++) {
		const char *e = *s == '&'    ? "&amp;"
				: *s == '<'  ? "&lt;"
				: *s == '>'  ? "&gt;"
				: *s == '"'  ? "&#34;"
				: *s == '\'' ? "&#39;"
					     : NULL;

		if (e != NULL)
			o += strlcpy(out + o, e, ADDR_HTML - o);
		else
			out[o++] = *s;
	}
	out[o] = '\0';
}

static int
make_text(const struct reading *r, const struct mail_verdict *v, const char *addr, struct buf *b)
{
	if (buf_printf(b,
		"[ Notice of the mail gateway. Your phrase: %s ]\r\n"
		"Encryption: %s\r\n"
		"Signature: %s\r\n",
		r->phrase, encryption[v->decrypted], signature[v->signature]) == -1)
		return -1;
	if (addr[0] != '\0' && buf_printf(b, "Signed by: %s\r\n", addr) == -1)
		return -1;
	if (v->fingerprint != NULL && buf_printf(b, "Key: %.64s\r\n", v->fingerprint) == -1)
		return -1;
	return buf_puts(b, "A notice without your phrase is a forgery. "
			   "Below this line is what the sender wrote.\r\n"
			   "________________________________________\r\n");
}

static int
make_html(const struct reading *r, const struct mail_verdict *v, const char *addr, struct buf *b)
{
	char safe[ADDR_HTML];

	html_escape(safe, addr);
	if (buf_printf(b,
		"<html><body><div style=\"border:2px solid %s;padding:6px;"
		"font-family:sans-serif\">\r\n"
		"<b>Notice of the mail gateway.</b> Your phrase: <b>%s</b><br>\r\n"
		"Encryption: %s<br>\r\n"
		"Signature: %s<br>\r\n",
		colour(v), r->phrase, encryption[v->decrypted], signature[v->signature]) == -1)
		return -1;
	if (addr[0] != '\0' && buf_printf(b, "Signed by: %s<br>\r\n", safe) == -1)
		return -1;
	if (v->fingerprint != NULL && buf_printf(b, "Key: %.64s<br>\r\n", v->fingerprint) == -1)
		return -1;
	return buf_puts(b, "A notice without your phrase is a forgery. "
			   "Below this frame is what the sender wrote.\r\n"
			   "</div></body></html>\r\n");
}

static int
put_alternative(struct buf *out, const char *inner, const char *subtype, const struct buf *text)
{
	struct sink to = sink_buf(out);
	struct mail_filter qp;

	if (buf_printf(out,
		"--%s\r\nContent-Type: text/%s; charset=utf-8\r\n"
		"Content-Transfer-Encoding: quoted-printable\r\nContent-Disposition: inline\r\n"
		"\r\n",
		inner, subtype) == -1)
		return -1;
	mail_filter_init(&qp, MAIL_QP_ENCODE, &to);
	if (mail_filter_write(&qp, buf_ptr(text), buf_len(text)) == -1 ||
	    mail_filter_end(&qp) == -1)
		return -1;
	return buf_puts(out, "\r\n");
}

/* Our part with its delimiters, as long as it is by itself. */
static int
make_part(
    const struct reading *r, const struct mail_verdict *shown, const char *outer, struct buf *out)
{
	struct mail_verdict v = *shown;
	char inner[DIGEST_HEX + 5], addr[ADDR_TEXT] = "";
	struct buf text, html;
	int rc = -1;

	if (!mail_signature_valid(v.signature))
		v.signer = v.fingerprint = NULL;
	if (v.signer != NULL)
		signer_text(addr, v.signer);
	boundary(r, 'a', inner);
	buf_init(&text, BANNER_LEN);
	buf_init(&html, BANNER_LEN);
	if (make_text(r, &v, addr, &text) == 0 && make_html(r, &v, addr, &html) == 0 &&
	    buf_printf(out, "--%s\r\nContent-Type: multipart/alternative; boundary=\"%s\"\r\n\r\n",
		outer, inner) == 0 &&
	    put_alternative(out, inner, "plain", &text) == 0 &&
	    put_alternative(out, inner, "html", &html) == 0 &&
	    buf_printf(out, "--%s--\r\n\r\n--%s\r\n", inner, outer) == 0)
		rc = 0;
	buf_free(&text);
	buf_free(&html);
	return rc;
}

/* n octets of lines, n at least 2. */
static int
put_fill(const struct sink *out, size_t n)
{
	static const char dots[FILL_LINE - 2 + 1] =
	    "..........................................................................";
	size_t k;

	while (n > 0) {
		k = n > FILL_LINE ? FILL_LINE : n;
		/* No line end alone is left over. */
		if (n - k == 1)
			k--;
		if (sink_write(out, dots, k - 2) == -1 || sink_write(out, "\r\n", 2) == -1)
			return -1;
		n -= k;
	}
	return 0;
}

int
banner_begin(const struct reading *r, const struct mail_verdict *v, const struct sink *out)
{
	char outer[DIGEST_HEX + 5];
	struct buf head, part;
	int rc = -1;

	boundary(r, 'm', outer);
	buf_init(&head, BANNER_LEN);
	buf_init(&part, BANNER_LEN);
	if (buf_printf(&head,
		"Content-Type: multipart/mixed; boundary=\"%s\"\r\n"
		"Content-Transfer-Encoding: 8bit\r\n\r\n",
		outer) == -1 ||
	    make_part(r, v, outer, &part) == -1)
		goto out;
	if (buf_len(&head) + buf_len(&part) + 2 > BANNER_LEN) {
		errno = EMSGSIZE;
		goto out;
	}
	if (sink_write(out, buf_ptr(&head), buf_len(&head)) == 0 &&
	    put_fill(out, BANNER_LEN - buf_len(&head) - buf_len(&part)) == 0)
		rc = sink_write(out, buf_ptr(&part), buf_len(&part));
out:
	buf_free(&head);
	buf_free(&part);
	return rc;
}

int
banner_end(const struct reading *r, const struct sink *out)
{
	char outer[DIGEST_HEX + 5], line[sizeof outer + 8];

	boundary(r, 'm', outer);
	(void)snprintf(line, sizeof line, "\r\n--%s--\r\n", outer);
	return sink_puts(out, line);
}
