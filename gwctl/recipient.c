/* recipient add, del, list: who takes mail in domains with a list. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "gwctl/gwctl.h"
#include "mail/address.h"

/* Addresses on their way to policyd, a page at once. */
struct batch {
	struct gwctl *t;
	char addr[ADMIN_PAGE_MAX][MAIL_ADDR_MAX + 1];
	size_t n;
	unsigned long added;
};

static int
flush(struct batch *b)
{
	struct recipient v[ADMIN_PAGE_MAX];
	struct recipient_put q = {.recipients = {v, b->n}};
	size_t i;
	int rc;

	if (b->n == 0)
		return 0;
	for (i = 0; i < b->n; i++)
		v[i] = (struct recipient){.addr = b->addr[i], .tenant = "default"};
	if ((rc = gwctl_change(b->t, M_recipient_put, &q)) == 0)
		b->added += b->n;
	b->n = 0;
	return rc;
}

/* "local@domain" or "@domain", as it is stored; -1: it is neither. */
static int
text_of(const char *s, char *out, size_t outsz)
{
	size_t i;

	if (s[0] != '@')
		return mail_addr_normalise(s, out, outsz);
	if (strlcpy(out, s, outsz) >= outsz || !host_valid(out + 1))
		return -1;
	for (i = 0; out[i] != '\0'; i++)
		if (out[i] >= 'A' && out[i] <= 'Z')
			out[i] = (char)(out[i] - 'A' + 'a');
	return 0;
}

/* where: "FILE:LINE: " or "" */
static int
add(struct batch *b, const char *s, const char *where)
{
	if (text_of(s, b->addr[b->n], sizeof b->addr[0]) == -1)
		return complain(EX_DATAERR, "%s'%s' is no address and no @domain", where, shown(s));
	b->n++;
	return b->n == ADMIN_PAGE_MAX ? flush(b) : 0;
}

/* One a line; empty lines and what stands behind # do not count. */
static int
add_file(struct batch *b, const char *path)
{
	FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	char line[MAIL_ADDR_MAX + 64], where[600];
	unsigned long no = 0;
	int rc, worst = 0;

	if (f == NULL)
		return complain(EX_NOINPUT, "%s: %s", path, strerror(errno));
	while (fgets(line, sizeof line, f) != NULL) {
		char *s = line + strspn(line, " \t");

		no++;
		(void)snprintf(where, sizeof where, "%.500s:%lu: ", path, no);
		if (strchr(line, '\n') == NULL && !feof(f)) {
			worst = complain(EX_DATAERR, "%sthe line is too long", where);
			break;
		}
		s[strcspn(s, " \t\r\n#")] = '\0';
		if (*s == '\0')
			continue;
		if ((rc = add(b, s, where)) != 0 && (worst = rc) == EX_UNAVAILABLE)
			break;
	}
	if (ferror(f))
		worst = complain(EX_IOERR, "%s: %s", path, strerror(errno));
	if (f != stdin)
		(void)fclose(f);
	return worst;
}

int
verb_recipient_add(struct gwctl *t, int argc, char *argv[])
{
	static const struct option longs[] = {
	    {"file", required_argument, NULL, 'f'},
	    {NULL, 0, NULL, 0},
	};
	const char *file = NULL;
	int c, rc, worst = 0;
	struct batch *b;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c != 'f')
			return complain_usage();
		file = optarg;
	}
	if (optind == argc && file == NULL)
		return complain_usage();
	if ((b = calloc(1, sizeof *b)) == NULL)
		return complain(EX_OSERR, "%s", strerror(errno));
	b->t = t;
	if (file != NULL)
		worst = add_file(b, file);
	for (; optind < argc && worst != EX_UNAVAILABLE; optind++)
		if ((rc = add(b, argv[optind], "")) != 0)
			worst = rc;
	if (worst != EX_UNAVAILABLE && (rc = flush(b)) != 0)
		worst = rc;
	(void)printf("%lu\tadded\n", b->added);
	free(b);
	return worst;
}

int
verb_recipient_del(struct gwctl *t, int argc, char *argv[])
{
	int i, rc, worst = 0;

	if (argc < 2 || argv[1][0] == '-')
		return complain_usage();
	for (i = 1; i < argc; i++) {
		char addr[MAIL_ADDR_MAX + 1];
		struct recipient_del q = {.addr = addr};

		if (text_of(argv[i], addr, sizeof addr) == -1) {
			worst = complain(
			    EX_DATAERR, "'%s' is no address and no @domain", shown(argv[i]));
			continue;
		}
		if ((rc = gwctl_change(t, M_recipient_del, &q)) == 0)
			(void)printf("%s\tremoved\n", addr);
		else if ((worst = rc) == EX_UNAVAILABLE)
			break;
	}
	return worst;
}

static int
each(struct gwctl *t, struct table *table, struct json_list *list)
{
	char after[MAIL_ADDR_MAX + 1] = "";
	struct recipient_list q = {.after = after};
	const struct recipient_page *p;
	struct ipc_msg m;
	size_t i, n;
	int rc;

	do {
		if ((rc = gwctl_ask(t, M_recipient_list, &q, M_recipient_page, &m)) != 0)
			return rc;
		p = m.body;
		for (i = 0, n = p->recipients.n; i < n; i++) {
			const struct recipient *r = &p->recipients.v[i];
			const char *cells[] = {shown(r->addr), shown(r->tenant)};

			if (list != NULL)
				json_list_item(list, &rec_recipient, r);
			else if (table != NULL)
				table_row(table, cells);
			else
				(void)printf("%s\n", shown(r->addr));
			(void)strlcpy(after, r->addr, sizeof after);
		}
		ipc_done(&t->policy, &m);
	} while (n > 0);
	return 0;
}

int
verb_recipient_list(struct gwctl *t, int argc, char *argv[])
{
	static const char *const heads[] = {"RECIPIENT", "TENANT", NULL};
	struct json_list list;
	struct table table;
	int rc, end = 0, how = list_options(argc, argv);

	if (how == -1)
		return EX_USAGE;
	if (how == LIST_JSON) {
		json_list_begin(&list, "recipients");
		rc = each(t, NULL, &list);
		end = json_list_end(&list);
	} else if (how == LIST_TABLE) {
		table_begin(&table, heads);
		rc = each(t, &table, NULL);
		end = table_end(&table);
	} else
		rc = each(t, NULL, NULL);
	return rc != 0 ? rc : end;
}
