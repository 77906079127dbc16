/* cnames.c - names that C programs have already: an object that defines exp, or a header called time.h, would replace
 * the C library's for everything that is built with them. */
#include "ir.h"

#include <string.h>

static const char functions[] =
#include "libc_names.def"
;

/* The headers of C23, POSIX and Linux that have no folder before their name, and dcc.h. */
static const char headers[] =
	" aio.h aliases.h alloca.h ar.h argp.h argz.h arpa.h assert.h byteswap.h complex.h cpio.h crypt.h ctype.h dcc.h devctl.h "
	"dirent.h dlfcn.h elf.h endian.h envz.h err.h errno.h error.h execinfo.h fcntl.h features.h fenv.h float.h fmtmsg.h "
	"fnmatch.h fstab.h fts.h ftw.h getopt.h glob.h gnu-versions.h grp.h iconv.h ifaddrs.h inttypes.h iso646.h langinfo.h "
	"lastlog.h libgen.h libintl.h limits.h link.h locale.h malloc.h math.h mcheck.h memory.h mntent.h monetary.h mqueue.h "
	"ndbm.h netdb.h nl_types.h nss.h obstack.h paths.h poll.h printf.h proc_service.h pthread.h pty.h pwd.h re_comp.h regex.h "
	"regexp.h resolv.h sched.h search.h semaphore.h setjmp.h sgtty.h shadow.h signal.h spawn.h stab.h stdalign.h stdarg.h "
	"stdatomic.h stdbit.h stdbool.h stdc-predef.h stdckdint.h stddef.h stdint.h stdio.h stdio_ext.h stdlib.h stdnoreturn.h "
	"string.h strings.h stropts.h syscall.h sysexits.h syslog.h tar.h termio.h termios.h tgmath.h threads.h time.h ttyent.h "
	"uchar.h ucontext.h ulimit.h unistd.h utime.h utmp.h utmpx.h values.h wait.h wchar.h wctype.h wordexp.h ";

/* Words of the list stand between spaces. */
static bool is_listed(const char *list, const char *word)
{
	size_t n = strlen(word);
	for (const char *p = list; n && (p = strstr(p, word)); p++)
		if (p[-1] == ' ' && p[n] == ' ' && !strchr(word, ' '))
			return true;
	return false;
}

bool is_libc_name(const char *name)
{
	return is_listed(functions, name);
}

bool is_system_header(const char *file)
{
	return is_listed(headers, file);
}
