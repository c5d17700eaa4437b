// Figures that move: a slider over their pictures, a button that plays them, and a key to their maps.
(() => {
  "use strict";
  const { element, drawing, load, maps } = segcam;
  const EACH = 350; // milliseconds of a picture

  /** Put a canvas in the place of a figure's picture, which is the last one, and sharper than those on the way. */
  function begin(figure, sheet, still) {
    const count = Number(figure.dataset.count);
    const columns = Number(figure.dataset.columns);
    const width = sheet.naturalWidth / columns;
    const height = sheet.naturalHeight / Math.ceil(count / columns);
    const paper = figure.querySelector(".paper");
    const { naturalWidth: wide, naturalHeight: high } = still;
    const canvas = element("canvas", { width: wide, height: high, role: "img", "aria-label": still.alt });
    const pen = canvas.getContext("2d");
    const name = `Picture of ${figure.querySelector("h2").textContent}`;
    const slider = element("input", { type: "range", min: 1, max: count, step: 1, "aria-label": name });
    const said = element("output", { class: "muted" });
    const play = element("button", { type: "button", class: "quiet" }, "Play");
    let timer = null;

    function show(number) {
      slider.value = String(number);
      said.textContent = `${number} of ${count}`;
      const left = ((number - 1) % columns) * width;
      const top = Math.floor((number - 1) / columns) * height;
      if (number === count) pen.drawImage(still, 0, 0);
      else pen.drawImage(sheet, left, top, width, height, 0, 0, wide, high);
    }

    function stop() {
      clearInterval(timer);
      timer = null;
      play.textContent = "Play";
    }

    play.addEventListener("click", () => {
      if (timer !== null) return stop();
      if (Number(slider.value) === count) show(1);
      play.textContent = "Pause";
      timer = setInterval(() => {
        show(Number(slider.value) + 1);
        if (Number(slider.value) === count) stop();
      }, EACH);
    });
    slider.addEventListener("input", () => {
      stop();
      show(Number(slider.value));
    });
    const frame = element("div", { class: "paper film" }, canvas);
    paper.replaceWith(frame, element("div", { class: "film-controls" }, play, slider, said));
    pen.imageSmoothingQuality = "high";
    show(count);
    if (document.getElementById("gallery-frame")) key(frame.nextSibling); // the display is told with the atlas
  }

  /** Say below a figure's controls what its colours and lines are. */
  async function key(controls) {
    const { display, region } = await load("gallery");
    maps.paint(display);
    const bar = element("canvas", { class: "film-bar", width: 128, height: 1, role: "img", "aria-label": "Colours from low to high" });
    maps.bar(bar, "robust", false);
    const line = drawing("svg", { width: 18, height: 10, "aria-hidden": "true" }, ...["outline-back", "outline-line"].map((name) => drawing("path", { class: name, d: "M1 5H17" })));
    const tint = drawing("svg", { width: 18, height: 10, "aria-hidden": "true" }, drawing("path", { class: "predicted", d: "M1 1H17V9H1Z" }));
    const item = (...parts) => element("span", { class: "key-item" }, ...parts);
    const end = ` ${display.upper}th percentile of each map\u2019s positive values`;
    controls.after(element("p", { class: "key" }, item("0 ", bar, end), item(line, ` ${region}`), item(tint, " predicted")));
  }

  /** Load the pictures of a figure once it is about to be seen. */
  const watcher = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      watcher.unobserve(target);
      const sheet = new Image();
      sheet.src = target.dataset.frames;
      const still = target.querySelector(".paper img");
      still.loading = "eager";
      Promise.all([sheet.decode(), still.decode()]).then(
        () => begin(target, sheet, still),
        () => {}, // where one is missing, the still picture stays
      );
    }
  });
  for (const figure of document.querySelectorAll("figure[data-frames]")) watcher.observe(figure);
})();
