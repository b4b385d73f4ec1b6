import { useCallback, useEffect, useRef, useState } from "react";

import { getJwt } from "./auth";
import { connect, requestToken, startCall, TokenError } from "./realtime";

/** Where the token service is; its ALLOWED_ORIGINS names this page's origin. */
const TOKEN_SERVICE = import.meta.env.VITE_TOKEN_SERVICE ?? "http://127.0.0.1:8000";

export type State = "idle" | "connecting" | "talking";
type Session = ReturnType<typeof connect> | ReturnType<typeof startCall>;

/** One conversation: by a client secret, in text, or by a call, with the microphone. */
export function useConversation() {
  const [state, setState] = useState<State>("idle");
  const [said, setSaid] = useState("");
  const [problem, setProblem] = useState("");
  const [secondsLeft, setSecondsLeft] = useState<number | null>(null);
  const stop = useRef<() => void>(() => {});

  useEffect(() => () => stop.current(), []); // a component that goes leaves no session behind

  /** Show what a session says, until it ends. */
  const follow = useCallback(async (session: Session, end: () => void) => {
    let ended = false;
    stop.current = () => {
      ended = true;
      end();
    };
    setState("connecting");
    setSaid("");
    setProblem("");
    try {
      await session.ready;
      setState("talking");
      session.send({ type: "response.create", response: { instructions: "Greet the user." } });
      for await (const event of session) {
        if (event.type.endsWith("_transcript.delta")) setSaid((before) => before + event.delta);
        if (event.type === "error") setProblem(event.error.message);
      }
    } catch (error) {
      if (ended) return; // `ready` rejects, too, where the user ends what is still connecting
      // A refusal says in words what is wrong; `code` and `param` are for programs.
      setProblem(error instanceof TokenError ? `${error.message} (${error.code})` : String(error));
    } finally {
      stop.current = () => {};
      setSecondsLeft(null);
      setState("idle");
    }
  }, []);

  const talk = useCallback(() => {
    const session = connect(async (options) =>
      requestToken(`${TOKEN_SERVICE}/token`, await getJwt(), { ...options, model: "gpt-realtime-2.1" }),
    );
    void follow(session, () => session.close());
  }, [follow]);

  const call = useCallback(() => {
    const session = startCall(`${TOKEN_SERVICE}/calls`, getJwt, { model: "gpt-realtime-2.1" });
    session.addEventListener("time", ({ detail }) => setSecondsLeft(detail));
    void follow(session, () => void session.end());
  }, [follow]);

  return { state, said, problem, secondsLeft, talk, call, end: () => stop.current() };
}
