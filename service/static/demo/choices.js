// @ts-check
/**
 * What a visitor can choose: the door, and what goes through it.
 * @module
 */

import { liveConfig, sessionConfig } from "./sessions.js";

/** @typedef {import("./sessions.js").SessionType} SessionType */
/** @typedef {"websocket" | "webrtc" | "call" | "live"} Door */

/**
 * Everything the form says.
 * @typedef {object} Choice
 * @property {Door} door
 * @property {SessionType} type
 * @property {string} model
 * @property {string} answers `audio` or `text`
 * @property {string} voice
 * @property {string} language
 * @property {string} profile
 * @property {number | null} maxSeconds of a call; null is as long as the service allows
 */

/**
 * The session types that each door leads to. Others than conversations are spoken to in chunks, by WebSocket.
 * @type {Record<Door, readonly SessionType[]>}
 */
export const TYPES = {
  websocket: ["realtime", "transcription", "translation"],
  webrtc: ["realtime"],
  call: ["realtime"],
  live: ["live"],
};

/** @param {Door} door */
export function isCall(door) {
  return door === "call" || door === "live";
}

/**
 * The request that a choice amounts to, in the service's words.
 * @param {Choice} choice
 * @returns {{ path: "/token" | "/calls", model: string, session: Record<string, any>, profile: string | null,
 *             maxSeconds: number | null }}
 */
export function requestFor(choice) {
  const call = isCall(choice.door);
  return {
    path: call ? "/calls" : "/token",
    model: choice.model,
    session: choice.door === "live" ? liveConfig(choice) : sessionConfig(choice),
    profile: choice.profile || null,
    maxSeconds: call ? choice.maxSeconds : null,
  };
}
