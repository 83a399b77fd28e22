#include "deliverd/deliverd.h"

int
main(int argc, char *argv[])
{
	return proc_main(&deliverd, argc, argv);
}
