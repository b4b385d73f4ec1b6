// @ts-check
/** @typedef {import("../realtime.js").RealtimeEvent} RealtimeEvent */
/** @typedef {"you" | "answer" | "translation" | "note"} Speaker */

const NAMES = { you: "You", answer: "Answer", translation: "Translation", note: "" };

/** What was said so far, growing with every server event. */
export class Transcript {
  #list;
  #announce;
  /** @type {Map<string, HTMLElement>} the text of each entry, by the server's item */
  #entries = new Map();
  #paragraph = 0;
  /** Who speaks in a session that knows no items. @type {Speaker | null} */
  #speaker = null;
  #spoken = false;
  #following = true;

  /**
   * @param {HTMLElement} list
   * @param {HTMLElement} announcer a live region: finished entries are read out there, fragments are not
   */
  constructor(list, announcer) {
    this.#list = list;
    let width = 0;
    list.addEventListener("scroll", () => {
      // A new width breaks the lines anew, which scrolls as well: that was not the reader.
      if (width === list.clientWidth) this.#following = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
    });
    new ResizeObserver(() => {
      width = list.clientWidth;
      this.#follow(); // a phone is turned, or its keyboard opens
    }).observe(list);
    this.#announce = (/** @type {string} */ words) => (announcer.textContent = words);
  }

  /** @param {boolean} spoken whether this is a Live session, in which two speakers take turns */
  clear(spoken) {
    this.#list.replaceChildren();
    this.#entries.clear();
    this.#spoken = spoken;
    this.#speaker = null;
  }

  /**
   * A line that nobody spoke.
   * @param {string} words
   */
  note(words) {
    for (const text of this.#entries.values()) text.parentElement?.removeAttribute("data-growing");
    const id = `note-${this.#list.childElementCount}`;
    this.#complete("note", id, words);
  }

  /** Translations know no items: what is said after the microphone was switched on starts a new entry. */
  startParagraph() {
    this.#paragraph += 1;
  }

  /** @param {RealtimeEvent} event */
  apply(event) {
    switch (event.type) {
      case "conversation.item.added":
        return this.#added(event.item);
      case "input_audio_buffer.committed":
        return this.#append("you", event.item_id, "");
      case "conversation.item.input_audio_transcription.delta":
        return this.#append("you", event.item_id, event.delta);
      case "conversation.item.input_audio_transcription.completed":
        return this.#complete("you", event.item_id, event.transcript);
      case "response.output_text.delta":
      case "response.output_audio_transcript.delta":
        return this.#append("answer", event.item_id, event.delta);
      case "response.output_text.done":
        return this.#complete("answer", event.item_id, event.text);
      case "response.output_audio_transcript.done":
        return this.#complete("answer", event.item_id, event.transcript);
      case "session.input_transcript.delta":
        return this.#speak("you", event.delta);
      case "session.output_transcript.delta":
        return this.#speak(this.#spoken ? "answer" : "translation", event.delta);
      case "response.done":
        return this.#ended(event.response);
    }
  }

  /**
   * @param {Speaker} speaker
   * @param {string} text
   */
  #speak(speaker, text) {
    if (this.#spoken && this.#speaker !== speaker) {
      if (this.#speaker) this.#settle(`${this.#speaker}-${this.#paragraph}`, true);
      this.#paragraph += 1;
    }
    this.#speaker = speaker;
    this.#append(speaker, `${speaker}-${this.#paragraph}`, text);
  }

  /** @param {Record<string, any>} item */
  #added(item) {
    if (item.role !== "user") return;
    const text = item.content?.map((/** @type {any} */ part) => part.text ?? part.transcript ?? "").join("") ?? "";
    this.#append("you", item.id, "").textContent = text;
    this.#follow();
    this.#settle(item.id, Boolean(text));
  }

  /**
   * @param {Speaker} speaker
   * @param {string} id
   * @param {string} text
   */
  #append(speaker, id, text) {
    const entry = this.#entries.get(id) ?? this.#create(speaker, id);
    entry.append(text);
    this.#follow();
    return entry;
  }

  /** Keeps the newest words in sight, unless the reader has scrolled back. */
  #follow() {
    if (this.#following) this.#list.scrollTop = this.#list.scrollHeight;
  }

  /**
   * @param {Speaker} speaker
   * @param {string} id
   * @param {string} text
   */
  #complete(speaker, id, text) {
    this.#append(speaker, id, "").textContent = text;
    this.#follow();
    this.#settle(id, true);
    this.#announce(NAMES[speaker] ? `${NAMES[speaker]}: ${text}` : text);
  }

  /** @param {Record<string, any>} response */
  #ended({ status, output }) {
    for (const { id } of output ?? []) {
      this.#settle(id, true);
      const name = /** @type {HTMLElement | null | undefined} */ (this.#entries.get(id)?.previousElementSibling);
      if (name && status === "cancelled") name.dataset.note = "stopped";
      if (name && status === "incomplete") name.dataset.note = "cut short";
    }
  }

  /**
   * @param {string} id
   * @param {boolean} finished
   */
  #settle(id, finished) {
    this.#entries.get(id)?.parentElement?.toggleAttribute("data-growing", !finished);
  }

  /**
   * @param {Speaker} speaker
   * @param {string} id
   */
  #create(speaker, id) {
    const entry = document.createElement("li");
    entry.className = "entry";
    entry.dataset.speaker = speaker;
    entry.toggleAttribute("data-growing", true);
    const name = document.createElement("span");
    name.className = "speaker";
    name.textContent = NAMES[speaker];
    const text = document.createElement("p");
    entry.append(name, text);
    this.#list.append(entry);
    this.#entries.set(id, text);
    return text;
  }
}
