/* vad.c - says where somebody speaks in a recording, while it arrives.
 *
 *   examples/vad/setup.sh BUILD FOLDER         installs the model (Silero VAD), compiles it and this program
 *   FOLDER/vad FILE.wav                        a line for each stretch of speech, as soon as it has ended
 *   arecord -q -f S16_LE -r 16000 | FOLDER/vad -
 *   FOLDER/vad --probabilities FILE.wav        of every chunk: seconds, probability; and at the end the time of a step
 *
 * WAV of 16-bit PCM, any number of channels, 16 kHz or a multiple of it.  A chunk is 512 samples: 32 ms.
 *
 * The model has two states: the 64 samples before the chunk, and 256 numbers of an LSTM.  Both live in buffers with room for 64
 * steps (dcc --state): a step writes its samples and numbers behind the last ones and moves none.  When the room is used up,
 * the last ones go back to the begin.
 */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vad.h"

enum { Rate = 16000, Chunk = 512, MaxChannels = 64, MaxRate = 768000 };

/* Speech begins at Begin and goes on until the probability was below End for MinSilence samples; its ends get Pad more. */
static const float Begin = 0.5f, End = 0.35f;
enum { MinSilence = Rate / 10, Pad = Rate * 3 / 100 };

static void die(const char *what, const char *why)
{
	fflush(stdout);
	fprintf(stderr, "vad: %s: %s\n", what, why);
	exit(1);
}

/* ---- the recording ---------------------------------------------------------------------------------------------------- */

typedef struct Wav {
	FILE *file;
	const char *name;
	unsigned channels, step; /* `step` frames of the file are one of Rate */
	uint64_t left; /* bytes of samples */
} Wav;

static unsigned long number(const unsigned char *bytes, int n)
{
	unsigned long value = 0;
	while (n-- > 0)
		value = value << 8 | bytes[n];
	return value;
}

static bool get(Wav *w, void *bytes, size_t n)
{
	return fread(bytes, 1, n, w->file) == n;
}

static void skip(Wav *w, unsigned long n)
{
	while (n && getc(w->file) != EOF)
		n--;
}

static void read_format(Wav *w, unsigned long size)
{
	enum { Pcm = 1, Extensible = 0xFFFE };
	unsigned char f[16];

	if (size < sizeof f || !get(w, f, sizeof f))
		die(w->name, "its format is cut off");
	unsigned long format = number(f, 2), rate = number(f + 4, 4);
	w->channels = number(f + 2, 2);
	if ((format != Pcm && format != Extensible) || number(f + 14, 2) != 16)
		die(w->name, "not 16-bit PCM");
	if (!w->channels || w->channels > MaxChannels)
		die(w->name, "expected 1 to 64 channels");
	if (!rate || rate % Rate || rate > MaxRate)
		die(w->name, "its rate is no multiple of 16 kHz");
	w->step = rate / Rate;
	skip(w, size - sizeof f + size % 2);
}

/* Reads up to the first sample.  What comes from a pipe may not know its length, and says 0 or a very large one. */
static Wav open_wav(const char *name)
{
	Wav w = {.file = strcmp(name, "-") ? fopen(name, "rb") : stdin, .name = name};
	unsigned char head[12];

	if (!w.file)
		die(name, "cannot be read");
	if (!get(&w, head, 12) || memcmp(head, "RIFF", 4) || memcmp(head + 8, "WAVE", 4))
		die(name, "not a WAV file");
	while (get(&w, head, 8)) {
		unsigned long size = number(head + 4, 4);
		if (!memcmp(head, "fmt ", 4)) {
			read_format(&w, size);
		} else if (!memcmp(head, "data", 4)) {
			if (!w.channels)
				die(name, "its samples come before their format");
			w.left = size && size < 0x7FFFFFFF ? size : UINT64_MAX;
			return w;
		} else {
			skip(&w, size + size % 2);
		}
	}
	die(name, "has no samples");
	return w;
}

/* The next sample of Rate, in [-1, 1]: the mean over the channels of `step` frames.  False at the end. */
static bool read_sample(Wav *w, float *sample)
{
	static unsigned char frames[MaxChannels * (MaxRate / Rate) * 2];
	size_t n = (size_t)w->channels * w->step;
	long sum = 0;

	if (w->left < 2 * n || !get(w, frames, 2 * n))
		return false;
	w->left -= w->left == UINT64_MAX ? 0 : 2 * n;
	for (size_t i = 0; i < n; i++)
		sum += (int16_t)number(frames + 2 * i, 2);
	*sample = (float)sum / (32768.0f * (float)n);
	return true;
}

/* Fills a chunk, its rest with silence, and gives the number of samples read. */
static int read_chunk(Wav *w, float *chunk)
{
	int n = 0;
	while (n < Chunk && read_sample(w, &chunk[n]))
		n++;
	memset(chunk + n, 0, (size_t)(Chunk - n) * sizeof *chunk);
	return n;
}

/* ---- the model -------------------------------------------------------------------------------------------------------- */

typedef struct Detector {
	vad_dims dims;
	float *windows, *memories; /* buffers of state */
	int64_t steps, room; /* since they began anew, and how many they have room for */
	void *workspace;
	size_t workspace_size; /* bytes */
} Detector;

static void *allocate(size_t bytes)
{
	void *p = bytes > SIZE_MAX - DCC_WORKSPACE_ALIGN
			? NULL : aligned_alloc(DCC_WORKSPACE_ALIGN, (bytes / DCC_WORKSPACE_ALIGN + 1) * DCC_WORKSPACE_ALIGN);
	if (!p)
		die("buffers", "no memory");
	return p;
}

static Detector new_detector(void)
{
	Detector d = {.dims = {.threads = 1}};
	int64_t by_window = (vad_window_capacity(&d.dims) - vad_window_count(&d.dims)) / vad_next_window_offset(&d.dims);
	int64_t by_memory = (vad_memory_capacity(&d.dims) - vad_memory_count(&d.dims)) / vad_next_memory_offset(&d.dims);

	d.room = by_window < by_memory ? by_window : by_memory;
	d.windows = allocate(vad_window_bytes(&d.dims));
	d.memories = allocate(vad_memory_bytes(&d.dims));
	d.workspace_size = vad_workspace_size(&d.dims);
	d.workspace = allocate(d.workspace_size);
	memset(d.windows, 0, (size_t)vad_window_count(&d.dims) * sizeof(float)); /* silence came before */
	memset(d.memories, 0, (size_t)vad_memory_count(&d.dims) * sizeof(float));
	return d;
}

static void free_detector(Detector *d)
{
	free(d->windows);
	free(d->memories);
	free(d->workspace);
}

/* The probability of speech in the next chunk. */
static float hear(Detector *d, const float *chunk)
{
	int64_t window = vad_next_window_offset(&d->dims), memory = vad_next_memory_offset(&d->dims);
	float probability;
	dcc_error error;

	if (d->steps == d->room) {
		memcpy(d->windows, d->windows + d->steps * window, (size_t)vad_window_count(&d->dims) * sizeof(float));
		memcpy(d->memories, d->memories + d->steps * memory, (size_t)vad_memory_count(&d->dims) * sizeof(float));
		d->steps = 0;
	}
	if (vad_step(&d->dims, chunk, d->windows + d->steps * window, d->memories + d->steps * memory, &probability,
		     d->workspace, d->workspace_size, NULL, &error))
		die("model", error.text);
	d->steps++;
	return probability;
}

/* ---- decisions -------------------------------------------------------------------------------------------------------- */

typedef struct Speech {
	bool on;
	int64_t begin, silence; /* samples; where it may have ended, or 0 */
} Speech;

static void print_speech(int64_t begin, int64_t end)
{
	printf("%8.3f %8.3f speech\n", (double)begin / Rate, (double)end / Rate);
	fflush(stdout);
}

/* Takes the probability of the chunk at sample `at`. */
static void decide(Speech *s, int64_t at, float probability)
{
	if (probability >= Begin) {
		s->silence = 0;
		if (!s->on)
			*s = (Speech){.on = true, .begin = at > Pad ? at - Pad : 0};
	} else if (s->on && probability < End) {
		if (!s->silence)
			s->silence = at;
		if (at - s->silence >= MinSilence) {
			print_speech(s->begin, s->silence + Pad);
			s->on = false;
		}
	}
}

static double seconds(void)
{
	struct timespec t;
	timespec_get(&t, TIME_UTC);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int main(int argc, char **argv)
{
	bool probabilities = argc == 3 && !strcmp(argv[1], "--probabilities");
	if (argc != 2 + probabilities)
		die("usage", "vad [--probabilities] FILE.wav (-: standard input)");
	Wav wav = open_wav(argv[argc - 1]);
	Detector d = new_detector();
	Speech speech = {0};
	float chunk[Chunk];
	int64_t at = 0;
	double least = INFINITY;

	for (int n; (n = read_chunk(&wav, chunk)) > 0; at += n) {
		double start = seconds();
		float p = hear(&d, chunk);
		least = fmin(least, seconds() - start);
		if (probabilities)
			printf("%.3f %.7f\n", (double)at / Rate, p);
		else
			decide(&speech, at, p);
	}
	if (speech.on)
		print_speech(speech.begin, at);
	if (probabilities && at)
		fprintf(stderr, "a step of %d ms takes %.1f us at least\n", 1000 * Chunk / Rate, 1e6 * least);
	free_detector(&d);
	if (ferror(wav.file) || fflush(stdout) || ferror(stdout))
		die(ferror(wav.file) ? wav.name : "standard output", "failed");
	if (wav.file != stdin)
		fclose(wav.file);
	return 0;
}
