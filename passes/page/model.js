'use strict';
// The data of the page, with links both ways: ONNX nodes <-> rows of the graph <-> steps and their kernels <-> lines of the IR.
// Steps, kernels and slots are those of the target that is shown.

const data = JSON.parse(document.getElementById('data').textContent);
const text = (i) => (i < 0 ? '' : data.strings[i]);

// ---- formulas: + - * / % min max over symbols, as dcc prints them; / rounds down

const cached = new Map();

// A function of an object that has the symbols' values; null: there is no formula.
function formulaOf(i) {
	if (i < 0)
		return null;
	if (!cached.has(i))
		cached.set(i, parseFormula(text(i)));
	return cached.get(i);
}

function parseFormula(source) {
	const tokens = source.match(/[A-Za-z_]\w*|\d+|[-+*\/%(),]/g) || [];
	let at = 0;
	const take = (token) => tokens[at] === token && ++at;
	const operations = {
		'+': (a, b) => (env) => a(env) + b(env),
		'-': (a, b) => (env) => a(env) - b(env),
		'*': (a, b) => (env) => a(env) * b(env),
		'/': (a, b) => (env) => Math.floor(a(env) / b(env)),
		'%': (a, b) => (env) => { const y = b(env); return ((a(env) % y) + y) % y; },
		min: (a, b) => (env) => Math.min(a(env), b(env)),
		max: (a, b) => (env) => Math.max(a(env), b(env)),
	};
	function atom() {
		const token = tokens[at++];
		if (token === '(') {
			const inner = sum();
			take(')');
			return inner;
		}
		if (token === '-') {
			const inner = product();
			return (env) => -inner(env);
		}
		if ((token === 'min' || token === 'max') && take('(')) {
			const a = sum();
			take(',');
			const b = sum();
			take(')');
			return operations[token](a, b);
		}
		const number = Number(token);
		return Number.isNaN(number) ? (env) => env[token] ?? 1 : () => number;
	}
	function chain(part, signs) {
		let left = part();
		while (signs.includes(tokens[at])) {
			const operation = operations[tokens[at++]];
			left = operation(left, part());
		}
		return left;
	}
	const product = () => chain(atom, ['*', '/', '%']);
	const sum = () => chain(product, ['+', '-']);
	return sum();
}

// ---- what there is

const symbols = data.symbols.map(([name, least, most, given]) => ({name: text(name), least, most, given}));

const onnx = data.onnx.map(([name, op, opset, from, layers], id) =>
	({kind: 'onnx', id, name, layers: text(layers), op: text(op), opset, from: [...new Set(from)].filter((i) => i < data.onnx.length), to: [], rows: [], steps: [], fusions: [], weights: []}));
const onnxOf = new Map(onnx.map((node) => [node.name, node]));
for (const node of onnx)
	for (const from of node.from)
		onnx[from].to.push(node.id);

// An ONNX node of whom nothing but the name is known: of IR text that was read at a later stage.
function onnxNamed(name) {
	if (name < 0)
		return null;
	if (!onnxOf.has(name)) {
		const node = {kind: 'onnx', id: onnx.length, name, layers: '', op: '', opset: 0, from: [], to: [], rows: [], steps: [], fusions: [], weights: []};
		onnx.push(node);
		onnxOf.set(name, node);
	}
	return onnxOf.get(name);
}

// Rows of the graph: nodes, ports, and scopes, which are groups and the bodies of if and loop.
const rows = data.graph.map((row, id) => {
	const [what, name, scope, ref] = row;
	const isScope = row.length === 4, isNode = typeof what === 'number';
	return {
		kind: isScope ? 'scope' : 'row', id, what: isNode ? data.operators[what][0] : what, cls: isNode ? data.operators[what][1] : isScope ? what : 'port',
		isNode, name, onnx: isNode || isScope ? onnxNamed(name) : null, scope, ref: text(ref), type: isScope ? '' : text(row[4]),
		from: isScope ? [] : [...new Set(row[5])], to: [], back: [], next: [], level: null, ms: 0, line: -1,
	};
});
for (const row of rows) {
	for (const from of row.from)
		rows[from].to.push(row.id);
	if (row.onnx && row.isNode)
		row.onnx.rows.push(row);
}
for (const [from, to] of data.back) { // what a loop's body yields, and what it is in the next iteration
	rows[from].next.push(to);
	rows[to].back.push(from);
}

const fusions = data.fusions.map(([pattern, why, names], id) => {
	const fusion = {id, pattern: text(pattern), why: text(why), onnx: names.map(onnxNamed)};
	fusion.onnx.forEach((node) => node.fusions.push(fusion));
	return fusion;
});
const weights = data.weights.map(([name, how, type, bytes, user], id) => {
	const weight = {kind: 'weight', id, name: text(name) || 'computed', how: text(how), type: text(type), bytes, user: onnxNamed(user)};
	if (weight.user)
		weight.user.weights.push(weight);
	return weight;
});

// Lines of the IR, by the value that they begin with; bodies of if and loop share the line of their node.
const lines = data.ir.split('\n');
const rowOfLine = new Map();
{
	const byRef = new Map(rows.filter((row) => row.isNode || row.kind === 'scope').map((row) => [row.ref, row]));
	lines.forEach((line, i) => {
		const ref = /^\s*(%(?:"(?:[^"\\]|\\.)*"|[\w.]+)): /.exec(line), row = ref && byRef.get(ref[1]);
		if (row) {
			row.line = i;
			rowOfLine.set(i, row);
		}
	});
	for (const row of rows)
		if (row.kind === 'scope')
			row.line = byRef.get(row.ref).line;
}

// ---- sizes and times

const sizes = {threads: data.profile ? data.profile.threads : 1}; // values of the symbols, which people may change
for (const symbol of symbols)
	sizes[symbol.name] = data.profile && symbol.name in data.profile.symbols ? data.profile.symbols[symbol.name]
		: Math.min(Math.max(8, symbol.least), symbol.most ?? Infinity); // as dcc-run takes dims that nobody gives

function valueOf(formula) {
	const f = formulaOf(formula);
	return f ? f(sizes) : NaN;
}

// Of a step, in ms: the larger of what the rates that the compiler assumes give.
const estimateOf = (flop, bytes) => Math.max(flop / data.assumed_gflop_per_s, bytes / data.assumed_gbyte_per_s) / 1e6;

function costOf(step) {
	const [ms, calls, flop, bytes] = step.measured || [NaN, 1, valueOf(step.flop), valueOf(step.bytes)];
	return {ms, calls, flop, bytes, estimate: estimateOf(flop, bytes)};
}

// ---- what a target runs

for (const p of data.programs) // steps that differ in nothing but their kernel hold nothing else
	p.steps.forEach((step, id) => step.length === 1 && step.push(...data.programs[0].steps[id].slice(1)));
const texts = new Map(data.kernels); // of kernels, by name
const firstProgram = data.programs.find((p) => data.profile && p.target === data.profile.target) || data.programs[0] || null;
let program = null, profile = null, steps = [], kernelList = [], slots = []; // null: the model stopped before there were any; nothing is measured

function takeProgram(taken) {
	program = taken;
	profile = program && data.profile && data.profile.target === program.target ? data.profile : null;
	onnx.forEach((node) => (node.steps = []));
	rows.forEach((row) => (row.ms = 0));
	const kernels = new Map(), code = new Map(program ? program.code : []);
	steps = (program ? program.steps : []).map(([name, flop, bytes, names], id) => {
		if (name >= 0 && !kernels.has(name))
			kernels.set(name, {kind: 'kernel', id: kernels.size, name, code: texts.get(name) || '', bytes: code.get(name) ?? NaN, steps: []});
		const step = {kind: 'step', id, kernel: kernels.get(name), flop, bytes, onnx: names.map(onnxNamed), measured: profile ? profile.steps[id] || null : null};
		if (step.kernel)
			step.kernel.steps.push(step);
		step.onnx.forEach((node) => node.steps.push(step));
		return step;
	});
	kernelList = [...kernels.values()];
	slots = (program ? program.slots : []).map(([offset, bytes, held], id) =>
		({id, offset, bytes, held: held.map(([what, first, last]) => ({slot: id, what: text(what), node: onnxOf.get(what), first, last}))}));
	for (const step of steps) { // a step counts for the first row of its first ONNX node that does arithmetic, or the first of all
		const list = step.onnx.length ? step.onnx[0].rows : [];
		const row = list.find((r) => r.cls !== 'move' && r.cls !== 'source') || list[0];
		step.row = row || null;
		if (row)
			row.ms += costOf(step).ms || 0;
	}
}

// Bytes of the code of a target, NaN: none was made.
const codeOf = (of) => (of.code.length ? of.code.reduce((sum, [, bytes]) => sum + bytes, 0) : NaN);

// Steps that do the work of an ONNX node on other targets: [program, step's number, kernel's name].
const elsewhere = (node) => data.programs.filter((p) => p !== program).flatMap((p) =>
	p.steps.flatMap(([name, , , names], id) => (names.includes(node.name) ? [[p, id, name]] : [])));

takeProgram(firstProgram);

// What an ONNX node without steps of its own runs in: what it was fused to, else the first that follows and has some.
const fusedTo = (node) => node.fusions.filter((f) => !f.why).flatMap((f) => f.onnx).find((other) => other.steps.length);
const runner = (node) => (node.steps.length ? node : fusedTo(node) || node);

function heirOf(node) {
	if (fusedTo(node))
		return fusedTo(node);
	const seen = new Set([node.id]), queue = [...node.to];
	for (let i = 0; i < queue.length && i < 1000; i++) {
		const next = onnx[queue[i]];
		if (next.steps.length)
			return next;
		for (const to of next.to)
			if (!seen.has(to)) {
				seen.add(to);
				queue.push(to);
			}
	}
	return null;
}

// ---- numbers as people read them

const largest = (list, f, least = 0) => list.reduce((most, item) => Math.max(most, f(item) || 0), least);

function inBytes(n) {
	if (!Number.isFinite(n))
		return '?';
	for (const unit of ['B', 'KB', 'MB', 'GB'])
		if (Math.abs(n) < 1000 || unit === 'GB')
			return `${unit === 'B' ? n : n.toPrecision(3)} ${unit}`;
		else
			n /= 1000;
}
const short = (n) => (!Number.isFinite(n) ? '' : n === 0 ? '0' : Math.abs(n) >= 1e9 ? `${(n / 1e9).toPrecision(3)} G` : Math.abs(n) >= 1e6
	? `${(n / 1e6).toPrecision(3)} M` : Math.abs(n) >= 1e3 ? `${(n / 1e3).toPrecision(3)} k` : String(Number(n.toPrecision(3))));
const inMs = (n) => (Number.isFinite(n) ? (n >= 100 ? n.toFixed(1) : n >= 1 ? n.toFixed(3) : n.toFixed(5)) : '');
