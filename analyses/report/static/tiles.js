// Tiles: an image with a map over it, the mask's outline and the explained pixel, and the words under it.
(() => {
  "use strict";
  const { element, drawing, maps } = segcam;
  const LONGER = 176; // pixels of a tile's canvas
  const MINUS = "\u2212",
    DASH = "\u2013";

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

  /** An image with a map over it; `set` changes what it shows, so that sliding through levels does not flicker. */
  function stack(longer = LONGER) {
    const picture = element("img", { alt: "", class: "picture", hidden: true });
    const canvas = element("canvas", { "aria-hidden": "true" });
    const tint = drawing("path", { class: "predicted", "fill-rule": "evenodd" });
    const back = drawing("path", { class: "outline-back" }),
      line = drawing("path", { class: "outline-line" });
    const ringBack = drawing("ellipse", { class: "ring-back" }),
      ring = drawing("ellipse", { class: "ring-line" });
    const box = { viewBox: "0 0 1000 1000", preserveAspectRatio: "none", "aria-hidden": "true" };
    const lines = drawing("svg", box, tint, back, line, ringBack, ring);
    const words = element("span", { class: "state" });
    const root = element("span", { class: "stack" }, picture, canvas, lines, words);
    let width = 0,
      height = 0;

    /** Show an image; `map` is null where there is none, and undefined where none is meant. */
    function set({ image, state, map, photograph, outline, predicted = "", pixel, words: said = "" }) {
      const [wide, high] = size(image, longer);
      if (wide !== width || high !== height) {
        [canvas.width, canvas.height, width, height] = [wide, high, wide, high];
        root.style.aspectRatio = `${image.width} / ${image.height}`;
      }
      const plain = map === undefined;
      picture.hidden = !(plain && image.picture);
      if (!picture.hidden && picture.getAttribute("src") !== image.picture) picture.src = image.picture;
      canvas.hidden = plain;
      const look = { picture: photograph, kind: state.ground, opacity: state.opacity / 100, raw: state.raw };
      if (!plain) maps.draw(canvas, map?.grid ?? null, look);
      tint.setAttribute("d", plain && state.outline ? predicted : "");
      for (const path of [back, line]) path.setAttribute("d", state.outline ? outline : "");
      for (const circle of [ringBack, ring]) {
        const [x, y] = pixel && state.mark ? pixel : [-1, -1];
        circle.setAttribute("cx", 1000 * x);
        circle.setAttribute("cy", 1000 * y);
        circle.setAttribute("rx", (40 * image.height) / Math.max(image.width, image.height));
        circle.setAttribute("ry", (40 * image.width) / Math.max(image.width, image.height));
      }
      words.textContent = said || map?.state || "";
    }
    return { root, set };
  }

  /** The tile of a layer: a map, or two side by side, each with its score under it. */
  function tile(layer, sides, open) {
    const stacks = sides.map(() => stack());
    const button = element("button", { type: "button", class: "open" }, ...stacks.map((one) => one.root));
    button.addEventListener("click", () => open(layer));
    const scores = sides.map(() => element("span", { class: "score" }));
    const change = sides.length > 1 ? element("span", { class: "change" }) : null;
    const caption = element(
      "figcaption",
      {},
      element("span", { class: "layer" }, layer.label),
      element("span", { class: "scores" }, ...scores, change),
    );
    const root = element(
      "figure",
      { class: sides.length > 1 ? "tile pair" : "tile", "data-layer": layer.name },
      button,
      caption,
    );

    function set(common, sideMaps, metric) {
      const values = sideMaps.map((map) => map?.scores[metric?.name] ?? null);
      const texts = values.map((value) => number(value, metric?.unit));
      sideMaps.forEach((map, at) => {
        stacks[at].set({ ...common, pixel: null, map, words: map ? "" : "no map" });
        scores[at].textContent = texts[at];
        scores[at].classList.toggle("none", values[at] === null);
      });
      if (change) {
        const there = values[0] !== null && values[1] !== null;
        const by = there ? values[1] - values[0] : null;
        change.textContent = there ? `B${MINUS}A ${by > 0 ? "+" : ""}${number(by, metric?.unit)}` : "";
      }
      const states = sideMaps.map((map, at) => `${sides[at]} ${map ? map.state || texts[at] : "no map"}`);
      button.setAttribute(
        "aria-label",
        `${layer.label}: ${metric ? `${metric.label} ` : ""}${states.join(", ")}. Enlarge`,
      );
    }
    return { root, set, layer };
  }

  /** The tile of the image without a map. */
  function plainTile() {
    const one = stack();
    const under = element("span", { class: "score none" });
    const name = element("span", { class: "layer" });
    const root = element(
      "figure",
      { class: "tile" },
      one.root,
      element("figcaption", {}, name, element("span", { class: "scores" }, under)),
    );
    function set(common, agreement) {
      one.set({ ...common, map: undefined });
      name.textContent = common.image.picture ? "Image" : "Mask";
      under.textContent = agreement ? `prediction: ${agreement}` : "";
    }
    return { root, set };
  }

  segcam.tiles = { stack, tile, plainTile, number };
})();
