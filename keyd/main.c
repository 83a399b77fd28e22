#include "keyd/keyd.h"

int
main(int argc, char *argv[])
{
	return proc_main(&keyd, argc, argv);
}
