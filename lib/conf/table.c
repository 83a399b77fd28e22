#include "conf/table.h"

#include <stddef.h>
#include <string.h>
#include <syslog.h>

#define KB 1024ULL
#define MB (1024 * KB)
#define GB (1024 * MB)
#define DAY 86400ULL

/* The first word of a value is the one that is written; a proxy may be called by that name too. */
static const struct conf_word services[] = {{"smtp", CONF_SMTP}, {"pop3", CONF_POP3},
    {"mx", CONF_MX}, {"relay", CONF_RELAY}, {"submission", CONF_SUBMISSION}, {"proxy", CONF_SMTP},
    {NULL, 0}};
static const struct conf_word peer_services[] = {
    {"smtp", CONF_SMTP}, {"pop3", CONF_POP3}, {NULL, 0}};
static const struct conf_word auths[] = {
    {"none", CONF_AUTH_NONE}, {"peer", CONF_AUTH_PEER}, {"sasl", CONF_AUTH_SASL}, {NULL, 0}};
static const struct conf_word inbounds[] = {
    {"pass", CONF_INBOUND_PASS}, {"decrypt", CONF_INBOUND_DECRYPT}, {NULL, 0}};
static const struct conf_word protocols[] = {
    {"smtp", CONF_PROTO_SMTP}, {"lmtp", CONF_PROTO_LMTP}, {NULL, 0}};
static const struct conf_word route_tls[] = {{"none", CONF_ROUTE_TLS_NONE},
    {"may", CONF_ROUTE_TLS_MAY}, {"encrypt", CONF_ROUTE_TLS_ENCRYPT},
    {"verify", CONF_ROUTE_TLS_VERIFY}, {"dane", CONF_ROUTE_TLS_DANE}, {NULL, 0}};
static const struct conf_word tls_modes[] = {{"none", CONF_TLS_NONE},
    {"starttls", CONF_TLS_STARTTLS}, {"implicit", CONF_TLS_IMPLICIT}, {NULL, 0}};
static const struct conf_word supports[] = {{"disabled", CONF_SUPPORT_DISABLED},
    {"enabled", CONF_SUPPORT_ENABLED}, {"required", CONF_SUPPORT_REQUIRED}, {NULL, 0}};
static const struct conf_word inspect[] = {
    {"allow", CONF_TLS_ALLOW}, {"inspect", CONF_TLS_INSPECT}, {NULL, 0}};
static const struct conf_word versions[] = {{"1.2", CONF_TLS12}, {"1.3", CONF_TLS13}, {NULL, 0}};
static const struct conf_word client_certs[] = {{"none", CONF_CLIENT_CERT_NONE},
    {"ask", CONF_CLIENT_CERT_ASK}, {"require", CONF_CLIENT_CERT_REQUIRE}, {NULL, 0}};
static const struct conf_word ocsp[] = {{"off", CONF_OCSP_OFF}, {"lenient", CONF_OCSP_LENIENT},
    {"strict", CONF_OCSP_STRICT}, {NULL, 0}};
static const struct conf_word verify[] = {{"none", CONF_VERIFY_NONE}, {"ca", CONF_VERIFY_CA},
    {"fingerprint", CONF_VERIFY_FINGERPRINT}, {"dane", CONF_VERIFY_DANE}, {NULL, 0}};
static const struct conf_word bad_certs[] = {
    {"refuse", CONF_BAD_CERT_REFUSE}, {"untrusted", CONF_BAD_CERT_UNTRUSTED}, {NULL, 0}};
static const struct conf_word transparent[] = {{"no", CONF_TRANSPARENT_NO},
    {"redirect", CONF_TRANSPARENT_REDIRECT}, {"tproxy", CONF_TRANSPARENT_TPROXY}, {NULL, 0}};
static const struct conf_word starttls[] = {
    {"optional", CONF_STARTTLS_OPTIONAL}, {"required", CONF_STARTTLS_REQUIRED}, {NULL, 0}};
static const struct conf_word factors[] = {{"none", CONF_FACTOR_NONE},
    {"certificate", CONF_FACTOR_CERTIFICATE}, {"password", CONF_FACTOR_PASSWORD}, {NULL, 0}};
static const struct conf_word sizes[] = {
    {"fast", CONF_SIZES_FAST}, {"exact", CONF_SIZES_EXACT}, {NULL, 0}};
static const struct conf_word cases[] = {
    {"lower", CONF_CASE_LOWER}, {"keep", CONF_CASE_KEEP}, {NULL, 0}};
static const struct conf_word destinations[] = {
    {"syslog", CONF_LOG_SYSLOG}, {"file", CONF_LOG_FILE}, {NULL, 0}};
static const struct conf_word levels[] = {{"err", LOG_L_ERR}, {"warn", LOG_L_WARN},
    {"info", LOG_L_INFO}, {"debug", LOG_L_DEBUG}, {NULL, 0}};
static const struct conf_word facilities[] = {{"mail", LOG_MAIL}, {"daemon", LOG_DAEMON},
    {"local0", LOG_LOCAL0}, {"local1", LOG_LOCAL1}, {"local2", LOG_LOCAL2}, {"local3", LOG_LOCAL3},
    {"local4", LOG_LOCAL4}, {"local5", LOG_LOCAL5}, {"local6", LOG_LOCAL6}, {"local7", LOG_LOCAL7},
    {NULL, 0}};

/* name, member, type, default; numbers also have bounds, words their list. */
#define OF(rec, m) offsetof(struct rec, m)
#define TEXT(rec, name, m, type, def)                                                              \
	{                                                                                          \
		name, type, OF(rec, m), 0, 0, def, NULL, 0                                         \
	}
#define COMPUTED(rec, name, m, type)                                                               \
	{                                                                                          \
		name, type, OF(rec, m), 0, 0, NULL, NULL, 1                                        \
	}
#define NUM(rec, name, min, max, def)                                                              \
	{                                                                                          \
#name, CONF_T_NUM, OF(rec, name), min, max, def, NULL, 0                           \
	}
#define SIZE(rec, name, min, max, def)                                                             \
	{                                                                                          \
#name, CONF_T_SIZE, OF(rec, name), min, max, def, NULL, 0                          \
	}
#define BOOL(rec, name, def)                                                                       \
	{                                                                                          \
#name, CONF_T_BOOL, OF(rec, name), 0, 1, def, NULL, 0                              \
	}
#define WORD(rec, name, words, def)                                                                \
	{                                                                                          \
#name, CONF_T_WORD, OF(rec, name), 0, 0, def, words, 0                             \
	}
#define LIST(rec, name, type, min)                                                                 \
	{                                                                                          \
#name, type, OF(rec, name), min, CONF_LIST_MAX, "", NULL, 0                        \
	}
#define PRINTS(rec)                                                                                \
	{                                                                                          \
		"fingerprints", CONF_T_PRINTS, OF(rec, fingerprints), 0, CONF_PRINTS_MAX, "",      \
		    NULL, 0                                                                        \
	}

static const struct conf_key node[] = {
    COMPUTED(conf_node, "hostname", hostname, CONF_T_DOMAIN),
    TEXT(conf_node, "state_dir", state_dir, CONF_T_PATH, LOCALSTATEDIR "/lib/postern"),
    TEXT(conf_node, "spool_dir", spool_dir, CONF_T_PATH, LOCALSTATEDIR "/spool/postern"),
    TEXT(conf_node, "run_dir", run_dir, CONF_T_PATH, RUNDIR "/postern"),
    TEXT(conf_node, "libexec_dir", libexec_dir, CONF_T_PATH, PREFIX "/libexec/postern"),
    TEXT(conf_node, "tls_dir", tls_dir, CONF_T_PATH, SYSCONFDIR "/postern/tls"),
    LIST(conf_node, certificates, CONF_T_CERTS, 0),
};

static const struct conf_key logging[] = {
    WORD(conf_log, destination, destinations, "syslog"),
    TEXT(conf_log, "file", file, CONF_T_PATH, LOCALSTATEDIR "/log/postern.log"),
    WORD(conf_log, facility, facilities, "mail"),
    WORD(conf_log, level, levels, "info"),
    TEXT(conf_log, "tag", tag, CONF_T_NAME, "postern"),
    BOOL(conf_log, postfix_names, "no"),
    BOOL(conf_log, records, "yes"),
    NUM(conf_log, keep_days, 1, 36500, "30"),
    SIZE(conf_log, keep_size, 16 * MB, 1024 * GB, "1G"),
    TEXT(conf_log, "metrics", metrics, CONF_T_TEXT, ""),
};

static const struct conf_key ignition[] = {
    TEXT(conf_ignition, "key_file", key_file, CONF_T_PATH, ""),
    TEXT(conf_ignition, "credential", credential, CONF_T_NAME, ""),
};

static const struct conf_key processes[] = {
    NUM(conf_processes, smtpd, 1, 64, "2"),
    NUM(conf_processes, pop3d, 1, 64, "2"),
    NUM(conf_processes, deliverd, 1, 64, "2"),
    NUM(conf_processes, cryptod_threads, 1, 64, "2"),
};

/* A worker maps libraries and thread stacks: below 64 MiB it would not even start. */
static const struct conf_key workers[] = {
    NUM(conf_workers, spare, 1, 64, "2"),
    NUM(conf_workers, max, 1, 1024, "64"),
    SIZE(conf_workers, memory, 64 * MB, 64 * GB, "256M"),
    NUM(conf_workers, deadline, 1, 3600, "120"),
};

static const struct conf_key dns[] = {
    LIST(conf_dns, servers, CONF_T_RESOLVERS, 0),
    BOOL(conf_dns, hosts, "yes"),
    TEXT(conf_dns, "trust_anchor", trust_anchor, CONF_T_PATH, ""),
};

#define CA_BUNDLE "/etc/ssl/certs/ca-certificates.crt"

static const struct conf_key keyd[] = {
    LIST(conf_keyd, allow, CONF_T_NETS, 0),
    TEXT(conf_keyd, "sts_ca_file", sts_ca_file, CONF_T_PATH, CA_BUNDLE),
    NUM(conf_keyd, sts_port, 1, 65535, "443"),
};

/*
 * Least values: RFC 5321, 4.5.3.1 (512 octets of a command, 1000 of a text line, 100 recipients);
 * RFC 4954, 4 (12288 octets of an AUTH line) is the default; RFC 1939, 3 (10 minutes).
 */
static const struct conf_key limits[] = {
    SIZE(conf_limits, message_size, 64 * KB, 4 * GB, "100M"),
    SIZE(conf_limits, line_length, 512, 64 * KB, "12288"),
    SIZE(conf_limits, text_line, 1000, MB, "8192"),
    NUM(conf_limits, recipients, 100, 1000, "1000"),
    NUM(conf_limits, errors, 1, 1000, "20"),
    NUM(conf_limits, commands, 100, 1000000, "10000"),
    SIZE(conf_limits, headers, 4 * KB, 16 * MB, "128K"),
    NUM(conf_limits, idle_timeout, 1, DAY, "300"),
    NUM(conf_limits, pop3_idle_timeout, 600, DAY, "600"),
    NUM(conf_limits, sizes_timeout, 1, 3600, "300"),
    NUM(conf_limits, session_timeout, 1, 7 * DAY, "7200"),
    NUM(conf_limits, data_timeout, 1, DAY, "600"),
    NUM(conf_limits, peer_timeout, 1, 3600, "120"),
    NUM(conf_limits, sessions, 1, 100000, "1000"),
    NUM(conf_limits, sessions_per_client, 1, 100000, "50"),
};

static const struct conf_key queue[] = {
    NUM(conf_queue, lifetime, 1, 365 * DAY, "432000"),
    NUM(conf_queue, bounce_lifetime, 1, 365 * DAY, "432000"),
    NUM(conf_queue, delay_warning, 0, 365 * DAY, "14400"),
    NUM(conf_queue, retry_min, 1, DAY, "300"),
    NUM(conf_queue, retry_max, 1, 7 * DAY, "4000"),
    SIZE(conf_queue, size, 64 * MB, 1024 * GB, "16G"),
    SIZE(conf_queue, min_free, 0, 1024 * GB, "128M"),
    SIZE(conf_queue, segment, MB, GB, "16M"),
    SIZE(conf_queue, memory, MB, 64 * GB, "8M"),
    NUM(conf_queue, active, 1, 100000, "500"),
    NUM(conf_queue, concurrency, 1, 10000, "20"),
    NUM(conf_queue, recipients, 1, 1000, "100"),
    TEXT(conf_queue, "postmaster", postmaster, CONF_T_TEXT, ""),
    BOOL(conf_queue, tls_reports, "no"),
    TEXT(conf_queue, "report_from", report_from, CONF_T_TEXT, ""),
};

static const struct conf_key gate[] = {
    LIST(conf_gate, exempt, CONF_T_NETS, 0),
    NUM(conf_gate, connections, 0, 100000, "50"),
    NUM(conf_gate, network_connections, 0, 100000, "200"),
    NUM(conf_gate, connection_rate, 0, 1000000, "0"),
    NUM(conf_gate, message_rate, 0, 1000000, "0"),
    NUM(conf_gate, recipient_rate, 0, 1000000, "0"),
    NUM(conf_gate, error_rate, 0, 1000000, "60"),
    NUM(conf_gate, tarpit, 0, 300, "1"),
    NUM(conf_gate, greet_wait, 0, 60, "0"),
    NUM(conf_gate, pass_days, 1, 365, "7"),
    BOOL(conf_gate, helo_required, "yes"),
    BOOL(conf_gate, helo_check, "yes"),
    LIST(conf_gate, dnsbl, CONF_T_WORDS, 0),
    NUM(conf_gate, dnsbl_threshold, 1, 1000, "1"),
    BOOL(conf_gate, greylist, "no"),
    NUM(conf_gate, greylist_delay, 1, DAY, "300"),
    NUM(conf_gate, greylist_days, 1, 3650, "35"),
};

static const struct conf_key route[] = {
    {"domains", CONF_T_WORDS, OF(conf_route, domains), 1, CONF_LIST_MAX, NULL, NULL, 0},
    LIST(conf_route, servers, CONF_T_WORDS, 0),
    LIST(conf_route, fallback, CONF_T_WORDS, 0),
    WORD(conf_route, protocol, protocols, "smtp"),
    WORD(conf_route, tls, route_tls, "may"),
    BOOL(conf_route, implicit, "no"),
    BOOL(conf_route, dane, "yes"),
    BOOL(conf_route, mta_sts, "yes"),
    TEXT(conf_route, "profile", profile_name, CONF_T_NAME, "default"),
    TEXT(conf_route, "login", login, CONF_T_TEXT, ""),
    TEXT(conf_route, "password_file", password_file, CONF_T_PATH, ""),
    NUM(conf_route, concurrency, 0, 10000, "0"),
    NUM(conf_route, reuse, 0, 3600, "5"),
    NUM(conf_route, timeout, 1, 3600, "60"),
};

static const struct conf_key profile[] = {
    WORD(conf_profile, min_version, versions, "1.2"),
    TEXT(conf_profile, "ciphers", ciphers, CONF_T_TEXT, ""),
    TEXT(conf_profile, "ciphersuites", ciphersuites, CONF_T_TEXT, ""),
    TEXT(conf_profile, "groups", groups, CONF_T_TEXT, ""),
    BOOL(conf_profile, pfs, "yes"),
    WORD(conf_profile, client_certificate, client_certs, "none"),
    TEXT(conf_profile, "client_ca", client_ca, CONF_T_PATH, ""),
    WORD(conf_profile, ocsp, ocsp, "off"),
    BOOL(conf_profile, stapling, "no"),
    LIST(conf_profile, alpn, CONF_T_WORDS, 0),
    BOOL(conf_profile, tickets, "yes"),
    WORD(conf_profile, verify, verify, "ca"),
    TEXT(conf_profile, "ca_file", ca_file, CONF_T_PATH, CA_BUNDLE),
    PRINTS(conf_profile),
    LIST(conf_profile, names, CONF_T_PAIRS, 0),
    WORD(conf_profile, bad_certificate, bad_certs, "untrusted"),
};

static const struct conf_key action[] = {
    WORD(conf_action, service, peer_services, NULL),
    WORD(conf_action, tls, inspect, "inspect"),
    TEXT(conf_action, "profile", profile_name, CONF_T_NAME, "default"),
};

static const struct conf_key peer[] = {
    WORD(conf_peer, service, peer_services, NULL),
    TEXT(conf_peer, "host", host, CONF_T_HOST, NULL),
    {"port", CONF_T_NUM, OF(conf_peer, port), 1, 65535, NULL, NULL, 1},
    {"tls_port", CONF_T_NUM, OF(conf_peer, tls_port), 1, 65535, NULL, NULL, 1},
    WORD(conf_peer, tls, tls_modes, "starttls"),
    TEXT(conf_peer, "profile", profile_name, CONF_T_NAME, "default"),
    {"verify", CONF_T_WORD, OF(conf_peer, verify), 0, 0, NULL, verify, 1},
    COMPUTED(conf_peer, "server_name", server_name, CONF_T_HOST),
    COMPUTED(conf_peer, "ca_file", ca_file, CONF_T_PATH),
    PRINTS(conf_peer),
    TEXT(conf_peer, "notify", notify_name, CONF_T_NAME, ""),
    TEXT(conf_peer, "login_domain", login_domain, CONF_T_DOMAIN, ""),
    WORD(conf_peer, login_case, cases, "lower"),
    TEXT(conf_peer, "master_separator", master_separator, CONF_T_MARKS, "*"),
};

static const struct conf_key connector[] = {
    WORD(conf_connector, service, services, NULL),
    {"listen", CONF_T_PORTS, OF(conf_connector, listen), 0, 64, "", NULL, 0},
    {"listen_tls", CONF_T_PORTS, OF(conf_connector, listen_tls), 0, 64, "", NULL, 0},
    TEXT(conf_connector, "peer", peer_name, CONF_T_NAME, ""),
    WORD(conf_connector, transparent, transparent, "no"),
    BOOL(conf_connector, keep_source, "no"),
    LIST(conf_connector, clients, CONF_T_NETS, 0),
    LIST(conf_connector, sign_by_address, CONF_T_NETS, 0),
    BOOL(conf_connector, outside_senders, "no"),
    WORD(conf_connector, tls, supports, "enabled"),
    TEXT(conf_connector, "action", action_name, CONF_T_NAME, ""),
    LIST(conf_connector, certificates, CONF_T_CERTS, 0),
    {"starttls", CONF_T_WORD, OF(conf_connector, starttls), 0, 0, NULL, starttls, 1},
    WORD(conf_connector, second_factor, factors, "none"),
    WORD(conf_connector, sizes, sizes, "fast"),
    BOOL(conf_connector, banner, "no"),
    TEXT(conf_connector, "tenant", tenant, CONF_T_NAME, "default"),
    TEXT(conf_connector, "gate", gate_name, CONF_T_NAME, ""),
    LIST(conf_connector, relay_clients, CONF_T_NETS, 0),
    {"relay_certificates", CONF_T_PRINTS, OF(conf_connector, relay_certificates), 0, CONF_LIST_MAX,
	"", NULL, 0},
    WORD(conf_connector, auth, auths, "none"),
    TEXT(conf_connector, "sasl_socket", sasl_socket, CONF_T_PATH, ""),
    TEXT(conf_connector, "login_domain", login_domain, CONF_T_DOMAIN, ""),
    WORD(conf_connector, inbound, inbounds, "pass"),
    LIST(conf_connector, proxy_protocol, CONF_T_NETS, 0),
    LIST(conf_connector, xclient, CONF_T_NETS, 0),
};

#define KEYS(k) k, sizeof k / sizeof k[0]
#define SINGLE(k) KEYS(k), 0, 0, 0
#define TITLED(k, rec) KEYS(k), 1, OF(conf, n##k##s), sizeof(struct rec)

const struct conf_section conf_sections[CONF_S_COUNT] = {
    [CONF_S_NODE] = {"node", OF(conf, node), SINGLE(node)},
    [CONF_S_LOG] = {"log", OF(conf, log), SINGLE(logging)},
    [CONF_S_IGNITION] = {"ignition", OF(conf, ignition), SINGLE(ignition)},
    [CONF_S_PROCESSES] = {"processes", OF(conf, processes), SINGLE(processes)},
    [CONF_S_WORKERS] = {"workers", OF(conf, workers), SINGLE(workers)},
    [CONF_S_DNS] = {"dns", OF(conf, dns), SINGLE(dns)},
    [CONF_S_KEYD] = {"keyd", OF(conf, keyd), SINGLE(keyd)},
    [CONF_S_LIMITS] = {"limits", OF(conf, limits), SINGLE(limits)},
    [CONF_S_QUEUE] = {"queue", OF(conf, queue), SINGLE(queue)},
    [CONF_S_PROFILE] = {"tls_profile", OF(conf, profiles), TITLED(profile, conf_profile)},
    [CONF_S_ACTION] = {"action", OF(conf, actions), TITLED(action, conf_action)},
    [CONF_S_GATE] = {"gate", OF(conf, gates), TITLED(gate, conf_gate)},
    [CONF_S_ROUTE] = {"route", OF(conf, routes), TITLED(route, conf_route)},
    [CONF_S_PEER] = {"peer", OF(conf, peers), TITLED(peer, conf_peer)},
    [CONF_S_CONNECTOR] = {"connector", OF(conf, connectors), TITLED(connector, conf_connector)},
};

void *
conf_array(const struct conf *c, enum conf_section_id id, size_t *n)
{
	const struct conf_section *s = &conf_sections[id];
	void *v;

	memcpy(&v, (const uint8_t *)c + s->off, sizeof v);
	memcpy(n, (const uint8_t *)c + s->count_off, sizeof *n);
	return v;
}

const char *
conf_word(enum conf_section_id id, const void *section, const char *key)
{
	const struct conf_section *s = &conf_sections[id];
	const struct conf_word *w;
	const struct conf_key *k;
	int value;

	for (k = s->keys; k < s->keys + s->nkeys; k++) {
		if (k->words == NULL || strcmp(k->name, key) != 0)
			continue;
		memcpy(&value, (const uint8_t *)section + k->off, sizeof value);
		for (w = k->words; w->text != NULL; w++)
			if (w->value == value)
				return w->text;
	}
	return "";
}
