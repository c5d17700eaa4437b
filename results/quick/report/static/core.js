// The page's one global, `segcam`: data that come as scripts, and a few helpers for the DOM.
(() => {
  "use strict";
  const waiting = new Map(); // name of the data -> what to do when its script hands them over
  const loaded = new Map(); // name of the data -> promise of them

  const DENSE = /\ue000([\u5000-\ucfff]{64,})/g; // bytes as characters of 15 bits: `data.py` says how

  /** Bytes as characters in base 64. */
  function thinned(_, dense) {
    const first = 0x5000;
    const bytes = new Uint8Array(Math.floor(((dense.length - 1) * 15) / 8) - (dense.charCodeAt(0) - first));
    let bits = 0;
    let held = 0;
    for (let at = 1, to = 0; to < bytes.length; at += 1) {
      bits = ((bits << 15) | (dense.charCodeAt(at) - first)) & 0x3fffff; // at most 7 are left of those before
      for (held += 15; held >= 8 && to < bytes.length; to += 1) bytes[to] = bits >> (held -= 8);
    }
    let text = "";
    for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
    return btoa(text);
  }

  /** Data as Python wrote them: all bytes in base 64. */
  function plain(content) {
    if (typeof content === "string") return content.replace(DENSE, thinned);
    if (content === null || typeof content !== "object") return content;
    if (Array.isArray(content)) return content.map(plain);
    return Object.fromEntries(Object.entries(content).map(([name, value]) => [name, plain(value)]));
  }

  /** Called by each file under data/: hands over what it holds, be it with bytes as characters (`dense`). */
  function receive(name, content, dense = false) {
    waiting.get(name)?.(dense ? plain(content) : content);
    waiting.delete(name);
  }

  /** Promise the data called `name`. A page from disk may not fetch files, but it may append scripts. */
  function load(name) {
    if (!loaded.has(name)) {
      loaded.set(
        name,
        new Promise((resolve, reject) => {
          const script = document.createElement("script");
          script.src = `data/${name}.js`;
          waiting.set(name, resolve);
          script.addEventListener("load", () => {
            script.remove();
            if (waiting.delete(name)) reject(new Error(`data/${name}.js is damaged: draw the page again`));
          });
          script.addEventListener("error", () => {
            script.remove();
            loaded.delete(name); // so that it can be tried again
            reject(new Error(`data/${name}.js is missing: keep the page's folder together`));
          });
          document.head.append(script);
        }),
      );
    }
    return loaded.get(name);
  }

  /** Let go of large data that can be loaded again. */
  const forget = (name) => loaded.delete(name);

  /** Promise what Python wrote as JSON, deflated and put in base 64. */
  async function unpack(text) {
    const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Response(stream).json();
  }

  /** Make an element. Text goes in as text, so names of files and classes are never read as HTML. */
  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === true) made.setAttribute(name, "");
      else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
    }
    made.append(...children.filter((child) => child !== null && child !== undefined));
    return made;
  }

  /** Make an SVG element. */
  function drawing(tag, attributes = {}, ...children) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  /** Show a line of text in a note, or hide the note where there is none. */
  function note(id, text) {
    const place = document.getElementById(id);
    if (place.textContent !== text) place.textContent = text;
    place.hidden = !text;
  }

  /** Whether a key belongs to the control that has the focus: all keys to what takes text, arrows to sliders. */
  function typing({ target, key }) {
    if (!(target instanceof Element)) return false;
    if (target.closest("select, textarea, [contenteditable], input:not([type=checkbox], [type=radio], [type=range])"))
      return true;
    return target.matches("[type=range]") && key.startsWith("Arrow");
  }

  window.segcam = { receive, load, forget, unpack, element, drawing, note, typing };
})();
