// @ts-check
// Classic and blocking on purpose: a module would run after the first paint, and flash the other theme.
(() => {
  const KEY = "demo-theme";
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  /** The visitor's choice; before there is one, the system's theme, also where it changes. */
  const apply = () => {
    root.dataset.theme = localStorage.getItem(KEY) ?? (system.matches ? "dark" : "light");
    document.getElementById("theme")?.setAttribute("aria-pressed", String(root.dataset.theme === "dark"));
  };
  apply();
  system.addEventListener("change", apply);

  addEventListener("DOMContentLoaded", () => {
    apply();
    document.getElementById("theme")?.addEventListener("click", () => {
      localStorage.setItem(KEY, root.dataset.theme === "dark" ? "light" : "dark");
      apply();
    });
  });
})();
