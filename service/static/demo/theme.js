// @ts-check
// Classic and blocking on purpose: a module would run after the first paint, and flash the other theme.
(() => {
  const KEY = "demo-theme";
  const root = document.documentElement;
  const stored = localStorage.getItem(KEY);
  const dark = stored ? stored === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "dark" : "light";

  addEventListener("DOMContentLoaded", () => {
    const button = /** @type {HTMLButtonElement} */ (document.getElementById("theme"));
    const show = () => button.setAttribute("aria-pressed", String(root.dataset.theme === "dark"));
    show();
    button.addEventListener("click", () => {
      root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
      localStorage.setItem(KEY, root.dataset.theme);
      show();
    });
  });
})();
