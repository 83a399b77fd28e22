#include "cryptod/daemon.h"

int
main(int argc, char *argv[])
{
	return proc_main(&cryptod_proc, argc, argv);
}
