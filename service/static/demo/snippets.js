// @ts-check
/**
 * The current settings as code, to be copied into an app.
 * @module
 */

import { isCall, requestFor } from "./choices.js";

/** @typedef {import("./choices.js").Choice} Choice */
/** @typedef {{ service: string, jwt: string }} Place */

/**
 * @param {string} language `curl`, `fetch`, `react` or `python`
 * @param {Choice} choice
 * @param {Place} place
 * @returns {{ code: string, note: string }}
 */
export function snippet(language, choice, place) {
  const write = /** @type {Record<string, (choice: Choice, place: Place) => { code: string, note: string }>} */ ({
    curl, fetch: plain, react, python,
  })[language];
  return write(choice, place);
}

/** The members that the service is sent. @param {Choice} choice */
function body(choice) {
  const { model, session, profile, maxSeconds } = requestFor(choice);
  return { ...(model ? { model } : {}), session, ...(profile ? { profile } : {}), ...(maxSeconds ? { max_seconds: maxSeconds } : {}) };
}

/** The options that `realtime.js` takes. @param {Choice} choice */
function options(choice) {
  const { max_seconds: maxSeconds, ...rest } = body(choice);
  return { ...rest, ...(maxSeconds ? { maxSeconds } : {}) };
}

/** How long an object may be to stay on one line. */
const INLINE = 60;

/**
 * JSON as one writes it in JavaScript, or in Python with `quote` and its own words.
 *
 * @param {any} value
 * @param {string} indent of the line that it begins on
 * @param {(key: string) => string} [quote]
 * @param {string} [step]
 * @returns {string}
 */
function literal(value, indent, quote = (key) => key, step = "  ") {
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const list = Array.isArray(value);
  const inner = indent + step;
  const parts = Object.entries(value).map(([key, member]) => (list ? "" : `${quote(key)}: `) + literal(member, inner, quote, step));
  const [open, close] = list ? ["[", "]"] : ["{", "}"];
  const space = list || step.length > 2 ? "" : " ";
  const line = `${open}${space}${parts.join(", ")}${space}${close}`;
  if (line.length <= INLINE && !line.includes("\n")) return line;
  return `${open}\n${parts.map((part) => inner + part).join(",\n")},\n${indent}${close}`;
}

/** @param {Choice} choice @param {Place} place */
function curl(choice, { service, jwt }) {
  const { path } = requestFor(choice);
  const content = isCall(choice.access) ? { ...body(choice), sdp: "v=0…" } : body(choice);
  const code = [
    `export TOKEN_SERVICE=${service}`,
    `export JWT=${jwt || "…"}`,
    `curl -sS "$TOKEN_SERVICE${path}" \\`,
    '  -H "Authorization: Bearer $JWT" \\',
    '  -H "Content-Type: application/json" \\',
    `  -d '${JSON.stringify(content).replaceAll("'", "'\\''")}'`,
  ].join("\n");
  const note = isCall(choice.access) ? "The offer (sdp) is your WebRTC library’s; curl has none." : "";
  return { code, note };
}

const COPIED = "realtime.js has no dependency. Copy it and realtime.d.ts from /static/ into your app.";

/** @param {Choice} choice */
function sessionCode(choice) {
  if (isCall(choice.access)) {
    return { names: "startCall", code: [
      `const call = startCall(\`\${TOKEN_SERVICE}/calls\`, getJwt, ${literal(options(choice), "")});`,
      'call.addEventListener("time", ({ detail }) => console.log(`${detail} s left`));',
      'call.addEventListener("close", ({ detail }) => console.log("ended by", detail.endedBy, detail.error));',
      "await call.ready; // the microphone is on; call.end() ends it",
    ] };
  }
  const wanted = literal(options(choice), "");
  const source = "async (options) => requestToken(`${TOKEN_SERVICE}/token`, await getJwt(), { ...wanted, ...options })";
  if (choice.access === "webrtc") {
    return { names: "connectWebRTC, requestToken", code: [
      "const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });",
      "const peer = new RTCPeerConnection();",
      "peer.addTrack(microphone.getAudioTracks()[0], microphone);",
      "peer.ontrack = ({ streams }) => Object.assign(new Audio(), { srcObject: streams[0] }).play();",
      'const channel = peer.createDataChannel("oai-events");',
      "channel.onmessage = ({ data }) => console.log(JSON.parse(data));",
      `const wanted = ${wanted};`,
      `await connectWebRTC(peer, ${source});`,
    ] };
  }
  return { names: "connect, requestToken", code: [
    `const wanted = ${wanted};`,
    `const session = connect(${source});`,
    "await session.ready;",
    ...(choice.type === "realtime" ? ['session.send({ type: "response.create" });'] : []),
    "for await (const event of session) console.log(event.type);",
  ] };
}

/** @param {Choice} choice @param {Place} place */
function plain(choice, { service }) {
  const { names, code } = sessionCode(choice);
  const lines = [
    `import { ${names} } from "./realtime.js";`,
    "",
    `const TOKEN_SERVICE = "${service}";`,
    "const getJwt = async () => /* from your identity provider */ \"\";",
    "",
    ...code,
  ];
  return { code: lines.join("\n"), note: COPIED };
}

/** @param {Choice} choice @param {Place} place */
function react(choice, { service }) {
  const write = isCall(choice.access) ? reactCall : choice.access === "webrtc" ? reactPeer : reactSocket;
  return { code: write(choice, service).join("\n"), note: COPIED };
}

/** @param {Choice} choice @param {string} service */
function reactCall(choice, service) {
  return [
    'import { useEffect, useRef, useState } from "react";',
    'import { startCall } from "./realtime.js";',
    "",
    "export function CallButton({ getJwt }) {",
    "  const call = useRef(null);",
    "  const [left, setLeft] = useState(null);",
    "  useEffect(() => () => call.current?.end(), []); // or the call would outlast the button",
    "  const toggle = () => {",
    "    if (call.current) return call.current.end();",
    `    call.current = startCall("${service}/calls", getJwt, ${literal(options(choice), "    ")});`,
    '    call.current.addEventListener("time", ({ detail }) => setLeft(detail));',
    '    call.current.addEventListener("close", () => {',
    "      call.current = null;",
    "      setLeft(null);",
    "    });",
    "  };",
    '  return <button onClick={toggle}>{left === null ? "Call" : `End (${left} s left)`}</button>;',
    "}",
  ];
}

/** @param {Choice} choice @param {string} service */
function reactSocket(choice, service) {
  return [
    'import { useEffect, useState } from "react";',
    'import { connect, requestToken } from "./realtime.js";',
    "",
    `const wanted = ${literal(options(choice), "")};`,
    "",
    "export function useRealtime(getJwt) {",
    "  const [events, setEvents] = useState([]);",
    "  useEffect(() => {",
    "    const session = connect(async (options) =>",
    `      requestToken("${service}/token", await getJwt(), { ...wanted, ...options }));`,
    '    session.addEventListener("message", ({ data }) => setEvents((all) => [...all, data]));',
    "    return () => session.close();",
    "  }, [getJwt]);",
    "  return events;",
    "}",
  ];
}

/** @param {Choice} choice @param {string} service */
function reactPeer(choice, service) {
  return [
    'import { useEffect, useState } from "react";',
    'import { connectWebRTC, requestToken } from "./realtime.js";',
    "",
    `const wanted = ${literal(options(choice), "")};`,
    "",
    "export function useRealtime(getJwt) {",
    "  const [events, setEvents] = useState([]);",
    "  useEffect(() => {",
    "    const stop = new AbortController();",
    "    const peer = new RTCPeerConnection();",
    "    peer.ontrack = ({ streams }) => Object.assign(new Audio(), { srcObject: streams[0] }).play();",
    '    const channel = peer.createDataChannel("oai-events");',
    "    channel.onmessage = ({ data }) => setEvents((all) => [...all, JSON.parse(data)]);",
    "    const start = async () => {",
    "      const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });",
    "      const [track] = microphone.getAudioTracks();",
    '      stop.signal.addEventListener("abort", () => track.stop());',
    "      if (stop.signal.aborted) return track.stop();",
    "      peer.addTrack(track, microphone);",
    "      const source = async (options) =>",
    `        requestToken("${service}/token", await getJwt(), { ...wanted, ...options });`,
    "      await connectWebRTC(peer, source, { signal: stop.signal });",
    "    };",
    "    start().catch((error) => stop.signal.aborted || console.error(error));",
    "    return () => {",
    "      stop.abort();",
    "      peer.close();",
    "    };",
    "  }, [getJwt]);",
    "  return events;",
    "}",
  ];
}

/** @param {Choice} choice @param {Place} place */
function python(choice, { service }) {
  const call = isCall(choice.access);
  const note = `pip install requests${call ? " aiortc" : ""}`;
  return { code: (call ? pythonCall : pythonSecret)(choice, service).join("\n"), note };
}

/** @param {Record<string, any>} content @param {string} indent */
function pythonLiteral(content, indent) {
  return literal(content, indent, JSON.stringify, "    ")
    .replace(/: null/g, ": None").replace(/: true/g, ": True").replace(/: false/g, ": False");
}

/** @param {Choice} choice @param {string} service */
function pythonSecret(choice, service) {
  return [
    "import os",
    "import requests",
    "",
    "answer = requests.post(",
    `    "${service}/token",`,
    '    headers={"Authorization": f"Bearer {os.environ[\'JWT\']}"},',
    `    json=${pythonLiteral(body(choice), "    ")},`,
    "    timeout=30,",
    ")",
    "answer.raise_for_status()",
    'print(answer.json()["connection"]["url"])',
  ];
}

/** @param {Choice} choice @param {string} service */
function pythonCall(choice, service) {
  const content = { ...body(choice), sdp: "OFFER" };
  return [
    "import asyncio",
    "import os",
    "import requests",
    "from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription",
    "",
    `CALLS = "${service}/calls"`,
    'HEADERS = {"Authorization": f"Bearer {os.environ[\'JWT\']}"}',
    "",
    "async def main():",
    "    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))",
    '    peer.addTransceiver("audio")  # or addTrack, with what the user says',
    '    channel = peer.createDataChannel("oai-events")',
    '    channel.on("message", print)',
    "    await peer.setLocalDescription(await peer.createOffer())",
    "    answer = requests.post(",
    "        CALLS,",
    "        headers=HEADERS,",
    `        json=${pythonLiteral(content, "        ").replace('"OFFER"', "peer.localDescription.sdp")},`,
    "        timeout=30,",
    "    )",
    "    answer.raise_for_status()",
    '    call, sdp = answer.json()["call"], answer.json()["sdp"]',
    '    await peer.setRemoteDescription(RTCSessionDescription(sdp, "answer"))',
    "    await asyncio.sleep(3)",
    '    requests.delete(f"{CALLS}/{call[\'id\']}", headers=HEADERS, timeout=30)',
    "    await peer.close()",
    "",
    "asyncio.run(main())",
  ];
}
