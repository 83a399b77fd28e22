#include "pop3d/pop3d.h"

int
main(int argc, char *argv[])
{
	return proc_main(&pop3d, argc, argv);
}
