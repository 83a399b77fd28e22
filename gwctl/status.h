#ifndef GWCTL_STATUS_H
#define GWCTL_STATUS_H

#include "gwctl/gwctl.h"

/* What gwctl status knows; the records are what --json gives, and gwctl(8) tells their members. */
#define STATUS_DAEMONS_MAX 128 /* as in ctl_status_rep */
#define STATUS_CONNECTORS_MAX (CONF_SECTIONS_MAX * 192) /* each address with a port is one */
#define STATUS_CERTIFICATES_MAX 1024
#define STATUS_FINDINGS_MAX 64 /* told; behind them is one that counts the rest */

#define REC_SHOWN_FINDING(F, L)                                                                    \
	F(STR, level, 0, 16) /* trouble: something does not work; note: it will not */             \
	F(STR, about, 0, 1024)                                                                     \
	F(STR, text, 0, 1023)
#define REC_SHOWN_DAEMON(F, L)                                                                     \
	F(STR, daemon, 0, 32)                                                                      \
	F(U16, instance, 0, 63)                                                                    \
	F(U32, pid, 0, UINT32_MAX)                                                                 \
	F(STR, state, 0, 16)                                                                       \
	F(U32, restarts, 0, UINT32_MAX)                                                            \
	F(U64, since, 0, UINT64_MAX)                                                               \
	F(STR, note, 0, 255)                                                                       \
	F(STR, trouble, 0, 511) /* why there are no facts */                                       \
	L(fact, facts, 0, STATUS_FACTS_MAX)
#define REC_SHOWN_CONNECTOR(F, L)                                                                  \
	F(STR, connector, 0, 64)                                                                   \
	F(STR, service, 0, 16)                                                                     \
	F(STR, listen, 0, 64)                                                                      \
	F(STR, client_tls, 0, 16)                                                                  \
	F(U64, sessions, 0, UINT64_MAX) /* of the connector, at all its addresses */               \
	F(STR, transparent, 0, 16)                                                                 \
	F(STR, peer, 0, 64) /* this and what follows: "" when transparent */                       \
	F(STR, server, 0, 270)                                                                     \
	F(STR, tls, 0, 16) /* towards the peer */
#define REC_SHOWN_TLS_CERT(F, L)                                                                   \
	F(STR, file, 0, 1024)                                                                      \
	F(STR, connector, 0, 64) /* the first that shows it */                                     \
	F(STR, end, 0, 32) /* "2027-01-31", "" when it is not known */                             \
	F(U8, ended, 0, 1)
#define REC_SHOWN_PEER(F, L)                                                                       \
	F(STR, peer, 0, 64)                                                                        \
	F(STR, service, 0, 16)                                                                     \
	F(STR, server, 0, 270)                                                                     \
	F(STR, tls, 0, 16)                                                                         \
	F(STR, state, 0, 16) /* up, down, unknown: not asked since the proxies started */          \
	F(U64, last_up, 0, UINT64_MAX)                                                             \
	F(U64, last_down, 0, UINT64_MAX)                                                           \
	F(STR, tls_version, 0, 16) /* of the last connection */                                    \
	F(STR, error, 0, 255)
#define REC_SHOWN_STATUS(F, L)                                                                     \
	F(STR, state, 0, 16) /* well, degraded */                                                  \
	F(STR, version, 0, 32)                                                                     \
	F(U64, started, 0, UINT64_MAX)                                                             \
	F(STR, config, 0, 1024)                                                                    \
	F(U8, privileged, 0, 1)                                                                    \
	F(STR, keystore, 0, 511) /* in words */                                                    \
	F(STR, keystore_state, 0, 32) /* unlocked, locked, not initialised, unknown */             \
	F(U64, keys, 0, UINT64_MAX) /* 0 unless unlocked */                                        \
	F(U64, sessions, 0, UINT64_MAX)                                                            \
	F(U64, domains, 0, UINT64_MAX)                                                             \
	F(U64, consumers, 0, UINT64_MAX)                                                           \
	F(U64, certificates, 0, UINT64_MAX)                                                        \
	F(U64, owners, 0, UINT64_MAX) /* consumers with private keys here */                       \
	F(U64, owners_ended, 0, UINT64_MAX) /* of them, without a valid certificate */             \
	F(U64, next_end, 0, UINT64_MAX) /* of the others' certificates, 0: none ends */            \
	F(STR, next_end_consumer, 0, 64)                                                           \
	F(U64, notices_waiting, 0, UINT64_MAX)                                                     \
	L(shown_finding, findings, 0, STATUS_FINDINGS_MAX + 1)                                     \
	L(shown_daemon, daemons, 0, STATUS_DAEMONS_MAX)                                            \
	L(shown_connector, connectors, 0, STATUS_CONNECTORS_MAX)                                   \
	L(shown_tls_cert, tls_certificates, 0, STATUS_CERTIFICATES_MAX)                            \
	L(shown_peer, peers, 0, CONF_SECTIONS_MAX)

REC_DECLARE(shown_finding, REC_SHOWN_FINDING)
REC_DECLARE(shown_daemon, REC_SHOWN_DAEMON)
REC_DECLARE(shown_connector, REC_SHOWN_CONNECTOR)
REC_DECLARE(shown_tls_cert, REC_SHOWN_TLS_CERT)
REC_DECLARE(shown_peer, REC_SHOWN_PEER)
REC_DECLARE(shown_status, REC_SHOWN_STATUS)

/* The end of the certificates of consumers whose private keys are here. */
struct cert_ends {
	uint64_t owners, ended, next; /* as in struct shown_status */
	char consumer[65]; /* whose ends next */
	char ended_consumer[65]; /* one of those without */
};

/* The status with what it points into. */
struct status {
	struct shown_status s;
	struct ipc_msg master; /* answer of master: names, notes */
	struct shown_daemon daemons[STATUS_DAEMONS_MAX];
	struct {
		struct status_rep *rep; /* the facts of a daemon, in mem */
		struct buf mem;
		char trouble[ERR_TEXT_MAX];
	} own[STATUS_DAEMONS_MAX];
	struct cert_ends ends;
	char ends_trouble[ERR_TEXT_MAX]; /* why it is not known */
	struct shown_connector *connectors;
	struct shown_tls_cert *certificates; /* of connectors, each file once */
	char (*certificate_ends)[DATE_TEXT];
	const char *minting; /* a connector whose clients see minted certificates; NULL: none */
	struct shown_peer *peers;
	struct status_text { /* of the connectors, then of the peers */
		char listen[HOSTPORT_TEXT_MAX], server[HOSTPORT_TEXT_MAX];
		char tls[16], error[256];
	} * texts;
	struct shown_finding findings[STATUS_FINDINGS_MAX + 1];
	char (*finding_texts)[1024];
	unsigned troubles, untold;
};

/* A fact of a daemon by name, the first or (prev not NULL) the one behind prev; NULL: no such. */
const struct fact *status_fact(
    const struct shown_daemon *d, const char *name, const struct fact *prev);

/* Is it one of the proxies? */
int status_is_proxy(const struct shown_daemon *d);

/* Connectors and peers of the configuration, with what the proxies say of them. 0 or exit code. */
int status_places(struct status *st, const struct conf *conf);

/*
 * Look at the certificates of everybody whose private keys are here, at most ENDS_MAX certificates
 * of the database.  0, or -1 with e.
 */
#define ENDS_MAX 5000
int status_ends(struct ipc *policy, struct cert_ends *out, struct err *e);

/* What needs somebody's attention. 0 or the exit code. */
int status_judge(struct status *st);

/* For people to see. 0 or the exit code. */
int status_picture(const struct status *st);

/* For Prometheus; c: NULL when there is none. 0. */
int status_metrics(const struct status *st, const struct conf *c);

#endif
