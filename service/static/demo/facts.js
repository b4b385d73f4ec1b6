// @ts-check
/**
 * What the page can say of a request from what it sent and what came back.
 * @module
 */

import { minutes, shorten } from "./dom.js";

/** @typedef {import("./pipeline.js").Facts} Facts */
/** @typedef {import("./requests.js").Quota} Quota */

/**
 * @param {Record<string, any>} claims of the JWT
 * @returns {Facts}
 */
export function jwtFacts({ iss, aud, exp, scope, tier }) {
  /** @type {[string, unknown][]} */
  const known = [
    ["Issuer", iss],
    ["Audience", [aud].flat().join(", ")],
    ["Scope", scope],
    ["Tier", tier],
    ["Valid for", exp ? `${minutes(exp - Date.now() / 1000)} min` : "ever"],
  ];
  return known.filter(([, value]) => value).map(([term, value]) => [term, String(value)]);
}

/** @param {Quota[]} quotas */
export function quotaHeadline(quotas) {
  const [first] = quotas;
  if (!first) return "Within the limits";
  return `${first.left}${first.size === null ? "" : ` of ${first.size}`} requests left`;
}

/**
 * @param {Quota[]} quotas
 * @returns {Facts}
 */
export function quotaFacts(quotas) {
  return quotas.map(({ name, left, reset, size, window }) => {
    if (name === "call-seconds") {
      return ["Minutes left", `${minutes(left)}${size === null ? "" : ` of ${minutes(size)}`}${every(window)}`];
    }
    return [`Per ${name}`, `${size ?? left}${every(window)}, resets in\u00a0${reset}\u00a0s`];
  });
}

/** @param {number | null} seconds */
function every(seconds) {
  const names = /** @type {Record<number, string>} */ ({ 60: "a minute", 3600: "an hour", 86_400: "a day" });
  return seconds === null ? "" : ` ${names[seconds] ?? `in ${seconds} s`}`;
}

/**
 * What became of the session that was asked for, by comparing the two.
 *
 * @param {Record<string, any>} asked
 * @param {Record<string, any>} answered
 * @returns {Facts}
 */
export function sessionFacts(asked, answered) {
  const wanted = leaves(asked);
  const got = new Map(leaves(answered));
  const kept = wanted.filter(([path, value]) => got.get(path) === value).map(([path]) => path);
  const changed = wanted.filter(([path, value]) => got.has(path) && got.get(path) !== value);
  const named = new Set(wanted.map(([path]) => path));
  const filled = [...got.keys()].filter((path) => !named.has(path) && !["id", "object"].includes(path));
  /** @type {Facts} */
  const facts = [["As asked", list(kept)], ["Filled in", filled.length ? `${filled.length} settings` : "nothing"]];
  const locked = changed.map(([path]) => `${path} ${JSON.stringify(got.get(path))}`);
  return locked.length ? [["Changed", list(locked)], ...facts] : facts;
}

/** @param {string[]} paths */
function list(paths) {
  const names = paths.map((path) => path.replace(/^audio\./, "").replace(/\.0$/, ""));
  return names.length > 3 ? `${names.slice(0, 3).join(", ")} and ${names.length - 3} more` : names.join(", ") || "nothing";
}

/**
 * @param {unknown} value
 * @param {string} [path]
 * @returns {[path: string, value: unknown][]}
 */
function leaves(value, path = "") {
  if (value === null || typeof value !== "object") return [[path, value]];
  return Object.entries(value).flatMap(([key, member]) => leaves(member, path ? `${path}.${key}` : key));
}

/** @param {string} id */
export function idFact(id) {
  return shorten(id, 14);
}
