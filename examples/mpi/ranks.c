/* ranks.c - tells the language of each line of a file, with the lines split over the ranks of MPI.
 *
 *   build/dcc -o langid.o examples/langid/langid.onnx               also writes langid.h
 *   mpicc -std=c11 -O2 -I runtime -I . -I examples/langid examples/mpi/ranks.c langid.o build/libdcc.a -o ranks
 *   mpirun -n 2 ./ranks FILE [TURNS]
 *
 * Rank 0 reads the file, scatters the lines and gathers their probabilities; TURNS repeats this and says how many
 * lines a second the best turn did, and how many a second of CPU in the model all did.  Lines are the rows of one matrix of bytes, as wide as the longest, so a line has the same bits for any number of ranks.
 * A rank runs its rows in batches, which bounds its workspace.  The weights are in the program file, whose pages the ranks of a
 * node share.  What goes wrong on one rank ends all.
 */
#include <limits.h>
#include <mpi.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "langid.h"

enum { Batch = 32, MaxBytes = 1024, MaxTurns = 100000 };

static const char *const codes[] = {
#define X(code, name) code,
#include "languages.def"
#undef X
};
enum { Languages = sizeof codes / sizeof *codes };

static int rank, ranks;

static void die(const char *what, const char *why)
{
	fflush(stdout);
	fprintf(stderr, "ranks: rank %d: %s: %s\n", rank, what, why);
	MPI_Abort(MPI_COMM_WORLD, 1);
	exit(1);
}

/* Room for n elements, at least one, aligned for dcc. */
static void *allocate(size_t n, size_t bytes)
{
	if (!bytes || n > (SIZE_MAX - DCC_WORKSPACE_ALIGN) / bytes)
		die("buffers", "no memory");
	void *p = aligned_alloc(DCC_WORKSPACE_ALIGN, (n * bytes / DCC_WORKSPACE_ALIGN + 1) * DCC_WORKSPACE_ALIGN);
	if (!p)
		die("buffers", "no memory");
	return p;
}

/* ---- rank 0: the file --------------------------------------------------------------------------------------------------- */

typedef struct Lines {
	int n, width; /* bytes */
	unsigned char *rows; /* [n][width], filled up with 0, which is padding to the model */
} Lines;

/* The file without its length: lines are cut at MaxBytes, and empty ones left out. */
static Lines read_lines(const char *path)
{
	FILE *in = fopen(path, "rb");
	if (!in)
		die(path, "cannot be read");
	Lines l = {0};
	int room = 0, length = 0, c;
	do {
		c = getc(in);
		if (l.n == room) {
			room = room ? 2 * room : 256;
			if (room > INT_MAX / MaxBytes || !(l.rows = realloc(l.rows, (size_t)room * MaxBytes)))
				die(path, "no memory");
		}
		if (c != '\n' && c != EOF && length < MaxBytes) {
			l.rows[(size_t)l.n * MaxBytes + (size_t)length++] = c < ' ' ? ' ' : (unsigned char)c;
		} else if ((c == '\n' || c == EOF) && length) {
			memset(l.rows + (size_t)l.n++ * MaxBytes + length, 0, (size_t)(MaxBytes - length));
			l.width = length > l.width ? length : l.width;
			length = 0;
		}
	} while (c != EOF);
	if (ferror(in) || fclose(in) || !l.n)
		die(path, l.n ? "cannot be read" : "has no lines");
	for (int i = 0; i < l.n; i++) /* as wide as the longest */
		memmove(l.rows + (size_t)i * (size_t)l.width, l.rows + (size_t)i * MaxBytes, (size_t)l.width);
	return l;
}

static void print_lines(const Lines *l, const float *probabilities)
{
	for (int i = 0; i < l->n; i++) {
		const float *p = probabilities + (size_t)i * Languages;
		const unsigned char *row = l->rows + (size_t)i * (size_t)l->width;
		int best = 0;
		for (int k = 1; k < Languages; k++)
			if (p[k] > p[best])
				best = k;
		printf("%s %.6f %.*s\n", codes[best], p[best], l->width, (const char *)row);
	}
	if (fflush(stdout) || ferror(stdout))
		die("standard output", "cannot be written");
}

/* ---- every rank ---------------------------------------------------------------------------------------------------------- */

/* Gives the seconds of CPU that it took: those of the clock count what others do on the cores, too. */
static double classify(const unsigned char *rows, int n, int width, float *probabilities, void *workspace, size_t size)
{
	clock_t start = clock();
	dcc_error error;
	for (int at = 0; at < n; at += Batch) {
		langid_dims dims = {.batch = n - at < Batch ? n - at : Batch, .seq = width};
		if (langid(&dims, rows + (size_t)at * (size_t)width, probabilities + (size_t)at * Languages, workspace, size, NULL, &error))
			die("model", error.text);
	}
	return (double)(clock() - start) / CLOCKS_PER_SEC;
}

/* Shares of n rows that differ by one at most, and where they begin. */
static void share(int n, int *counts, int *starts)
{
	for (int r = 0, at = 0; r < ranks; at += counts[r++]) {
		counts[r] = n / ranks + (r < n % ranks);
		starts[r] = at;
	}
}

int main(int argc, char **argv)
{
	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Comm_size(MPI_COMM_WORLD, &ranks);
	int turns = argc == 3 ? atoi(argv[2]) : 1;
	if (argc < 2 || argc > 3 || turns < 1 || turns > MaxTurns)
		die("usage", "ranks FILE [TURNS]");

	Lines all = {0};
	if (!rank)
		all = read_lines(argv[1]);
	int shape[2] = {all.n, all.width};
	MPI_Bcast(shape, 2, MPI_INT, 0, MPI_COMM_WORLD);
	int *counts = allocate((size_t)ranks, sizeof *counts), *starts = allocate((size_t)ranks, sizeof *starts);
	share(shape[0], counts, starts);

	/* Counts of rows, not of bytes, so that they fit an int. */
	MPI_Datatype text, row;
	MPI_Type_contiguous(shape[1], MPI_UNSIGNED_CHAR, &text);
	MPI_Type_contiguous(Languages, MPI_FLOAT, &row);
	MPI_Type_commit(&text);
	MPI_Type_commit(&row);

	int mine = counts[rank];
	langid_dims dims = {.batch = Batch, .seq = shape[1]};
	size_t size = langid_workspace_size(&dims);
	void *workspace = allocate(size, 1);
	unsigned char *rows = allocate((size_t)mine, (size_t)shape[1]);
	float *some = allocate((size_t)mine, Languages * sizeof *some);
	float *probabilities = rank ? NULL : allocate((size_t)shape[0], Languages * sizeof *probabilities);
	double best = 0, cpu = 0, all_cpu = 0;

	for (int t = 0; t < turns; t++) {
		MPI_Barrier(MPI_COMM_WORLD);
		double start = MPI_Wtime();
		MPI_Scatterv(all.rows, counts, starts, text, rows, mine, text, 0, MPI_COMM_WORLD);
		cpu += classify(rows, mine, shape[1], some, workspace, size);
		MPI_Gatherv(some, mine, row, probabilities, counts, starts, row, 0, MPI_COMM_WORLD);
		double spent = MPI_Wtime() - start;
		best = t && best < spent ? best : spent;
	}
	MPI_Reduce(&cpu, &all_cpu, 1, MPI_DOUBLE, MPI_SUM, 0, MPI_COMM_WORLD);
	if (!rank) {
		print_lines(&all, probabilities);
		if (argc == 3)
			fprintf(stderr, "%d lines of %d bytes on %d ranks: %.0f a second, %.0f a second of CPU\n", shape[0], shape[1], ranks,
				shape[0] / best, shape[0] * (double)turns / all_cpu);
	}
	MPI_Type_free(&text);
	MPI_Type_free(&row);
	free(all.rows);
	free(counts);
	free(starts);
	free(workspace);
	free(rows);
	free(some);
	free(probabilities);
	MPI_Finalize();
	return 0;
}
