#include "filterd/dispatch.h"

int
main(int argc, char *argv[])
{
	return proc_main(&filterd, argc, argv);
}
