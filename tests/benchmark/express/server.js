// The token service as an Express user would write it from the packages' own READMEs.
'use strict'

const express = require('express')
const { rateLimit } = require('express-rate-limit')
const jwt = require('jsonwebtoken')
const pinoHttp = require('pino-http')

const { JWT_SECRET, JWT_ISSUER, JWT_AUDIENCE, OPENAI_API_KEY, OPENAI_BASE_URL, PORT } = process.env

function authenticate (req, res, next) {
  const [scheme, token] = (req.get('authorization') ?? '').split(' ')
  if (scheme !== 'Bearer') return res.status(401).json({ error: { code: 'missing_token' } })
  try {
    req.caller = jwt.verify(token, JWT_SECRET, {
      algorithms: ['HS256'], issuer: JWT_ISSUER, audience: JWT_AUDIENCE
    })
  } catch {
    return res.status(401).json({ error: { code: 'invalid_token' } })
  }
  next()
}

const app = express()
app.disable('x-powered-by')
app.use(pinoHttp({ redact: ['req.headers.authorization'] }))
app.use(express.json())

app.post(
  '/token',
  authenticate,
  rateLimit({
    windowMs: 60_000,
    limit: 1_000_000,
    standardHeaders: 'draft-8',
    legacyHeaders: false,
    keyGenerator: req => req.caller.sub
  }),
  async (req, res) => {
    const answer = await fetch(`${OPENAI_BASE_URL}/realtime/client_secrets`, {
      method: 'POST',
      headers: { authorization: `Bearer ${OPENAI_API_KEY}`, 'content-type': 'application/json' },
      body: JSON.stringify({ expires_after: { anchor: 'created_at', seconds: 60 }, session: req.body.session }),
      signal: AbortSignal.timeout(10_000)
    })
    if (!answer.ok) return res.status(502).json({ error: { code: 'upstream_error' } })
    res.set('cache-control', 'no-store').json(await answer.json())
  }
)

app.listen(Number(PORT), '127.0.0.1')
