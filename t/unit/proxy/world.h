#ifndef UNIT_PROXY_WORLD_H
#define UNIT_PROXY_WORLD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "proc/proc.h"

/*
 * What lib/proxy asks of lib/proc, played by the test: a configuration and its files, a loop, and
 * neighbours that answer when the test says so.
 */

/* A question to a neighbour, not answered yet. */
struct proc_req {
	TAILQ_ENTRY(proc_req) next;
	enum proc_id peer;
	uint16_t type;
	void *body; /* struct of the message */
	struct buf octets; /* that it points into */
	chan_reply_fn fn;
	void *arg;
};

/* A socket that master is asked for. */
struct proc_source {
	char connector[65];
	uint8_t ip[16];
	size_t n;
	proc_source_fn fn;
	void *arg;
};

extern bool world_cryptod_away; /* it has no channel */
extern bool world_refuses; /* no question can be asked */
extern struct proc_source *world_source; /* NULL: none is asked for */

/* An empty configuration but for this text; the daemon is pop3d. */
void world_begin(const char *config);
void world_end(void);

/* A reload: the other configuration counts from now on. */
void world_conf(const char *config);
const struct conf_connector *world_connector(const char *name);

/* What proc_file gives for this path; text NULL: nothing. */
void world_file(const char *path, const char *text);

/* How many questions of this type wait, and the oldest of them (there must be one). */
unsigned world_count(uint16_t type);
struct proc_req *world_asked(uint16_t type);

/* Answer the oldest one of this type with the body of a message, or with an error. */
void world_answer(uint16_t type, const void *body);
void world_fail(uint16_t type, int error);

/* Master's answer: fd, or -1 and why. */
void world_give_source(int fd, const char *why);

/* Run the loop until *n reaches want (10 seconds at most, then the test fails), or for ms. */
void world_until(const unsigned *n, unsigned want);
void world_run(unsigned ms);

/* Clocks go on by that; timers do not notice. */
void world_skip(unsigned seconds);

/* The last fact of this name that a status told, or NULL; world_facts_clear forgets all. */
const char *world_fact(const char *name);
void world_facts_clear(void);

#endif
