/* report_text.c - the report as text and as JSON. */
#include "report.h"

#include <string.h>

#include "../runtime/dcc.h"

/* Seconds; false: not known. */
static bool estimate(const Module *m, const KernelUse *u, double *seconds)
{
	int64_t flop, bytes;
	if (!value_of(m, u->flop_of, &flop) || !value_of(m, u->bytes_of, &bytes))
		return false;
	double compute = (double)flop / AssumedFlops, memory = (double)bytes / AssumedBytes;
	*seconds = compute > memory ? compute : memory;
	return true;
}

/* ---- text -------------------------------------------------------------------------------------------------------- */

static void print_nodes(FILE *f, int n, const Loc *const *nodes)
{
	int shown = 0;
	for (int i = 0; i < n; i++)
		if (nodes[i]->node) {
			fputs(shown++ ? " + " : "", f);
			print_safe(f, nodes[i]->node);
		}
}

static void text_fused(FILE *f, const Report *r)
{
	for (int missed = 0; missed < 2; missed++)
		for (int i = 0; i < r->nfused; i++) {
			const Fused *x = &r->fused[i];
			if ((x->why != NULL) != missed || x->settled)
				continue;
			fprintf(f, "%-8s %-10s ", missed ? "missed" : "matched", x->pattern);
			print_nodes(f, x->n, x->nodes);
			fprintf(f, "%s%s\n", x->why ? ": " : "", x->why ? x->why : "");
		}
}

static void text_sizes(FILE *f, const Report *r, const LModule *lm)
{
	int64_t v;
	fprintf(f, "\nsizes\n  weights    %lld bytes\n", (long long)lm->weight_bytes);
	if (lm->code_bytes)
		fprintf(f, "  code       %lld bytes\n", (long long)lm->code_bytes);
	fprintf(f, "  workspace  %s", lm->workspace ? formula(r->m, lm->workspace) : "0");
	if (value_of(r->m, lm->workspace, &v) && lm->workspace->op != LConst)
		fprintf(f, " = %lld", (long long)v);
	fputs(" bytes\n", f);
}

static void text_memory(FILE *f, const Report *r, const LModule *lm)
{
	for (int p = 0; p < lm->nprog && r->nroom; p++) {
		fprintf(f, "\nmemory %s: slots of the workspace, and what each holds from step to step\n", lm->programs[p]->target);
		for (int i = 0; i < r->nroom; i++) {
			const Room *x = r->rooms[i];
			if (!same_text(x->target, lm->programs[p]->target))
				continue;
			fprintf(f, "  at %s: %s bytes\n", dim_text(r->m, x->offset), dim_text(r->m, x->bytes));
			for (int k = 0; k < x->n; k++)
				fprintf(f, "    %5d .. %-5d %s\n", x->held[k].from, x->held[k].to, safe_name(r->m->arena, x->held[k].what));
		}
	}
}

static void text_kernels(FILE *f, const Report *r, const LModule *lm)
{
	for (int p = 0; p < lm->nprog; p++) {
		fprintf(f, "\nkernels %s: calls, estimated ms a call, kernel, FLOP, bytes; ONNX nodes of each call\n",
		        lm->programs[p]->target);
		for (int i = 0; i < r->nuse; i++) {
			const KernelUse *u = r->uses[i];
			double s;
			if (!same_text(u->target, lm->programs[p]->target))
				continue;
			char ms[32] = "-";
			if (estimate(r->m, u, &s))
				snprintf(ms, sizeof ms, "%.4f", 1e3 * s);
			fprintf(f, "  %4d  %9s  %-20s  %s  %s\n", u->n, ms, u->fn->name, u->flop ? u->flop : "?",
			        u->bytes ? u->bytes : "?");
			for (int k = 0; k < u->n; k++) {
				fputs("                     ", f);
				print_nodes(f, u->steps[k]->nloc, u->steps[k]->locs);
				putc('\n', f);
			}
		}
	}
}

static void text_head(FILE *f, const Report *r)
{
	fprintf(f, "dcc " DCC_VERSION ": model %s\n", r->m->name);
	for (int i = 0; i < r->m->nsym; i++)
		fprintf(f, "symbol %s in %lld..%lld\n", r->m->syms[i]->name, (long long)r->m->syms[i]->lo,
		        (long long)r->m->syms[i]->hi);
	fprintf(f,
	        "Numbers hold at the symbols' upper bounds and one thread; -D SYM=N gives other ones.\n"
	        "Estimates: the larger of FLOP / %g GFLOP/s and bytes / %g GB/s, both assumed; -: a symbol has no bound.\n\n",
	        AssumedFlops / 1e9, AssumedBytes / 1e9);
}

static void text_tuning(FILE *f, const Report *r)
{
	const Tuning *t = r->tuning;
	fprintf(f, "\ntuning\n  %s, hash %016llx", safe_name(r->m->arena, t->path), (unsigned long long)t->hash);
	fprintf(f, ", measured by dcc %s", safe_name(r->m->arena, t->version));
	fprintf(f, " on %s\n", safe_name(r->m->arena, t->cpu));
	fprintf(f, "  %d of %d shapes were of use, for %d of %d nodes\n", count_used(t), t->n, count_tuned(t), t->nchoice);
}

static void write_report_text(FILE *f, const Report *r, const LModule *lm)
{
	if (lm)
		text_head(f, r);
	text_fused(f, r);
	if (!lm)
		return;
	text_sizes(f, r, lm);
	if (r->tuning)
		text_tuning(f, r);
	text_memory(f, r, lm);
	text_kernels(f, r, lm);
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static void json_key(FILE *f, const char *key, const char *value)
{
	fprintf(f, ", \"%s\": ", key);
	print_json(f, value);
}

static void json_number(FILE *f, const char *key, bool known, int64_t v)
{
	fprintf(f, ", \"%s\": ", key);
	if (known)
		fprintf(f, "%lld", (long long)v);
	else
		fputs("null", f);
}

static void json_nodes(FILE *f, int n, const Loc *const *nodes)
{
	int shown = 0;
	putc('[', f);
	for (int i = 0; i < n; i++)
		if (nodes[i]->node) {
			fputs(shown++ ? ", " : "", f);
			print_json(f, nodes[i]->node);
		}
	putc(']', f);
}

static void json_fused(FILE *f, const Report *r, bool missed)
{
	int shown = 0;
	fprintf(f, ",\n\"%s\": [", missed ? "missed" : "fused");
	for (int i = 0; i < r->nfused; i++) {
		const Fused *x = &r->fused[i];
		if ((x->why != NULL) != missed || x->settled)
			continue;
		fputs(shown++ ? ",\n  {\"pattern\": " : "\n  {\"pattern\": ", f);
		print_json(f, x->pattern);
		if (missed) {
			json_key(f, "node", x->n ? x->nodes[0]->node : "");
			json_key(f, "why", x->why);
		} else {
			fputs(", \"nodes\": ", f);
			json_nodes(f, x->n, x->nodes);
		}
		putc('}', f);
	}
	putc(']', f);
}

static void json_sizes(FILE *f, const Report *r, const LModule *lm)
{
	int64_t v = 0;
	bool known = !lm->workspace || value_of(r->m, lm->workspace, &v);
	fprintf(f, ",\n\"sizes\": {\"weights_bytes\": %lld", (long long)lm->weight_bytes);
	json_number(f, "code_bytes", lm->code_bytes > 0, lm->code_bytes);
	json_key(f, "workspace", lm->workspace ? formula(r->m, lm->workspace) : "0");
	json_number(f, "workspace_bytes", known, v);
	putc('}', f);
}

static void json_held(FILE *f, const Report *r, const Room *room, const Held *h)
{
	int64_t v;
	fputs("{\"target\": ", f);
	print_json(f, room->target);
	json_key(f, "value", h->what);
	fprintf(f, ", \"first_step\": %d, \"last_step\": %d", h->from, h->to);
	json_key(f, "offset", dim_text(r->m, room->offset));
	json_key(f, "size", dim_text(r->m, room->bytes));
	bool known = dim_value(r->m, room->bytes, &v);
	json_number(f, "size_bytes", known, v);
	putc('}', f);
}

static void json_memory(FILE *f, const Report *r)
{
	int shown = 0;
	fputs(",\n\"memory\": [", f);
	for (int i = 0; i < r->nroom; i++)
		for (int k = 0; k < r->rooms[i]->n; k++) {
			fputs(shown++ ? ",\n  " : "\n  ", f);
			json_held(f, r, r->rooms[i], &r->rooms[i]->held[k]);
		}
	putc(']', f);
}

static void json_tuning(FILE *f, const Report *r)
{
	const Tuning *t = r->tuning;
	fputs(",\n\"tuning\": {\"file\": ", f);
	print_json(f, t->path);
	fprintf(f, ", \"hash\": \"%016llx\"", (unsigned long long)t->hash);
	json_key(f, "dcc", t->version);
	json_key(f, "cpu", t->cpu);
	json_number(f, "shapes", true, t->n);
	json_number(f, "used", true, count_used(t));
	json_number(f, "nodes", true, count_tuned(t));
	putc('}', f);
}

static void json_kernel(FILE *f, const Report *r, const KernelUse *u)
{
	int64_t v;
	double seconds;
	fputs("{\"kernel\": ", f);
	print_json(f, u->fn->name);
	json_key(f, "target", u->target);
	fprintf(f, ", \"calls\": %d", u->n);
	json_key(f, "flop_formula", u->flop);
	json_key(f, "bytes_formula", u->bytes);
	bool known = value_of(r->m, u->flop_of, &v);
	json_number(f, "flop", known, v);
	known = value_of(r->m, u->bytes_of, &v);
	json_number(f, "bytes", known, v);
	fputs(", \"estimate_ms\": ", f);
	if (estimate(r->m, u, &seconds))
		fprintf(f, "%.6g", 1e3 * seconds);
	else
		fputs("null", f);
	fputs(", \"nodes\": [", f);
	for (int i = 0; i < u->n; i++) {
		fputs(i ? ", " : "", f);
		json_nodes(f, u->steps[i]->nloc, u->steps[i]->locs);
	}
	fputs("]}", f);
}

static void json_kernels(FILE *f, const Report *r)
{
	fputs(",\n\"kernels\": [", f);
	for (int i = 0; i < r->nuse; i++) {
		fputs(i ? ",\n  " : "\n  ", f);
		json_kernel(f, r, r->uses[i]);
	}
	putc(']', f);
}

static void write_report_json(FILE *f, const Report *r, const LModule *lm)
{
	fputs("{\"dcc\": \"" DCC_VERSION "\"", f);
	json_key(f, "model", r->m->name);
	fputs(",\n\"symbols\": [", f);
	for (int i = 0; i < r->m->nsym; i++) {
		const Sym *s = r->m->syms[i];
		fputs(i ? ", {\"name\": " : "{\"name\": ", f);
		print_json(f, s->name);
		json_number(f, "lo", true, s->lo);
		json_number(f, "hi", s->hi < DimMax, s->hi);
		putc('}', f);
	}
	fprintf(f, "],\n\"assumed\": {\"gflop_per_s\": %g, \"gbyte_per_s\": %g}", AssumedFlops / 1e9, AssumedBytes / 1e9);
	if (lm)
		json_sizes(f, r, lm);
	if (lm && r->tuning)
		json_tuning(f, r);
	json_fused(f, r, false);
	json_fused(f, r, true);
	if (lm) {
		json_memory(f, r);
		json_kernels(f, r);
	}
	fputs("}\n", f);
}

void write_report(const Report *r, FILE *f, ReportForm form)
{
	if (form == ReportPage)
		write_page(r, f);
	else
		(form == ReportJson ? write_report_json : write_report_text)(f, r, r->m->loops);
}
