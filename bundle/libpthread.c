/* libpthread.c - the same of libpthread.so.0.  From glibc 2.34 on that one is empty, and libc.so.6 has these under the same versions. */
#include "stub.h"

FUNCTION(pthread_create, "GLIBC_2.2.5")
FUNCTION(pthread_join, "GLIBC_2.2.5")
FUNCTION(pthread_once, "GLIBC_2.2.5")
FUNCTION(pthread_sigmask, "GLIBC_2.2.5")
