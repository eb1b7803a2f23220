"use strict";
// Everything that a model or a data set wrote is put in with textContent; nothing here reads markup.
(() => {
  const make = (name, said, ...inner) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(said || {})) {
      if (key === "text") made.textContent = value;
      else if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : value);
    }
    made.append(...inner.filter((one) => one !== null && one !== undefined));
    return made;
  };

  // ------------------------------------------------------------------ charts: point, or use the arrow keys

  for (const figure of document.querySelectorAll("figure.plot")) {
    const tip = make("div", { class: "tip", role: "status", hidden: true });
    figure.append(tip);
    for (const chart of figure.querySelectorAll("svg.chart")) watch(figure, chart, tip);
  }

  function watch(figure, chart, tip) {
    const marks = [...chart.querySelectorAll(".mark[data-told]")]
      .map((mark) => ({ mark, x: +mark.dataset.x, y: +mark.dataset.y, series: mark.parentNode }));
    if (!marks.length) return;
    const ring = document.createElementNS("http://www.w3.org/2000/svg", "circle");
    ring.setAttribute("class", "ring");
    ring.setAttribute("r", "7");
    const bands = new Map([...chart.querySelectorAll(".series")].map((group) => {
      const colour = [...group.classList].find((name) => /^s\d$/.test(name));
      return [group, chart.querySelectorAll(".band." + colour)];
    }));
    let at = -1;

    const show = (index) => {
      at = index;
      const { mark, x, y, series } = marks[index];
      for (const lit of chart.querySelectorAll(".on")) lit.classList.remove("on");
      chart.classList.add("looking");
      series.classList.add("on");
      for (const band of bands.get(series)) band.classList.add("on");
      ring.setAttribute("cx", x);
      ring.setAttribute("cy", y);
      chart.append(ring);
      tip.textContent = series.dataset.name + "\n" + mark.dataset.told;
      tip.hidden = false;
      const scale = chart.clientWidth / chart.viewBox.baseVal.width || 1;
      const left = x * scale + 14 + tip.offsetWidth > figure.clientWidth ? x * scale - 14 - tip.offsetWidth : x * scale + 14;
      tip.style.left = Math.max(0, Math.min(left, figure.clientWidth - tip.offsetWidth)) + "px";
      tip.style.top = Math.max(0, chart.offsetTop || 0, y * scale - tip.offsetHeight - 12) + "px";
    };
    const hide = () => {
      at = -1;
      tip.hidden = true;
      ring.remove();
      chart.classList.remove("looking");
    };
    const toward = (key) => {
      const here = marks[at];
      if (!here) return 0;
      const group = marks.filter((one) => one.series === here.series);
      const place = group.indexOf(here);
      if (key === "ArrowRight" || key === "ArrowLeft") {
        const next = group[place + (key === "ArrowRight" ? 1 : -1)];
        return next ? marks.indexOf(next) : at;
      }
      // the nearest point of another series above or below
      const up = key === "ArrowUp" ? 1 : -1;
      const others = marks.filter((one) => one.series !== here.series && up * (here.y - one.y) >= 0)
        .sort((a, b) => far(a, here) - far(b, here));
      return others.length ? marks.indexOf(others[0]) : at;
    };
    const far = (a, b) => Math.hypot((a.x - b.x) * 3, a.y - b.y);

    chart.addEventListener("pointermove", (event) => {
      const box = chart.getBoundingClientRect();
      const scale = chart.viewBox.baseVal.width / box.width;
      const here = { x: (event.clientX - box.left) * scale, y: (event.clientY - box.top) * scale };
      let best = -1, least = 60;
      marks.forEach((one, index) => {
        const distance = Math.hypot(one.x - here.x, one.y - here.y);
        if (distance < least) { best = index; least = distance; }
      });
      if (best >= 0) show(best); else hide();
    });
    chart.addEventListener("pointerleave", hide);
    chart.addEventListener("blur", hide);
    chart.addEventListener("keydown", (event) => {
      if (event.key === "Escape") hide();
      else if (event.key.startsWith("Arrow")) { event.preventDefault(); show(toward(event.key)); }
    });
  }

  // ------------------------------------------------------------------------------ a page per question

  const holder = document.getElementById("bench-data");
  const page = document.getElementById("question");
  if (!holder || !page) return;
  const data = JSON.parse(holder.textContent);
  const text = (index) => (index < 0 ? "" : data.texts[index]);
  const route = (question) => "#/question/" + encodeURIComponent(question.task) + "/" + encodeURIComponent(question.id);
  const byRoute = new Map(data.questions.map((question, index) => [route(question), index]));
  const title = document.title;
  let cameFrom = null;

  function turn() {
    const found = /^(#\/question\/[^/]*\/[^/]*)(?:\/(\d+))?$/.exec(location.hash);
    const index = found ? byRoute.get(found[1]) : undefined;
    document.body.classList.toggle("asked", Boolean(found));
    if (!found) {
      document.title = title;
      page.replaceChildren();
      if (cameFrom) { const link = document.querySelector('a[href="' + CSS.escape(cameFrom).replace(/\\([^\w])/g, "\\$1") + '"]'); cameFrom = null; if (link) link.focus(); }
      return;
    }
    if (index === undefined) {
      page.replaceChildren(back(), make("h2", { tabindex: "-1", text: "This question is not in this report" }),
        make("p", { text: "A report holds a sample of the questions; the run folder holds them all." }));
    } else {
      show(index, found[2] === undefined ? null : Number(found[2]));
    }
    document.title = page.querySelector("h2").textContent + " · " + title;
    if (found[2] === undefined) { scrollTo(0, 0); page.querySelector("h2").focus(); }
  }

  const back = () => make("p", {}, make("a", { href: "#questions", text: "← All questions" }));

  function show(index, chosen) {
    const question = data.questions[index];
    cameFrom = route(question);
    const cells = question.answers;
    const trees = cells.filter((answer) => answer[8] >= 0);
    const turns = make("div", { class: "turns" }, make("a", { href: "#questions", text: "← All questions" }));
    const beside = (step, label) => {
      const other = data.questions[index + step];
      if (other) turns.append(make("a", { href: route(other), text: label, rel: step > 0 ? "next" : "prev" }));
    };
    beside(-1, "Previous");
    beside(1, "Next");
    page.replaceChildren(
      turns,
      make("h2", { tabindex: "-1", text: "Question " + question.id }),
      make("p", { class: "note", text: question.task + " · " + question.why }),
      question.text >= 0 ? make("pre", { text: text(question.text) }) : null,
      make("h3", { text: "Reference answer" }),
      make("pre", { text: question.gold >= 0 ? text(question.gold) : "not recorded in this run" }),
      make("h3", { text: "What each cell answered" }),
      answersTable(question, cells),
    );
    if (trees.length) page.append(...treePart(question, trees, chosen));
    else page.append(make("p", { class: "note", text: "No journal was at hand for this question, so there are no texts." }));
  }

  function answersTable(question, answers) {
    const head = make("tr", {}, ...["Strategy", "N", "Seed", "Answer", "Verdict", "", "Tokens out", "Calls", "Candidates right"]
      .map((name, place) => make("th", { scope: "col", class: [1, 2, 6, 7, 8].includes(place) ? "r" : null, text: name })));
    const body = make("tbody");
    let model = null;
    for (const [cell, answer, right, truncated, stopped, tokens, calls, candidates, tree, correct] of answers) {
      const of = data.cells[cell];
      const group = of.model + (of.budget ? " · " + of.budget : "");
      if (group !== model) {
        model = group;
        body.append(make("tr", { class: "group" }, make("th", { colspan: "9", scope: "colgroup" }, make("span", { text: group }))));
      }
      const said = answer < 0 ? make("td", { class: "wrap" }, make("small", { text: "no answer" })) : make("td", { class: "wrap", text: text(answer) });
      const notes = [truncated ? "cut at the cap" : "", stopped >= 0 ? "stopped: " + text(stopped) : ""].filter(Boolean).join(", ");
      body.append(make("tr", {},
        make("th", { scope: "row", class: "wrap", text: of.name }),
        make("td", { class: "r", text: of.n === null ? "" : String(of.n) }),
        make("td", { class: "r", text: String(of.seed) }),
        said,
        make("td", {}, make("span", { class: "verdict " + (right ? "good" : "bad"), text: right ? "✓ right" : answer < 0 ? "– none" : "✗ wrong" }),
          notes ? make("small", { text: " " + notes }) : null),
        make("td", {}, tree >= 0 ? make("a", { href: route(question) + "/" + cell, text: "tree", "aria-label": "tree of " + of.name }) : null),
        make("td", { class: "r", text: tokens.toLocaleString("en-US") }),
        make("td", { class: "r", text: calls.toLocaleString("en-US") }),
        make("td", { class: "r", text: correct + " of " + candidates })));
    }
    return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Answers" },
      make("table", {}, make("thead", {}, head), body));
  }

  function treePart(question, trees, chosen) {
    const select = make("select", { id: "which-tree" });
    for (const [cell] of trees) {
      const of = data.cells[cell];
      select.append(make("option", { value: String(cell), text: of.name + (of.n === null ? "" : ", N = " + of.n) + ", seed " + of.seed + (data.models > 1 ? ", " + of.model : "") }));
    }
    const first = trees.find((answer) => answer[0] === chosen) || trees[0];
    select.value = String(first[0]);
    const place = make("div", { id: "tree" });
    const draw = () => {
      const found = trees.find((answer) => String(answer[0]) === select.value);
      place.replaceChildren(...treeOf(data.trees[found[8]]));
    };
    select.addEventListener("change", draw);
    draw();
    const heading = make("h3", { id: "tree-title", text: "Tree, texts and scores" });
    if (chosen !== null) requestAnimationFrame(() => { heading.scrollIntoView(); select.focus(); });
    return [heading, make("div", { class: "controls" }, make("div", {}, make("label", { for: "which-tree", text: "Of" }), select)), place];
  }

  const SIGNS = { chosen: "★", lost: "✗", cut: "✂", pruned: "✗", finished: "●", kept: "✓", open: "·" };

  function treeOf(tree) {
    const children = tree.nodes.map(() => []);
    const roots = [];
    tree.nodes.forEach((node, index) => (node[1] < 0 ? roots : children[node[1]]).push(index));
    const branch = (index, depth) => {
      const [id, , value, state, visits, mean, said, reason] = tree.nodes[index];
      const line = text(said).trim().split("\n").pop() || "";
      const numbers = [value === null ? "" : "score " + value, visits ? visits + " visits" : "", mean === null ? "" : "mean " + mean].filter(Boolean).join(", ");
      const label = make("span", { class: state === "chosen" ? "chosen" : state === "pruned" || state === "cut" || state === "lost" ? "dim" : null },
        make("b", { text: SIGNS[state] + " " + text(id) }), " " + state + (numbers ? " · " + numbers : "") + (reason >= 0 ? " · " + text(reason) : ""),
        line ? make("span", { class: "dim", text: " — " + (line.length > 90 ? "…" + line.slice(-90) : line) }) : null);
      const item = make("li");
      if (text(said) || children[index].length) {
        const body = make("details", { open: depth < 2 && children[index].length > 0 }, make("summary", {}, label));
        if (text(said)) body.append(children[index].length ? make("details", {}, make("summary", { text: "its text" }), make("pre", { text: text(said) })) : make("pre", { text: text(said) }));
        if (children[index].length) body.append(make("ol", {}, ...children[index].map((child) => branch(child, depth + 1))));
        item.append(body);
      } else item.append(make("span", { class: "leaf" }, label));
      return item;
    };
    const parts = [];
    if (tree.told.length) parts.push(make("ul", { class: "note" }, ...tree.told.map((index) => make("li", { text: text(index) }))));
    parts.push(make("p", { class: "note", text: "★ chosen, ● finished, ✓ kept, ✗ pruned or lost, ✂ cut by the budget, · open." + (tree.left ? " " + tree.left + " more nodes are left out; `cogitate view` shows all." : "") }));
    parts.push(make("ol", { class: "tree" }, ...roots.map((index) => branch(index, 0))));
    return parts;
  }

  addEventListener("hashchange", turn);

  // --------------------------------------------------------------------------------- finding a question

  const search = document.getElementById("find");
  const only = document.getElementById("only");
  const rows = [...document.querySelectorAll("#question-list tbody tr:not(.group)")];
  const shown = document.getElementById("shown");
  function sift() {
    const wanted = search.value.trim().toLowerCase();
    let left = 0;
    for (const row of rows) {
      row.hidden = Boolean((wanted && !row.textContent.toLowerCase().includes(wanted)) || (only.value && row.dataset.why !== only.value));
      if (!row.hidden) left += 1;
    }
    shown.textContent = left + " of " + rows.length + " shown";
  }
  if (search && only) {
    document.getElementById("sift").hidden = false;
    search.addEventListener("input", sift);
    only.addEventListener("change", sift);
  }
  turn();
})();
