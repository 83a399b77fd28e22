/* tls reports: what anvild keeps for reports about TLS (RFC 8460), and sending them now. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "gwctl/gwctl.h"

#define ANSWER_MS 10000
#define DAY 86400

#define REC_TLS_REPORT(F, L)                                                                       \
	F(STR, day, 0, 16)                                                                         \
	F(STR, domain, 0, 255)                                                                     \
	F(U64, good, 0, UINT64_MAX)                                                                \
	F(U64, failed, 0, UINT64_MAX)                                                              \
	F(U64, due, 0, UINT64_MAX)
REC_DECLARE(tls_report, REC_TLS_REPORT)
REC_DEFINE(tls_report, REC_TLS_REPORT)

struct out {
	int how; /* LIST_* */
	struct table table;
	struct json_list list;
};

static void
put(struct out *o, const struct tlsrpt_info *r)
{
	char day[DATE_TEXT], due[DATE_TEXT], good[24], failed[24];
	const struct tls_report v = {.day = date_text((uint64_t)r->day * DAY, day),
	    .domain = r->domain,
	    .good = r->good,
	    .failed = r->failed,
	    .due = r->due};

	if (o->how == LIST_JSON) {
		json_list_item(&o->list, &rec_tls_report, &v);
		return;
	}
	if (o->how == LIST_NAMES) {
		(void)printf("%s\n", shown(r->domain));
		return;
	}
	(void)snprintf(good, sizeof good, "%llu", (unsigned long long)r->good);
	(void)snprintf(failed, sizeof failed, "%llu", (unsigned long long)r->failed);
	table_row(&o->table,
	    (const char *const[]){day, shown(r->domain), good, failed, time_text(r->due, due)});
}

static int
connect_anvild(struct gwctl *t, struct ipc *c)
{
	struct err e = {0};
	int rc;

	if ((rc = gwctl_master(t)) != 0)
		return rc;
	return control_channel(&t->master, P_ANVILD, 0, c, &e) == 0 ? 0 : complain_err(&e);
}

static int
list(struct ipc *c, int how)
{
	static const char *const heads[] = {"DAY", "DOMAIN", "GOOD", "FAILED", "DUE", NULL};
	struct out o = {.how = how};
	struct tlsrpt_list_req q = {.day = 0};
	const struct tlsrpt_list_rep *rep;
	char domain[256] = "";
	struct err e = {0};
	struct ipc_msg m;
	size_t i, n;
	int rc = 0, enabled = 1;

	if (how == LIST_JSON)
		json_list_begin(&o.list, "reports");
	else if (how == LIST_TABLE)
		table_begin(&o.table, heads);
	do {
		q.domain = domain;
		if (control_call(c, M_tlsrpt_list_req, &q, M_tlsrpt_list_rep, &m, ANSWER_MS, &e) ==
		    -1) {
			rc = complain_err(&e);
			break;
		}
		rep = m.body;
		enabled = rep->enabled;
		for (i = 0; i < rep->days.n; i++)
			put(&o, &rep->days.v[i]);
		if ((n = rep->days.n) > 0) {
			q.day = rep->days.v[n - 1].day;
			(void)strlcpy(domain, rep->days.v[n - 1].domain, sizeof domain);
		}
		ipc_done(c, &m);
	} while (n > 0);
	if (how == LIST_JSON)
		rc = json_list_end(&o.list) != 0 ? EX_IOERR : rc;
	else if (how == LIST_TABLE)
		rc = table_end(&o.table) != 0 ? EX_IOERR : rc;
	if (rc == 0 && !enabled && how == LIST_TABLE)
		(void)fprintf(stderr, "gwctl: reports are off: tls_reports in section queue\n");
	return rc;
}

static int
send_one(struct ipc *c, const char *domain, unsigned *count)
{
	const struct tlsrpt_send_req q = {.domain = domain};
	struct err e = {0};
	struct ipc_msg m;

	if (control_call(c, M_tlsrpt_send_req, &q, M_tlsrpt_send_rep, &m, ANSWER_MS, &e) == -1)
		return complain_err(&e);
	*count += ((const struct tlsrpt_send_rep *)m.body)->count;
	ipc_done(c, &m);
	return 0;
}

/* The log tells what becomes of each. */
static int
send_now(struct ipc *c, int argc, char *argv[])
{
	unsigned count = 0;
	int i, rc = 0;

	if (argc == 0)
		rc = send_one(c, "", &count);
	for (i = 0; i < argc && rc == 0; i++)
		rc = send_one(c, argv[i], &count);
	if (rc != 0)
		return rc;
	if (count == 0)
		return complain(EX_UNAVAILABLE, "there is nothing to report");
	(void)printf(
	    "%u report%s begun: the log tells who wants them\n", count, count == 1 ? "" : "s");
	return 0;
}

int
verb_tls_reports(struct gwctl *t, int argc, char *argv[])
{
	static const struct option longs[] = {
	    {"send", no_argument, NULL, 's'},
	    {"quiet", no_argument, NULL, 'q'},
	    {"json", no_argument, NULL, 'j'},
	    {NULL, 0, NULL, 0},
	};
	struct ipc c = {.fd = -1};
	int o, rc, how = LIST_TABLE, sends = 0;

	while ((o = getopt_long(argc, argv, "q", longs, NULL)) != -1)
		if (o == 's')
			sends = 1;
		else if (o == 'q' || o == 'j')
			how = o == 'q' ? LIST_NAMES : LIST_JSON;
		else
			return complain_usage();
	if ((!sends && optind < argc) || (sends && how != LIST_TABLE))
		return complain_usage();
	if ((rc = connect_anvild(t, &c)) == 0)
		rc = sends ? send_now(&c, argc - optind, argv + optind) : list(&c, how);
	ipc_close(&c);
	return rc;
}
