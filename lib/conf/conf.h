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
#define CONF_SECTIONS_MAX 256 /* peers, and connectors, of one file */
#define CONF_LIST_MAX 256 /* values in one list */

enum conf_service { CONF_SMTP, CONF_POP3 };
enum conf_tls { CONF_TLS_NONE, CONF_TLS_STARTTLS, CONF_TLS_IMPLICIT };
enum conf_log_to { CONF_LOG_SYSLOG, CONF_LOG_FILE };
/* Whether a client of a connector must begin TLS before it logs in or sends. */
enum conf_starttls { CONF_STARTTLS_DEFAULT, CONF_STARTTLS_OPTIONAL, CONF_STARTTLS_REQUIRED };
/* What a login must show beside what the mail server accepts. */
enum conf_factor { CONF_FACTOR_NONE, CONF_FACTOR_CERTIFICATE, CONF_FACTOR_PASSWORD };
enum conf_sizes { CONF_SIZES_FAST, CONF_SIZES_EXACT };
enum conf_case { CONF_CASE_LOWER, CONF_CASE_KEEP };

struct conf_nets {
	struct net *v;
	size_t n;
};

struct conf_addrs {
	struct netaddr *v;
	size_t n;
};

struct conf_node {
	char *hostname; /* what we call ourselves in greetings and HELO */
	char *state_dir; /* databases and key store; absolute, as every path */
	char *spool_dir; /* messages on disk, journals */
	char *run_dir; /* control socket, pid file */
	char *libexec_dir; /* where master finds the daemons */
};

struct conf_log {
	enum conf_log_to destination;
	char *file; /* with CONF_LOG_FILE */
	int facility; /* LOG_MAIL ... of <syslog.h> */
	enum log_level level; /* least important level that is still logged */
};

struct conf_ignition {
	char *key_file; /* unlocks cryptod at start; "" when keyctl unlock does */
	char *credential; /* the same from a systemd credential of this name; "" for none */
};

struct conf_processes {
	uint64_t smtpd, pop3d; /* how many of each */
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

struct conf_peer {
	char *name;
	unsigned line; /* where it stands in the file */
	enum conf_service service;
	char *host; /* name or address */
	uint64_t port;
	enum conf_tls tls;
	int verify; /* certificate chain and name */
	char *server_name; /* the name the certificate must have; host unless given */
	char *ca_file;
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
	struct conf_addrs listen; /* at least one; port never 0 */
	const struct conf_peer *peer;
	char *peer_name;
	struct conf_nets clients; /* empty: everybody */
	struct conf_nets sign_by_address; /* smtp: clients that need no AUTH to sign */
	int outside_senders; /* smtp: senders of other domains than ours may send */
	enum conf_tls tls; /* towards clients */
	char
	    *certificate; /* chain in PEM, ours first; "" with CONF_TLS_NONE. Its key: in cryptod */
	enum conf_starttls starttls; /* never CONF_STARTTLS_DEFAULT once loaded */
	enum conf_factor second_factor;
	char *client_ca; /* with CONF_FACTOR_CERTIFICATE: who may issue the clients' */
	enum conf_sizes sizes; /* pop3 */
	int banner; /* pop3: the verdict is shown in the text too */
	char *tenant;
};

struct conf {
	struct conf_node node;
	struct conf_log log;
	struct conf_ignition ignition;
	struct conf_processes processes;
	struct conf_workers workers;
	struct conf_dns dns;
	struct conf_limits limits;
	struct conf_peer *peers;
	size_t npeers;
	struct conf_connector *connectors; /* at least one */
	size_t nconnectors;
};

/* Receives each error as one line without newline: "FILE:LINE: what, the value, the remedy". */
struct conf_report {
	void (*line)(void *arg, const char *text);
	void *arg;
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

/* The peer or connector of that name, or NULL. */
const struct conf_peer *conf_peer_find(const struct conf *c, const char *name);
const struct conf_connector *conf_connector_find(const struct conf *c, const char *name);

#endif
