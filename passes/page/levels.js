'use strict';
// The graph as a tree of levels, which are opened one by one: the modules that the exporter names, or what ONNX names have before their
// slashes; groups, bodies of if and loop; and where a level has too many children for a picture, runs of them.

const MostChildren = 100, MostDepth = 16;
const levels = [];

function newLevel(kind, title, parent) {
	const level = {kind: 'level', what: kind, id: levels.length, title, parent, children: [], places: new Map(), scope: null, count: 0, ms: 0, cls: 'level'};
	levels.push(level);
	return level;
}

// Of a name that lost its begin nothing is known.
const layersOf = (row) => {
	const stated = row.onnx && row.onnx.layers, name = stated ? `${stated}/` : text(row.name);
	if (row.name < 0 || row.cls === 'port' || name.startsWith('…'))
		return [];
	const parts = name.split('/').slice(0, -1).filter((part) => part);
	return parts.length <= MostDepth ? parts : [];
};

// The level of these layers inside of a level that stands in some of them itself.
function levelAt(from, layers) {
	let level = from, shared = 0;
	while (from.layers && shared < from.layers.length && from.layers[shared] === layers[shared])
		shared++;
	for (const part of layers.slice(shared)) {
		if (!level.places.has(part)) {
			const inner = newLevel('layer', part, level);
			level.places.set(part, inner);
			level.children.push(inner);
		}
		level = level.places.get(part);
	}
	return level;
}

const root = newLevel('root', data.model, null);
for (const row of rows) {
	const scope = row.scope < 0 ? null : rows[row.scope], around = scope ? scope.inner : root;
	const level = scope && scope.what === 'group' ? around : levelAt(around, layersOf(row));
	row.level = level;
	if (row.kind !== 'scope') {
		level.children.push(row);
		continue;
	}
	row.inner = newLevel(row.what, `${row.what} ${row.ref}`, level);
	row.inner.scope = row;
	row.inner.layers = layersOf(row);
	level.children.push(row.inner);
}

// A layer that holds nothing but one thing is that thing.
function tidy(level) {
	level.children = level.children.map((child) => {
		if (child.kind === 'level')
			tidy(child);
		if (child.kind !== 'level' || child.what !== 'layer' || child.children.length !== 1)
			return child;
		const only = child.children[0];
		if (only.kind === 'level' && only.what === 'layer')
			only.title = `${child.title}/${only.title}`;
		return only;
	});
}

function split(level) {
	while (level.children.length > MostChildren) {
		const all = level.children, parts = Math.min(MostChildren, Math.ceil(all.length / MostChildren)), size = Math.ceil(all.length / parts);
		level.children = [];
		for (let i = 0; i < all.length; i += size) {
			const part = newLevel('part', `${i + 1} to ${Math.min(i + size, all.length)} of ${all.length}`, level);
			part.children = all.slice(i, i + size);
			level.children.push(part);
		}
	}
	for (const child of level.children) {
		if (child.kind === 'level') {
			child.parent = level;
			split(child);
		} else {
			child.level = level;
		}
	}
}

function count(level) {
	for (const child of level.children) {
		if (child.kind === 'level')
			count(child);
		level.count += child.kind === 'level' ? child.count : 1;
	}
	if (level.what === 'group') {
		const nodes = level.children.filter((child) => child.isNode);
		level.cls = nodes.length ? nodes[0].cls : 'level';
		level.title = nodes.slice(0, 4).map((node) => node.what).join(' + ') + (nodes.length > 4 ? ' + …' : '');
	}
}

// Of the target that is shown.
function timeLevels(level) {
	level.ms = 0;
	for (const child of level.children) {
		if (child.kind === 'level')
			timeLevels(child);
		level.ms += child.ms;
	}
}

tidy(root);
split(root);
count(root);
timeLevels(root);
