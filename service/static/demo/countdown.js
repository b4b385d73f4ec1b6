// @ts-check
/**
 * Calls `show` now and with every whole second less, until none is left.
 *
 * @param {number} end in milliseconds since the epoch
 * @param {(secondsLeft: number) => void} show
 * @returns {() => void} stops it
 */
export function countdown(end, show) {
  /** @type {ReturnType<typeof setTimeout>} */
  let timer;
  const tick = () => {
    const left = Math.max(0, end - Date.now());
    show(Math.ceil(left / 1000));
    // To the next change of the figure, rather than every second with a drift.
    if (left > 0) timer = setTimeout(tick, left % 1000 || 1000);
  };
  tick();
  return () => clearTimeout(timer);
}
