// The way from a study's page to the site that it is part of; a page of its own has none.
(() => {
  "use strict";
  const { load, element } = segcam;
  const place = document.getElementById("studies");

  function show(site) {
    if (!site) return;
    const links = site.studies.map(({ name, address }) =>
      address ? element("a", { href: address }, name) : element("span", { "aria-current": "page" }, name),
    );
    place.append(element("a", { href: site.address, class: "home" }, "All studies"), ...links);
    if (site.docs) place.append(element("a", { href: site.docs, rel: "noopener" }, "Documentation"));
    place.hidden = false;
    document.querySelector(".run-name").hidden = links.length > 0; // it is among them
  }

  load("site").then(show, () => {}); // a page that lost the file is still a page
})();
