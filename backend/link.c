/* link.c - from an object to a shared object: runs the C compiler as the linker, or lld where it is inside (DCC_BUNDLE) and
 * the model is all that is linked.
 *
 * The result holds the model and all of libdcc.a, so it needs nothing but libc, and exports NAME_model, NAME_run,
 * NAME_workspace_size and the dcc_ functions.  -Bsymbolic: the model calls the library inside, also in a program
 * that has its own.  Object and result lie in a temporary folder of the user's own next to the output, removed on
 * every error, and the result is renamed.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backend.h"

extern char **environ;
/* bundle/lld.cpp: whether it linked; what hinders it is at stderr.  NULL: lld is not inside. */
extern bool link_with_lld(int argc, const char *const *argv) __attribute__((weak));

/* Where libdcc.a lies, from the folder of the dcc program: build folder or wheel, then installations.  CMakeLists.txt
 * gives the way from the program to the library, which distributions choose. */
static const char *const library_places[] = {"libdcc.a", DCC_LIBRARY_PLACE "/libdcc.a", "../lib/libdcc.a"};

/* Folder of the running program, with a slash at its end. */
static const char *own_folder(Arena *arena)
{
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
	if (n < 0)
		fatal_at(NULL, "/proc/self/exe cannot be read: %s", strerror(errno));
	path[n] = 0;
	return arena_printf(arena, "%.*s", (int)(base_name(path) - path), path);
}

static const char *find_library(Arena *arena)
{
	const char *folder = own_folder(arena);
	for (size_t i = 0; i < sizeof library_places / sizeof *library_places; i++) {
		const char *path = arena_printf(arena, "%s%s", folder, library_places[i]);
		if (!access(path, R_OK))
			return path;
	}
	fatal_at(NULL, "libdcc.a is neither in %s nor in %s", folder,
		 arena_printf(arena, "%s" DCC_LIBRARY_PLACE, folder));
}

const char *plain_path(Arena *arena, const char *path)
{
	return *path == '-' || *path == '@' ? arena_printf(arena, "./%s", path) : arena_strdup(arena, path);
}

/* The user's path in the message, before the temporary names turn up in others. */
static void check_writable(Arena *arena, const char *path, const Loc *loc)
{
	const char *slash = strrchr(path, '/');
	struct stat st;
	if (!strcmp(path, "-") || (!stat(path, &st) && !S_ISREG(st.st_mode)))
		fatal_at(loc, "cannot write: a shared object wants a regular file");
	if (arena_maps(arena, path))
		fatal_at(loc, "cannot write: the model's data are in this file");
	if (access(slash ? arena_printf(arena, "%.*s", (int)(slash + 1 - path), path) : ".", W_OK))
		fatal_at(loc, "cannot write: %s", strerror(errno));
}

/* A name in the folder of `path`. */
static const char *beside(Arena *arena, const char *path, const char *name)
{
	return arena_printf(arena, "%.*s%s", (int)(base_name(path) - path), path, name);
}

static pid_t start_program(const char *const *argv, const Loc *loc)
{
	pid_t pid;
	int error = posix_spawnp(&pid, argv[0], NULL, NULL, (char *const *)argv, environ);
	if (error == ENOENT)
		fatal_at(loc, "cannot be linked: there is no program '%s'; install a C compiler, or name one with --linker=",
			 argv[0]);
	if (error)
		fatal_at(loc, "cannot be linked: '%s' cannot be started: %s", argv[0], strerror(error));
	return pid;
}

/* In a process of its own: lld ends by exit() where it does not go on, and what it takes of memory goes with it.  If dcc is ended,
 * so is lld, by a signal, on which it removes the file that it writes. */
static pid_t start_lld(int argc, const char *const *argv, const Loc *loc)
{
	pid_t pid = fork();
	if (pid < 0)
		fatal_at(loc, "cannot be linked: no process for '%s': %s", argv[0], strerror(errno));
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		_exit(!link_with_lld(argc, argv));
	}
	return pid;
}

/* The caller's diagnostics go to the same stderr as the linker's, before them. */
static void run_linker(bool lld, int argc, const char *const *argv, const Loc *loc)
{
	int status;
	fflush(NULL);
	hide_progress();
	pid_t pid = lld ? start_lld(argc, argv, loc) : start_program(argv, loc);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			fatal_at(loc, "cannot be linked: waiting for '%s': %s", argv[0], strerror(errno));
	if (WIFSIGNALED(status))
		fatal_at(loc, "cannot be linked: '%s' was ended by signal %d", argv[0], WTERMSIG(status));
	if (WEXITSTATUS(status))
		fatal_at(loc, "cannot be linked: '%s' failed with status %d", argv[0], WEXITSTATUS(status));
}

void emit_shared(LModule *lm, const EmitOptions *opt, const char *linker, int nlink, const char *const *link,
                 const char *path)
{
	Arena *arena = lm->m->arena;
	const Loc loc = {.file = arena_strdup(arena, path)};
	check_writable(arena, path, &loc);
	const char *library = find_library(arena), *plain = plain_path(arena, path);
	const char *folder = make_temporary_folder(arena, plain);
	if (!folder)
		fatal_at(&loc, "cannot write: %s", strerror(errno));
	const char *object = arena_printf(arena, "%s/model.o", folder);
	const char *linked = arena_printf(arena, "%s/model.so", folder);
	const char *soname = arena_printf(arena, "-soname=%s", base_name(plain));
	bool lld = link_with_lld && !linker && !nlink; /* what the user links may want libraries, which the C compiler knows */
	const char *const with_cc[] = {
		linker ? linker : "cc", "-shared", "-o", linked, "-Xlinker", "-Bsymbolic", "-Xlinker", soname, object,
		"-Xlinker", "--whole-archive", library, "-Xlinker", "--no-whole-archive", "-pthread",
	};
	const char *const with_lld[] = {
		"ld.lld", "-shared", "-o", linked, "-Bsymbolic", soname, "--eh-frame-hdr", object,
		"--whole-archive", library, beside(arena, library, "dcc-link/libstart.a"), "--no-whole-archive",
		beside(arena, library, "dcc-link/libpthread.so"), beside(arena, library, "dcc-link/libc.so"),
	};
	int first = lld ? sizeof with_lld / sizeof *with_lld : sizeof with_cc / sizeof *with_cc;
	const char **argv = arena_alloc(arena, ((size_t)first + (size_t)nlink + 1) * sizeof *argv);
	memcpy(argv, lld ? with_lld : with_cc, (size_t)first * sizeof *argv);
	for (int i = 0; i < nlink; i++)
		argv[first + i] = link[i];
	diag_remove_on_error(object);
	diag_remove_on_error(linked);
	emit_object(lm, opt, object);
	for (int i = 0; opt->verbose && argv[i]; i++)
		fprintf(stderr, "%s%s%s", i ? " " : "", safe_name(arena, argv[i]), argv[i + 1] ? "" : "\n");
	run_linker(lld, first + nlink, argv, &loc);
	if (rename(linked, path))
		fatal_at(&loc, "cannot write: %s", strerror(errno));
	unlink(object);
	rmdir(folder);
	diag_keep(linked);
	diag_keep(object);
	diag_keep(folder);
}
