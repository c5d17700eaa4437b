// The boards: sorted by their heads, and saved as CSV, by DataTables; without scripts they are tables all the same.
(() => {
  "use strict";
  const { tables } = segcam;
  const text = (cell) => cell.textContent.replace(/\s+/g, " ").trim();

  async function sortable() {
    const DataTable = await tables.library();
    for (const table of document.querySelectorAll("table.sortable")) {
      const save = {
        extend: "csv",
        text: "Save as CSV",
        filename: table.dataset.name,
        title: null,
        newline: "\n",
        exportOptions: { format: { body: (_data, _row, _column, cell) => text(cell) } },
      };
      new DataTable(table, {
        paging: false,
        searching: false,
        info: false,
        order: [],
        autoWidth: false,
        layout: { topStart: null, topEnd: null, bottomStart: { buttons: [save] }, bottomEnd: null },
      });
    }
  }

  const folded = [];
  window.addEventListener("beforeprint", () => {
    folded.push(...document.querySelectorAll("details:not([open])"));
    for (const details of folded) details.open = true;
  });
  window.addEventListener("afterprint", () => folded.splice(0).forEach((details) => (details.open = false)));
  sortable();
})();
