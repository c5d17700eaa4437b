// What the gallery shows, as a plain object: what may be chosen, and its form in the page's address.
(() => {
  "use strict";
  const GROUNDS = ["grey", "colour", "none"];
  const ALL = "all"; // probe points
  /** What an address leaves out. */
  const USUAL = { with: "", opacity: 100, ground: "grey", raw: false, outline: true, mark: true, layer: "" };
  /** What an address holds, in its order. */
  const NAMES = "image model seed level target method with metric point opacity ground raw outline mark layer".split(" ");
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

  /** The checkpoint that is chosen. */
  const checkpoint = (index, state) =>
    index.checkpoints.find(
      (point) => point.model === state.model && point.seed === state.seed && point.level === state.level,
    );

  /** The methods that any checkpoint has maps of. */
  function methods(index) {
    const there = new Set(index.checkpoints.flatMap((point) => point.pairs.map(([, method]) => method)));
    return index.methods.filter((_, number) => there.has(number));
  }

  /** Whether a checkpoint has maps of a method for a target. */
  function has(index, point, target, method) {
    const pair = [numberOf(index.targets, target), numberOf(index.methods, method)].join(" ");
    return point !== undefined && point.pairs.some((numbers) => numbers.join(" ") === pair);
  }

  /** The methods that a checkpoint has maps of, for the target chosen. */
  const methodsOf = (index, state) =>
    methods(index).filter((method) => has(index, checkpoint(index, state), state.target, method.name));

  const nearest = (values, wanted) =>
    values.reduce((best, value) => (Math.abs(value - wanted) < Math.abs(best - wanted) ? value : best));

  /** What is shown first: the main method at the highest level that has maps. */
  function first(index) {
    const { model, seed } = index.checkpoints.find(kept);
    const level = Math.max(...checkpoints(index, model, seed).filter(kept).map((point) => point.level));
    const all = methods(index);
    return {
      ...USUAL,
      image: index.images[0].name,
      model,
      seed,
      level,
      target: index.targets[0].name,
      method: (named(all, index.method) ?? all[0])?.name ?? "",
      metric: (named(index.metrics, index.metric) ?? index.metrics[0])?.name ?? "",
      point: points(index, model)[0] ?? ALL,
    };
  }

  /**
   * Bring what depends on the model in line with it: its seeds, levels and probe points. Where the model is a new
   * choice (`chosen`), a seed without any maps gives way to one that has some.
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
    if (out.with === out.method) out.with = "";
    return out;
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
    take("image", given.get("image"), names(index.images), "image");
    take("model", given.get("model"), names(index.models), "model");
    Object.assign(state, fitting(index, state, state.model !== current.model));
    take("seed", whole(given.get("seed")), seeds(index, state.model), "seed");
    take("level", whole(given.get("level")), levels(index, state.model, state.seed), "level");
    take("target", given.get("target"), names(index.targets), "target");
    take("method", given.get("method"), names(methods(index)), "method");
    take("with", given.get("with"), ["", ...names(methods(index))], "method");
    take("metric", given.get("metric"), names(index.metrics), "score");
    take("point", given.get("point"), [ALL, ...points(index, state.model)], "probe point");
    take("ground", given.get("ground"), GROUNDS, "ground");
    take("layer", given.get("layer"), names(named(index.models, state.model).layers), "layer");
    take("opacity", whole(given.get("opacity")), PERCENT, "opacity");
    take("raw", flag(given.get("raw")), [true, false], "choice of raw maps");
    take("outline", flag(given.get("outline")), [true, false], "choice of outline");
    take("mark", flag(given.get("mark")), [true, false], "choice of mark");
    return { state: fitting(index, state), problems };
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

  const choices = { ALL, USUAL, seeds, levels, points, checkpoint, methods, methodsOf, has };
  segcam.state = { ...choices, named, numberOf, first, fitting, read, write };
})();
