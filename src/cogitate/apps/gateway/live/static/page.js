// The page: what is looked at, what arrives, and the keys.

import { at, make, put } from "./dom.js";
import { bind } from "./keys.js";
import { Shut, Stream, ask, enter, journalQuery, leave, requestAt } from "./link.js";
import { Colours, Overview } from "./map.js";
import { Tree } from "./model.js";
import { Outline } from "./outline.js";
import * as panels from "./panels.js";

const POLL_MS = 2000;
const wide = matchMedia("(min-width: 1000px)");

let tree = new Tree();
let stream = null;
let current = { kind: "", id: "", task: "" };
let said = null; // the head, as it came last
let spending = { roles: {}, bounds: [], curve: [] };
let heardAt = 0;
let tasks = 0; // of a journal of many
let listed = "requests";
let chosen = null;
let wantText = 0;
let first = true;
let found = { orders: [], place: -1 };

const colours = new Colours(() => refresh());
const outline = new Outline(at("tree"), tree, choose, colours);
const map = new Overview(at("map"), at("caption"), colours, (node) => {
  outline.go(node.order, { ask: true });
});

// ------------------------------------------------------------------------------- what is shown

function view(name) {
  document.body.dataset.view = name;
}

function blank(head, body, kind = "") {
  const back = make("a", "back", "All runs");
  back.href = "#";
  at("blank").replaceChildren(panels.empty(head, body, kind), back);
  document.body.dataset.run = "none";
}

function alarm(text) {
  at("alert").hidden = !text;
  put(at("alert"), text);
}

function reset() {
  clearTimeout(read.timer);
  wantText++;
  tree = new Tree();
  said = null;
  chosen = null;
  tasks = 0;
  found = { orders: [], place: -1 };
  at("find").value = "";
  put(at("hits"), "");
  at("log").replaceChildren();
  outline.show(tree);
  map.show(tree);
  side("log");
  panels.noNode(true);
  panels.tasks([], 0, "");
  alarm("");
}

function take(look, whole) {
  if (whole) {
    const [open, byScore] = [tree.chosen, tree.byScore];
    tree = Object.assign(new Tree(), { chosen: open, byScore });
    outline.show(tree);
    map.show(tree);
    at("log").replaceChildren();
  }
  tree.take(look.nodes ?? [], !said);
  if (!look.head) return;
  said = look.head;
  heardAt = performance.now();
  spending = look.spending;
  tree.titles = said.searches ?? [];
  tree.setBest(said.best ?? []);
  document.body.dataset.run = "some";
  panels.log(look.log ?? [], said);
  refresh();
  if (chosen && tree.nodes[chosen.order]) chosen = tree.nodes[chosen.order];
  if (chosen && (look.nodes ?? []).some((row) => row[0] === chosen.order)) read(chosen);
  else if (!chosen && !tree.nodes.length) panels.noNode(false);
}

function elapsed() {
  if (!said) return null;
  return said.state === "running" ? said.elapsed_s + (performance.now() - heardAt) / 1000 : said.elapsed_s;
}

function refresh() {
  if (!said) return;
  panels.head(said);
  panels.gauges(said, spending, elapsed(), tasks);
  panels.spent(spending);
  panels.marks(tree.counts, nextOf);
  panels.scale(tree);
  document.body.dataset.tree = tree.nodes.length ? "some" : "none";
  outline.soon();
  map.soon();
}

// ------------------------------------------------------------------------------------ one node

function choose(node, asked) {
  chosen = node;
  map.current = node.order;
  map.soon();
  side("node");
  panels.node(node, null, (order) => outline.go(order));
  read(node);
  if (asked) {
    if (wide.matches) at("node").scrollTop = 0;
    else part("node");
  }
}

/** Get the text of a node; the last one asked for is shown, whatever arrives when. */
function read(node) {
  const mine = ++wantText;
  clearTimeout(read.timer);
  read.timer = setTimeout(async () => {
    const path = current.kind === "r" ? `${requestAt(current.id)}/nodes/${node.order}`
      : `/api/journal/nodes/${node.order}${journalQuery(current.id, current.task)}`;
    try {
      const whole = await ask(path);
      if (mine === wantText && chosen?.order === node.order) panels.node(tree.nodes[node.order] ?? node, whole, (order) => outline.go(order));
    } catch (error) {
      if (error instanceof Shut) shut();
    }
  }, 60);
}

function nextOf(state) {
  const node = tree.next(chosen?.order ?? -1, (held) => held.state === state);
  if (node) outline.go(node.order);
  at("tree").focus({ preventScroll: true });
}

// -------------------------------------------------------------------------------- what is open

function address() {
  const asked = new URLSearchParams(location.hash.slice(1));
  if (asked.has("r")) return { kind: "r", id: asked.get("r"), task: "" };
  if (asked.has("j")) return { kind: "j", id: asked.get("j"), task: asked.get("task") ?? "" };
  return { kind: "", id: "", task: "" };
}

async function route() {
  const next = address();
  if (next.kind === current.kind && next.id === current.id && next.task === current.task && said) return;
  stream?.close();
  stream = null;
  current = next;
  reset();
  if (next.kind) list(next.kind === "j" ? "journals" : "requests");
  if (!next.kind) {
    view("list");
    blank("Choose a run", "Requests appear on the left while they run. Journals of earlier runs open the same way.");
    document.title = "cogitate live";
  } else {
    view("run");
    blank("Loading", "One moment.");
    if (next.kind === "r") stream = new Stream(next.id, hear);
    else await journal(next);
  }
  lists();
}

async function journal(asked) {
  try {
    const look = await ask(`/api/journal${journalQuery(asked.id, asked.task)}`);
    if (current !== asked) return;
    tasks = (look.tasks ?? []).length + (look.more_tasks ?? 0);
    take(look, true);
    panels.tasks(look.tasks ?? [], look.more_tasks ?? 0, asked.id);
    if (asked.task) at("back").href = `#j=${encodeURIComponent(asked.id)}`;
    if (tree.best.length) outline.go(tree.best[0]);
  } catch (error) {
    if (error instanceof Shut) return shut();
    blank("This journal cannot be opened", error.message, "bad");
  }
}

function hear(kind, look) {
  if (kind === "look" || kind === "part") {
    alarm("");
    take(look, look.whole);
  } else if (kind === "open") alarm("");
  else if (kind === "lost") alarm("The connection was lost; trying again.");
  else if (kind === "shut") shut();
  else if (kind === "gone") {
    stream?.close();
    if (said) alarm(look.why);
    else blank("This request is gone", look.why, "bad");
  } else if (kind === "end") {
    if (!chosen && tree.best.length && wide.matches) outline.go(tree.best[0]);
    lists();
  }
}

// ----------------------------------------------------------------------------------- the lists

function list(name) {
  listed = name;
  for (const held of ["requests", "journals"]) {
    const tab = at(`tab-${held}`);
    tab.setAttribute("aria-selected", held === name);
    tab.tabIndex = held === name ? 0 : -1;
  }
  at("runs").setAttribute("aria-labelledby", `tab-${name}`);
}

let showing = "";

async function lists() {
  if (document.body.dataset.view === "door") return;
  try {
    const held = await ask("/api/requests");
    at("tab-journals").disabled = !held.journals;
    at("leave").hidden = !held.session;
    put(at("held"), held.gone ? `The last ${held.recent} are kept; ${held.gone} are gone.` : "");
    let rows = held.requests;
    if (listed === "journals") rows = held.journals ? (await ask("/api/journals")).journals : [];
    const open = current.kind === (listed === "journals" ? "j" : "r") ? current.id : null;
    const sign = JSON.stringify([listed, rows, open]);
    if (sign !== showing) {
      showing = sign;
      const focused = document.activeElement?.closest?.("#runs a")?.getAttribute("href");
      at("runs").replaceChildren((listed === "journals" ? panels.journalList : panels.requestList)(rows, open));
      if (focused) [...at("runs").querySelectorAll("a")].find((link) => link.getAttribute("href") === focused)?.focus();
    }
    if (document.body.dataset.view === "wait") view("list");
    if (first && !current.kind && wide.matches && listed === "requests" && rows.length) location.hash = `r=${encodeURIComponent(rows[0].id)}`;
    first = false;
  } catch (error) {
    if (error instanceof Shut) shut();
    else if (!stream) alarm("The server does not answer; trying again.");
  }
}

// ------------------------------------------------------------------------------------ the door

function shut() {
  stream?.close();
  stream = null;
  said = null;
  view("door");
  at("key").focus();
}

async function open(key) {
  put(at("wrong"), "");
  const problem = await enter(key).catch(() => "The server does not answer.");
  at("key").value = "";
  if (problem) {
    put(at("wrong"), problem);
    view("door");
    return;
  }
  view("wait");
  current = { kind: "", id: "", task: "" };
  await route();
}

at("lock").addEventListener("submit", (event) => {
  event.preventDefault();
  open(at("key").value);
});
at("leave").addEventListener("click", async () => {
  await leave();
  reset();
  shut();
});

// ---------------------------------------------------------------------------- parts and search

function part(name) {
  document.body.dataset.part = name;
  for (const tab of at("tabs").children) {
    tab.setAttribute("aria-selected", tab.dataset.part === name);
    tab.tabIndex = tab.dataset.part === name ? 0 : -1;
  }
  outline.soon();
  map.soon();
}

function arrows(box, pick) {
  box.addEventListener("click", (event) => {
    const tab = event.target.closest("[role=tab]");
    if (tab && !tab.disabled) pick(tab);
  });
  box.addEventListener("keydown", (event) => {
    const tabs = [...box.children].filter((tab) => !tab.disabled);
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = tabs[(tabs.indexOf(document.activeElement) + step + tabs.length) % tabs.length];
    next.focus();
    pick(next);
    event.preventDefault();
  });
}

function side(name) {
  document.body.dataset.side = name;
  for (const tab of at("sides").children) {
    tab.setAttribute("aria-selected", tab.dataset.side === name);
    tab.tabIndex = tab.dataset.side === name ? 0 : -1;
  }
}

arrows(at("sides"), (tab) => side(tab.dataset.side));
arrows(at("tabs"), (tab) => part(tab.dataset.part));
arrows(document.querySelector(".rail .switch"), (tab) => {
  list(tab.id.slice(4));
  showing = "";
  lists();
});

async function search(words) {
  found = { orders: [], place: -1 };
  if (words.trim()) {
    const query = current.kind === "r" ? `?${new URLSearchParams({ q: words })}` : `${journalQuery(current.id, current.task)}&${new URLSearchParams({ q: words })}`;
    const path = current.kind === "r" ? `${requestAt(current.id)}/find` : "/api/journal/find";
    try {
      found.orders = (await ask(path + query)).orders;
    } catch (error) {
      if (error instanceof Shut) return shut();
    }
  }
  if (at("find").value !== words) return;
  outline.hits = new Set(found.orders);
  outline.soon();
  if (found.orders.length) hit(1);
  else put(at("hits"), words.trim() ? "none" : "");
}

function hit(step) {
  const { orders } = found;
  if (!orders.length) return;
  found.place = (found.place + step + orders.length) % orders.length;
  outline.go(orders[found.place]);
  put(at("hits"), `${found.place + 1} of ${orders.length}`);
}

at("find").addEventListener("input", () => {
  clearTimeout(search.timer);
  search.timer = setTimeout(() => search(at("find").value), 200);
});
at("find").addEventListener("keydown", (event) => {
  if (event.key === "Enter") hit(event.shiftKey ? -1 : 1);
  else if (event.key === "Escape" || event.key === "ArrowDown") at("tree").focus();
  else return;
  event.preventDefault();
  event.stopPropagation();
});
at("order").addEventListener("click", () => {
  tree.byScore = !tree.byScore;
  tree.shape++;
  at("order").setAttribute("aria-pressed", tree.byScore);
  outline.soon();
});

// ------------------------------------------------------------------------------------ the keys

const pressed = {
  "/": () => inTree(() => at("find").focus()),
  "?": () => at("help").showModal(),
  b: () => inTree(() => tree.best.length && (outline.go(tree.best[0]), at("tree").focus({ preventScroll: true }))),
  r: () => nextOf("cut"),
  f: () => nextOf("lost"),
  n: () => hit(1),
  p: () => hit(-1),
  s: () => at("order").click(),
  t: () => inTree(() => at("tree").focus()),
  l: () => (at("runs").querySelector("[aria-current], a") ?? at("tab-requests")).focus(),
  Escape: () => at("tree").focus(),
};
/** On a narrow page the tree may be hidden behind another part. */
function inTree(act) {
  if (!wide.matches) part("tree");
  act();
}
bind(pressed, () => document.body.dataset.view !== "door");

// ---------------------------------------------------------------------------------- the start

part("tree");
side("log");
window.addEventListener("hashchange", route);
setInterval(() => document.visibilityState === "visible" && lists(), POLL_MS);
setInterval(() => said?.state === "running" && panels.gauges(said, spending, elapsed(), tasks), 250);

const asked = new URLSearchParams(location.hash.slice(1));
const key = asked.get("key");
if (key) {
  asked.delete("key");
  history.replaceState(null, "", `${location.pathname}${asked.size ? `#${asked}` : ""}`);
  open(key);
} else route();
