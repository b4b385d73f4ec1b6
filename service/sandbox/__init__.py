"""An offline stand-in for the vendor's Realtime API: a small server of its own, free of charge.

    __main__   python -m service.sandbox                       server   starts the web server, with or without TLS
    command    python -m service sandbox                       worker   closes WebSockets when the server ends
    app        the Flask application, which puts the parts together

    http/      routes (secrets, models), calls (WebRTC), websockets, and the state they share
    opening    who may open a session                          minting  requests for client secrets
    sessions/  the sessions, as state machines without I/O     schemas/ what clients may send
    audio/     PCM, synthetic speech, turn detection           models   the models, and what each is for
    faults     failures on demand, by model name               recorder a record of the requests for secrets
    credentials, errors, ids, tls

Clock and ids are passed in wherever there is no I/O. ``.importlinter`` lists what may be imported of the service.
"""
