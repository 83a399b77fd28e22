/* librnp, in process, with a key that it makes itself.  See rounds.h. */
#include <rnp/rnp.h>
#include <rnp/rnp_err.h>

#include "t/bench/rounds.h"

#define UID "Bench <bench@example.test>"

static rnp_ffi_t ffi;
static rnp_key_handle_t key;
static uint8_t *message;
static size_t message_len;
static bool armor;

static void
must(rnp_result_t r, const char *what)
{
	if (r != RNP_SUCCESS)
		errx(1, "rnp: %s: %s", what, rnp_result_to_string(r));
}

static void
make_key(int rsa)
{
	const char *json =
	    rsa ? "{\"primary\":{\"type\":\"RSA\",\"length\":3072,\"userid\":\"" UID "\","
		  "\"usage\":[\"sign\"]},\"sub\":{\"type\":\"RSA\",\"length\":3072,"
		  "\"usage\":[\"encrypt\"]}}"
		: "{\"primary\":{\"type\":\"EDDSA\",\"userid\":\"" UID "\",\"usage\":[\"sign\"]},"
		  "\"sub\":{\"type\":\"ECDH\",\"curve\":\"Curve25519\",\"usage\":[\"encrypt\"]}}";
	char *result = NULL;

	must(rnp_ffi_create(&ffi, "GPG", "GPG"), "start");
	must(rnp_generate_key_json(ffi, json, &result), "make a key");
	rnp_buffer_destroy(result);
	must(rnp_locate_key(ffi, "userid", UID, &key), "find the key");
}

static void
secure(const uint8_t *p, size_t n)
{
	rnp_op_encrypt_t op;
	rnp_output_t out;
	rnp_input_t in;

	rnp_buffer_destroy(message);
	must(rnp_input_from_memory(&in, p, n, false), "input");
	must(rnp_output_to_memory(&out, 0), "output");
	must(rnp_op_encrypt_create(&op, ffi, in, out), "encrypt");
	must(rnp_op_encrypt_add_recipient(op, key), "recipient");
	must(rnp_op_encrypt_set_cipher(op, "AES256"), "cipher");
	must(rnp_op_encrypt_set_compression(op, "Uncompressed", 0), "compression");
	must(rnp_op_encrypt_set_armor(op, armor), "armour");
	must(rnp_op_encrypt_add_signature(op, key, NULL), "signer");
	must(rnp_op_encrypt_set_hash(op, "SHA256"), "hash");
	must(rnp_op_encrypt_execute(op), "encrypt");
	rnp_op_encrypt_destroy(op);
	must(rnp_output_memory_get_buf(out, &message, &message_len, true), "output");
	rnp_output_destroy(out);
	rnp_input_destroy(in);
}

static void
open_message(const uint8_t *plain, size_t n)
{
	rnp_op_verify_signature_t sig;
	rnp_op_verify_t op;
	rnp_output_t out;
	rnp_input_t in;
	uint8_t *p;
	size_t got, nsigs;

	must(rnp_input_from_memory(&in, message, message_len, false), "input");
	must(rnp_output_to_memory(&out, 0), "output");
	must(rnp_op_verify_create(&op, ffi, in, out), "decrypt");
	must(rnp_op_verify_execute(op), "decrypt");
	must(rnp_op_verify_get_signature_count(op, &nsigs), "signatures");
	if (nsigs != 1)
		errx(1, "rnp: there is no signature");
	must(rnp_op_verify_get_signature_at(op, 0, &sig), "signature");
	must(rnp_op_verify_signature_get_status(sig), "signature");
	must(rnp_output_memory_get_buf(out, &p, &got, false), "output");
	if (got != n || memcmp(p, plain, n) != 0)
		errx(1, "rnp: the message does not come back as it was");
	rnp_op_verify_destroy(op);
	rnp_output_destroy(out);
	rnp_input_destroy(in);
}

int
main(int argc, char *argv[])
{
	if (argc < 2)
		errx(64, "usage: %s ed25519|rsa3072 [armor]", argv[0]);
	armor = argc > 2;
	make_key(strcmp(argv[1], "rsa3072") == 0);
	return rounds_serve(secure, open_message);
}
