#include "anvild/grey.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <string.h>

#include "anvild/db.h"
#include "anvild/table.h"

#define HOUR 3600
#define DAY 86400
#define REFRESH HOUR /* a record is not written again because it is some minutes older */
#define KNOWN_GOOD_FOR DAY
#define KNOWN_BAD_FOR HOUR

static void
put32(uint8_t *p, uint64_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

static uint64_t
get32(const uint8_t *p)
{
	return (uint64_t)p[0] << 24 | (uint64_t)p[1] << 16 | (uint64_t)p[2] << 8 | p[3];
}

/* Records of T_GREY: of a triple, and of a network. */
enum { TRIPLE = 't', NETWORK = 'n' };

/* until, first; known: it has come again. */
struct triple {
	uint64_t until, first;
	int known;
};
#define TRIPLE_LEN 9

struct network {
	uint64_t until;
	unsigned triples; /* that have come again */
};
#define NETWORK_LEN 5

struct grey_key {
	uint8_t kind;
	uint8_t id[16];
};

/* Lower case, runs of digits as one #, nothing behind a + but the domain. */
static void
plain_sender(const char *sender, char out[ADDR_MAX + 1])
{
	const char *at = strrchr(sender, '@'), *s = sender;
	size_t n = 0;

	while (*s != '\0' && n < ADDR_MAX) {
		if (at != NULL && s < at && *s == '+' && s > sender) {
			s = at;
			continue;
		}
		if (at != NULL && s < at && isdigit((unsigned char)*s)) {
			out[n++] = '#';
			s += strspn(s, "0123456789");
			continue;
		}
		out[n++] = (char)tolower((unsigned char)*s++);
	}
	out[n] = '\0';
}

static int
triple_key(const struct client_key *net, const char *sender, const char *rcpt, struct grey_key *k)
{
	char text[2][ADDR_MAX + 1];
	uint8_t sum[EVP_MAX_MD_SIZE];
	uint8_t octets[sizeof *net + sizeof text];
	size_t n = sizeof *net, i, len;

	plain_sender(sender, text[0]);
	for (i = 0; i < ADDR_MAX && rcpt[i] != '\0'; i++)
		text[1][i] = (char)tolower((unsigned char)rcpt[i]);
	text[1][i] = '\0';
	memcpy(octets, net, sizeof *net);
	for (i = 0; i < 2; i++, n += len) {
		len = strlen(text[i]) + 1;
		memcpy(octets + n, text[i], len);
	}
	if (EVP_Digest(octets, n, sum, NULL, EVP_sha256(), NULL) != 1)
		return -1;
	k->kind = TRIPLE;
	memcpy(k->id, sum, sizeof k->id);
	return 0;
}

static void
network_id(const struct client_key *net, struct grey_key *k)
{
	memset(k, 0, sizeof *k);
	k->kind = NETWORK;
	memcpy(k->id, net, sizeof *net);
}

static int
get_triple(const struct grey_key *k, uint64_t now, struct triple *t)
{
	struct bytes v;

	if (db_get(T_GREY, k, sizeof *k, now, &v) != 1 || v.n != TRIPLE_LEN)
		return 0;
	*t = (struct triple){get32(v.p), get32(v.p + 4), v.p[8]};
	return 1;
}

static void
put_triple(const struct grey_key *k, const struct triple *t, uint64_t now)
{
	uint8_t v[TRIPLE_LEN];

	put32(v, t->until);
	put32(v + 4, t->first);
	v[8] = (uint8_t)t->known;
	db_put(T_GREY, k, sizeof *k, v, sizeof v, now);
}

static int
get_network(const struct grey_key *k, uint64_t now, struct network *n)
{
	struct bytes v;

	*n = (struct network){0, 0};
	if (db_get(T_GREY, k, sizeof *k, now, &v) != 1 || v.n != NETWORK_LEN)
		return 0;
	*n = (struct network){get32(v.p), v.p[4]};
	return 1;
}

static void
put_network(const struct grey_key *k, const struct network *n, uint64_t now)
{
	uint8_t v[NETWORK_LEN];

	put32(v, n->until);
	v[4] = (uint8_t)n->triples;
	db_put(T_GREY, k, sizeof *k, v, sizeof v, now);
}

/* It has come again. */
static void
came_again(const struct conf_gate *g, const struct grey_key *k, struct triple *t,
    const struct grey_key *net, uint64_t now)
{
	struct network n;

	t->known = 1;
	t->until = now + g->greylist_days * DAY;
	put_triple(k, t, now);
	(void)get_network(net, now, &n);
	if (n.triples < GREY_NETWORK)
		n.triples++;
	n.until = now + g->greylist_days * DAY;
	put_network(net, &n, now);
}

/* The triple itself. */
static int
ask_triple(const struct conf_gate *g, const struct grey_key *k, const struct grey_key *net,
    uint64_t now, uint32_t *wait)
{
	uint64_t days = g->greylist_days * DAY;
	struct triple t;
	int there = get_triple(k, now, &t);

	if (there && t.known) {
		if (t.until + REFRESH < now + days) {
			t.until = now + days;
			put_triple(k, &t, now);
		}
		return 1;
	}
	/* A clock that was set back must not make anybody wait for long. */
	if (there && t.first <= now && now - t.first >= g->greylist_delay) {
		came_again(g, k, &t, net, now);
		return 1;
	}
	if (!there || t.first > now) {
		t = (struct triple){now + g->greylist_delay + GREY_RETRY, now, 0};
		put_triple(k, &t, now);
	}
	*wait = (uint32_t)(g->greylist_delay - (now - t.first));
	return 0;
}

int
grey_ask(const struct conf_gate *g, struct bytes ip, const char *sender, const char *rcpt,
    uint64_t now, uint32_t *wait)
{
	struct client_key who;
	struct grey_key k, net;
	struct network n;

	*wait = 0;
	if (db_txn() == NULL || network_key(ip, &who) == -1 ||
	    triple_key(&who, sender, rcpt, &k) == -1)
		return 1;
	network_id(&who, &net);
	if (get_network(&net, now, &n) && n.triples >= GREY_NETWORK) {
		if (n.until + REFRESH < now + g->greylist_days * DAY) {
			n.until = now + g->greylist_days * DAY;
			put_network(&net, &n, now);
		}
		return 1;
	}
	return ask_triple(g, &k, &net, now, wait);
}

int
passed_is(struct bytes ip, uint64_t now)
{
	struct client_key who;
	struct bytes v;

	return client_key(ip, &who) == 0 && db_get(T_PASSED, &who, sizeof who, now, &v) == 1;
}

void
passed_put(const struct conf_gate *g, struct bytes ip, uint64_t now)
{
	struct client_key who;
	uint8_t v[4];

	if (client_key(ip, &who) == -1)
		return;
	put32(v, now + g->pass_days * DAY);
	db_put(T_PASSED, &who, sizeof who, v, sizeof v, now);
}

/*
 * Octets of the key, 0: too long for one.  Whether ALICE is alice only her server knows (RFC 5321,
 * 2.4): what it says of the one must not be said of the other.
 */
static size_t
known_key(const char *rcpt, char key[STORE_KEY_MAX])
{
	const char *at = strrchr(rcpt, '@');
	size_t local = at != NULL ? (size_t)(at - rcpt) : 0, i;

	for (i = 0; rcpt[i] != '\0'; i++) {
		if (i == STORE_KEY_MAX)
			return 0;
		key[i] = i < local ? rcpt[i] : (char)tolower((unsigned char)rcpt[i]);
	}
	return i;
}

enum known_rcpt
known_get(const char *rcpt, uint64_t now, char text[KNOWN_TEXT_MAX])
{
	char key[STORE_KEY_MAX];
	size_t n = known_key(rcpt, key);
	struct bytes v;

	text[0] = '\0';
	if (n == 0 || db_get(T_KNOWN, key, n, now, &v) != 1 || v.n < 5 ||
	    v.n - 5 >= KNOWN_TEXT_MAX || (v.p[4] != KNOWN_GOOD && v.p[4] != KNOWN_BAD))
		return KNOWN_NOT;
	memcpy(text, v.p + 5, v.n - 5);
	text[v.n - 5] = '\0';
	return v.p[4];
}

void
known_put(const char *rcpt, enum known_rcpt known, const char *text, uint64_t now)
{
	char key[STORE_KEY_MAX];
	size_t n = known_key(rcpt, key), len = strlen(text);
	uint8_t v[5 + KNOWN_TEXT_MAX];

	if (n == 0 || known == KNOWN_NOT || len >= KNOWN_TEXT_MAX)
		return;
	put32(v, now + (known == KNOWN_GOOD ? KNOWN_GOOD_FOR : KNOWN_BAD_FOR));
	v[4] = (uint8_t)known;
	memcpy(v + 5, text, len);
	db_put(T_KNOWN, key, n, v, 5 + len, now);
}
