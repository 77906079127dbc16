/* langid.c - tells the language of each line of text, with a compiled model.
 *
 *   build/dcc -o build/langid/langid.o examples/langid/langid.onnx          also writes build/langid/langid.h
 *   cc -std=c11 -I runtime -I build/langid examples/langid/langid.c build/langid/langid.o build/libdcc.a -o langid
 *
 *   langid               each line of standard input, or samples if that is a terminal: code, probability, line
 *   langid --samples     the samples
 *   langid --test FILE   lines "code TAB text": accuracy per language
 *
 * The model takes bytes (UTF-8) and gives one probability per language of languages.def.  Of a line only the first
 * MAX_BYTES count.  A line without text gets the code "--".
 */
#define _POSIX_C_SOURCE 200809L /* isatty */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "langid.h"

#define MAX_BYTES 1024

static const struct Language {
	const char *code, *name;
} languages[] = {
#define X(code, name) {code, name},
#include "languages.def"
#undef X
};
enum { Languages = sizeof languages / sizeof *languages };

/* Article 1 of the Universal Declaration of Human Rights (United Nations, 1948), and everyday sentences. */
static const char *const samples[] = {
	"All human beings are born free and equal in dignity and rights.",
	"Tous les êtres humains naissent libres et égaux en dignité et en droits.",
	"Alle Menschen sind frei und gleich an Würde und Rechten geboren.",
	"Todos los seres humanos nacen libres e iguales en dignidad y derechos.",
	"Tutti gli esseri umani nascono liberi ed eguali in dignità e diritti.",
	"Todos os seres humanos nascem livres e iguais em dignidade e em direitos.",
	"Alle mensen worden vrij en gelijk in waardigheid en rechten geboren.",
	"Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw.",
	"Všichni lidé rodí se svobodní a sobě rovní co do důstojnosti a práv.",
	"Minden emberi lény szabadon születik és egyenlő méltósága és joga van.",
	"Kaikki ihmiset syntyvät vapaina ja tasavertaisina arvoltaan ja oikeuksiltaan.",
	"Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar.",
	"Все люди рождаются свободными и равными в своем достоинстве и правах.",
	"Всі люди народжуються вільними і рівними у своїй гідності та правах.",
	"すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。",
	"人人生而自由，在尊严和权利上一律平等。",
	"Où est la gare, s'il vous plaît ?",
	"Der Zug nach Hamburg hat leider zwanzig Minuten Verspätung.",
	"明日は友達と映画を見に行きます。",
};

typedef struct Guess {
	int language;
	float probability;
} Guess;

typedef struct Model {
	void *workspace;
	size_t size; /* bytes; enough for MAX_BYTES of text */
} Model;

static void die(const char *what, const char *why)
{
	fflush(stdout);
	fprintf(stderr, "langid: %s: %s\n", what, why);
	exit(1);
}

static Model new_model(void)
{
	langid_dims dims = {.batch = 1, .seq = MAX_BYTES};
	Model m = {.size = langid_workspace_size(&dims)};
	m.workspace = aligned_alloc(DCC_WORKSPACE_ALIGN, (m.size / DCC_WORKSPACE_ALIGN + 1) * DCC_WORKSPACE_ALIGN);
	if (!m.workspace)
		die("workspace", "no memory");
	if (langid_probabilities_count(&dims) != Languages)
		die("languages.def", "is of another model");
	return m;
}

/* The most likely language of `length` bytes, 1 .. MAX_BYTES. */
static Guess classify(Model *m, const unsigned char *text, size_t length)
{
	langid_dims dims = {.batch = 1, .seq = (int64_t)length};
	float probabilities[Languages];
	dcc_error error;
	if (langid(&dims, text, probabilities, m->workspace, m->size, NULL, &error))
		die("model", error.text);
	Guess best = {0, probabilities[0]};
	for (int i = 1; i < Languages; i++)
		if (probabilities[i] > best.probability)
			best = (Guess){i, probabilities[i]};
	return best;
}

/* The length without a character that was cut in half at the end; a character of UTF-8 has at most four bytes. */
static size_t whole_characters(const unsigned char *text, size_t length)
{
	size_t start = length;
	for (int back = 0; back < 3 && start && (text[start - 1] & 0xC0) == 0x80; back++)
		start--;
	if (!start || text[start - 1] < 0xC0)
		return length;
	unsigned char lead = text[start - 1];
	size_t wanted = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
	return length - start + 1 < wanted ? start - 1 : length;
}

/* Reads a line into text[MAX_BYTES], drops what does not fit, and gives its length; false at the end of the file.
 * Control characters become spaces: byte 0 would be padding to the model. */
static bool read_line(FILE *in, unsigned char *text, size_t *length)
{
	size_t n = 0;
	int c = getc(in);
	bool found = c != EOF, cut = false;
	for (; c != EOF && c != '\n'; c = getc(in)) {
		if (n < MAX_BYTES)
			text[n++] = c < ' ' && c != '\t' ? ' ' : (unsigned char)c;
		else
			cut = true;
	}
	if (cut)
		n = whole_characters(text, n);
	while (n && (text[n - 1] == ' ' || text[n - 1] == '\t'))
		n--;
	*length = n;
	return found;
}

static void print_guess(Model *m, const unsigned char *text, size_t length)
{
	if (!length) {
		printf("--       -\n");
		return;
	}
	Guess g = classify(m, text, length);
	printf("%s  %5.1f %%  ", languages[g.language].code, 100 * g.probability);
	fwrite(text, 1, length, stdout);
	putchar('\n');
}

static void run_samples(Model *m)
{
	for (size_t i = 0; i < sizeof samples / sizeof *samples; i++)
		print_guess(m, (const unsigned char *)samples[i], strlen(samples[i]));
}

static void run_lines(Model *m, FILE *in)
{
	unsigned char text[MAX_BYTES];
	size_t length;
	while (read_line(in, text, &length)) {
		print_guess(m, text, length);
		fflush(stdout);
	}
}

static int find_language(const char *file, const unsigned char *code, size_t length)
{
	for (int i = 0; i < Languages; i++)
		if (strlen(languages[i].code) == length && !memcmp(languages[i].code, code, length))
			return i;
	die(file, "a line does not begin with a language code and a tab");
	return -1;
}

static double seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void run_test(Model *m, const char *file)
{
	static int counts[Languages][Languages]; /* [language][guess] */
	unsigned char text[MAX_BYTES];
	size_t length, bytes = 0;
	int right = 0, lines = 0;
	double spent = 0;
	FILE *in = fopen(file, "rb");
	if (!in)
		die(file, "cannot be read");
	while (read_line(in, text, &length)) {
		const unsigned char *tab = memchr(text, '\t', length);
		size_t code = tab ? (size_t)(tab - text) : length;
		int language = find_language(file, text, code);
		if (code + 1 >= length)
			die(file, "a line has no text");
		spent -= seconds();
		Guess g = classify(m, tab + 1, length - code - 1);
		spent += seconds();
		counts[language][g.language]++;
		right += g.language == language;
		lines++;
		bytes += length - code - 1;
	}
	fclose(in);
	if (!lines)
		die(file, "has no lines");
	for (int i = 0; i < Languages; i++) {
		int all = 0;
		for (int j = 0; j < Languages; j++)
			all += counts[i][j];
		if (!all)
			continue;
		printf("%s  %-10s %4d of %4d  %6.2f %%", languages[i].code, languages[i].name, counts[i][i], all,
		       100.0 * counts[i][i] / all);
		for (int j = 0; j < Languages; j++)
			if (j != i && counts[i][j])
				printf("  %s %d", languages[j].code, counts[i][j]);
		printf("\n");
	}
	printf("accuracy: %d of %d lines = %.2f %% (%.0f bytes a line, %.0f us a line)\n", right, lines, 100.0 * right / lines,
	       (double)bytes / lines, 1e6 * spent / lines);
}

int main(int argc, char **argv)
{
	Model m = new_model();
	if (argc == 3 && !strcmp(argv[1], "--test"))
		run_test(&m, argv[2]);
	else if (argc == 2 && !strcmp(argv[1], "--samples"))
		run_samples(&m);
	else if (argc != 1)
		die("usage", "langid [--samples | --test FILE]");
	else if (isatty(STDIN_FILENO))
		run_samples(&m);
	else
		run_lines(&m, stdin);
	free(m.workspace);
	if (fflush(stdout) || ferror(stdout))
		die("standard output", "cannot be written");
	return 0;
}
