#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dnsd/dnsd.h"

#define LABEL_MAX 63
#define LINE_WORDS 64 /* names on one line of hosts(5) that are looked at */
#define BLANKS " \t\r"

void
addrs_add(struct addrs *a, const void *ip, size_t len)
{
	size_t i;

	for (i = 0; i < a->n; i++)
		if (a->v[i].len == len && memcmp(a->v[i].ip, ip, len) == 0)
			return;
	if (a->n == DNS_ADDRS_MAX)
		return;
	memcpy(a->v[a->n].ip, ip, len);
	a->v[a->n++].len = len;
}

static int
label_ok(const char *s, size_t n)
{
	size_t i;

	if (n == 0 || n > LABEL_MAX || s[0] == '-' || s[n - 1] == '-')
		return 0;
	for (i = 0; i < n; i++)
		if (!isascii((unsigned char)s[i]) ||
		    (!isalnum((unsigned char)s[i]) && s[i] != '-' && s[i] != '_'))
			return 0;
	return 1;
}

int
name_check(const char *s, char *out)
{
	size_t n = strlen(s), at = 0, len, i;

	if (n > 0 && s[n - 1] == '.')
		n--;
	if (n == 0 || n > NAME_MAX_OCTETS)
		return -1;
	for (i = 0; i < n; i++)
		out[i] = (char)tolower((unsigned char)s[i]);
	out[n] = '\0';
	for (;;) {
		len = strcspn(out + at, ".");
		if (!label_ok(out + at, len))
			return -1;
		at += len;
		if (at == n)
			return 0;
		at++;
	}
}

int
name_check_tlsa(const char *s, char *out)
{
	static const char tcp[] = "._tcp.";
	size_t digits = s[0] == '_' ? strspn(s + 1, "0123456789") : 0;
	const char *rest = s + 1 + digits;
	struct addr a;

	if (digits == 0 || digits > 5 || s[1] == '0' || strtoul(s + 1, NULL, 10) > 65535 ||
	    strncmp(rest, tcp, sizeof tcp - 1) != 0)
		return -1;
	rest += sizeof tcp - 1;
	if (*rest == '\0' || name_numeric(rest, &a))
		return -1;
	return name_check(s, out);
}

int
name_reversed(const uint8_t *ip, size_t n, const char *zone, char *out)
{
	const char *own = n == 4 ? "in-addr.arpa" : "ip6.arpa";
	char text[64 + 1] = "", *p = text;
	size_t i;
	int len;

	for (i = n; i-- > 0;)
		if (n == 4)
			p += sprintf(p, "%u.", ip[i]);
		else
			p += sprintf(p, "%x.%x.", ip[i] & 15u, ip[i] >> 4);
	len = snprintf(out, NAME_MAX_OCTETS + 1, "%s%s", text, zone != NULL ? zone : own);
	return len <= NAME_MAX_OCTETS ? 0 : -1;
}

int
name_numeric(const char *s, struct addr *a)
{
	struct netaddr na;

	if (netaddr_parse_host(s, &na) == -1)
		return 0;
	a->len = na.family == AF_INET ? 4 : 16;
	memcpy(a->ip, na.addr, a->len);
	return 1;
}

struct host {
	char *name;
	struct addr addr;
	size_t order; /* in the file */
};

struct hosts {
	struct host *v;
	const struct host **by_addr; /* sorted by address, then as in the file */
	size_t n, room;
};

static int
hosts_add(struct hosts *h, const char *name, const struct addr *a)
{
	char checked[NAME_MAX_OCTETS + 1];
	struct host *v;
	size_t room;

	if (name_check(name, checked) == -1)
		return 0;
	if (h->n == h->room) {
		room = h->room == 0 ? 64 : h->room * 2;
		if ((v = reallocarray(h->v, room, sizeof *v)) == NULL)
			return -1;
		h->v = v;
		h->room = room;
	}
	if ((h->v[h->n].name = strdup(checked)) == NULL)
		return -1;
	h->v[h->n].addr = *a;
	h->v[h->n].order = h->n;
	h->n++;
	return 0;
}

static int
hosts_line(struct hosts *h, char *line)
{
	struct addr a;
	char *word;
	unsigned i;

	line[strcspn(line, "#")] = '\0';
	if ((word = strtok_r(line, BLANKS, &line)) == NULL || !name_numeric(word, &a))
		return 0;
	for (i = 0; i < LINE_WORDS && h->n < HOSTS_MAX; i++) {
		if ((word = strtok_r(NULL, BLANKS, &line)) == NULL)
			break;
		if (hosts_add(h, word, &a) == -1)
			return -1;
	}
	return 0;
}

static int
compare(const void *a, const void *b)
{
	const struct host *x = a, *y = b;
	int c = strcmp(x->name, y->name);

	return c != 0 ? c : x->order < y->order ? -1 : x->order > y->order;
}

static int
addr_compare(const struct addr *a, const struct addr *b)
{
	return a->len != b->len ? (a->len < b->len ? -1 : 1) : memcmp(a->ip, b->ip, a->len);
}

static int
compare_addrs(const void *a, const void *b)
{
	const struct host *x = *(const struct host *const *)a, *y = *(const struct host *const *)b;
	int c = addr_compare(&x->addr, &y->addr);

	return c != 0 ? c : x->order < y->order ? -1 : x->order > y->order;
}

struct hosts *
hosts_parse(const char *text, size_t n)
{
	struct hosts *h = calloc(1, sizeof *h);
	char *copy = strndup(text, n), *rest = copy, *line;
	size_t i;

	if (h == NULL || copy == NULL)
		goto fail;
	while ((line = strsep(&rest, "\n")) != NULL)
		if (hosts_line(h, line) == -1)
			goto fail;
	if (h->n > 0) {
		qsort(h->v, h->n, sizeof *h->v, compare);
		if ((h->by_addr = reallocarray(NULL, h->n, sizeof *h->by_addr)) == NULL)
			goto fail;
		for (i = 0; i < h->n; i++)
			h->by_addr[i] = &h->v[i];
		qsort(h->by_addr, h->n, sizeof *h->by_addr, compare_addrs);
	}
	free(copy);
	return h;
fail:
	free(copy);
	hosts_free(h);
	return NULL;
}

void
hosts_free(struct hosts *h)
{
	size_t i;

	if (h == NULL)
		return;
	for (i = 0; i < h->n; i++)
		free(h->v[i].name);
	free(h->by_addr);
	free(h->v);
	free(h);
}

static int
is_localhost(const char *name)
{
	static const char suffix[] = ".localhost";
	size_t n = strlen(name), s = sizeof suffix - 1;

	return strcmp(name, "localhost") == 0 || (n > s && strcmp(name + n - s, suffix) == 0);
}

size_t
hosts_find(const struct hosts *h, const char *name, struct addrs *out)
{
	static const uint8_t loop6[16] = {[15] = 1}, loop4[4] = {127, 0, 0, 1};
	size_t lo = 0, hi = h != NULL ? h->n : 0, mid, had = out->n;

	while (lo < hi) {
		mid = (lo + hi) / 2;
		if (strcmp(h->v[mid].name, name) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; h != NULL && lo < h->n && strcmp(h->v[lo].name, name) == 0; lo++)
		addrs_add(out, h->v[lo].addr.ip, h->v[lo].addr.len);
	/* A hosts file may say otherwise; the DNS may not (RFC 6761, 6.3). */
	if (out->n == had && is_localhost(name)) {
		addrs_add(out, loop4, sizeof loop4);
		addrs_add(out, loop6, sizeof loop6);
	}
	return out->n - had;
}

const char *
hosts_name(const struct hosts *h, const struct addr *a)
{
	static const struct addr loop4 = {{127, 0, 0, 1}, 4}, loop6 = {{[15] = 1}, 16};
	size_t lo = 0, hi = h != NULL ? h->n : 0, mid;

	while (lo < hi) {
		mid = (lo + hi) / 2;
		if (addr_compare(&h->by_addr[mid]->addr, a) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (h != NULL && lo < h->n && addr_compare(&h->by_addr[lo]->addr, a) == 0)
		return h->by_addr[lo]->name;
	return addr_compare(a, &loop4) == 0 || addr_compare(a, &loop6) == 0 ? "localhost" : NULL;
}

size_t
resolv_parse(const char *text, size_t n, struct netaddr *out, size_t max)
{
	char *copy = strndup(text, n), *rest = copy, *line, *word;
	size_t found = 0;

	while (copy != NULL && found < max && (line = strsep(&rest, "\n")) != NULL) {
		if ((word = strtok_r(line, BLANKS, &line)) == NULL ||
		    strcmp(word, "nameserver") != 0 ||
		    (word = strtok_r(NULL, BLANKS, &line)) == NULL)
			continue;
		if (netaddr_parse_host(word, &out[found]) == 0) {
			out[found].port = 53;
			found++;
		}
	}
	free(copy);
	return found;
}
