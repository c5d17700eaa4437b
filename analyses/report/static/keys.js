// The gallery's keys: what each one changes.
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

  /** The methods that can be gone through: those with maps here, but for the one compared with. */
  function methods(index, state) {
    const others = names(states.methodsOf(index, state)).filter((name) => name !== state.with);
    return others.length ? others : [state.method];
  }

  const KEYS = {
    ArrowLeft: (index, state) => ({ image: step(names(index.images), state.image, -1) }),
    ArrowRight: (index, state) => ({ image: step(names(index.images), state.image, 1) }),
    ArrowUp: (index, state) => ({ level: step(levels(index, state), state.level, 1, false) }),
    ArrowDown: (index, state) => ({ level: step(levels(index, state), state.level, -1, false) }),
    m: (index, state) => ({ method: step(methods(index, state), state.method, 1) }),
    M: (index, state) => ({ method: step(methods(index, state), state.method, -1) }),
    t: (index, state) => ({ target: step(names(index.targets), state.target, 1) }),
    n: (index, state) => ({ model: step(names(index.models), state.model, 1) }),
    s: (index, state) => ({ seed: step(states.seeds(index, state.model), state.seed, 1) }),
    c: (index, state) => ({ with: state.with ? "" : step(methods(index, state), state.method, 1) }),
    x: (_, state) => (state.with ? { method: state.with, with: state.method } : null),
    o: (_, state) => ({ outline: !state.outline }),
    r: (_, state) => ({ raw: !state.raw }),
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

  segcam.keys = { pressed };
})();
