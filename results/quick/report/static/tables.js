// Tables by DataTables, loaded when their section is shown: sorted, filtered by words and by values, paged, saved.
(() => {
  "use strict";
  const { load, unpack, element } = segcam;
  const MOST_CHOICES = 60; // values of a column that is offered as a list
  const WORDS = 40; // letters from which on a cell is a sentence
  const PAGE = 25;
  const NUMBER = "number-or-empty"; // type of a column, for the sorting
  const MINUS = "\u2212";

  /** Read CSV text into rows of strings. */
  function parse(text) {
    const rows = [];
    let row = [],
      cell = "",
      quoted = false;
    for (let at = 0; at < text.length; at++) {
      const sign = text[at];
      if (quoted) {
        if (sign !== '"') cell += sign;
        else if (text[at + 1] === '"') {
          cell += '"';
          at++;
        } else quoted = false;
      } else if (sign === '"') quoted = true;
      else if (sign === ",") {
        row.push(cell);
        cell = "";
      } else if (sign === "\n") {
        row.push(cell);
        rows.push(row);
        row = [];
        cell = "";
      } else cell += sign;
    }
    return rows;
  }

  const fixed = (value, digits) =>
    value
      .toFixed(digits)
      .replace(/^-(0(?:\.0*)?)$/, "$1")
      .replace("-", MINUS);

  /** The digits at which half an interval has two that count; as in the printed tables. */
  function decimals(low, high) {
    const half = (high - low) / 2;
    return half > 0 && Number.isFinite(half) ? Math.min(6, Math.max(0, 1 - Math.floor(Math.log10(half)))) : 3;
  }

  function plain(value, name, whole) {
    if (value === null) return "";
    if (whole) return String(value).replace("-", MINUS);
    if (name === "p" || name.startsWith("p_")) return value < 0.001 ? "<0.001" : value.toFixed(3);
    return Math.abs(value) < 1000 ? String(Number(value.toPrecision(3))).replace("-", MINUS) : fixed(value, 0);
  }

  function interval(value, low, high) {
    if (value === null) return "";
    if (low === null || high === null) return fixed(value, 3);
    const digits = decimals(low, high);
    return `${fixed(value, digits)} [${fixed(low, digits)}, ${fixed(high, digits)}]`;
  }

  /** DataTables takes cells as HTML, so what it is given is escaped. */
  const ENTITIES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
  const escaped = (text) => text.replace(/[&<>"']/g, (sign) => ENTITIES[sign]);

  /** The table's columns as they are shown: bounds join the value that they are of. */
  function columns(table, rows) {
    const ends = new Set(Object.values(table.bounds).flat());
    const numbers = new Map(table.columns.map((column, at) => [column.name, at]));
    const bold = new Set(table.bold.map(([row, name]) => `${row} ${name}`));
    return table.columns
      .filter((column) => !ends.has(column.name))
      .map((column) => {
        const at = numbers.get(column.name);
        const bounds = table.bounds[column.name]?.map((name) => numbers.get(name));
        const values = rows.map((row) => row[at]);
        const whole = column.numeric && values.every((value) => value === null || Number.isInteger(value));
        const text = (row) => {
          if (!column.numeric) return row[at];
          return bounds ? interval(row[at], row[bounds[0]], row[bounds[1]]) : plain(row[at], column.name, whole);
        };
        return { ...column, at, whole, text, values, bold: (number) => bold.has(`${number} ${column.name}`) };
      });
  }

  const title = (table, name) =>
    name.replaceAll("_", " ") + ({ higher: " \u2191", lower: " \u2193" }[table.best[name]] ?? "");

  /** What a column says of all rows alike is said once, above the table. */
  function split(shown) {
    const alike = (column) => column.values.length > 1 && new Set(column.values).size === 1;
    return [shown.filter((column) => !alike(column)), shown.filter(alike)];
  }

  function grid(table, shown, rows, place, label) {
    const head = element(
      "tr",
      {},
      ...shown.map((column) => element("th", { scope: "col" }, title(table, column.name))),
    );
    const body = element("table", { class: "compact stripe hover" }, element("thead", {}, head));
    place.append(body);
    ordered();
    const made = new segcam.library.default(body, {
      data: rows,
      columns: shown.map((column) => ({
        data: null,
        type: column.numeric ? NUMBER : "string",
        className: column.numeric
          ? "dt-body-right dt-head-right"
          : `dt-body-left dt-head-left${longest(column) > WORDS ? " words" : ""}`,
        render: (row, kind, _, where) => {
          if (kind === "sort" || kind === "type") return row[column.at];
          const text = escaped(column.text(row));
          return kind === "display" && column.bold(where.row) ? `<strong>${text}</strong>` : text;
        },
      })),
      order: [],
      pageLength: PAGE,
      autoWidth: false,
      deferRender: true,
      paging: rows.length > PAGE,
      layout: {
        topStart: null,
        topEnd: null,
        bottomStart: "info",
        bottomEnd: rows.length > PAGE ? "paging" : null,
      },
      language: {
        info: "_START_ to _END_ of _TOTAL_ rows",
        infoFiltered: "(filtered from _MAX_)",
        infoEmpty: "No rows",
        zeroRecords: "No row fits the filters.",
      },
    });
    body.setAttribute("aria-label", label);
    return made;
  }

  /** Sort numbers so that cells without a value come last, whichever way. */
  function ordered() {
    const order = segcam.library.default.ext.type.order;
    const last = (one, two, sign) =>
      one === null || two === null ? (one === null) - (two === null) : sign * (one - two);
    order[`${NUMBER}-asc`] = (one, two) => last(one, two, 1);
    order[`${NUMBER}-desc`] = (one, two) => last(one, two, -1);
  }

  const longest = (column) =>
    column.numeric ? 0 : column.values.reduce((most, value) => Math.max(most, value.length), 0);

  /** Whether a column's values may be a list to choose from: it is shown from the start, and holds no sentences. */
  const offered = (table, column) =>
    (!table.shown.length || table.shown.includes(column.name)) && longest(column) <= WORDS;

  /** A list of values for each column that has few of them. */
  function facets(table, shown, made, rows, id) {
    const chosen = new Map();
    made.search.fixed("facets", (_, __, number) =>
      [...chosen].every(([at, value]) => String(rows[number][at]) === value),
    );
    return shown.flatMap((column) => {
      const values = [...new Set(column.values)].filter((value) => value !== null && value !== "");
      if (
        !offered(table, column) ||
        values.length < 2 ||
        values.length > MOST_CHOICES ||
        (column.numeric && !["level", "seed"].includes(column.name))
      )
        return [];
      if (values.length === column.values.length) return []; // each row has its own: the words' filter is for that
      if (column.numeric) values.sort((one, two) => one - two);
      const select = element("select", { id: `${id}-${column.at}` }, element("option", { value: "" }, "all"));
      values.forEach((value, number) => select.append(element("option", { value: number }, String(value))));
      select.addEventListener("change", () => {
        if (select.value === "") chosen.delete(column.at);
        else chosen.set(column.at, String(values[Number(select.value)]));
        made.draw();
      });
      return [element("label", { class: "facet" }, column.name.replaceAll("_", " "), select)];
    });
  }

  function save(table, text) {
    const button = element("button", { type: "button", class: "quiet" }, "Save as CSV");
    button.addEventListener("click", () => {
      const url = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
      const link = element("a", { href: url, download: table.file });
      link.click();
      setTimeout(() => URL.revokeObjectURL(url), 60_000); // some browsers read it only after the click
    });
    return button;
  }

  /** The words' filter, the lists of values, the columns' switch and the file. */
  function tools(table, shown, made, rows, text, id) {
    const words = element("input", { type: "search", autocomplete: "off" });
    words.addEventListener("input", () => made.search(words.value).draw());
    const bar = element(
      "div",
      { class: "table-tools" },
      element("label", { class: "facet" }, "filter by words", words),
      ...facets(table, shown, made, rows, id),
    );
    const hidden = shown.flatMap((column, number) =>
      table.shown.length && !table.shown.includes(column.name) ? [number] : [],
    );
    if (hidden.length && hidden.length < shown.length) {
      const box = element("input", { type: "checkbox" });
      box.addEventListener("change", () => made.columns(hidden).visible(box.checked));
      made.columns(hidden).visible(false);
      bar.append(element("label", { class: "switch" }, box, ` all ${shown.length} columns`));
    }
    bar.append(save(table, text));
    return bar;
  }

  function alikeWords(alike, rows) {
    const name = (column) => column.name.replaceAll("_", " ");
    const full = alike.filter((column) => column.text(rows[0]));
    const bare = alike.filter((column) => !column.text(rows[0]));
    return [
      ...(full.length
        ? [`In all rows: ${full.map((column) => `${name(column)} ${column.text(rows[0])}`).join("; ")}.`]
        : []),
      ...(bare.length ? [`Empty in all rows: ${bare.map(name).join(", ")}.`] : []),
    ].join(" ");
  }

  async function show(article) {
    const place = article.querySelector(".table-place");
    try {
      const table = await load(article.dataset.table);
      const text = await unpack(table.csv);
      const rows = parse(text)
        .slice(1)
        .map((row) =>
          row.map((cell, at) => {
            return table.columns[at].numeric ? (cell === "" ? null : Number(cell)) : cell;
          }),
        );
      const [varied, alike] = split(columns(table, rows));
      const label = article.querySelector("h2").textContent;
      const scroll = element("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": `Table ${label}` });
      place.replaceChildren(scroll);
      const made = grid(table, varied, rows, scroll, label);
      place.prepend(tools(table, varied, made, rows, text, article.id));
      const said = alikeWords(alike, rows);
      if (said) place.prepend(element("p", { class: "alike" }, said));
    } catch (error) {
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
