// Maps as numbers: unpacked from an image's sheet, upsampled bilinearly and coloured as segcam/draw/display.py does.
(() => {
  "use strict";
  const { load, forget, unpack } = segcam;
  const KEPT = 24; // sheets in memory
  const BLANK = -1,
    UNDEFINED = -2;
  const FIRST_SCORE = 4; // a map's row: target, method, layer, tile, and then its scores
  const STEPS = 4096; // between zero and the upper end: a gamma below one parts the lowest values widely
  const opened = new Map();
  const photographs = new Map(); // address -> promise of the picture
  const grounds = new WeakMap(); // picture -> its pixels by kind and size
  let colours = new Uint8Array(256 * 3);
  let dimmed = 1; // the brightest that a photograph is beneath a map
  let powers = { true: [], false: [] }; // raw or not -> shares of the brightest colour

  /** Take the display transform: colours from zero to one, 256 times six hexadecimal digits, gamma and ground. */
  function paint(display) {
    colours = Uint8Array.from(display.colours.match(/../g), (pair) => parseInt(pair, 16));
    dimmed = display.dimmed;
    const shares = (gamma) => Float32Array.from({ length: STEPS + 1 }, (_, at) => (at / STEPS) ** gamma);
    powers = { true: shares(1), false: shares(display.gamma) };
  }

  /** Promise a photograph that can be drawn; null where there is none. */
  function photograph(url) {
    if (!url) return Promise.resolve(null);
    if (!photographs.has(url)) {
      const image = new Image();
      image.src = url;
      photographs.set(
        url,
        image.decode().then(() => image),
      );
    }
    return photographs.get(url);
  }

  /** The pixels that a map is drawn over: a photograph, grey or coloured, and dimmed; null is black. */
  function ground(picture, kind, width, height) {
    if (!picture || kind === "none") return null;
    if (!grounds.has(picture)) grounds.set(picture, new Map());
    const key = [kind, width, height].join(" ");
    const made = grounds.get(picture);
    if (!made.has(key)) {
      const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
      context.drawImage(picture, 0, 0, width, height);
      const { data } = context.getImageData(0, 0, width, height);
      const pixels = new Float32Array(3 * width * height);
      for (let at = 0; at < width * height; at++) {
        const grey = 0.299 * data[4 * at] + 0.587 * data[4 * at + 1] + 0.114 * data[4 * at + 2];
        for (let one = 0; one < 3; one++) pixels[3 * at + one] = dimmed * (kind === "grey" ? grey : data[4 * at + one]);
      }
      made.set(key, pixels);
    }
    return made.get(key);
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
      predicted: content.predicted,
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

  /**
   * Draw a map on a canvas: its colours are added to the ground, which fades where they are bright.
   *
   * `opacity`, 0 to 1, is how much of that there is; `raw` is linear up to the map's maximum. Without a map the ground
   * is hatched.
   */
  function draw(canvas, grid, { picture = null, kind = "none", opacity = 1, raw = false }) {
    const { width, height } = canvas;
    const context = canvas.getContext("2d");
    const under = ground(picture, kind, width, height);
    if (!grid) return hatch(context, under, width, height);
    const [left, top, wide, high, upper] = grid.place;
    const sheet = grid.picture;
    const across = between(width, wide),
      down = between(height, high);
    const image = context.createImageData(width, height);
    const scale = STEPS / (254 * (raw ? 1 : upper));
    const power = powers[raw];
    for (let y = 0, to = 0, from = 0; y < height; y++) {
      const one = (top + down.low[y]) * sheet.width + left;
      const two = (top + down.high[y]) * sheet.width + left;
      for (let x = 0; x < width; x++, to += 4, from += 3) {
        const share = across.share[x],
          a = across.low[x],
          b = across.high[x];
        const above = sheet.values[one + a] * (1 - share) + sheet.values[one + b] * share;
        const below = sheet.values[two + a] * (1 - share) + sheet.values[two + b] * share;
        const value = power[Math.min(STEPS, Math.round(scale * (above + (below - above) * down.share[y])))];
        const colour = 3 * Math.round(255 * value);
        for (let channel = 0; channel < 3; channel++) {
          const beneath = under ? under[from + channel] : 0;
          const blended = Math.min(255, colours[colour + channel] + beneath * (1 - value));
          image.data[to + channel] = Math.round(beneath + opacity * (blended - beneath));
        }
        image.data[to + 3] = 255;
      }
    }
    context.putImageData(image, 0, 0);
  }

  /** Draw a ground with stripes: what has no map looks like no map. */
  function hatch(context, under, width, height) {
    const image = context.createImageData(width, height);
    const period = Math.max(6, Math.round(Math.max(width, height) / 16));
    const stripe = Math.max(1, Math.floor(period / 4));
    for (let y = 0, to = 0, from = 0; y < height; y++) {
      for (let x = 0; x < width; x++, to += 4, from += 3) {
        const base = 76.5 + ((x + y) % period < stripe ? 41 : 0);
        for (let channel = 0; channel < 3; channel++)
          image.data[to + channel] = base + 0.6 * (under ? under[from + channel] : 0);
        image.data[to + 3] = 255;
      }
    }
    context.putImageData(image, 0, 0);
  }

  /** Draw the colours from left to right, evenly in the map's values from zero to its upper end. */
  function bar(canvas, raw) {
    const context = canvas.getContext("2d");
    const image = context.createImageData(canvas.width, 1);
    for (let x = 0; x < canvas.width; x++) {
      const colour = 3 * Math.round(255 * powers[raw][Math.round((STEPS * x) / (canvas.width - 1))]);
      image.data.set([colours[colour], colours[colour + 1], colours[colour + 2], 255], 4 * x);
    }
    context.putImageData(image, 0, 0);
  }

  segcam.maps = { paint, open, photograph, draw, bar };
})();
