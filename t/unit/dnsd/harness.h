#ifndef UNIT_DNSD_HARNESS_H
#define UNIT_DNSD_HARNESS_H

/* dnsd itself, pop3d and deliverd that ask it, and a libunbound that answers what a test wants. */

#include <stddef.h>
#include <stdint.h>

#include "dnsd/dnsd.h"
#include "t/unit/unit.h"

#define SHA2_32 "9439b8c47f32cf46c9abf0be67ccafb5c1e3217145e54e869251b31c388da8ed"
#define TEST_DS "test. IN DS 1 13 2 " SHA2_32
#define QUESTIONS 5000

enum { INSECURE, BOGUS, SECURE }; /* what ub_event_callback_type gets */

struct ub_ctx {
	char anchors[4][200], server[100];
	unsigned nanchors;
};

struct question {
	char name[256];
	int type;
	void *arg;
	void (*fn)(void *, int, void *, int, int, char *, int); /* ub_event_callback_type */
};

extern struct question questions[QUESTIONS]; /* that dnsd waits for */
extern unsigned nquestions;
extern struct ub_ctx *current;
extern unsigned ncontexts;

extern struct conf conf;
extern struct netaddr server;
extern struct ipc pop3d, deliverd;
extern char anchor_path[];

void set_up(void);
void tear_down(void);
void turn(void); /* of dnsd's loop */
struct proc_env *env(void);

/* The files of the next start or reload. */
void stage(const char *path, const char *text);

/* fn: dnsd.start or dnsd.reload, with what was staged. */
int load(int (*fn)(const struct proc_env *, struct err *), struct err *e);

/* libunbound's answer to the question of this type; it must be there. */
void resolve(int type, int rcode, const uint8_t *packet, size_t n, int sec, const char *why);

/* A message: none of its records yet, then one more each time. Its octets, *n receives how many. */
void packet_empty(void);
void packet_add(unsigned type, const char *owner, const void *data, size_t len);
const uint8_t *packet(size_t *n);

/* A name as it stands in a message, behind "before" octets of data; how many octets in all. */
size_t wire(uint8_t *out, const void *data, size_t before, const char *name);

/* Answer with the message that was made, or with one that has one record, or none. */
void found_packet(int type, int sec);
void found(int type, const void *data, size_t len, int sec);

/* Questions of pop3d. */
void ask(uint64_t id, const char *name);
void ask_tlsa(uint64_t id, const char *name);
void ask_of(struct ipc *who, uint16_t type, uint64_t id, const void *body);

int has_answer(void);
int has_answer_of(struct ipc *who);

/*
 * dnsd's answer to id: "status secure count: text" of addresses and TLSA records, with the first
 * record's data; "status ... : text" of the others.
 */
const char *answer(uint64_t id);
const char *answer_of(struct ipc *who, uint64_t id);

#define IS(got, want) ck_assert_str_eq(got, want)

#endif
