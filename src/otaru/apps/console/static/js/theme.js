// Light, dark, or what the system says. Loaded before the page is drawn, so that nothing flashes.
"use strict";
(() => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const order = ["auto", "light", "dark"];
  const kept = () => {
    try { return order.includes(localStorage.theme) ? localStorage.theme : "auto"; } catch { return "auto"; }
  };
  let theme = kept();
  const show = () => {
    root.dataset.theme = theme;
    root.dataset.shown = theme === "auto" ? (system.matches ? "dark" : "light") : theme;
    for (const words of document.querySelectorAll("[data-theme-words]")) {
      words.textContent = { auto: "System theme", light: "Light theme", dark: "Dark theme" }[theme];
    }
    document.dispatchEvent(new CustomEvent("otaru:theme"));
  };
  show();
  system.addEventListener("change", show);
  document.addEventListener("DOMContentLoaded", show);
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-theme-switch]")) return;
    theme = order[(order.indexOf(theme) + 1) % order.length];
    try { localStorage.theme = theme; } catch { /* private windows may keep nothing: the theme lasts for this page */ }
    show();
  });
})();
