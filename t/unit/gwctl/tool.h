#ifndef UNIT_GWCTL_TOOL_H
#define UNIT_GWCTL_TOOL_H

#include "gwctl/gwctl.h"
#include "t/unit/unit.h"

/* gwctl run in this process, in a folder of its own. */
#define TOOL_WORDS 40
#define TOOL_TEXT (256 * 1024)

extern char tool_dir[64];
extern char tool_out[TOOL_TEXT], tool_err[TOOL_TEXT]; /* of the last run */

void tool_begin(void); /* the current folder becomes tool_dir */
void tool_end(void);

/* gwctl with these words (NULL at the end), e.g. tool("-c", "x", "status", NULL): exit code. */
int tool(const char *first, ...) __attribute__((sentinel));

/* The contents of a file in the folder. */
const char *tool_read(const char *name);
void tool_write(const char *name, const char *text);

/*
 * A gateway for one run of gwctl: a child that serves run/control of the folder, plays master,
 * and the daemon that is asked for, most often policyd, with what answer says to each message.
 * gateway_end waits for it.
 */
typedef void (*gateway_fn)(struct ipc *daemon, const struct ipc_msg *m);
void gateway_begin(gateway_fn answer, unsigned runs);
void gateway_end(void);

#endif
