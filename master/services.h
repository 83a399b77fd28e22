#ifndef MASTER_SERVICES_H
#define MASTER_SERVICES_H

#include <stddef.h>

#include "conf/conf.h"
#include "ipc/ipc.h"

/* The processes of a gateway and who may talk to whom: nothing else in master knows. */

/* Folders of struct conf_node. */
enum service_base { IN_STATE, IN_SPOOL, IN_RUN };

struct service_dir {
	enum service_base base;
	const char *name; /* NULL ends a list */
};

#define SERVICE_DIRS 3 /* a jail, another one, the end */

enum service_stage {
	STAGE_BACK, /* started first; the others need them */
	STAGE_FRONT, /* gets its listeners when all of the back are ready; drained first */
	STAGE_LAST /* drained last: it writes the log */
};

struct service {
	enum proc_id role; /* the program has its name */
	enum service_stage stage;
	const char *user;
	struct service_dir dirs[SERVICE_DIRS]; /* the first is the jail; all belong to the user */
	int shared_jail; /* the jail is empty and belongs to root */
};

/* In the order of starting; *n receives how many. */
const struct service *services(size_t *n);

/* How many processes of it this configuration wants: 0 to 64. */
unsigned service_instances(const struct service *s, const struct conf *c);

/* Whether it takes the listeners of this connector. */
int service_listens(const struct service *s, const struct conf_connector *k);

/* Whether there is a channel between every process of a and every process of b; symmetric. */
int services_edge(enum proc_id a, enum proc_id b);

/* Whether a tool may have a channel to this role: it has at least one message for it. */
int services_tool(enum proc_id tool, enum proc_id role);

/* Path of a folder; 0, or -1 with errno ENAMETOOLONG. */
int service_path(char *out, size_t outsz, const struct service_dir *d, const struct conf *c);

#endif
