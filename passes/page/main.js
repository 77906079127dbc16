'use strict';
// What is chosen and shown, which the address keeps (#view/kind/number/target), so that links, the browser's arrows and bookmarks work.

const views = {
	graph: ['Graph', drawGraph], kernels: ['Kernels', drawKernels], memory: ['Memory', drawMemory], weights: ['Weights', drawWeights],
	fusions: ['Fusions', drawFusions], onnx: ['ONNX nodes', drawOnnx], ir: ['IR', drawIr],
};
const listOf = (kind) => ({row: rows, scope: rows, level: levels, onnx, step: steps, kernel: kernelList, weight: weights})[kind];
const view = document.getElementById('view');
let shown = '', picked = null;

// What of the graph an item stands for.
function graphItem(item) {
	switch (item && item.kind) {
	case 'row': case 'level': return item;
	case 'scope': return item.inner;
	case 'onnx': {
		const of = item.rows.length ? item : heirOf(item);
		return of ? of.rows.find((row) => row.cls !== 'move') || of.rows[0] || null : null;
	}
	case 'step': return item.row;
	case 'kernel': return item.steps.length ? item.steps[0].row : null;
	default: return null;
	}
}

function show(name) {
	const scroll = name === shown ? view.scrollTop : -1;
	shown = name;
	view.className = '';
	view.onscroll = null;
	view.replaceChildren();
	view.setAttribute('aria-label', views[name][0]);
	for (const tab of document.querySelectorAll('#tabs button')) {
		tab.setAttribute('aria-selected', tab.dataset.view === name);
		tab.tabIndex = tab.dataset.view === name ? 0 : -1;
	}
	view.scrollTop = Math.max(0, scroll);
	views[name][1](view);
	if (name === 'ir')
		return; // has found its place
	view.scrollTop = Math.max(0, scroll);
	if (scroll < 0)
		view.querySelector('tr.picked')?.scrollIntoView({block: 'center'});
}

// Another target: what is read off its program is made again.  true: it was not shown before.
function turnTo(of) {
	if (of === program)
		return false;
	takeProgram(of);
	timeLevels(root);
	layouts.clear(); // boxes tell times
	entries = null;
	drawFacts();
	return true;
}

// Of a view of what is chosen; steps and kernels are those of one target: of another one it is their ONNX node.
function viewAddress(name, of = program) {
	const own = picked && of !== program && (picked.kind === 'step' ? picked : picked.kind === 'kernel' ? picked.steps[0] : null);
	const item = own ? own.onnx[0] : picked;
	return item ? addressOf(item, name, of) : `#${name}${of === firstProgram ? '' : `//${targetPart(of)}`}`;
}

function follow() {
	const [name, kind, id, target] = location.hash.slice(1).split('/'), turned = turnTo(data.programs.find((p) => p.target === target) || firstProgram);
	const list = listOf(kind);
	picked = (list && list[Number(id)]) || null;
	if (picked && picked.kind !== kind)
		picked = null;
	const tab = views[name] ? name : shown || 'graph', item = graphItem(picked), moved = tab === 'graph' && item && reveal(item);
	if (tab !== shown || tab !== 'graph' || moved || turned)
		show(tab);
	if (tab === 'graph') {
		markPicked();
		if (item)
			center(item);
	}
	drawDetails();
}

function select(item) {
	const address = addressOf(item, tabOf[item.kind]);
	if (location.hash === address)
		follow();
	else
		location.hash = address;
}

// ---- search

const query = document.getElementById('query'), found = document.getElementById('found');
let entries = null, hits = [], current = -1;

// ONNX nodes first; made when the search is used first.
function allEntries() {
	const entry = (item, name, what) => ({item, name, what, key: name.toLowerCase()});
	entries = entries || [
		...onnx.map((node) => entry(node, text(node.name), `ONNX ${node.op}`)),
		...rows.filter((row) => row.kind === 'row').map((row) => entry(row, row.isNode ? `${row.ref} ${row.what}` : text(row.name) || row.ref, row.isNode ? 'value' : row.what)),
		...kernelList.filter((kernel) => kernel.steps.length).map((kernel) => entry(kernel, text(kernel.name), 'kernel')),
		...weights.map((weight) => entry(weight, weight.name, 'weight')),
	];
	return entries;
}

function search() {
	const words = query.value.toLowerCase().split(/\s+/).filter(Boolean), MostFound = 50;
	hits = [];
	if (words.length) {
		const all = allEntries().filter((e) => words.every((word) => e.key.includes(word) || e.what.toLowerCase().includes(word)));
		const rank = (e) => (e.key === words[0] ? 0 : e.key.endsWith(words[0]) ? 1 : 2);
		hits = all.map((e, i) => [rank(e), i, e]).sort((a, b) => a[0] - b[0] || a[1] - b[1]).slice(0, MostFound).map((x) => x[2]);
	}
	current = hits.length ? 0 : -1;
	found.replaceChildren();
	hits.forEach((hit, i) => {
		const li = element('li', {role: 'option', id: `hit${i}`}, found);
		element('span', {class: 'name'}, li, hit.name);
		li.append(' ');
		element('small', {}, li, hit.what);
		li.addEventListener('pointerdown', (event) => {
			event.preventDefault();
			take(i);
		});
	});
	if (words.length && !hits.length)
		element('li', {role: 'option'}, found, 'nothing is called so');
	found.hidden = !words.length;
	query.setAttribute('aria-expanded', String(!found.hidden));
	mark();
}

function mark() {
	[...found.children].forEach((li, i) => {
		li.setAttribute('aria-selected', String(i === current));
		if (i === current)
			li.scrollIntoView({block: 'nearest'});
	});
	query.setAttribute('aria-activedescendant', current < 0 ? '' : `hit${current}`);
}

function take(i) {
	if (!hits[i])
		return;
	found.hidden = true;
	query.setAttribute('aria-expanded', 'false');
	query.blur();
	select(hits[i].item);
}

query.addEventListener('input', search);
query.addEventListener('focus', search);
query.addEventListener('blur', () => (found.hidden = true));
query.addEventListener('keydown', (event) => {
	const step = {ArrowDown: 1, ArrowUp: -1}[event.key];
	if (step && hits.length) {
		current = (current + step + hits.length) % hits.length;
		mark();
		event.preventDefault();
	} else if (event.key === 'Escape') {
		query.value = '';
		query.blur();
	}
	event.stopPropagation();
});
document.getElementById('search').addEventListener('submit', (event) => {
	event.preventDefault();
	take(current);
});

// ---- keyboard

// Of the tabs the tabulator reaches the one that is shown; arrows lead to the others.
function tabKey(event) {
	const step = {ArrowRight: 1, ArrowLeft: -1}[event.key], tabs = [...event.currentTarget.children];
	if (!step)
		return;
	const next = tabs[(tabs.indexOf(event.target) + step + tabs.length) % tabs.length];
	next.focus();
	next.click();
	event.preventDefault();
}

// To the next line of the IR that has a node.
function irKey(event) {
	const step = {ArrowDown: 1, ArrowUp: -1}[event.key];
	if (!step)
		return;
	let line = (picked && picked.line >= 0 ? picked.line : step > 0 ? -1 : lines.length) + step;
	while (line >= 0 && line < lines.length && !rowOfLine.has(line))
		line += step;
	if (rowOfLine.has(line))
		location.hash = addressOf(rowOfLine.get(line), 'ir');
	event.preventDefault();
}

// Along edges up and down, and to what stands beside it.
function neighbour(item, key) {
	const level = item.kind === 'level' ? item.parent : item.level, layout = level && layouts.get(level), place = layout && layout.at.get(item);
	if (!place)
		return null;
	if (key === 'ArrowDown' || key === 'ArrowUp') {
		const edge = layout.edges.find((e) => (key === 'ArrowDown' ? e.a : e.b) === item), next = edge && (key === 'ArrowDown' ? edge.b : edge.a);
		return next && (next.kind === 'port' ? next.row : next);
	}
	const side = key === 'ArrowRight' ? 1 : -1, distance = (p) => (p.x + p.width / 2 - place.x - place.width / 2) * side + 3 * Math.abs(p.y - place.y);
	const beside = layout.places.filter((p) => p.item.kind !== 'port' && (p.x - place.x) * side > 0);
	return beside.length ? beside.reduce((a, b) => (distance(b) < distance(a) ? b : a)).item : null;
}

function graphKey(event) {
	const item = graphItem(picked);
	if (event.key.startsWith('Arrow')) {
		const next = item ? neighbour(item, event.key) : root.children[0];
		if (next)
			select(next);
	} else if (event.key === 'Enter' && item) {
		if (item.kind === 'level')
			toggle(item);
	} else if (event.key === 'Escape' && item) {
		const around = item.kind === 'level' ? item.parent : item.level;
		if (around && around !== root)
			select(around);
	} else if (event.key === '+' || event.key === '-') {
		zoom(event.key === '+' ? 1.3 : 1 / 1.3);
	} else if (event.key === '0') {
		fit(true);
	} else {
		return;
	}
	event.preventDefault();
}

document.addEventListener('keydown', (event) => {
	if (event.ctrlKey || event.altKey || event.metaKey || /^(INPUT|SELECT)$/.test(event.target.tagName))
		return;
	const names = Object.keys(views);
	if (event.key === '/') {
		query.focus();
		query.select();
		event.preventDefault();
	} else if (event.key === 't') {
		setTheme(!document.documentElement.classList.contains('dark'));
	} else if (names[Number(event.key) - 1]) {
		location.hash = viewAddress(names[Number(event.key) - 1]);
	} else if (shown === 'graph' && !/^(A|BUTTON)$/.test(event.target.tagName)) {
		graphKey(event);
	} else if (shown === 'ir') {
		irKey(event);
	}
});

// ---- the start

function setTheme(dark) {
	document.documentElement.classList.toggle('dark', dark);
	document.documentElement.style.colorScheme = dark ? 'dark' : 'light';
}

function drawHead() {
	document.title = `${data.model}: dcc report`;
	document.getElementById('title').textContent = data.model;
	const choice = document.getElementById('target');
	for (const {target} of data.programs)
		element('option', {value: target}, choice, target);
	choice.parentElement.hidden = data.programs.length < 2;
	choice.addEventListener('change', () => (location.hash = viewAddress(shown, data.programs.find((p) => p.target === choice.value))));
	drawFacts();
	const tabs = document.getElementById('tabs');
	Object.entries(views).forEach(([name, [title]], i) => {
		const button = element('button', {type: 'button', role: 'tab', 'data-view': name, title: `${title} (${i + 1})`, 'aria-controls': 'view'}, tabs, title);
		button.addEventListener('click', () => (location.hash = viewAddress(name)));
	});
	tabs.addEventListener('keydown', tabKey);
}

function drawFacts() {
	const facts = [`dcc ${data.dcc}`, program ? `target ${program.target}` : `stage ${data.stage}`, `weights ${inBytes(data.weight_bytes)}`,
		data.code_bytes ? `code ${inBytes(data.code_bytes)}${data.programs.length > 1 ? ' for all targets' : ''}` : '', program ? `${steps.length} steps` : '', `${rows.length - rows.filter((r) => r.kind === 'scope').length} nodes from ${data.onnx.length} of ONNX`,
		...symbols.filter((s) => s.given).map((s) => `${s.name} in ${s.least}..${s.most ?? ''}`), data.graph_cut ? 'too many nodes: only the first are drawn' : '', data.back_cut ? 'not all edges to the next iteration are drawn' : '', data.onnx_cut ? 'not all ONNX nodes are listed' : '', data.names_cut ? 'too many long names: some are cut' : ''];
	document.getElementById('facts').textContent = facts.filter(Boolean).join(' · ');
	document.getElementById('target').value = program ? program.target : '';
}

setTheme(matchMedia('(prefers-color-scheme: dark)').matches);
document.getElementById('theme').addEventListener('click', () => setTheme(!document.documentElement.classList.contains('dark')));
drawHead();
openFirst();
addEventListener('hashchange', follow);
let width = innerWidth;
addEventListener('resize', () => {
	if (shown === 'graph' && Math.abs(innerWidth - width) > 50)
		fit();
	width = innerWidth;
});
follow();
requestAnimationFrame(() => (document.documentElement.dataset.drawn = Math.round(performance.now()))); // ms since the page began to load
