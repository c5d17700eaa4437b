// The atlas's keys: what each one changes.
(() => {
  "use strict";
  const { state: states } = segcam;
  const names = (list) => list.map((entry) => entry.name);

  /** The neighbour of a value in a list, around its ends or not. */
  function step(list, value, by, around = true) {
    const place = list.indexOf(value) + by;
    return list[around ? (place + list.length) % list.length : Math.min(list.length - 1, Math.max(0, place))];
  }

  const levels = (index, state) => states.levels(index, state.model, state.seed);

  /** The methods that can be gone through: those with maps here. */
  function methods(index, state) {
    const there = names(states.methodsOf(index, state));
    return there.length ? there : [state.method];
  }

  /** The images that can be gone through: those of which all maps are kept, or all others where one of these is shown. */
  function images(index, state) {
    const small = (image) => Boolean(image.file);
    const shown = states.named(index.images, state.image);
    return names(index.images.filter((image) => small(image) === small(shown)));
  }

  /** What makes the first state the second one, and the other way round. */
  function swapped(index, state) {
    if (!states.comparing(state)) return null;
    const b = states.other(index, state);
    const own = states.AXES.filter((name) => state[states.second(name)] !== "");
    const pairs = own.flatMap((name) => [
      [name, b[name]],
      [states.second(name), state[name]],
    ]);
    return Object.fromEntries(pairs);
  }

  const stopped = () => Object.fromEntries(states.AXES.map((name) => [states.second(name), ""]));

  /** What makes the state that is shown the second one, whatever the first becomes. */
  const pinned = (state) => Object.fromEntries(states.AXES.map((name) => [states.second(name), state[name]]));

  function compared(index, state) {
    if (states.comparing(state)) return stopped();
    const others = methods(index, state).filter((name) => name !== state.method);
    return others.length ? { "b-method": step(methods(index, state), state.method, 1) } : pinned(state);
  }

  const KEYS = {
    ArrowLeft: (index, state) => ({ image: step(images(index, state), state.image, -1) }),
    ArrowRight: (index, state) => ({ image: step(images(index, state), state.image, 1) }),
    ArrowUp: (index, state) => ({ level: step(levels(index, state), state.level, 1, false) }),
    ArrowDown: (index, state) => ({ level: step(levels(index, state), state.level, -1, false) }),
    m: (index, state) => ({ method: step(methods(index, state), state.method, 1) }),
    M: (index, state) => ({ method: step(methods(index, state), state.method, -1) }),
    t: (index, state) => ({ target: step(names(index.targets), state.target, 1) }),
    n: (index, state) => ({ model: step(names(index.models), state.model, 1) }),
    s: (index, state) => ({ seed: step(states.picturedSeeds(index, state.model), state.seed, 1) }),
    v: (_, state) => ({ rows: step(states.ROWS, state.rows, 1) }),
    c: compared,
    p: (_, state) => pinned(state),
    x: swapped,
    d: (_, state) => (states.comparing(state) ? { mode: step(states.MODES, state.mode, 1) } : null),
    e: (_, state) => ({ errors: !state.errors }),
    o: (_, state) => ({ outline: !state.outline }),
    r: (_, state) => ({ scale: step(states.SCALES, state.scale, 1) }),
    "[": (_, state) => ({ opacity: Math.max(0, state.opacity - 10) }),
    "]": (_, state) => ({ opacity: Math.min(100, state.opacity + 10) }),
  };

  /** While one map is large, arrows go through the layers. */
  const LARGE = { ArrowLeft: -1, ArrowRight: 1 };

  /** What a key changes, or null; `layers` are the names of those that are shown. */
  function pressed(key, index, state, layers) {
    if (state.layer && Object.hasOwn(LARGE, key)) {
      return layers.length ? { layer: step(layers, state.layer, LARGE[key]) } : null;
    }
    return Object.hasOwn(KEYS, key) ? KEYS[key](index, state) : null;
  }

  segcam.keys = { pressed, step, pinned, swapped, stopped };
})();
