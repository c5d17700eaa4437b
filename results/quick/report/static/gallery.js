// The atlas's view: its controls, keys and address, and what is said of the maps that are shown.
(() => {
  "use strict";
  const { load, note, typing, maps, tiles, atlas, controls, keys, detail, picture, state: states } = segcam;
  const at = (id) => document.getElementById(id);
  const BLINK = 900; // milliseconds
  let index = null;
  let state = null;
  let ready = null; // promise of the index
  let showing = false;
  let turn = 0; // of the last drawing: maps that arrive too late are not shown
  let waiting = 0; // for the address, while a slider moves

  const { labelOf } = atlas;
  const EACH = { level: "each level", method: "each method", model: "each model", seed: "each seed", target: "each target" };
  const SCALES = {
    robust: "percentile of each map\u2019s positive values",
    own: "maximum of each map",
    common: "percentile of a layer\u2019s brightest map by the method, in all rows",
  };

  // -- what is shown

  /** In words, what maps are shown; rows say what differs. */
  function described(state) {
    const point = states.checkpoint(index, state);
    const level = point?.name ?? String(state.level);
    const words = {
      method: labelOf(index.methods, state.method),
      model: labelOf(index.models, state.model),
      level: level === "best" ? "its best" : level,
      seed: `seed ${state.seed}`,
      target: labelOf(index.targets, state.target),
    };
    if (state.rows) words[state.rows] = EACH[state.rows];
    const seed = states.seeds(index, state.model).length > 1 ? `, ${words.seed}` : "";
    const at = state.rows === "level" || /best$|%$/.test(level) ? ` at ${words.level}` : `, ${words.level}`;
    const line = `${words.method} of ${words.model}${at}${seed}`;
    return { ...words, line: line[0].toUpperCase() + line.slice(1), point };
  }

  /** In words, how the second state differs from the first. */
  function differing() {
    if (!states.comparing(state)) return "";
    const b = states.other(index, state);
    const words = described({ ...b, rows: "" });
    const own = states.AXES.filter((name) => state[states.second(name)] !== "");
    return own.map((name) => (name === "image" ? labelOf(index.images, b.image) : words[name])).join(", ");
  }

  function headings() {
    const { line, target, point } = described(state);
    const b = differing();
    at("shown").textContent = b ? `${line} (A) against ${b} (B)` : line;
    const known = point?.miou == null ? "" : `validation mean IoU ${tiles.number(point.miou * 100, "%")}`;
    const reached = state.rows === "level" || state.rows === "model" ? "" : point?.reached ? known : "not reached";
    at("checkpoint").textContent = [labelOf(index.images, state.image), states.named(index.images, state.image).credit, `target: ${target}`, reached].filter(Boolean).join(" \u00b7 ");
    at("key-class").textContent = `${index.region}, ${states.named(index.targets, state.target)?.class ?? ""}`;
    const apart = Boolean(b) && state.mode === "difference";
    maps.bar(at("colour-bar"), state.scale, apart);
    at("colour-start").textContent = apart ? "B higher" : "0";
    const end = state.scale === "own" ? SCALES.own : `${index.display.upper}th ${SCALES[state.scale]}`;
    at("colour-end").textContent = apart ? "A higher" : end;
    const method = states.named(index.methods, state.method);
    at("method-hint").textContent = [method?.summary, method?.source && `(${method.source})`].filter(Boolean).join(" ");
  }

  async function draw() {
    const mine = ++turn;
    headings();
    const { rows, gaps } = await atlas.load(index, state);
    if (mine !== turn) return;
    const metric = states.named(index.metrics, state.metric);
    const current = rows.find(({ sides: [one] }) => !state.rows || one.state[state.rows] === state[state.rows]) ?? rows[0];
    const [one] = current.sides;
    const some = rows.some((row) => row.layers.length);
    note("gallery-problem", some ? "" : [...new Set(rows.flatMap(({ sides }) => sides.map((side) => side.why)))].join(" "));
    note("gaps", gaps.length ? `No map of these layers: ${gaps.join(", ")}.` : "");
    const answer = { tint: state.outline && !(state.errors && one.image.masked), errors: state.errors && one.image.masked };
    at("key-predicted").hidden = !answer.tint || !one.common.predicted;
    at("key-errors").hidden = !answer.errors || !one.common.predicted;
    at("key-pixel").hidden = !one.common.pixel;
    at("metric-hint").textContent = metric
      ? `${metric.summary ? `${metric.summary}; ` : ""}${detail.meaning(metric, one.content?.areas ?? {}, state.target)}`
      : "";
    atlas.show(at("maps"), index, state, rows, metric, change);
    at("key-rank").hidden = !at("maps").querySelector(".rank:not(:empty)");
    at("maps").classList.toggle("one-row", rows.length === 1);
    const layer = states.named(one.layers, state.layer);
    if (layer && some) detail.show({ index, state, layer, row: current, metric, choose: change });
    else detail.hide();
    at("maps").dataset.drawn = states.write(state);
  }

  function failed(why) {
    atlas.clear(at("maps"));
    note("gaps", "");
    detail.hide();
    note("gallery-problem", why);
    at("maps").dataset.drawn = states.write(state);
  }

  function redraw() {
    const drawing = draw();
    const mine = turn;
    drawing.catch((error) => mine === turn && failed(error.message)); // what came too late must not blank what is shown
  }

  // -- changes

  /** Change what is shown; the address follows, with a step back for each choice but not for each step of a slider. */
  function change(values, { sliding = false } = {}) {
    const next = { ...state, ...values };
    state = states.fitting(index, next, next.model !== state.model);
    if ("image" in values) state = states.withMaps(index, state);
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
    const number = (text) => (text === "" ? "" : Number(text));
    at("images").addEventListener("change", (event) =>
      change({ image: index.images[Number(event.target.value)].name }),
    );
    const texts = ["image", "model", "target", "method", "b-image", "b-model", "b-target", "b-method"];
    for (const name of [...texts, "rows", "metric", "point", "mode", "scale", "ground"])
      at(name).addEventListener("change", (event) => change({ [name]: event.target.value }));
    for (const name of ["seed", "level", "b-seed", "b-level"])
      at(name).addEventListener("change", (event) => change({ [name]: number(event.target.value) }));
    at("opacity").addEventListener("input", (event) =>
      change({ opacity: Number(event.target.value) }, { sliding: true }),
    );
    for (const name of ["outline", "mark", "errors"])
      at(name).addEventListener("change", (event) => change({ [name]: event.target.checked }));
    at("controls").addEventListener("submit", (event) => event.preventDefault());
    at("pin").addEventListener("click", () => change(keys.pinned(state)));
    at("swap").addEventListener("click", () => change(keys.swapped(index, state) ?? {}));
    at("stop").addEventListener("click", () => change(keys.stopped()));
    at("swipe").addEventListener("input", (event) => at("maps").style.setProperty("--swipe", `${event.target.value}%`));
    at("blink").addEventListener("click", () => blink(at("blink").getAttribute("aria-pressed") !== "true"));
    at("before").addEventListener("click", () => change(keys.pressed("ArrowLeft", index, state, [])));
    at("after").addEventListener("click", () => change(keys.pressed("ArrowRight", index, state, [])));
    at("copy").addEventListener("click", copy);
    for (const kind of ["png", "svg"]) at(`save-${kind}`).addEventListener("click", () => save(kind));
    detail.dialog.addEventListener("close", () => showing && state.layer && change({ layer: "" }));
    document.addEventListener("keydown", press);
    const still = matchMedia("(prefers-reduced-motion: reduce)");
    blink(!still.matches);
    setInterval(() => {
      const on = showing && state.mode === "blink" && at("blink").getAttribute("aria-pressed") === "true";
      if (on) at("maps").classList.toggle("second");
    }, BLINK);
  }

  /** Let both sides take turns, or stop at the other one. */
  function blink(on) {
    at("blink").setAttribute("aria-pressed", String(on));
    at("blink").textContent = on ? "Pause blinking" : "Blink";
  }

  async function save(kind) {
    const { line, target, model, seed } = described(state);
    const b = differing();
    const metric = states.named(index.metrics, state.metric);
    const words = [
      `${line}; image ${labelOf(index.images, state.image)}, target ${target}${b ? `; A against B: ${b}` : ""}.`,
      `Rows: ${EACH[state.rows]?.slice(5) ?? "one"}; columns: layers of ${model} by block.`,
      at("key-predicted").hidden && at("key-errors").hidden ? "" : "First: the image, with what the network predicts.",
      `Outline: the ${index.region} of ${states.named(index.targets, state.target)?.class ?? ""}.`,
      b && state.mode === "difference"
        ? "Orange where A is higher, blue where B is."
        : `Brightest colour: ${at("colour-end").textContent}${state.scale === "own" ? ", linear" : `; gamma ${index.display.gamma}`}.`,
      metric ? `Under a map: ${metric.label}, and its percentile among the images.` : "",
    ];
    const run = document.querySelector(".run-name").textContent;
    const name = ["atlas", run, model, state.image, state.rows || "map", seed].join(" ").replace(/[^A-Za-z0-9]+/g, "-");
    try {
      await picture.save(at("maps"), `${words.filter(Boolean).join(" ")} Run ${run}, drawn by segcam.`, name, kind);
    } catch (error) {
      note("gallery-note", error.message);
    }
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
    const values = keys.pressed(event.key, index, state, atlas.order());
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
    at("gallery-frame").hidden = false;
    if (matchMedia("(max-width: 70rem)").matches) at("choices").open = false; // so that a map is on the first screen
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
