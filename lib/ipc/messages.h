#ifndef IPC_MESSAGES_H
#define IPC_MESSAGES_H

#include "ipc/ipc.h"
#include "ipc/msg_admin.h"
#include "ipc/msg_anvil.h"
#include "ipc/msg_core.h"
#include "ipc/msg_crypto.h"
#include "ipc/msg_dns.h"
#include "ipc/msg_filter.h"
#include "ipc/msg_keyd.h"
#include "ipc/msg_keys.h"
#include "ipc/msg_log.h"
#include "ipc/msg_policy.h"
#include "ipc/msg_queue.h"

/* MSG(number, record, senders, receivers, descriptor), in ascending numbers. */
#define IPC_ALL(MSG)                                                                               \
	CORE_MSGS(MSG)                                                                             \
	DNS_MSGS(MSG)                                                                              \
	POLICY_MSGS(MSG)                                                                           \
	CRYPTO_MSGS(MSG)                                                                           \
	FILTER_MSGS(MSG)                                                                           \
	KEYS_MSGS(MSG)                                                                             \
	ADMIN_MSGS(MSG)                                                                            \
	KEYD_MSGS(MSG)                                                                             \
	QUEUE_MSGS(MSG)                                                                            \
	ANVIL_MSGS(MSG)                                                                            \
	LOG_MSGS(MSG)

#define IPC_ENUM(number, record, from, to, fd) M_##record = number,
enum ipc_type { IPC_ALL(IPC_ENUM) };

#endif
