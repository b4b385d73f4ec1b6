// @ts-check
/**
 * Makes a `role=tablist` work: one tab stop, arrow keys, and a panel for each tab.
 *
 * @param {HTMLElement} list
 * @param {(name: string) => void} [onSelect] is told the `data-tab` that is shown
 */
export function tabs(list, onSelect = () => {}) {
  const all = /** @type {HTMLElement[]} */ ([...list.querySelectorAll('[role="tab"]')]);
  const select = (/** @type {HTMLElement} */ chosen) => {
    for (const tab of all) {
      const selected = tab === chosen;
      tab.setAttribute("aria-selected", String(selected));
      tab.tabIndex = selected ? 0 : -1;
      const panel = document.getElementById(tab.getAttribute("aria-controls") ?? "");
      // Several tabs may share a panel, whose content `onSelect` changes.
      if (panel && (selected || panel.getAttribute("aria-labelledby") === tab.id)) {
        panel.hidden = !selected;
        if (selected) panel.setAttribute("aria-labelledby", tab.id);
      }
    }
    onSelect(chosen.dataset.tab ?? "");
  };
  list.addEventListener("click", ({ target }) => {
    const tab = /** @type {HTMLElement} */ (target).closest('[role="tab"]');
    if (tab) select(/** @type {HTMLElement} */ (tab));
  });
  list.addEventListener("keydown", (event) => {
    const at = all.indexOf(/** @type {HTMLElement} */ (event.target));
    /** @type {Record<string, number>} */
    const steps = { ArrowRight: at + 1, ArrowLeft: at - 1 + all.length, Home: 0, End: all.length - 1 };
    if (at < 0 || !(event.key in steps)) return;
    const next = all[steps[event.key] % all.length];
    next.focus();
    select(next);
    event.preventDefault();
  });
}
