#include <string.h>

#include "smtpd/relay.h"
#include "t/unit/unit.h"

static void
parse(struct mail_path *p, const char *text)
{
	size_t used;

	ck_assert_int_eq(mail_path_parse(p, text, strlen(text), &used), 0);
	ck_assert_uint_eq(used, strlen(text));
}

/* What policyd says of an address: of our domain, and somebody there or not. */
#define OURS                                                                                       \
	{                                                                                          \
		.whose = WHOSE_OURS, .tenant = "one", .known = 1                                   \
	}
#define ANYBODY                                                                                    \
	{                                                                                          \
		.whose = WHOSE_OURS, .tenant = "one"                                               \
	}
#define NOBODY                                                                                     \
	{                                                                                          \
		.whose = WHOSE_UNKNOWN, .tenant = "one"                                            \
	}
#define ASK                                                                                        \
	{                                                                                          \
		.whose = WHOSE_ASK, .tenant = "one"                                                \
	}
#define FOREIGN                                                                                    \
	{                                                                                          \
		.whose = WHOSE_FOREIGN                                                             \
	}
#define LATER                                                                                      \
	{                                                                                          \
		.defer = 1                                                                         \
	}

START_TEST(mx_takes_mail_for_our_domains_only)
{
	static const struct {
		const char *to, *tenant;
		struct whose whose;
		enum relay_verdict is;
	} t[] = {
	    {"<a@ours.test>", "", OURS, RELAY_TAKE},
	    {"<a@ours.test>", "one", OURS, RELAY_TAKE},
	    {"<a@ours.test>", "two", OURS, RELAY_OTHER},
	    {"<a@ours.test>", "", NOBODY, RELAY_UNKNOWN},
	    /* Who is of another customer's is not told who is there. */
	    {"<a@ours.test>", "two", NOBODY, RELAY_OTHER},
	    {"<a@ours.test>", "", ASK, RELAY_ASK},
	    {"<a@ours.test>", "two", ASK, RELAY_OTHER},
	    {"<a@ours.test>", "", ANYBODY, RELAY_TAKE},
	    {"<a@ours.test>", "", LATER, RELAY_LATER},
	    {"<a@far.test>", "", FOREIGN, RELAY_DENIED},
	    {"<a@far.test>", "one", FOREIGN, RELAY_DENIED},
	    {"<a@[192.0.2.1]>", "", FOREIGN, RELAY_DENIED},
	    {"<a@[IPv6:2001:db8::1]>", "", FOREIGN, RELAY_DENIED},
	    {"<\"a@ours.test\"@far.test>", "", FOREIGN, RELAY_DENIED},
	    /* The last address of a route is what counts. */
	    {"<@ours.test:a@far.test>", "", FOREIGN, RELAY_DENIED},
	    {"<@far.test:a@ours.test>", "", OURS, RELAY_TAKE},
	};
	struct mail_path p;
	size_t i;

	for (i = 0; i < sizeof t / sizeof t[0]; i++) {
		struct relay_facts f = {
		    .service = CONF_MX, .to = &p, .whose = &t[i].whose, .tenant = t[i].tenant};

		parse(&p, t[i].to);
		ck_assert_msg(relay_judge(&f) == t[i].is, "%s", t[i].to);
		/* Being trusted makes nobody a relay at an mx. */
		f.trusted = 1;
		ck_assert_msg(relay_judge(&f) == t[i].is, "%s", t[i].to);
	}
}
END_TEST

START_TEST(mx_refuses_routes_in_local_parts)
{
	static const char *const spellings[] = {
	    "<x%far.test@ours.test>",
	    "<far.test!x@ours.test>",
	    "<\"x@far.test\"@ours.test>",
	    "<\"x%far.test\"@ours.test>",
	    "<\"far.test!x\"@ours.test>",
	    "<a%@ours.test>",
	    "<\"@far.test:x\"@ours.test>",
	    "<@other.test:x%far.test@ours.test>",
	};
	static const struct whose known = OURS, any = ANYBODY, ask = ASK;
	struct mail_path p;
	struct relay_facts f = {.service = CONF_MX, .to = &p, .tenant = ""};
	size_t i;

	for (i = 0; i < sizeof spellings / sizeof spellings[0]; i++) {
		parse(&p, spellings[i]);
		f.whose = &any;
		ck_assert_msg(relay_judge(&f) == RELAY_DENIED, "%s", spellings[i]);
		f.whose = &ask;
		ck_assert_msg(relay_judge(&f) == RELAY_DENIED, "%s", spellings[i]);
		/* But for somebody who has that very address. */
		f.whose = &known;
		ck_assert_msg(relay_judge(&f) == RELAY_TAKE, "%s", spellings[i]);
	}
	/* A tag is the client's to choose: that somebody is behind it says nothing of the rest. */
	parse(&p, "<a+x%far.test@ours.test>");
	f.whose = &known;
	ck_assert_int_eq(relay_judge(&f), RELAY_DENIED);
	parse(&p, "<a+x@ours.test>");
	ck_assert_int_eq(relay_judge(&f), RELAY_TAKE);
}
END_TEST

START_TEST(relay_and_submission_are_for_the_trusted)
{
	static const struct whose all[] = {OURS, ANYBODY, NOBODY, ASK, FOREIGN, LATER};
	static const enum relay_verdict is[][2] = {{RELAY_TAKE, RELAY_TAKE},
	    {RELAY_TAKE, RELAY_TAKE}, {RELAY_UNKNOWN, RELAY_UNKNOWN}, {RELAY_TAKE, RELAY_ASK},
	    {RELAY_TAKE, RELAY_TAKE}, {RELAY_LATER, RELAY_LATER}};
	static const enum conf_service services[] = {CONF_RELAY, CONF_SUBMISSION};
	static const char *const spellings[] = {
	    "<a@ours.test>", "<a%b@ours.test>", "<\"a@b\"@c.test>"};
	struct mail_path p;
	size_t i, k, n;

	for (i = 0; i < sizeof all / sizeof all[0]; i++)
		for (k = 0; k < 2; k++)
			for (n = 0; n < sizeof spellings / sizeof spellings[0]; n++) {
				struct relay_facts f = {.service = services[k],
				    .to = &p,
				    .whose = &all[i],
				    .tenant = "other"};

				parse(&p, spellings[n]);
				ck_assert_int_eq(relay_judge(&f), RELAY_DENIED);
				f.trusted = 1;
				ck_assert_int_eq(relay_judge(&f), is[i][k]);
			}
}
END_TEST

Suite *relay_suite(void);
Suite *
relay_suite(void)
{
	const TTest *const tests[] = {mx_takes_mail_for_our_domains_only,
	    mx_refuses_routes_in_local_parts, relay_and_submission_are_for_the_trusted, NULL};

	return unit_suite("relay", tests);
}
