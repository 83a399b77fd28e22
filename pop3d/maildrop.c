#include "pop3d/maildrop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/evp.h>
#include <openssl/sha.h>

#include "base/buf.h"
#include "base/enc.h"
#include "base/log.h"

#define DAY 86400
#define REFRESH_DAYS 7 /* a message that is met again is noted so rarely */
#define UIDL_MAX 512 /* octets of a line of the peer (RFC 2449, 4); RFC 1939: 70 of a UIDL */

static uint32_t
today(void)
{
	return (uint32_t)(time(NULL) / DAY);
}

/* A login as policyd spells it. */
static int
put_login(struct buf *b, const struct proxy_route *r, const char *login)
{
	uint8_t *p;
	size_t n = strlen(login), i;

	if ((p = buf_reserve(b, n + 1)) == NULL)
		return -1;
	for (i = 0; i < n; i++)
		p[i] =
		    (uint8_t)(r->login_case == CONF_CASE_LOWER && login[i] >= 'A' && login[i] <= 'Z'
				  ? login[i] - 'A' + 'a'
				  : login[i]);
	buf_added(b, n);
	if (n > 0 && strchr(login, '@') == NULL && r->login_domain[0] != '\0' &&
	    (buf_putc(b, '@') == -1 || buf_puts(b, r->login_domain) == -1))
		return -1;
	return buf_putc(b, 0);
}

static int
make_id(
    uint8_t id[MEMORY_ID], const struct proxy_route *r, const char *authzid, const char *authcid)
{
	struct buf b;
	int rc = -1;

	buf_init(&b, 4096);
	if (buf_put(&b, r->tenant, strlen(r->tenant) + 1) == 0 &&
	    buf_put(&b, r->peer, strlen(r->peer) + 1) == 0 && put_login(&b, r, authzid) == 0 &&
	    put_login(&b, r, authcid) == 0) {
		(void)SHA256(buf_ptr(&b), buf_len(&b), id);
		rc = 0;
	}
	buf_free(&b);
	return rc;
}

struct maildrop *
maildrop_new(const struct proxy_route *r, const char *authzid, const char *authcid)
{
	struct maildrop *d = calloc(1, sizeof *d);

	if (d == NULL)
		return NULL;
	memory_init(&d->memory);
	d->banner = r->banner;
	if (make_id(d->id, r, authzid, authcid) == -1) {
		free(d);
		errno = ENOMEM;
		return NULL;
	}
	(void)hex_encode(d->name, d->id, 20);
	return d;
}

void
maildrop_free(struct maildrop *d)
{
	if (d == NULL)
		return;
	memory_free(&d->memory);
	free(d->v);
	free(d);
}

/* The first slot of this number or a later one. */
static size_t
find(const struct maildrop *d, uint64_t number)
{
	size_t low = 0, high = d->n, at;

	if (d->n > 0 && d->v[d->n - 1].number < number)
		return d->n;
	while (low < high) {
		at = low + (high - low) / 2;
		if (d->v[at].number < number)
			low = at + 1;
		else
			high = at;
	}
	return low;
}

struct slot *
maildrop_slot(const struct maildrop *d, uint64_t number)
{
	size_t at = find(d, number);

	return at < d->n && d->v[at].number == number ? &d->v[at] : NULL;
}

struct slot *
maildrop_add(struct maildrop *d, uint64_t number)
{
	size_t at = find(d, number), room;
	struct slot *v;

	if (at < d->n && d->v[at].number == number)
		return &d->v[at];
	if (number == 0 || number > UINT32_MAX) {
		errno = EINVAL;
		return NULL;
	}
	if (d->n >= MEMORY_MESSAGES_MAX) {
		errno = ENOSPC;
		return NULL;
	}
	if (d->n == d->room) {
		room = d->room > 0 ? d->room * 2 : 16;
		if ((v = reallocarray(d->v, room, sizeof *v)) == NULL)
			return NULL;
		d->v = v;
		d->room = room;
	}
	memmove(&d->v[at + 1], &d->v[at], (d->n - at) * sizeof *d->v);
	d->n++;
	memset(&d->v[at], 0, sizeof d->v[at]);
	d->v[at].number = (uint32_t)number;
	return &d->v[at];
}

/* SHA256() looks for the algorithm each time, which costs more than hashing a UIDL. */
static void
hash(const void *p, size_t n, uint8_t sum[SHA256_DIGEST_LENGTH])
{
	static EVP_MD *md;
	static EVP_MD_CTX *ctx;

	if (md == NULL)
		md = EVP_MD_fetch(NULL, "SHA256", NULL);
	if (ctx == NULL)
		ctx = EVP_MD_CTX_new();
	if (md == NULL || ctx == NULL || EVP_DigestInit_ex(ctx, md, NULL) != 1 ||
	    EVP_DigestUpdate(ctx, p, n) != 1 || EVP_DigestFinal_ex(ctx, sum, NULL) != 1)
		(void)SHA256(p, n, sum);
}

void
maildrop_uid(struct slot *s, const char *uidl, size_t n)
{
	uint8_t sum[SHA256_DIGEST_LENGTH];

	hash(uidl, n, sum);
	memcpy(s->uid, sum, MEMORY_UID);
	s->flags |= SLOT_UID;
}

/* Digits, of at most UINT64_MAX / 10; NULL when there are none. */
static const char *
number(const char *p, uint64_t *v)
{
	if (*p < '0' || *p > '9')
		return NULL;
	for (*v = 0; *p >= '0' && *p <= '9'; p++) {
		if (*v > UINT64_MAX / 100)
			return NULL;
		*v = *v * 10 + (uint64_t)(*p - '0');
	}
	return p;
}

/* The slot of a line, and in *p what stands behind the number. */
static struct slot *
slot_of_line(struct maildrop *d, const char **p, uint64_t *last)
{
	uint64_t n;

	*p = number(*p, &n);
	if (*p == NULL || **p != ' ' || n == 0 || n > UINT32_MAX || (last != NULL && n <= *last)) {
		errno = EPROTO;
		return NULL;
	}
	*p += strspn(*p, " ");
	if (last != NULL)
		*last = n;
	return maildrop_add(d, n);
}

struct slot *
maildrop_uidl_line(struct maildrop *d, const char *line, uint64_t *last)
{
	struct slot *s = slot_of_line(d, &line, last);
	size_t n = strcspn(line != NULL ? line : "", " ");

	if (s == NULL)
		return NULL;
	if (n == 0 || n > UIDL_MAX) {
		errno = EPROTO;
		return NULL;
	}
	maildrop_uid(s, line, n);
	return s;
}

struct slot *
maildrop_list_line(struct maildrop *d, const char *line, uint64_t *last)
{
	struct slot *s = slot_of_line(d, &line, last);
	uint64_t octets;

	if (s == NULL)
		return NULL;
	/* Behind the size there may be more (RFC 1939, 5). */
	if ((line = number(line, &octets)) == NULL || (*line != '\0' && *line != ' ')) {
		errno = EPROTO;
		return NULL;
	}
	s->listed = octets;
	return s;
}

/* The message was met again. */
static void
met(struct maildrop *d, struct memory_entry *x)
{
	if (x->day + REFRESH_DAYS < today()) {
		x->day = today();
		x->changed = d->changed = true;
	}
}

int
maildrop_recall(struct maildrop *d, struct slot *s)
{
	struct memory_entry *x;

	if ((s->flags & SLOT_SIZE) != 0)
		return 1;
	if ((s->flags & SLOT_UID) == 0 || (x = memory_find(&d->memory, s->uid)) == NULL)
		return 0;
	met(d, x);
	/* Another size at the peer: another message, whatever its UIDL says. */
	if ((x->flags & MEMORY_SIZE) == 0 || (x->listed != s->listed && x->listed != 0))
		return 0;
	if ((x->flags & MEMORY_PLAIN) == 0 && ((x->flags & MEMORY_BANNER) != 0) != d->banner)
		return 0;
	s->size = x->size;
	s->flags |= SLOT_SIZE;
	if ((x->flags & MEMORY_PLAIN) != 0)
		s->flags |= SLOT_PLAIN;
	return 1;
}

const uint8_t *
maildrop_sticky(const struct maildrop *d, const struct slot *s, size_t *n)
{
	const struct memory_entry *x = NULL;

	if (s != NULL && (s->flags & SLOT_UID) != 0)
		x = memory_find(&d->memory, s->uid);
	*n = x != NULL ? x->nsticky : 0;
	return *n > 0 ? x->sticky : NULL;
}

void
maildrop_learn(struct maildrop *d, struct slot *s, uint64_t size, bool plain, bool keep,
    const uint8_t *sticky, size_t n)
{
	struct memory_entry *x;
	uint8_t flags = MEMORY_SIZE;

	s->size = size;
	s->flags = (uint8_t)((s->flags & ~SLOT_PLAIN) | SLOT_SIZE | (plain ? SLOT_PLAIN : 0));
	if ((s->flags & SLOT_UID) == 0)
		return;
	if (!keep) {
		/* What it looked like before is no promise for the next time. */
		x = memory_find(&d->memory, s->uid);
		if (x != NULL && x->flags != 0) {
			x->flags = 0;
			x->changed = d->changed = true;
		}
		if (x != NULL)
			met(d, x);
		return;
	}
	if (plain)
		flags |= MEMORY_PLAIN;
	else if (d->banner)
		flags |= MEMORY_BANNER;
	x = memory_find(&d->memory, s->uid);
	if (x != NULL && x->flags == flags && x->size == size && x->listed == s->listed &&
	    x->nsticky == n && (n == 0 || memcmp(x->sticky, sticky, n) == 0)) {
		met(d, x);
		return;
	}
	if ((x = memory_put(&d->memory, s->uid)) == NULL || memory_stick(x, sticky, n) == -1)
		return; /* then it is not remembered */
	x->flags = flags;
	x->size = size;
	x->listed = s->listed;
	x->day = today();
	x->changed = d->changed = true;
}

static int
by_uid(const void *a, const void *b)
{
	return memcmp(a, b, MEMORY_UID);
}

void
maildrop_prune(struct maildrop *d)
{
	uint8_t(*uids)[MEMORY_UID] = reallocarray(NULL, d->n + 1, sizeof *uids);
	struct memory_entry *x;
	size_t i;

	if (uids == NULL)
		return;
	for (i = 0; i < d->n; i++)
		memcpy(uids[i], d->v[i].uid, MEMORY_UID);
	qsort(uids, d->n, sizeof *uids, by_uid);
	for (i = 0; i < d->memory.n; i++) {
		x = &d->memory.v[i];
		if (!x->gone && bsearch(x->uid, uids, d->n, sizeof *uids, by_uid) == NULL)
			x->gone = d->changed = true;
	}
	free(uids);
}

void
maildrop_expunged(struct maildrop *d)
{
	struct memory_entry *x;
	size_t i;

	for (i = 0; i < d->n; i++)
		if ((d->v[i].flags & (SLOT_DELETED | SLOT_UID)) == (SLOT_DELETED | SLOT_UID) &&
		    (x = memory_find(&d->memory, d->v[i].uid)) != NULL)
			x->gone = d->changed = true;
}

void
maildrop_undelete(struct maildrop *d)
{
	size_t i;

	for (i = 0; i < d->n; i++)
		d->v[i].flags &= (uint8_t)~SLOT_DELETED;
}

size_t
maildrop_count(const struct maildrop *d, uint64_t *octets)
{
	size_t i, n = 0;

	*octets = 0;
	for (i = 0; i < d->n; i++)
		if ((d->v[i].flags & SLOT_DELETED) == 0) {
			*octets += d->v[i].size;
			n++;
		}
	return n;
}

void
maildrop_load(struct maildrop *d, int dir)
{
	struct err e;

	if (d->loaded)
		return;
	d->loaded = true;
	if (memory_load(&d->memory, dir, d->name, d->id, &e) == -1)
		log_warn("what was remembered of maildrop %s is not used: %s", d->name, e.text);
}

void
maildrop_save(struct maildrop *d, int dir)
{
	struct err e;

	if (!d->loaded || !d->changed)
		return;
	d->changed = false;
	if (memory_save(&d->memory, dir, d->name, d->id, today(), &e) == -1)
		log_warn("cannot remember maildrop %s: %s", d->name, e.text);
}
