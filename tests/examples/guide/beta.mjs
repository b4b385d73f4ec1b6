// ws in the beta: the key and the beta's header, then one response in audio and text.
import WebSocket from "ws";

const { OPENAI_API_KEY, REALTIME_URL } = process.env;
const socket = new WebSocket(`${REALTIME_URL}?model=gpt-4o-realtime-preview-2024-12-17`, {
  headers: { Authorization: `Bearer ${OPENAI_API_KEY}`, "OpenAI-Beta": "realtime=v1" },
});

socket.on("open", () => {
  const response = { modalities: ["audio", "text"], instructions: "Recite something short about programming." };
  socket.send(JSON.stringify({ type: "response.create", response }));
});

socket.on("message", (message) => {
  const { type } = JSON.parse(message);
  console.log(type);
  if (["response.done", "error"].includes(type)) socket.close();
});
