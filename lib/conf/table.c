#include "conf/table.h"

#include <stddef.h>
#include <syslog.h>

#define KB 1024ULL
#define MB (1024 * KB)
#define GB (1024 * MB)
#define DAY 86400ULL

static const struct conf_word services[] = {{"smtp", CONF_SMTP}, {"pop3", CONF_POP3}, {NULL, 0}};
static const struct conf_word tls_modes[] = {{"none", CONF_TLS_NONE},
    {"starttls", CONF_TLS_STARTTLS}, {"implicit", CONF_TLS_IMPLICIT}, {NULL, 0}};
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

static const struct conf_key node[] = {
    COMPUTED(conf_node, "hostname", hostname, CONF_T_DOMAIN),
    TEXT(conf_node, "state_dir", state_dir, CONF_T_PATH, LOCALSTATEDIR "/lib/postern"),
    TEXT(conf_node, "spool_dir", spool_dir, CONF_T_PATH, LOCALSTATEDIR "/spool/postern"),
    TEXT(conf_node, "run_dir", run_dir, CONF_T_PATH, RUNDIR "/postern"),
    TEXT(conf_node, "libexec_dir", libexec_dir, CONF_T_PATH, PREFIX "/libexec/postern"),
};

static const struct conf_key logging[] = {
    WORD(conf_log, destination, destinations, "syslog"),
    TEXT(conf_log, "file", file, CONF_T_PATH, LOCALSTATEDIR "/log/postern.log"),
    WORD(conf_log, facility, facilities, "mail"),
    WORD(conf_log, level, levels, "info"),
};

static const struct conf_key ignition[] = {
    TEXT(conf_ignition, "key_file", key_file, CONF_T_PATH, ""),
    TEXT(conf_ignition, "credential", credential, CONF_T_NAME, ""),
};

static const struct conf_key processes[] = {
    NUM(conf_processes, smtpd, 1, 64, "2"),
    NUM(conf_processes, pop3d, 1, 64, "2"),
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

static const struct conf_key peer[] = {
    WORD(conf_peer, service, services, NULL),
    TEXT(conf_peer, "host", host, CONF_T_HOST, NULL),
    {"port", CONF_T_NUM, OF(conf_peer, port), 1, 65535, NULL, NULL, 1},
    WORD(conf_peer, tls, tls_modes, "starttls"),
    BOOL(conf_peer, verify, "yes"),
    COMPUTED(conf_peer, "server_name", server_name, CONF_T_HOST),
    TEXT(conf_peer, "ca_file", ca_file, CONF_T_PATH, "/etc/ssl/certs/ca-certificates.crt"),
    TEXT(conf_peer, "notify", notify_name, CONF_T_NAME, ""),
    TEXT(conf_peer, "login_domain", login_domain, CONF_T_DOMAIN, ""),
    WORD(conf_peer, login_case, cases, "lower"),
    TEXT(conf_peer, "master_separator", master_separator, CONF_T_MARKS, "*"),
};

static const struct conf_key connector[] = {
    WORD(conf_connector, service, services, NULL),
    {"listen", CONF_T_LISTEN, OF(conf_connector, listen), 1, 64, NULL, NULL, 0},
    TEXT(conf_connector, "peer", peer_name, CONF_T_NAME, NULL),
    LIST(conf_connector, clients, CONF_T_NETS, 0),
    LIST(conf_connector, sign_by_address, CONF_T_NETS, 0),
    BOOL(conf_connector, outside_senders, "no"),
    WORD(conf_connector, tls, tls_modes, "none"),
    TEXT(conf_connector, "certificate", certificate, CONF_T_PATH, ""),
    {"starttls", CONF_T_WORD, OF(conf_connector, starttls), 0, 0, NULL, starttls, 1},
    WORD(conf_connector, second_factor, factors, "none"),
    TEXT(conf_connector, "client_ca", client_ca, CONF_T_PATH, ""),
    WORD(conf_connector, sizes, sizes, "fast"),
    BOOL(conf_connector, banner, "no"),
    TEXT(conf_connector, "tenant", tenant, CONF_T_NAME, "default"),
};

#define KEYS(k) k, sizeof k / sizeof k[0]

const struct conf_section conf_sections[CONF_S_COUNT] = {
    [CONF_S_NODE] = {"node", OF(conf, node), KEYS(node), 0},
    [CONF_S_LOG] = {"log", OF(conf, log), KEYS(logging), 0},
    [CONF_S_IGNITION] = {"ignition", OF(conf, ignition), KEYS(ignition), 0},
    [CONF_S_PROCESSES] = {"processes", OF(conf, processes), KEYS(processes), 0},
    [CONF_S_WORKERS] = {"workers", OF(conf, workers), KEYS(workers), 0},
    [CONF_S_DNS] = {"dns", OF(conf, dns), KEYS(dns), 0},
    [CONF_S_LIMITS] = {"limits", OF(conf, limits), KEYS(limits), 0},
    [CONF_S_PEER] = {"peer", 0, KEYS(peer), 1},
    [CONF_S_CONNECTOR] = {"connector", 0, KEYS(connector), 1},
};
