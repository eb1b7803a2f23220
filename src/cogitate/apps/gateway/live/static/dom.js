// Making elements and words. Whatever a model, a user or a journal wrote goes through `put`,
// which sets text and nothing else; no text of theirs ever becomes markup, an address or a style.

const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;
const TAGS = /[\u{e0000}-\u{e007f}]/gu;
const HALVES = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;
const LONGEST = 200000;

/** The text with what cannot be seen, or would turn the line around, named instead. */
export function shown(text, most = LONGEST) {
  let said = String(text ?? "");
  if (said.length > most) said = said.slice(0, most) + " …";
  return said.replace(/\r\n?/g, "\n").replace(HALVES, "\ufffd").replace(UNSEEN, named).replace(TAGS, named);
}

function named(character) {
  return "⟨" + character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0") + "⟩";
}

/** The same on one line. */
export function lined(text, most = 400) {
  return shown(text, most).replace(/\s+/g, " ").trim();
}

export function put(element, text, most) {
  const said = shown(text, most);
  if (element.textContent !== said) element.textContent = said;
  return element;
}

/** An element with a class, a text and children. */
export function make(tag, kind = "", text = null, ...children) {
  const element = document.createElement(tag);
  if (kind) element.className = kind;
  if (text !== null) put(element, text);
  element.append(...children);
  return element;
}

export const at = (id) => document.getElementById(id);

// ------------------------------------------------------------------------------------- marks

/** By state: what it is called, and its shape in a box of 16; shapes tell states apart without colour. */
export const STATES = {
  chosen: { name: "best", path: "M8 1.2l2.1 4.4 4.8.6-3.5 3.4.9 4.8L8 12.1l-4.3 2.3.9-4.8L1.1 6.2l4.8-.6z", fill: true },
  finished: { name: "finished", path: "M3 3h10v10H3z", fill: true },
  kept: { name: "kept", path: "M8 3a5 5 0 1 1 0 10A5 5 0 0 1 8 3z", fill: true },
  open: { name: "open", path: "M8 4a4 4 0 1 1 0 8 4 4 0 0 1 0-8z", fill: false },
  pruned: { name: "pruned", path: "M4 4l8 8M12 4l-8 8", fill: false },
  cut: { name: "refused", path: "M8 2a6 6 0 1 1 0 12A6 6 0 0 1 8 2zM3.8 3.8l8.4 8.4", fill: false },
  lost: { name: "failed", path: "M8 2.2l6.3 11.3H1.7zM8 6.4v3.4M8 11.2v1", fill: false },
};
export const EXPLAINED = {
  chosen: "ranked first by the search",
  finished: "a whole answer",
  kept: "kept to go on from",
  open: "nothing has been decided of it yet",
  pruned: "dropped for better ones",
  cut: "the budget had no room for it",
  lost: "lost to a failure",
};

const SVG = "http://www.w3.org/2000/svg";

export function mark(state) {
  const shape = STATES[state] ?? STATES.open;
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("class", `mark ${STATES[state] ? state : "open"}${shape.fill ? " full" : ""}`);
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", shape.path);
  svg.append(path);
  return svg;
}

/** A line through points of a box of 100 × 24, and the area below it. */
export function sparkline(points) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 100 24");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("class", "spark");
  svg.setAttribute("aria-hidden", "true");
  if (points.length < 2) return svg;
  const [left, right] = [points[0][0], points[points.length - 1][0]];
  const high = Math.max(...points.map((p) => p[1]), 1);
  const place = ([x, y]) =>
    `${(right > left ? (100 * (x - left)) / (right - left) : 0).toFixed(2)} ${(23 - (21 * y) / high).toFixed(2)}`;
  const line = points.map(place).join("L");
  for (const [kind, d] of [["area", `M0 24L${line}L100 24z`], ["line", `M${line}`]]) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("class", kind);
    path.setAttribute("d", d);
    svg.append(path);
  }
  return svg;
}

// ------------------------------------------------------------------------------------- words

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export function count(value) {
  if (value === null || value === undefined) return "unknown";
  return Math.abs(value) < 100000 ? whole.format(value) : short.format(value);
}

export function score(value) {
  if (value === null || value === undefined) return "";
  const size = Math.abs(value);
  if (size !== 0 && (size >= 10000 || size < 0.001)) return value.toExponential(1);
  return value.toFixed(size >= 100 ? 1 : 3);
}

export function lasting(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function ago(epoch) {
  const seconds = Math.max(0, Date.now() / 1000 - epoch);
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return new Date(epoch * 1000).toISOString().slice(0, 10);
}

export const UNITS = {
  tokens_in: "Tokens in", tokens_out: "Tokens out", calls: "Calls", seconds: "Seconds",
  flops: "FLOPs", bytes_moved: "Bytes moved", usd: "Money",
};

export function amount(unit, value) {
  if (value === null || value === undefined) return "unknown";
  if (unit === "usd") return `$${value.toFixed(4)}`;
  return unit === "seconds" ? value.toFixed(1) : count(value);
}
