// @ts-check
/**
 * What the page learns of each request to the token service: status, duration, quota.
 * @module
 */

/**
 * One quota as the service tells it: `left` of `size` in `window` seconds, whole again in `reset` seconds.
 * @typedef {{ name: string, left: number, reset: number, size: number | null, window: number | null }} Quota
 */

/** @typedef {{ method: string, path: string, status: number, ms: number, quotas: Quota[], requestId: string | null }} Answer */

/**
 * A `fetch` that reports every answer; status 0 where none came.
 * @param {(answer: Answer) => void} report
 * @returns {typeof fetch}
 */
export function observedFetch(report) {
  return async (url, init) => {
    const began = performance.now();
    const asked = { method: init?.method ?? "GET", path: new URL(String(url), location.href).pathname };
    const told = (/** @type {Response | null} */ response) => report({
      ...asked,
      status: response?.status ?? 0,
      ms: Math.round(performance.now() - began),
      quotas: response ? quotas(response.headers) : [],
      requestId: response?.headers.get("X-Request-Id") ?? null,
    });
    try {
      const response = await fetch(url, init);
      told(response);
      return response;
    } catch (error) {
      told(null);
      throw error;
    }
  };
}

/**
 * Reads `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10).
 * @param {Headers} headers
 * @returns {Quota[]}
 */
export function quotas(headers) {
  const policies = new Map(items(headers.get("RateLimit-Policy")));
  return items(headers.get("RateLimit")).map(([name, { r = 0, t = 0 }]) => {
    const { q = null, w = null } = policies.get(name) ?? {};
    return { name, left: r, reset: t, size: q, window: w };
  });
}

/**
 * @param {string | null} header
 * @returns {[name: string, parameters: Record<string, number>][]}
 */
function items(header) {
  return [...(header ?? "").matchAll(/"([^"]+)"((?:\s*;\s*\w+=\d+)*)/g)].map(([, name, parameters]) => [
    name,
    Object.fromEntries([...parameters.matchAll(/(\w+)=(\d+)/g)].map(([, key, value]) => [key, Number(value)])),
  ]);
}
