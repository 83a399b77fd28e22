#ifndef LINT_MACROS_H
#define LINT_MACROS_H

/* What cppcheck needs to know of <sys/tree.h>, whose real text makes it see ghosts. */
#define RB_FOREACH_SAFE(x, name, head, y)                                                          \
	for ((x) = lint_first(head); (x) != NULL && ((y) = lint_next(x), 1); (x) = (y))
#define RB_FOREACH(x, name, head) for ((x) = lint_first(head); (x) != NULL; (x) = lint_next(x))
#define RB_GENERATE_STATIC(name, type, field, cmp)
#define RB_PROTOTYPE_STATIC(name, type, field, cmp)

#endif
