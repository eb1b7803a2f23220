// The keys: what they do, and the help that tells it.

import { at, make } from "./dom.js";

const BINDINGS = [
  ["↑ ↓", "one line up or down"], ["→ ←", "open or close, into or out of a branch"], ["Enter", "read the node"],
  ["Home End", "the first and the last line"], ["b", "the best node"], ["r  f", "the next refused, the next failed node"],
  ["/", "search the texts"], ["n  p", "the next and the previous hit"], ["s", "sort by score"], ["t", "to the tree"],
  ["l", "to the list of runs"], ["?", "this help"], ["Esc", "back to the tree"],
];
at("bindings").replaceChildren(
  ...BINDINGS.map(([keys, does]) => make("div", "", null, make("dt", "", null, ...keys.split(/ +/).map((key) => make("kbd", "", key))), make("dd", "", does))),
);
at("keys").addEventListener("click", () => at("help").showModal());
at("close-help").addEventListener("click", () => at("help").close());

/** Listen to keys, by what each does; not where something is typed. */
export function bind(pressed, allowed) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || at("help").open || !allowed()) return;
    if (event.target.closest?.("input, textarea, select")) return;
    const act = pressed[event.key];
    if (!act) return;
    event.preventDefault();
    act(event.key);
  });
}
