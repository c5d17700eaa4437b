// Maps as numbers: unpacked from an image's sheet, upsampled bilinearly and coloured.
(() => {
  "use strict";
  const { load, forget, unpack } = segcam;
  const KEPT = 24; // sheets in memory
  const BLANK = -1,
    UNDEFINED = -2;
  const FIRST_SCORE = 4; // a map's row: target, method, layer, tile, and then its scores
  const opened = new Map();
  let colours = new Uint8Array(256 * 3);

  /** Take the colours from zero to one: 256 times six hexadecimal digits. */
  function paint(hex) {
    colours = Uint8Array.from(hex.match(/../g), (pair) => parseInt(pair, 16));
  }

  /** Promise the bytes of a sheet: red, green and blue are the same, and only one is kept. */
  async function bytes(url) {
    const image = new Image();
    image.src = url;
    await image.decode();
    const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    const { data, width } = context.getImageData(0, 0, canvas.width, canvas.height);
    return { width, values: Uint8Array.from({ length: data.length / 4 }, (_, at) => data[4 * at]) };
  }

  async function read(name) {
    const { sheet, packed } = await load(name);
    const content = await unpack(packed);
    const picture = sheet ? await bytes(sheet) : null;
    forget(name);
    const rows = new Map(content.maps.map((row) => [row.slice(0, 3).join(" "), row]));
    return {
      agreement: content.agreement,
      areas: content.areas,
      pixels: content.pixels,
      /** The map of a layer: its grid, or in words why there is none to draw, and its scores by metric. */
      find(target, method, layer) {
        const row = rows.get([target, method, content.layers.indexOf(layer)].join(" "));
        if (!row) return null;
        const scores = Object.fromEntries(content.metrics.map((metric, at) => [metric, row[FIRST_SCORE + at]]));
        const state = { [BLANK]: "blank", [UNDEFINED]: "undefined" }[row[3]] ?? "";
        return { scores, state, grid: state ? null : { picture, place: content.tiles[row[3]] } };
      },
    };
  }

  /** Promise the maps of a checkpoint and image; the last ones used stay in memory. */
  function open(name) {
    const content = opened.get(name) ?? read(name);
    opened.delete(name);
    opened.set(name, content);
    content.catch(() => opened.delete(name));
    if (opened.size > KEPT) opened.delete(opened.keys().next().value);
    return content;
  }

  /** For each pixel along a side the two cells that it lies between, and how far; grid points are cells' centres. */
  function between(pixels, cells) {
    const low = new Uint16Array(pixels),
      high = new Uint16Array(pixels),
      share = new Float32Array(pixels);
    for (let at = 0; at < pixels; at++) {
      const where = Math.min(cells - 1, Math.max(0, ((at + 0.5) * cells) / pixels - 0.5));
      low[at] = Math.floor(where);
      high[at] = Math.min(cells - 1, low[at] + 1);
      share[at] = where - low[at];
    }
    return { low, high, share };
  }

  /** Draw a map on a canvas; opacity 0 to 1: the higher the map, the more opaque, and at 1 all of it. */
  function draw(canvas, grid, opacity) {
    const { width, height } = canvas;
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, width, height);
    if (!grid) return;
    const {
      picture,
      place: [left, top, wide, high],
    } = grid;
    const across = between(width, wide),
      down = between(height, high);
    const image = context.createImageData(width, height);
    let to = 0;
    for (let y = 0; y < height; y++) {
      const one = (top + down.low[y]) * picture.width + left;
      const two = (top + down.high[y]) * picture.width + left;
      for (let x = 0; x < width; x++) {
        const share = across.share[x],
          a = across.low[x],
          b = across.high[x];
        const upper = picture.values[one + a] * (1 - share) + picture.values[one + b] * share;
        const lower = picture.values[two + a] * (1 - share) + picture.values[two + b] * share;
        const value = Math.min(1, (upper + (lower - upper) * down.share[y]) / 254);
        const colour = 3 * Math.round(255 * value);
        image.data[to] = colours[colour];
        image.data[to + 1] = colours[colour + 1];
        image.data[to + 2] = colours[colour + 2];
        image.data[to + 3] = Math.round(255 * opacity * (value + (1 - value) * opacity));
        to += 4;
      }
    }
    context.putImageData(image, 0, 0);
  }

  /** Draw the colours from zero to one from left to right. */
  function bar(canvas) {
    const context = canvas.getContext("2d");
    const image = context.createImageData(canvas.width, 1);
    for (let x = 0; x < canvas.width; x++) {
      const colour = 3 * Math.round((255 * x) / (canvas.width - 1));
      image.data.set([colours[colour], colours[colour + 1], colours[colour + 2], 255], 4 * x);
    }
    context.putImageData(image, 0, 0);
  }

  segcam.maps = { paint, open, draw, bar };
})();
