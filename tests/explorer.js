// Model Explorer's own loader, out of the web application in its package, on files that dcc has written: all graphs are read
// and laid out with every layer open.  Says what goes wrong, and nothing else.
// usage: node explorer.js FOLDER FILE...      FOLDER: web_app of the package ai-edge-model-explorer
'use strict';
const assert = require('assert'), fs = require('fs'), path = require('path'), vm = require('vm');
const [folder, ...files] = process.argv.slice(2);
const script = (pattern) =>
	fs.readFileSync(path.join(folder, fs.readdirSync(folder).find((name) => pattern.test(name))), 'utf8');

// What decides by the form of a file how it is read: a function of two arguments in the application.
const found = /function (\w+)\(i,t\)\{return i\.label!=null&&i\.graphs!=null\?.*?Unsupported JSON format"\}\}/.exec(script(/^main-.*\.js$/));
assert(found, 'the loader is not where it was: look for "Unsupported JSON format" in main-*.js');
const load = vm.runInNewContext(`(${found[0]})`);

// The worker that makes graphs of nodes, and layers of names, and lays them out.  A browser would measure text for it.
let receive, sent = [];
class OffscreenCanvas {
	getContext() {
		return {measureText: (text) => ({width: 6 * text.length})};
	}
}
vm.runInNewContext(script(/^worker-.*\.js$/), {
	OffscreenCanvas, TextDecoder, console,
	self: {addEventListener: (_, handler) => (receive = handler)},
	postMessage: (message) => sent.push(message),
});
const Process = 0, Processed = 1, Expand = 2, Expanded = 3, Layout = 4, LaidOut = 5; // its messages
const ask = (message, answer) => {
	sent = [];
	receive({data: {showOnNodeItemTypes: {}, nodeDataProviderRuns: {}, config: {}, paneId: 'p', rendererId: 'p', ...message}});
	assert(!sent.some((m) => m.error), JSON.stringify(sent.find((m) => m.error)));
	return sent.find((m) => m.eventType === answer);
};

for (const file of files) {
	const {graphCollections, error} = load(JSON.parse(fs.readFileSync(file, 'utf8')), file);
	assert(!error, `${file}: ${error}`);
	for (const graph of graphCollections[0].graphs) {
		const count = graph.nodes.length, edges = graph.nodes.reduce((n, node) => n + node.incomingEdges.length, 0);
		const model = ask({eventType: Process, graph, groupNodeChildrenCountThreshold: 1000, flattenLayers: false}, Processed).modelGraph;
		const ops = model.nodes.filter((node) => node.nodeType === 0);
		assert.strictEqual(ops.length, count, file);
		assert.strictEqual(ops.reduce((n, node) => n + (node.incomingEdges || []).length, 0), edges, file);
		const open = ask({eventType: Expand, modelGraphId: graph.id, expand: true, all: true}, Expanded).deepestExpandedGroupNodeIds;
		const all = ask({eventType: Layout, modelGraphId: graph.id, targetDeepestGroupNodeIdsToExpand: open}, LaidOut).modelGraph;
		for (const node of all.nodes)
			assert(node.x >= 0 && node.y >= 0 && node.width > 0, `${file}: ${graph.id}: ${node.id} has no place`);
	}
}
