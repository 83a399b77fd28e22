#ifndef CONF_CONF_H
#define CONF_CONF_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/io.h"
#include "base/log.h"
#include "base/netaddr.h"

/*
 * The configuration of this node, postern.conf(5).  Everything here is checked and complete:
 * strings are never NULL ("" when an optional one was not given), names are resolved to pointers,
 * numbers are within their bounds.  A struct conf does not change after it was loaded.
 */

#define CONF_FILE_MAX (1024 * 1024) /* octets of a configuration file */
#define CONF_ERRORS_MAX 50 /* errors reported of one file */
#define CONF_SECTIONS_MAX 256 /* peers, and connectors, and each other kind, of one file */
#define CONF_LIST_MAX 256 /* values in one list */
#define CONF_PRINTS_MAX 8 /* fingerprints of one peer */

/*
 * What a connector does: proxies in front of a peer (smtp, pop3); or SMTP into the queue: mx takes
 * mail of the world for our domains, relay what designated hosts send out, submission what users
 * send out after a login.
 */
enum conf_service { CONF_SMTP, CONF_POP3, CONF_MX, CONF_RELAY, CONF_SUBMISSION };
/* How one port speaks: never TLS, TLS on request, TLS from the first octet on. */
enum conf_tls { CONF_TLS_NONE, CONF_TLS_STARTTLS, CONF_TLS_IMPLICIT };
/* Which ports of a connector are bound: the clear ones, both kinds, the TLS ones. */
enum conf_support { CONF_SUPPORT_DISABLED, CONF_SUPPORT_ENABLED, CONF_SUPPORT_REQUIRED };
/* What is done with a client's TLS: passed on untouched, or ended here, so that mail is seen. */
enum conf_inspect { CONF_TLS_ALLOW, CONF_TLS_INSPECT };
enum conf_version { CONF_TLS12, CONF_TLS13 };
enum conf_client_cert { CONF_CLIENT_CERT_NONE, CONF_CLIENT_CERT_ASK, CONF_CLIENT_CERT_REQUIRE };
/* What a peer's certificate is asked about its revocation. */
enum conf_ocsp { CONF_OCSP_OFF, CONF_OCSP_LENIENT, CONF_OCSP_STRICT };
/* What makes a peer's certificate good. */
enum conf_verify {
	CONF_VERIFY_NONE,
	CONF_VERIFY_CA, /* chain and name (RFC 6125) */
	CONF_VERIFY_FINGERPRINT, /* SHA-256 of the certificate or of its public key */
	CONF_VERIFY_DANE, /* TLSA records (RFC 6698, RFC 7672) that DNSSEC vouches for */
	CONF_VERIFY_DEFAULT /* of a peer while it is loaded: its profile's */
};
/* What the client of an inspected foreign server sees where that one's certificate is bad. */
enum conf_bad_cert { CONF_BAD_CERT_REFUSE, CONF_BAD_CERT_UNTRUSTED };
/* Where a connector's sessions go: to its peer, or wherever the client wanted to go. */
enum conf_transparent { CONF_TRANSPARENT_NO, CONF_TRANSPARENT_REDIRECT, CONF_TRANSPARENT_TPROXY };
enum conf_log_to { CONF_LOG_SYSLOG, CONF_LOG_FILE };
/* Whether a client of a connector must begin TLS before it logs in or sends. */
enum conf_starttls { CONF_STARTTLS_DEFAULT, CONF_STARTTLS_OPTIONAL, CONF_STARTTLS_REQUIRED };
/* What a login must show beside what the mail server accepts. */
enum conf_factor { CONF_FACTOR_NONE, CONF_FACTOR_CERTIFICATE, CONF_FACTOR_PASSWORD };
enum conf_sizes { CONF_SIZES_FAST, CONF_SIZES_EXACT };
enum conf_case { CONF_CASE_LOWER, CONF_CASE_KEEP };
/* What checks a login on a connector of the queue: nobody, an smtp peer, a Dovecot auth socket. */
enum conf_auth { CONF_AUTH_NONE, CONF_AUTH_PEER, CONF_AUTH_SASL };
/* What mx does with encrypted mail for our consumers: as it is, or opened at the door. */
enum conf_inbound { CONF_INBOUND_PASS, CONF_INBOUND_DECRYPT };
enum conf_protocol { CONF_PROTO_SMTP, CONF_PROTO_LMTP };
/* TLS of a route's deliveries: never; if offered; always; with a good certificate; with DANE. */
enum conf_route_tls {
	CONF_ROUTE_TLS_NONE,
	CONF_ROUTE_TLS_MAY,
	CONF_ROUTE_TLS_ENCRYPT,
	CONF_ROUTE_TLS_VERIFY,
	CONF_ROUTE_TLS_DANE
};

struct conf_nets {
	struct net *v;
	size_t n;
};

struct conf_addrs {
	struct netaddr *v;
	size_t n;
};

struct conf_strings {
	char **v;
	size_t n;
};

/* A bound address of a connector: which of its two kinds of ports. */
struct conf_listener {
	struct netaddr addr;
	enum conf_tls tls;
};

struct conf_node {
	char *hostname; /* what we call ourselves in greetings and HELO */
	char *state_dir; /* databases and key store; absolute, as every path */
	char *spool_dir; /* messages on disk, journals */
	char *run_dir; /* control socket, pid file */
	char *libexec_dir; /* where master finds the daemons */
	char *tls_dir; /* certificates that are called by name: NAME.pem in here */
	struct conf_strings certificates; /* of connectors that name none */
};

struct conf_log {
	enum conf_log_to destination;
	char *file; /* with CONF_LOG_FILE */
	int facility; /* LOG_MAIL ... of <syslog.h> */
	enum log_level level; /* least important level that is still logged */
	char *tag; /* in front of the programs' names in lines */
	int postfix_names; /* lines have the names that Postfix's programs have for them */
	int records; /* transactions are kept in the database too, for gwctl log */
	uint64_t keep_days; /* records older than this are dropped */
	uint64_t keep_size; /* octets of the database; the oldest records go first */
	char *metrics; /* where Prometheus asks: an absolute path of a Unix socket, or a loopback
			* address with port; "" for nowhere */
};

struct conf_ignition {
	char *key_file; /* unlocks cryptod at start; "" when keyctl unlock does */
	char *credential; /* the same from a systemd credential of this name; "" for none */
};

struct conf_processes {
	uint64_t smtpd, pop3d, deliverd; /* how many of each */
	uint64_t cryptod_threads; /* of the one cryptod, for operations that take long */
};

struct conf_workers {
	uint64_t spare; /* forked ahead, idle */
	uint64_t max; /* most at once */
	uint64_t memory; /* octets of address space of one worker */
	uint64_t deadline; /* seconds that one message may take */
};

struct conf_dns {
	struct conf_addrs servers; /* none: /etc/resolv.conf */
	int hosts; /* whether /etc/hosts counts */
	char *trust_anchor; /* DNSKEY or DS records that DNSSEC begins with; "": the system's */
};

struct conf_keyd {
	struct conf_nets allow; /* beside the Internet: servers there may be asked, on any port */
	char *sts_ca_file; /* authorities of the servers with policies of MTA-STS (RFC 8461) */
	uint64_t sts_port; /* of these servers */
};

struct conf_limits {
	uint64_t message_size; /* octets */
	uint64_t line_length; /* octets of a command line with its CRLF */
	uint64_t text_line; /* octets of a line of message text with its CRLF */
	uint64_t recipients; /* per transaction */
	uint64_t errors; /* bad commands before the connection is closed */
	uint64_t commands; /* per session */
	uint64_t headers; /* octets of a message's header */
	uint64_t idle_timeout; /* seconds without a command, SMTP */
	uint64_t pop3_idle_timeout; /* the same for POP3 (RFC 1939, 3: at least 600) */
	uint64_t sizes_timeout; /* seconds that sizes = exact may take for one maildrop */
	uint64_t session_timeout; /* seconds, absolute */
	uint64_t data_timeout; /* seconds for the text of one message */
	uint64_t peer_timeout; /* seconds for a connect or a reply of a peer */
	uint64_t sessions; /* per process */
	uint64_t sessions_per_client; /* per client address and process */
};

/* The queue, and the life of a message in it. Times in seconds. */
struct conf_queue {
	uint64_t lifetime; /* then a message is returned */
	uint64_t bounce_lifetime; /* of a message from <>, then it is dropped */
	uint64_t delay_warning; /* the sender is told once; 0: never */
	uint64_t retry_min, retry_max; /* between attempts; doubled each time */
	uint64_t size; /* octets that the spool may take on the disk */
	uint64_t min_free; /* octets that stay free on its file system, else 452 */
	uint64_t segment; /* octets of a segment of the log */
	uint64_t memory; /* octets of messages kept in memory for delivery */
	uint64_t active; /* deliveries under way at once */
	uint64_t concurrency; /* the same to one destination, at most */
	uint64_t recipients; /* of one delivery */
	char *postmaster; /* gets what cannot be returned (double bounces); "": dropped, logged */
	int tls_reports; /* RFC 8460: sent daily to those who ask */
	char *report_from; /* their sender; "": postmaster */
};

/*
 * Whom a connector of the queue talks to, and how long it bears with him.  Rates are per minute and
 * count over all processes; per client means the address, or for IPv6 its /64.
 */
struct conf_gate {
	char *name;
	unsigned line;
	struct conf_nets exempt; /* from everything here */
	uint64_t connections; /* at once per client; 0, as all rates: no limit */
	uint64_t network_connections; /* the same per /24 or /48 */
	uint64_t connection_rate;
	uint64_t message_rate;
	uint64_t recipient_rate;
	uint64_t error_rate; /* commands refused, unknown recipients, failed logins */
	uint64_t tarpit; /* seconds before an answer, from the third error of a session on */
	uint64_t greet_wait; /* seconds before the greeting: who talks meanwhile is refused */
	uint64_t pass_days; /* a client that waited need not again so long */
	int helo_required;
	int helo_check; /* names that cannot be true are refused: ours, bad syntax */
	struct conf_strings dnsbl; /* "ZONE", "ZONE*WEIGHT", "ZONE=127.0.0.N*WEIGHT" */
	uint64_t dnsbl_threshold; /* weights that sum up to this are refused */
	int greylist;
	uint64_t greylist_delay; /* seconds */
	uint64_t greylist_days; /* that a pair which came again is known */
};

/* Which servers take the mail of some domains. The one for "*" is for all others, else their MX. */
struct conf_route {
	char *name;
	unsigned line;
	struct conf_strings domains; /* "example.org", ".example.org" with all below, "*" */
	struct conf_strings servers; /* "HOST", "HOST:PORT", "[V6]:PORT", "mx:DOMAIN"; in front
				      * "N/" the priority (lowest first), behind "*W" the weight
				      * within it; empty: the MX of the domain */
	struct conf_strings fallback; /* the same, when none of these can be reached */
	enum conf_protocol protocol;
	enum conf_route_tls tls;
	int implicit; /* TLS from the first octet on */
	int dane; /* where DNSSEC has TLSA records they count (RFC 7672), also above tls = may */
	int mta_sts; /* RFC 8461, for routes to MX */
	char *profile_name;
	const struct conf_profile *profile; /* versions, ciphers, ca_file, fingerprints */
	char *login; /* AUTH at the servers (PLAIN or LOGIN, under TLS); "": none */
	char *password_file; /* its first line */
	uint64_t concurrency; /* 0: queue.concurrency */
	uint64_t reuse; /* seconds that an idle connection stays for the next message */
	uint64_t timeout; /* of a connect, and of a reply */
};

/* How TLS is spoken, towards clients and towards peers. "default" is there without a section. */
struct conf_profile {
	char *name;
	unsigned line; /* where it stands in the file; 0: nowhere */
	enum conf_version min_version;
	char *ciphers; /* of TLS 1.2, as openssl-ciphers(1) has them; "" for ours */
	char *ciphersuites; /* of TLS 1.3 */
	char *groups; /* of key agreement */
	int pfs; /* forward secrecy is required */
	enum conf_client_cert client_certificate;
	char *client_ca; /* who may issue the clients' certificates */
	enum conf_ocsp ocsp; /* towards peers */
	int stapling; /* towards clients */
	struct conf_strings alpn; /* RFC 7301; empty: what the service has, or none */
	int tickets; /* towards clients; TLS 1.3 only */
	enum conf_verify verify; /* of peers that do not say it, and of foreign servers */
	char *ca_file; /* the same */
	struct conf_strings fingerprints; /* 64 hexadecimal digits each, lower case */
	struct conf_strings names; /* "ASKED=EXPECTED": other names in certificates */
	enum conf_bad_cert bad_certificate;
};

struct conf_action {
	char *name;
	unsigned line;
	enum conf_service service;
	enum conf_inspect tls;
	char *profile_name;
	const struct conf_profile *profile;
};

struct conf_peer {
	char *name;
	unsigned line; /* where it stands in the file */
	enum conf_service service;
	char *host; /* name or address */
	uint64_t port;
	uint64_t tls_port; /* for tunnels of TLS from the first octet on; port if that is such */
	enum conf_tls tls;
	char *profile_name;
	const struct conf_profile *profile;
	enum conf_verify verify; /* never CONF_VERIFY_DEFAULT once loaded */
	char *server_name; /* the name that is asked for; host unless given. The certificate must
			    * have it, or what conf_profile_expects says */
	char *ca_file;
	struct conf_strings
	    fingerprints; /* with CONF_VERIFY_FINGERPRINT: the profile's unless given */
	const struct conf_peer *notify; /* smtp: takes mail from <>; itself unless given */
	char *notify_name; /* as written; "" for itself */
	char *login_domain; /* appended to a login without @; "" for nothing */
	enum conf_case login_case;
	char *master_separator; /* characters; "" for no master users */
};

struct conf_connector {
	char *name;
	unsigned line;
	enum conf_service service;
	struct conf_addrs listen; /* as given; port 0: both ports that the service usually has */
	struct conf_addrs listen_tls; /* as given; port 0: the usual one */
	struct conf_listener *bound; /* what these mean together with support; at least one */
	size_t nbound;
	enum conf_transparent transparent;
	int keep_source; /* tproxy: the server sees the client's address */
	const struct conf_peer *peer; /* NULL when transparent */
	char *peer_name;
	struct conf_nets clients; /* empty: everybody */
	struct conf_nets sign_by_address; /* smtp: clients that need no AUTH to sign */
	int outside_senders; /* smtp: senders of other domains than ours may send */
	enum conf_support tls; /* towards clients */
	char *action_name;
	const struct conf_action *action; /* NULL: inspected, with the profile "default" */
	enum conf_inspect inspect; /* of the action */
	const struct conf_profile *profile; /* of the action */
	struct conf_strings certificates; /* names or paths, as given */
	struct conf_strings chains; /* paths of PEM files, ours first; keys: in cryptod. Empty with
				     * CONF_SUPPORT_DISABLED, allow, and when transparent */
	enum conf_starttls starttls; /* never CONF_STARTTLS_DEFAULT once loaded */
	enum conf_factor second_factor;
	enum conf_sizes sizes; /* pop3 */
	int banner; /* pop3: the verdict is shown in the text too */
	char *tenant; /* mx: the domains of all tenants are taken */

	/* Of connectors of the queue. */
	char *gate_name;
	const struct conf_gate *gate; /* mx: "default" unless given; else NULL unless given */
	struct conf_nets relay_clients; /* may send to everywhere without a login */
	struct conf_strings relay_certificates; /* the same by certificate, as fingerprints */
	enum conf_auth auth; /* peer: names it */
	char *sasl_socket; /* Dovecot's auth-client, with CONF_AUTH_SASL */
	char *login_domain; /* the same: as in conf_peer */
	enum conf_inbound inbound;
	struct conf_nets proxy_protocol; /* balancers in front of us: they begin with PROXY */
	struct conf_nets xclient; /* hosts that may say XCLIENT and XFORWARD */
};

struct conf {
	struct conf_node node;
	struct conf_log log;
	struct conf_ignition ignition;
	struct conf_processes processes;
	struct conf_workers workers;
	struct conf_dns dns;
	struct conf_keyd keyd;
	struct conf_limits limits;
	struct conf_queue queue;
	struct conf_profile *profiles; /* at least one: "default" */
	size_t nprofiles;
	struct conf_action *actions;
	size_t nactions;
	struct conf_gate *gates; /* at least one: "default" */
	size_t ngates;
	struct conf_route *routes;
	size_t nroutes;
	struct conf_peer *peers;
	size_t npeers;
	struct conf_connector *connectors; /* at least one */
	size_t nconnectors;
};

/*
 * Receives each error as one line without newline: "FILE:LINE: what, the value, the remedy".  When
 * there is none, what is allowed and should be known goes to warn, which may be NULL, as
 * "FILE:LINE: warning: what".
 */
struct conf_report {
	void (*line)(void *arg, const char *text);
	void *arg;
	void (*warn)(void *arg, const char *text);
};

/*
 * Read a configuration file.
 *
 * report	gets every error, in the order of the file, CONF_ERRORS_MAX at most; may be NULL
 * e	gets the first one, with the number of the others
 *
 * Returns what conf_free frees, or NULL: errno EINVAL for wrong contents, else that of reading.
 */
struct conf *conf_load(const char *path, const struct conf_report *report, struct err *e);

/*
 * The same from memory; name stands for the file in messages.  libconfuse has one global lexer:
 * not from two threads at once.
 */
struct conf *conf_load_mem(
    const void *p, size_t n, const char *name, const struct conf_report *report, struct err *e);

void conf_free(struct conf *c);

/*
 * Write the canonical text: every key with its value, in the order of postern.conf(5).  Loading it
 * gives an equal struct conf, and dumping that the same text.  Returns 0, or -1 with errno.
 */
int conf_dump(const struct conf *c, const struct sink *to);

/* What the DNS of a machine is set up with, unless section dns says otherwise. */
#define CONF_RESOLV_FILE "/etc/resolv.conf"
#define CONF_HOSTS_FILE "/etc/hosts"

/*
 * Call fn for each file that daemons need and cannot reach from their jails: certificates,
 * authorities, trust anchors, those of DNS; for some more than once.  Stops at the first -1 of fn
 * and returns it, else 0.
 *
 * what	section and key, for messages: "connector submission: certificates"
 * need	0: without it nothing is lost
 */
typedef int (*conf_file_fn)(void *arg, const char *path, const char *what, int need);
int conf_files(const struct conf *c, conf_file_fn fn, void *arg);

/* The listener with this address, as netaddr_format writes it with ':', or NULL. */
const struct conf_listener *conf_listener_find(const struct conf_connector *k, const char *address);

const struct conf_profile *conf_profile_find(const struct conf *c, const char *name);
const struct conf_action *conf_action_find(const struct conf *c, const char *name);
const struct conf_gate *conf_gate_find(const struct conf *c, const char *name);

/*
 * The route of a domain (lower case, A-labels): the longest match; NULL when its MX count.
 */
const struct conf_route *conf_route_of(const struct conf *c, const char *domain);
const struct conf_route *conf_route_find(const struct conf *c, const char *name);

/* One of conf_route.servers, taken apart; -1 with EINVAL when it is wrong. */
struct conf_server {
	char host[HOST_MAX];
	uint16_t port; /* 0: the protocol's */
	int mx; /* host is a domain whose MX are meant */
	unsigned priority; /* 0 to 65535 */
	unsigned weight; /* 1 to 1000 */
};
int conf_server_parse(const char *text, struct conf_server *s);

/* One of conf_gate.dnsbl, taken apart; -1 with EINVAL. */
struct conf_dnsbl {
	char zone[HOST_MAX];
	uint8_t low[4], high[4]; /* answers that count */
	int weight; /* -1000 to 1000 */
};
int conf_dnsbl_parse(const char *text, struct conf_dnsbl *d);

/* Does this connector put mail into the queue; does any? */
int conf_queues(const struct conf_connector *k);
int conf_has_queue(const struct conf *c);
/* Is it for smtpd? */
int conf_is_smtp(enum conf_service s);

/* The name that the certificate of a server asked for by this name must have: profile.names. */
const char *conf_profile_expects(const struct conf_profile *p, const char *asked);

/* The peer or connector of that name, or NULL. */
const struct conf_peer *conf_peer_find(const struct conf *c, const char *name);
const struct conf_connector *conf_connector_find(const struct conf *c, const char *name);

/*
 * Do logins at this peer count behind a transparent connector of that tenant, too?  Not where a
 * connector in front of it asks for a second factor, which no other way leads round; nor where it
 * has connectors, and none is of that tenant: another one's server says nothing of its people.
 */
int conf_peer_vouches(const struct conf *c, const struct conf_peer *p, const char *tenant);

#endif
