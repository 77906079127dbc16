/* diff.c - --print-changed=diff: what a pass changed in the text of a module.
 *
 * Myers, An O(ND) Difference Algorithm: from the end of the common prefix, paths of d edits reach as far as they can on
 * each diagonal; each d keeps its ends, so that the shortest path can be walked back.  Texts that differ by more than
 * MaxEdits lines are shown as removed and added whole.
 */
#include "rewrite.h"

#include <stdlib.h>
#include <string.h>

enum { MaxEdits = 2000, Context = 2 };

typedef struct Line {
	const char *text;
	size_t n;
} Line;

typedef struct Diff {
	Arena *arena;
	int n, m; /* lines of both texts */
	Line *a, *b;
	bool *gone, *come; /* of a, of b */
} Diff;

static int split_lines(Arena *arena, const char *text, Line **lines)
{
	int n = 0, cap = 0;
	for (const char *p = text; *p; p += (*lines)[n - 1].n + 1) {
		Line l = {p, strcspn(p, "\n")};
		PUSH(arena, *lines, n, cap, l);
		if (!p[l.n])
			break;
	}
	return n;
}

static bool same_line(const Diff *d, int i, int j)
{
	return i < d->n && j < d->m && d->a[i].n == d->b[j].n && !memcmp(d->a[i].text, d->b[j].text, d->a[i].n);
}

/* Comes to diagonal k = i - j from below (a line of b is new) or from the left (a line of a is gone). */
static bool comes_from_below(const int *ends, int edits, int k)
{
	return k == -edits || (k != edits && ends[k - 1] < ends[k + 1]);
}

/* ends[e][k], k in -e..e: how far along a the paths of e edits get.  Returns the number of edits, -1: too many. */
static int find_path(const Diff *d, int **ends)
{
	for (int e = 0; e <= MaxEdits && e <= d->n + d->m; e++) {
		ends[e] = (int *)arena_alloc(d->arena, (size_t)(2 * e + 1) * sizeof **ends) + e;
		for (int k = -e; k <= e; k += 2) {
			const int *before = e ? ends[e - 1] : NULL;
			int i = !e ? 0 : comes_from_below(before, e, k) ? before[k + 1] : before[k - 1] + 1;
			while (same_line(d, i, i - k))
				i++;
			ends[e][k] = i;
			if (i >= d->n && i - k >= d->m)
				return e;
		}
	}
	return -1;
}

static void walk_back(Diff *d, int **ends, int edits)
{
	int k = d->n - d->m;
	for (int e = edits; e > 0; e--) {
		bool below = comes_from_below(ends[e - 1], e, k);
		k += below ? 1 : -1;
		int i = ends[e - 1][k];
		if (below)
			d->come[i - k] = true;
		else
			d->gone[i] = true;
	}
}

static void print_line(FILE *f, char mark, const Line *l)
{
	fprintf(f, "%c%.*s\n", mark, (int)l->n, l->text);
}

/* Is a change at most Context lines away from line i of a, which is line j of b? */
static bool is_near(const Diff *d, int i, int j)
{
	for (int k = -Context; k <= Context; k++) {
		bool gone = i + k >= 0 && i + k < d->n && d->gone[i + k], come = j + k >= 0 && j + k < d->m && d->come[j + k];
		if (gone || come)
			return true;
	}
	return false;
}

static void print_changes(FILE *f, const Diff *d)
{
	bool skipped = false;
	for (int i = 0, j = 0; i < d->n || j < d->m;) {
		if (i < d->n && d->gone[i]) {
			print_line(f, '-', &d->a[i++]);
		} else if (j < d->m && d->come[j]) {
			print_line(f, '+', &d->b[j++]);
		} else {
			bool near = is_near(d, i, j);
			if (near)
				print_line(f, ' ', &d->a[i]);
			else if (!skipped)
				fputs("...\n", f);
			skipped = !near;
			i++, j++;
			continue;
		}
		skipped = false;
	}
}

void print_diff(FILE *f, const char *before, const char *after)
{
	Diff d = {.arena = new_arena()};
	d.n = split_lines(d.arena, before, &d.a);
	d.m = split_lines(d.arena, after, &d.b);
	d.gone = arena_alloc(d.arena, (size_t)d.n + 1);
	d.come = arena_alloc(d.arena, (size_t)d.m + 1);
	int **ends = arena_alloc(d.arena, (MaxEdits + 1) * sizeof *ends), edits = find_path(&d, ends);
	if (edits >= 0) {
		walk_back(&d, ends, edits);
	} else {
		memset(d.gone, true, (size_t)d.n);
		memset(d.come, true, (size_t)d.m);
	}
	print_changes(f, &d);
	free_arena(d.arena);
}
