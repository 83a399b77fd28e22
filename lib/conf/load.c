#include "conf/load.h"

#include <confuse.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* libconfuse hands its error function no argument of ours. */
static struct conf_errors *parsing;

static void __attribute__((format(printf, 2, 0)))
parse_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	char what[200];

	(void)vsnprintf(what, sizeof what, fmt, ap);
	conf_error(parsing, cfg != NULL && cfg->line > 0 ? (unsigned)cfg->line : 0,
	    "syntax: %s; write NAME = VALUE or SECTION { ... }", conf_show(what, strlen(what)));
}

static cfg_t *
parse(char *text, size_t n, struct conf_errors *errs)
{
	cfg_opt_t keys[CONF_S_COUNT][CONF_KEYS_MAX + 1], top[CONF_S_COUNT + 1];
	const struct conf_section *s;
	const struct conf_key *k;
	unsigned i, j;
	cfg_t *cfg;
	FILE *fp;
	int rc;

	for (i = 0; i < CONF_S_COUNT; i++) {
		s = &conf_sections[i];
		for (j = 0; j < s->nkeys; j++) {
			k = &s->keys[j];
			keys[i][j] = conf_is_list(k->type)
					 ? (cfg_opt_t)CFG_STR_LIST(k->name, NULL, CFGF_NODEFAULT)
					 : (cfg_opt_t)CFG_STR(k->name, NULL, CFGF_NODEFAULT);
		}
		keys[i][j] = (cfg_opt_t)CFG_END();
		top[i] = (cfg_opt_t)CFG_SEC(s->name, keys[i],
		    CFGF_NODEFAULT | (s->titled ? CFGF_MULTI | CFGF_TITLE : CFGF_NONE));
	}
	top[CONF_S_COUNT] = (cfg_opt_t)CFG_END();
	if ((cfg = cfg_init(top, CFGF_NONE)) == NULL)
		return NULL;
	(void)cfg_set_error_function(cfg, parse_error);
	if ((fp = fmemopen(text, n, "r")) == NULL) {
		cfg_free(cfg);
		return NULL;
	}
	parsing = errs;
	i = errs->count;
	rc = cfg_parse_fp(cfg, fp);
	parsing = NULL;
	(void)fclose(fp);
	if (rc != CFG_SUCCESS) {
		if (i == errs->count)
			conf_error(errs, (unsigned)cfg->line, "syntax error");
		cfg_free(cfg);
		errno = EINVAL;
		return NULL;
	}
	return cfg;
}

static unsigned
key_index(const struct scan_section *sec, const char *key)
{
	const struct conf_section *kind = &conf_sections[sec->id];
	unsigned i;

	for (i = 0; i + 1 < kind->nkeys && strcmp(kind->keys[i].name, key) != 0; i++)
		continue;
	return i;
}

int
conf_given(const struct scan_section *sec, const char *key)
{
	return sec != NULL && sec->key_line[key_index(sec, key)] != 0;
}

unsigned
conf_line(const struct scan_section *sec, const char *key)
{
	unsigned line;

	if (sec == NULL)
		return 0;
	line = sec->key_line[key_index(sec, key)];
	return line != 0 ? line : sec->line;
}

unsigned
conf_count(const struct scan_section *sec, const char *key)
{
	return sec != NULL ? sec->count[key_index(sec, key)] : 0;
}

unsigned
conf_value_line(
    const struct conf_load *l, const struct scan_section *sec, const char *key, size_t i)
{
	unsigned k;

	if (sec == NULL)
		return 0;
	k = key_index(sec, key);
	if (i < sec->count[k])
		return l->scan.value_line[sec->first[k] + i];
	return conf_line(sec, key);
}

/* Set one key from the file or, when it is not there, from its default. Returns -1 for ENOMEM. */
static int
load_key(struct conf_load *l, const struct conf_key *k, const struct scan_section *at, cfg_t *cfg,
    void *section)
{
	const struct conf_section *kind = at != NULL ? &conf_sections[at->id] : NULL;
	cfg_opt_t *opt = cfg != NULL ? cfg_getopt(cfg, k->name) : NULL;
	unsigned i, n = opt != NULL ? cfg_opt_size(opt) : 0;
	int given = at != NULL && kind != NULL && at->key_line[k - kind->keys] != 0;
	char why[200] = "";
	const char *text;

	if (!given && n == 0) {
		if (conf_is_list(k->type) && k->min == 0)
			return 0;
		if (k->def == NULL && !k->computed)
			conf_error(&l->errs, at != NULL ? at->line : 0,
			    "%s \"%s\" has no %s: add one", kind != NULL ? kind->name : "",
			    at != NULL ? at->title : "", k->name);
		if (k->def == NULL)
			return 0;
		return conf_value_set(k, section, k->def, why, sizeof why);
	}
	if (n < k->min && conf_is_list(k->type))
		conf_error(&l->errs, conf_line(at, k->name), "%s is empty: add a value", k->name);
	for (i = 0; i < n; i++) {
		text = cfg_opt_getnstr(opt, i);
		if (text == NULL || conf_value_set(k, section, text, why, sizeof why) == 0)
			continue;
		if (errno == ENOMEM)
			return -1;
		conf_error(&l->errs, conf_value_line(l, at, k->name, i), "%s = %s: %s", k->name,
		    *text != '\0' ? conf_show(text, strlen(text)) : "\"\"", why);
	}
	return 0;
}

static int
load_section(struct conf_load *l, const struct conf_section *kind, const struct scan_section *at,
    cfg_t *root, void *section)
{
	cfg_t *cfg = NULL;
	unsigned i;

	if (at != NULL)
		cfg = kind->titled ? cfg_gettsec(root, kind->name, at->title)
				   : cfg_getsec(root, kind->name);
	for (i = 0; i < kind->nkeys; i++)
		if (load_key(l, &kind->keys[i], at, cfg, section) == -1)
			return -1;
	return 0;
}

static int
load_titled(struct conf_load *l, enum conf_section_id id, const struct scan_section *at,
    const char *name, cfg_t *root)
{
	const struct conf_section *kind = &conf_sections[id];
	struct conf_titled head = {strdup(name), at != NULL ? at->line : 0};
	uint8_t *array;
	size_t n;

	if (head.name == NULL)
		return -1;
	array = conf_array(l->c, id, &n);
	l->titled[id][n] = at;
	array += n * kind->size;
	memcpy(array, &head, sizeof head);
	n++;
	memcpy((uint8_t *)l->c + kind->count_off, &n, sizeof n);
	if (id == CONF_S_PEER) {
		struct conf_peer *p = (void *)array;

		p->verify = CONF_VERIFY_DEFAULT;
	}
	return load_section(l, kind, at, root, array);
}

/* An array for each kind of titled section, with room for one more: the "default" of profiles and
 * gates. */
static int
make_arrays(struct conf_load *l)
{
	size_t n[CONF_S_COUNT] = {0}, i;
	void *array;

	for (i = 0; i < l->scan.nsections; i++)
		n[l->scan.sections[i].id]++;
	for (i = 0; i < CONF_S_COUNT; i++) {
		if (!conf_sections[i].titled)
			continue;
		if ((array = calloc(n[i] + 1, conf_sections[i].size)) == NULL)
			return -1;
		memcpy((uint8_t *)l->c + conf_sections[i].off, &array, sizeof array);
	}
	return 0;
}

static int
load_all(struct conf_load *l, cfg_t *root)
{
	const struct scan_section *at;
	size_t i;

	if (make_arrays(l) == -1)
		return -1;
	for (i = 0; i < l->scan.nsections; i++)
		if (!conf_sections[l->scan.sections[i].id].titled)
			l->single[l->scan.sections[i].id] = &l->scan.sections[i];
	for (i = 0; i < CONF_S_COUNT; i++)
		if (!conf_sections[i].titled &&
		    load_section(l, &conf_sections[i], l->single[i], root,
			(uint8_t *)l->c + conf_sections[i].off) == -1)
			return -1;
	for (i = 0; i < l->scan.nsections; i++) {
		at = &l->scan.sections[i];
		if (conf_sections[at->id].titled &&
		    load_titled(l, at->id, at, at->title, root) == -1)
			return -1;
	}
	if (conf_profile_find(l->c, "default") == NULL &&
	    load_titled(l, CONF_S_PROFILE, NULL, "default", root) == -1)
		return -1;
	if (conf_gate_find(l->c, "default") == NULL)
		return load_titled(l, CONF_S_GATE, NULL, "default", root);
	return 0;
}

/* Sort into the order of the file: by insertion, which keeps equal lines in order. */
static unsigned
sort(const struct conf_errors *errs, const struct conf_error_line *order[CONF_ERRORS_MAX])
{
	unsigned kept = errs->count < CONF_ERRORS_MAX ? errs->count : CONF_ERRORS_MAX;
	unsigned i, j;

	for (i = 0; i < kept; i++) {
		for (j = i; j > 0 && order[j - 1]->line > errs->v[i].line; j--)
			order[j] = order[j - 1];
		order[j] = &errs->v[i];
	}
	return kept;
}

static int
tell(const struct conf_errors *errs, const struct conf_report *report, struct err *e)
{
	const struct conf_error_line *order[CONF_ERRORS_MAX];
	unsigned i, kept = sort(errs, order);

	if (kept == 0)
		return 0;
	for (i = 0; i < kept && report != NULL; i++)
		report->line(report->arg, order[i]->text);
	if (errs->count == 1)
		return err_set(e, EINVAL, "%s", order[0]->text);
	return err_set(e, EINVAL, "%.440s (and %u more)", order[0]->text, errs->count - 1);
}

static void
tell_warnings(const struct conf_errors *warns, const struct conf_report *report)
{
	const struct conf_error_line *order[CONF_ERRORS_MAX];
	unsigned i, kept = sort(warns, order);

	for (i = 0; i < kept && report != NULL && report->warn != NULL; i++)
		report->warn(report->arg, order[i]->text);
}

struct conf *
conf_load_mem(
    const void *p, size_t n, const char *name, const struct conf_report *report, struct err *e)
{
	struct conf_load *l = NULL;
	struct conf *c = NULL;
	char *text = NULL;
	cfg_t *root = NULL;
	int rc = -1;

	if (n > CONF_FILE_MAX) {
		(void)err_set(e, EINVAL, "%s: larger than %d octets: this cannot be right", name,
		    CONF_FILE_MAX);
		return NULL;
	}
	/* One more for a final newline: a stream over no octets at all cannot be opened. */
	if ((l = calloc(1, sizeof *l)) == NULL || (l->c = calloc(1, sizeof *l->c)) == NULL ||
	    (text = malloc(n + 1)) == NULL)
		goto out;
	if (n > 0)
		memcpy(text, p, n);
	text[n] = '\n';
	l->errs.file = l->warns.file = name;
	if (conf_scan(&l->scan, text, n, &l->errs) == 0 &&
	    (root = parse(text, n + 1, &l->errs)) != NULL) {
		if (load_all(l, root) == -1)
			goto out;
		conf_complete(l);
	}
	if (l->errs.count != 0)
		errno = EINVAL;
	else if (root != NULL)
		rc = 0;
out:
	if (rc == -1 && (l == NULL || l->errs.count == 0 || errno == ENOMEM)) {
		(void)err_sys(e, "%s", name);
	} else if (l->errs.count != 0) {
		rc = tell(&l->errs, report, e);
	} else {
		tell_warnings(&l->warns, report);
		c = l->c;
		l->c = NULL;
	}
	if (root != NULL)
		cfg_free(root);
	if (l != NULL) {
		int code = errno;

		conf_free(l->c);
		conf_scan_free(&l->scan);
		free(l);
		errno = code;
	}
	free(text);
	return rc == 0 ? c : NULL;
}

struct conf *
conf_load(const char *path, const struct conf_report *report, struct err *e)
{
	struct conf *c = NULL;
	struct stat st;
	char *text = NULL;
	size_t n = 0;
	ssize_t got;
	int fd;

	if ((fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)) == -1 || fstat(fd, &st) == -1) {
		(void)err_sys(e, "%s", path);
		goto out;
	}
	if (!S_ISREG(st.st_mode)) {
		(void)err_set(e, EINVAL, "%s: not a regular file", path);
		goto out;
	}
	/* One octet more than may be, so that a file too long is seen to be so. */
	if ((text = malloc(CONF_FILE_MAX + 1)) == NULL) {
		(void)err_sys(e, "%s", path);
		goto out;
	}
	while (n <= CONF_FILE_MAX && (got = read(fd, text + n, CONF_FILE_MAX + 1 - n)) != 0) {
		if (got == -1 && errno == EINTR)
			continue;
		if (got == -1) {
			(void)err_sys(e, "%s", path);
			goto out;
		}
		n += (size_t)got;
	}
	c = conf_load_mem(text, n, path, report, e);
out:
	if (fd != -1) {
		int code = errno;

		(void)close(fd);
		errno = code;
	}
	free(text);
	return c;
}
