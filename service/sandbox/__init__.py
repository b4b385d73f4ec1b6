"""An offline stand-in for the vendor's Realtime API: its own small server, free of charge.

    __main__   python -m service.sandbox: patches gevent, then runs the server
    server     gunicorn in the foreground, with or without TLS     worker     its worker, which says farewell
    app        the Flask application: routes and sockets meet here
    routes     minting and models                                  sockets    WebSockets, and the pump behind them
    calls      WebRTC offers and answers                           faults     failures on demand, by model name
    state      what one sandbox remembers: recorder (what was minted), vault (secrets, one session each)

    opening    who may open a socket                               minting    what a mint checks and answers
    shapes/    what clients may send                               validation says what is wrong with it
    talk/      the sessions, as state machines                     sound/     audio in and out

The three folders, ``opening`` and ``minting`` do no input or output: clock and ids are passed in.
The package imports nothing of the token service but ``service.vendors.wire``.
"""
