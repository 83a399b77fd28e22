#include "ipc/messages.h"

/* The records of every protocol, and the one table. */
CORE_RECORDS(REC_DEFINE)
DNS_RECORDS(REC_DEFINE)
POLICY_RECORDS(REC_DEFINE)
CRYPTO_RECORDS(REC_DEFINE)
FILTER_RECORDS(REC_DEFINE)
KEYS_RECORDS(REC_DEFINE)
ADMIN_RECORDS(REC_DEFINE)
KEYD_RECORDS(REC_DEFINE)
QUEUE_RECORDS(REC_DEFINE)
ANVIL_RECORDS(REC_DEFINE)
LOG_RECORDS(REC_DEFINE)

#define IPC_ROW(number, record, from, to, fd) {number, #record, &rec_##record, from, to, fd},

static const struct ipc_msgdef messages[] = {IPC_ALL(IPC_ROW)};

const struct ipc_msgdef *
ipc_messages(size_t *n)
{
	*n = sizeof messages / sizeof messages[0];
	return messages;
}

const struct ipc_msgdef *
ipc_message(uint16_t type)
{
	size_t lo = 0, hi = sizeof messages / sizeof messages[0], mid;

	while (lo < hi) {
		mid = (lo + hi) / 2;
		if (messages[mid].type == type)
			return &messages[mid];
		if (messages[mid].type < type)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

int
ipc_allowed(const struct ipc_msgdef *d, enum proc_id from, enum proc_id to)
{
	return (d->from & PM(from)) != 0 && (d->to & PM(to)) != 0;
}

const char *
proc_name(enum proc_id p)
{
	static const char *const names[P_MAX] = {
	    [P_NONE] = "?",
	    [P_MASTER] = "master",
	    [P_SMTPD] = "smtpd",
	    [P_POP3D] = "pop3d",
	    [P_IMAPD] = "imapd",
	    [P_FILTERD] = "filterd",
	    [P_ZYGOTE] = "zygote",
	    [P_WORKER] = "worker",
	    [P_CRYPTOD] = "cryptod",
	    [P_POLICYD] = "policyd",
	    [P_DNSD] = "dnsd",
	    [P_LOGD] = "logd",
	    [P_KEYD] = "keyd",
	    [P_QUEUED] = "queued",
	    [P_DELIVERD] = "deliverd",
	    [P_ANVILD] = "anvild",
	    [P_GWCTL] = "gwctl",
	    [P_KEYCTL] = "keyctl",
	};

	return (unsigned)p < P_MAX ? names[p] : "?";
}

const char *
key_use_name(unsigned use)
{
	static const char *const names[USE_MAX] = {
	    [USE_CERTIFY] = "certify",
	    [USE_SIGN] = "sign",
	    [USE_DECRYPT] = "decrypt",
	    [USE_TLS] = "tls",
	    [USE_DKIM] = "dkim",
	    [USE_CA] = "ca",
	};

	return use > 0 && use < USE_MAX ? names[use] : "?";
}
