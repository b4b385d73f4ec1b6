"""An offline stand-in for the vendor's Realtime API: its own small server, free of charge.

    app       the Flask application: HTTP routes and sockets meet here
    server    gunicorn in the foreground, with or without TLS

    routes    minting and the small HTTP routes         sockets   WebSockets: who may open one, and the pump
    calls     WebRTC offers and answers                 faults    failures on demand, by model name

    vault     secrets, each good for one session        recorder  what was minted, for tests to read

    conversation, transcription, translation, beta      the sessions: client event in, server events out
    answer, responder, arguments, speech, hearing …     what they are made of; no input or output

Everything from ``conversation`` downwards is a pure state machine over a clock and a source of ids
that are passed in. The package imports nothing of the token service but ``service.wire``.
"""
