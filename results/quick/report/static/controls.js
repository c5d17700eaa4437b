// The atlas's controls: what can be chosen, and what is.
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
  const SAME = "as A";
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
    select.title = select.selectedOptions[0]?.label ?? ""; // where there is no room for all of it
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

  /** The images of which all maps are kept as pictures to choose from, made once. */
  function images(index, state) {
    const outline = states.named(index.targets, state.target)?.number;
    at("images").replaceChildren(
      ...index.images.flatMap((image, number) => (image.file ? [] : [choice(image, number, outline)])),
    );
  }

  function choice(image, number, outline) {
    const one = tiles.stack(64);
    const look = { ...states.USUAL, mark: false, outline: !image.picture };
    one.set({ image, state: look, map: undefined, outline: image.outlines[outline] ?? "", pixel: null });
    const input = element("input", { type: "radio", name: "image", value: number, id: `image-${number}` });
    const name = element("span", { class: "image-name" }, element("bdi", {}, image.label));
    return element("label", { class: "image", title: image.label }, input, one.root, name);
  }

  /** What each axis may be, for one of the two states. */
  function entries(index, state) {
    const labelled = (list) => list.map(({ name, label }) => ({ value: name, label }));
    const several = new Set(index.targets.map((target) => target.class)).size > 1;
    return {
      image: labelled(index.images),
      model: labelled(index.models),
      seed: states.picturedSeeds(index, state.model).map((seed) => ({ value: seed, label: String(seed) })),
      level: states.levels(index, state.model, state.seed).map((level) => {
        const point = states.checkpoint(index, { ...state, level });
        return { value: level, label: (point?.name ?? String(level)) + (point?.reached ? "" : ", not reached") };
      }),
      target: index.targets.map((target) => ({ value: target.name, label: several ? `${target.label} (${target.class})` : target.label })),
    };
  }

  /** Bring all controls in line with a state. */
  function sync(index, state) {
    for (const radio of at("images").querySelectorAll("input"))
      radio.checked = index.images[Number(radio.value)].name === state.image;
    const chosen = at("images").querySelector(":checked");
    if (chosen && document.activeElement?.name === "image") chosen.focus(); // keys have chosen another one
    const one = entries(index, state);
    for (const [name, list] of Object.entries(one)) options(at(name), list, state[name]);
    options(
      at("metric"),
      index.metrics.map(({ name, label }) => ({ value: name, label })),
      state.metric,
    );
    const points = states.points(index, state.model).map((point) => ({ value: point, label: point || "output" }));
    options(at("point"), points.length > 1 ? [...points, { value: states.ALL, label: "all" }] : points, state.point);
    methodOptions(at("method"), index, state, state.method, "");
    const many = { level: one.level, method: states.methodsOf(index, state), ...{ model: one.model, seed: one.seed, target: one.target } };
    for (const option of at("rows").options) option.hidden = option.value !== "" && many[option.value].length < 2;
    at("rows").value = state.rows;
    compared(index, state);
    at("opacity").value = state.opacity;
    at("opacity-value").textContent = `${state.opacity} %`;
    at("ground").value = state.ground;
    const pictures = index.photographs || index.images.some((image) => image.picture);
    at("ground-control").hidden = !pictures;
    at("opacity-control").hidden = !pictures;
    at("opacity").disabled = state.ground === "none"; // nothing to be seen through the map
    at("scale").value = state.scale;
    for (const name of ["outline", "mark", "errors"]) at(name).checked = state[name];
  }

  /** The second state: what differs from the first, axis by axis. */
  function compared(index, state) {
    const on = states.comparing(state);
    const b = states.other(index, state);
    for (const [name, list] of Object.entries(entries(index, b)))
      options(at(`b-${name}`), [{ value: "", label: SAME }, ...list], state[states.second(name)]);
    methodOptions(at("b-method"), index, b, state["b-method"], SAME);
    at("mode").value = state.mode;
    at("swipe-control").hidden = !on || state.mode !== "swipe";
    at("blink").hidden = !on || state.mode !== "blink";
    for (const id of ["swap", "stop"]) at(id).disabled = !on;
    if (on) at("comparing").open = true;
  }

  segcam.controls = { images, sync };
})();
