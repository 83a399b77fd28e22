#include <string.h>

#include "ipc/messages.h"
#include "master/services.h"
#include "t/unit/unit.h"

Suite *services_suite(void);

static const struct service *
service_of(enum proc_id role)
{
	const struct service *s;
	size_t i, n;

	s = services(&n);
	for (i = 0; i < n; i++)
		if (s[i].role == role)
			return &s[i];
	return NULL;
}

START_TEST(edges_are_symmetric_and_between_services)
{
	unsigned a, b;

	for (a = 0; a < P_MAX; a++)
		for (b = 0; b < P_MAX; b++) {
			ck_assert_int_eq(services_edge(a, b), services_edge(b, a));
			if (services_edge(a, b))
				ck_assert_msg(service_of(a) != NULL && service_of(b) != NULL,
				    "%s and %s", proc_name(a), proc_name(b));
		}
	ck_assert_int_eq(services_edge(P_MAX, P_SMTPD), 0);
}
END_TEST

START_TEST(nobody_talks_who_need_not)
{
	static const struct {
		enum proc_id a, b;
		int edge;
	} cases[] = {
	    {P_SMTPD, P_POLICYD, 1},
	    {P_SMTPD, P_FILTERD, 1},
	    {P_POP3D, P_DNSD, 1},
	    {P_FILTERD, P_CRYPTOD, 1},
	    {P_POLICYD, P_CRYPTOD, 1},
	    {P_CRYPTOD, P_LOGD, 1},
	    /* For the keys of TLS alone: what they may say is in lib/ipc/msg_crypto.h. */
	    {P_SMTPD, P_CRYPTOD, 1},
	    {P_POP3D, P_CRYPTOD, 1},
	    {P_SMTPD, P_KEYD, 1},
	    {P_KEYD, P_DNSD, 1},
	    {P_KEYD, P_CRYPTOD, 0},
	    {P_KEYD, P_POLICYD, 0},
	    {P_KEYD, P_FILTERD, 0},
	    {P_DNSD, P_CRYPTOD, 0},
	    {P_DNSD, P_POLICYD, 0},
	    {P_DNSD, P_FILTERD, 0},
	    {P_SMTPD, P_POP3D, 0},
	    {P_SMTPD, P_SMTPD, 0},
	    {P_LOGD, P_LOGD, 0},
	    {P_GWCTL, P_CRYPTOD, 0},
	};
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++)
		ck_assert_msg(services_edge(cases[i].a, cases[i].b) == cases[i].edge, "%s and %s",
		    proc_name(cases[i].a), proc_name(cases[i].b));
}
END_TEST

/* A message that no channel can carry is dead; a channel without messages is a hole. */
START_TEST(edges_and_messages_agree)
{
	const struct ipc_msgdef *all;
	unsigned a, b;
	size_t i, n;
	int talk;

	all = ipc_messages(&n);
	for (a = 0; a < P_MAX; a++)
		for (b = 0; b < P_MAX; b++) {
			if (a == b || service_of(a) == NULL || service_of(b) == NULL)
				continue;
			for (talk = 0, i = 0; i < n; i++)
				talk |= ipc_allowed(&all[i], a, b) || ipc_allowed(&all[i], b, a);
			ck_assert_msg(talk == services_edge(a, b), "%s and %s: messages %d",
			    proc_name(a), proc_name(b), talk);
		}
}
END_TEST

START_TEST(every_service_logs_and_has_a_user_and_jail_of_its_own)
{
	const struct service *s;
	size_t i, j, n;

	s = services(&n);
	for (i = 0; i < n; i++) {
		ck_assert(s[i].role == P_LOGD || services_edge(s[i].role, P_LOGD));
		ck_assert_ptr_nonnull(s[i].dirs[0].name);
		ck_assert_int_eq(strncmp(s[i].user, "_gw", 3), 0);
		for (j = 0; j < i; j++) {
			ck_assert_str_ne(s[i].user, s[j].user);
			ck_assert(s[i].role != s[j].role);
			ck_assert(s[i].shared_jail || s[j].shared_jail ||
				  s[i].dirs[0].base != s[j].dirs[0].base ||
				  strcmp(s[i].dirs[0].name, s[j].dirs[0].name) != 0);
		}
	}
}
END_TEST

START_TEST(tools_reach_only_daemons_that_have_a_message_for_them)
{
	ck_assert_int_eq(services_tool(P_GWCTL, P_SMTPD), 1);
	ck_assert_int_eq(services_tool(P_GWCTL, P_LOGD), 1);
	ck_assert_int_eq(services_tool(P_KEYCTL, P_CRYPTOD), 1);
	ck_assert_int_eq(services_tool(P_KEYCTL, P_SMTPD), 0);
	ck_assert_int_eq(services_tool(P_KEYCTL, P_LOGD), 0);
	ck_assert_int_eq(services_tool(P_SMTPD, P_POLICYD), 0);
	ck_assert_int_eq(services_tool(P_GWCTL, P_MASTER), 0);
	ck_assert_int_eq(services_tool(P_GWCTL, P_MAX), 0);
}
END_TEST

START_TEST(instances_follow_the_configuration)
{
	struct conf_connector k[2] = {{.service = CONF_SMTP}, {.service = CONF_POP3}};
	struct conf c = {.processes = {.smtpd = 3, .pop3d = 5}, .connectors = k, .nconnectors = 2};

	ck_assert_uint_eq(service_instances(service_of(P_SMTPD), &c), 3);
	ck_assert_uint_eq(service_instances(service_of(P_POP3D), &c), 5);
	ck_assert_uint_eq(service_instances(service_of(P_CRYPTOD), &c), 1);
	c.nconnectors = 1;
	ck_assert_uint_eq(service_instances(service_of(P_POP3D), &c), 0);
	ck_assert(service_listens(service_of(P_SMTPD), &k[0]));
	ck_assert(!service_listens(service_of(P_SMTPD), &k[1]));
	ck_assert(!service_listens(service_of(P_CRYPTOD), &k[0]));
}
END_TEST

/* keyd runs only while somebody is to be asked about a certificate. */
START_TEST(keyd_runs_when_revocation_is_asked_about)
{
	struct conf_profile profile = {0};
	struct conf_peer p = {.profile = &profile, .tls = CONF_TLS_IMPLICIT};
	struct conf_connector k = {
	    .profile = &profile, .inspect = CONF_TLS_INSPECT, .tls = CONF_SUPPORT_ENABLED};
	struct conf c = {.connectors = &k, .nconnectors = 1, .peers = &p, .npeers = 1};
	const struct service *s = service_of(P_KEYD);

	ck_assert_uint_eq(service_instances(s, &c), 0);
	profile.stapling = 1;
	ck_assert_uint_eq(service_instances(s, &c), 1);
	k.inspect = CONF_TLS_ALLOW;
	ck_assert_uint_eq(service_instances(s, &c), 0);
	k.inspect = CONF_TLS_INSPECT;
	k.tls = CONF_SUPPORT_DISABLED;
	ck_assert_uint_eq(service_instances(s, &c), 0);
	profile.stapling = 0;
	profile.ocsp = CONF_OCSP_LENIENT;
	ck_assert_uint_eq(service_instances(s, &c), 1);
	p.tls = CONF_TLS_NONE;
	ck_assert_uint_eq(service_instances(s, &c), 0);
	k.tls = CONF_SUPPORT_REQUIRED;
	ck_assert_uint_eq(service_instances(s, &c), 0);
	k.transparent = CONF_TRANSPARENT_REDIRECT;
	ck_assert_uint_eq(service_instances(s, &c), 1);
}
END_TEST

Suite *
services_suite(void)
{
	return unit_suite(
	    "services", (const TTest *const[]){edges_are_symmetric_and_between_services,
			    nobody_talks_who_need_not, edges_and_messages_agree,
			    every_service_logs_and_has_a_user_and_jail_of_its_own,
			    tools_reach_only_daemons_that_have_a_message_for_them,
			    instances_follow_the_configuration,
			    keyd_runs_when_revocation_is_asked_about, NULL});
}
