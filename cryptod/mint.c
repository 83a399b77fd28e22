/* Proxies have certificates made for the servers that their clients go to. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "cryptod/cryptod.h"
#include "cryptod/x509.h"

#define LINES_SECOND 10 /* lines a second about what was minted or refused; all are counted */
#define LINE_NAMES_MAX 600 /* octets of names in such a line */

/* All that signing needs, for a thread: encoded as the input of an operation. */
#define REC_MINTING(F, L)                                                                          \
	F(U64, now, 0, UINT64_MAX)                                                                 \
	F(BYTES, issuer, 1, CERT_DER_MAX)                                                          \
	F(BYTES, spki, 1, X509_SPKI_MAX)                                                           \
	L(mint_req, wanted, 1, 1)
REC_DECLARE(minting, REC_MINTING)
REC_DEFINE(minting, REC_MINTING)

#define MINTING_MAX (CERT_DER_MAX + MINT_NAMES_MAX * 260 + 2048) /* octets, encoded */

/* ---- the log ---- */

/* May a further line be written in this second? */
static int
may_log(void)
{
	static uint64_t second;
	static unsigned lines;
	uint64_t now = clock_ms() / 1000;

	if (now != second) {
		second = now;
		lines = 0;
	}
	return lines++ < LINES_SECOND;
}

static const char *
names_text(const struct mint_req *r, char out[LINE_NAMES_MAX])
{
	size_t all = r->names.n + r->ips.n, n = 0, i;
	char ip[INET6_ADDRSTRLEN];

	out[0] = '\0';
	for (i = 0; i < all && n < LINE_NAMES_MAX - 300; i++) {
		const char *sep = i > 0 ? "," : "", *name = "?";

		if (i < r->names.n)
			name = log_str(r->names.v[i].name);
		else {
			struct bytes a = r->ips.v[i - r->names.n].ip;

			if ((a.n == 4 || a.n == 16) &&
			    inet_ntop(a.n == 4 ? AF_INET : AF_INET6, a.p, ip, sizeof ip) != NULL)
				name = ip;
		}
		n += (size_t)snprintf(out + n, LINE_NAMES_MAX - n, "%s%.260s", sep, name);
	}
	if (i < all)
		(void)snprintf(out + n, LINE_NAMES_MAX - n, ",... (%zu)", all);
	return out;
}

static void
log_refused(const char *who, const struct mint_req *r, const char *why)
{
	char names[LINE_NAMES_MAX];

	cryptod.nrefused++;
	rate_count(cryptod.mint_rate, who, RATE_REFUSED, clock_ms());
	if (may_log())
		log_warn("%s refused: a certificate for %s: %s", who, names_text(r, names), why);
}

/* ---- the leaf's key ---- */

/* Made when it is first needed, and never stored: it goes with the store.  0, or -1 with e. */
static int
leaf_spki(struct buf *out, struct err *e)
{
	struct bytes name = {cryptod.leaf, KEY_FPR};
	struct loaded_key *k;
	struct pgp_skey *skey;
	struct cert_key pub;

	if ((k = keys_get(cryptod.keys, name, e)) == NULL) {
		if (e->code != ENOKEY || (skey = pgp_skey_generate(PGP_GEN_P256, 0, 0, e)) == NULL)
			return -1;
		pgp_skey_public(skey, &pub);
		memcpy(cryptod.leaf, pub.fpr.p, KEY_FPR);
		if (keys_add_passing(cryptod.keys, skey, USE_TLS, e) == -1 ||
		    (k = keys_get(cryptod.keys, name, e)) == NULL)
			return -1;
	}
	return x509_spki(pgp_skey_evp(k->skey), out, e);
}

/* ---- one request ---- */

static void
answer(struct chan *c, uint64_t id, enum crypto_status st, struct bytes cert, struct bytes issuer)
{
	struct mint_rep rep = {.status = (uint8_t)st, .cert = cert, .issuer = issuer};

	(void)chan_send(c, M_mint_rep, id, &rep, -1);
}

static enum crypto_status
do_mint(struct op *op)
{
	struct minting *m = rec_decode(&rec_minting, op->in.p, op->in.n);
	enum crypto_status st = CRYPTO_FAILED;

	buf_init(&op->out.issued.cert, CERT_DER_MAX);
	if (m == NULL)
		return CRYPTO_FAILED;
	if (x509_leaf(pgp_skey_evp(op->key->skey), m->issuer, m->spki, m->wanted.v, m->now,
		&op->out.issued.cert, &op->err) == 0)
		st = CRYPTO_OK;
	else if (op->err.code == EKEYEXPIRED) {
		memset(&op->err, 0, sizeof op->err);
		st = CRYPTO_NOKEY;
	}
	free(m);
	return st;
}

static void
minted(struct op *op)
{
	struct minting *m = rec_decode(&rec_minting, op->in.p, op->in.n);
	enum crypto_status st = m != NULL ? op->status : CRYPTO_FAILED;
	struct bytes cert = {NULL, 0}, issuer = {NULL, 0};
	char names[LINE_NAMES_MAX];

	if (st == CRYPTO_OK) {
		cert = (struct bytes){buf_ptr(&op->out.issued.cert), buf_len(&op->out.issued.cert)};
		issuer = m->issuer;
		cryptod.nminted++;
		rate_count(cryptod.mint_rate, op->line, RATE_SIGNED, clock_ms());
		if (may_log())
			log_info("minted for %s: authority=%s names=%s", op->line,
			    m->wanted.v->authority == AUTHORITY_PROXY ? "proxy" : "untrusted",
			    names_text(m->wanted.v, names));
	} else if (st == CRYPTO_NOKEY && may_log())
		log_warn("%s gets no certificate: the authority's own has ended", op->line);
	else if (op->err.code != 0 && !op->key->slow) /* else it was said by the thread's side */
		log_err("%s", op->err.text);
	if (op->chan != NULL)
		answer(op->chan, op->id, st, cert, issuer);
	buf_free(&op->out.issued.cert);
	free(m);
}

/* What stands behind the names: the authority, its key, the leaf's.  in receives the encoding. */
static enum crypto_status
prepare(const struct mint_req *r, struct loaded_key **key, struct buf *in, struct err *e)
{
	struct authority_entry en;
	struct minting m = {
	    .now = clock_unix(), .wanted = {.v = (struct mint_req *)(uintptr_t)r, .n = 1}};
	struct buf spki;
	int rc;

	if ((rc = keys_authority(cryptod.keys, (enum authority)r->authority, &en, e)) != 1)
		return rc == 0 ? CRYPTO_NOKEY : CRYPTO_FAILED;
	buf_init(&spki, X509_SPKI_MAX);
	rc = leaf_spki(&spki, e);
	m.issuer = (struct bytes){en.cert, en.n};
	m.spki = (struct bytes){buf_ptr(&spki), buf_len(&spki)};
	if (rc == 0 && rec_encode(&rec_minting, &m, in) == -1)
		rc = err_sys(e, "a certificate cannot be made");
	buf_free(&spki);
	/* Last, for the next call to the store may take it away. */
	if (rc == -1 || (*key = keys_get(cryptod.keys, (struct bytes){en.fpr, KEY_FPR}, e)) == NULL)
		return CRYPTO_FAILED;
	return CRYPTO_OK;
}

/* CRYPTO_OK with key and in; what is denied has been logged. */
static enum crypto_status
judge(enum proc_id peer, const char *who, const struct mint_req *r, struct loaded_key **key,
    struct buf *in)
{
	enum crypto_status st;
	struct err e = {0};
	const char *why;

	if (!perm_any(peer, PERM_MINT)) {
		log_refused(who, r, "no permission");
		return CRYPTO_DENIED;
	}
	if (cryptod.keys == NULL)
		return CRYPTO_LOCKED;
	if (!rate_take(cryptod.mint_rate, who, clock_ms()))
		return CRYPTO_BUSY;
	if ((why = x509_names_bad(r)) != NULL) {
		log_refused(who, r, why);
		return CRYPTO_DENIED;
	}
	if ((st = prepare(r, key, in, &e)) != CRYPTO_OK) {
		if (st == CRYPTO_FAILED)
			log_err("%s", e.text);
		return st;
	}
	if (perm_need(peer, (*key)->use, PERM_MINT) != PERM_FREE) {
		log_refused(who, r, "wrong use of this key");
		return CRYPTO_DENIED;
	}
	/* Somebody took it out of service. */
	return (*key)->disabled ? CRYPTO_NOKEY : CRYPTO_OK;
}

void
cryptod_mint(struct chan *c, struct ipc_msg *m)
{
	const struct mint_req *r = m->body;
	char who[POOL_NAME_MAX + 1];
	struct op op = {.chan = c, .id = m->id, .line = who, .work = do_mint, .done = minted};
	enum crypto_status st;
	struct buf in;

	(void)snprintf(who, sizeof who, "%s/%u", proc_name(chan_peer(c)), chan_instance(c));
	buf_init(&in, MINTING_MAX);
	if ((st = judge(chan_peer(c), who, r, &op.key, &in)) == CRYPTO_OK) {
		op.in = (struct bytes){buf_ptr(&in), buf_len(&in)};
		op_run(&op);
	} else
		answer(c, m->id, st, (struct bytes){NULL, 0}, (struct bytes){NULL, 0});
	buf_free(&in);
}
