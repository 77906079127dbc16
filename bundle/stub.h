/* stub.h - functions of a library that is only linked against.  The version is that under which glibc for x86-64 has a function first
 * with the meaning of today, and with it the oldest glibc that a shared object asks for which uses it. */
#define FUNCTION(name, version)                                                                                        \
	__asm__(".text\n.globl stub_" #name "\n.type stub_" #name ", @function\nstub_" #name ": ret\n"                   \
		".symver stub_" #name ", " #name "@@@" version);
