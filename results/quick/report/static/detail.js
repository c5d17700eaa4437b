// One map large, with all of its scores and their places among all images, and its layer at all levels.
(() => {
  "use strict";
  const { element, state: states, tiles, atlas } = segcam;
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

  function cells(map, metric) {
    const percentile = map?.percentiles?.[metric.name];
    const standing = percentile === null || percentile === undefined ? "" : `${Math.round(percentile)} of ${map.counts[metric.name]}`;
    const value = tiles.number(map?.scores?.[metric.name], metric.unit);
    return [element("td", { class: "number" }, value), element("td", { class: "number muted" }, standing)];
  }

  function scores(index, state, sides, sideMaps) {
    const names = sides.length > 1 ? ["A", "B"] : ["score"];
    const head = (name, more = {}) => element("th", { scope: "col", ...more }, name);
    const heads = names.flatMap((name) => [
      head(name, { class: "number" }),
      head("percentile", { class: "number", title: "the score\u2019s percentile among the images, and how many these are" }),
    ]);
    const rows = index.metrics.map((metric) =>
      element(
        "tr",
        {},
        element("th", { scope: "row", title: metric.summary }, metric.label),
        ...sideMaps.flatMap((map) => cells(map, metric)),
        element("td", { class: "muted" }, meaning(metric, sides[0].content?.areas ?? {}, state.target)),
      ),
    );
    place("scores").replaceChildren(
      element("thead", {}, element("tr", {}, head("metric"), ...heads, head("to read it"))),
      element("tbody", {}, ...rows),
    );
  }

  /** The first side's map of this layer at each level of the run. */
  async function levels({ index, state, layer, metric, choose }, mine) {
    const row = element("div", { class: "strip" });
    place("levels").replaceChildren(row);
    for (const one of states.rows(index, { ...state, rows: "level" })) {
      const side = await atlas.side(index, one);
      if (mine !== turn) return;
      const map = side.find(layer.name);
      const small = tiles.stack();
      small.set({ ...side.common, map, words: map ? "" : side.point?.reached ? "no map" : "not reached" });
      const score = map ? tiles.number(map.scores?.[metric?.name], metric?.unit) : "";
      const current = one.level === state.level;
      const name = side.point?.name ?? String(one.level);
      const label = { "aria-label": `Level ${name}`, "aria-current": current ? "true" : null };
      const pick = element("button", { type: "button", class: "pick", ...label }, small.root);
      pick.addEventListener("click", () => choose({ level: one.level }));
      const under = element("span", { class: "scores" }, element("span", { class: "score" }, score));
      const caption = element("figcaption", {}, element("span", { class: "layer" }, name), under);
      row.append(element("figure", { class: current ? "tile current" : "tile" }, pick, caption));
    }
  }

  /** Show a layer of a row's sides; `choose` changes the state. */
  function show(what) {
    const { index, state, layer, row } = what;
    const mine = ++turn;
    const { sides } = row;
    const sideMaps = atlas.mapsOf(sides, layer);
    place("title").textContent = layer.label;
    place("sub").textContent = document.getElementById("shown").textContent;
    const large = sides.map((side, at) => {
      const one = tiles.stack(LARGE);
      one.set({ ...side.common, map: sideMaps[at], words: sideMaps[at] ? "" : "no map" });
      const { label } = atlas.counterpart(sides[0], side, layer);
      const name = sides.length > 1 ? `${"AB"[at]}${label === layer.label ? "" : `: ${label}`}` : "";
      return element("figure", {}, one.root, name ? element("figcaption", {}, name) : null);
    });
    place("strip").textContent = `${atlas.labelOf(index.methods, state.method)} of this layer at all levels`;
    place("map").replaceChildren(...large);
    place("map").classList.toggle("pair", sides.length > 1);
    scores(index, state, sides, sideMaps);
    levels(what, mine).catch((error) => place("levels").replaceChildren(error.message));
    if (!dialog.open) dialog.showModal();
  }

  function hide() {
    turn++;
    if (dialog.open) dialog.close();
  }

  segcam.detail = { show, hide, dialog, meaning };
})();
