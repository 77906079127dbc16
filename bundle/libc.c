/* libc.c - what models and libdcc.a use of libc.so.6, for lld: nothing newer than glibc 2.16, whatever the machine has. */
#include "stub.h"

FUNCTION(calloc, "GLIBC_2.2.5")
FUNCTION(free, "GLIBC_2.2.5")
FUNCTION(memmove, "GLIBC_2.2.5")
FUNCTION(memset, "GLIBC_2.2.5")
FUNCTION(sigfillset, "GLIBC_2.2.5")
FUNCTION(strcmp, "GLIBC_2.2.5")
FUNCTION(strlen, "GLIBC_2.2.5")
FUNCTION(syscall, "GLIBC_2.2.5")
FUNCTION(sysconf, "GLIBC_2.2.5")
FUNCTION(__cxa_finalize, "GLIBC_2.2.5")
FUNCTION(__register_atfork, "GLIBC_2.3.2")
FUNCTION(sched_getaffinity, "GLIBC_2.3.4")
FUNCTION(__sched_cpucount, "GLIBC_2.6")
FUNCTION(memcpy, "GLIBC_2.14")
FUNCTION(aligned_alloc, "GLIBC_2.16")
