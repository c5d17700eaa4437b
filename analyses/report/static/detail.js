// One map large, with all of its scores, and its layer at all levels.
(() => {
  "use strict";
  const { element, state: states, tiles, maps } = segcam;
  const LARGE = 512;
  const dialog = document.getElementById("detail");
  const place = (name) => document.getElementById(`detail-${name}`);
  let turn = 0; // of the last call: what an earlier one loads too late is not shown

  /** In words, what a score is worth by chance, and which way is better. */
  function meaning(metric, areas, target) {
    const better =
      { higher: "higher is better", lower: "lower is better" }[metric.direction] ?? "neither way is better";
    if (metric.chance === null || metric.chance === undefined) return better;
    const chance = metric.chance === "area" ? (areas[target] ?? null) : metric.chance;
    const why = metric.chance === "area" ? " (the mask\u2019s share of the image)" : "";
    return `${better}; by chance ${tiles.number(chance, metric.unit)}${why}`;
  }

  function scores(index, state, sides, sideMaps, areas) {
    const heads = sides.map((side) => element("th", { scope: "col", class: "number" }, side.label));
    const rows = index.metrics.map((metric) =>
      element(
        "tr",
        {},
        element("th", { scope: "row", title: metric.summary }, metric.label),
        ...sideMaps.map((map) => element("td", { class: "number" }, tiles.number(map?.scores[metric.name], metric.unit))),
        element("td", { class: "muted" }, meaning(metric, areas, state.target)),
      ),
    );
    const head = (name) => element("th", { scope: "col" }, name);
    place("scores").replaceChildren(
      element("thead", {}, element("tr", {}, head("score"), ...heads, head("to read it"))),
      element("tbody", {}, ...rows),
    );
  }

  /** The chosen method's map of this layer at each level of the run. */
  async function levels({ index, state, layer, common, metric, choose }, mine) {
    const row = element("div", { class: "strip" });
    const target = states.numberOf(index.targets, state.target);
    const method = states.numberOf(index.methods, state.method);
    place("levels").replaceChildren(row);
    for (const level of states.levels(index, state.model, state.seed)) {
      const point = states.checkpoint(index, { ...state, level });
      const file = point?.files[state.image];
      const image = file ? await maps.open(file) : null;
      if (mine !== turn) return;
      const map = image?.find(target, method, layer.name);
      const one = tiles.stack();
      const words = point?.reached ? "no map" : "not reached";
      one.set({ ...common, map: map ?? null, pixel: image?.pixels[state.target], words: map ? "" : words });
      const score = map ? tiles.number(map.scores[metric?.name], metric?.unit) : "";
      const current = level === state.level;
      const name = point?.name ?? String(level);
      const label = { "aria-label": `Level ${name}`, "aria-current": current ? "true" : null };
      const pick = element("button", { type: "button", class: "pick", ...label }, one.root);
      pick.addEventListener("click", () => choose({ level }));
      const scores = element("span", { class: "scores" }, element("span", { class: "score" }, score));
      const caption = element("figcaption", {}, element("span", { class: "layer" }, name), scores);
      row.append(element("figure", { class: current ? "tile current" : "tile" }, pick, caption));
    }
  }

  /** Show a layer; `sides` are the methods, `sideMaps` theirs, `shown` what was loaded, `choose` changes the state. */
  function show(what) {
    const { index, state, layer, sides, sideMaps, common, shown } = what;
    const mine = ++turn;
    place("title").textContent = layer.label;
    place("sub").textContent = document.getElementById("shown").textContent;
    const large = sides.map((side, at) => {
      const one = tiles.stack(LARGE);
      one.set({ ...common, map: sideMaps[at], words: sideMaps[at] ? "" : "no map" });
      return element("figure", {}, one.root, sides.length > 1 ? element("figcaption", {}, side.label) : null);
    });
    place("strip").textContent = `${sides[0].label} of this layer at all levels`;
    place("map").replaceChildren(...large);
    place("map").classList.toggle("pair", sides.length > 1);
    scores(index, state, sides, sideMaps, shown.areas);
    levels(what, mine).catch((error) => place("levels").replaceChildren(error.message));
    if (!dialog.open) dialog.showModal();
  }

  function hide() {
    turn++;
    if (dialog.open) dialog.close();
  }

  segcam.detail = { show, hide, dialog, meaning };
})();
