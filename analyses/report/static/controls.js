// The gallery's controls: what can be chosen, and what is.
(() => {
  "use strict";
  const { element, tiles, state: states } = segcam;
  const at = (id) => document.getElementById(id);
  const KINDS = {
    gradient: "From gradients",
    attention: "From attention",
    run: "With passes of their own",
    control: "Controls, which see no class",
  };
  /** Fill a list where its choices are others than before; a list that is in use is left alone. */
  function refill(select, choices, make) {
    const key = JSON.stringify(choices);
    if (select.dataset.choices === key) return;
    select.dataset.choices = key;
    select.replaceChildren(...make());
  }

  /** A list of choices; of one alone there is nothing to choose, and it is not shown. */
  function options(select, entries, chosen) {
    refill(select, entries, () => entries.map(({ value, label }) => element("option", { value }, label)));
    select.value = chosen;
    select.closest(".control").hidden = entries.length < 2;
  }

  /** Methods in groups of their kinds; those without maps here cannot be chosen. */
  function methodOptions(select, index, state, chosen, none) {
    const there = new Set(states.methodsOf(index, state).map((method) => method.name));
    const groups = new Map();
    for (const method of states.methods(index)) groups.set(method.kind, [...(groups.get(method.kind) ?? []), method]);
    const option = ({ name, label }) =>
      element("option", { value: name, disabled: !there.has(name) && name !== chosen }, label);
    const group = ([kind, list]) => element("optgroup", { label: KINDS[kind] ?? kind }, ...list.map(option));
    refill(select, [[...there], there.has(chosen) ? "" : chosen], () => [
      ...(none ? [element("option", { value: "" }, none)] : []),
      ...[...groups].map(group),
    ]);
    select.value = chosen;
  }

  /** The images as pictures to choose from, made once. */
  function images(index, state) {
    const outline = states.named(index.targets, state.target)?.number;
    at("images").replaceChildren(
      ...index.images.map((image, number) => {
        const one = tiles.stack(64);
        one.set({
          image,
          state: { ...states.USUAL, mark: false, outline: !image.picture },
          map: undefined,
          outline: image.outlines[outline] ?? "",
          pixel: null,
        });
        const input = element("input", { type: "radio", name: "image", value: number, id: `image-${number}` });
        return element(
          "label",
          { class: "image", title: image.name },
          input,
          one.root,
          element("span", { class: "image-name" }, element("bdi", {}, image.name)),
        );
      }),
    );
  }

  /** Bring all controls in line with a state. */
  function sync(index, state) {
    const radio = at(`image-${states.numberOf(index.images, state.image)}`);
    radio.checked = true;
    if (document.activeElement?.name === "image") radio.focus(); // keys have chosen another one
    const labelled = (list) => list.map(({ name, label }) => ({ value: name, label }));
    const seeds = states.seeds(index, state.model).map((seed) => ({ value: seed, label: String(seed) }));
    const targets = index.targets.map((target) => ({ value: target.name, label: `${target.label} (${target.class})` }));
    options(at("model"), labelled(index.models), state.model);
    options(at("seed"), seeds, state.seed);
    options(at("target"), targets, state.target);
    options(at("metric"), labelled(index.metrics), state.metric);
    const points = states.points(index, state.model).map((point) => ({ value: point, label: point || "output" }));
    options(at("point"), points.length > 1 ? [...points, { value: states.ALL, label: "all" }] : points, state.point);
    methodOptions(at("method"), index, state, state.method, "");
    methodOptions(at("with"), index, state, state.with, "nothing");
    const levels = states.levels(index, state.model, state.seed);
    at("level").max = Math.max(0, levels.length - 1);
    at("level").value = levels.indexOf(state.level);
    at("level").disabled = levels.length < 2;
    at("level-ticks").replaceChildren(
      ...levels.map((level) => {
        const point = states.checkpoint(index, { ...state, level });
        return element("span", { class: point?.reached ? "tick" : "tick unreached" }, point?.name ?? "");
      }),
    );
    at("opacity").value = state.opacity;
    at("opacity-value").textContent = `${state.opacity} %`;
    at("ground").value = state.ground;
    const pictures = index.images.some((image) => image.picture);
    at("ground-control").hidden = !pictures;
    at("opacity-control").hidden = !pictures;
    at("opacity").disabled = state.ground === "none"; // nothing to be seen through the map
    at("raw").checked = state.raw;
    at("outline").checked = state.outline;
    at("mark").checked = state.mark;
  }

  segcam.controls = { images, sync };
})();
