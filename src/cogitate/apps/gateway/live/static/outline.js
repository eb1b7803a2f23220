// The tree as a list of lines: only those in sight exist, whatever the tree holds.

import { STATES, lined, make, mark, put, score } from "./dom.js";

const SPARE = 8; // lines above and below those in sight
const DEEPEST = 14; // levels that move a line to the right

export class Outline {
  constructor(element, tree, chosen, colours) {
    this.element = element;
    this.tree = tree;
    this.chosen = chosen; // called with a node and whether it was asked to be opened
    this.colours = colours;
    this.current = -1;
    this.lines = [];
    this.shape = -1;
    this.made = new Map();
    this.hits = new Set();
    this.space = make("div", "space");
    this.space.setAttribute("role", "presentation");
    element.replaceChildren(this.space);
    element.addEventListener("scroll", () => this.soon(), { passive: true });
    element.addEventListener("keydown", (event) => this.key(event));
    element.addEventListener("click", (event) => this.click(event));
    element.addEventListener("focus", () => this.current < 0 && this.lines.length && this.move(0));
    new ResizeObserver(() => this.soon()).observe(element);
  }

  show(tree) {
    this.tree = tree;
    this.current = -1;
    this.shape = -1;
    this.hits = new Set();
    this.element.scrollTop = 0;
    this.made.clear();
    this.space.replaceChildren();
    this.soon();
  }

  soon() {
    if (this.due) return;
    this.due = requestAnimationFrame(() => {
      this.due = 0;
      this.draw();
    });
  }

  get height() {
    return matchMedia("(max-width: 999px)").matches ? 40 : 30;
  }

  draw() {
    const { element, tree, height } = this;
    if (this.shape !== tree.shape) {
      this.lines = tree.lines();
      this.shape = tree.shape;
      this.places = null;
      this.space.style.height = `${this.lines.length * height}px`;
    }
    const first = Math.max(0, Math.floor(element.scrollTop / height) - SPARE);
    const last = Math.min(this.lines.length, Math.ceil((element.scrollTop + element.clientHeight) / height) + SPARE);
    const wanted = new Set();
    for (let i = first; i < last; i++) {
      const line = this.lines[i];
      wanted.add(line.node.order);
      let row = this.made.get(line.node.order);
      if (!row) {
        row = this.build(line.node);
        this.made.set(line.node.order, row);
        this.space.append(row.element);
      }
      this.fill(row, line, i * height);
    }
    for (const [order, row] of this.made) {
      if (wanted.has(order)) continue;
      row.element.remove();
      this.made.delete(order);
    }
    const active = this.made.get(this.current);
    if (active) element.setAttribute("aria-activedescendant", active.element.id);
    else element.removeAttribute("aria-activedescendant");
  }

  build(node) {
    const element = make("div", "node");
    element.id = `n${node.order}`;
    element.setAttribute("role", "treeitem");
    element.dataset.order = node.order;
    const part = {
      element,
      indent: make("span", "indent"),
      twist: make("span", "twist"),
      mark: make("span", "at"),
      meter: make("span", "meter"),
      fill: make("i"),
      score: make("span", "score"),
      text: make("bdi", "text"),
      more: make("span", "more"),
      word: make("span", "word"),
    };
    part.meter.append(part.fill);
    part.twist.setAttribute("aria-hidden", "true");
    element.append(part.indent, part.twist, part.mark, part.text, part.more, part.meter, part.score, part.word);
    if (performance.now() - node.born < 900) element.classList.add("new");
    return part;
  }

  fill(row, { node, place, of }, top) {
    const { element } = row;
    const open = node.children.length ? this.tree.isOpen(node) : null;
    const sign = [node.state, node.value, node.visits, node.text, node.reason, open, place, of, top, node.depth,
      node.children.length, this.tree.titles.length, this.current === node.order, this.tree.onPath.has(node.order),
      open === false ? this.tree.nodes.length : 0, this.hits.has(node.order), this.tree.low, this.tree.high, this.colours.theme].join("\u0001");
    if (row.sign === sign) return;
    row.sign = sign;
    element.style.transform = `translateY(${top}px)`;
    element.setAttribute("aria-level", node.depth + 1);
    element.setAttribute("aria-posinset", place);
    element.setAttribute("aria-setsize", of);
    element.setAttribute("aria-selected", this.current === node.order);
    if (open === null) element.removeAttribute("aria-expanded");
    else element.setAttribute("aria-expanded", open);
    element.classList.toggle("path", this.tree.onPath.has(node.order));
    element.classList.toggle("hit", this.hits.has(node.order));
    element.dataset.state = node.state;
    row.indent.style.setProperty("--deep", Math.min(node.depth, DEEPEST));
    put(row.indent, node.depth > DEEPEST ? String(node.depth) : "");
    row.twist.className = open === null ? "twist" : `twist ${open ? "open" : "shut"}`;
    if (row.state !== node.state) {
      row.mark.replaceChildren(mark(node.state));
      row.state = node.state;
    }
    const share = this.tree.share(node.value);
    row.meter.classList.toggle("none", share === null);
    row.fill.style.width = share === null ? "0" : `${Math.max(4, 100 * share)}%`;
    row.fill.style.background = share === null ? "none" : this.colours.at(share);
    put(row.score, score(node.value));
    const title = node.above < 0 && this.tree.titles.length > 1 ? this.tree.titles[node.search] ?? "" : "";
    put(row.text, lined(title ? `${title}: ${words(node)}` : words(node)));
    row.text.classList.toggle("dim", !node.text);
    const hidden = open === false ? this.tree.below(node) : 0;
    put(row.more, hidden ? `+${hidden}` : node.visits ? `n=${node.visits}` : "");
    row.more.title = hidden ? `${hidden} nodes below` : node.visits ? `${node.visits} visits` : "";
    put(row.word, ["open", "kept"].includes(node.state) ? "" : STATES[node.state]?.name ?? node.state);
    element.setAttribute("aria-label", said(node, hidden));
  }

  // ------------------------------------------------------------------------------- moving

  indexOf(order) {
    if (!this.places || this.shape !== this.tree.shape) {
      if (this.shape !== this.tree.shape) this.draw();
      this.places = new Map(this.lines.map((line, i) => [line.node.order, i]));
    }
    return this.places.get(order) ?? -1;
  }

  /** Go to a line, bring it into sight and tell. */
  move(index, ask = false) {
    if (!this.lines.length) return;
    const line = this.lines[Math.max(0, Math.min(this.lines.length - 1, index))];
    this.current = line.node.order;
    const top = this.indexOf(line.node.order) * this.height;
    const { element } = this;
    if (top < element.scrollTop) element.scrollTop = top;
    else if (top + this.height > element.scrollTop + element.clientHeight)
      element.scrollTop = top + this.height - element.clientHeight;
    this.draw();
    this.chosen(line.node, ask);
  }

  /** Go to a node, opening what hides it. */
  go(order, { middle = true, ask = false } = {}) {
    if (!this.tree.nodes[order]) return;
    this.tree.reveal(order);
    const index = this.indexOf(order);
    if (index < 0) return;
    if (middle) {
      const top = index * this.height;
      const { scrollTop, clientHeight } = this.element;
      if (top < scrollTop || top + this.height > scrollTop + clientHeight)
        this.element.scrollTop = top - clientHeight / 2 + this.height;
    }
    this.move(index, ask);
  }

  toggle(node, open = !this.tree.isOpen(node)) {
    this.tree.setOpen(node, open);
    this.draw();
  }

  click(event) {
    const row = event.target.closest(".node");
    if (!row) return;
    const node = this.tree.nodes[Number(row.dataset.order)];
    if (!node) return;
    if (event.target.closest(".twist") && node.children.length) this.toggle(node);
    this.move(this.indexOf(node.order), !event.target.closest(".twist"));
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const node = this.tree.nodes[this.current];
    const here = node ? this.indexOf(node.order) : -1;
    const page = Math.max(1, Math.floor(this.element.clientHeight / this.height) - 1);
    const steps = { ArrowDown: here + 1, ArrowUp: Math.max(0, here - 1), Home: 0, End: this.lines.length - 1,
      PageDown: here + page, PageUp: here - page };
    if (event.key in steps) this.move(steps[event.key]);
    else if (event.key === "ArrowRight" && node) {
      if (node.children.length && !this.tree.isOpen(node)) this.toggle(node, true);
      else if (node.children.length) this.move(here + 1);
    } else if (event.key === "ArrowLeft" && node) {
      if (node.children.length && this.tree.isOpen(node)) this.toggle(node, false);
      else if (node.above >= 0) this.move(this.indexOf(node.above));
    } else if ((event.key === "Enter" || event.key === " ") && node) this.move(here, true);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

function words(node) {
  if (node.text) return node.state === "lost" && node.reason ? `[${node.reason}] ${node.text}` : node.text;
  return node.reason || `(${node.id})`;
}

function said(node, hidden) {
  const state = STATES[node.state]?.name ?? "";
  const parts = [state, node.value === null ? "" : `score ${score(node.value)}`, lined(words(node), 160)];
  if (hidden) parts.push(`${hidden} below`);
  return parts.filter(Boolean).join(", ");
}
