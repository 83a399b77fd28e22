#ifndef IPC_MSG_CORE_H
#define IPC_MSG_CORE_H

#include "base/rec.h"
#include "ipc/ipc.h"

/* master and its daemons, logd, and the tools' control socket. */

/* First message to a daemon; the descriptor is a sealed memfd with the configuration. */
#define REC_BOOT(F, L)                                                                             \
	F(U8, role, 1, P_MAX - 1)                                                                  \
	F(U16, instance, 0, 63) /* of several smtpd: 0, 1... */                                    \
	F(U8, privileged, 0, 1) /* 1: change uid and chroot; 0: started by an ordinary user */     \
	F(U32, uid, 0, UINT32_MAX)                                                                 \
	F(U32, gid, 0, UINT32_MAX)                                                                 \
	F(STR, jail, 1, 255)                                                                       \
	F(U8, debug, 0, 1)                                                                         \
	F(U8, quiet, 0, 1) /* standard error belongs to somebody who waits for its end */          \
	F(U8, locked, 0, 1) /* cryptod: an administrator locked the key store */                   \
	F(STR, version, 1, 32) /* of master; a daemon of another build refuses to run */

/* A channel to another daemon; the descriptor is its socket. Replaces an older one. */
#define REC_PLUMB(F, L)                                                                            \
	F(U8, peer, 1, P_MAX - 1)                                                                  \
	F(U16, instance, 0, 63)                                                                    \
	F(U32, serial, 0, UINT32_MAX) /* of this channel */

/* A bound and listening socket. */
#define REC_LISTENER(F, L)                                                                         \
	F(STR, connector, 1, 64)                                                                   \
	F(STR, address, 1, 64) /* as in the configuration */

/*
 * A file that the configuration names (conf_files), as it was when that was loaded: in a sealed
 * memfd.  All of them come before start, and again before each reload; those that came with the
 * configuration before are void from then on.
 */
#define CONFIG_FILE_MAX (4 * 1024 * 1024) /* octets; Debian's bundle of authorities has 220 KiB */
#define CONFIG_FILES_MAX 1024
#define REC_CONFIG_FILE(F, L) F(STR, path, 1, 1023)

/*
 * Keys for session tickets (RFC 8446, 4.6.1), the newest first; tickets are made with that one.
 * master makes a new one each TICKET_KEY_S seconds and all proxies have the same.
 */
#define TICKET_KEY_S 3600
#define TICKET_KEYS_MAX 3
#define REC_TICKET_KEY(F, L)                                                                       \
	F(BYTES, name, 16, 16)                                                                     \
	F(BYTES, aes, 32, 32)                                                                      \
	F(BYTES, hmac, 32, 32)
#define REC_TICKET_KEYS(F, L) L(ticket_key, keys, 1, TICKET_KEYS_MAX)

/*
 * A TCP socket, not connected, whose source is the client's address (ip(7), IP_TRANSPARENT): for
 * a connector with keep_source, and only for addresses that may connect there (clients).
 */
#define REC_SOURCE_REQ(F, L)                                                                       \
	F(STR, connector, 1, 64)                                                                   \
	F(BYTES, ip, 4, 16)
#define REC_SOURCE_REP(F, L)                                                                       \
	F(U8, ok, 0, 1)                                                                            \
	F(STR, text, 0, 255) /* why not */

/* The socket that checks logins for a connector with auth = sasl, connected by master. */
#define REC_SASL_REQ(F, L) F(STR, connector, 1, 64)
#define REC_SASL_REP(F, L)                                                                         \
	F(U8, ok, 0, 1)                                                                            \
	F(STR, text, 0, 255) /* why not */

/* All channels and listeners are there: serve. The daemon answers with ready. */
#define REC_START(F, L) F(U8, unused, 0, 0)
#define REC_READY(F, L)                                                                            \
	F(STR, note, 0, 255) /* e.g. "key store is locked", shown by gwctl status                  \
			      */

/* Why this daemon cannot start or go on; it exits after this. */
#define REC_FAILED(F, L)                                                                           \
	F(U8, code, 1, 255) /* sysexits.h */                                                       \
	F(STR, text, 1, 511)

/* The channel to this neighbour broke though nobody died: make a new one. */
#define REC_PLUMB_LOST(F, L)                                                                       \
	F(U8, peer, 1, P_MAX - 1)                                                                  \
	F(U16, instance, 0, 63)                                                                    \
	F(U32, serial, 0, UINT32_MAX)

/* New configuration in a sealed memfd; listeners that stay open follow. Old: close. */
#define REC_RELOAD(F, L) F(U32, serial, 0, UINT32_MAX)
#define REC_RELOAD_DONE(F, L)                                                                      \
	F(U32, serial, 0, UINT32_MAX)                                                              \
	F(U8, ok, 0, 1)                                                                            \
	F(STR, text, 0, 500)

/* Finish what is under way, accept nothing new, then exit. */
#define REC_DRAIN(F, L) F(U32, seconds, 0, 3600)

/* Open log files again (SIGUSR1); with the new file when the log is one: the jail hides it. */
#define REC_REOPEN(F, L) F(U8, unused, 0, 0)

/* The sealing key: cryptod leaves it with master in a sealed memfd; a respawned one gets it. */
#define REC_SEAL_KEY(F, L) F(U8, unused, 0, 0)
#define REC_SEAL_DROP(F, L) F(U8, unused, 0, 0)

/* One line for the log; text is escaped where it came from outside, once, by its writer. */
#define REC_LOG_LINE(F, L)                                                                         \
	F(U8, level, 0, 3)                                                                         \
	F(U32, pid, 0, UINT32_MAX) /* of the writer */                                             \
	F(STR, text, 0, 2047)                                                                      \
	F(U64, when, 0, UINT64_MAX) /* ms since the epoch; 0: not known */

/* What a daemon tells about itself. */
#define REC_FACT(F, L)                                                                             \
	F(STR, name, 1, 64)                                                                        \
	F(STR, value, 0, 500)
#define REC_STATUS_REQ(F, L) F(U8, unused, 0, 0)
#define STATUS_FACTS_MAX 256
#define REC_STATUS_REP(F, L) L(fact, facts, 0, STATUS_FACTS_MAX)

/* Control socket: a tool's first message, then what it wants of master. */
#define REC_CTL_HELLO(F, L)                                                                        \
	F(U8, role, P_GWCTL, P_KEYCTL)                                                             \
	F(STR, version, 1, 32)
#define REC_CTL_CONNECT(F, L)                                                                      \
	F(U8, peer, 1, P_MAX - 1)                                                                  \
	F(U16, instance, 0, 63)
#define REC_CTL_CHANNEL(F, L) F(U8, peer, 1, P_MAX - 1)
#define REC_CTL_VERB(F, L) F(U8, verb, 1, 3) /* CTL_* */
#define REC_CTL_REPLY(F, L)                                                                        \
	F(U8, ok, 0, 1)                                                                            \
	F(STR, text, 0, 4000)
#define REC_CTL_STATUS_REQ(F, L) F(U8, unused, 0, 0)
#define REC_CTL_PROC(F, L)                                                                         \
	F(U8, role, 1, P_MAX - 1)                                                                  \
	F(U16, instance, 0, 63)                                                                    \
	F(U32, pid, 0, UINT32_MAX) /* 0: not running */                                            \
	F(U8, state, 0, 3) /* PROC_* */                                                            \
	F(U32, restarts, 0, UINT32_MAX)                                                            \
	F(U64, since, 0, UINT64_MAX) /* seconds since the epoch */                                 \
	F(STR, note, 0, 255) /* what ready said, or how it died last */
#define REC_CTL_STATUS_REP(F, L)                                                                   \
	F(U8, privileged, 0, 1)                                                                    \
	F(U64, started, 0, UINT64_MAX)                                                             \
	F(STR, config, 0, 1024)                                                                    \
	L(ctl_proc, procs, 0, 128)

enum { CTL_RELOAD = 1, CTL_STOP, CTL_REOPEN };
enum { PROC_STARTING, PROC_RUNNING, PROC_BACKOFF, PROC_DRAINING };

#define CORE_RECORDS(R)                                                                            \
	R(boot, REC_BOOT)                                                                          \
	R(plumb, REC_PLUMB)                                                                        \
	R(listener, REC_LISTENER)                                                                  \
	R(config_file, REC_CONFIG_FILE)                                                            \
	R(ticket_key, REC_TICKET_KEY)                                                              \
	R(ticket_keys, REC_TICKET_KEYS)                                                            \
	R(source_req, REC_SOURCE_REQ)                                                              \
	R(source_rep, REC_SOURCE_REP)                                                              \
	R(sasl_req, REC_SASL_REQ)                                                                  \
	R(sasl_rep, REC_SASL_REP)                                                                  \
	R(start, REC_START)                                                                        \
	R(ready, REC_READY)                                                                        \
	R(reload, REC_RELOAD)                                                                      \
	R(reload_done, REC_RELOAD_DONE)                                                            \
	R(drain, REC_DRAIN)                                                                        \
	R(reopen, REC_REOPEN)                                                                      \
	R(seal_key, REC_SEAL_KEY)                                                                  \
	R(seal_drop, REC_SEAL_DROP)                                                                \
	R(failed, REC_FAILED)                                                                      \
	R(plumb_lost, REC_PLUMB_LOST)                                                              \
	R(log_line, REC_LOG_LINE)                                                                  \
	R(fact, REC_FACT)                                                                          \
	R(status_req, REC_STATUS_REQ)                                                              \
	R(status_rep, REC_STATUS_REP)                                                              \
	R(ctl_hello, REC_CTL_HELLO)                                                                \
	R(ctl_connect, REC_CTL_CONNECT)                                                            \
	R(ctl_channel, REC_CTL_CHANNEL)                                                            \
	R(ctl_verb, REC_CTL_VERB)                                                                  \
	R(ctl_reply, REC_CTL_REPLY)                                                                \
	R(ctl_status_req, REC_CTL_STATUS_REQ)                                                      \
	R(ctl_proc, REC_CTL_PROC)                                                                  \
	R(ctl_status_rep, REC_CTL_STATUS_REP)

#define CORE_MSGS(MSG)                                                                             \
	MSG(0x0100, boot, PM(P_MASTER), PM_DAEMONS, FD_ONE)                                        \
	MSG(0x0101, plumb, PM(P_MASTER), PM_DAEMONS, FD_ONE)                                       \
	MSG(0x0102, listener, PM(P_MASTER), PM_PROXIES, FD_ONE)                                    \
	MSG(0x0103, start, PM(P_MASTER), PM_DAEMONS, FD_NONE)                                      \
	MSG(0x0104, ready, PM_DAEMONS, PM(P_MASTER), FD_NONE)                                      \
	MSG(0x0105, reload, PM(P_MASTER), PM_DAEMONS, FD_ONE)                                      \
	MSG(0x0106, reload_done, PM_DAEMONS, PM(P_MASTER), FD_NONE)                                \
	MSG(0x0107, drain, PM(P_MASTER), PM_DAEMONS, FD_NONE)                                      \
	MSG(0x0108, reopen, PM(P_MASTER), PM(P_LOGD), FD_MAYBE)                                    \
	MSG(0x0109, seal_key, PM(P_MASTER) | PM(P_CRYPTOD), PM(P_MASTER) | PM(P_CRYPTOD), FD_ONE)  \
	MSG(0x010a, seal_drop, PM(P_CRYPTOD), PM(P_MASTER), FD_NONE)                               \
	MSG(0x010b, failed, PM_DAEMONS, PM(P_MASTER), FD_NONE)                                     \
	MSG(0x010c, plumb_lost, PM_DAEMONS, PM(P_MASTER), FD_NONE)                                 \
	MSG(0x010d, config_file, PM(P_MASTER),                                                     \
	    PM_PROXIES | PM(P_DNSD) | PM(P_KEYD) | PM(P_DELIVERD), FD_ONE)                         \
	MSG(0x010e, ticket_keys, PM(P_MASTER), PM_PROXIES, FD_NONE)                                \
	MSG(0x0110, log_line, PM_DAEMONS | PM(P_MASTER), PM(P_LOGD), FD_NONE)                      \
	MSG(0x0120, status_req, PM(P_GWCTL) | PM(P_LOGD), PM_DAEMONS, FD_NONE)                     \
	MSG(0x0121, status_rep, PM_DAEMONS, PM(P_GWCTL) | PM(P_LOGD), FD_NONE)                     \
	MSG(0x0130, ctl_hello, PM_TOOLS, PM(P_MASTER), FD_NONE)                                    \
	MSG(0x0131, ctl_connect, PM_TOOLS, PM(P_MASTER), FD_NONE)                                  \
	MSG(0x0132, ctl_channel, PM(P_MASTER), PM_TOOLS, FD_ONE)                                   \
	MSG(0x0133, ctl_verb, PM(P_GWCTL), PM(P_MASTER), FD_NONE)                                  \
	MSG(0x0134, ctl_reply, PM(P_MASTER), PM_TOOLS, FD_NONE)                                    \
	MSG(0x0135, ctl_status_req, PM(P_GWCTL), PM(P_MASTER), FD_NONE)                            \
	MSG(0x0136, ctl_status_rep, PM(P_MASTER), PM(P_GWCTL), FD_NONE)                            \
	MSG(0x0140, source_req, PM_PROXIES, PM(P_MASTER), FD_NONE)                                 \
	MSG(0x0141, source_rep, PM(P_MASTER), PM_PROXIES, FD_MAYBE)                                \
	MSG(0x0142, sasl_req, PM(P_SMTPD), PM(P_MASTER), FD_NONE)                                  \
	MSG(0x0143, sasl_rep, PM(P_MASTER), PM(P_SMTPD), FD_MAYBE)

CORE_RECORDS(REC_DECLARE)

#endif
