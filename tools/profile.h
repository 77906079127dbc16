/* profile.h - dcc-run --profile. */
#ifndef DCC_PROFILE_H
#define DCC_PROFILE_H

#include "program.h"

/* Runs the program step by step for some seconds, three times at least, and prints a table of its steps and one of its
 * kinds of kernels, slowest first.  Of machine code only, and of a call that has run.  json: a file for dcc --profile-data, or
 * NULL; node_data: the beginning of the names of files for Model Explorer, or NULL. */
void profile_call(FILE *, Call *, double seconds, const char *json, const char *node_data);

#endif
