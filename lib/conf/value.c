#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/load.h"

#define PATH_LEN_MAX 1023 /* octets; leaves room for names that are appended */
#define MARKS_MAX 16
#define TEXT_LEN_MAX 1023
#define WORD_LEN_MAX 255 /* octets; of a protocol name, RFC 7301, 3.1 */
#define PRINT_DIGITS 64 /* of a SHA-256 */

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

/* What OpenSSL's lists of ciphers and groups are made of. */
static int
is_text(const char *s)
{
	size_t n = strlen(s), i;

	for (i = 0; i < n; i++)
		if (s[i] < 0x20 || s[i] == 0x7f || strchr("\"'\\$", s[i]) != NULL)
			return 0;
	return n > 0 && n <= TEXT_LEN_MAX;
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
	    [CONF_T_TEXT] = {is_text, "only printable ASCII without quotes can stand here"},
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
wrong(char *why, size_t whysz, const char *text)
{
	(void)snprintf(why, whysz, "%s", text);
	errno = EINVAL;
	return -1;
}

/* Room for one value more behind the n of a list. */
static int
make_room(const struct conf_key *k, void *v, size_t n, size_t size, char *why, size_t whysz)
{
	void *old, *fresh;

	if (n >= k->max) {
		(void)snprintf(
		    why, whysz, "the list is too long, at most %" PRIu64 " values", k->max);
		errno = EINVAL;
		return -1;
	}
	memcpy(&old, v, sizeof old);
	if ((fresh = reallocarray(old, n + 1, size)) == NULL)
		return -1;
	memcpy(v, &fresh, sizeof fresh);
	return 0;
}

/* Brackets tell where an IPv6 address ends: "::1:25" could be one itself. */
static int
parse_port(const char *text, struct netaddr *a)
{
	if (*text == '[' || strchr(text, ':') == NULL)
		if (netaddr_parse_host(text, a) == 0)
			return 0;
	return netaddr_parse(text, ':', 0, a);
}

static int
add_addr(const struct conf_key *k, void *to, const char *text, char *why, size_t whysz)
{
	struct conf_addrs *l = to;
	struct netaddr a = {0};

	if (k->type == CONF_T_PORTS && parse_port(text, &a) == -1)
		return wrong(why, whysz,
		    "write ADDRESS:PORT, as 192.0.2.1:587 or [2001:db8::1]:587, port 1 to 65535, "
		    "or an address alone for the usual ports");
	if (k->type == CONF_T_RESOLVERS && netaddr_parse(text, '@', 53, &a) == -1)
		return wrong(why, whysz, "write ADDRESS or ADDRESS@PORT, as 127.0.0.1@5353");
	if (make_room(k, &l->v, l->n, sizeof *l->v, why, whysz) == -1)
		return -1;
	l->v[l->n++] = a;
	return 0;
}

static int
add_net(const struct conf_key *k, void *to, const char *text, char *why, size_t whysz)
{
	struct conf_nets *l = to;
	struct net net;

	if (net_parse(text, &net) == -1)
		return wrong(why, whysz,
		    errno == EDOM
			? "bits are set behind the prefix: write the first address of the network"
			: "write a network, as 10.0.0.0/8 or fd00::/8, or one address");
	if (make_room(k, &l->v, l->n, sizeof *l->v, why, whysz) == -1)
		return -1;
	l->v[l->n++] = net;
	return 0;
}

static int
is_cert(const char *s)
{
	return is_name(s) || is_path(s);
}

static int
is_word(const char *s)
{
	size_t n = strlen(s), i;

	for (i = 0; i < n; i++)
		if (s[i] <= 0x20 || s[i] == 0x7f)
			return 0;
	return n > 0 && n <= WORD_LEN_MAX;
}

static int
is_print(const char *s)
{
	unsigned digits = 0;

	for (; *s != '\0'; s++)
		if (isxdigit((unsigned char)*s))
			digits++;
		else if (*s != ':')
			return 0;
	return digits == PRINT_DIGITS;
}

static int
is_pair(const char *s)
{
	const char *mark = strchr(s, '=');
	char asked[HOST_MAX];

	if (mark == NULL || (size_t)(mark - s) >= sizeof asked)
		return 0;
	memcpy(asked, s, (size_t)(mark - s));
	asked[mark - s] = '\0';
	return is_host(asked) && is_host(mark + 1);
}

/* Digits alone, in lower case. */
static void
plain_print(char *s)
{
	char *to = s;

	for (; *s != '\0'; s++)
		if (*s != ':')
			*to++ = (char)tolower((unsigned char)*s);
	*to = '\0';
}

static int
add_string(const struct conf_key *k, void *to, const char *text, char *why, size_t whysz)
{
	static const struct {
		int (*fits)(const char *s);
		const char *why;
	} kinds[] = {
	    [CONF_T_CERTS] = {is_cert,
		"write the name of a certificate in node.tls_dir, or an absolute path"},
	    [CONF_T_WORDS] = {is_word, "1 to 255 printable ASCII characters without blanks"},
	    [CONF_T_PRINTS] = {is_print,
		"a SHA-256 fingerprint has 64 hexadecimal digits; colons may stand between them"},
	    [CONF_T_PAIRS] = {is_pair,
		"write ASKED=EXPECTED, as \"mail.example.org=mx1.example.net\""},
	};
	struct conf_strings *l = to;
	char *copy;

	if (!kinds[k->type].fits(text))
		return wrong(why, whysz, kinds[k->type].why);
	if (make_room(k, &l->v, l->n, sizeof *l->v, why, whysz) == -1 ||
	    (copy = strdup(text)) == NULL)
		return -1;
	if (k->type == CONF_T_PRINTS)
		plain_print(copy);
	l->v[l->n++] = copy;
	return 0;
}

int
conf_strings_add(struct conf_strings *l, const char *text)
{
	char **v = reallocarray(l->v, l->n + 1, sizeof *v), *copy;

	if (v == NULL)
		return -1;
	l->v = v;
	if ((copy = strdup(text)) == NULL)
		return -1;
	l->v[l->n++] = copy;
	return 0;
}

void
conf_strings_free(struct conf_strings *l)
{
	while (l->n > 0)
		free(l->v[--l->n]);
	free(l->v);
	l->v = NULL;
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
	case CONF_T_PORTS:
	case CONF_T_RESOLVERS:
		return add_addr(k, to, text, why, whysz);
	case CONF_T_NETS:
		return add_net(k, to, text, why, whysz);
	case CONF_T_CERTS:
	case CONF_T_WORDS:
	case CONF_T_PRINTS:
	case CONF_T_PAIRS:
		return add_string(k, to, text, why, whysz);
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
	case CONF_T_PORTS:
	case CONF_T_RESOLVERS:
		free(((struct conf_addrs *)to)->v);
		break;
	case CONF_T_NETS:
		free(((struct conf_nets *)to)->v);
		break;
	case CONF_T_CERTS:
	case CONF_T_WORDS:
	case CONF_T_PRINTS:
	case CONF_T_PAIRS:
		conf_strings_free(to);
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

/* An address with or without port; out holds NETADDR_TEXT_MAX. */
static const char *
format_port(char *out, size_t outsz, const struct netaddr *a)
{
	char text[NETADDR_TEXT_MAX];

	if (a->port != 0 || a->family != AF_INET6)
		return netaddr_format(out, outsz, ':', a);
	(void)snprintf(out, outsz, "[%s]", netaddr_format(text, sizeof text, ':', a));
	return out;
}

/* The i-th value of a list as text, or NULL when there are no more. */
static const char *
list_value(const struct conf_key *k, const void *from, size_t i, char out[NETADDR_TEXT_MAX])
{
	const struct conf_addrs *addrs = from;
	const struct conf_nets *nets = from;
	const struct conf_strings *strings = from;

	switch (k->type) {
	case CONF_T_NETS:
		if (i >= nets->n)
			return NULL;
		return net_format(out, NETADDR_TEXT_MAX, &nets->v[i]);
	case CONF_T_PORTS:
		if (i >= addrs->n)
			return NULL;
		return format_port(out, NETADDR_TEXT_MAX, &addrs->v[i]);
	case CONF_T_RESOLVERS:
		if (i >= addrs->n)
			return NULL;
		return netaddr_format(out, NETADDR_TEXT_MAX, '@', &addrs->v[i]);
	default:
		return i < strings->n ? strings->v[i] : NULL;
	}
}

static int
dump_list(const struct conf_key *k, const void *from, const struct sink *to)
{
	char out[NETADDR_TEXT_MAX];
	const char *text;
	size_t i;

	if (sink_puts(to, "{") == -1)
		return -1;
	for (i = 0; (text = list_value(k, from, i, out)) != NULL; i++)
		if ((i > 0 && sink_puts(to, ", ") == -1) || dump_text(text, to) == -1)
			return -1;
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
	case CONF_T_PORTS:
	case CONF_T_RESOLVERS:
	case CONF_T_NETS:
	case CONF_T_CERTS:
	case CONF_T_WORDS:
	case CONF_T_PRINTS:
	case CONF_T_PAIRS:
		return dump_list(k, from, to);
	default:
		memcpy(&s, from, sizeof s);
		return dump_text(s, to);
	}
}
