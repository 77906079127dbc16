/* test.h - the little that a unit test in plain C needs. */
#ifndef DCC_TEST_H
#define DCC_TEST_H

#include <stdio.h>
#include <string.h>

static int test_failures, test_checks;

#define CHECK(cond)                                                                                                    \
	do {                                                                                                           \
		test_checks++;                                                                                         \
		if (!(cond)) {                                                                                         \
			test_failures++;                                                                               \
			fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #cond);                             \
		}                                                                                                      \
	} while (0)

#define CHECK_EQ(a, b)                                                                                                 \
	do {                                                                                                           \
		long long a_ = (a), b_ = (b);                                                                          \
		test_checks++;                                                                                         \
		if (a_ != b_) {                                                                                        \
			test_failures++;                                                                               \
			fprintf(stderr, "%s:%d: %s = %lld, expected %s = %lld\n", __FILE__, __LINE__, #a, a_, #b, b_); \
		}                                                                                                      \
	} while (0)

#define CHECK_STR(a, b)                                                                                                \
	do {                                                                                                           \
		const char *a_ = (a), *b_ = (b);                                                                       \
		test_checks++;                                                                                         \
		if (!a_ || !b_ || strcmp(a_, b_)) {                                                                    \
			test_failures++;                                                                               \
			fprintf(stderr, "%s:%d: %s = \"%s\", expected \"%s\"\n", __FILE__, __LINE__, #a,                \
			        a_ ? a_ : "(null)", b_ ? b_ : "(null)");                                               \
		}                                                                                                      \
	} while (0)

static inline int test_end(const char *name)
{
	printf("%s: %d checks, %d failed\n", name, test_checks, test_failures);
	return test_failures != 0;
}

#endif
