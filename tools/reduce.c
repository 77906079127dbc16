/* reduce.c - shrinks a failing model by delta debugging on the tensor IR.
 *
 * How: a Plan says what to leave out of the current module, which without() makes (rebuild.c).  A candidate on which the command
 * fails as it did at first becomes the current module.  Every kind of thing (nodes, outputs, constants ...) is left out in halves
 * first, then in ever smaller runs, down to single ones; all kinds are repeated until nothing more goes.
 *
 * Why here and not among the passes: it runs a command, writes files and never goes on to code, so it belongs to the
 * driver.
 *
 * Ends: no plan adds operands, big constants or symbols; every accepted one has less of something.
 * The first module stays alive to the end: constants of all candidates point into it or into the reducer's arena.
 */
#include "reduce.h"
#include "rebuild.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* ---- the command ------------------------------------------------------------------------------------------------ */

static char *command_line(Arena *a, const char *command, const char *path)
{
	char *line = arena_strdup(a, "");
	const char *from = command, *at;
	for (; (at = strstr(from, "{}")); from = at + 2)
		line = arena_printf(a, "%s%.*s'%s'", line, (int)(at - from), from, path);
	return from == command ? arena_printf(a, "%s '%s'", command, path) : arena_printf(a, "%s%s", line, from);
}

static int run_command(const Reducer *r)
{
	Arena *a = new_arena();
	char *argv[] = {"sh", "-c", command_line(a, r->command, r->path), NULL};
	posix_spawn_file_actions_t files;
	pid_t pid;
	int status;
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_adddup2(&files, 1, 2);
	int error = posix_spawn(&pid, "/bin/sh", &files, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&files);
	free_arena(a);
	if (error)
		fatal_at(NULL, "--reduce: cannot run sh: %s", strerror(error));
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			fatal_at(NULL, "--reduce: %s", strerror(errno));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static bool same_hash(const void *item, const void *key)
{
	(void)item, (void)key;
	return true;
}

/* Every text is tried once. */
static bool is_new(Reducer *r, Module *m)
{
	char *text = module_text(m);
	uint64_t hash = hash_bytes(text, strlen(text), 0);
	free(text);
	if (table_find(&r->tried, hash, same_hash, NULL))
		return false;
	table_add(r->arena, &r->tried, hash, r); /* the hash is all that counts */
	return true;
}

static void write_best(const Reducer *r)
{
	if (r->data)
		unlink(r->data); /* of a larger candidate */
	write_module(r->output, r->now);
}

/* True if the command still fails without what the plan names, which is then gone for good. */
static bool try_plan(Reducer *r, Plan p)
{
	Module *m = without(r, &p);
	if (!m || !is_new(r, m)) {
		free_module(m);
		return false;
	}
	write_module(r->path, m);
	r->ntest++;
	if (run_command(r) != r->want) {
		free_module(m);
		return false;
	}
	if (r->now != r->first)
		free_module(r->now);
	r->now = m;
	count_nodes(r);
	write_best(r);
	return true;
}

/* ---- strategies ------------------------------------------------------------------------------------------------- */

static int count_things(const Reducer *r, Kind kind)
{
	switch (kind) {
	case DropCut: case DropBypass: return r->nnode;
	case DropOutput: return r->now->main->body.nyield;
	case DropConst: case DropSplat: return r->now->nconst;
	case DropCheck: return r->ncheck;
	case NKinds: break;
	}
	bug("kind %d", kind);
}

/* Runs of halving length, from the end, where most of a graph hangs on little. */
static bool drop_runs(Reducer *r, Kind kind)
{
	bool any = false;
	for (int length = count_things(r, kind); length > 0; length /= 2) {
		for (int to = count_things(r, kind); to > 0;) {
			int from = to > length ? to - length : 0, before = count_things(r, kind);
			if (try_plan(r, (Plan){.kind = kind, .from = from, .to = to, .node = -1})) {
				any = true;
				to -= before - count_things(r, kind) > 0 ? before - count_things(r, kind) : length;
			} else {
				to = from;
			}
			to = to > count_things(r, kind) ? count_things(r, kind) : to;
		}
	}
	return any;
}

static const Node *find_node(const Block *b, int mark)
{
	for (const Node *n = b->first; n; n = n->next) {
		const Node *inner = n->body ? find_node(n->body, mark) : NULL;
		inner = !inner && n->other ? find_node(n->other, mark) : inner;
		if (n->mark == mark || inner)
			return n->mark == mark ? n : inner;
	}
	return NULL;
}

/* One node at a time: what stands for it, its body, its attributes and operands. */
static bool simplify_node(Reducer *r, int i)
{
	const Node *n = find_node(&r->now->main->body, i);
	for (int k = 0; k < n->nin; k++)
		if (try_plan(r, (Plan){.node = i, .operand = k + 1}))
			return true;
	for (int open = 1; open <= (n->other ? 2 : n->body ? 1 : 0); open++)
		if (try_plan(r, (Plan){.node = i, .open = open}))
			return true;
	for (int k = 0; n->op == OpLoop && k < n->body->nparam; k++)
		if (try_plan(r, (Plan){.node = i, .carried = k + 1}))
			return true;
	for (int64_t k = 0, trips; n->op == OpLoop && k < 3; k++)
		if ((!dim_is_const(attr_dim(r->now, n, Attr_trips), &trips) || k < trips) && try_plan(r, (Plan){.node = i, .trips = k + 1}))
			return true;
	for (int k = 0; k < n->nattr; k++)
		if (try_plan(r, (Plan){.node = i, .attr = k + 1}))
			return true;
	for (int k = 0; k < n->nin && n->nin > 1; k++)
		if (n->in[k] && try_plan(r, (Plan){.node = i, .absent = k + 1}))
			return true;
	return false;
}

static bool simplify_nodes(Reducer *r)
{
	bool any = false;
	for (int i = r->nnode - 1; i >= 0; i--)
		while (i < r->nnode && simplify_node(r, i))
			any = true;
	return any;
}

static bool merge_params(Reducer *r)
{
	bool any = false;
	for (int i = r->now->main->nparam - 1; i > 0; i--)
		for (int k = 0; k < i && i < r->now->main->nparam; k++) {
			const Value *a = r->now->main->params[k], *b = r->now->main->params[i];
			if (type_equal(&a->type, &b->type) && try_plan(r, (Plan){.node = -1, .param = i + 1, .same = k})) {
				any = true;
				break;
			}
		}
	return any;
}

static bool bind_symbols(Reducer *r)
{
	static const int64_t small[] = {1, 2, 3, 4, 7};
	bool any = false;
	for (int s = r->now->nsym - 1; s >= 0; s--)
		for (size_t k = 0; k < sizeof small / sizeof *small && s < r->now->nsym; k++) {
			const Sym *sym = r->now->syms[s];
			if (sym->kind == SymInput && small[k] >= sym->lo && small[k] <= sym->hi &&
			    try_plan(r, (Plan){.node = -1, .sym = s + 1, .value = small[k]})) {
				any = true;
				break;
			}
		}
	return any;
}

enum { MaxExtents = 64 };

static void note_extents(const Type *t, int64_t *extents, int *n)
{
	for (int d = 0; d < t->rank; d++) {
		int64_t v;
		bool old = !dim_is_const(t->dims[d], &v) || v < 2;
		for (int i = 0; i < *n && !old; i++)
			old = extents[i] == v;
		if (!old && *n < MaxExtents)
			extents[(*n)++] = v;
	}
}

static int by_size(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x < y) - (x > y);
}

/* The distinct extents above 1 of inputs, constants and results, largest first. */
static int find_extents(const Module *m, int64_t *extents)
{
	int n = 0;
	for (int i = 0; i < m->main->nparam; i++)
		note_extents(&m->main->params[i]->type, extents, &n);
	for (int i = 0; i < m->nconst; i++)
		note_extents(&m->consts[i]->type, extents, &n);
	for (const Node *x = first_node(m); x; x = next_node(x))
		for (int i = 0; i < x->nout; i++)
			note_extents(&x->out[i]->type, extents, &n);
	qsort(extents, (size_t)n, sizeof *extents, by_size);
	return n;
}

/* Everywhere at once, so that a model's width and what is computed from it stay in step. */
static bool shrink_extent(Reducer *r, int64_t extent)
{
	int64_t to[] = {1, 2, 4, extent / 4, extent / 2};
	for (size_t k = 0; k < sizeof to / sizeof *to; k++)
		for (int exact = 0; exact < 2; exact++)
			if (to[k] > 0 && to[k] < extent &&
			    try_plan(r, (Plan){.node = -1, .extent = extent, .by = to[k], .exact = exact}))
				return true;
	return false;
}

static bool shrink_extents(Reducer *r)
{
	int64_t extents[MaxExtents];
	bool any = false;
	int n = find_extents(r->now, extents);
	for (int i = 0; i < n; i++)
		while (shrink_extent(r, extents[i])) {
			any = true;
			n = find_extents(r->now, extents);
			if (i >= n)
				return true;
		}
	return any;
}

static bool drop_locs(Reducer *r)
{
	return try_plan(r, (Plan){.node = -1, .locs = true});
}

static bool reduce_round(Reducer *r)
{
	static const Kind order[] = {DropConst, DropCut, DropOutput, DropBypass, DropCut};
	bool any = false;
	for (size_t i = 0; i < sizeof order / sizeof *order; i++)
		any |= drop_runs(r, order[i]);
	any |= simplify_nodes(r);
	any |= merge_params(r);
	any |= drop_runs(r, DropCheck);
	any |= bind_symbols(r);
	any |= shrink_extents(r);
	any |= drop_runs(r, DropSplat);
	return any;
}

/* ---- the folder ------------------------------------------------------------------------------------------------- */

/* Files that constants lie in are linked, so that texts can refer to them and weights are not written again. */
static void link_data(const Reducer *r)
{
	const char *slash = strrchr(r->first->path, '/');
	int dir = slash ? (int)(slash + 1 - r->first->path) : 0;
	for (int i = 0; i < r->first->nconst; i++) {
		const char *file = r->first->consts[i]->file, *base = file ? strrchr(file, '/') : NULL;
		if (!file)
			continue;
		base = base ? base + 1 : file;
		char *path = realpath(arena_printf(r->arena, "%.*s%s", dir, r->first->path, base), NULL);
		/* where this fails, the bytes are written beside the text */
		if (path && symlink(path, arena_printf(r->arena, "%s/%s", r->dir, base)) && errno != EEXIST)
			warn_at(NULL, "--reduce: %s: %s", base, strerror(errno));
		free(path);
	}
}

/* With whatever the command has left beside the candidates. */
static void remove_dir(const Reducer *r)
{
	DIR *d = opendir(r->dir);
	for (struct dirent *e; d && (e = readdir(d));)
		unlink(arena_printf(r->arena, "%s/%s", r->dir, e->d_name));
	if (d)
		closedir(d);
	rmdir(r->dir);
}

static struct {
	pid_t child;
	int fd;
} guard;

static void end_guard(void)
{
	close(guard.fd);
	while (waitpid(guard.child, NULL, 0) < 0 && errno == EINTR)
		;
}

/* The child: makes the folder, says its name or why there is none, and removes it when the other process is gone. */
static _Noreturn void keep_guard(Reducer *r, char *dir, int life, int answer)
{
	static const int ignored[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE};
	char byte;

	for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
		signal(ignored[i], SIG_IGN);
	r->dir = mkdtemp(dir);
	const int error = r->dir ? 0 : errno;
	const bool said = write(answer, &error, sizeof error) == sizeof error && write(answer, dir, strlen(dir)) == (ssize_t)strlen(dir);
	close(answer);
	while (said && read(life, &byte, 1) < 0 && errno == EINTR)
		;
	if (r->dir)
		remove_dir(r);
	_exit(0);
}

static bool read_all(int fd, void *to, size_t n)
{
	for (ssize_t got; n > 0; to = (char *)to + got, n -= (size_t)got)
		while ((got = read(fd, to, n)) <= 0)
			if (got == 0 || errno != EINTR)
				return false;
	return true;
}

/* A child makes the folder that `dir` is the pattern of, and removes it when this process is gone, however it went: its end closes the pipe.  So
 * there is no moment at which the folder has no guard. */
static void make_dir(Reducer *r, char *dir)
{
	int life[2], answer[2], error;

	if (pipe2(life, O_CLOEXEC) || pipe2(answer, O_CLOEXEC) || (guard.child = fork()) < 0)
		fatal_at(NULL, "--reduce: %s", strerror(errno));
	if (!guard.child) {
		close(life[1]);
		keep_guard(r, dir, life[0], answer[1]);
	}
	close(life[0]);
	close(answer[1]);
	guard.fd = life[1];
	atexit(end_guard);
	if (!read_all(answer[0], &error, sizeof error) || (!error && !read_all(answer[0], dir, strlen(dir))))
		fatal_at(&(Loc){.file = dir}, "--reduce: the process that makes the folder has ended");
	close(answer[0]);
	if (error)
		fatal_at(&(Loc){.file = dir}, "--reduce: %s", strerror(error));
	r->dir = dir;
}

static void start(Reducer *r)
{
	const char *tmp = getenv("TMPDIR");
	char *dir = arena_printf(r->arena, "%s/dcc-reduce-XXXXXX", tmp && *tmp ? tmp : "/tmp");
	r->null = fopen("/dev/null", "w");
	if (!r->null)
		fatal_at(NULL, "--reduce: /dev/null: %s", strerror(errno));
	make_dir(r, dir);
	r->path = arena_printf(r->arena, "%s/candidate.ir", dir);
	if (strchr(r->path, '\''))
		fatal_at(&(Loc){.file = dir}, "--reduce: TMPDIR has a quote in its name");
	link_data(r);
	count_nodes(r);
	write_module(r->path, r->now);
	r->want = run_command(r);
	r->ntest = 1;
	if (!r->want || r->want == 126 || r->want == 127)
		fatal_at(&(Loc){.file = r->first->path}, "--reduce: the command %s on the whole model",
		         r->want ? "could not be run" : "does not fail");
}

void reduce_module(Module *m, const char *command, const char *output)
{
	Reducer r = {.arena = new_arena(), .first = m, .now = m, .command = command, .output = output};
	if (m->loops)
		fatal_at(&(Loc){.file = m->path}, "--reduce: the module is lowered; start from its tensor IR");
	start(&r);
	int before = r.nnode;
	fprintf(stderr, "reduce: exit code %d, %d nodes\n", r.want, before);
	const char *data = arena_printf(r.arena, "%s.data", output);
	r.data = access(data, F_OK) ? data : NULL;
	write_best(&r);
	while (reduce_round(&r))
		fprintf(stderr, "reduce: %d nodes, %d inputs, %d outputs after %d tests\n", r.nnode, r.now->main->nparam,
		        r.now->main->body.nyield, r.ntest);
	drop_locs(&r);
	fprintf(stderr, "reduce: %d of %d nodes are left after %d tests: %s\n", r.nnode, before, r.ntest, output);
	fclose(r.null);
	if (r.now != r.first)
		free_module(r.now);
	free_module(r.first);
	free_arena(r.arena);
}
