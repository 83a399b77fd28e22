#include "policyd/policyd.h"

int
main(int argc, char *argv[])
{
	return proc_main(&policyd, argc, argv);
}
