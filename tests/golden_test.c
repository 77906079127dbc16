/* golden_test.c - golden tests of the passes: tests/golden/NAME.ir holds IR text, `---`, and what dcc makes of it.
 *
 * The first half opens with comments: what the case shows, and `; run: OPTIONS` for dcc.  The passes run with
 * --verify-passes, so the values of random inputs are compared as well as the text; and the second half, read again,
 * must print as itself.  In NAME.err.ir the second half is the exact message, and dcc must fail.
 *
 * dcc is a part of this program and runs in a child of it: to start it anew for each of some 300 runs costs more than
 * the runs.
 * usage: golden_test [--update] [FILE...]      from the folder of the sources; --update rewrites the second halves: review
 *        the diff
 */
#define main dcc_main
#include "../tools/dcc.c"
#undef main

#include <glob.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "test.h"

typedef struct Said { /* what dcc wrote, and its exit status */
	char *out, *err;
	int status;
} Said;

static char folder[] = "/tmp/dcc-golden-XXXXXX"; /* dcc runs there */

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(2);
}

static char *take_text(int fd)
{
	size_t size = (size_t)lseek(fd, 0, SEEK_END);
	char *s = malloc(size + 1);

	must(s && pread(fd, s, size, 0) == (ssize_t)size, "golden");
	s[size] = 0;
	close(fd);
	return s;
}

static void put_text(const char *path, const char *head, const char *tail)
{
	FILE *f = fopen(path, "w");
	must(f && fputs(head, f) >= 0 && fputs(tail, f) >= 0 && !fclose(f), path);
}

/* dcc with the words of `options`, then those of `more`, on `file`. */
static Said run_dcc(const char *options, const char *more, const char *file)
{
	int out = memfd_create("out", 0), err = memfd_create("err", 0), status, argc = 0;
	char *argv[32] = {[0] = "dcc"}, words[600], *save = NULL;

	must(out >= 0 && err >= 0, "golden");
	fflush(NULL);
	pid_t child = fork();
	if (!child) {
		must(!chdir(folder) && dup2(out, 1) == 1 && dup2(err, 2) == 2, folder);
		snprintf(words, sizeof words, "%s %s", options, more);
		for (char *w = strtok_r(words, " ", &save); w && argc < 29; w = strtok_r(NULL, " ", &save))
			argv[++argc] = w;
		argv[++argc] = (char *)file;
		exit(dcc_main(argc + 1, argv));
	}
	must(child > 0 && waitpid(child, &status, 0) == child, "fork");
	return (Said){take_text(out), take_text(err), WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status)};
}

static void free_said(Said s)
{
	free(s.out);
	free(s.err);
}

static bool wrong(const char *file, const char *what, const char *more)
{
	fprintf(stderr, "%s: %s%s%s\n", file, what, *more ? ":\n" : "", more);
	return false;
}

static bool same(const char *file, const char *how, const char *expected, const char *got)
{
	char command[200];

	if (!strcmp(expected, got))
		return true;
	fprintf(stderr, "%s: %s:\n", file, how);
	must(!chdir(folder), folder);
	put_text("expected", expected, "");
	put_text("got", got, "");
	snprintf(command, sizeof command, "diff -u expected got >&2");
	if (system(command) < 0)
		perror("diff");
	return false;
}

/* The options of the first half; NULL: it has none. */
static char *options_of(const char *text)
{
	static const char mark[] = "\n; run: ";
	const char *at = strstr(text, mark);
	return at ? strndup(at + strlen(mark), strcspn(at + strlen(mark), "\n")) : NULL;
}

static bool check_halves(const char *file, const char *path, char *first, const char *second, bool update)
{
	bool fails = ends_with(file, ".err.ir");
	char *options = options_of(first);

	if (!options)
		return wrong(file, "no line '; run: OPTIONS'", "");
	put_text(file, first, "");
	Said s = run_dcc(options, "--verify-passes --emit=ir -o -", file);
	const char *got = fails ? s.err : s.out;
	bool good = s.status == fails || wrong(file, "another exit status", s.err);
	if (good && !fails && strstr(s.err, "verify-passes: skipped"))
		good = wrong(file, "not verified", s.err);
	if (good && update && strcmp(second, got)) {
		strcat(first, "---\n"); /* its place */
		put_text(path, first, got);
		printf("%s: updated\n", file);
	} else if (good && !update) {
		good = same(file, options, second, got);
		if (good && !fails && !strstr(options, "--report")) {
			put_text(file, second, "");
			Said again = run_dcc("--emit=ir --stop-after=import -o -", "", file);
			good = same(file, "read and printed again", second, again.out) && !again.status;
			free_said(again);
		}
	}
	free_said(s);
	free(options);
	return good;
}

static void check_file(const char *path, bool update)
{
	static const char mark[] = "\n---\n";
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	must(fd >= 0, path);
	char *text = take_text(fd), *cut = strstr(text, mark);

	test_checks++;
	if (cut) {
		char *second = strdup(cut + strlen(mark));
		cut[1] = 0;
		test_failures += !check_halves(base_name(path), path, text, second, update);
		free(second);
	} else {
		test_failures++;
		wrong(base_name(path), "no line '---'", "");
	}
	free(text);
}

int main(int argc, char **argv)
{
	glob_t found = {.gl_offs = 0};
	bool update = argc > 1 && !strcmp(argv[1], "--update");
	char from[4096];

	if (argc > 1 + update) {
		found.gl_pathv = argv + 1 + update;
		found.gl_pathc = (size_t)(argc - 1 - update);
	} else {
		must(!glob("tests/golden/*.ir", 0, NULL, &found), "tests/golden");
	}
	must(mkdtemp(folder) && getcwd(from, sizeof from), folder);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		char *path = realpath(found.gl_pathv[i], NULL);
		must(path, found.gl_pathv[i]);
		must(!chdir(folder), folder);
		check_file(path, update);
		unlink(base_name(path));
		must(!chdir(from), from);
		free(path);
	}
	must(!chdir(folder), folder);
	unlink("expected");
	unlink("got");
	rmdir(folder);
	return test_end("golden");
}
