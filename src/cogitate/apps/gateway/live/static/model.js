// The tree as the page holds it: rows become nodes, nodes become the lines that are shown.

const MANY = 400; // nodes from which on only what matters is open by itself
const SHALLOW = 2;

export class Tree {
  constructor() {
    this.nodes = [];
    this.roots = [];
    this.best = [];
    this.titles = [];
    this.counts = {};
    this.low = Infinity;
    this.high = -Infinity;
    this.chosen = new Map(); // what the reader opened and closed
    this.byScore = false;
    this.onPath = new Set();
    this.shape = 0; // changes when the layout does
  }

  /** Take in rows: number, parent's number, search, state, score, mean, visits, text, id, reason. */
  take(rows, old = false) {
    for (const row of rows) {
      const [order, above, search, state, value, mean, visits, text, id, reason] = row;
      let node = this.nodes[order];
      if (!node) {
        node = this.nodes[order] = { order, above: -1, children: [], depth: 0, born: old ? -Infinity : performance.now() };
        this.roots.push(node);
        this.shape++;
      } else {
        this.counts[node.state]--;
      }
      Object.assign(node, { search, state, value, mean, visits, text, id, reason });
      this.counts[state] = (this.counts[state] ?? 0) + 1;
      if (value !== null) {
        this.low = Math.min(this.low, value);
        this.high = Math.max(this.high, value);
      }
      if (above >= 0 && node.above !== above) node.wanted = above;
    }
    // A parent may come after its child, so hanging waits until all rows are there.
    let moved = false;
    for (const row of rows) {
      const node = this.nodes[row[0]];
      const above = node.wanted === undefined ? null : this.nodes[node.wanted];
      if (!above) continue;
      node.wanted = undefined;
      node.above = above.order;
      above.children.push(node);
      node.hung = moved = true;
    }
    if (moved) {
      this.roots = this.roots.filter((node) => !node.hung);
      this.shape++;
      this.measure();
    }
  }

  /** Depths, from the roots down. */
  measure() {
    const stack = this.roots.map((node) => [node, 0]);
    while (stack.length) {
      const [node, depth] = stack.pop();
      node.depth = depth;
      for (const child of node.children) stack.push([child, depth + 1]);
    }
  }

  setBest(orders) {
    const best = orders.filter((order) => this.nodes[order]);
    if (best.join() === this.best.join() && this.pathShape === this.shape) return;
    this.best = best;
    this.pathShape = this.shape;
    this.onPath = new Set();
    if (best.length) for (const node of this.path(best[0])) this.onPath.add(node.order);
    this.shape++;
    this.pathShape = this.shape;
  }

  /** The nodes from the root to this one. */
  path(order) {
    const found = [];
    for (let node = this.nodes[order]; node && found.length < 100000; node = this.nodes[node.above]) found.push(node);
    return found.reverse();
  }

  isOpen(node) {
    const said = this.chosen.get(node.order);
    if (said !== undefined) return said;
    if (this.nodes.length <= MANY) return true;
    return this.onPath.has(node.order) || (node.depth < SHALLOW && node.state !== "pruned");
  }

  setOpen(node, open) {
    this.chosen.set(node.order, open);
    this.shape++;
  }

  /** Open what hides a node. */
  reveal(order) {
    for (const node of this.path(order).slice(0, -1)) if (!this.isOpen(node)) this.setOpen(node, true);
  }

  sorted(nodes) {
    if (!this.byScore) return nodes;
    const worth = (node) => node.value ?? node.mean ?? -Infinity;
    return [...nodes].sort((a, b) => (worth(b) === worth(a) ? a.order - b.order : worth(b) - worth(a)));
  }

  /** The lines that are shown, top to bottom: a node, its place among its siblings; linear in what is shown. */
  lines() {
    const found = [];
    const stack = [];
    const push = (nodes) => {
      const held = this.sorted(nodes);
      for (let i = held.length - 1; i >= 0; i--) stack.push([held[i], i + 1, held.length]);
    };
    push(this.roots);
    if (this.titles.length > 1) stack.sort((a, b) => b[0].search - a[0].search || b[1] - a[1]);
    while (stack.length) {
      const [node, place, of] = stack.pop();
      found.push({ node, place, of });
      if (node.children.length && this.isOpen(node)) push(node.children);
    }
    return found;
  }

  /** Where a score lies between the lowest and the highest, 0 to 1. */
  share(value) {
    if (value === null || value === undefined) return null;
    return this.high > this.low ? (value - this.low) / (this.high - this.low) : 1;
  }

  /** How many nodes lie below one. */
  below(node) {
    let found = 0;
    const stack = [...node.children];
    while (stack.length) {
      const next = stack.pop();
      found++;
      for (const child of next.children) stack.push(child);
    }
    return found;
  }

  /** The next node after this one for which something holds, in the order of the tree, around the end. */
  next(order, holds) {
    const held = this.nodes;
    for (let step = 1; step <= held.length; step++) {
      const node = held[(order + step + held.length) % held.length];
      if (node && holds(node)) return node;
    }
    return null;
  }
}
