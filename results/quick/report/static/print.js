// Printing: all rows of tables, all columns that are shown, and what is folded; afterwards all is as it was.
(() => {
  "use strict";
  const { tables } = segcam;
  const MOST = 200; // rows of each table where everything is printed
  const FIT = 11; // columns that fit a page side by side
  const ALL = -1;
  const folded = new Set();
  const before = new Map(); // grid -> its number of rows a page, and the page

  function unfold() {
    segcam.printing = true;
    for (const details of document.querySelectorAll(".view.current details:not([open])")) {
      details.open = true;
      folded.add(details);
    }
    const everything = document.documentElement.classList.contains("everything");
    for (const view of document.querySelectorAll(".view.current"))
      for (const [article, grid] of tables.grids(view)) {
        before.set(grid, [grid.page.len(), grid.page()]);
        const rows = grid.rows({ search: "applied" }).count();
        const cut = everything && rows > MOST;
        grid.page.len(cut ? MOST : ALL).draw();
        article.dataset.cut = cut ? `The first ${MOST} of ${rows.toLocaleString("en")} rows.` : "";
        const wide = Math.max(1, grid.columns(":visible").count() / FIT);
        grid.table().node().style.setProperty("--shrink", (1 / wide).toFixed(3));
      }
  }

  function fold() {
    for (const details of folded) details.open = false;
    folded.clear();
    for (const [grid, [length, page]] of before) grid.page.len(length).page(page).draw(false);
    before.clear();
    segcam.printing = false;
  }

  window.addEventListener("beforeprint", unfold);
  window.addEventListener("afterprint", fold);
  document.getElementById("print-all").addEventListener("click", () => window.print());
})();
