// Maps as numbers: unpacked from an image's sheet, upsampled bilinearly and coloured as segcam/draw/display.py does.
(() => {
  "use strict";
  const { load, forget, unpack } = segcam;
  const KEPT = 48; // sheets in memory
  const STEPS = 4096; // between zero and the upper end: a gamma below one parts the lowest values widely
  /** A difference from the second map's side to the first's, over black as over a dimmed photograph. */
  const APART = { one: [255, 170, 40], two: [60, 170, 255] };
  const opened = new Map();
  const photographs = new Map(); // address -> promise of the picture
  const grounds = new WeakMap(); // picture -> its pixels by kind and size
  let colours = new Uint8Array(256 * 3);
  let dimmed = 1; // the brightest that a photograph is beneath a map
  let powers = { linear: [], gamma: [] }; // shares of the brightest colour

  /** Take the display transform: colours from zero to one, 256 times six hexadecimal digits, gamma and ground. */
  function paint(display) {
    colours = Uint8Array.from(display.colours.match(/../g), (pair) => parseInt(pair, 16));
    dimmed = display.dimmed;
    const shares = (gamma) => Float32Array.from({ length: STEPS + 1 }, (_, at) => (at / STEPS) ** gamma);
    powers = { linear: shares(1), gamma: shares(display.gamma) };
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

  /** Promise the values of a sheet as shares of the maps' maxima: its bytes are 255 times their roots. */
  async function shares(url) {
    const image = new Image();
    image.src = url;
    await image.decode();
    const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    const { data, width } = context.getImageData(0, 0, canvas.width, canvas.height);
    return { width, values: Float32Array.from({ length: data.length / 4 }, (_, at) => (data[4 * at + 1] / 255) ** 2) };
  }

  async function read(name) {
    const { sheet, packed } = await load(name);
    const content = await unpack(packed);
    const [picture, table] = await Promise.all([
      sheet ? shares(sheet) : null,
      content.scores ? segcam.scatter.table(content.scores) : null, // small maps: their scores are with all others
    ]);
    forget(name);
    const rows = new Map(content.maps.map((row) => [row.slice(0, 3).join(" "), row]));
    const byMetric = (values) => Object.fromEntries((content.metrics ?? []).map((metric, at) => [metric, values?.[at]]));
    return {
      iou: (image) => (table ? table.iou(image) : content.iou),
      areas: content.areas,
      pixels: content.pixels,
      predicted: content.predicted,
      /** The map of a layer, for an image: its grid, or in words why there is none to draw, and its scores. */
      find(target, method, layer, image) {
        const row = rows.get([target, method, content.layers.indexOf(layer)].join(" "));
        if (!row) return null;
        const [, , , tile, upper, peak, scores, percentiles, counts] = row;
        const state = tile < 0 ? content.reasons[-1 - tile] : "";
        const grid = state ? null : { picture, place: content.tiles[tile], upper, peak };
        if (table) return { state, grid, ...table.standing(image, layer) };
        return { state, grid, scores: byMetric(scores), percentiles: byMetric(percentiles), counts: byMetric(counts) };
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

  /** What a map's values are drawn by on a scale: the value with the brightest colour; `common` is that of several. */
  const end = (grid, scale, common) => ({ robust: grid.upper, own: grid.peak, common: common ?? grid.upper })[scale];

  /** A map on a canvas's pixels, as shares of the brightest colour. */
  function upsampled(grid, width, height, scale, common) {
    const [left, top, wide, high] = grid.place;
    const sheet = grid.picture;
    const across = between(width, wide),
      down = between(height, high);
    const steps = (STEPS * grid.peak) / end(grid, scale, common);
    const power = scale === "own" ? powers.linear : powers.gamma;
    const out = new Float32Array(width * height);
    for (let y = 0, to = 0; y < height; y++) {
      const one = (top + down.low[y]) * sheet.width + left;
      const two = (top + down.high[y]) * sheet.width + left;
      for (let x = 0; x < width; x++, to++) {
        const share = across.share[x],
          a = across.low[x],
          b = across.high[x];
        const above = sheet.values[one + a] * (1 - share) + sheet.values[one + b] * share;
        const below = sheet.values[two + a] * (1 - share) + sheet.values[two + b] * share;
        out[to] = power[Math.min(STEPS, Math.round(steps * (above + (below - above) * down.share[y])))];
      }
    }
    return out;
  }

  /** Put on a canvas what is added to a ground, pixel by pixel: `colour(at)` and how much the ground fades there. */
  function put(canvas, under, opacity, colour, fade) {
    const { width, height } = canvas;
    const context = canvas.getContext("2d");
    const image = context.createImageData(width, height);
    for (let at = 0; at < width * height; at++) {
      const added = colour(at),
        rest = 1 - fade(at);
      for (let channel = 0; channel < 3; channel++) {
        const beneath = under ? under[3 * at + channel] : 0;
        const blended = Math.min(255, added[channel] + beneath * rest);
        image.data[4 * at + channel] = Math.round(beneath + opacity * (blended - beneath));
      }
      image.data[4 * at + 3] = 255;
    }
    context.putImageData(image, 0, 0);
  }

  /**
   * Draw a map on a canvas: its colours are added to the ground, which fades where they are bright.
   *
   * `opacity`, 0 to 1, is how much of that there is; `scale` is where the brightest colour is: at the map's 'robust'
   * upper end, at its 'own' maximum, linearly, or at the `common` one. Without a map the ground is hatched.
   */
  function draw(canvas, grid, { picture = null, kind = "none", opacity = 1, scale = "robust", common = null }) {
    const { width, height } = canvas;
    const under = ground(picture, kind, width, height);
    if (!grid) return hatch(canvas.getContext("2d"), under, width, height);
    const values = upsampled(grid, width, height, scale, common);
    const table = Array.from({ length: 256 }, (_, at) => colours.subarray(3 * at, 3 * at + 3));
    put(
      canvas,
      under,
      opacity,
      (at) => table[Math.round(255 * values[at])],
      (at) => values[at],
    );
  }

  /** Draw how far a map is above another one, each by its end: orange where the first is higher, blue where lower. */
  function difference(canvas, grids, looks) {
    const { width, height } = canvas;
    const under = ground(looks[0].picture, looks[0].kind, width, height)?.map((value) => value / 2);
    if (grids.some((grid) => !grid)) return hatch(canvas.getContext("2d"), under, width, height);
    const [one, two] = grids.map((grid, at) => upsampled(grid, width, height, looks[at].scale, looks[at].common));
    const colour = new Float32Array(3);
    put(
      canvas,
      under,
      looks[0].opacity,
      (at) => {
        const by = one[at] - two[at];
        const full = by > 0 ? APART.one : APART.two;
        for (let channel = 0; channel < 3; channel++) colour[channel] = Math.abs(by) * full[channel];
        return colour;
      },
      (at) => Math.abs(one[at] - two[at]),
    );
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

  /** Draw the colours from left to right, evenly in the map's values from zero to its end; or those of a difference. */
  function bar(canvas, scale, apart) {
    const context = canvas.getContext("2d");
    const image = context.createImageData(canvas.width, 1);
    const power = scale === "own" ? powers.linear : powers.gamma;
    for (let x = 0; x < canvas.width; x++) {
      const share = x / (canvas.width - 1);
      const by = 2 * share - 1;
      const colour = apart
        ? (by > 0 ? APART.one : APART.two).map((channel) => Math.abs(by) * channel)
        : colours.subarray(3 * Math.round(255 * power[Math.round(STEPS * share)])).subarray(0, 3);
      image.data.set([...colour, 255], 4 * x);
    }
    context.putImageData(image, 0, 0);
  }

  segcam.maps = { paint, open, photograph, draw, difference, bar };
})();
