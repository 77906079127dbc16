'use strict';
// The picture of the graph: every open level is laid out by dagre on its own, as a box in the level around it.

const opened = new Set([root]), layouts = new Map(); // of levels, until one inside opens or closes
const svgNs = 'http://www.w3.org/2000/svg';
const ruler = document.createElement('canvas').getContext('2d');
const boxes = new Map(); // element of each item that is drawn
let camera = null; // {x, y, scale}

function svg(tag, attributes, parent, content) {
	const e = document.createElementNS(svgNs, tag);
	for (const key in attributes)
		e.setAttribute(key, attributes[key]);
	if (content !== undefined)
		e.textContent = content;
	if (parent)
		parent.append(e);
	return e;
}

function fitText(content, width, font) {
	ruler.font = font;
	if (ruler.measureText(content).width <= width)
		return content;
	let n = content.length;
	do
		n = Math.floor(n * 0.9);
	while (n > 1 && ruler.measureText(content.slice(0, n) + '…').width > width);
	return content.slice(0, n) + '…';
}

const titleOf = (item) => (item.kind === 'level' ? item.title : item.isNode ? item.what : item.what === 'carried' ? item.ref : text(item.name));
const nameOf = (item) => text(item.kind === 'level' ? (item.scope ? item.scope.name : -1) : item.name);

function noteOf(item) {
	const time = profile && item.ms > 0 ? `${inMs(item.ms)} ms` : '';
	if (item.kind === 'level' && item.what !== 'group')
		return [`${item.count} nodes`, time].filter(Boolean).join(', ');
	const name = nameOf(item).split('/').pop();
	return item.kind === 'row' && !item.isNode ? `${item.what} ${item.type}` : [time, name].filter(Boolean).join(' ');
}

// ---- layout

// The child of the level that the row is, or lies in; null: it lies outside.
function childOf(level, row, known) {
	if (row.level === level)
		return row;
	let at = row.level;
	if (!known.has(at)) {
		while (at && at.parent !== level)
			at = at.parent;
		known.set(row.level, at || null);
	}
	return known.get(row.level);
}

function eachRow(level, visit) {
	for (const child of level.children)
		if (child.kind === 'level')
			eachRow(child, visit);
		else
			visit(child);
}

// Edges between children, and to what lies outside: for that there are small boxes, one for each value, or for each of its many users.
const MostLines = 4, MostPorts = 60;

function edgesOf(level) {
	const known = new Map(), edges = new Map(), ports = [], into = new Map(), number = new Map(level.children.map((child, i) => [child, i]));
	const port = (side, row) => {
		const made = {kind: 'port', side, row};
		ports.push(made);
		return made;
	};
	const outer = [], back = []; // their edges; those to the next iteration
	eachRow(level, (row) => {
		const to = childOf(level, row, known);
		for (const id of row.from) {
			const from = childOf(level, rows[id], known), key = from && `${number.get(from)} ${number.get(to)}`;
			if (!from)
				into.set(rows[id], (into.get(rows[id]) || new Set()).add(to));
			else if (from !== to && edges.has(key))
				edges.get(key).rows.push(rows[id]);
			else if (from !== to)
				edges.set(key, {a: from, b: to, rows: [rows[id]]});
		}
		for (const id of row.back) {
			const from = childOf(level, rows[id], known);
			if (from && from !== to)
				back.push({a: from, b: to, rows: [rows[id]], back: true});
		}
		if (level !== root && row.to.some((id) => !childOf(level, rows[id], known)))
			outer.push({a: to, b: port('out', row), rows: [row]});
	});
	let room = MostPorts;
	for (const [row, users] of into) {
		const own = users.size > MostLines && users.size <= room, shared = own ? null : port('in', row);
		room -= own ? users.size : 0;
		for (const b of users)
			outer.push({a: shared || port('in', row), b, rows: [row]});
	}
	return {edges: [...edges.values(), ...outer, ...back], ports};
}

// dagre makes a node of every rank that an edge crosses: edges that cross many are left to a curve, once there are too many such nodes.
// So are those that lead back.
const MostCrossed = 300;

function longEdges(items, edges) {
	const order = new Map(items.map((item, i) => [item, i])), rank = new Map(items.map((item) => [item, 0])), long = new Set(edges.filter((e) => e.back));
	const ahead = edges.filter((e) => !e.back), forward = ahead.filter((e) => order.get(e.a) < order.get(e.b)).sort((e, f) => order.get(e.a) - order.get(f.a));
	for (const e of forward)
		rank.set(e.b, Math.max(rank.get(e.b), rank.get(e.a) + 1));
	const span = (e) => Math.abs(rank.get(e.b) - rank.get(e.a));
	let crossed = 0;
	for (const e of ahead.sort((e, f) => span(e) - span(f)))
		if ((crossed += span(e)) > MostCrossed && span(e) > 1)
			long.add(e);
	return long;
}

function sizeOf(item) {
	if (item.kind === 'port')
		return {width: 16, height: 10};
	if (item.kind === 'level' && opened.has(item)) {
		const inner = layoutOf(item);
		return {width: Math.max(inner.width, 90), height: inner.height + 22};
	}
	ruler.font = '11px system-ui';
	const width = Math.max(ruler.measureText((item.kind === 'level' ? '▸ ' : '') + titleOf(item)).width + 4, ruler.measureText(noteOf(item)).width) + 18;
	return {width: Math.min(Math.max(width, 60), 230), height: 34};
}

// dagre counts boxes alone: edges beside them need room, too.
function widen(layout) {
	const Margin = 10, ForCurves = 40, all = [...layout.places, ...layout.edges.flatMap((e) => e.points || [])];
	const left = all.reduce((least, p) => Math.min(least, p.x), Infinity) - Margin;
	for (const p of all)
		p.x -= left;
	layout.width = largest(all, (p) => p.x + (p.width || 0)) + (layout.edges.some((e) => !e.points) ? ForCurves : Margin);
}

function layoutOf(level) {
	if (layouts.has(level))
		return layouts.get(level);
	const {edges, ports} = edgesOf(level), g = new dagre.graphlib.Graph();
	const items = [...ports.filter((port) => port.side === 'in'), ...level.children, ...ports.filter((port) => port.side === 'out')];
	const number = new Map(items.map((item, i) => [item, String(i)])), long = longEdges(items, edges);
	g.setGraph({rankdir: 'TB', nodesep: 14, ranksep: 26, marginx: 10, marginy: 10, ranker: edges.length - long.size > 300 ? 'longest-path' : 'network-simplex'});
	items.forEach((item, i) => g.setNode(String(i), sizeOf(item)));
	for (const e of edges)
		if (!long.has(e))
			g.setEdge(number.get(e.a), number.get(e.b), {});
	dagre.layout(g);
	const places = items.map((item, i) => {
		const {x, y, width, height} = g.node(String(i));
		return {item, x: x - width / 2, y: y - height / 2, width, height};
	});
	for (const e of edges)
		e.points = long.has(e) ? null : g.edge(number.get(e.a), number.get(e.b)).points;
	const layout = {places, edges, at: new Map(places.map((place) => [place.item, place])), height: g.graph().height};
	widen(layout);
	layouts.set(level, layout);
	return layout;
}

// ---- drawing

const pathOf = (points) => `M${points.map((p) => `${p.x.toFixed(1)} ${p.y.toFixed(1)}`).join('L')}`;

function curveOf(layout, e) {
	const a = layout.at.get(e.a), b = layout.at.get(e.b), x1 = a.x + a.width / 2, y1 = a.y + a.height, x2 = b.x + b.width / 2, side = layout.width;
	return `M${x1} ${y1}C${side} ${y1 + 40} ${side} ${b.y - 40} ${x2} ${b.y}`;
}

function drawEdge(e, layout, parent) {
	const path = svg('path', {class: `edge${e.back ? ' back' : ''}`, d: e.points ? pathOf(e.points) : curveOf(layout, e), 'marker-end': 'url(#arrow)'}, parent);
	path.edge = e;
	const types = [...new Set(e.rows.map((row) => `${row.ref || text(row.name)}: ${row.type}`))];
	svg('title', {}, path, (e.back ? 'to the next iteration\n' : '') + types.slice(0, 8).join('\n') + (types.length > 8 ? `\n… ${types.length}` : ''));
}

function drawPort(place, parent) {
	const row = place.item.row, g = svg('g', {class: 'box', transform: `translate(${place.x},${place.y})`}, parent);
	svg('rect', {width: place.width, height: place.height, fill: 'var(--port)'}, g);
	svg('title', {}, g, `${place.item.side === 'in' ? 'from' : 'to'} outside: ${row.ref || text(row.name)}: ${row.type}`);
	g.addEventListener('click', (event) => {
		event.stopPropagation();
		select(row);
	});
}

function drawItem(place, parent) {
	const {item, x, y, width, height} = place, isLevel = item.kind === 'level', isOpen = isLevel && opened.has(item);
	const g = svg('g', {class: `box${isLevel ? ' level' : ''}${isOpen ? ' open' : ''}`, transform: `translate(${x.toFixed(1)},${y.toFixed(1)})`, tabindex: -1,
		role: 'button', 'aria-label': `${titleOf(item)} ${nameOf(item)} ${noteOf(item)}`}, parent);
	svg('rect', {width, height, fill: `var(--${item.cls})`}, g);
	svg('title', {}, g, [titleOf(item), nameOf(item), item.type || noteOf(item)].filter(Boolean).join('\n'));
	if (profile && root.ms > 0 && item.ms > 0 && !isOpen)
		svg('rect', {class: 'heat', x: 1, y: height - 4, width: Math.max(1, (width - 2) * item.ms / root.ms), height: 3}, g);
	svg('text', {x: isOpen ? 8 : 9, y: 15}, g, fitText((isLevel && !isOpen ? '▸ ' : isOpen ? '▾ ' : '') + titleOf(item), width - 14, '11px system-ui'));
	if (!isOpen)
		svg('text', {x: 9, y: 27, class: 'faint'}, g, fitText(noteOf(item), width - 14, '10px system-ui'));
	boxes.set(item, g);
	g.item = item;
	g.addEventListener('click', (event) => {
		event.stopPropagation();
		if (!dragged)
			select(item);
	});
	g.addEventListener('dblclick', (event) => {
		event.stopPropagation();
		toggle(item);
	});
	if (isOpen)
		drawLevel(item, svg('g', {transform: `translate(${((width - layoutOf(item).width) / 2).toFixed(1)},20)`}, g));
}

function drawLevel(level, parent) {
	const layout = layoutOf(level);
	for (const place of layout.places)
		(place.item.kind === 'port' ? drawPort : drawItem)(place, parent);
	for (const e of layout.edges)
		drawEdge(e, layout, parent);
}

let picture = null, scene = null, dragged = false;

function drawGraph(view) {
	view.className = 'picture';
	picture = svg('svg', {class: 'graph', tabindex: 0, 'aria-label': 'The graph: arrows move along edges, Enter opens and closes'}, view);
	const marker = svg('marker', {id: 'arrow', viewBox: '0 0 8 8', refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, markerUnits: 'userSpaceOnUse', orient: 'auto'}, svg('defs', {}, picture));
	svg('path', {d: 'M0 0L8 4L0 8z', fill: 'var(--soft)'}, marker);
	scene = svg('g', {}, picture);
	boxes.clear();
	drawLevel(root, scene);
	addTools(view);
	watchPointer();
	if (!camera)
		fit();
	else
		aim();
	markPicked();
}

function aim() {
	scene.setAttribute('transform', `translate(${camera.x.toFixed(2)},${camera.y.toFixed(2)}) scale(${camera.scale.toFixed(4)})`);
}

// A picture that would be too small to read begins at its top, unless all of it is asked for.
function fit(all) {
	const {width, height} = layoutOf(root), view = picture.getBoundingClientRect();
	const scale = Math.min(1.5, Math.max(all ? 0.05 : 0.85, Math.min(view.width / width, view.height / height)));
	camera = {scale, x: (view.width - width * scale) / 2, y: Math.max(0, (view.height - height * scale) / 2)};
	aim();
}

function zoom(factor, x, y) {
	const view = picture.getBoundingClientRect(), scale = Math.min(4, Math.max(0.05, camera.scale * factor));
	const px = x === undefined ? view.width / 2 : x - view.left, py = y === undefined ? view.height / 2 : y - view.top;
	camera.x = px - (px - camera.x) * scale / camera.scale;
	camera.y = py - (py - camera.y) * scale / camera.scale;
	camera.scale = scale;
	aim();
}

function addTools(view) {
	const tools = element('div', {id: 'tools'}, view);
	for (const [label, what, run] of [['+', 'Larger', () => zoom(1.3)], ['−', 'Smaller', () => zoom(1 / 1.3)], ['⤢', 'All of it', () => fit(true)],
		['▾', 'Close all levels', () => { opened.clear(); opened.add(root); layouts.clear(); camera = null; show('graph'); }]])
		element('button', {type: 'button', title: what, 'aria-label': what}, tools, label).addEventListener('click', run);
	const key = element('div', {id: 'key'}, view);
	for (const [cls, what] of [['gemm', 'products, convolutions'], ['attention', 'attention'], ['reduce', 'reductions'], ['ewise', 'elementwise'],
		['index', 'gathers'], ['move', 'moves'], ['control', 'control']]) {
		element('span', {style: `background:var(--${cls})`}, key);
		key.append(what);
	}
}

// One finger or the mouse moves the picture, two fingers or the wheel change its size.
function watchPointer() {
	const fingers = new Map();
	let distance = 0;
	picture.addEventListener('pointerdown', (event) => {
		fingers.set(event.pointerId, event);
		dragged = false;
		distance = 0;
	});
	picture.addEventListener('pointermove', (event) => {
		const before = fingers.get(event.pointerId);
		if (!before)
			return;
		const dx = event.clientX - before.clientX, dy = event.clientY - before.clientY;
		if (!dragged && fingers.size === 1 && Math.hypot(dx, dy) < 4)
			return;
		dragged = true;
		fingers.set(event.pointerId, event);
		if (fingers.size === 1) {
			camera.x += dx;
			camera.y += dy;
			aim();
		} else {
			const [a, b] = [...fingers.values()], now = Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
			if (distance)
				zoom(now / distance, (a.clientX + b.clientX) / 2, (a.clientY + b.clientY) / 2);
			distance = now;
		}
	});
	for (const end of ['pointerup', 'pointercancel', 'pointerleave'])
		picture.addEventListener(end, (event) => {
			fingers.delete(event.pointerId);
			distance = 0;
		});
	picture.addEventListener('wheel', (event) => {
		event.preventDefault();
		zoom(Math.exp(-event.deltaY / 400), event.clientX, event.clientY);
	}, {passive: false});
}

// ---- levels open and close

function forget(level) {
	for (let at = level; at; at = at.parent)
		layouts.delete(at);
}

function toggle(item) {
	if (item.kind !== 'level' || item === root)
		return;
	const before = boxes.get(item)?.getBoundingClientRect();
	if (!opened.delete(item))
		opened.add(item);
	forget(item);
	show('graph');
	const after = boxes.get(item)?.getBoundingClientRect();
	if (before && after) { // it stays where it was
		camera.x += before.left + before.width / 2 - after.left - after.width / 2;
		camera.y += before.top - after.top;
		aim();
	}
}

// Opens what is around it; true: something was closed.
function reveal(item) {
	let any = false;
	for (let at = item.kind === 'level' ? item.parent : item.level; at; at = at.parent)
		if (!opened.has(at)) {
			opened.add(at);
			forget(at);
			any = true;
		}
	return any;
}

function center(item) {
	const box = boxes.get(item)?.getBoundingClientRect(), view = picture.getBoundingClientRect();
	if (!box)
		return;
	if (camera.scale < 0.4)
		zoom(0.8 / camera.scale, box.left + box.width / 2, box.top + box.height / 2);
	const now = boxes.get(item).getBoundingClientRect();
	if (now.left < view.left || now.right > view.right || now.top < view.top || now.bottom > view.bottom) {
		camera.x += view.left + view.width / 2 - now.left - now.width / 2;
		camera.y += view.top + Math.min(view.height / 2, Math.max(40, (view.height - now.height) / 2)) - now.top;
		aim();
	}
}

// What is chosen, and its edges.
function markPicked() {
	const item = graphItem(picked);
	for (const [other, box] of boxes)
		box.classList.toggle('picked', other === item);
	for (const path of scene.querySelectorAll('.edge'))
		path.classList.toggle('near', Boolean(item) && (path.edge.a === item || path.edge.b === item || path.edge.rows.includes(item)));
}

// The levels that are open at first: as many, from the outside in, as one can take in at a glance.
function openFirst() {
	const MostAtFirst = 26, queue = [root];
	let shown = root.children.length;
	for (let i = 0; i < queue.length; i++)
		for (const child of queue[i].children)
			if (child.kind === 'level' && child.what !== 'group' && child.what !== 'part' && shown + child.children.length <= MostAtFirst) {
				opened.add(child);
				shown += child.children.length;
				queue.push(child);
			}
	if (opened.size === 1 && root.children[0] && root.children[0].what === 'part') // names have no layers
		opened.add(root.children[0]);
}
