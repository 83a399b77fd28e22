/* domain add, del, list. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "gwctl/gwctl.h"

/* What a domain is entered as: lower case, no final dot. 0 or -1 (too long). */
static int
domain_text(const char *s, char *out, size_t outsz)
{
	size_t i, n = strlcpy(out, s, outsz);

	if (n >= outsz)
		return -1;
	if (n > 1 && out[n - 1] == '.')
		out[n - 1] = '\0';
	for (i = 0; out[i] != '\0'; i++)
		if (out[i] >= 'A' && out[i] <= 'Z')
			out[i] = (char)(out[i] - 'A' + 'a');
	return 0;
}

static const char *const modes[] = {
    [DOMAIN_ASK] = "ask", [DOMAIN_LIST] = "list", [DOMAIN_ANY] = "any"};

static int
recipients_of(const char *s)
{
	int i;

	for (i = 0; i < (int)(sizeof modes / sizeof modes[0]); i++)
		if (strcmp(s, modes[i]) == 0)
			return i;
	return -1;
}

int
verb_domain_add(struct gwctl *t, int argc, char *argv[])
{
	static const struct option longs[] = {
	    {"tenant", required_argument, NULL, 't'},
	    {"recipients", required_argument, NULL, 'r'},
	    {NULL, 0, NULL, 0},
	};
	const char *tenant = "default";
	int c, i, rc, worst = 0, recipients = DOMAIN_ASK;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 't')
			tenant = optarg;
		else if (c != 'r' || (recipients = recipients_of(optarg)) == -1)
			return complain_usage();
	}
	if (optind == argc)
		return complain_usage();
	for (i = optind; i < argc; i++) {
		char name[256];
		struct domain d = {
		    .name = name, .tenant = tenant, .recipients = (uint8_t)recipients};
		struct domain_put q = {.domain = {&d, 1}};

		if (domain_text(argv[i], name, sizeof name) == -1 || !host_valid(name)) {
			worst = complain(EX_DATAERR, "'%s' is no domain", shown(argv[i]));
			continue;
		}
		if ((rc = gwctl_change(t, M_domain_put, &q)) == 0)
			(void)printf("%s\tadded\n", name);
		else if ((worst = rc) == EX_UNAVAILABLE)
			break;
	}
	return worst;
}

int
verb_domain_del(struct gwctl *t, int argc, char *argv[])
{
	int i, rc, worst = 0;

	if (argc < 2 || argv[1][0] == '-')
		return complain_usage();
	for (i = 1; i < argc; i++) {
		char name[256];
		struct domain_del q = {.name = name};

		if (domain_text(argv[i], name, sizeof name) == -1 || name[0] == '\0') {
			worst = complain(EX_DATAERR, "'%s' is no domain", shown(argv[i]));
			continue;
		}
		if ((rc = gwctl_change(t, M_domain_del, &q)) == 0)
			(void)printf("%s\tremoved\n", name);
		else if ((worst = rc) == EX_UNAVAILABLE)
			break;
	}
	return worst;
}

/* Show every domain, page by page; table and list are of use for one of the two. */
static int
each_domain(struct gwctl *t, struct table *table, struct json_list *list)
{
	char after[256] = "";
	struct domain_list q = {.after = after};
	const struct domain_page *p;
	struct ipc_msg m;
	size_t i, n;
	int rc;

	do {
		if ((rc = gwctl_ask(t, M_domain_list, &q, M_domain_page, &m)) != 0)
			return rc;
		p = m.body;
		for (i = 0, n = p->domains.n; i < n; i++) {
			const struct domain *d = &p->domains.v[i];
			const char *cells[] = {
			    shown(d->name), shown(d->tenant), modes[d->recipients]};

			if (list != NULL)
				json_list_item(list, &rec_domain, d);
			else if (table != NULL)
				table_row(table, cells);
			else
				(void)printf("%s\n", shown(d->name));
			(void)strlcpy(after, d->name, sizeof after);
		}
		ipc_done(&t->policy, &m);
	} while (n > 0);
	return 0;
}

int
verb_domain_list(struct gwctl *t, int argc, char *argv[])
{
	static const char *const heads[] = {"DOMAIN", "TENANT", "RECIPIENTS", NULL};
	struct json_list list;
	struct table table;
	int rc, end = 0, how = list_options(argc, argv);

	if (how == -1)
		return EX_USAGE;
	if (how == LIST_JSON) {
		json_list_begin(&list, "domains");
		rc = each_domain(t, NULL, &list);
		end = json_list_end(&list);
	} else if (how == LIST_TABLE) {
		table_begin(&table, heads);
		rc = each_domain(t, &table, NULL);
		end = table_end(&table);
	} else
		rc = each_domain(t, NULL, NULL);
	return rc != 0 ? rc : end;
}
