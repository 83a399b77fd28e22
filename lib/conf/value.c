#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/load.h"

#define PATH_LEN_MAX 1023 /* octets; leaves room for names that are appended */
#define MARKS_MAX 16

static void *
member(const struct conf_key *k, void *section)
{
	return (uint8_t *)section + k->off;
}

static int
set_number(const struct conf_key *k, void *to, const char *text, char *why, size_t whysz)
{
	static const char units[] = "KMG";
	const char *p = text, *unit;
	uint64_t v = 0;
	unsigned shift = 0;
	int good = *p >= '0' && *p <= '9';

	for (; *p >= '0' && *p <= '9' && v <= UINT32_MAX * 1024ULL; p++)
		v = v * 10 + (uint64_t)(*p - '0');
	if (k->type == CONF_T_SIZE && *p != '\0' && (unit = strchr(units, *p)) != NULL) {
		shift = 10 * (unsigned)(unit - units + 1);
		p++;
	}
	if (good && *p == '\0' && v <= k->max >> shift && v << shift >= k->min) {
		v <<= shift;
		memcpy(to, &v, sizeof v);
		return 0;
	}
	(void)snprintf(why, whysz, "a number from %" PRIu64 " to %" PRIu64 "%s is needed", k->min,
	    k->max, k->type == CONF_T_SIZE ? " (octets; K, M or G may follow)" : "");
	errno = EINVAL;
	return -1;
}

static int
set_bool(void *to, const char *text, char *why, size_t whysz)
{
	static const struct conf_word words[] = {
	    {"yes", 1}, {"no", 0}, {"true", 1}, {"false", 0}, {"on", 1}, {"off", 0}};
	size_t i;

	for (i = 0; i < sizeof words / sizeof words[0]; i++)
		if (strcmp(words[i].text, text) == 0) {
			memcpy(to, &words[i].value, sizeof words[i].value);
			return 0;
		}
	(void)snprintf(why, whysz, "write yes or no");
	errno = EINVAL;
	return -1;
}

static int
set_word(const struct conf_key *k, void *to, const char *text, char *why, size_t whysz)
{
	const struct conf_word *w;
	size_t used;

	for (w = k->words; w->text != NULL; w++)
		if (strcmp(w->text, text) == 0) {
			memcpy(to, &w->value, sizeof w->value);
			return 0;
		}
	used = (size_t)snprintf(why, whysz, "it can be");
	for (w = k->words; w->text != NULL && used < whysz; w++)
		used += (size_t)snprintf(why + used, whysz - used, "%s %s",
		    w == k->words ? "" : (w[1].text != NULL ? "," : " or"), w->text);
	errno = EINVAL;
	return -1;
}

static int
is_name(const char *s)
{
	size_t n = strlen(s), i;

	for (i = 0; i < n; i++)
		if (s[i] < 0 || (!isalnum((unsigned char)s[i]) && strchr("._-", s[i]) == NULL))
			return 0;
	return n > 0 && n < 64;
}

static int
is_path(const char *s)
{
	size_t n = strlen(s), i;

	for (i = 0; i < n; i++)
		if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
			return 0;
	return *s == '/' && n <= PATH_LEN_MAX;
}

static int
is_marks(const char *s)
{
	size_t n = strlen(s), i;

	for (i = 0; i < n; i++)
		if (s[i] < 0 || !ispunct((unsigned char)s[i]) || s[i] == '@')
			return 0;
	return n <= MARKS_MAX;
}

static int
is_host(const char *s)
{
	struct netaddr a;

	return host_valid(s) || (*s != '[' && netaddr_parse_host(s, &a) == 0);
}

static int
set_text(const struct conf_key *k, void *to, const char *text, char *why, size_t whysz)
{
	static const struct {
		int (*fits)(const char *s);
		const char *why;
	} kinds[] = {
	    [CONF_T_NAME] = {is_name, "a name has 1 to 63 letters, digits, '.', '_' and '-'"},
	    [CONF_T_HOST] = {is_host, "a host name or an address without port is needed"},
	    [CONF_T_DOMAIN] = {host_valid, "a host or domain name is needed"},
	    [CONF_T_PATH] = {is_path, "an absolute path is needed (it begins with /)"},
	    [CONF_T_MARKS] = {is_marks,
		"only up to 16 punctuation characters, not @, can stand here"},
	};
	int empty = *text == '\0' && k->def != NULL && *k->def == '\0';
	char *copy, **slot = to;

	if (!empty && !kinds[k->type].fits(text)) {
		(void)snprintf(why, whysz, "%s", kinds[k->type].why);
		errno = EINVAL;
		return -1;
	}
	if ((copy = strdup(text)) == NULL)
		return -1;
	free(*slot);
	*slot = copy;
	return 0;
}

static int
add_addr(const struct conf_key *k, void *to, const char *text, char *why, size_t whysz)
{
	struct conf_addrs *l = to;
	struct netaddr a = {0}, *v;

	if (k->type == CONF_T_LISTEN && netaddr_parse(text, ':', 0, &a) == -1) {
		(void)snprintf(why, whysz,
		    "write ADDRESS:PORT, as 192.0.2.1:587 or [2001:db8::1]:587"
		    ", port 1 to 65535");
		return -1;
	}
	if (k->type == CONF_T_RESOLVERS && netaddr_parse(text, '@', 53, &a) == -1) {
		(void)snprintf(why, whysz, "write ADDRESS or ADDRESS@PORT, as 127.0.0.1@5353");
		return -1;
	}
	if (l->n >= k->max) {
		(void)snprintf(
		    why, whysz, "the list is too long, at most %" PRIu64 " values", k->max);
		errno = EINVAL;
		return -1;
	}
	if ((v = reallocarray(l->v, l->n + 1, sizeof *v)) == NULL)
		return -1;
	l->v = v;
	l->v[l->n++] = a;
	return 0;
}

static int
add_net(const struct conf_key *k, void *to, const char *text, char *why, size_t whysz)
{
	struct conf_nets *l = to;
	struct net net, *v;

	if (net_parse(text, &net) == -1) {
		(void)snprintf(why, whysz, "%s",
		    errno == EDOM
			? "bits are set behind the prefix: write the first address of the network"
			: "write a network, as 10.0.0.0/8 or fd00::/8, or one address");
		errno = EINVAL;
		return -1;
	}
	if (l->n >= k->max) {
		(void)snprintf(
		    why, whysz, "the list is too long, at most %" PRIu64 " values", k->max);
		errno = EINVAL;
		return -1;
	}
	if ((v = reallocarray(l->v, l->n + 1, sizeof *v)) == NULL)
		return -1;
	l->v = v;
	l->v[l->n++] = net;
	return 0;
}

int
conf_value_set(const struct conf_key *k, void *section, const char *text, char *why, size_t whysz)
{
	void *to = member(k, section);

	switch (k->type) {
	case CONF_T_NUM:
	case CONF_T_SIZE:
		return set_number(k, to, text, why, whysz);
	case CONF_T_BOOL:
		return set_bool(to, text, why, whysz);
	case CONF_T_WORD:
		return set_word(k, to, text, why, whysz);
	case CONF_T_LISTEN:
	case CONF_T_RESOLVERS:
		return add_addr(k, to, text, why, whysz);
	case CONF_T_NETS:
		return add_net(k, to, text, why, whysz);
	default:
		return set_text(k, to, text, why, whysz);
	}
}

void
conf_value_free(const struct conf_key *k, void *section)
{
	void *to = member(k, section);
	char *s;

	switch (k->type) {
	case CONF_T_NUM:
	case CONF_T_SIZE:
	case CONF_T_BOOL:
	case CONF_T_WORD:
		break;
	case CONF_T_LISTEN:
	case CONF_T_RESOLVERS:
		free(((struct conf_addrs *)to)->v);
		break;
	case CONF_T_NETS:
		free(((struct conf_nets *)to)->v);
		break;
	default:
		memcpy(&s, to, sizeof s);
		free(s);
	}
}

static int
dump_text(const char *s, const struct sink *to)
{
	if (sink_puts(to, "\"") == -1)
		return -1;
	for (; *s != '\0'; s++)
		if ((strchr("\"\\$", *s) != NULL && sink_puts(to, "\\") == -1) ||
		    sink_write(to, s, 1) == -1)
			return -1;
	return sink_puts(to, "\"");
}

static int
dump_list(const struct conf_key *k, const void *from, const struct sink *to)
{
	const struct conf_addrs *addrs = from;
	const struct conf_nets *nets = from;
	size_t i, n = k->type == CONF_T_NETS ? nets->n : addrs->n;
	char text[NETADDR_TEXT_MAX];

	if (sink_puts(to, "{") == -1)
		return -1;
	for (i = 0; i < n; i++) {
		if (k->type == CONF_T_NETS)
			net_format(text, sizeof text, &nets->v[i]);
		else
			netaddr_format(
			    text, sizeof text, k->type == CONF_T_LISTEN ? ':' : '@', &addrs->v[i]);
		if ((i > 0 && sink_puts(to, ", ") == -1) || dump_text(text, to) == -1)
			return -1;
	}
	return sink_puts(to, "}");
}

int
conf_value_dump(const struct conf_key *k, const void *section, const struct sink *to)
{
	const void *from = (const uint8_t *)section + k->off;
	const struct conf_word *w;
	char text[24];
	char *s;
	uint64_t v;
	int word;

	switch (k->type) {
	case CONF_T_NUM:
	case CONF_T_SIZE:
		memcpy(&v, from, sizeof v);
		(void)snprintf(text, sizeof text, "%" PRIu64, v);
		return sink_puts(to, text);
	case CONF_T_BOOL:
		memcpy(&word, from, sizeof word);
		return sink_puts(to, word ? "yes" : "no");
	case CONF_T_WORD:
		memcpy(&word, from, sizeof word);
		for (w = k->words; w[1].text != NULL && w->value != word; w++)
			continue;
		return sink_puts(to, w->text);
	case CONF_T_LISTEN:
	case CONF_T_RESOLVERS:
	case CONF_T_NETS:
		return dump_list(k, from, to);
	default:
		memcpy(&s, from, sizeof s);
		return dump_text(s, to);
	}
}
