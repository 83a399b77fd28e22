/*
 * What a proxy that was broken into asks cryptod to mint, through the service: the first octet
 * chooses the authority, each line is a name, or behind an @ the octets of an address.  Whatever
 * comes back must be a leaf for these names and nothing else.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <openssl/x509v3.h>

#include "base/clock.h"
#include "base/log.h"
#include "cryptod/cryptod.h"
#include "cryptod/vault.h"
#include "cryptod/x509.h"
#include "openpgp/algo.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static struct event_base *base;
static struct ipc smtpd;

static void
quiet(enum log_level level, const char *line, void *arg)
{
	(void)level;
	(void)line;
	(void)arg;
}

static void
must(int ok)
{
	if (!ok)
		abort();
}

static void
authority(enum authority a)
{
	struct pgp_skey *k;
	struct err e = {0};
	struct buf cert;

	buf_init(&cert, CERT_DER_MAX);
	must((k = pgp_skey_generate(PGP_GEN_P256, 0, 0, &e)) != NULL);
	must(x509_authority(pgp_skey_evp(k), "Authority", clock_unix(), 1, &cert, &e) == 0);
	must(keys_set_authority(cryptod.keys, a, k, "Authority",
		 (struct bytes){buf_ptr(&cert), buf_len(&cert)}, 0, clock_unix(), &e) == 0);
	pgp_skey_free(k);
	buf_free(&cert);
}

static void
begin(void)
{
	static const char *const files[] = {"ignition", "data.mdb", "data.seq"};
	static const uint8_t salt[SEAL_SALT_LEN], seal[SEAL_KEY_LEN];
	struct seal_params p = {
	    .version = 1, .t = 1, .m = 8, .lanes = 1, .salt = {salt, sizeof salt}};
	char dir[] = "/tmp/cryptod-fuzz-XXXXXX", path[64];
	struct err e = {0};
	int fds[2];

	log_set_sink(quiet, NULL);
	must(mkdtemp(dir) != NULL && (base = event_base_new()) != NULL);
	must(vault_open(&e) == 0 && pgp_algo_init() == 0);
	must(cryptod_load(base, dir, dir, 1, &e) == 0 && cryptod_init(&p, seal, &e) == 0);
	/* It stays open. */
	for (unsigned i = 0; i < 3; i++) {
		(void)snprintf(path, sizeof path, "%s/%s", dir, files[i]);
		(void)unlink(path);
	}
	(void)rmdir(dir);
	authority(AUTHORITY_PROXY);
	authority(AUTHORITY_UNTRUSTED);
	must(ipc_pair(fds) == 0);
	must(chan_new(base, fds[0], P_CRYPTOD, P_SMTPD, cryptod_handlers, NULL, NULL) != NULL);
	ipc_init(&smtpd, fds[1], P_SMTPD, P_CRYPTOD);
}

static X509 *
parse(struct bytes der)
{
	const uint8_t *p = der.p;
	X509 *x = d2i_X509(NULL, &p, (long)der.n);

	must(x != NULL && p == der.p + der.n && der.n <= CERT_DER_MAX);
	return x;
}

/* Exactly what was asked for. */
static void
same_names(X509 *x, const struct mint_req *r)
{
	GENERAL_NAMES *all = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);

	must(all != NULL && sk_GENERAL_NAME_num(all) == (int)(r->names.n + r->ips.n));
	for (size_t i = 0; i < r->names.n + r->ips.n; i++) {
		GENERAL_NAME *g = sk_GENERAL_NAME_value(all, (int)i);
		struct bytes want;

		if (i < r->names.n)
			want = (struct bytes){
			    (const uint8_t *)r->names.v[i].name, strlen(r->names.v[i].name)};
		else
			want = r->ips.v[i - r->names.n].ip;
		must(g->type == (i < r->names.n ? GEN_DNS : GEN_IPADD));
		must((size_t)ASN1_STRING_length(g->d.ia5) == want.n);
		must(memcmp(ASN1_STRING_get0_data(g->d.ia5), want.p, want.n) == 0);
	}
	GENERAL_NAMES_free(all);
}

static void
is_a_leaf(struct bytes cert, struct bytes issuer, const struct mint_req *r)
{
	X509 *x = parse(cert), *ca = parse(issuer);
	int d, s;

	must(X509_check_ca(x) == 0 && X509_check_ca(ca) == 1);
	must(X509_verify(x, X509_get0_pubkey(ca)) == 1);
	must(X509_get_key_usage(x) == KU_DIGITAL_SIGNATURE);
	must(X509_get_extended_key_usage(x) == XKU_SSL_SERVER);
	must(X509_get_ext_count(x) == 5);
	must(ASN1_TIME_diff(&d, &s, NULL, X509_get0_notAfter(x)) == 1);
	must((int64_t)d * 86400 + s <= MINT_S + 2);
	must(ASN1_TIME_compare(X509_get0_notAfter(x), X509_get0_notAfter(ca)) != 1);
	same_names(x, r);
	for (size_t i = 0; i < r->names.n; i++)
		must(strspn(r->names.v[i].name, "abcdefghijklmnopqrstuvwxyz0123456789.-*") ==
		     strlen(r->names.v[i].name));
	X509_free(x);
	X509_free(ca);
}

static void
ask(const struct mint_req *r)
{
	const struct mint_rep *rep;
	struct ipc_msg m;
	int rc = 0;

	/* No end of tokens here. */
	rate_free(cryptod.mint_rate);
	must((cryptod.mint_rate = rate_new(RATE_MINT_BURST, RATE_MINT_PER_SECOND)) != NULL);
	if (ipc_queue(&smtpd, M_mint_req, 1, r, -1) == -1)
		return;
	must(ipc_flush(&smtpd) == 1);
	for (int i = 0; i < 100 && rc == 0; i++) {
		(void)event_base_loop(base, EVLOOP_NONBLOCK);
		must(ipc_fill(&smtpd) != -1);
		rc = ipc_next(&smtpd, &m);
	}
	must(rc == 1);
	rep = m.body;
	if (rep->status == CRYPTO_OK)
		is_a_leaf(rep->cert, rep->issuer, r);
	else
		must(rep->status == CRYPTO_DENIED && rep->cert.n == 0 && rep->issuer.n == 0);
	ipc_done(&smtpd, &m);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct mint_name names[MINT_NAMES_MAX];
	struct mint_ip ips[MINT_IPS_MAX];
	struct mint_req r = {.names = {names, 0}, .ips = {ips, 0}};
	char *text, *line, *rest;

	if (base == NULL)
		begin();
	if (n < 2 || n > 65536 || (text = malloc(n)) == NULL)
		return 0;
	memcpy(text, p + 1, n - 1);
	text[n - 1] = '\0';
	r.authority = (uint8_t)(1 + p[0] % (AUTHORITY_MAX - 1));
	for (rest = text; (line = strsep(&rest, "\n")) != NULL;) {
		if (line[0] != '@' && r.names.n < MINT_NAMES_MAX)
			names[r.names.n++].name = line;
		else if (line[0] == '@' && r.ips.n < MINT_IPS_MAX)
			ips[r.ips.n++].ip =
			    (struct bytes){(const uint8_t *)line + 1, strlen(line + 1)};
	}
	ask(&r);
	free(text);
	return 0;
}
