// Light or dark, before anything is painted; the choice is remembered where the browser allows it.
(() => {
  "use strict";
  const KEY = "segcam-theme";
  const CHOICES = ["auto", "light", "dark"];
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const paper = matchMedia("print"); // white, and grounds are not printed

  function remembered() {
    try {
      const choice = localStorage.getItem(KEY);
      return CHOICES.includes(choice) ? choice : "auto";
    } catch {
      return "auto"; // storage is refused to some pages from disk
    }
  }

  let choice = remembered();

  function apply() {
    const dark = !paper.matches && (choice === "dark" || (choice === "auto" && system.matches));
    root.classList.toggle("dark", dark); // what DataTables looks at
    root.classList.toggle("light", !dark);
  }

  function choose(wanted) {
    choice = wanted;
    try {
      localStorage.setItem(KEY, wanted);
    } catch {
      // the choice holds until the page is closed
    }
    apply();
  }

  root.classList.add("scripted"); // without scripts all views are shown, one below the other
  system.addEventListener("change", apply);
  paper.addEventListener("change", apply);
  apply();
  document.addEventListener("DOMContentLoaded", () => {
    const select = document.getElementById("theme");
    select.value = choice;
    select.addEventListener("change", () => choose(select.value));
  });
})();
