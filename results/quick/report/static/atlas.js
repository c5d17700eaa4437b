// The atlas: rows of what is compared, columns of layers, every map in its place.
(() => {
  "use strict";
  const { element, load, unpack, maps, tiles, blocks, state: states } = segcam;
  const LETTERS = ["A", "B"];
  const pictures = new Map(); // image -> promise of its picture and outlines
  let layout = { key: "", rows: [] };

  const labelOf = (list, name) => states.named(list, name)?.label ?? name;

  /** Promise an image with its picture and outlines, which those of small maps have in files of their own. */
  function imageOf(index, name) {
    const image = states.named(index.images, name);
    if (!image.file) return Promise.resolve(image);
    if (!pictures.has(name)) {
      const read = async () => {
        const { picture, packed } = await load(image.file);
        return { ...image, picture, ...(await unpack(packed)) };
      };
      pictures.set(name, read());
      pictures.get(name).catch(() => pictures.delete(name));
    }
    return pictures.get(name);
  }

  /** Why there is nothing to draw; '' where there is. */
  function missing(index, state, point) {
    if (!point) return `${labelOf(index.models, state.model)} has no checkpoint at this level and seed.`;
    if (!point.reached)
      return `Level ${point.name} was not reached: the nearest validation mean IoU was ${tiles.number(point.nearest * 100, "%")}. There are no maps of it.`;
    if (!point.files[state.image]) return "The maps of this checkpoint and image are not kept in the run's folder.";
    if (!states.has(index, state))
      return `There are no maps of ${labelOf(index.methods, state.method)} for this target, checkpoint and image.`;
    return "";
  }

  /** Promise all that is needed to draw the maps of one state. */
  async function side(index, state) {
    const point = states.checkpoint(index, state);
    const why = missing(index, state, point);
    const file = point?.reached && point.files[state.image];
    const [image, content] = await Promise.all([imageOf(index, state.image), file ? maps.open(file) : null]);
    const photograph = await maps.photograph(image.picture);
    const number = states.named(index.targets, state.target)?.number;
    const [target, method] = [states.numberOf(index.targets, state.target), states.numberOf(index.methods, state.method)];
    const looks = { outline: image.outlines[number] ?? "", ignored: image.ignored, pixel: content?.pixels[state.target] };
    return {
      ...{ state, point, why, image, photograph, content, layers: states.named(index.models, state.model).layers },
      common: { image, state, photograph, ...looks, predicted: content?.predicted[number] ?? "" },
      find: (layer) => (why ? null : content.find(target, method, layer, state.image)),
    };
  }

  /** The second side's layer in the place of the first's: of the same name, or else at the same share of the depth. */
  function counterpart(one, two, layer) {
    if (one.layers === two.layers) return layer;
    const same = states.named(two.layers, layer.name);
    if (same) return same;
    const depth = (layers, at) => at.depth / Math.max(1, ...layers.map((other) => other.depth));
    const wanted = depth(one.layers, layer);
    const apart = (other) => Math.abs(depth(two.layers, other) - wanted);
    return two.layers.filter((other) => other.role !== "input").reduce((a, b) => (apart(b) < apart(a) ? b : a));
  }

  /** The layers of a model at the chosen probe point that any row of that model has a map of. */
  function layersOf(rows, model, point) {
    const of = rows.filter((row) => row.sides[0].state.model === model);
    const { layers } = of[0].sides[0];
    const there = layers.filter((layer) => layer.role === "input" || point === states.ALL || layer.point === point);
    const found = (layer) =>
      of.some(({ sides: [one, two] }) => one.find(layer.name) || two?.find(counterpart(one, two, layer).name));
    const shown = there.filter(found);
    return { shown, gaps: there.filter((layer) => layer.role !== "input" && !shown.includes(layer)) };
  }

  /** What a row is called: the value of what rows differ in. */
  function nameOf(index, axis, one) {
    const { state, point } = one;
    const level = point?.name ?? String(state.level);
    const names = {
      level: () => level,
      method: () => labelOf(index.methods, state.method),
      model: () => `${labelOf(index.models, state.model)}, ${level}`,
      seed: () => `seed ${state.seed}`,
      target: () => labelOf(index.targets, state.target),
    };
    return names[axis]?.() ?? `${labelOf(index.methods, state.method)}, ${level}`;
  }

  /** Make a row: its head, and a tile for each layer in the column of its block. */
  function makeRow(name, columns, letters, mode, { open, choose }, titled) {
    const plain = tiles.plainTile();
    const pick = element("button", { type: "button", class: "pick row-name" }, name);
    pick.addEventListener("click", choose);
    const why = element("p", { class: "row-why", role: "status", hidden: true });
    const head = element("div", { class: "row-head" }, pick, plain.root);
    const made = columns.map(({ layers }) => layers.map((layer) => tiles.tile(layer, letters, mode, open)));
    const cells = made.map((column, at) =>
      element("div", { class: "column", "data-column": columns[at].heading }, ...column.map((one) => one.root)),
    );
    const heads = columns.map((column) => element("p", { class: "column-name" }, column.heading));
    const corner = element("span", { class: "corner" });
    const root = element("section", { class: "row", "aria-label": name }, ...(titled ? [corner, ...heads] : []), head, ...cells, why);
    root.style.setProperty("--columns", columns.length);
    return { root, plain, pick, why, tiles: made.flat() };
  }

  /** Make the rows anew only where other rows, columns or sides are shown. */
  function arrange(place, index, state, rows, change) {
    const letters = rows[0].sides.map((_, at) => LETTERS[at]);
    const names = rows.map((row) => nameOf(index, state.rows, row.sides[0]));
    const columns = rows.map((row) => blocks.columns(row.layers));
    const key = JSON.stringify([names, columns, letters, state.mode, state.rows]);
    if (key === layout.key) return;
    const open = (layer) => change({ layer: layer.name });
    const same = (at) => at > 0 && JSON.stringify(columns[at]) === JSON.stringify(columns[at - 1]);
    const made = rows.map((row, at) => {
      const choose = () => state.rows && change({ [state.rows]: row.sides[0].state[state.rows] });
      return makeRow(names[at], columns[at], letters, state.mode, { open, choose }, !same(at));
    });
    place.replaceChildren(...made.map((row) => row.root));
    layout = { key, rows: made };
  }

  /** The largest upper end of each layer's maps by one method, over all rows of a model and both sides. */
  function commonEnds(rows) {
    const ends = new Map();
    const keyOf = (sides, n, layer) => [sides[0].state.model, sides[n].state.method, layer.name].join(" "); // methods share no unit
    for (const { sides, layers } of rows) {
      for (const layer of layers) {
        mapsOf(sides, layer).forEach((map, n) => {
          const key = keyOf(sides, n, layer);
          if (map?.grid) ends.set(key, Math.max(ends.get(key) ?? 0, map.grid.upper));
        });
      }
    }
    return (sides, n, layer) => ends.get(keyOf(sides, n, layer)) ?? null;
  }

  const mapsOf = ([one, two], layer) => [one, ...(two ? [two] : [])].map((at) => at.find(counterpart(one, at, layer).name));

  /** Promise what all rows show. */
  async function load_(index, state) {
    const firsts = states.rows(index, state);
    const twice = states.comparing(state);
    const rows = await Promise.all(
      firsts.map(async (one) => ({
        sides: await Promise.all([one, ...(twice ? [states.other(index, one)] : [])].map((each) => side(index, each))),
      })),
    );
    const gaps = new Map();
    for (const row of rows) {
      const { shown, gaps: none } = layersOf(rows, row.sides[0].state.model, state.point);
      row.layers = shown;
      for (const layer of shown.length ? none : []) gaps.set(layer.label, layer);
    }
    return { rows, gaps: [...gaps.keys()] };
  }

  /** Show rows that were loaded; `change` is called with what a click chooses. */
  function show(place, index, state, rows, metric, change) {
    arrange(place, index, state, rows, change);
    const end = commonEnds(rows);
    rows.forEach((row, at) => {
      const made = layout.rows[at];
      const [one] = row.sides;
      made.plain.set(one.common, one.content?.iou(one.state.image));
      const again = state.rows === "method" && at > 0;
      made.plain.root.hidden = again;
      made.pick.setAttribute("aria-current", String(!state.rows || one.state[state.rows] === state[state.rows]));
      const why = row.sides.map((each) => each.why).filter(Boolean);
      made.why.textContent = [...new Set(why)].join(" ");
      made.why.hidden = !why.length;
      made.root.classList.toggle("without", row.sides.every((each) => each.why));
      for (const tile of made.tiles) {
        const found = mapsOf(row.sides, tile.layer);
        tile.set(
          row.sides.map((each, n) => ({ ...each.common, map: found[n], common: end(row.sides, n, tile.layer) })),
          metric,
        );
      }
    });
  }

  function clear(place) {
    place.replaceChildren();
    layout = { key: "", rows: [] };
  }

  const order = () => layout.rows.find((row) => row.tiles.length)?.tiles.map((tile) => tile.layer.name) ?? [];

  segcam.atlas = { load: load_, show, clear, order, side, mapsOf, counterpart, imageOf, labelOf, nameOf };
})();
