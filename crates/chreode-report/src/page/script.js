"use strict";
(function () {
  // Tooltips: the drawing's own title texts, shown at once and in the page's type.
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  document.body.appendChild(tip);
  document.querySelectorAll("svg title").forEach(function (title) {
    const mark = title.parentNode;
    mark.dataset.tip = title.textContent;
    mark.setAttribute("aria-label", title.textContent);
    title.remove();
  });
  function show(event) {
    const mark = event.target.closest ? event.target.closest("[data-tip]") : null;
    if (mark === null) { tip.hidden = true; return; }
    tip.textContent = mark.dataset.tip;
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    const x = Math.min(event.clientX + 14, document.documentElement.clientWidth - box.width - 8);
    const above = event.clientY - box.height - 12;
    tip.style.left = Math.max(8, x) + "px";
    tip.style.top = (above > 4 ? above : event.clientY + 18) + "px";
  }
  document.addEventListener("pointermove", show);
  document.addEventListener("pointerdown", show);
  document.addEventListener("scroll", function () { tip.hidden = true; }, { passive: true });

  // Legend entries switch their part of the drawing off and on.
  document.querySelectorAll(".fig .key").forEach(function (key) {
    const figure = key.closest(".fig");
    const name = Array.from(key.classList).find(function (c) { return /^t[0-9x]+$/.test(c); });
    if (name === undefined) return;
    const parts = figure.querySelectorAll("svg ." + name);
    if (parts.length === 0) return;
    key.tabIndex = 0;
    key.setAttribute("role", "button");
    key.setAttribute("aria-pressed", "true");
    key.classList.add("live");
    function toggle() {
      const off = key.classList.toggle("off");
      key.setAttribute("aria-pressed", String(off === false));
      parts.forEach(function (part) { part.style.display = off ? "none" : ""; });
    }
    key.addEventListener("click", toggle);
    key.addEventListener("keydown", function (event) {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); toggle(); }
    });
  });

  // The table of contents follows the reader.
  const links = new Map();
  document.querySelectorAll(".contents a").forEach(function (a) { links.set(a.hash.slice(1), a); });
  if ("IntersectionObserver" in window) {
    const observer = new IntersectionObserver(function (entries) {
      entries.forEach(function (entry) {
        const link = links.get(entry.target.id);
        if (entry.isIntersecting ? link !== undefined : false) {
          links.forEach(function (a) { a.classList.remove("here"); });
          link.classList.add("here");
        }
      });
    }, { rootMargin: "-15% 0px -75% 0px" });
    document.querySelectorAll("main section").forEach(function (s) { observer.observe(s); });
  }
})();
