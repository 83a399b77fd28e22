#ifndef PROC_LOGFILE_H
#define PROC_LOGFILE_H

#include <stdint.h>

/*
 * Open a log file for appending, made with mode 0640 if it is not there: logd does at its start,
 * master when the file was rotated.  A symbolic link or anything but a regular file is refused.
 * With root it is given to uid; its group stays if it is not root's.
 *
 * Returns the descriptor, or -1 with errno.
 */
int log_file_open(const char *path, uint32_t uid, uint32_t gid);

#endif
