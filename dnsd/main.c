#include "dnsd/dnsd.h"

int
main(int argc, char *argv[])
{
	return proc_main(&dnsd, argc, argv);
}
