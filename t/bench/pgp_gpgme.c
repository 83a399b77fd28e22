/*
 * GnuPG through GPGME: one context for all operations, a gpg process each.  The home folder
 * (GNUPGHOME) holds one key without a passphrase and says how to compress.  See rounds.h.
 */
#include <gpgme.h>
#include <locale.h>

#include "t/bench/rounds.h"

static gpgme_ctx_t ctx;
static gpgme_key_t key;
static char *message;
static size_t message_len;

static void
must(gpgme_error_t e, const char *what)
{
	if (e != 0)
		errx(1, "%s: %s", what, gpgme_strerror(e));
}

static void
secure(const uint8_t *p, size_t n)
{
	gpgme_key_t to[] = {key, NULL};
	gpgme_data_t in, out;

	gpgme_free(message);
	must(gpgme_data_new_from_mem(&in, (const char *)p, n, 0), "data");
	must(gpgme_data_new(&out), "data");
	must(gpgme_op_encrypt_sign(ctx, to, GPGME_ENCRYPT_ALWAYS_TRUST, in, out), "gpgme: encrypt");
	gpgme_data_release(in);
	message = gpgme_data_release_and_get_mem(out, &message_len);
}

static void
open_message(const uint8_t *plain, size_t n)
{
	gpgme_verify_result_t v;
	gpgme_data_t in, out;
	size_t got;
	char *p;

	must(gpgme_data_new_from_mem(&in, message, message_len, 0), "data");
	must(gpgme_data_new(&out), "data");
	must(gpgme_op_decrypt_verify(ctx, in, out), "gpgme: decrypt");
	v = gpgme_op_verify_result(ctx);
	if (v == NULL || v->signatures == NULL || gpgme_err_code(v->signatures->status) != 0)
		errx(1, "gpgme: the signature is not good");
	gpgme_data_release(in);
	p = gpgme_data_release_and_get_mem(out, &got);
	if (got != n || memcmp(p, plain, n) != 0)
		errx(1, "gpgme: the message does not come back as it was");
	gpgme_free(p);
}

int
main(int argc, char *argv[])
{
	(void)argv;
	(void)setlocale(LC_ALL, "");
	(void)gpgme_check_version(NULL);
	must(gpgme_new(&ctx), "gpgme");
	gpgme_set_armor(ctx, argc > 2);
	must(gpgme_op_keylist_start(ctx, NULL, 1), "gpgme: keys");
	must(gpgme_op_keylist_next(ctx, &key), "gpgme: keys");
	must(gpgme_op_keylist_end(ctx), "gpgme: keys");
	must(gpgme_signers_add(ctx, key), "gpgme: signer");
	return rounds_serve(secure, open_message);
}
