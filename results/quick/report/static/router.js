// Which view is shown: the part of the address after #, the contents, and the keys that work everywhere.
(() => {
  "use strict";
  const { note, typing, tables, gallery, scatter } = segcam;
  const views = [...document.querySelectorAll(".view")];
  const help = document.getElementById("help");
  const contents = document.getElementById("contents");
  const menu = document.getElementById("menu");
  const EVERYTHING = "everything"; // all parts below each other, as they are printed
  let current = null;

  function decoded(text) {
    try {
      return decodeURIComponent(text);
    } catch {
      return text; // not what this page writes, so it is looked up as it is
    }
  }

  /** The view that the address names, and the figure or table in it. */
  function find(name) {
    const view = views.find((one) => one.dataset.view === name);
    if (view) return { view, item: null };
    const item = document.getElementById(name);
    const around = item?.closest(".view");
    return around ? { view: around, item } : { view: views[0], item: null, unknown: name !== "" };
  }

  function show() {
    const [name, ...rest] = location.hash.slice(1).split("?");
    if (name === "main") return; // the link that skips the contents
    const all = name === EVERYTHING;
    const { view, item, unknown } = find(all ? "" : decoded(name));
    note(
      "page-note",
      unknown ? `This page has no part called \u201c${decoded(name)}\u201d. The overview is shown.` : "",
    );
    const moved = (all ? EVERYTHING : view) !== current;
    for (const one of views) one.classList.toggle("current", one === view || (all && !["gallery", "scatter"].includes(one.dataset.view)));
    document.documentElement.classList.toggle(EVERYTHING, all);
    for (const link of contents.querySelectorAll("a")) {
      if (!all && link.getAttribute("href") === `#${view.dataset.view}`) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    document.title = `${view.querySelector("h1").textContent} \u00b7 ${document.querySelector(".run-name").textContent}`;
    if (view.dataset.view === "gallery") gallery.restore(rest.join("?"));
    else gallery.leave();
    if (view.dataset.view === "scatter") scatter.restore(rest.join("?"));
    const filled = all ? Promise.all(views.map((one) => tables.fill(one))) : tables.fill(view, item, rest.join("?"));
    if (all) document.getElementById("everything").setAttribute("aria-busy", "true");
    filled.then(() => document.getElementById("everything").setAttribute("aria-busy", "false"));
    if (item) {
      item.scrollIntoView();
      const still = () => location.hash.slice(1).split("?")[0] === name;
      filled.then(() => still() && item.scrollIntoView()); // tables above it have grown
    }
    if (!item && moved && current) window.scrollTo(0, 0);
    if (moved && current) document.getElementById("main").focus({ preventScroll: true });
    current = all ? EVERYTHING : view;
    fold();
  }

  function fold() {
    contents.classList.remove("unfolded");
    menu.setAttribute("aria-expanded", "false");
  }

  menu.addEventListener("click", () => {
    const open = contents.classList.toggle("unfolded");
    menu.setAttribute("aria-expanded", String(open));
  });
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault(); // the address says what is shown, and the skip changes nothing of that
    document.getElementById("main").focus();
  });
  document.getElementById("help-open").addEventListener("click", () => help.showModal());
  document.addEventListener("keydown", (event) => {
    if (event.key !== "?" || event.ctrlKey || event.metaKey || event.altKey || typing(event)) return;
    event.preventDefault();
    if (help.open) help.close();
    else if (!document.querySelector("dialog[open]")) help.showModal();
  });
  for (const dialog of document.querySelectorAll("dialog")) {
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close()); // beside it
  }
  window.addEventListener("hashchange", show);
  show();
})();
