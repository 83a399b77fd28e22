#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "master/master.h"
#include "t/unit/unit.h"

Suite *files_suite(void);

/* Files of a small configuration: three of them are needed, one may be missing. */
static char folder[] = "/tmp/postern-files-XXXXXX";
static char ca[64], ours[64], other[64], maybe[64];
static char *chains[] = {ours, other, ours};
static struct conf_profile profile = {.name = (char *)"default", .client_ca = ca, .ca_file = ca};
static struct conf_connector connector = {.name = (char *)"in",
    .tls = CONF_SUPPORT_ENABLED,
    .inspect = CONF_TLS_INSPECT,
    .profile = &profile,
    .chains = {chains, 3}};
static struct conf_peer peers[] = {
    {.name = (char *)"one",
	.tls = CONF_TLS_IMPLICIT,
	.profile = &profile,
	.verify = CONF_VERIFY_CA,
	.ca_file = ca},
    {.name = (char *)"two",
	.tls = CONF_TLS_IMPLICIT,
	.profile = &profile,
	.verify = CONF_VERIFY_FINGERPRINT,
	.ca_file = maybe},
};
/* With a server the machine's resolv.conf(5) is not wanted. */
static struct netaddr server;
static struct conf conf = {.profiles = &profile,
    .nprofiles = 1,
    .peers = peers,
    .npeers = 2,
    .connectors = &connector,
    .nconnectors = 1,
    .dns = {.servers = {&server, 1}, .trust_anchor = (char *)""}};

static struct {
	unsigned errors, warnings;
	char last[ERR_TEXT_MAX], warned[ERR_TEXT_MAX];
} told;

static void
on_line(void *arg, const char *text)
{
	(void)arg;
	told.errors++;
	(void)strlcpy(told.last, text, sizeof told.last);
}

static void
on_warning(void *arg, const char *text)
{
	(void)arg;
	told.warnings++;
	(void)strlcpy(told.warned, text, sizeof told.warned);
}

static const struct conf_report report = {on_line, NULL, on_warning};

static void
put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static void
set_up(void)
{
	memset(&told, 0, sizeof told);
	ck_assert_ptr_nonnull(mkdtemp(folder));
	(void)snprintf(ca, sizeof ca, "%s/ca.pem", folder);
	(void)snprintf(ours, sizeof ours, "%s/ours.pem", folder);
	(void)snprintf(other, sizeof other, "%s/other.pem", folder);
	(void)snprintf(maybe, sizeof maybe, "%s/maybe.pem", folder);
	put(ca, "authority");
	put(ours, "ours");
	put(other, "");
}

static void
tear_down(void)
{
	(void)unlink(ca);
	(void)unlink(ours);
	(void)unlink(other);
	(void)rmdir(other);
	(void)unlink(maybe);
	(void)rmdir(folder);
}

/* What a daemon of this kind gets, "path=text " for each file. */
static const char *
sent(const struct files *f, enum proc_id to)
{
	static char all[1024];
	const struct config_file *m;
	struct event_base *base = event_base_new();
	struct ipc_msg msg;
	struct chan *c;
	struct ipc raw;
	char text[64];
	ssize_t n;
	int fds[2];

	all[0] = '\0';
	ck_assert_int_eq(ipc_pair(fds), 0);
	c = chan_new(base, fds[0], P_MASTER, to, NULL, NULL, NULL);
	ipc_init(&raw, fds[1], to, P_MASTER);
	ck_assert_int_eq(files_send(f, c), 0);
	chan_flush(c, 1000);
	chan_free(c);
	while (ipc_recv(&raw, &msg, 1000) == 0) {
		ck_assert_int_eq(msg.def->type, M_config_file);
		m = msg.body;
		n = pread(msg.fd, text, sizeof text - 1, 0);
		ck_assert_int_ge(n, 0);
		text[n] = '\0';
		ck_assert_int_eq(write(msg.fd, "x", 1), -1);
		(void)strlcat(all, strrchr(m->path, '/') + 1, sizeof all);
		(void)strlcat(all, "=", sizeof all);
		(void)strlcat(all, text, sizeof all);
		(void)strlcat(all, " ", sizeof all);
		ipc_done(&raw, &msg);
	}
	ipc_close(&raw);
	event_base_free(base);
	return all;
}

START_TEST(each_file_reaches_those_who_may_have_it_once_and_sealed)
{
	struct err e = {0};
	struct files *f = files_load(&conf, &report, &e);

	ck_assert_msg(f != NULL, "%s", e.text);
	ck_assert_str_eq(sent(f, P_SMTPD), "ours.pem=ours other.pem= ca.pem=authority ");
	ck_assert_str_eq(sent(f, P_POP3D), "ours.pem=ours other.pem= ca.pem=authority ");
	ck_assert_str_ne(sent(f, P_DNSD), "");
	ck_assert_str_ne(sent(f, P_KEYD), "");
	ck_assert_str_eq(sent(f, P_CRYPTOD), "");
	ck_assert_str_eq(sent(f, P_FILTERD), "");
	/* They stay as they were, whatever becomes of the files. */
	put(ours, "renewed");
	(void)unlink(ca);
	ck_assert_str_eq(sent(f, P_SMTPD), "ours.pem=ours other.pem= ca.pem=authority ");
	files_free(f);
}
END_TEST

START_TEST(a_password_is_for_deliverd_alone)
{
	struct conf_connector relay = connector;
	struct conf_route r = {.name = (char *)"r",
	    .tls = CONF_ROUTE_TLS_ENCRYPT,
	    .profile = &profile,
	    .login = (char *)"me",
	    .password_file = other};
	struct conf c = conf;
	struct err e = {0};
	struct files *f;

	put(other, "secret");
	relay.service = CONF_RELAY;
	relay.chains.n = 1;
	c.connectors = &relay;
	c.npeers = 0;
	c.keyd.sts_ca_file = (char *)"";
	c.routes = &r;
	c.nroutes = 1;
	ck_assert_msg((f = files_load(&c, &report, &e)) != NULL, "%s", e.text);
	ck_assert_str_eq(sent(f, P_SMTPD), "ours.pem=ours ca.pem=authority ");
	ck_assert_str_eq(sent(f, P_DELIVERD), "ours.pem=ours ca.pem=authority other.pem=secret ");
	files_free(f);
	/* Without a login nobody wants it. */
	r.login = (char *)"";
	ck_assert_msg((f = files_load(&c, &report, &e)) != NULL, "%s", e.text);
	ck_assert_str_eq(sent(f, P_DELIVERD), "ours.pem=ours ca.pem=authority ");
	files_free(f);
}
END_TEST

START_TEST(what_can_be_done_without_is_a_warning)
{
	struct err e = {0};
	struct files *f = files_load(&conf, &report, &e);

	ck_assert_msg(f != NULL, "%s", e.text);
	ck_assert_uint_eq(told.errors, 0);
	ck_assert_uint_eq(told.warnings, 1);
	ck_assert_msg(strstr(told.warned, maybe) != NULL && strstr(told.warned, "two") != NULL,
	    "%s", told.warned);
	files_free(f);
	put(maybe, "there");
	f = files_load(&conf, &report, &e);
	ck_assert_uint_eq(told.warnings, 1);
	ck_assert_ptr_nonnull(strstr(sent(f, P_SMTPD), "maybe.pem=there"));
	files_free(f);
	/* But not if somebody else needs it. */
	(void)unlink(maybe);
	chains[1] = maybe;
	ck_assert_ptr_null(files_load(&conf, &report, &e));
	chains[1] = other;
	ck_assert_msg(strstr(e.text, "connector in") != NULL, "%s", e.text);
}
END_TEST

START_TEST(all_that_is_missing_is_told_each_once)
{
	struct err e = {0};

	(void)unlink(ours);
	(void)unlink(ca);
	ck_assert_ptr_null(files_load(&conf, &report, &e));
	ck_assert_uint_eq(told.errors, 2);
	ck_assert_int_eq(e.code, ENOENT);
	ck_assert_msg(
	    strstr(e.text, ours) != NULL && strstr(e.text, "connector in: certificates") != NULL &&
		strstr(e.text, "No such file") != NULL && strstr(e.text, "1 more") != NULL,
	    "%s", e.text);
	ck_assert_msg(strstr(told.last, ca) != NULL, "%s", told.last);
	ck_assert_ptr_null(files_load(&conf, NULL, &e));
}
END_TEST

START_TEST(nothing_but_a_readable_file_of_bounded_size_will_do)
{
	struct err e = {0};

	/* Nobody writes to it, and it is not waited for. */
	(void)unlink(other);
	ck_assert_int_eq(mkfifo(other, 0600), 0);
	ck_assert_ptr_null(files_load(&conf, NULL, &e));
	ck_assert_msg(strstr(e.text, "regular") != NULL, "%s", e.text);
	(void)unlink(other);
	ck_assert_int_eq(mkdir(other, 0700), 0);
	ck_assert_ptr_null(files_load(&conf, NULL, &e));
	(void)rmdir(other);
	put(other, "");
	ck_assert_int_eq(truncate(other, CONFIG_FILE_MAX + 1), 0);
	ck_assert_ptr_null(files_load(&conf, NULL, &e));
	ck_assert_int_eq(e.code, EFBIG);
	ck_assert_int_eq(truncate(other, CONFIG_FILE_MAX), 0);
	files_free(files_load(&conf, NULL, &e));
	/* A link is what ACME clients leave. */
	(void)unlink(other);
	ck_assert_int_eq(symlink("ours.pem", other), 0);
	files_free(files_load(&conf, &report, &e));
	ck_assert_uint_eq(told.errors, 0);
}
END_TEST

START_TEST(a_private_key_goes_to_no_daemon)
{
	struct err e = {0};

	put(ours, "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"
		  "-----BEGIN EC PRIVATE KEY-----\n-----END EC PRIVATE KEY-----\n");
	ck_assert_ptr_null(files_load(&conf, &report, &e));
	ck_assert_msg(strstr(e.text, "keyctl import --tls") != NULL, "%s", e.text);
	ck_assert_uint_eq(told.errors, 1);
}
END_TEST

Suite *
files_suite(void)
{
	return unit_suite_around("files", set_up, tear_down,
	    (const TTest *const[]){each_file_reaches_those_who_may_have_it_once_and_sealed,
		a_password_is_for_deliverd_alone, what_can_be_done_without_is_a_warning,
		all_that_is_missing_is_told_each_once,
		nothing_but_a_readable_file_of_bounded_size_will_do,
		a_private_key_goes_to_no_daemon, NULL});
}
