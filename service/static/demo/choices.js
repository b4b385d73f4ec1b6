// @ts-check
/**
 * What a visitor can choose: how to connect, and to which session.
 * @module
 */

import { liveConfig, sessionConfig } from "./sessions.js";

/** @typedef {import("./sessions.js").SessionType} SessionType */
/** @typedef {"websocket" | "webrtc" | "call" | "live"} Access */

/**
 * Everything the form says.
 * @typedef {object} Choice
 * @property {Access} access
 * @property {SessionType} type
 * @property {string} model
 * @property {string} answers `audio` or `text`
 * @property {string} voice
 * @property {string} language
 * @property {string} profile
 * @property {number | null} maxSeconds of a call; null is as long as the service allows
 */

/**
 * The session types of each way to connect. All but conversations are sent sound in chunks, by WebSocket.
 * @type {Record<Access, readonly SessionType[]>}
 */
export const TYPES = {
  websocket: ["realtime", "transcription", "translation"],
  webrtc: ["realtime"],
  call: ["realtime"],
  live: ["live"],
};

/** @param {Access} access */
export function isCall(access) {
  return access === "call" || access === "live";
}

/**
 * The request that a choice amounts to, in the service's words.
 * @param {Choice} choice
 * @returns {{ path: "/token" | "/calls", model: string | null, session: Record<string, any>,
 *             profile: string | null, maxSeconds: number | null }}
 */
export function requestFor(choice) {
  const call = isCall(choice.access);
  return {
    path: call ? "/calls" : "/token",
    model: choice.model || null,
    session: choice.access === "live" ? liveConfig(choice) : sessionConfig(choice),
    profile: choice.profile || null,
    maxSeconds: call ? choice.maxSeconds : null,
  };
}
