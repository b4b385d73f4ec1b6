import { useEffect, useRef, useState } from "react";
import { Button, SafeAreaView, Text } from "react-native";

import { RealtimeCall } from "./call";

/** Where the token service is. A phone does not know `127.0.0.1`: take the address that `demo --lan` prints. */
const TOKEN_SERVICE = process.env.EXPO_PUBLIC_TOKEN_SERVICE ?? "https://tokens.example.com";

/** The user's own JWT: ask your identity provider's SDK each time, since it may have been renewed. */
async function getJwt(): Promise<string> {
  return process.env.EXPO_PUBLIC_JWT ?? "";
}

export function App() {
  const call = useRef<RealtimeCall | null>(null);
  const [state, setState] = useState<"idle" | "connecting" | "talking">("idle");
  const [said, setSaid] = useState("");

  useEffect(() => () => void call.current?.end(), []);

  async function start() {
    setState("connecting");
    setSaid("");
    call.current = new RealtimeCall(TOKEN_SERVICE, getJwt, {
      onOpen: () => setState("talking"),
      onEvent: (event) => {
        if (event.type.endsWith("_transcript.delta")) setSaid((before) => before + String(event.delta));
      },
      onEnd: () => setState("idle"),
    });
    try {
      await call.current.start({ model: "gpt-realtime-2.1" });
    } catch (error) {
      setSaid(error instanceof Error ? error.message : String(error));
    }
  }

  return (
    <SafeAreaView>
      <Button title="Call" onPress={start} disabled={state !== "idle"} />
      <Button title="End" onPress={() => call.current?.end()} disabled={state === "idle"} />
      <Text accessibilityRole="header">{state}</Text>
      <Text accessibilityLiveRegion="polite">{said}</Text>
    </SafeAreaView>
  );
}
