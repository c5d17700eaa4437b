// The gallery: its controls, keys and address, and the maps of all layers.
(() => {
  "use strict";
  const { element, load, note, typing, maps, tiles, controls, keys, detail, state: states } = segcam;
  const at = (id) => document.getElementById(id);
  let index = null;
  let state = null;
  let ready = null; // promise of the index
  let showing = false;
  let layout = { key: "", tiles: [] };
  let plain = null; // the tile of the image alone
  let turn = 0; // of the last drawing: maps that arrive too late are not shown
  let waiting = 0; // for the address, while a slider moves

  const labelOf = (list, name) => states.named(list, name)?.label ?? name;

  // -- what is shown

  function headings(point, sides) {
    const model = labelOf(index.models, state.model);
    const level = point?.name ?? String(state.level);
    at("level-value").textContent = level;
    at("level").setAttribute("aria-valuetext", level);
    const seed = states.seeds(index, state.model).length > 1 ? `, seed ${state.seed}` : "";
    const where = level === "best" ? "its best" : level;
    at("shown").textContent = `${sides.map((side) => side.label).join(" and ")} of ${model} at ${where}${seed}`;
    const known = point?.miou == null ? "" : `validation mean IoU ${tiles.number(point.miou * 100, "%")}`;
    const reached = point?.reached ? known : "not reached";
    at("checkpoint").textContent =
      `${state.image} \u00b7 target: ${labelOf(index.targets, state.target)} \u00b7 ${reached}`;
    at("key-class").textContent = `outline of the ${index.region}, ${states.named(index.targets, state.target)?.class ?? ""}`;
    maps.bar(at("colour-bar"), state.raw);
    at("colour-end").textContent = state.raw
      ? "maximum of each map"
      : `${index.display.upper}th percentile of each map\u2019s positive values`;
    const method = states.named(index.methods, state.method);
    at("method-hint").textContent = [method?.summary, method?.source && `(${method.source})`].filter(Boolean).join(" ");
  }

  /** Why there is nothing to draw; '' where there is. */
  function missing(point, file) {
    if (!point) return `${labelOf(index.models, state.model)} has no checkpoint at this level and seed.`;
    if (!point.reached)
      return `Level ${point.name} was not reached: the nearest validation mean IoU was ${tiles.number(point.nearest * 100, "%")}. There are no maps of it.`;
    if (!file) return "The maps of this checkpoint and image are not kept in the run's folder.";
    return "";
  }

  const outlineOf = (image) => image.outlines[states.named(index.targets, state.target)?.number] ?? "";

  /** The layers at the chosen probe point that have a map, and how many have none. */
  function layersShown(finders) {
    const layers = states.named(index.models, state.model).layers;
    const atPoint = layers.filter(
      (layer) => layer.role === "input" || state.point === states.ALL || layer.point === state.point,
    );
    const shown = atPoint.filter((layer) => finders.some((find) => find(layer.name)));
    const gaps = atPoint.filter((layer) => layer.role !== "input" && !shown.includes(layer)).map((layer) => layer.label);
    note("gaps", gaps.length ? `No map of this method: ${gaps.join(", ")}.` : "");
    return shown;
  }

  /** Make the tiles anew only where other layers, or another number of sides, are shown. */
  function arrange(layers, sides) {
    const key = JSON.stringify([state.model, layers.map((layer) => layer.name), sides.map((side) => side.label)]);
    if (key === layout.key) return;
    const labels = sides.map((side) => side.label);
    const made = layers.map((layer) => tiles.tile(layer, labels, (one) => change({ layer: one.name })));
    const groups = [];
    for (const one of made) {
      if (groups.at(-1)?.role !== one.layer.role) groups.push({ role: one.layer.role, tiles: [] });
      groups.at(-1).tiles.push(one.root);
    }
    const name = (role) => (role === "input" ? "Pixels of the input" : role.charAt(0).toUpperCase() + role.slice(1));
    const alternating = groups.length > 6; // transformers: before and after attention take turns
    const grid = (roots) => element("div", { class: "tiles" }, ...roots);
    const parts = alternating
      ? [grid(made.map((one) => one.root))]
      : groups.map((group) =>
          element("section", { class: "group" }, element("h2", {}, name(group.role)), grid(group.tiles)),
        );
    const letter = (number) => element("span", { class: "side" }, "AB"[number]);
    const names = sides.flatMap((side, number) => [letter(number), ` ${side.label} `]);
    const legend = sides.length > 1 ? [element("p", { class: "sides" }, ...names)] : [];
    at("maps").replaceChildren(...legend, ...parts);
    at("maps").classList.toggle("comparing", sides.length > 1);
    layout = { key, tiles: made };
  }

  async function draw() {
    const mine = ++turn;
    const point = states.checkpoint(index, state);
    const sides = [state.method, ...(state.with ? [state.with] : [])].map((name) => ({
      name,
      label: labelOf(index.methods, name),
    }));
    headings(point, sides);
    const file = point?.files[state.image];
    const why = missing(point, file);
    if (why) return empty(why);
    const image = states.named(index.images, state.image);
    const [shown, photograph] = await Promise.all([maps.open(file), maps.photograph(image.picture)]);
    if (mine !== turn) return;
    const target = states.numberOf(index.targets, state.target);
    const methods = sides.map((side) => states.numberOf(index.methods, side.name));
    const finders = methods.map((method) => (layer) => shown.find(target, method, layer));
    if (!sides.some((side) => states.has(index, point, state.target, side.name))) {
      const labels = sides.map((side) => side.label).join(" or ");
      return empty(`There are no maps of ${labels} for this target and checkpoint.`);
    }
    const metric = states.named(index.metrics, state.metric);
    const common = { image, photograph, state, outline: outlineOf(image), pixel: shown.pixels[state.target] };
    common.predicted = shown.predicted[states.named(index.targets, state.target)?.number] ?? "";
    at("key-predicted").hidden = !common.predicted;
    note("gallery-problem", "");
    at("key-pixel").hidden = !common.pixel;
    at("metric-hint").textContent = metric
      ? `${metric.summary ? `${metric.summary}; ` : ""}${detail.meaning(metric, shown.areas, state.target)}`
      : "";
    arrange(layersShown(finders), sides);
    plain.set(common, shown.agreement);
    const mapsOf = (layer) => finders.map((find) => find(layer.name));
    for (const one of layout.tiles) one.set(common, mapsOf(one.layer), metric);
    const layer = states.named(states.named(index.models, state.model).layers, state.layer);
    const large = layer && { layer, sides, sideMaps: mapsOf(layer), common, shown, metric };
    if (large) detail.show({ index, state, ...large, choose: change });
    else detail.hide();
    at("maps").dataset.drawn = states.write(state);
  }

  function empty(why) {
    at("maps").replaceChildren();
    note("gaps", "");
    const image = states.named(index.images, state.image);
    plain.set({ image, state, outline: outlineOf(image), pixel: null }, "");
    at("key-predicted").hidden = true;
    layout = { key: "", tiles: [] };
    detail.hide();
    note("gallery-problem", why);
    at("maps").dataset.drawn = states.write(state);
  }

  function redraw() {
    const drawing = draw();
    const mine = turn;
    drawing.catch((error) => mine === turn && empty(error.message)); // what came too late must not blank what is shown
  }

  // -- changes

  /** Change what is shown; the address follows, with a step back for each choice but not for each step of a slider. */
  function change(values, { sliding = false } = {}) {
    const next = { ...state, ...values };
    if (state.with && next.method === state.with && !("with" in values)) next.with = state.method; // they change places
    state = states.fitting(index, next, next.model !== state.model);
    note("gallery-note", "");
    controls.sync(index, state);
    redraw();
    clearTimeout(waiting);
    const write = () => {
      const hash = states.write(state);
      if (location.hash === hash) return;
      if (sliding) location.replace(hash);
      else location.hash = hash;
    };
    if (sliding)
      waiting = setTimeout(write, 200); // browsers stop pages that change their address too often
    else write();
  }

  function listen() {
    at("images").addEventListener("change", (event) =>
      change({ image: index.images[Number(event.target.value)].name }),
    );
    for (const name of ["model", "target", "method", "with", "metric", "point", "ground"]) {
      at(name).addEventListener("change", (event) => change({ [name]: event.target.value }));
    }
    at("seed").addEventListener("change", (event) => change({ seed: Number(event.target.value) }));
    at("opacity").addEventListener("input", (event) =>
      change({ opacity: Number(event.target.value) }, { sliding: true }),
    );
    at("level").addEventListener("input", (event) =>
      change({ level: states.levels(index, state.model, state.seed)[Number(event.target.value)] }, { sliding: true }),
    );
    for (const name of ["raw", "outline", "mark"])
      at(name).addEventListener("change", (event) => change({ [name]: event.target.checked }));
    at("controls").addEventListener("submit", (event) => event.preventDefault());
    at("copy").addEventListener("click", copy);
    detail.dialog.addEventListener("close", () => showing && state.layer && change({ layer: "" }));
    document.addEventListener("keydown", press);
  }

  async function copy() {
    const hash = states.write(state); // the address may still be that of a link which asked for what is not there
    location.replace(hash);
    try {
      await navigator.clipboard.writeText(new URL(hash, location.href).href);
      note("gallery-note", "The link to what is shown is copied.");
    } catch {
      note("gallery-note", `This browser does not let the page copy. The link is in the address bar: ${hash}`);
    }
  }

  function press(event) {
    const free = !event.defaultPrevented && !event.ctrlKey && !event.metaKey && !event.altKey;
    if (!free || !showing || typing(event) || document.querySelector("dialog[open]:not(#detail)")) return;
    const layers = layout.tiles.map((one) => one.layer.name);
    const values = keys.pressed(event.key, index, state, layers);
    if (!values) return;
    event.preventDefault(); // arrows would scroll the page as well
    change(values, { sliding: event.repeat });
  }

  // -- the view

  async function start() {
    index = await load("gallery");
    maps.paint(index.display);
    state = states.first(index);
    controls.images(index, state);
    plain = tiles.plainTile();
    at("plain").append(plain.root);
    at("gallery-frame").hidden = false;
    listen();
  }

  /** Show what the address says. */
  async function restore(text) {
    showing = true;
    if (!at("gallery-frame")) return; // a run without maps
    try {
      await (ready ??= start());
      if (states.write(state) === location.hash && at("maps").dataset.drawn === location.hash) return; // our own change
      const bare = !location.hash.includes("?"); // comes back to where one was; a link begins anew
      const read = states.read(index, text, bare ? state : states.first(index));
      state = read.state;
      controls.sync(index, state);
      redraw();
      if (bare) location.replace(states.write(state)); // so that a step back comes to this state
      const problems = read.problems.length
        ? `In the link ${read.problems.join("; ")}. What is there is shown instead.`
        : "";
      note("gallery-note", problems);
    } catch (error) {
      at("gallery-frame").hidden = false;
      note("gallery-note", error.message);
    }
  }

  function leave() {
    showing = false;
    clearTimeout(waiting); // a slider's last step must not call the page back here
    detail.hide();
  }

  segcam.gallery = { restore, leave };
})();
