// Tables by DataTables, loaded when their section is shown: sorted, searched, filtered, paged, saved, in the address.
(() => {
  "use strict";
  const { load, unpack, element } = segcam;
  const PAGE = 25;
  const NUMBER = "number-or-empty"; // the type of a column, for the sorting
  const LINKS = 1; // columns of links that stand before the table's own
  const SEARCHED = ["display", "filter"];
  let library = null; // promise of DataTables
  const open = new Map(); // article -> its grid, what it was made from, and the state in the address

  /** Promise DataTables. A page from disk may not import a module that is a file, but it may import one from memory. */
  async function start() {
    const source = new Blob([await unpack(await load("datatables"))], { type: "text/javascript" });
    const { default: DataTable } = await import(URL.createObjectURL(source));
    const emptyLast = (sign) => (one, two) =>
      one === null || two === null ? (one === null) - (two === null) : sign * (one - two);
    DataTable.type(NUMBER, { order: { asc: emptyLast(1), desc: emptyLast(-1) } });
    return DataTable;
  }

  /** What filters look at: the words, and the name that they stand for where it is another. */
  const searched = ({ values, cells, numeric }, row) => {
    const shown = cells?.[row] ?? values[row];
    return numeric || shown === values[row] ? shown : `${shown}  ${values[row]}`;
  };

  function column(one, text) {
    const { name, title, values, cells, best, numeric, words, visible, choice } = one;
    const side = numeric ? "right" : "left";
    const rows = new Set(best);
    const shown = (row) => cells?.[row] ?? values[row];
    return {
      name,
      title: text(title),
      visible,
      type: numeric ? NUMBER : "string",
      className: `dt-body-${side} dt-head-${side}${words ? " words" : ""}`,
      data: ([row], kind) => {
        if (kind === "display") return text(shown(row));
        if (kind === "filter") return text(searched(one, row));
        return numeric ? values[row] : shown(row);
      },
      createdCell: (cell, _, [row]) => cell.classList.toggle("best", rows.has(row)),
      searchPanes: { show: choice },
    };
  }

  /** The column of links to the maps behind the rows; hidden where there are none. */
  const linked = (table) => ({
    name: "maps",
    title: "Maps",
    visible: table.links !== null,
    orderable: false,
    searchable: false,
    className: "maps",
    data: ([row], kind) => (kind === "display" && table.links?.[row] ? link(table.links[row]) : ""),
    searchPanes: { show: false },
  });
  const link = (address) => element("a", { href: address }, "maps").outerHTML;

  /** Where the columns of which a property is true stand in the grid. */
  const numbers = (table, property) => table.columns.flatMap((one, at) => (one[property] ? [at + LINKS] : []));

  /** Save what is shown, or all: rows in their order, each number with its bounds behind it. */
  function saved(table, text, all) {
    let grid = null;
    const shown = (at) => grid.column(at + LINKS).visible();
    const taken = (one, at) => all || shown(at) || table.columns.some(({ bounds }, of) => bounds.includes(at) && shown(of));
    const head = (one, at) => (all ? [one.name] : taken(one, at) ? [heading(table, at)] : []);
    const body = (row, { values, cells, numeric }) => (all || numeric ? values[row] : (cells?.[row] ?? values[row])) ?? "";
    return {
      extend: "csv",
      text,
      init: (made) => (grid = made),
      filename: table.file,
      extension: "",
      title: null,
      newline: "\n",
      exportOptions: {
        columns: (at) => at >= LINKS && taken(table.columns[at - LINKS], at - LINKS),
        ...(all ? { modifier: { search: "none", order: "index" } } : {}),
        format: { header: () => "", body: (_, row, at) => body(row, table.columns[at - LINKS]) },
        customizeData: ({ headerStructure }) => {
          const heads = table.columns.flatMap(head);
          headerStructure[0].forEach((cell, at) => (cell.title = heads[at]));
        },
      },
    };
  }

  function heading(table, at) {
    const whole = table.columns.find((one) => one.bounds.includes(at));
    if (!whole) return table.columns[at].title;
    return `${whole.title}, ${whole.bounds[0] === at ? "lower" : "upper"} end`;
  }

  /** The state of a grid as its part of the address: search, filters, order, columns and page; '' as it comes. */
  function written(table, state, text) {
    const out = new URLSearchParams();
    const usual = (one, at) => state.columns[at + LINKS].visible === one.visible;
    if (state.search.search) out.set("search", state.search.search);
    for (const { column, rows } of state.searchPanes?.selectionList ?? []) {
      const one = table.columns[column - LINKS];
      for (const filter of rows) {
        const row = one.values.findIndex((_, at) => text(searched(one, at)) === filter);
        if (row >= 0) out.append(`in.${one.name}`, one.values[row]);
      }
    }
    const order = state.order.map(([at, way]) => {
      const name = typeof at === "number" ? table.columns[at - LINKS]?.name : at;
      return `${name}.${way}`;
    });
    if (order.length) out.set("order", order.join(","));
    if (!table.columns.every(usual))
      out.set("columns", table.columns.flatMap((one, at) => (state.columns[at + LINKS].visible ? [one.name] : [])).join(","));
    if (state.start) out.set("page", state.start / state.length + 1);
    return out.toString();
  }

  /** A state that DataTables loads, from a part of the address; what the table has no column for is left out. */
  function read(table, address, text) {
    const given = new URLSearchParams(address);
    const place = (name) => table.columns.findIndex((one) => one.name === name);
    const order = (given.get("order") ?? "").split(",").flatMap((part) => {
      const [, name, way] = /^(.*)\.(asc|desc)$/.exec(part) ?? [];
      return place(name) < 0 ? [] : [[place(name) + LINKS, way]];
    });
    const selectionList = table.columns.flatMap((one, at) => {
      const names = given.getAll(`in.${one.name}`);
      const rows = names.flatMap((name) => {
        const row = one.values.findIndex((value) => String(value) === name);
        return row < 0 ? [] : [text(searched(one, row))];
      });
      return one.choice && rows.length ? [{ column: at + LINKS, rows }] : [];
    });
    const shown = given.get("columns")?.split(",");
    const visible = (one) => (shown ? one.printed && shown.includes(one.name) : one.visible);
    const page = Math.max(1, Math.floor(Number(given.get("page"))) || 1);
    return {
      time: Date.now(),
      start: (page - 1) * PAGE,
      length: PAGE,
      order,
      search: { search: given.get("search") ?? "", smart: true, regex: false, caseInsensitive: true },
      columns: [{ visible: table.links !== null }, ...table.columns.map((one) => ({ visible: visible(one) }))],
      searchPanes: { selectionList, panes: [] },
    };
  }

  function grid(DataTable, article, table, place, label, address) {
    const text = DataTable.render.text().display;
    const body = element("table", { class: "compact stripe hover", "aria-label": label });
    place.append(body);
    const choices = numbers(table, "choice");
    const panes = { columns: choices, controls: false, collapse: false, dtOpts: { ordering: false } };
    const rows = table.columns[0]?.values.length ?? 0;
    const mine = { table, address, made: null };
    open.set(article, mine);
    mine.made = new DataTable(body, {
      data: Array.from({ length: rows }, (_, row) => [row]),
      columns: [linked(table), ...table.columns.map((one) => column(one, text))],
      order: [],
      pageLength: PAGE,
      autoWidth: false,
      deferRender: true,
      paging: rows > PAGE,
      stateSave: true,
      stateLoadCallback: () => (address ? read(table, address, text) : null),
      stateSaveCallback: (_, state) => remember(article, mine, written(table, state, text)),
      layout: {
        topStart: {
          buttons: [
            ...(choices.length ? [{ extend: "searchPanes", config: panes }] : []),
            { extend: "colvis", text: "Columns", columns: numbers(table, "printed") },
            saved(table, "Save as CSV", false),
            saved(table, "Save all", true),
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
        aria: { paginate: { first: "first page", last: "last page", next: "next page", previous: "page before" } },
      },
    });
    table.columns.forEach((one, at) => one.meaning && (mine.made.column(at + LINKS).header().title = one.meaning));
    for (const nav of place.querySelectorAll("nav")) nav.setAttribute("aria-label", `Pages of ${label}`);
    const scroll = { class: "scroll", role: "region", tabindex: "0", "aria-label": `Table ${label}` };
    const frame = element("div", scroll);
    body.replaceWith(frame);
    frame.append(body);
    mine.ready = true;
  }

  /** Write a changed state into the address, without a step in the history. */
  function remember(article, mine, now) {
    if (!mine.ready || segcam.printing || !article.closest(".view.current") || now === mine.address) return;
    mine.address = now;
    history.replaceState(history.state, "", `#${encodeURIComponent(article.id)}${now ? `?${now}` : ""}`);
  }

  /** What the columns mean, as a list that can be read without a pointer. */
  function meanings(table) {
    const told = table.columns.filter((one) => one.printed && one.meaning);
    if (!told.length) return [];
    const pairs = told.map((one) => element("div", {}, element("dt", {}, one.title), element("dd", {}, one.meaning)));
    const list = element("dl", { class: "facts meanings" }, ...pairs);
    return [element("details", { class: "caption" }, element("summary", {}, "What the columns mean"), list)];
  }

  async function show(article, address) {
    const place = article.querySelector(".table-place");
    try {
      const [DataTable, packed] = await Promise.all([(library ??= start()), load(article.dataset.table)]);
      const table = await unpack(packed);
      const label = article.querySelector("h2").firstChild.textContent.trim();
      open.get(article)?.made?.destroy();
      place.replaceChildren(
        ...(table.alike ? [element("p", { class: "alike" }, table.alike)] : []),
        ...meanings(table),
      );
      grid(DataTable, article, table, place, label, address);
    } catch (error) {
      library = null; // so that it can be tried again
      place.replaceChildren(element("p", { class: "note" }, error.message));
    }
  }

  /**
   * Fill the tables of a view that is shown for the first time, and bring one of them (`item`) into the state that the
   * address has (`address`); promises that all are.
   */
  function fill(view, item = null, address = "") {
    const other = (article) => article === item && address !== (open.get(article)?.address ?? address);
    const stale = [...view.querySelectorAll("[data-table]")].filter(
      (article) => !("filled" in article.dataset) || other(article),
    );
    for (const article of stale) article.dataset.filled = "";
    return Promise.all(stale.map((article) => show(article, article === item ? address : "")));
  }

  /** Keep heads below the page's top bar, where it hides the beginning of their frames. */
  function heads() {
    const bar = document.querySelector(".top").getBoundingClientRect().bottom;
    for (const frame of document.querySelectorAll(".current .tabled .scroll")) {
      const { top, height } = frame.getBoundingClientRect();
      const room = height - 2 * (frame.querySelector("thead")?.offsetHeight ?? height); // for a row of cells below them
      frame.style.setProperty("--under", `${Math.max(0, Math.min(bar - top, room))}px`);
    }
  }
  for (const moved of ["scroll", "resize", "hashchange"])
    window.addEventListener(moved, () => requestAnimationFrame(heads), { passive: true });

  /** The grids in a view, each with its place. */
  const grids = (view) => [...open].filter(([article]) => view.contains(article)).map(([article, { made }]) => [article, made]);

  segcam.tables = { fill, grids, library: () => (library ??= start()) };
})();
