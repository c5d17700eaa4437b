// What the atlas shows, as a plain object: what may be chosen, and its form in the page's address.
(() => {
  "use strict";
  const GROUNDS = ["grey", "colour", "none"];
  const SCALES = ["robust", "own", "common"];
  const MODES = ["side", "difference", "swipe", "blink"];
  const ALL = "all"; // probe points
  /** What names a map beside its layer; the second state of a comparison has any of them in its own way. */
  const AXES = ["image", "model", "seed", "level", "target", "method"];
  /** What rows may differ in; '' is one row. */
  const ROWS = ["", "level", "method", "model", "seed", "target"];
  const second = (name) => `b-${name}`;
  /** What an address leaves out. */
  const USUAL = {
    ...Object.fromEntries(AXES.map((name) => [second(name), ""])),
    ...{ mode: "side", scale: "robust", opacity: 100, ground: "grey" },
    ...{ outline: true, mark: true, errors: false, layer: "" },
  };
  /** What an address holds, in its order. */
  const NAMES = [...AXES, "rows", "metric", "point", ...Object.keys(USUAL)];
  const PERCENT = [...Array(101).keys()];
  const numberOf = (list, name) => list.findIndex((entry) => entry.name === name);
  const named = (list, name) => list.find((entry) => entry.name === name);
  const unique = (values) => [...new Set(values)];

  /** The checkpoints of a model, or of one of its seeds. */
  const checkpoints = (index, model, seed) =>
    index.checkpoints.filter((point) => point.model === model && (seed === undefined || point.seed === seed));
  const seeds = (index, model) => unique(checkpoints(index, model).map((point) => point.seed)).sort((a, b) => a - b);
  const levels = (index, model, seed) =>
    unique(checkpoints(index, model, seed).map((point) => point.level)).sort((a, b) => a - b);
  const points = (index, model) =>
    unique(
      named(index.models, model)
        .layers.filter((layer) => layer.role !== "input")
        .map((layer) => layer.point),
    );
  const kept = (point) => Object.keys(point.files).length > 0;

  /** The seeds of a model that have maps; all where none has. */
  function picturedSeeds(index, model) {
    const all = seeds(index, model);
    const there = all.filter((seed) => checkpoints(index, model, seed).some(kept));
    return there.length ? there : all;
  }

  /** The checkpoint that is chosen. */
  const checkpoint = (index, state) =>
    index.checkpoints.find(
      (point) => point.model === state.model && point.seed === state.seed && point.level === state.level,
    );

  /** The pairs of target and method that a checkpoint has maps of, for an image. */
  function pairs(index, point, image) {
    if (!point?.files[image]) return [];
    return named(index.images, image).file ? point.small : point.pairs;
  }

  /** The methods that any checkpoint has maps of. */
  function methods(index) {
    const all = index.checkpoints.flatMap((point) => [...point.pairs, ...point.small]);
    const there = new Set(all.map(([, method]) => method));
    return index.methods.filter((_, number) => there.has(number));
  }

  /** Whether there are maps of a state. */
  function has(index, state) {
    const pair = [numberOf(index.targets, state.target), numberOf(index.methods, state.method)].join(" ");
    return pairs(index, checkpoint(index, state), state.image).some((numbers) => numbers.join(" ") === pair);
  }

  /** The methods that there are maps of, for all else that is chosen. */
  const methodsOf = (index, state) => methods(index).filter(({ name }) => has(index, { ...state, method: name }));

  const nearest = (values, wanted) =>
    values.reduce((best, value) => (Math.abs(value - wanted) < Math.abs(best - wanted) ? value : best));

  /** The states that the rows show, from top to bottom: all that differ in what rows are. */
  function rows(index, state) {
    const one = state.rows;
    const values = {
      level: () => levels(index, state.model, state.seed),
      method: () => methodsOf(index, state).map((method) => method.name),
      model: () => index.models.map((model) => model.name),
      seed: () => picturedSeeds(index, state.model),
      target: () => index.targets.map((target) => target.name).filter((target) => has(index, { ...state, target })),
    }[one];
    const all = values ? values().map((value) => fitting(index, { ...state, [one]: value }, one === "model")) : [];
    return all.length ? all : [state];
  }

  const comparing = (state) => AXES.some((name) => state[second(name)] !== "");

  /** The second state of a comparison, for a row's first. */
  function other(index, state) {
    const own = AXES.filter((name) => state[second(name)] !== "").map((name) => [name, state[second(name)]]);
    return fitting(index, { ...state, ...Object.fromEntries(own) }, state[second("model")] !== "");
  }

  /** What is shown first: the main method, at the highest level that has maps and above it all others. */
  function first(index) {
    const { model, seed } = index.checkpoints.find(kept) ?? index.checkpoints[0];
    const of = checkpoints(index, model, seed);
    const level = Math.max(...(of.some(kept) ? of.filter(kept) : of).map((point) => point.level));
    const all = methods(index);
    return {
      ...USUAL,
      image: index.images[0]?.name ?? "",
      model,
      seed,
      level,
      target: index.targets[0].name,
      method: (named(all, index.method) ?? all[0])?.name ?? "",
      rows: levels(index, model, seed).length > 1 ? "level" : "method",
      metric: (named(index.metrics, index.metric) ?? index.metrics[0])?.name ?? "",
      point: points(index, model)[0] ?? ALL,
    };
  }

  /**
   * Bring what depends on the model in line with it: its seeds, levels and probe points. Where the model is a new
   * choice (`chosen`), a seed without any maps gives way to one that has some. An image of which only some maps are
   * kept is shown with those.
   */
  function fitting(index, state, chosen = false) {
    const out = { ...state };
    const seedsThere = seeds(index, out.model);
    const pictured = (seed) => checkpoints(index, out.model, seed).some(kept);
    if (!seedsThere.includes(out.seed) || (chosen && !pictured(out.seed)))
      out.seed = seedsThere.find(pictured) ?? seedsThere[0];
    const levelsThere = levels(index, out.model, out.seed);
    if (levelsThere.length && !levelsThere.includes(out.level)) out.level = nearest(levelsThere, out.level);
    const pointsThere = points(index, out.model);
    if (out.point !== ALL && !pointsThere.includes(out.point)) out.point = pointsThere[0] ?? ALL;
    if (out.layer && !named(named(index.models, out.model).layers, out.layer)) out.layer = "";
    return out;
  }

  /** A state with a target and a method that the image has maps of, for images that have few. */
  function withMaps(index, state) {
    if (has(index, state)) return state;
    const some = checkpoints(index, state.model, state.seed).flatMap((point) => pairs(index, point, state.image));
    if (!some.length || !named(index.images, state.image)?.file) return state;
    const [target, method] = some[0];
    return { ...state, target: index.targets[target].name, method: index.methods[method].name };
  }

  const whole = (text) => (/^-?\d+$/.test(text) ? Number(text) : NaN);
  const flag = (text) => ({ 0: false, 1: true })[text];

  /** Read a state from an address; what it does not know is replaced, and said in words. */
  function read(index, text, current) {
    const given = new URLSearchParams(text);
    const state = { ...current };
    const problems = [];
    const take = (name, value, allowed, what) => {
      if (!given.has(name)) return;
      if (allowed.includes(value)) state[name] = value;
      else problems.push(`there is no ${what} \u201c${given.get(name)}\u201d${known(what, given.get(name))}`);
    };
    const names = (list) => list.map((entry) => entry.name);
    const known = (what, name) => (what === "method" && named(index.methods, name) ? " with maps" : "");
    /** What one of the two states may be in each of its axes, where `a` says which model and seed. */
    const axes = (a) => ({
      image: [(value) => value, names(index.images)],
      model: [(value) => value, names(index.models)],
      seed: [whole, seeds(index, a.model)],
      level: [whole, levels(index, a.model, a.seed)],
      target: [(value) => value, names(index.targets)],
      method: [(value) => value, names(methods(index))],
    });
    for (const name of AXES) {
      const [reading, allowed] = axes(state)[name];
      take(name, reading(given.get(name)), allowed, name);
      if (name === "model") Object.assign(state, fitting(index, state, state.model !== current.model));
    }
    for (const name of AXES) {
      const b = { model: state["b-model"] || state.model, seed: state["b-seed"] === "" ? state.seed : state["b-seed"] };
      const [reading, allowed] = axes(b)[name];
      take(second(name), reading(given.get(second(name))), allowed, name);
    }
    take("rows", given.get("rows"), ROWS, "choice of rows");
    take("metric", given.get("metric"), names(index.metrics), "score");
    take("point", given.get("point"), [ALL, ...points(index, state.model)], "probe point");
    take("mode", given.get("mode"), MODES, "way to compare");
    take("scale", given.get("scale"), SCALES, "scale");
    take("ground", given.get("ground"), GROUNDS, "ground");
    take("layer", given.get("layer"), names(named(index.models, state.model).layers), "layer");
    take("opacity", whole(given.get("opacity")), PERCENT, "opacity");
    for (const name of ["outline", "mark", "errors"]) take(name, flag(given.get(name)), [true, false], `choice of ${name}`);
    return { state: withMaps(index, fitting(index, state)), problems };
  }

  /** Write a state as an address. */
  function write(state) {
    const out = new URLSearchParams();
    for (const name of NAMES) {
      const value = state[name];
      if (value === USUAL[name]) continue;
      out.set(name, typeof value === "boolean" ? Number(value) : value);
    }
    return `#gallery?${out}`;
  }

  const lists = { ALL, AXES, ROWS, SCALES, MODES, USUAL, second };
  const choices = { seeds, picturedSeeds, levels, points, checkpoint, methods, methodsOf, has, rows, comparing, other };
  segcam.state = { ...lists, ...choices, named, numberOf, first, fitting, withMaps, read, write };
})();
