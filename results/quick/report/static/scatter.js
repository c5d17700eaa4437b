// The scatter: every image a dot, any two scores, coloured by IoU; a brush lists its images, a click opens their maps.
(() => {
  "use strict";
  const { element, drawing, load, unpack, note, maps, tiles, atlas, state: states } = segcam;
  const at = (id) => document.getElementById(id);
  const BOX = { width: 640, height: 420, left: 58, right: 14, top: 12, bottom: 46 };
  const NARROW = matchMedia("(max-width: 40rem)"); // where letters are larger, as in gallery.css
  const LEFT = { wide: BOX.left, narrow: 88 }; // room for the numbers and the name of the axis
  const LISTED = 24; // images that are shown of those in the brush
  const ENDS = 4; // images at each end that are shown without a brush
  const OWN = {
    iou: "IoU of the prediction",
    dice: "Dice of the prediction",
    area: "Area of the mask",
    confidence: "Confidence of the prediction",
    entropy: "Entropy of the prediction (nats)",
  };
  const OWN_SHORT = { iou: "IoU", dice: "Dice", area: "Area", confidence: "Confidence", entropy: "Entropy (nats)" };
  const tables = new Map(); // file -> promise of a checkpoint's scores
  let index = null;
  let ready = null;
  let state = null;
  let table = null;
  let dots = [];
  let picked = []; // images in the brush
  let turn = 0;

  /** A percentile as in analyses/report/standing.py, and among how many. */
  function standing(values, value) {
    const known = values.filter((one) => one !== null);
    const half = known.filter((one) => one === value).length / 2;
    const below = known.filter((one) => one < value).length + half;
    return value === null || known.length < 2 ? null : (100 * below) / known.length;
  }

  async function read(name) {
    const content = await unpack(await load(name));
    const place = new Map(content.images.map((image, number) => [image, number]));
    return {
      ...content,
      iou: (image) => content.iou[place.get(image)] ?? null,
      has: (image) => place.has(image),
      /** A score of all images, at a layer where it is of maps. */
      column(metric, layer) {
        if (Object.hasOwn(OWN, metric)) return content[metric];
        return content.values[content.metrics.indexOf(metric)]?.[content.layers.indexOf(layer)] ?? content.images.map(() => null);
      },
      /** A map's scores, the percentile of each, and among how many images. */
      standing(image, layer) {
        const [scores, percentiles, counts] = [{}, {}, {}];
        const [row, number] = [content.layers.indexOf(layer), place.get(image)];
        content.metrics.forEach((metric, n) => {
          const values = content.values[n][row] ?? [];
          scores[metric] = values[number] ?? null;
          counts[metric] = values.filter((value) => value !== null).length;
          percentiles[metric] = standing(values, scores[metric]);
        });
        return { scores, percentiles, counts };
      },
    };
  }

  /** Promise the scores of all images of a checkpoint. */
  function tableOf(name) {
    if (!tables.has(name)) tables.set(name, read(name));
    return tables.get(name);
  }

  /** What is known of the images beside their maps' scores: a run may not have kept all of it. */
  const known = () => Object.entries(OWN).filter(([name]) => table.column(name)?.some((value) => value !== null));
  const points = () => index.checkpoints.filter((point) => point.scatter);
  const pointOf = () => points().find((p) => p.model === state.model && p.seed === state.seed && p.level === state.level);

  // -- what may be chosen

  function options(select, entries, chosen) {
    select.replaceChildren(...entries.map(({ value, label }) => element("option", { value }, label)));
    select.value = chosen;
    select.title = select.selectedOptions[0]?.label ?? "";
    select.closest(".control").hidden = entries.length < 2;
  }

  function sync() {
    const labelled = (list, labels) => list.map((value) => ({ value, label: atlas.labelOf(labels, value) }));
    const unique = (values) => [...new Set(values)];
    const of = points().filter((point) => point.model === state.model);
    const metrics = table.metrics.map((value) => ({ value, label: states.named(index.metrics, value).label }));
    const own = known().map(([value, label]) => ({ value, label }));
    const { layers } = states.named(index.models, state.model);
    const there = layers.filter((layer) => table.layers.includes(layer.name)).map(({ name, label }) => ({ value: name, label }));
    options(at("scatter-model"), labelled(unique(points().map((point) => point.model)), index.models), state.model);
    options(at("scatter-seed"), unique(of.map((point) => point.seed)).map((value) => ({ value, label: `${value}` })), state.seed);
    const levels = of.filter((point) => point.seed === state.seed);
    options(at("scatter-level"), levels.map((point) => ({ value: point.level, label: point.name })), state.level);
    for (const axis of ["x", "y"]) {
      options(at(`scatter-${axis}`), [...metrics, ...own], state[axis]);
      options(at(`scatter-${axis}-layer`), there, state[`${axis}-layer`]);
      at(`scatter-${axis}-layer`).closest(".control").hidden = Object.hasOwn(OWN, state[axis]);
    }
  }

  /** What is shown first: the gain at the last encoder layer against edges at the first layer. */
  function first() {
    const main = states.first(index);
    const all = points();
    const point =
      all.find((p) => p.model === main.model && p.seed === main.seed && p.level === main.level) ?? all[0];
    return { model: point.model, seed: point.seed, level: point.level, x: "", "x-layer": "", y: "", "y-layer": "" };
  }

  function fitted() {
    if (!points().some((point) => point.model === state.model)) state.model = points()[0].model;
    const of = points().filter((point) => point.model === state.model);
    if (!of.some((point) => point.seed === state.seed)) state.seed = of[0].seed;
    const levels = of.filter((point) => point.seed === state.seed);
    if (!levels.some((point) => point.level === state.level)) state.level = levels.at(-1).level;
  }

  function axesFitted() {
    const { metrics } = table;
    const names = states.named(index.models, state.model).layers.filter((layer) => table.layers.includes(layer.name));
    const usual = { x: index.metric, y: metrics.includes("edge_alignment") ? "edge_alignment" : metrics[1] };
    for (const axis of ["x", "y"]) {
      if (![...metrics, ...known().map(([name]) => name)].includes(state[axis])) state[axis] = usual[axis] ?? metrics[0];
      const layer = `${axis}-layer`;
      const encoder = names.filter((one) => one.role === "encoder");
      if (!table.layers.includes(state[layer])) state[layer] = ((encoder.length ? encoder : names).at(-1) ?? names[0])?.name ?? "";
    }
  }

  // -- the picture

  /** What an image is called: those without maps, too. */
  const called = (image) => table.labels[table.images.indexOf(image)];
  const labelOf = (axis) => {
    if (Object.hasOwn(OWN, state[axis])) return OWN[state[axis]];
    const metric = states.named(index.metrics, state[axis]);
    const layer = atlas.labelOf(states.named(index.models, state.model).layers, state[`${axis}-layer`]);
    return `${metric.label}${metric.unit ? ` (${metric.unit})` : ""}, ${layer}`;
  };

  /** What a number under a map is: without the layer, where both axes have the same one. */
  function nameOf(axis) {
    const beside = axis === "x" ? "y" : "x";
    const alike = state[axis] !== state[beside] || Object.hasOwn(OWN, state[axis]);
    return alike ? (OWN_SHORT[state[axis]] ?? states.named(index.metrics, state[axis]).label) : labelOf(axis);
  }

  /** Round numbers across an axis. */
  function ticks(low, high) {
    const rough = (high - low) / 5 || 1;
    const power = 10 ** Math.floor(Math.log10(rough));
    const by = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
    const out = [];
    for (let tick = Math.ceil(low / by) * by; tick <= high + by / 1e6; tick += by) out.push(Number(tick.toPrecision(6)));
    return out;
  }

  function range(values) {
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const pad = 0.05 * (high - low) || 0.5;
    return [low - pad, high + pad];
  }

  /** A colour from dark blue over green to yellow, as viridis: IoU from 0 to 1. */
  function colour(iou) {
    if (iou === null) return "var(--muted)";
    const stops = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
    const where = Math.min(3.9999, Math.max(0, 4 * iou));
    const [a, b] = [stops[Math.floor(where)], stops[Math.floor(where) + 1]];
    return `rgb(${a.map((one, n) => Math.round(one + (b[n] - one) * (where % 1))).join(" ")})`;
  }

  function draw() {
    const [xs, ys] = ["x", "y"].map((axis) => table.column(state[axis], state[`${axis}-layer`]));
    const there = table.images.map((image, n) => ({ image, x: xs[n], y: ys[n], iou: table.iou(image) })).filter((dot) => dot.x !== null && dot.y !== null);
    const svg = at("scatter-plot");
    BOX.left = NARROW.matches ? LEFT.narrow : LEFT.wide;
    const gone = table.images.length - there.length;
    note("scatter-gone", gone ? `${gone} of ${table.images.length} images are not drawn: a score of theirs is undefined.` : "");
    svg.replaceChildren();
    dots = [];
    if (!there.length) return;
    const [[x0, x1], [y0, y1]] = [range(there.map((dot) => dot.x)), range(there.map((dot) => dot.y))];
    const across = (x) => BOX.left + ((x - x0) / (x1 - x0)) * (BOX.width - BOX.left - BOX.right);
    const up = (y) => BOX.height - BOX.bottom - ((y - y0) / (y1 - y0)) * (BOX.height - BOX.top - BOX.bottom);
    const line = (x, y, x2, y2, name) => drawing("line", { x1: x, y1: y, x2, y2, class: name });
    const words = (text, x, y, name, more = {}) => drawing("text", { x, y, class: name, ...more }, text);
    const [right, bottom] = [BOX.width - BOX.right, BOX.height - BOX.bottom];
    for (const tick of ticks(x0, x1))
      svg.append(line(across(tick), BOX.top, across(tick), bottom, "grid"), words(tiles.number(tick), across(tick), bottom + 16, "tick-x"));
    for (const tick of ticks(y0, y1))
      svg.append(line(BOX.left, up(tick), right, up(tick), "grid"), words(tiles.number(tick), BOX.left - 6, up(tick) + 4, "tick-y"));
    svg.append(words(labelOf("x"), (BOX.left + right) / 2, BOX.height - 8, "axis"));
    svg.append(words(labelOf("y"), 18, (BOX.top + bottom) / 2, "axis", { transform: `rotate(-90 18 ${(BOX.top + bottom) / 2})` }));
    const brushed = drawing("rect", { id: "scatter-brush", class: "brush" });
    svg.append(brushed);
    there.sort((a, b) => a.x - b.x);
    for (const dot of there) {
      const said = [`${called(dot.image)}: x ${tiles.number(dot.x)}`, `y ${tiles.number(dot.y)}`, ...agreement(dot)].join(", ");
      const mark = drawing("circle", { cx: across(dot.x), cy: up(dot.y), r: 6, fill: colour(dot.iou), class: "dot", role: "button", tabindex: -1, "aria-label": `${said}. Open its maps` }, drawing("title", {}, said));
      dots.push({ ...dot, mark, cx: across(dot.x), cy: up(dot.y) });
      svg.append(mark);
    }
    dots[0].mark.setAttribute("tabindex", "0");
    svg.setAttribute("aria-label", `${there.length} images: ${labelOf("x")} against ${labelOf("y")}; dark dots have a low IoU, light ones a high one`);
    at("scatter-iou").hidden = there.every((dot) => dot.iou === null);
    mark();
  }

  /** A prediction's IoU in words, where the image has a mask. */
  const agreement = ({ iou }) => (iou === null ? [] : [`IoU ${tiles.number(iou)}`]);

  function mark() {
    for (const dot of dots) dot.mark.classList.toggle("picked", picked.includes(dot.image));
  }

  // -- images in the brush

  async function list() {
    const mine = ++turn;
    const point = pointOf();
    const brushed = `${picked.length} of ${dots.length} images in the brush${picked.length > LISTED ? `; the first ${LISTED} are shown` : ""}.`;
    const usual = "Drag over dots to list their maps here; a click on a dot opens the maps of its image. Shown: the highest and the lowest.";
    at("scatter-count").textContent = picked.length ? brushed : usual;
    at("scatter-clear").hidden = !picked.length;
    const layer = state["y-layer"];
    const shown = picked.length ? picked.slice(0, LISTED) : ends();
    const places = shown.map((image) => tile(image, layer));
    at("scatter-list").replaceChildren(...places.map((one) => one.root));
    at("scatter-list").dataset.drawn = JSON.stringify(shown);
    for (const [n, image] of shown.entries()) {
      const file = point.files[image];
      if (!file) {
        places[n].without();
        continue;
      }
      const one = { ...states.first(index), image, model: state.model, seed: state.seed, level: state.level, ...pair() };
      const side = await atlas.side(index, one);
      if (mine !== turn) return;
      places[n].set(side, side.find(layer));
    }
  }

  /** The images with the highest and the lowest score upwards. */
  function ends() {
    const ordered = [...dots].sort((a, b) => b.y - a.y).map((dot) => dot.image);
    return ordered.length > 2 * ENDS ? [...ordered.slice(0, ENDS), ...ordered.slice(-ENDS)] : ordered;
  }

  const pair = () => ({ target: index.targets[table.target].name, method: index.methods[table.method].name });

  /** The tile of an image in the list: its map of the vertical axis's layer. */
  function tile(image, layer) {
    const plain = tiles.stack(),
      map = tiles.stack();
    const frame = element("span", { class: "faces side" }, plain.root, map.root);
    const open = element("button", { type: "button", class: "open", "aria-label": `Open the maps of ${called(image)}` }, frame);
    open.addEventListener("click", () => show(image));
    const dot = dots.find((one) => one.image === image);
    const said = [`${nameOf("x")} ${tiles.number(dot.x)}`, `${nameOf("y")} ${tiles.number(dot.y)}`, ...agreement(dot)];
    const under = [...new Set(said)].map((text) => element("span", { class: "scores" }, text));
    const root = element("figure", { class: "tile pair" }, open, element("figcaption", {}, element("span", { class: "layer" }, called(image)), ...under));
    return {
      root,
      set(side, found) {
        plain.set({ ...side.common, map: undefined });
        map.set({ ...side.common, pixel: null, map: found, words: found ? "" : "no map" });
      },
      without: () => open.replaceChildren(element("span", { class: "hint" }, "no maps kept")),
    };
  }

  /** Open the maps of an image in the atlas, or say that there are none. */
  function show(image) {
    const point = pointOf();
    if (!index.checkpoints.some((one) => one.files[image]))
      return note("scatter-note", `The maps of ${called(image)} are not kept with this run: small_maps.images in the profile says of how many they are.`);
    const seed = point.files[image] ? point : index.checkpoints.find((one) => one.model === state.model && one.files[image]) ?? point;
    const one = { ...states.first(index), image, model: state.model, seed: seed.seed, level: state.level, ...pair() };
    if (Object.hasOwn(Object.fromEntries(table.metrics.map((name) => [name, 1])), state.y)) one.metric = state.y;
    location.hash = states.write(one);
    return null;
  }

  // -- the view

  function inside(from, to) {
    const [left, right] = [Math.min(from.x, to.x), Math.max(from.x, to.x)];
    const [top, bottom] = [Math.min(from.y, to.y), Math.max(from.y, to.y)];
    const box = at("scatter-brush");
    for (const [name, value] of Object.entries({ x: left, y: top, width: right - left, height: bottom - top })) box.setAttribute(name, value);
    return dots.filter((dot) => dot.cx >= left && dot.cx <= right && dot.cy >= top && dot.cy <= bottom);
  }

  function listen() {
    const svg = at("scatter-plot");
    let from = null;
    const where = (event) => {
      const box = svg.getBoundingClientRect();
      return { x: ((event.clientX - box.left) * BOX.width) / box.width, y: ((event.clientY - box.top) * BOX.height) / box.height };
    };
    svg.addEventListener("pointerdown", (event) => {
      if (event.button === 0 && dots.length) from = where(event);
    });
    svg.addEventListener("pointermove", (event) => {
      if (!from) return;
      const to = where(event);
      if (Math.hypot(to.x - from.x, to.y - from.y) < 5) return;
      if (!svg.hasPointerCapture(event.pointerId)) svg.setPointerCapture(event.pointerId);
      picked = inside(from, to).sort((a, b) => b.y - a.y).map((dot) => dot.image);
      mark();
    });
    svg.addEventListener("pointerup", (event) => {
      const to = from && where(event);
      const far = from && Math.hypot(to.x - from.x, to.y - from.y) >= 5;
      from = null;
      if (far) return list();
      const image = dots.find((dot) => dot.mark === event.target)?.image;
      return image && show(image);
    });
    svg.addEventListener("keydown", (event) => {
      const place = dots.findIndex((dot) => dot.mark === event.target);
      if (place < 0) return;
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (event.key === "Enter" || event.key === " ") show(dots[place].image);
      else if (by) move(place, (place + by + dots.length) % dots.length);
      else return;
      event.preventDefault();
    });
    NARROW.addEventListener("change", () => table && draw());
    at("scatter-clear").addEventListener("click", () => {
      picked = [];
      redraw();
    });
    for (const name of ["model", "x", "x-layer", "y", "y-layer"]) listenTo(name, (text) => text);
    for (const name of ["seed", "level"]) listenTo(name, Number);
    at("scatter-controls").addEventListener("submit", (event) => event.preventDefault());
  }

  function move(from, to) {
    dots[from].mark.setAttribute("tabindex", "-1");
    dots[to].mark.setAttribute("tabindex", "0");
    dots[to].mark.focus();
  }

  function listenTo(name, reading) {
    at(`scatter-${name}`).addEventListener("change", (event) => {
      state[name] = reading(event.target.value);
      write();
    });
  }

  const KEYS = ["model", "seed", "level", "x", "x-layer", "y", "y-layer"];

  function write() {
    const out = new URLSearchParams(KEYS.map((key) => [key, state[key]]));
    location.hash = `#scatter?${out}`;
  }

  async function redraw() {
    note("scatter-note", "");
    fitted();
    table = await tableOf(pointOf().scatter);
    axesFitted();
    picked = picked.filter((image) => table.has(image));
    sync();
    const { target, method } = pair();
    at("scatter-what").textContent = `${atlas.labelOf(index.methods, method)}, target ${atlas.labelOf(index.targets, target)}: ${table.images.length} images.`;
    draw();
    await list();
    at("scatter-plot").dataset.drawn = JSON.stringify(state);
  }

  /** Show what the address says. */
  async function restore(text) {
    if (!at("scatter-frame")) return; // a run without scores
    try {
      ready ??= load("gallery").then((content) => {
        index = content;
        maps.paint(index.display);
        state = first();
        listen();
      });
      await ready;
      const given = new URLSearchParams(text);
      for (const key of KEYS)
        if (given.has(key)) state[key] = ["seed", "level"].includes(key) ? Number(given.get(key)) : given.get(key);
      at("scatter-frame").hidden = false;
      await redraw();
      const wrong = KEYS.filter((key) => given.has(key) && String(state[key]) !== given.get(key)).map(
        (key) => `there is no ${key.replace("-", " ")} \u201c${given.get(key)}\u201d`,
      );
      if (wrong.length) note("scatter-note", `In the link ${wrong.join("; ")}. What is there is shown instead.`);
    } catch (error) {
      at("scatter-frame").hidden = false;
      note("scatter-note", error.message);
    }
  }

  segcam.scatter = { restore, table: tableOf };
})();
