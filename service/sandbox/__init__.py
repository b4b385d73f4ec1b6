"""An offline stand-in for the vendor's Realtime and GPT-Live APIs: a small server of its own, free of charge.

    __main__   python -m service.sandbox                       server   starts the web server, with or without TLS
    command    python -m service sandbox                       worker   closes WebSockets and calls when the server ends
    app        the Flask application, which puts the parts together

    http/      routes (secrets, models), calls, websockets, sidebands, the connection below them, and shared state
    calls/     sessions over WebRTC: one call, and the registry of all
    webrtc/    offers, peers, the voice on a track, the event loop they share, and the addresses they are reached at
    opening    who may open a session                          minting  requests for client secrets
    sessions/  Realtime sessions, as state machines without I/O, by WebSocket or over media
    live/      GPT-Live sessions, likewise                     schemas/ what clients may send
    audio/     PCM, synthetic speech, turn detection           models   the models, and what each is for
    faults     failures on demand, by model name               recorder a record of the requests for secrets
    event_types  what is sent and taken, and what is not       newest   what is kept, within bounds
    credentials, errors, ids, tls

HTTP and WebSockets have threads, WebRTC has one event loop beside them, and what happens to a call happens in its turn
on a thread of the calls' own (``calls.call``). Clock and ids are passed in wherever there is no I/O. ``.importlinter``
lists what may be imported of the service.
"""
