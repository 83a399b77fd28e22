#ifndef DELIVERD_ROUTE_TEST_H
#define DELIVERD_ROUTE_TEST_H

#include "ipc/messages.h"
#include "proc/chan.h"

/* gwctl route test: where mail of a domain would go, and how; nobody is connected to. */
#define ROUTE_TESTS_MAX 16 /* at once; further ones are refused */

void route_test_begin(struct chan *c, struct ipc_msg *m);
void route_test_forget(const struct chan *c); /* the asker is gone */

#endif
