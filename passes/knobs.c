/* knobs.c - the schedules of an operator, numbered: all combinations of the values of its knobs. */
#include "tuning.h"

#include <stddef.h>

typedef struct List {
	int n, v[8];
} List;
#define LIST(...) {sizeof((int[]){__VA_ARGS__}) / sizeof(int), {__VA_ARGS__}}

static const struct Knob {
	const char *name;
	size_t field; /* of Schedule */
	List values, operators;
} knobs[] = {
#define KNOB(name, usual, values, operators) {#name, offsetof(Schedule, name), values, operators},
#include "knobs.def"
#undef KNOB
};
_Static_assert(sizeof knobs / sizeof *knobs == NKnobs, "each knob is a field of Schedule");

static int place_in(const List *list, int value)
{
	for (int i = 0; i < list->n; i++)
		if (list->v[i] == value)
			return i;
	return -1;
}

const char *knob_name(int knob)
{
	return knobs[knob].name;
}

bool has_knob(Op op, int knob)
{
	return place_in(&knobs[knob].operators, (int)op) >= 0;
}

int knob_value(const Schedule *s, int knob)
{
	return *(const int *)((const char *)s + knobs[knob].field);
}

bool set_knob(Schedule *s, int knob, int value)
{
	*(int *)((char *)s + knobs[knob].field) = value;
	return place_in(&knobs[knob].values, value) >= 0;
}

Schedule usual_schedule(const Target *t, Op op)
{
	return (Schedule){
#define KNOB(name, usual, values, operators) .name = usual,
#include "knobs.def"
#undef KNOB
	};
}

int count_schedules(Op op)
{
	int n = 1;
	for (int i = 0; i < NKnobs; i++)
		n *= has_knob(op, i) ? knobs[i].values.n : 1;
	return n;
}

/* One digit a knob, each counted from the usual value on. */
Schedule schedule_number(const Target *t, Op op, int number)
{
	Schedule s = usual_schedule(t, op);

	for (int i = 0; i < NKnobs; i++) {
		const List *values = &knobs[i].values;
		int usual = place_in(values, knob_value(&s, i));
		if (usual < 0)
			bug("knob %s: what target %s does is none of the values", knobs[i].name, t->name);
		if (!has_knob(op, i))
			continue;
		set_knob(&s, i, values->v[(usual + number) % values->n]);
		number /= values->n;
	}
	return s;
}
