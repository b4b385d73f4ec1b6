// @ts-check
/**
 * The session types: how each is configured, and the client events that speak to it.
 * @module
 */

import { toBase64, silence } from "./pcm.js";

/** @typedef {import("../realtime.js").RealtimeEvent} RealtimeEvent */
/** @typedef {"realtime" | "live" | "transcription" | "translation"} SessionType */
/** @typedef {{ type: SessionType, answers: string, voice: string, language: string }} Choice */

/** Longer than the pause by which the server's voice detector tells the end of speech (0.5 s). */
const CLOSING_SILENCE_SECONDS = 0.8;

/**
 * The `session` member of a mint, in the vendor's shape.
 * @param {Choice} choice
 * @returns {Record<string, any>}
 */
export function sessionConfig({ type, answers, voice, language }) {
  switch (type) {
    case "translation":
      return {
        type,
        audio: { input: { transcription: { model: "gpt-realtime-whisper" } }, output: { language } },
      };
    case "transcription":
      // The newest transcription models have no turn detection, and all of them take a commit.
      return { type, audio: { input: { turn_detection: null } } };
    default:
      return {
        type,
        output_modalities: [answers],
        audio: {
          input: { transcription: { model: "gpt-live-transcribe" } },
          ...(answers === "audio" ? { output: { voice } } : {}),
        },
      };
  }
}

/**
 * The `session` member of a call to GPT-Live, which has no other modality than sound.
 * @param {{ voice: string }} choice
 * @returns {Record<string, any>}
 */
export function liveConfig({ voice }) {
  return { type: "live", audio: { output: { voice } } };
}

/**
 * @param {SessionType} type
 * @param {ArrayBufferLike} pcm
 * @returns {RealtimeEvent}
 */
export function appendAudio(type, pcm) {
  const prefix = type === "translation" ? "session." : "";
  return { type: `${prefix}input_audio_buffer.append`, audio: toBase64(pcm) };
}

/**
 * What tells the server that the speaker has finished.
 * @param {SessionType} type
 * @returns {RealtimeEvent}
 */
export function endSpeech(type) {
  if (type === "transcription") return { type: "input_audio_buffer.commit" };
  return appendAudio(type, silence(CLOSING_SILENCE_SECONDS).buffer);
}

/**
 * @param {string} text
 * @returns {RealtimeEvent}
 */
export function userMessage(text) {
  const content = [{ type: "input_text", text }];
  return { type: "conversation.item.create", item: { type: "message", role: "user", content } };
}

/**
 * Tells the server how much of an answer was heard, so that its memory of the conversation matches.
 * @param {{ itemId: string, contentIndex: number, playedMs: number }} heard
 * @returns {RealtimeEvent}
 */
export function truncate({ itemId, contentIndex, playedMs }) {
  return { type: "conversation.item.truncate", item_id: itemId, content_index: contentIndex,
    audio_end_ms: playedMs };
}
