
"use strict";
(() => {
  const search = document.getElementById("search");
  const entries = [...document.querySelectorAll(".entry")];
  const texts = entries.map((e) => e.dataset.text.toLowerCase());
  const nothing = document.getElementById("nothing");
  const intro = document.querySelector(".intro");
  search.addEventListener("input", () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let found = 0;
    entries.forEach((e, i) => {
      e.hidden = !words.every((w) => texts[i].includes(w));
      if (!e.hidden) found++;
    });
    document.querySelectorAll(".group").forEach((g) => { g.hidden = !g.querySelector(".entry:not([hidden])"); });
    intro.hidden = words.length > 0;
    nothing.hidden = found > 0;
  });
  document.addEventListener("keydown", (e) => {
    if (e.key === "/" && document.activeElement !== search) { e.preventDefault(); search.focus(); }
    if (e.key === "Escape" && search.value) { search.value = ""; search.dispatchEvent(new Event("input")); }
  });
  const show = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    if (target.hidden || target.closest("[hidden]")) { search.value = ""; search.dispatchEvent(new Event("input")); }
    if (target.tagName === "DETAILS") target.open = true;
    target.scrollIntoView();
  };
  addEventListener("hashchange", show);
  show();
})();
