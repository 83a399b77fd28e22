#include "queued/queued.h"

int
main(int argc, char *argv[])
{
	return proc_main(&queued, argc, argv);
}
