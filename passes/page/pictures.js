'use strict';
// Pictures of numbers: the roofline, the workspace over the steps, its size over the symbols.

const Width = 760;

// Marks of an axis between two numbers: powers of two.
function marks(least, most) {
	const list = [];
	for (let e = Math.ceil(Math.log2(least) - 1e-9), last = Math.log2(most), step = Math.max(1, Math.ceil((last - e) / 10)); e <= last + 1e-9; e += step)
		list.push(2 ** e);
	return list;
}

function drawRoofline(view, all) {
	const MostDots = 2000, list = all.filter((x) => x.ms > 0 && x.flop > 0 && x.bytes > 0).sort((a, b) => b.ms - a.ms).slice(0, MostDots), height = 320, left = 60, bottom = 40;
	if (!list.length)
		return;
	element('h2', {}, view, 'Kernels under the roof of the machine');
	const of = (x) => ({at: x.flop / x.bytes, rate: x.flop / x.ms / 1e6}), points = list.map(of), corner = profile.gflop_per_s / profile.gbyte_per_s;
	const x0 = Math.min(corner / 4, ...points.map((p) => p.at)), x1 = Math.max(corner * 4, ...points.map((p) => p.at));
	const y0 = Math.min(profile.gflop_per_s / 16, ...points.map((p) => p.rate)), y1 = Math.max(profile.gflop_per_s * 1.3, ...points.map((p) => p.rate));
	const X = (v) => left + (Width - left - 20) * Math.log(v / x0) / Math.log(x1 / x0), Y = (v) => 10 + (height - bottom - 10) * (1 - Math.log(v / y0) / Math.log(y1 / y0));
	const picture = svg('svg', {viewBox: `0 0 ${Width} ${height}`, width: '100%', style: `max-width:${Width}px`, role: 'img', 'aria-label': 'Roofline: rates of kernels over FLOP per byte'}, view);
	for (const v of marks(x0, x1)) {
		svg('path', {class: 'grid', d: `M${X(v)} 10V${height - bottom}`}, picture);
		svg('text', {x: X(v), y: height - bottom + 14, 'text-anchor': 'middle', class: 'faint'}, picture, short(v));
	}
	for (const v of marks(y0, y1)) {
		svg('path', {class: 'grid', d: `M${left} ${Y(v)}H${Width - 20}`}, picture);
		svg('text', {x: left - 6, y: Y(v) + 3, 'text-anchor': 'end', class: 'faint'}, picture, short(v));
	}
	const low = Math.max(x0, y0 / profile.gbyte_per_s);
	svg('path', {class: 'roof', d: `M${X(low)} ${Y(low * profile.gbyte_per_s)}L${X(corner)} ${Y(profile.gflop_per_s)}H${X(x1)}`}, picture);
	svg('text', {x: X(x1), y: Y(profile.gflop_per_s) - 5, 'text-anchor': 'end'}, picture, `${short(profile.gflop_per_s)} GFLOP/s, ${short(profile.gbyte_per_s)} GB/s`);
	svg('text', {x: (left + Width) / 2, y: height - 6, 'text-anchor': 'middle', class: 'faint'}, picture, 'FLOP per byte');
	svg('text', {transform: `translate(12,${height / 2}) rotate(-90)`, 'text-anchor': 'middle', class: 'faint'}, picture, 'GFLOP/s');
	list.forEach((x, i) => {
		const dot = svg('circle', {class: 'dot', cx: X(points[i].at), cy: Y(points[i].rate), r: 3 + 12 * Math.sqrt(x.ms / list[0].ms)}, picture);
		svg('title', {}, dot, `step ${x.step.id} ${x.step.kernel ? text(x.step.kernel.name) : ''}\n${x.step.onnx.map((n) => text(n.name)).join(' + ')}\n${inMs(x.ms)} ms, ${short(points[i].rate)} GFLOP/s`);
		dot.addEventListener('click', () => (location.hash = addressOf(x.step)));
	});
	note(view, 'Area: time. Above the roof: data came from a cache.' + (all.length > MostDots ? ` The slowest ${MostDots} steps.` : ''));
}

// ---- the workspace

function sizeFields(view, redraw) {
	const form = element('div', {class: 'fields'}, view);
	for (const name of [...symbols.filter((s) => s.given).map((s) => s.name), 'threads']) {
		const symbol = symbols.find((s) => s.name === name) || {least: 1, most: 1024}, label = element('label', {}, form, `${name} `);
		const input = element('input', {type: 'number', min: symbol.least, max: symbol.most, value: sizes[name]}, label);
		input.addEventListener('change', () => {
			const value = Math.round(Number(input.value)) || 0;
			sizes[name] = Math.min(Math.max(value, symbol.least), symbol.most ?? 2 ** 31 - 1);
			input.value = sizes[name];
			redraw();
		});
	}
}

function drawSlots(view) {
	const MostDrawn = 2000, left = 70, height = 360, bottom = 30;
	let list = slots.flatMap((slot) => slot.held.map((h) => ({...h, offset: valueOf(slot.offset), bytes: valueOf(slot.bytes)}))).filter((h) => h.bytes > 0 && Number.isFinite(h.offset));
	const all = list.length, top = largest(slots, (slot) => valueOf(slot.offset) + valueOf(slot.bytes), 1), last = Math.max(1, steps.length);
	if (all > MostDrawn)
		list = list.sort((a, b) => b.bytes * (b.last - b.first + 1) - a.bytes * (a.last - a.first + 1)).slice(0, MostDrawn);
	const picture = svg('svg', {viewBox: `0 0 ${Width} ${height}`, width: '100%', style: `max-width:${1.5 * Width}px`, role: 'img', 'aria-label': 'Slots of the workspace over the steps'}, view);
	const X = (step) => left + (Width - left - 10) * step / last, Y = (bytes) => height - bottom - (height - bottom - 10) * bytes / top;
	for (let i = 0; i <= 4; i++) {
		svg('path', {class: 'grid', d: `M${left} ${Y(top * i / 4)}H${Width - 10}`}, picture);
		svg('text', {x: left - 6, y: Y(top * i / 4) + 3, 'text-anchor': 'end', class: 'faint'}, picture, inBytes(Math.round(top * i / 4)));
	}
	for (const h of list) {
		const cls = `held${h.what.startsWith('packed operand of') ? ' packed' : ''}${picked && picked.kind === 'onnx' && h.node === picked ? ' picked' : ''}`;
		const width = Math.max(0.5, X(h.last + 1) - X(h.first)), tall = Math.max(0.5, Y(h.offset) - Y(h.offset + h.bytes));
		const rect = svg('rect', {class: cls, x: X(h.first), y: Y(h.offset + h.bytes), width, height: tall}, picture);
		if (width > 40 && tall > 11)
			svg('text', {class: 'on', x: X(h.first) + 3, y: Y(h.offset + h.bytes) + Math.min(tall / 2 + 3, 12)}, picture, fitText(h.what, width - 6, '9px system-ui'));
		svg('title', {}, rect, `${h.what}\n${inBytes(h.bytes)} at ${inBytes(h.offset)}\nsteps ${h.first} to ${h.last}`);
		rect.addEventListener('click', () => (location.hash = h.node ? addressOf(h.node, 'memory') : addressOf(steps[h.first], 'memory')));
	}
	if (picked && picked.kind === 'step')
		svg('path', {class: 'now', d: `M${X(picked.id + 0.5)} 10V${height - bottom}`}, picture);
	svg('text', {x: (left + Width) / 2, y: height - 6, 'text-anchor': 'middle', class: 'faint'}, picture, `${last} steps`);
	note(view, 'Each box is a value in its slot, from the step that makes it to the last that reads it; packed operands have the other colour.'
		+ (all > list.length ? ` ${all - list.length} small ones are left out.` : '') + (program.slots_cut ? ' There are more of them.' : ''));
}

function drawCurve(view, symbol) {
	const workspace = formulaOf(data.workspace), least = Math.max(1, symbol.least), most = Math.min(symbol.most ?? Infinity, Math.max(4 * sizes[symbol.name], 64));
	if (!workspace || most <= least)
		return;
	const points = [], width = 360, height = 180, left = 60, bottom = 30;
	for (let i = 0; i <= 60; i++) {
		const value = Math.round(least + (most - least) * i / 60);
		points.push({value, bytes: workspace({...sizes, [symbol.name]: value})});
	}
	const top = Math.max(1, ...points.map((p) => p.bytes)), X = (v) => left + (width - left - 14) * (v - least) / (most - least), Y = (b) => height - bottom - (height - bottom - 14) * b / top;
	const picture = svg('svg', {viewBox: `0 0 ${width} ${height}`, width: '100%', style: `max-width:${width}px`, role: 'img', 'aria-label': `Workspace over ${symbol.name}`}, view);
	svg('path', {class: 'axis', d: `M${left} 14V${height - bottom}H${width - 14}`}, picture);
	svg('path', {class: 'curve', d: pathOf(points.map((p) => ({x: X(p.value), y: Y(p.bytes)})))}, picture);
	svg('path', {class: 'now', d: `M${X(Math.min(sizes[symbol.name], most))} 14V${height - bottom}`}, picture);
	svg('text', {x: left - 6, y: 18, 'text-anchor': 'end', class: 'faint'}, picture, inBytes(Math.round(top)));
	svg('text', {x: left, y: height - 12, class: 'faint'}, picture, String(least));
	svg('text', {x: width - 14, y: height - 12, 'text-anchor': 'end', class: 'faint'}, picture, String(most));
	svg('text', {x: (left + width) / 2, y: height - 12, 'text-anchor': 'middle'}, picture, symbol.name);
}

function drawMemory(view) {
	if (!program) {
		note(view, `The model stopped at stage ${data.stage}: nothing is placed yet.`);
		return;
	}
	const pictures = document.createElement('div');
	const redraw = () => {
		pictures.replaceChildren();
		element('h2', {}, pictures, `Workspace: ${inBytes(valueOf(data.workspace))}`);
		if (data.workspace < 0)
			note(pictures, 'Its formula is too long for this page; the text of --report has it.');
		drawSlots(pictures);
		element('h2', {}, pictures, 'Workspace over each symbol');
		const curves = element('div', {class: 'fields'}, pictures);
		for (const symbol of [...symbols.filter((s) => s.given), {name: 'threads', least: 1, most: 1024}])
			drawCurve(curves, symbol);
		element('p', {class: 'code'}, pictures, `${text(data.workspace)} bytes`);
	};
	sizeFields(view, redraw);
	view.append(pictures);
	redraw();
}
