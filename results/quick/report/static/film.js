// Figures that move: a slider over their pictures, and a button that plays them.
(() => {
  "use strict";
  const { element } = segcam;
  const EACH = 350; // milliseconds of a picture

  /** Put a canvas in the place of a figure's picture, which shows the last one. */
  function begin(figure, sheet) {
    const count = Number(figure.dataset.count);
    const columns = Number(figure.dataset.columns);
    const width = sheet.naturalWidth / columns;
    const height = sheet.naturalHeight / Math.ceil(count / columns);
    const paper = figure.querySelector(".paper");
    const still = paper.querySelector("img");
    const canvas = element("canvas", { width, height, role: "img", "aria-label": still.alt });
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
      pen.drawImage(sheet, left, top, width, height, 0, 0, width, height);
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
    show(count);
  }

  /** Load the pictures of a figure once it is about to be seen. */
  const watcher = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      watcher.unobserve(target);
      const sheet = new Image();
      sheet.addEventListener("load", () => begin(target, sheet));
      sheet.src = target.dataset.frames; // where it is missing, the still picture stays
    }
  });
  for (const figure of document.querySelectorAll("figure[data-frames]")) watcher.observe(figure);
})();
