"use strict";
const facts = JSON.parse(document.getElementById("facts").textContent);
const steps = JSON.parse(document.getElementById("steps").textContent);
const at = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const ARROWS = { higher: " ↑", lower: " ↓", none: "" };
const chosen = { metric: 0, method: 0, image: -1, step: steps.length - 1, layer: -1 };

function made(name, attributes, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

function mean(values) {
  const known = values.filter((value) => value !== null && value !== undefined);
  return known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : null;
}

/* What a step has of one layer: of the chosen image, or the mean over all. */
function value(step, metric, layer, method, image = chosen.image) {
  const count = facts.images.length;
  const first = (layer * facts.methods.length + method) * count;
  const values = step.values[metric].slice(first, first + count);
  return image < 0 ? mean(values) : values[image];
}

function ofImage(step, column) {
  const values = step.images[column];
  return chosen.image < 0 ? mean(values) : values[chosen.image];
}

/* From blue over green to orange: from the first layer to the last, on both grounds. */
function colour(layer) {
  const share = facts.layers.length > 1 ? layer / (facts.layers.length - 1) : 0;
  return `hsl(${225 - 200 * share} 70% ${52 - 6 * Math.sin(Math.PI * share)}%)`;
}

function shown(number) {
  if (number === null || number === undefined) return "–";
  return Math.abs(number) >= 1000 || (number !== 0 && Math.abs(number) < 0.001) ? number.toExponential(1) : String(Number(number.toPrecision(3)));
}

function ticks(low, high, count) {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const size = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= rough);
  const marks = [];
  for (let mark = Math.ceil(low / size) * size; mark <= high + size * 1e-6; mark += size) marks.push(Number(mark.toPrecision(10)));
  return marks;
}

function plot(svg, lines, height) {
  const width = 960, left = 56, right = 14, top = 8, bottom = 24;
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.replaceChildren();
  const known = lines.flatMap((line) => line.values).filter((one) => one !== null && one !== undefined);
  let low = known.length ? Math.min(...known) : 0, high = known.length ? Math.max(...known) : 1;
  if (low === high) { low -= 0.5; high += 0.5; }
  const numbers = steps.map((step) => step.step);
  const first = numbers[0], last = numbers[numbers.length - 1];
  const x = (step) => left + (width - left - right) * (last > first ? (step - first) / (last - first) : 0.5);
  const y = (number) => height - bottom - (height - bottom - top) * (number - low) / (high - low);
  for (const mark of ticks(low, high, Math.max(2, height / 60))) {
    svg.append(made("line", { x1: left, x2: width - right, y1: y(mark), y2: y(mark), class: "grid" }));
    svg.append(made("text", { x: left - 6, y: y(mark) + 4, "text-anchor": "end" }, shown(mark)));
  }
  for (const mark of ticks(first, last, 10).filter(Number.isInteger)) {
    svg.append(made("text", { x: x(mark), y: height - 6, "text-anchor": "middle" }, String(mark)));
  }
  svg.append(made("line", { x1: left, x2: width - right, y1: height - bottom, y2: height - bottom, class: "axis" }));
  const now = x(numbers[chosen.step]);
  svg.append(made("line", { x1: now, x2: now, y1: top, y2: height - bottom, class: "now" }));
  for (const line of lines) {
    let path = "", begun = false;
    line.values.forEach((number, n) => {
      if (number === null || number === undefined) { begun = false; return; }
      path += `${begun ? "L" : "M"}${x(numbers[n]).toFixed(1)} ${y(number).toFixed(1)}`;
      begun = true;
    });
    const curve = made("path", { d: path, class: `curve${line.off ? " off" : ""}`, stroke: line.colour });
    curve.append(made("title", {}, line.name));
    svg.append(curve);
    line.values.forEach((number, n) => {
      const alone = [n - 1, n + 1].every((other) => line.values[other] === null || line.values[other] === undefined);
      if (alone && number !== null && number !== undefined) svg.append(made("circle", { cx: x(numbers[n]), cy: y(number), r: 2.5, fill: line.colour }));
    });
  }
}

function drawCurves() {
  const metric = facts.metrics[chosen.metric];
  plot(at("curves"), facts.layers.map((layer, n) => ({
    name: layer.label, colour: colour(n), off: chosen.layer >= 0 && chosen.layer !== n,
    values: steps.map((step) => value(step, metric.name, n, chosen.method)),
  })), 300);
  at("summary").textContent = `${metric.label}${ARROWS[metric.direction]}${metric.unit ? ` (${metric.unit})` : ""}: ${metric.summary}. ` +
    (facts.region === "mask" ? "Measured against the true mask." : "Measured against the region that is predicted at each step, as there are no masks.");
  const masked = facts.region === "mask", column = masked ? "class_iou" : "predicted_share";
  plot(at("prediction"), [{ name: column, colour: "currentColor", values: steps.map((step) => ofImage(step, column)) }], 110);
  at("prediction-words").textContent = masked ? "Above: IoU of the predicted class with the mask." : "Above: share of the pixels that are predicted as the class.";
}

function drawMaps() {
  const [rows, columns] = facts.cell, step = steps[chosen.step], across = facts.layers.length + 1;
  at("number").textContent = step.step;
  at("step").setAttribute("aria-valuetext", `step ${step.step}`);
  let pictured = chosen.step;
  while (pictured > 0 && !steps[pictured].picture) pictured -= 1;
  const picture = steps[pictured].picture;
  const images = [...Array(facts.pictures).keys()].filter((image) => chosen.image < 0 ? image === 0 : image === chosen.image);
  const cells = [];
  for (const image of images) {
    for (let column = 0; column < across; column += 1) {
      const box = document.createElement("div"), cell = document.createElement("div"), words = document.createElement("p");
      cell.className = "cell";
      cell.style.aspectRatio = `${columns} / ${rows}`;
      if (picture) {
        cell.style.backgroundImage = `url(${picture})`;
        cell.style.backgroundSize = `${100 * across}% ${100 * facts.pictures}%`;
        cell.style.backgroundPosition = `${across > 1 ? 100 * column / (across - 1) : 0}% ${facts.pictures > 1 ? 100 * image / (facts.pictures - 1) : 0}%`;
      } else {
        cell.classList.add("none");
        cell.textContent = "no picture";
      }
      const layer = facts.layers[column - 1];
      const score = layer ? value(step, facts.metrics[chosen.metric].name, column - 1, facts.methods.indexOf(facts.drawn), image) : null;
      words.textContent = layer ? `${layer.label}: ${shown(score)}` : `${facts.images[image]}: prediction`;
      cell.setAttribute("role", "img");
      cell.setAttribute("aria-label", words.textContent);
      box.append(cell, words);
      cells.push(box);
    }
  }
  at("maps").replaceChildren(...cells);
  const first = facts.region === "mask" ? "First: hits green, misses blue, false alarms orange; then" : "First: the prediction in pink; then";
  const where = images.length ? `${first} ${facts.labels[facts.methods.indexOf(facts.drawn)]} by layer, with the score under each` : "No maps are drawn of this image";
  const when = pictured === chosen.step ? "" : ` Pictures are those of step ${steps[pictured].step}.`;
  at("maps-words").textContent = `${where}.${when}`;
}

function drawNumbers() {
  const head = document.createElement("tr"), step = steps[chosen.step], rows = [head];
  for (const name of ["Layer", ...facts.metrics.map((metric) => metric.label + ARROWS[metric.direction])]) {
    const cell = document.createElement("th");
    cell.textContent = name;
    head.append(cell);
  }
  facts.layers.forEach((layer, n) => {
    const row = document.createElement("tr"), name = document.createElement("th");
    name.textContent = layer.label;
    row.append(name);
    for (const metric of facts.metrics) {
      const cell = document.createElement("td");
      cell.textContent = shown(value(step, metric.name, n, chosen.method));
      row.append(cell);
    }
    rows.push(row);
  });
  at("numbers").replaceChildren(...rows);
}

function draw() { drawCurves(); drawMaps(); drawNumbers(); }

function fill(id, names, first) {
  names.forEach((name, n) => {
    const option = document.createElement("option");
    option.value = n + first;
    option.textContent = name;
    at(id).append(option);
  });
  at(id).value = chosen[id];
  at(id).addEventListener("change", () => { chosen[id] = Number(at(id).value); draw(); });
}

const favourite = facts.metrics.findIndex((metric) => metric.name === "energy_gain");
chosen.metric = Math.max(0, favourite);
chosen.method = Math.max(0, facts.methods.indexOf(facts.drawn));
fill("metric", facts.metrics.map((metric) => metric.label), 0);
fill("method", facts.labels, 0);
fill("image", ["mean over images", ...facts.images], -1);
at("about").textContent = `${facts.target} of class ${facts.class}, ${facts.images.length} images, ${facts.layers.length} layers, ${steps.length} steps.`;
facts.layers.forEach((layer, n) => {
  const button = document.createElement("button"), mark = document.createElement("i");
  button.type = "button";
  button.setAttribute("aria-pressed", "false");
  mark.style.background = colour(n);
  button.append(mark, layer.stride ? `${layer.label} (${layer.stride} px)` : layer.label);
  button.addEventListener("click", () => {
    chosen.layer = chosen.layer === n ? -1 : n;
    at("legend").querySelectorAll("button").forEach((one, k) => one.setAttribute("aria-pressed", String(k === chosen.layer)));
    drawCurves();
  });
  at("legend").append(button);
});
at("step").max = Math.max(0, steps.length - 1);
at("step").value = chosen.step;
at("step").addEventListener("input", () => { chosen.step = Number(at("step").value); draw(); });
at("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});
draw();
