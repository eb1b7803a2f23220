// The whole tree in one picture: every node a mark, coloured by its score; linear in the nodes.

import { STATES, lined, put, score } from "./dom.js";

const FRAME_MS = 120; // between two drawings while it grows
const SHARE = 0.15; // of the time that drawing may take
const DENSE = 1.6; // of the size of a mark, below which edges are straight and faint
const shapes = new Map();
const SPECIAL = ["pruned", "lost", "cut", "finished", "chosen"];

/** Colours of scores and marks as the style sheet has them. */
export class Colours {
  constructor(changed) {
    const dark = matchMedia("(prefers-color-scheme: dark)");
    this.read();
    dark.addEventListener("change", () => {
      this.read();
      changed();
    });
  }

  read() {
    const style = getComputedStyle(document.documentElement);
    const of = (name) => style.getPropertyValue(name).trim();
    this.stops = ["--s0", "--s1", "--s2", "--s3", "--s4"].map((name) => rgb(of(name)));
    this.marks = Object.fromEntries(Object.keys(STATES).map((state) => [state, of(`--${state}`)]));
    this.edge = of("--edge");
    this.ink = of("--ink");
    this.paper = of("--card");
    this.accent = of("--chosen");
    this.theme = of("--theme");
  }

  /** The colour of a score's share, 0 to 1. */
  at(share) {
    const place = Math.max(0, Math.min(1, share)) * (this.stops.length - 1);
    const i = Math.min(this.stops.length - 2, Math.floor(place));
    const [a, b] = [this.stops[i], this.stops[i + 1]];
    const mixed = a.map((v, k) => Math.round(v + (b[k] - v) * (place - i)));
    return `rgb(${mixed.join(" ")})`;
  }
}

function rgb(hex) {
  return [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16) || 0);
}

export class Overview {
  constructor(canvas, caption, colours, chosen) {
    Object.assign(this, { canvas, caption, colours, chosen });
    this.current = -1;
    this.spots = [];
    canvas.addEventListener("click", (event) => {
      const node = this.near(event);
      if (node) chosen(node);
    });
    canvas.addEventListener("pointermove", (event) => this.hover(this.near(event)));
    canvas.addEventListener("pointerleave", () => this.hover(null));
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  show(tree) {
    this.tree = tree;
    this.current = -1;
    this.draw();
  }

  soon() {
    if (this.due) return;
    this.due = setTimeout(() => {
      this.due = 0;
      requestAnimationFrame(() => {
        const start = performance.now();
        this.draw();
        this.cost = performance.now() - start;
      });
    }, Math.max(FRAME_MS, (this.cost ?? 0) / SHARE));
  }

  /** Where each node lies: leaves side by side, parents above the middle of their children. */
  layout(width, height) {
    const { tree } = this;
    const xs = new Float64Array(tree.nodes.length);
    let leaves = 0;
    let deepest = 0;
    const stack = [...tree.roots].reverse().map((node) => [node, false]);
    while (stack.length) {
      const top = stack.pop();
      const [node, seen] = top;
      deepest = Math.max(deepest, node.depth);
      if (!node.children.length) xs[node.order] = leaves++;
      else if (seen) {
        const held = node.children;
        xs[node.order] = (xs[held[0].order] + xs[held[held.length - 1].order]) / 2;
      } else {
        top[1] = true;
        stack.push(top);
        for (let i = node.children.length - 1; i >= 0; i--) stack.push([node.children[i], false]);
      }
    }
    const pad = 14;
    const step = Math.min(46, (width - 2 * pad) / Math.max(1, leaves - 1));
    const left = (width - step * (leaves - 1)) / 2;
    const drop = Math.min(42, (height - 2 * pad) / Math.max(1, deepest));
    const top = pad + Math.max(0, (height - 2 * pad - drop * deepest) / 2);
    this.size = Math.max(leaves > 300 ? 1 : 1.7, Math.min(6, step * 0.46, drop * 0.34));
    this.spots = tree.nodes.map((node) => (node ? [left + xs[node.order] * step, top + node.depth * drop] : null));
  }

  draw() {
    const { canvas, tree, colours } = this;
    const { clientWidth: width, clientHeight: height } = canvas;
    if (!tree || !width || !height) return;
    const ratio = Math.min(2, devicePixelRatio || 1);
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    this.layout(width, height);
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    this.edges(pen);
    for (const state of [null, ...SPECIAL]) {
      for (const node of tree.nodes) {
        if (node && (state === null ? !SPECIAL.includes(node.state) : node.state === state)) this.dot(pen, node);
      }
    }
    const spot = this.spots[this.current];
    if (spot) {
      pen.strokeStyle = colours.ink;
      pen.lineWidth = 1.6;
      pen.beginPath();
      pen.arc(spot[0], spot[1], Math.max(7, this.size + 4), 0, 7);
      pen.stroke();
    }
  }

  edges(pen) {
    const { tree, spots, colours } = this;
    const dense = this.size < DENSE;
    pen.lineWidth = this.size > 2.5 ? 1.2 : dense ? 0.5 : 0.7;
    pen.strokeStyle = colours.edge;
    pen.globalAlpha = dense ? 0.45 : 1;
    pen.beginPath();
    const best = new Path2D();
    for (const node of tree.nodes) {
      if (!node || node.above < 0) continue;
      const [x, y] = spots[node.order];
      const [px, py] = spots[node.above];
      const on = tree.onPath.has(node.order) ? best : pen;
      on.moveTo(px, py);
      if (dense && on === pen) on.lineTo(x, y);
      else on.bezierCurveTo(px, (py + y) / 2, x, (py + y) / 2, x, y);
    }
    pen.stroke();
    pen.globalAlpha = 1;
    pen.strokeStyle = colours.accent;
    pen.lineWidth = 2.2;
    pen.stroke(best);
  }

  dot(pen, node) {
    const { colours } = this;
    const [x, y] = this.spots[node.order];
    const loud = node.state === "cut" || node.state === "lost";
    const size = node.state === "chosen" ? Math.max(6.5, this.size * 1.5) : loud ? Math.max(3.4, this.size) : this.size;
    const share = this.tree.share(node.value);
    const colour = loud || node.state === "chosen" ? colours.marks[node.state]
      : share === null ? colours.marks[node.state] : colours.at(share);
    if (size < 1.5) {
      pen.fillStyle = colour;
      pen.fillRect(x - size, y - size, 2 * size, 2 * size);
      return;
    }
    const shape = STATES[node.state] ?? STATES.open;
    if (!shapes.has(shape)) shapes.set(shape, new Path2D(shape.path));
    pen.save();
    pen.translate(x, y);
    pen.scale(size / 6, size / 6);
    pen.translate(-8, -8);
    if (shape.fill) {
      pen.fillStyle = colour;
      pen.fill(shapes.get(shape));
    } else {
      if (node.state === "open" || node.state === "cut") {
        pen.fillStyle = node.state === "open" && share !== null ? colour : colours.paper;
        pen.fill(shapes.get(shape));
      }
      pen.strokeStyle = colour;
      pen.lineWidth = node.state === "open" ? 2 : 2.4;
      pen.stroke(shapes.get(shape));
    }
    pen.restore();
  }

  near(event) {
    const box = this.canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    let found = null;
    let nearest = 24 ** 2;
    this.spots.forEach((spot, order) => {
      if (!spot) return;
      const far = (spot[0] - x) ** 2 + (spot[1] - y) ** 2;
      if (far < nearest) [nearest, found] = [far, this.tree.nodes[order]];
    });
    return found;
  }

  hover(node) {
    this.canvas.classList.toggle("over", Boolean(node));
    const value = node && node.value !== null ? `${score(node.value)}  ` : "";
    put(this.caption, node ? `${STATES[node.state]?.name ?? ""}  ${value}${lined(node.text || node.reason || node.id, 120)}` : "");
  }
}
