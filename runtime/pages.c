/* pages.c - weights in huge pages.
 *
 * Weights come from a file, in pages of 4 KB.  A decoder reads them all for each token, and whoever reads that fast waits at every page
 * for its address.  Here a part of them at a time is copied into memory that the kernel backs by huge pages, and the copy is moved to
 * where the part was: addresses stay, so whatever points to the weights need not know.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* mremap */
#endif
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "weights.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000 /* glibc 2.27 */
#endif

enum { HugePage = 2 << 20, Part = 16 * HugePage /* bytes that exist twice at a time */ };

/* Does the system give huge pages to programs that ask for them?  madvise() does not tell. */
static bool has_huge_pages(void)
{
	char modes[64] = "";
	int file = open("/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return false;
	ssize_t n = read(file, modes, sizeof modes - 1);
	close(file);
	return n > 0 && !strstr(modes, "[never]") && prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == 0;
}

/* A failed mremap() may have emptied the place that it was to fill.  Where it has not, others may be reading the weights just now. */
static void fill_if_empty(char *part, const char *copy, size_t size, int protection)
{
	char *place = mmap(part, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (place == part) {
		memcpy(part, copy, size);
		mprotect(part, size, protection);
	} else if (place != MAP_FAILED) { /* a kernel that does not know the flag */
		munmap(place, size);
	}
}

/* Moves a copy of `size` bytes, whole huge pages, over themselves.  False: there is no memory for it. */
static bool move_part(char *part, size_t size, int protection)
{
	char *space = mmap(NULL, size + HugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (space == MAP_FAILED)
		return false;
	const size_t before = -(uintptr_t)space % HugePage;
	char *copy = space + before;
	bool moved = !madvise(copy, size, MADV_HUGEPAGE);
	if (moved) {
		memcpy(copy, part, size);
		moved = !mprotect(copy, size, protection) && mremap(copy, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, part) == part;
		if (!moved)
			fill_if_empty(part, copy, size, protection);
	}
	if (before)
		munmap(space, before);
	if (!moved)
		munmap(copy, size);
	munmap(copy + size, HugePage - before);
	return moved;
}

int dcc_huge_pages(const dcc_model *model, const void *weights, uint64_t weights_size, uint64_t *moved, dcc_error *err)
{
	const int protection = weights ? PROT_READ | PROT_WRITE : PROT_READ;
	int32_t status = dcc_open_weights(model, &weights, weights_size, err);
	if (status)
		return status;
	if (moved)
		*moved = 0;
	char *begin = (char *)weights;
	const uint64_t skip = -(uintptr_t)begin % HugePage;
	uint64_t left = model->weights_size > skip && has_huge_pages() ? (model->weights_size - skip) / HugePage * HugePage : 0;
	for (char *part = begin + skip; left;) {
		const size_t size = left < Part ? left : Part;
		if (!move_part(part, size, protection))
			break;
		part += size;
		left -= size;
		if (moved)
			*moved += size;
	}
	return DCC_OK;
}
