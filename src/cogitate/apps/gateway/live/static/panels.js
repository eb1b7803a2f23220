// The parts around the tree: the list of runs, the counts, the spending, one node, the log.

import {
  EXPLAINED, STATES, UNITS, ago, amount, at, count, lasting, lined, make, mark, put, score, sparkline,
} from "./dom.js";

const SAID = { running: "Running", ended: "Ended", failed: "Failed", recorded: "Journal" };

// ---------------------------------------------------------------------------------- the list

export function requestList(rows, current) {
  if (!rows.length) {
    return empty("Nothing has been asked yet", "A request to this gateway appears here while it runs, with its search tree.");
  }
  const list = make("ul", "list");
  for (const row of rows) {
    const link = make("a", "entry");
    link.href = `#r=${encodeURIComponent(row.id)}`;
    if (current === row.id) link.setAttribute("aria-current", "page");
    const facts = [row.strategy, row.model].filter(Boolean).map((said) => lined(said, 60)).join(" · ");
    const cost = [row.tree ? `${count(row.tree)} nodes` : "", `${count(row.tokens)} tokens`,
      row.state === "running" ? lasting(row.elapsed_s) : ago(row.began)];
    link.append(
      make("span", "top", null, light(row.state), make("bdi", "asked", lined(row.title, 160) || row.id)),
      make("bdi", "with", facts),
      make("span", "cost", cost.filter(Boolean).join(" · ")),
    );
    list.append(make("li", "", null, link));
  }
  return list;
}

export function journalList(rows, current) {
  if (!rows.length) return empty("No journals", "The folder holds none yet. A run with a journal leaves one.");
  const list = make("ul", "list");
  for (const row of rows) {
    const link = make("a", "entry");
    link.href = `#j=${encodeURIComponent(row.name)}`;
    if (current === row.name) link.setAttribute("aria-current", "page");
    const size = row.bytes < 1e6 ? `${Math.ceil(row.bytes / 1000)} kB` : `${(row.bytes / 1e6).toFixed(1)} MB`;
    link.append(make("bdi", "asked file", row.name), make("span", "cost", `${ago(row.changed)} · ${size}`));
    list.append(make("li", "", null, link));
  }
  return list;
}

export function empty(head, body, kind = "") {
  const box = make("div", `empty ${kind}`);
  const art = document.querySelector(".brand .sign").cloneNode(true);
  box.append(art, make("h2", "", head), make("p", "", body));
  return box;
}

function light(state) {
  const said = make("span", `light ${state}`);
  said.append(make("span", "hidden", `${SAID[state] ?? state}: `));
  return said;
}

// ------------------------------------------------------------------------------------ the top

export function head(said) {
  at("state").className = `pill ${said.state}`;
  const early = said.stopped ? `, stopped: ${said.stopped}` : "";
  put(at("state"), `${SAID[said.state] ?? said.state}${early}`, 120);
  put(at("question"), lined(said.title || said.id, 600));
  at("answer").hidden = !said.answer;
  put(at("answer").lastChild, lined(said.answer, 1200));
  const facts = [["Strategy", said.strategy], ["Model", said.model], ["Key", said.key], ["Id", said.id], ["Seed", said.seed], ["Task", said.task]];
  at("facts").replaceChildren(
    ...facts.filter(([, value]) => value).map(([name, value]) => make("span", "fact", null, make("b", "", name), make("bdi", "", lined(value, 200)))),
  );
  document.title = `${lined(said.title || said.id, 60)} · cogitate live`;
  notices(said);
}

function notices(said) {
  const found = [];
  const calls = (n) => `${count(n)} ${n === 1 ? "call" : "calls"}`;
  if (said.refused) found.push(["cut", `${calls(said.refused)} refused by the budget`]);
  if (said.failed) found.push(["lost", `${calls(said.failed)} failed`]);
  if (said.error) found.push(["lost", lined(said.error, 200)]);
  if (said.dropped) found.push(["pruned", `the tree is cut at ${count(said.nodes)} nodes; ${count(said.dropped)} more things were said of others`]);
  if (said.unread) found.push(["lost", `${count(said.unread)} events could not be read`]);
  at("notices").replaceChildren(
    ...found.map(([state, text]) => make("span", `notice ${state}`, null, mark(state), make("span", "", text))),
  );
}

export function gauges(said, spending, elapsed, tasks = 0) {
  const curve = spending.curve ?? [];
  const cells = [
    ["Elapsed", lasting(elapsed) || "unknown", ""],
    tasks ? ["Tasks", count(tasks), ""] : ["Nodes", count(said.nodes), ""],
    ["Best score", score(said.score) || "none", said.settled ? "ranked" : ""],
    ["Tokens out", count(spending.total?.tokens_out ?? 0), "", sparkline(curve)],
    ["Refused", count(said.refused), said.refused ? "cut" : ""],
    ["Failed", count(said.failed), said.failed ? "lost" : ""],
  ];
  const box = at("gauges");
  if (box.children.length !== cells.length) {
    box.replaceChildren(...cells.map(([name]) => make("div", "gauge", null, make("dt", "", name), make("dd"))));
  }
  cells.forEach(([name, value, kind, art], i) => {
    const cell = box.children[i];
    put(cell.firstChild, name);
    cell.className = `gauge ${kind}`;
    const dd = cell.children[1];
    const sign = `${value}|${art ? curve.length + ":" + (curve.at(-1) ?? "") : ""}`;
    if (dd.dataset.sign === sign) return;
    dd.dataset.sign = sign;
    dd.replaceChildren(make("span", "", value), ...(art ? [art] : []));
  });
}

// -------------------------------------------------------------------------------- the spending

const COLUMNS = [["calls", "Calls"], ["tokens_in", "In"], ["tokens_out", "Out"], ["usd", "Money"]];

export function spent(said) {
  const roles = Object.entries(said.roles ?? {});
  const found = [];
  for (const [unit, used, bound] of said.bounds ?? []) found.push(bar(unit, used, bound, roles));
  if (!found.length) found.push(make("p", "faint", "No budget bounds this run."));
  if (roles.length) found.push(table(roles, said.total));
  else found.push(make("p", "faint", "Nothing has been spent yet."));
  if (said.total?.estimated) found.push(make("p", "faint", "Some of it is estimated."));
  at("spending").replaceChildren(...found);
}

function bar(unit, used, bound, roles) {
  const share = used === null ? 0 : bound ? Math.min(1, used / bound) : 1;
  const box = make("div", "bound");
  const percent = used === null ? "unknown" : `${Math.round(100 * share)} %`;
  box.append(
    make("div", "said", null,
      make("span", "", UNITS[unit] ?? unit),
      make("span", "num", null, make("b", "", amount(unit, used)), make("span", "", ` of ${amount(unit, bound)}`), make("i", "", percent))),
  );
  const track = make("div", `track${share >= 1 ? " full" : ""}`);
  track.setAttribute("role", "meter");
  track.setAttribute("aria-label", UNITS[unit] ?? unit);
  track.setAttribute("aria-valuemin", "0");
  track.setAttribute("aria-valuemax", String(bound));
  track.setAttribute("aria-valuenow", String(used ?? 0));
  const parts = roles.map(([, usage]) => usage[unit] ?? 0);
  const sum = parts.reduce((a, b) => a + b, 0);
  const shown = sum > 0 && unit !== "seconds" ? parts : [1];
  const whole = shown.reduce((a, b) => a + b, 0);
  shown.forEach((part, i) => {
    const piece = make("span", `piece r${sum > 0 && unit !== "seconds" ? i % 5 : 5}`);
    piece.style.width = `${(100 * share * part) / whole}%`;
    track.append(piece);
  });
  box.append(track);
  return box;
}

function table(roles, total) {
  const held = COLUMNS.filter(([name]) => name !== "usd" || roles.some(([, usage]) => usage.usd !== undefined));
  const grid = make("table", "roles");
  const top = make("tr", "", null, make("th", "", "Role"), ...held.map(([, name]) => make("th", "num", name)));
  grid.append(make("thead", "", null, top));
  const body = make("tbody");
  const row = (name, usage, kind) => {
    const first = make("th", "", null, ...(kind ? [make("i", `swatch ${kind}`)] : []), make("bdi", "", lined(name, 40) || "none"));
    first.scope = "row";
    return make("tr", kind ? "" : "sum", null, first, ...held.map(([unit]) => make("td", "num", amount(unit, unit in usage ? usage[unit] : 0))));
  };
  roles.forEach(([name, usage], i) => body.append(row(name, usage, `r${i % 5}`)));
  if (roles.length > 1) body.append(row("all", total, ""));
  grid.append(body);
  return grid;
}

// ---------------------------------------------------------------------------------- one node

export function noNode(tree) {
  const said = tree ? "Choose a node in the tree to read what it says. Enter opens it, b goes to the best one." : "This run has no search tree.";
  at("node").replaceChildren(make("p", "faint", said));
}

/** A node with its text and the steps that lead to it; `row` is what the tree knows before the text is there. */
export function node(row, whole, go) {
  const state = STATES[row.state] ?? STATES.open;
  const head = make("div", "which", null, mark(row.state), make("b", "", state.name), make("span", "faint", EXPLAINED[row.state] ?? ""));
  const numbers = make("dl", "numbers");
  const add = (name, value) => value && numbers.append(make("div", "", null, make("dt", "", name), make("dd", "", value)));
  add("Score", score(row.value) || "none");
  add("Mean", score(row.mean));
  add("Visits", row.visits ? count(row.visits) : "");
  add("Depth", String(row.depth));
  add("Children", row.children.length ? count(row.children.length) : "");
  const found = [head, numbers, make("p", "name", null, make("span", "faint", "id "), make("bdi", "", lined(row.id, 120)))];
  if (row.reason) found.push(make("p", `reason ${row.state}`, whole?.reason || row.reason));
  const path = whole?.path ?? [];
  const own = path.at(-1)?.text ?? row.text;
  const way = make("ol", "way");
  if (whole?.more_above) way.append(make("li", "faint", "what comes before is too long to show"));
  for (const step of path.slice(0, -1)) {
    const button = make("button", "step", null, mark(step.state), make("span", "score", score(step.value)), make("bdi", "", lined(step.text, 140) || "…"));
    button.addEventListener("click", () => go(step.order));
    way.append(make("li", "", null, button));
  }
  if (way.children.length) found.push(make("h3", "", "The way here"), way);
  if (own.trim()) {
    const text = make("pre", "said", own.trimEnd());
    text.dir = "auto";
    text.tabIndex = 0;
    found.push(make("h3", "", "Text"), text);
  } else if (!row.reason) found.push(make("p", "faint", "It has no text of its own."));
  at("node").replaceChildren(...found);
}

// ----------------------------------------------------------------------------------- the log

const KINDS = { refused: "cut", failed: "lost", lost: "lost", error: "lost", pruned: "pruned", kept: "kept", ranked: "chosen", chosen: "chosen", expanded: "open" };

export function log(lines, said) {
  const list = at("log");
  for (const [number, seconds, kind, text, times] of lines) {
    let row = list.querySelector(`[data-line="${Number(number)}"]`);
    if (!row) {
      row = make("li");
      row.dataset.line = Number(number);
      list.prepend(row);
    }
    const tell = [kind.replaceAll("_", " "), text].filter(Boolean).join(": ");
    row.replaceChildren(
      make("time", "", seconds === null ? "" : `${seconds.toFixed(1)}`),
      KINDS[kind] ? mark(KINDS[kind]) : make("i", "dot"),
      make("bdi", "", lined(tell, 320)),
      make("span", "times", times > 1 ? `×${count(times)}` : ""),
    );
  }
  at("no-lines").hidden = list.children.length > 0;
  while (list.children.length > 400) list.lastChild.remove();
  put(at("cut-lines"), said.lines > said.kept_lines ? `the last ${count(said.kept_lines)} of ${count(said.lines)}` : "");
}

// ---------------------------------------------------------------------------------- the marks

/** The legend, which leads to the nodes: how many of each kind, and to the next one by a press. */
export function marks(counts, press) {
  const box = at("marks");
  const there = Object.keys(STATES).filter((state) => counts[state] > 0);
  if (box.dataset.there !== there.join()) {
    box.dataset.there = there.join();
    box.replaceChildren(
      ...there.map((state) => {
        const button = make("button", `chip ${state}`, null, mark(state), make("span", "", STATES[state].name), make("b"));
        button.title = `${EXPLAINED[state]}; go to the next one`;
        button.addEventListener("click", () => press(state));
        return button;
      }),
    );
  }
  there.forEach((state, i) => put(box.children[i].lastChild, count(counts[state])));
}

export function scale(tree) {
  const box = at("scale");
  const known = tree.high >= tree.low;
  box.hidden = !known;
  if (!known) return;
  if (!box.children.length) box.append(make("span", "low"), make("i", "ramp"), make("span", "high"), make("span", "hidden", "scores from the lowest to the highest"));
  put(box.children[0], score(tree.low));
  put(box.children[2], score(tree.high));
}

export function tasks(rows, more, name) {
  const box = at("tasks");
  box.hidden = !rows.length;
  if (!rows.length) return box.replaceChildren();
  const grid = make("table", "roles");
  grid.append(make("thead", "", null, make("tr", "", null, ...["Task", "Score", "Answer", "Stopped", "Question"].map((said) => make("th", "", said)))));
  const body = make("tbody");
  for (const row of rows) {
    const link = make("a", "", row.task);
    link.href = `#j=${encodeURIComponent(name)}&task=${encodeURIComponent(row.task)}`;
    body.append(make("tr", "", null, make("th", "", null, link), make("td", "num", score(row.score)),
      make("td", "", lined(row.finished ? row.answer ?? "" : "not finished", 60)), make("td", "", lined(row.stopped, 30)),
      make("td", "wide", lined(row.question, 160))));
  }
  grid.append(body);
  box.replaceChildren(grid, ...(more ? [make("p", "faint", `and ${count(more)} more tasks`)] : []));
  return box;
}
