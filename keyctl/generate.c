/* generate: three keys of one use each, and their certificate. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sysexits.h>

#include "base/clock.h"
#include "base/enc.h"
#include "base/log.h"
#include "keyctl/keyctl.h"
#include "openpgp/certmake.h"

#define EXPIRES_DEFAULT "2y"
#define UID_TEXT_MAX 1024
#define NKEYS 3

/* kind of the keys that certify and sign, and of the one that decrypts */
static const struct algo {
	const char *name;
	enum key_kind sign, decrypt;
} algos[] = {
    {"ed25519", KIND_ED25519, KIND_CV25519},
    {"rsa3072", KIND_RSA3072, KIND_RSA3072},
    {"nistp256", KIND_P256, KIND_P256},
    {"nistp384", KIND_P384, KIND_P384},
    {"nistp521", KIND_P521, KIND_P521},
    {"brainpoolP256r1", KIND_BP256, KIND_BP256},
    {"brainpoolP384r1", KIND_BP384, KIND_BP384},
    {"brainpoolP512r1", KIND_BP512, KIND_BP512},
};
#define NALGOS (sizeof algos / sizeof algos[0])

struct generate_options {
	const char *address, *name, *consumer;
	const struct algo *algo;
	uint64_t expires; /* seconds of life, 0: for ever */
};

static int
find_algo(const char *name, const struct algo **out)
{
	char all[200] = "";

	for (size_t i = 0; i < NALGOS; i++) {
		if (strcasecmp(algos[i].name, name) == 0) {
			*out = &algos[i];
			return 0;
		}
		(void)strlcat(all, i > 0 ? ", " : "", sizeof all);
		(void)strlcat(all, algos[i].name, sizeof all);
	}
	return complain(EX_USAGE, "--algo %s: one of %s", log_str(name), all);
}

static int
parse_options(int argc, char *argv[], struct generate_options *o)
{
	static const struct option longs[] = {
	    {"address", required_argument, NULL, 'a'},
	    {"name", required_argument, NULL, 'n'},
	    {"consumer", required_argument, NULL, 'o'},
	    {"algo", required_argument, NULL, 'g'},
	    {"expires", required_argument, NULL, 'e'},
	    {NULL, 0, NULL, 0},
	};
	const char *span = EXPIRES_DEFAULT, *algo = algos[0].name;
	int c;

	memset(o, 0, sizeof *o);
	o->name = "";
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == '?')
			return complain_usage(argv[0]);
		*(c == 'a'     ? &o->address
		    : c == 'n' ? &o->name
		    : c == 'o' ? &o->consumer
		    : c == 'g' ? &algo
			       : &span) = optarg;
	}
	if (optind != argc || o->address == NULL)
		return complain_usage(argv[0]);
	if (parse_span(span, &o->expires) == -1)
		return complain(
		    EX_USAGE, "--expires %s: a number with d, w, m or y, or never", span);
	return find_algo(algo, &o->algo);
}

/* "Name <address>"; the name may not break out of it. */
static int
make_uid(const struct generate_options *o, char out[UID_TEXT_MAX])
{
	char addr[321];

	if (strpbrk(o->name, "<>()") != NULL)
		return complain(EX_DATAERR, "--name: without < > ( )");
	for (const char *p = o->name; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return complain(EX_DATAERR, "--name: control characters");
	if (snprintf(out, UID_TEXT_MAX, o->name[0] != '\0' ? "%s <%s>" : "%s%s", o->name,
		o->address) >= UID_TEXT_MAX)
		return complain(EX_DATAERR, "name and address are too long");
	/* The address must be found again in what is written. */
	if (pgp_uid_addr(addr, sizeof addr, out, strlen(out)) == -1)
		return complain(
		    EX_DATAERR, "--address %s: not a mail address", log_str(o->address));
	return 0;
}

/* A made key, its octets kept. */
struct made {
	uint8_t fpr[KEY_FPR], params[CERT_PARAMS_MAX];
	struct cert_key key;
};

static int
make_key(struct keyctl *t, enum key_kind kind, enum key_use use, uint64_t now, const char *label,
    struct made *out)
{
	struct key_generate_req req = {
	    .kind = (uint8_t)kind, .use = (uint8_t)use, .created = now, .label = label};
	const struct key_rep *rep;
	const struct key_info *k;
	struct err e = {0};
	struct ipc_msg m;
	int rc = 0;

	if (control_call(&t->keys, M_key_generate_req, &req, M_key_rep, &m, SLOW_CALL, &e) == -1)
		return complain_err(&e);
	rep = m.body;
	if (rep->status != CRYPTO_OK || rep->key.n != 1) {
		rc = complain_status(rep->status, rep->text);
		goto out;
	}
	k = rep->key.v;
	memcpy(out->fpr, k->fpr.p, KEY_FPR);
	memcpy(out->params, k->params.p, k->params.n);
	out->key = (struct cert_key){
	    .version = 4,
	    .algo = k->algo,
	    .flags = use == USE_CERTIFY ? KEY_CERTIFY
		     : use == USE_SIGN  ? KEY_SIGN
					: KEY_ENCRYPT,
	    .created = k->created,
	    .fpr = {out->fpr, KEY_FPR},
	    .params = {out->params, k->params.n},
	};
out:
	ipc_done(&t->keys, &m);
	return rc;
}

static int
make_keys(struct keyctl *t, const struct generate_options *o, uint64_t now, struct made made[NKEYS])
{
	static const enum key_use uses[NKEYS] = {USE_CERTIFY, USE_SIGN, USE_DECRYPT};
	int rc = 0;

	for (int i = 0; rc == 0 && i < NKEYS; i++) {
		if (o->algo->sign == KIND_RSA3072) /* takes seconds */
			progress("generate", "keys", (size_t)i, NKEYS);
		rc = make_key(t, uses[i] == USE_DECRYPT ? o->algo->decrypt : o->algo->sign, uses[i],
		    now, o->address, &made[i]);
	}
	progress_clear();
	return rc;
}

static int
make_cert(struct keyctl *t, const struct generate_options *o, const char *uid, struct made *made,
    uint64_t now, struct buf *out)
{
	struct cert_key keys[NKEYS];
	const struct pgp_secret secret = remote_secret(t);
	struct pgp_certspec spec = {
	    .keys = keys,
	    .nkeys = NKEYS,
	    .uids = &uid,
	    .nuids = 1,
	    .created = now,
	    .expires = o->expires == 0 ? 0 : now + o->expires,
	};
	struct err e = {0};

	for (int i = 0; i < NKEYS; i++)
		keys[i] = made[i].key;
	if (pgp_certmake(&spec, &secret, out, &e) == -1)
		return complain_err(&e);
	return 0;
}

int
verb_generate(struct keyctl *t, int argc, char *argv[])
{
	char consumer[CONSUMER_ID], uid[UID_TEXT_MAX], fpr[2 * KEY_FPR + 1], date[16];
	struct generate_options o;
	struct made *made = NULL;
	uint64_t now = clock_unix();
	struct buf cert;
	int rc;

	if ((rc = parse_options(argc, argv, &o)) != 0 || (rc = make_uid(&o, uid)) != 0 ||
	    (rc = connect_keys(t)) != 0 ||
	    (rc = find_consumer(t, o.consumer, o.address, 0, consumer)) != 0)
		return rc;
	buf_init(&cert, PGP_CERT_MAX);
	if ((made = calloc(NKEYS, sizeof *made)) == NULL)
		rc = complain(EX_OSERR, "out of memory");
	else if ((rc = make_keys(t, &o, now, made)) == 0 &&
		 (rc = make_cert(t, &o, uid, made, now, &cert)) == 0)
		rc = store_cert(t, consumer, buf_ptr(&cert), buf_len(&cert));
	if (rc == 0)
		(void)printf("%s\t%s\tconsumer %s\texpires %s\n",
		    hex_encode(fpr, made[0].fpr, KEY_FPR), uid, consumer,
		    o.expires == 0 ? "never" : date_text(now + o.expires, date));
	free(made);
	buf_free(&cert);
	return rc;
}
