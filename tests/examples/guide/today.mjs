// ws today: the key alone, then one response in audio, whose transcript comes with it.
import WebSocket from "ws";

const { OPENAI_API_KEY, REALTIME_URL } = process.env;
const socket = new WebSocket(`${REALTIME_URL}?model=gpt-realtime-2.1`, {
  headers: { Authorization: `Bearer ${OPENAI_API_KEY}` },
});

socket.on("open", () => {
  const response = { output_modalities: ["audio"], instructions: "Recite something short about programming." };
  socket.send(JSON.stringify({ type: "response.create", response }));
});

socket.on("message", (message) => {
  const { type } = JSON.parse(message);
  console.log(type);
  if (["response.done", "error"].includes(type)) socket.close();
});
