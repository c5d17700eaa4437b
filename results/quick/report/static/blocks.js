// The columns of the atlas: layers by block, so that what stands before and after attention is in one column.
(() => {
  "use strict";
  const MOST = 4; // layers in a column
  const ENDS = ["input", "encoder", "decoder"];

  /** What layers of one column share: the stage of a convolutional network, or the number at the name's end. */
  function key(layer) {
    if (layer.role === "input") return "input";
    if (ENDS.includes(layer.role)) return `${layer.role} ${layer.stage}`;
    return `block ${/[\d_.]*$/.exec(layer.label)[0]}`;
  }

  /** The beginning that all names share, without what a number is joined by. */
  function shared(names, left = /[\s_.-]+$/) {
    let length = 0;
    while (names.every((name) => length < name.length && name[length] === names[0][length])) length++;
    return names[0].slice(0, length).replace(left, "");
  }

  /** What all paths begin with, up to a dot: of a network's own modules. */
  const path = (names) => (names.length > 1 ? /^(.*\.)?/.exec(shared(names, ""))[0] : "");

  function heading(names) {
    if (names.length === 1) return names[0];
    const start = shared(names);
    if (start) return start;
    const number = /[\d_.]*$/.exec(names[0])[0];
    return number ? `Block ${number}` : names[0];
  }

  /** Put layers, by depth, into columns: each a heading and its layers from top to bottom. */
  function columns(layers) {
    const out = [];
    for (const layer of layers) {
      const last = out.at(-1);
      const full = !last || last.key !== key(layer) || last.layers.length >= MOST;
      const again = last && !ENDS.includes(layer.role) && last.layers.some((one) => one.role === layer.role);
      if (full || again) out.push({ key: key(layer), layers: [layer] });
      else last.layers.push(layer);
    }
    const start = path(layers.map((layer) => layer.label));
    const short = (name) => (name.startsWith(start) ? name.slice(start.length) : name);
    return out.map((column) => ({ heading: heading(column.layers.map((layer) => short(layer.label))), layers: column.layers }));
  }

  segcam.blocks = { columns };
})();
