#include "logd/logd.h"

const char *
line_name(int postfix_names, enum proc_id who)
{
	if (postfix_names && who == P_QUEUED)
		return "qmgr";
	if (postfix_names && who == P_DELIVERD)
		return "smtp";
	return proc_name(who);
}

/* Postfix writes each of these from one program; some who count look at that first. */
const char *
event_name(int postfix_names, enum proc_id who, unsigned kind)
{
	static const char *const names[EV_MAX] = {
	    [EV_MESSAGE] = "cleanup",
	    [EV_QUEUED] = "qmgr",
	    [EV_EXPIRED] = "qmgr",
	    [EV_REMOVED] = "qmgr",
	    [EV_DELIVERY] = "smtp",
	    [EV_NOTICE] = "bounce",
	};

	if (postfix_names && kind < EV_MAX && names[kind] != NULL)
		return names[kind];
	return line_name(postfix_names, who);
}
