// What the atlas shows as one picture to take away: SVG with its maps inside, or PNG, with a caption.
(() => {
  "use strict";
  const { drawing } = segcam;
  const MARGIN = 14,
    LINE = 15, // pixels of a caption's line
    SCALE = 2; // of PNG: twice what is on the screen
  const INK = "#1d2226";
  const FONT = "Arial, Helvetica, 'DejaVu Sans', sans-serif";
  const STROKED = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-opacity", "vector-effect"];
  const WORDS = ".row-name, .column-name, .layer, .score, .rank, .letter, .change, .state, .row-why";

  const seen = (one) => one.offsetParent !== null && one.checkVisibility?.({ visibilityProperty: true }) !== false;

  /** Copy the lines over a map, with what the page's styles say of them. */
  function lines(svg, box) {
    const copy = svg.cloneNode(true);
    const from = svg.querySelectorAll("path, ellipse");
    copy.querySelectorAll("path, ellipse").forEach((one, at) => {
      const style = getComputedStyle(from[at]);
      for (const name of STROKED) one.setAttribute(name, style.getPropertyValue(name));
    });
    for (const [name, value] of Object.entries(box)) copy.setAttribute(name, value);
    return copy;
  }

  function text(words, x, y, size, more = {}) {
    return drawing("text", { x, y, "font-size": size, "font-family": FONT, fill: INK, ...more }, words);
  }

  /** Break words into lines of at most `most` letters. */
  function broken(words, most) {
    const out = [""];
    for (const word of words.split(" ")) {
      if (out.at(-1) && out.at(-1).length + word.length >= most) out.push(word);
      else out[out.length - 1] = out.at(-1) ? `${out.at(-1)} ${word}` : word;
    }
    return out;
  }

  /** Make an SVG of what is in a part of the page, where it stands there. */
  function made(place, caption) {
    const frame = place.getBoundingClientRect();
    const wide = place.scrollWidth,
      high = place.scrollHeight;
    const below = broken(caption, Math.max(40, Math.floor(wide / 6.2)));
    const [width, height] = [wide + 2 * MARGIN, high + 2 * MARGIN + LINE * (below.length + 0.5)];
    const at = (box) => [box.left - frame.left + place.scrollLeft + MARGIN, box.top - frame.top + place.scrollTop + MARGIN];
    const root = drawing("svg", { width, height, viewBox: `0 0 ${width} ${height}` });
    root.append(drawing("rect", { width, height, fill: "#fff" }));
    for (const stack of place.querySelectorAll(".stack")) {
      const box = stack.getBoundingClientRect();
      if (!seen(stack) || !box.width) continue;
      const [x, y] = at(box);
      const size = { x, y, width: box.width, height: box.height };
      const [img, canvas, svg] = stack.children;
      const source = img.hidden ? (canvas.hidden ? "" : canvas.toDataURL()) : img.src;
      const part = drawing("g");
      const clip = getComputedStyle(stack).clipPath.match(/inset\(.*?([\d.]+)%\)/);
      if (clip) {
        const cut = (box.width * Number(clip[1])) / 100;
        const id = `swipe-${root.childElementCount}`;
        const window = drawing("rect", { x: x + cut, y, width: box.width - cut, height: box.height });
        part.append(drawing("clipPath", { id }, window));
        part.setAttribute("clip-path", `url(#${id})`);
      }
      part.append(drawing("rect", { ...size, fill: "#000" }));
      if (source) part.append(drawing("image", { ...size, href: source, preserveAspectRatio: "none" }));
      part.append(lines(svg, size));
      root.append(part);
    }
    for (const one of place.querySelectorAll(WORDS)) {
      if (!one.textContent || !seen(one)) continue;
      const style = getComputedStyle(one);
      const size = parseFloat(style.fontSize);
      const box = one.getBoundingClientRect();
      const [x, y] = at(box);
      const fill = one.matches(".state") ? "#f0f0f0" : INK;
      const lines = broken(one.textContent, Math.max(8, Math.floor(box.width / (0.5 * size))));
      const shown = box.height > 1.8 * size ? lines : [one.textContent];
      shown.forEach((words, line) =>
        root.append(text(words, x, y + size * (1 + 1.25 * line), size, { "font-weight": style.fontWeight, fill })),
      );
    }
    below.forEach((words, line) => root.append(text(words, MARGIN, high + 2 * MARGIN + LINE * (line + 0.5), 11)));
    return { root, width, height };
  }

  function hand(blob, name) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  /** Save what is in a part of the page, with a caption, as 'svg' or 'png'. */
  async function save(place, caption, name, kind) {
    const { root, width, height } = made(place, caption);
    const svg = new Blob([new XMLSerializer().serializeToString(root)], { type: "image/svg+xml" });
    if (kind === "svg") return hand(svg, `${name}.svg`);
    const image = new Image();
    image.src = URL.createObjectURL(svg);
    await image.decode();
    const scale = Math.min(SCALE, 16000 / Math.max(width, height)); // more is more than browsers draw
    const canvas = Object.assign(document.createElement("canvas"), { width: width * scale, height: height * scale });
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    URL.revokeObjectURL(image.src);
    const png = await new Promise((done) => canvas.toBlob(done, "image/png"));
    if (!png) throw new Error("This browser does not draw a picture of this size: show fewer rows, or save it as SVG.");
    return hand(png, `${name}.png`);
  }

  segcam.picture = { save };
})();
