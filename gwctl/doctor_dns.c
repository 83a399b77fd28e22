/* doctor: what the world finds about us in DNS.  dnsd is asked, so that it is what daemons see. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "gwctl/doctor.h"

#define DOMAINS_MAX 200 /* looked at */

/* An answer of dnsd: 0 and m, or -1, which was said. */
static int
ask(struct doctor *d, struct ipc *c, uint16_t type, const void *q, uint16_t want, struct ipc_msg *m,
    const char *about)
{
	struct err e = {0};

	if (control_call(c, type, q, want, m, d->timeout, &e) == 0)
		return 0;
	doctor_say(d, DOCTOR_WRONG, about, "look at the log of dnsd, and at dns { servers }",
	    "dnsd gives no answer: %s", e.text);
	return -1;
}

static void
ip_text(const struct bytes *ip, char *out, size_t outsz)
{
	struct netaddr a = {.family = ip->n == 4 ? AF_INET : AF_INET6};
	char text[NETADDR_TEXT_MAX];

	memcpy(a.addr, ip->p, ip->n);
	a.port = 1;
	(void)netaddr_format(text, sizeof text, '@', &a);
	text[strcspn(text, "@")] = '\0';
	(void)strlcpy(out, text, outsz);
}

/* Servers that we send to look up who we are: address to name and back. */
static void
reverse(struct doctor *d, struct ipc *c, const struct bytes *ip)
{
	const char *host = d->t->conf->node.hostname;
	struct dns_ptr_req q = {.ip = *ip};
	const struct dns_ptr_rep *p;
	char text[NETADDR_TEXT_MAX];
	struct ipc_msg m;

	ip_text(ip, text, sizeof text);
	if (ask(d, c, M_dns_ptr_req, &q, M_dns_ptr_rep, &m, text) == -1)
		return;
	p = m.body;
	if (p->status == DNS_OK && strcasecmp(p->name, host) == 0)
		doctor_say(d, DOCTOR_GOOD, text, "", "is %s, there and back", host);
	else if (p->status == DNS_OK)
		doctor_say(d, DOCTOR_NOTE, text,
		    "have whoever owns the address enter our name for it (PTR)",
		    "is called %s, and we call ourselves %s", p->name, host);
	else
		doctor_say(d, DOCTOR_WRONG, text,
		    "have whoever owns the address enter our name for it (PTR)",
		    "has no name that leads back to it: many servers refuse our mail");
	ipc_done(c, &m);
}

static void
own_name(struct doctor *d, struct ipc *c)
{
	const char *host = d->t->conf->node.hostname;
	struct dns_addr_req q = {.name = host};
	const struct dns_addr_rep *p;
	uint8_t ips[DNS_ADDRS_MAX][16];
	struct bytes v[DNS_ADDRS_MAX];
	struct ipc_msg m;
	size_t i, n = 0;

	if (ask(d, c, M_dns_addr_req, &q, M_dns_addr_rep, &m, host) == -1)
		return;
	p = m.body;
	if (p->status != DNS_OK)
		doctor_say(d, DOCTOR_WRONG, host,
		    "enter its addresses (A, AAAA), or set hostname to a name that has some",
		    "%s: we introduce ourselves by it to other servers",
		    p->status == DNS_NOTFOUND ? "has no address" : "cannot be looked up");
	for (i = 0; p->status == DNS_OK && i < p->addrs.n && n < DNS_ADDRS_MAX; i++) {
		struct netaddr a = {.family = p->addrs.v[i].ip.n == 4 ? AF_INET : AF_INET6};

		memcpy(a.addr, p->addrs.v[i].ip.p, p->addrs.v[i].ip.n);
		if (netaddr_is_loopback(&a)) {
			doctor_say(d, DOCTOR_NOTE, host, "take it out of /etc/hosts, or hosts = no",
			    "is loopback here: nobody else sees it so");
			continue;
		}
		memcpy(ips[n], p->addrs.v[i].ip.p, p->addrs.v[i].ip.n);
		v[n] = (struct bytes){ips[n], p->addrs.v[i].ip.n};
		n++;
	}
	ipc_done(c, &m);
	for (i = 0; i < n; i++)
		reverse(d, c, &v[i]);
}

static int
has_mx(const struct conf *c)
{
	size_t i;

	for (i = 0; i < c->nconnectors; i++)
		if (c->connectors[i].service == CONF_MX)
			return 1;
	return 0;
}

/* Does mail for this domain come to us? */
static void
mx_of(struct doctor *d, struct ipc *c, const char *domain)
{
	const char *host = d->t->conf->node.hostname;
	struct dns_mx_req q = {.name = domain};
	const struct dns_mx_rep *p;
	struct ipc_msg m;
	int here = 0;
	size_t i;

	if (ask(d, c, M_dns_mx_req, &q, M_dns_mx_rep, &m, domain) == -1)
		return;
	p = m.body;
	for (i = 0; i < p->records.n; i++)
		here |= strcasecmp(p->records.v[i].host, host) == 0;
	if (p->status == DNS_BOGUS)
		doctor_say(d, DOCTOR_WRONG, domain, "have the zone signed anew",
		    "its DNSSEC signatures are wrong: %s", p->text);
	else if (p->status == DNS_TEMPFAIL)
		doctor_say(d, DOCTOR_WRONG, domain, "look at its name servers",
		    "its MX cannot be looked up: %s", p->text);
	else if (p->null_mx)
		doctor_say(d, DOCTOR_WRONG, domain, "replace it by an MX record that names us",
		    "says that it takes no mail (RFC 7505)");
	else if (!here)
		doctor_say(d, DOCTOR_NOTE, domain, "enter an MX record that names us, once ready",
		    "%s names %s: mail does not come here",
		    p->records.n == 0 ? "has no MX record, none" : "of its MX records none", host);
	else
		doctor_say(d, DOCTOR_GOOD, domain, "", "has us as MX%s",
		    p->secure ? "" : "; not signed, so others cannot use DANE towards us");
	ipc_done(c, &m);
}

/* May we send for it? */
static void
spf_of(struct doctor *d, struct ipc *c, const char *domain)
{
	struct dns_txt_req q = {.name = domain};
	const struct dns_txt_rep *p;
	struct ipc_msg m;
	unsigned found = 0;
	size_t i;

	if (ask(d, c, M_dns_txt_req, &q, M_dns_txt_rep, &m, domain) == -1)
		return;
	p = m.body;
	for (i = 0; i < p->records.n; i++)
		found +=
		    p->records.v[i].text.n >= 6 && memcmp(p->records.v[i].text.p, "v=spf1", 6) == 0;
	if (found > 1)
		doctor_say(d, DOCTOR_WRONG, domain, "leave one (RFC 7208, 4.5)",
		    "has %u SPF records", found);
	else if (found == 0 && (p->status == DNS_OK || p->status == DNS_NOTFOUND))
		doctor_say(d, DOCTOR_NOTE, domain,
		    "enter \"v=spf1 mx -all\" or the like (RFC 7208)",
		    "has no SPF record: others cannot tell our mail from forged mail");
	ipc_done(c, &m);
}

static void
domains(struct doctor *d, struct ipc *c)
{
	char after[256] = "", names[ADMIN_PAGE_MAX][256];
	struct domain_list q = {.after = after};
	const struct domain_page *p;
	struct ipc policy, master;
	struct ipc_msg m;
	struct err e = {0};
	size_t i, n, all = 0;

	if (control_open(&master, d->t->run_dir, P_GWCTL, &e) == -1)
		return;
	if (control_channel(&master, P_POLICYD, 0, &policy, &e) == -1) {
		doctor_say(d, DOCTOR_WRONG, "", "see gwctl status", "%s", e.text);
		ipc_close(&master);
		return;
	}
	do {
		if (control_call(&policy, M_domain_list, &q, M_domain_page, &m, d->timeout, &e) ==
		    -1)
			break;
		p = m.body;
		for (i = 0, n = p->domains.n; i < n; i++)
			(void)strlcpy(names[i], p->domains.v[i].name, sizeof names[i]);
		ipc_done(&policy, &m);
		for (i = 0; i < n && all < DOMAINS_MAX; i++, all++) {
			mx_of(d, c, names[i]);
			spf_of(d, c, names[i]);
		}
		if (n > 0)
			(void)strlcpy(after, names[n - 1], sizeof after);
	} while (n > 0 && all < DOMAINS_MAX);
	if (all == 0)
		doctor_say(d, DOCTOR_WRONG, "", "gwctl domain add DOMAIN",
		    "no domain is managed: mail for nobody is taken");
	if (all == DOMAINS_MAX)
		doctor_say(d, DOCTOR_NOTE, "", "", "only the first %d domains were looked at",
		    DOMAINS_MAX);
	ipc_close(&policy);
	ipc_close(&master);
}

void
doctor_dns(struct doctor *d)
{
	struct ipc c;
	struct err e = {0};

	if (!d->running)
		return;
	if (control_channel(&d->t->master, P_DNSD, 0, &c, &e) == -1) {
		doctor_say(d, DOCTOR_WRONG, "dnsd", "see gwctl status", "%s", e.text);
		return;
	}
	own_name(d, &c);
	if (has_mx(d->t->conf))
		domains(d, &c);
	ipc_close(&c);
}
