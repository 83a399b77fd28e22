#include "smtpd/smtpd.h"

int
main(int argc, char *argv[])
{
	return proc_main(&smtpd, argc, argv);
}
