// Tables by DataTables, loaded when their section is shown: sorted, searched, filtered, paged, saved.
(() => {
  "use strict";
  const { load, unpack, element } = segcam;
  const PAGE = 25;
  const NUMBER = "number-or-empty"; // the type of a column, for the sorting
  let library = null; // promise of DataTables

  /** Promise DataTables. A page from disk may not import a module that is a file, but it may import one from memory. */
  async function start() {
    const source = new Blob([await unpack(await load("datatables"))], { type: "text/javascript" });
    const { default: DataTable } = await import(URL.createObjectURL(source));
    const emptyLast = (sign) => (one, two) =>
      one === null || two === null ? (one === null) - (two === null) : sign * (one - two);
    DataTable.type(NUMBER, { order: { asc: emptyLast(1), desc: emptyLast(-1) } });
    return DataTable;
  }

  function column(table, { title, values, cells, best, numeric, words, visible, choice }, text) {
    const side = numeric ? "right" : "left";
    const rows = new Set(best);
    return {
      title: text(title),
      visible,
      type: numeric ? NUMBER : "string",
      className: `dt-body-${side} dt-head-${side}${words ? " words" : ""}`,
      data: ([row], kind) => (["display", "filter"].includes(kind) ? text(cells?.[row] ?? values[row]) : values[row]),
      createdCell: (cell, _, [row]) => cell.classList.toggle("best", rows.has(row)),
      searchPanes: { show: choice },
    };
  }

  /** The numbers of the columns of which a property is true. */
  const numbers = (table, property) => table.columns.flatMap((one, at) => (one[property] ? [at] : []));

  const saved = (table) => ({
    extend: "csv",
    text: "Save as CSV",
    filename: table.file,
    extension: "",
    title: null,
    newline: "\n",
    exportOptions: {
      orthogonal: "export",
      format: { header: (_, at) => table.columns[at].name, body: (value) => value ?? "" },
    },
  });

  function grid(DataTable, table, place, label) {
    const body = element("table", { class: "compact stripe hover", "aria-label": label });
    place.append(body);
    const choices = numbers(table, "choice");
    const panes = { columns: choices, controls: false, collapse: false, dtOpts: { ordering: false } };
    const rows = table.columns[0]?.values.length ?? 0;
    new DataTable(body, {
      data: Array.from({ length: rows }, (_, row) => [row]),
      columns: table.columns.map((one) => column(table, one, DataTable.render.text().display)),
      order: [],
      pageLength: PAGE,
      autoWidth: false,
      deferRender: true,
      paging: rows > PAGE,
      layout: {
        topStart: {
          buttons: [
            ...(choices.length ? [{ extend: "searchPanes", config: panes }] : []),
            { extend: "colvis", text: "Columns", columns: numbers(table, "printed") },
            saved(table),
          ],
        },
        topEnd: "search",
        bottomStart: "info",
        bottomEnd: rows > PAGE ? "paging" : null,
      },
      language: {
        info: "_START_ to _END_ of _TOTAL_ rows",
        infoFiltered: "(filtered from _MAX_)",
        infoEmpty: "No rows",
        zeroRecords: "No row fits the filters.",
        search: "Search",
        searchPanes: { collapse: { 0: "Filter", _: "Filter (%d)" }, title: { 0: "No filter", _: "Filters: %d" } },
      },
    });
    const scroll = { class: "scroll", role: "region", tabindex: "0", "aria-label": `Table ${label}` };
    const frame = element("div", scroll);
    body.replaceWith(frame);
    frame.append(body);
  }

  async function show(article) {
    const place = article.querySelector(".table-place");
    try {
      const [DataTable, packed] = await Promise.all([(library ??= start()), load(article.dataset.table)]);
      const table = await unpack(packed);
      const label = article.querySelector("h2").textContent;
      place.replaceChildren(...(table.alike ? [element("p", { class: "alike" }, table.alike)] : []));
      grid(DataTable, table, place, label);
    } catch (error) {
      library = null; // so that it can be tried again
      place.replaceChildren(element("p", { class: "note" }, error.message));
    }
  }

  /** Fill the tables of a view that is shown for the first time; promises that all are. */
  function fill(view) {
    const empty = [...view.querySelectorAll("[data-table]:not([data-filled])")];
    for (const article of empty) article.dataset.filled = "";
    return Promise.all(empty.map(show));
  }

  segcam.tables = { fill };
})();
