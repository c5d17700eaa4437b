// Tiles: an image with a map over it, the mask's outline and the explained pixel, and the words under it.
(() => {
  "use strict";
  const { element, drawing, maps } = segcam;
  const LONGER = 176; // pixels of a tile's canvas
  const MINUS = "\u2212",
    DASH = "\u2013";
  let numbered = 0; // clips have names of their own in the page

  /** A score in print, as under the printed figures. */
  function number(value, unit = "") {
    if (value === null || value === undefined) return DASH;
    const digits = Math.abs(value) >= 100 ? 0 : unit ? 1 : 2;
    const text = value.toFixed(digits);
    return (Number(text) === 0 ? text.replace("-", "") : text.replace("-", MINUS)) + (unit ? ` ${unit}` : "");
  }

  function size(image, longer) {
    const share = longer / Math.max(image.width, image.height);
    return [Math.max(1, Math.round(image.width * share)), Math.max(1, Math.round(image.height * share))];
  }

  /** The prediction over the photograph: a tint, or what it hits, misses and claims without cause. */
  function answer() {
    const clip = drawing("clipPath", { id: `truth-${++numbered}` }, drawing("path", { "clip-rule": "evenodd" }));
    const mask = drawing(
      "mask",
      { id: `known-${numbered}`, maskUnits: "userSpaceOnUse", x: 0, y: 0, width: 1000, height: 1000 },
      drawing("rect", { width: 1000, height: 1000, fill: "#fff" }),
      drawing("path", { fill: "#000", "fill-rule": "evenodd" }),
    );
    const part = (name, more = {}) => drawing("path", { class: name, "fill-rule": "evenodd", ...more });
    const parts = {
      alarm: part("alarm"),
      miss: part("miss"),
      hit: part("hit", { "clip-path": `url(#truth-${numbered})` }),
    };
    const errors = drawing("g", { mask: `url(#known-${numbered})` }, parts.alarm, parts.miss, parts.hit);
    const tint = part("predicted");
    const root = drawing("g", {}, clip, mask, errors, tint);

    function set({ truth, predicted, ignored, kind }) {
      tint.setAttribute("d", kind === "tint" ? predicted : "");
      clip.firstChild.setAttribute("d", truth);
      mask.lastChild.setAttribute("d", ignored);
      const shown = kind === "errors" ? { alarm: predicted, miss: truth, hit: predicted } : {};
      for (const [name, path] of Object.entries(parts)) path.setAttribute("d", shown[name] ?? "");
    }
    return { root, set };
  }

  /** An image with a map over it; `set` changes what it shows, so that sliding through levels does not flicker. */
  function stack(longer = LONGER) {
    const picture = element("img", { alt: "", class: "picture", hidden: true });
    const canvas = element("canvas", { "aria-hidden": "true" });
    const over = answer();
    const back = drawing("path", { class: "outline-back" }),
      line = drawing("path", { class: "outline-line" });
    const ringBack = drawing("ellipse", { class: "ring-back" }),
      ring = drawing("ellipse", { class: "ring-line" });
    const box = { viewBox: "0 0 1000 1000", preserveAspectRatio: "none", "aria-hidden": "true" };
    const lines = drawing("svg", box, over.root, back, line, ringBack, ring);
    const words = element("span", { class: "state" });
    const root = element("span", { class: "stack" }, picture, canvas, lines, words);
    let width = 0,
      height = 0;

    function look({ state, photograph, common }) {
      const { ground: kind, opacity, scale } = state;
      return { picture: photograph, kind, opacity: opacity / 100, scale, common };
    }

    /**
     * Show an image; `map` is null where there is none, and undefined where none is meant; `against` is another map
     * and its look, of which the difference is drawn.
     */
    function set(what) {
      const { image, state, map, outline, predicted = "", ignored = "", pixel, words: said = "", against } = what;
      const [wide, high] = size(image, longer);
      if (wide !== width || high !== height) {
        [canvas.width, canvas.height, width, height] = [wide, high, wide, high];
        root.style.aspectRatio = `${image.width} / ${image.height}`;
      }
      const plain = map === undefined;
      picture.hidden = !(plain && image.picture);
      if (!picture.hidden && picture.getAttribute("src") !== image.picture) picture.src = image.picture;
      canvas.hidden = plain;
      if (against) maps.difference(canvas, [map?.grid, against.map?.grid], [look(what), look(against)]);
      else if (!plain) maps.draw(canvas, map?.grid ?? null, look(what));
      const errors = plain && state.errors && predicted && image.masked;
      const kind = errors ? "errors" : plain && state.outline ? "tint" : "none";
      over.set({ truth: outline, predicted, ignored, kind });
      for (const path of [back, line]) path.setAttribute("d", state.outline ? outline : "");
      for (const circle of [ringBack, ring]) {
        const [x, y] = pixel && state.mark ? pixel : [-1, -1];
        circle.setAttribute("cx", 1000 * x);
        circle.setAttribute("cy", 1000 * y);
        circle.setAttribute("rx", (40 * image.height) / Math.max(image.width, image.height));
        circle.setAttribute("ry", (40 * image.width) / Math.max(image.width, image.height));
      }
      words.textContent = said || map?.state || (against && against.map?.state) || "";
    }
    return { root, set };
  }

  /** Where a score stands among all images: a mark on a line from the lowest to the highest, and in words. */
  function standing() {
    const mark = element("span", { class: "standing-mark" });
    const root = element("span", { class: "standing none" }, mark);
    function set(map, metric) {
      const percentile = map?.percentiles?.[metric?.name];
      const known = percentile !== null && percentile !== undefined;
      root.classList.toggle("none", !known);
      root.title = "";
      if (!known) return "";
      mark.style.left = `${percentile}%`;
      const text = `percentile ${Math.round(percentile)} among ${map.counts[metric.name]} images`;
      root.title = text;
      return text;
    }
    return { root, set };
  }

  /** The tile of a layer: a map, or two that are compared, each with its score and its place under it. */
  function tile(layer, letters, mode, open) {
    const pair = letters.length > 1;
    const stacks = (mode === "difference" && pair ? [0] : letters).map(() => stack());
    const frame = element("span", { class: pair ? `faces ${mode}` : "faces" }, ...stacks.map((one) => one.root));
    const button = element("button", { type: "button", class: "open" }, frame);
    button.addEventListener("click", () => open(layer));
    const places = letters.map(standing);
    const scores = letters.map(() => element("span", { class: "score" }));
    const ranks = letters.map(() => element("span", { class: "rank" }));
    const under = letters.map((letter, at) => {
      const name = pair ? element("b", { class: "letter" }, letter) : null;
      return element("span", { class: "scores" }, name, scores[at], ranks[at], places[at].root);
    });
    const change = pair ? element("span", { class: "change" }) : null;
    const name = element("span", { class: "layer" }, layer.label);
    const caption = element("figcaption", {}, name, ...under, change);
    const root = element("figure", { class: pair ? "tile pair" : "tile", "data-layer": layer.name }, button, caption);

    /** Show maps, one a side, each with its own image, look and words. */
    function set(sides, metric) {
      const drawn = sides.map((side) => ({ ...side, pixel: null, words: side.map ? "" : (side.why ?? "no map") }));
      if (mode === "difference" && pair) stacks[0].set({ ...drawn[0], against: drawn[1] });
      else drawn.forEach((side, at) => stacks[at].set(side));
      const values = sides.map((side) => side.map?.scores?.[metric?.name] ?? null);
      const texts = values.map((value) => number(value, metric?.unit));
      const stood = sides.map((side, at) => places[at].set(side.map, metric));
      sides.forEach((side, at) => {
        scores[at].textContent = texts[at];
        scores[at].classList.toggle("none", values[at] === null);
        const percentile = side.map?.percentiles?.[metric?.name];
        ranks[at].textContent = stood[at] ? `p${Math.round(percentile)}` : "";
        ranks[at].title = stood[at];
      });
      if (change) {
        const there = values[0] !== null && values[1] !== null;
        const by = there ? values[1] - values[0] : null;
        change.textContent = there ? `B${MINUS}A ${by > 0 ? "+" : ""}${number(by, metric?.unit)}` : "";
      }
      const said = sides.map((side, at) => [side.map ? side.map.state || texts[at] : "no map", stood[at]].filter(Boolean));
      const words = said.map((parts, at) => (pair ? `${letters[at]} ${parts.join(", ")}` : parts.join(", ")));
      button.setAttribute("aria-label", `${layer.label}: ${metric ? `${metric.label} ` : ""}${words.join("; ")}. Enlarge`);
    }
    return { root, set, layer };
  }

  /** The tile of the image without a map: photograph, outline, and what the network predicts. */
  function plainTile() {
    const one = stack();
    const under = element("span", { class: "score none" });
    const name = element("span", { class: "layer" });
    const scores = element("span", { class: "scores" }, under);
    const root = element("figure", { class: "tile plain" }, one.root, element("figcaption", {}, name, scores));
    function set(common, iou) {
      one.set({ ...common, map: undefined });
      const errors = common.state.errors && common.predicted && common.image.masked;
      name.textContent = errors ? "Errors" : common.image.picture ? "Image" : "Mask";
      under.textContent = iou === null || iou === undefined ? "" : `IoU ${number(iou)}`;
    }
    return { root, set };
  }

  segcam.tiles = { stack, tile, plainTile, number };
})();
