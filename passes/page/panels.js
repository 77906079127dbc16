'use strict';
// Everything that is a text or a table: the details of what is chosen, and the views beside the graph.

function element(tag, attributes, parent, content) {
	const e = document.createElement(tag);
	for (const key in attributes)
		if (attributes[key] !== null)
			e.setAttribute(key, attributes[key]);
	if (content !== undefined)
		e.textContent = content;
	if (parent)
		parent.append(e);
	return e;
}

// ---- links

const tabOf = {row: 'graph', scope: 'graph', level: 'graph', onnx: 'graph', step: 'kernels', kernel: 'kernels', weight: 'weights'};
const labelOf = (item) => {
	switch (item.kind) {
	case 'onnx': case 'kernel': return text(item.name);
	case 'step': return `step ${item.id}`;
	case 'level': return item.title;
	case 'weight': return item.name;
	default: return item.isNode ? `${item.ref} ${item.what}` : text(item.name) || item.ref;
	}
};
// The target stands in the address where it is not the one that the page begins with.
const targetPart = (of) => (of && of !== firstProgram ? `/${of.target}` : '');
const addressOf = (item, tab, of = program) => `#${tab || tabOf[item.kind]}/${item.kind}/${item.id}${targetPart(of)}`;
const link = (parent, item, label, tab, of) => element('a', {class: 'name', href: addressOf(item, tab, of)}, parent, label ?? labelOf(item));

// The first of a list, one a line, and how many there are more.
function put(list, parent, draw, most = 12) {
	list.slice(0, most).forEach((item) => draw(element('div', {}, parent), item));
	if (list.length > most) {
		const more = element('button', {type: 'button'}, parent, `${list.length - most} more`);
		more.addEventListener('click', () => {
			more.remove();
			put(list.slice(most), parent, draw, 10 * most);
		});
	}
}

function field(dl, what, content) {
	if (content === '' || content === null || content === undefined)
		return null;
	element('dt', {}, dl, what);
	const dd = element('dd', {}, dl);
	if (typeof content === 'string')
		dd.textContent = content;
	return dd;
}

function links(dl, what, list, tab) {
	if (list.length)
		put(list, field(dl, what, true), (at, item) => link(at, item, undefined, tab));
}

// ---- details

function stepLine(at, step) {
	const cost = costOf(step);
	link(at, step);
	at.append(' ');
	if (step.kernel)
		link(at, step.kernel);
	at.append(Number.isFinite(cost.ms) ? ` ${inMs(cost.ms)} ms` : Number.isFinite(cost.estimate) ? ` ≈ ${inMs(cost.estimate)} ms` : '');
}

function otherLine(at, [of, id, kernel]) {
	at.append(`${of.target}: `);
	link(at, {kind: 'step', id}, `step ${id} ${text(kernel)}`, undefined, of);
}

function fusionLine(at, fusion) {
	element('strong', {}, at, fusion.why ? `not ${fusion.pattern}: ` : `${fusion.pattern}: `);
	if (fusion.why)
		element('span', {class: 'name'}, at, fusion.why);
	else
		fusion.onnx.forEach((node, i) => {
			at.append(i ? ' + ' : '');
			link(at, node);
		});
}

function onnxFields(dl, node) {
	field(dl, 'module', node.layers);
	field(dl, 'ONNX operator', node.op && `${node.op}${node.opset > 0 ? `-${node.opset}` : ''}`);
	links(dl, 'in the graph', node.rows);
	const runs = runner(node);
	if (runs !== node)
		links(dl, 'is part of', [runs]);
	if (runs.steps.length)
		put(runs.steps, field(dl, 'runs as', true), stepLine);
	const others = elsewhere(runs);
	if (others.length)
		put(others, field(dl, 'beside', true), otherLine);
	if (!runs.steps.length && program) {
		const heir = heirOf(node), how = node.rows.length ? 'is a view' : 'became a constant, a dim or part of a view';
		const dd = field(dl, 'code', `${how}, no code of its own${heir ? '; what comes of it goes into ' : ''}`);
		if (heir)
			link(dd, heir);
	}
	if (node.fusions.length)
		put(node.fusions, field(dl, 'fusions', true), fusionLine);
	if (node.weights.length)
		put(node.weights, field(dl, 'weights', true), (at, weight) => {
			link(at, weight);
			at.append(` ${inBytes(weight.bytes)}`);
		});
	links(dl, 'from', node.from.map((id) => onnx[id]));
	links(dl, 'to', node.to.map((id) => onnx[id]));
}

function rowDetails(dl, row) {
	field(dl, 'value', `${row.ref}: ${row.type}`).className = 'name';
	if (row.level !== root)
		links(dl, 'in', [row.level]);
	if (row.line >= 0)
		link(field(dl, 'text', true), row, `line ${row.line + 1} of the IR`, 'ir');
	links(dl, 'operands', row.from.map((id) => rows[id]));
	links(dl, 'used by', row.to.map((id) => rows[id]));
	links(dl, 'the iteration before gives', row.back.map((id) => rows[id]));
	links(dl, 'in the next iteration', row.next.map((id) => rows[id]));
	if (row.onnx) {
		link(field(dl, 'ONNX node', true), row.onnx);
		onnxFields(dl, row.onnx);
	}
}

function levelDetails(dl, level) {
	const operators = new Map();
	eachRow(level, (row) => row.isNode && operators.set(row.what, (operators.get(row.what) || 0) + 1));
	field(dl, 'nodes', String(level.count));
	field(dl, 'time', level.ms > 0 ? `${inMs(level.ms)} ms, ${(100 * level.ms / root.ms).toFixed(1)} %` : '');
	field(dl, 'operators', [...operators].sort((a, b) => b[1] - a[1]).map(([op, n]) => `${n} ${op}`).join(', '));
	if (level.scope && level.scope.line >= 0)
		link(field(dl, 'text', true), level.scope, `line ${level.scope.line + 1} of the IR`, 'ir');
	if (level.parent)
		links(dl, 'in', [level.parent]);
	links(dl, 'holds', level.children);
	if (level.scope && level.scope.onnx)
		link(field(dl, 'ONNX node', true), level.scope.onnx);
	if (level !== root) {
		const button = element('button', {type: 'button'}, field(dl, '', true), opened.has(level) ? 'Close it' : 'Open it');
		button.addEventListener('click', () => toggle(level));
	}
}

function costFields(dl, cost) {
	field(dl, 'FLOP', short(cost.flop));
	field(dl, 'bytes', inBytes(cost.bytes));
	field(dl, 'estimate', Number.isFinite(cost.estimate) ? `${inMs(cost.estimate * cost.calls)} ms` : '');
	field(dl, 'measured', Number.isFinite(cost.ms) ? `${inMs(cost.ms)} ms${cost.calls === 1 ? '' : ` in ${cost.calls} calls`}` : '');
}

function stepDetails(dl, step) {
	if (step.kernel)
		link(field(dl, 'kernel', true), step.kernel);
	links(dl, 'ONNX nodes', step.onnx);
	links(dl, 'in the graph', [...new Set(step.onnx.flatMap((node) => node.rows))]);
	costFields(dl, costOf(step));
	if (step.onnx.length && elsewhere(step.onnx[0]).length)
		put(elsewhere(step.onnx[0]), field(dl, 'beside', true), otherLine);
	field(dl, 'FLOP =', text(step.flop));
	field(dl, 'bytes =', text(step.bytes));
	const held = slots.flatMap((slot) => slot.held.filter((h) => h.first <= step.id && step.id <= h.last));
	if (held.length)
		put(held, field(dl, 'workspace', true), (at, h) => at.append(`${h.what}: ${inBytes(valueOf(slots[h.slot].bytes))}, steps ${h.first} to ${h.last}`));
}

function codeDetails(at, kernel) {
	element('h2', {}, at, `Loop IR of ${text(kernel.name)}`);
	element('pre', {tabindex: 0}, at, kernel.code || 'left out: the texts of all kernels together are too long; dcc --emit=loops prints them');
}

function drawDetails() {
	const at = document.getElementById('details'), item = picked || root, dl = document.createElement('dl');
	at.replaceChildren();
	const title = {onnx: 'ONNX node ', kernel: 'Kernel ', weight: 'Weight ', row: '', scope: '', level: item === root ? 'Model ' : '', step: ''}[item.kind];
	element('h2', {}, at, title).append(element('span', {class: 'name'}, null, labelOf(item)));
	at.append(dl);
	switch (item.kind) {
	case 'row': rowDetails(dl, item); break;
	case 'scope': levelDetails(dl, item.inner); break;
	case 'level': levelDetails(dl, item); break;
	case 'onnx': onnxFields(dl, item); break;
	case 'step':
		stepDetails(dl, item);
		if (item.kernel)
			codeDetails(at, item.kernel);
		break;
	case 'kernel':
		field(dl, 'code', Number.isFinite(item.bytes) ? inBytes(item.bytes) : '');
		put(item.steps, field(dl, 'steps', true), stepLine);
		codeDetails(at, item);
		break;
	case 'weight':
		field(dl, 'type', item.type);
		field(dl, 'bytes', `${inBytes(item.bytes)}`);
		field(dl, 'made by', item.how);
		if (item.user)
			links(dl, 'ONNX node', [item.user]);
		break;
	}
}

// ---- tables

// columns: [title, class, draw(cell, item)]; rows come as they are asked for, or as far as the one that is chosen.
function table(view, columns, list, most = 200) {
	const MostFollowed = 5000, at = list.findIndex((item) => (item.step || item) === picked);
	const t = element('table', {}, view), head = element('tr', {}, element('thead', {}, t)), body = element('tbody', {}, t);
	for (const [title, cls] of columns)
		element('th', {class: cls, scope: 'col'}, head, title);
	let shown = 0;
	const more = element('button', {type: 'button'}, view);
	const draw = () => {
		for (const end = Math.min(list.length, shown + most); shown < end; shown++) {
			const tr = element('tr', {class: shown === at ? 'picked' : null}, body);
			for (const [, cls, fill] of columns) {
				const cell = element('td', {class: cls}, tr), content = fill(cell, list[shown]);
				if (content !== undefined)
					cell.textContent = content;
			}
		}
		more.textContent = `${list.length - shown} more rows`;
		more.hidden = shown === list.length;
	};
	more.addEventListener('click', draw);
	do
		draw();
	while (shown <= at && at < MostFollowed);
}

const note = (view, content) => element('p', {class: 'note'}, view, content);
const nodeLinks = (cell, list) => list.slice(0, 6).forEach((node, i) => {
	cell.append(i ? ' + ' : '');
	link(cell, node);
});

// All targets beside each other; a click shows another one.
function drawTargets(view) {
	const kernelsOf = (of) => new Set(of.steps.map(([name]) => name));
	const own = (of) => [...kernelsOf(of)].filter((name) => data.programs.every((p) => p === of || !kernelsOf(p).has(name))).length;
	table(view, [
		['target', '', (cell, of) => {
			if (of === program)
				element('strong', {}, cell, of.target);
			else
				element('a', {href: viewAddress('kernels', of)}, cell, of.target);
		}],
		['steps', 'number', (_, of) => String(of.steps.length)],
		['kernels', 'number', (_, of) => String(kernelsOf(of).size)],
		['of its own', 'number', (_, of) => String(own(of))],
		['code', 'number', (_, of) => (Number.isFinite(codeOf(of)) ? inBytes(codeOf(of)) : '')],
	], data.programs);
}

function drawKernels(view) {
	if (!program) {
		note(view, `The model stopped at stage ${data.stage}: there are no kernels.`);
		return;
	}
	if (data.programs.length > 1)
		drawTargets(view);
	const all = steps.map((step) => ({step, ...costOf(step)})), key = profile ? 'ms' : 'estimate', most = largest(all, (x) => Math.max(x.ms || 0, x.estimate * x.calls || 0), 1e-12);
	if (profile) {
		note(view, `Target ${program.target}, ${profile.threads} thread${profile.threads > 1 ? 's' : ''}, medians of ${profile.runs} runs: a run ${inMs(profile.run_ms)} ms, its steps ${inMs(profile.steps_ms)} ms. `
			+ `Estimates assume ${data.assumed_gflop_per_s} GFLOP/s and ${data.assumed_gbyte_per_s} GB/s.`);
		drawRoofline(view, all);
	} else {
		note(view, `Target ${program.target}. Nothing is measured: dcc-run --profile=prof.json and dcc --profile-data=prof.json add times. Estimates assume `
			+ `${data.assumed_gflop_per_s} GFLOP/s, ${data.assumed_gbyte_per_s} GB/s, one thread, and the sizes that are set in the view Memory.`);
	}
	all.sort((a, b) => (b[key] || 0) - (a[key] || 0));
	const bar = (cell, ms, cls) => Number.isFinite(ms) && element('span', {class: `bar ${cls}`, style: `width:${(5 * ms / most).toFixed(2)}em`}, cell);
	const measured = [
		['ms', 'number', (_, x) => inMs(x.ms)],
		['share', 'number', (_, x) => `${(100 * x.ms / profile.steps_ms).toFixed(1)} %`],
		['', '', (cell, x) => { bar(cell, x.ms, ''); element('br', {}, cell); bar(cell, x.estimate * x.calls, 'estimate'); }],
		['GFLOP/s', 'number', (_, x) => short(x.flop / x.ms / 1e6)],
		['GB/s', 'number', (_, x) => short(x.bytes / x.ms / 1e6)],
	];
	table(view, [
		['step', 'number', (cell, x) => { link(cell, x.step, String(x.step.id)); }],
		...(profile ? measured : [['', '', (cell, x) => { bar(cell, x.estimate, 'estimate'); }]]),
		['estimate', 'number', (_, x) => inMs(x.estimate * x.calls)],
		...(program.code.length ? [['code', 'number', (_, x) => (x.step.kernel && Number.isFinite(x.step.kernel.bytes) ? inBytes(x.step.kernel.bytes) : '')]] : []),
		['kernel', '', (cell, x) => { x.step.kernel && link(cell, x.step.kernel); }],
		['ONNX nodes', '', (cell, x) => nodeLinks(cell, x.step.onnx)],
	], all);
	if (program.steps_cut)
		note(view, 'There are more steps: they are left out.');
	if (program.code_cut)
		note(view, 'There are more kernels: the bytes of their code are left out.');
}

function drawWeights(view) {
	note(view, `${inBytes(data.weight_bytes)} in all${data.more_weights ? `; ${data.more_weights} smaller ones with ${inBytes(data.more_weight_bytes)} are left out` : ''}.`);
	const most = weights.length ? weights[0].bytes : 1;
	table(view, [
		['bytes', 'number', (_, w) => inBytes(w.bytes)],
		['', '', (cell, w) => { element('span', {class: 'bar', style: `width:${(8 * w.bytes / most).toFixed(2)}em`}, cell); }],
		['name', '', (cell, w) => { link(cell, w); }],
		['type', 'code', (_, w) => w.type],
		['made by', 'code', (_, w) => w.how],
		['ONNX node', '', (cell, w) => { w.user && link(cell, w.user); }],
	], weights);
}

function drawFusions(view) {
	const missed = fusions.filter((f) => f.why), matched = fusions.filter((f) => !f.why);
	element('h2', {}, view, `Nearly: ${missed.length}`);
	table(view, [['pattern', '', (_, f) => f.pattern], ['why not', 'name', (_, f) => f.why], ['ONNX node', '', (cell, f) => nodeLinks(cell, f.onnx)]], missed);
	element('h2', {}, view, `Fused: ${matched.length}`);
	table(view, [['pattern', '', (_, f) => f.pattern], ['ONNX nodes', '', (cell, f) => nodeLinks(cell, f.onnx)]], matched);
	if (data.more_fusions)
		note(view, `${data.more_fusions} more are left out.`);
}

function drawOnnx(view) {
	note(view, 'The nodes that were imported, in their order, and what became of them.');
	table(view, [
		['node', '', (cell, node) => { link(cell, node, undefined, 'onnx'); }],
		['operator', '', (_, node) => node.op],
		['in the graph', '', (cell, node) => nodeLinks(cell, node.rows)],
		['kernels', '', (cell, node) => nodeLinks(cell, [...new Set(runner(node).steps.map((step) => step.kernel).filter(Boolean))])],
	], onnx);
}

// Lines of a fixed height, of which those are there that are seen.
function drawIr(view) {
	const height = 16, at = element('div', {class: 'lines', style: `height:${lines.length * height + 30}px`}, view);
	const draw = () => {
		const first = Math.max(0, Math.floor(view.scrollTop / height) - 20), last = Math.min(lines.length, first + Math.ceil(view.clientHeight / height) + 40);
		at.replaceChildren();
		for (let i = first; i < last; i++) {
			const row = rowOfLine.get(i);
			const line = element('div', {style: `top:${i * height}px`, class: row ? (picked && picked.line === i ? 'linked picked' : 'linked') : null}, at, lines[i]);
			if (row)
				line.addEventListener('click', () => (location.hash = addressOf(row, 'ir')));
		}
		if (data.ir_cut && last === lines.length)
			element('div', {class: 'note', style: `top:${lines.length * height}px`}, at, `The rest is left out: the text is longer than ${inBytes(data.most_text)}; dcc --emit=ir prints it.`);
	};
	view.onscroll = draw;
	if (picked && picked.line >= 0) {
		const y = picked.line * height;
		if (y < view.scrollTop || y > view.scrollTop + view.clientHeight - height)
			view.scrollTop = y - view.clientHeight / 2;
	}
	draw();
}
