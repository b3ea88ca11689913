import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { deflateSync, gzipSync } from 'node:zlib'
import { isSlipwayError } from '../../src/core/errors.ts'
import { silentLogger } from '../../src/core/log.ts'
import { resolveServer } from '../../src/server/options.ts'
import { openSecurity } from '../../src/server/security.ts'
import { ask } from '../asking.ts'
import { authority } from '../certificates.ts'
import { CUSTOMER, serveExamples } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { ServerOptions } from '../../src/server/options.ts'
import type { SlipwayServer } from '../../src/server/start-server.ts'

const row = JSON.stringify(CUSTOMER)
const JSON_TYPE = { 'content-type': 'application/json' }

describe('listening beyond this machine', () => {
  const keys = { SLIPWAY_API_KEYS: 'app=app-key-0123456789abcdef' }
  const open = async (options: ServerOptions, environment: Record<string, string> = {}): Promise<void> => {
    using _security = await openSecurity(resolveServer({ host: '0.0.0.0', ...options }), environment, silentLogger)
  }
  const refused = (says: RegExp, not?: RegExp) => (error: unknown) => {
    assert.ok(isSlipwayError(error) && error.code === 'SLW_HOST_REFUSED', String(error))
    assert.match(error.message, says)
    if (not !== undefined) assert.doesNotMatch(error.message.split('Three ways out')[0] ?? '', not)
    assert.match(error.message, /--api-keys-file.*--tls-cert.*--behind-proxy.*--insecure/)
    return true
  }

  it('is refused by the server itself, without keys and TLS, with what is missing and the ways out', async () => {
    await assert.rejects(serveExamples(['churn'], { host: '0.0.0.0', environment: {} }), refused(/no API keys.*no TLS/))
    for (const host of ['::', '192.0.2.1', 'models.example']) await assert.rejects(open({ host }), refused(/no API keys.*no TLS/))
  })

  it('is refused with keys and no TLS, unless a proxy in front is named', async () => {
    await assert.rejects(open({}, keys), refused(/no TLS/, /API keys/))
    await open({ behindProxy: true }, keys)
  })

  it('is refused without keys, also behind a proxy and with TLS', async () => {
    await using folder = await temporaryFolder()
    const tls = await (await authority(folder.path)).issue('server')
    await assert.rejects(open({ behindProxy: true }), refused(/no API keys/, /TLS/))
    await assert.rejects(open({ tls }), refused(/no API keys/, /TLS/))
    await open({ tls }, keys)
  })

  it('is allowed by --insecure without either, and loopback needs neither', async () => {
    await open({ insecure: true })
    for (const host of ['127.0.0.1', '127.1.2.3', '::1', 'localhost']) await open({ host })
    await using server = await serveExamples(['churn'], { host: '0.0.0.0', insecure: true, serving: { instances: 1 }, environment: {} })
    assert.equal((await ask(`http://127.0.0.1:${server.port}/ready`, { headers: { host: 'models.example' } })).status, 200)
  })
})

describe('a server on loopback', () => {
  let server: SlipwayServer
  before(async () => {
    server = await serveExamples(['churn'], {
      serving: { instances: 1 },
      allowedHosts: 'models.example, Other.Example',
      limits: { bodyBytes: 100_000 },
      environment: {},
    })
  })
  after(() => server.close())

  it('answers to the names of this machine, with any port', async () => {
    for (const host of [
      'localhost',
      'LOCALHOST:80',
      'churn.localhost:8470',
      'localhost.',
      '127.0.0.1',
      '127.9.9.9:1',
      '[::1]:8470',
      '[::ffff:127.0.0.1]',
    ])
      assert.equal((await ask(`${server.url}/ready`, { headers: { host } })).status, 200, host)
  })

  it('answers to the names that were allowed', async () => {
    for (const host of ['models.example', 'MODELS.example:8470', 'other.example'])
      assert.equal((await ask(`${server.url}/ready`, { headers: { host } })).status, 200, host)
  })

  it('refuses other names, also where they look like its own, and says how to allow them', async () => {
    for (const host of [
      'evil.example',
      'localhost.evil.example',
      'evillocalhost',
      '127.0.0.1.evil.example',
      '192.0.2.1',
      '[2001:db8::1]:80',
      '0.0.0.0',
    ]) {
      const { status, text } = await ask(`${server.url}/predict`, { headers: { host, ...JSON_TYPE }, body: row })
      assert.equal(status, 403, host)
      const { code, error } = JSON.parse(text) as { code: string; error: string }
      assert.equal(code, 'SLW_HOST_NOT_ALLOWED')
      assert.match(error, /--allowed-hosts/)
    }
  })

  it('answers HTTP/1.0 without a Host header', async () => {
    const heard = await new Promise<string>((resolve) => {
      let text = ''
      const socket = connect(server.port, '127.0.0.1', () => socket.write('GET /ready HTTP/1.0\r\n\r\n'))
      socket.on('data', (chunk) => (text += chunk.toString()))
      socket.on('close', () => resolve(text))
    })
    assert.match(heard, /^HTTP\/1\.1 200/)
  })

  it('lets no page of another origin read its answers, as long as nobody asks for it', async () => {
    const { status, headers } = await ask(`${server.url}/predict`, { headers: { origin: 'https://app.example', ...JSON_TYPE }, body: row })
    assert.equal(status, 200)
    assert.deepEqual(
      Object.keys(headers).filter((name) => name.startsWith('access-control') || name === 'vary'),
      [],
    )
    const preflight = { origin: 'https://app.example', 'access-control-request-method': 'POST' }
    assert.equal((await ask(`${server.url}/predict`, { method: 'OPTIONS', headers: preflight })).status, 405)
  })

  it('tells browsers not to guess the types of its pages, and not to frame them', async () => {
    for (const path of ['/docs', '/docs/start.js', '/docs/swagger-ui.css', '/openapi.json'])
      assert.equal((await ask(server.url + path)).headers['x-content-type-options'], 'nosniff', path)
    assert.match(String((await ask(`${server.url}/docs`)).headers['content-security-policy']), /frame-ancestors 'none'/)
  })

  const zipped = (body: Uint8Array, encoding = 'gzip', path = '/predict') =>
    ask(server.url + path, { headers: { ...JSON_TYPE, 'content-encoding': encoding }, body })

  it('takes a compressed body as what is in it, in both dialects', async () => {
    const plain = await ask(`${server.url}/predict`, { headers: JSON_TYPE, body: row })
    for (const encoding of ['gzip', 'GZIP', 'x-gzip']) {
      const { status, text } = await zipped(gzipSync(row), encoding)
      assert.equal(status, 200)
      assert.equal(text, plain.text)
    }
    const tensors = { inputs: [{ name: 'customers', datatype: 'FP32', shape: [1, 10], data: [2, 95.5, 6, 1, 0, 0, 1, 0, 0, 1] }] }
    assert.equal((await zipped(gzipSync(JSON.stringify(tensors)), 'gzip', '/v2/models/churn/infer')).status, 200)
    assert.equal((await zipped(deflateSync(row), 'deflate')).text, plain.text)
    assert.equal((await zipped(Buffer.from(row), 'identity')).status, 200)
  })

  it('answers 413 to a body that is small and would become too large, without making it so', async () => {
    const zeros = Buffer.alloc(200_000_000)
    const bombs = { gzip: gzipSync(zeros), deflate: deflateSync(zeros) }
    await using roomy = await serveExamples(['churn'], { serving: { instances: 1 }, limits: { bodyBytes: 1_000_000 }, environment: {} })
    const before = process.memoryUsage().arrayBuffers
    let most = 0
    const watch = setInterval(() => (most = Math.max(most, process.memoryUsage().arrayBuffers)), 1)
    for (const [coding, body] of Object.entries(bombs)) {
      const { status, text } = await ask(`${roomy.url}/predict`, { headers: { ...JSON_TYPE, 'content-encoding': coding }, body })
      assert.equal(status, 413)
      assert.match(text, /SLW_BODY_TOO_LARGE/)
    }
    clearInterval(watch)
    assert.ok(Math.max(most, process.memoryUsage().arrayBuffers) - before < 20_000_000)
  })

  it('takes a gzip body up to the limit exactly', async () => {
    const padded = (length: number): Buffer => Buffer.from(row.padEnd(length, ' '))
    assert.equal((await zipped(gzipSync(padded(100_000)))).status, 200)
    assert.equal((await zipped(gzipSync(padded(100_001)))).status, 413)
  })

  it('answers 400 to gzip that is broken or cut off', async () => {
    for (const body of [Buffer.from(row), gzipSync(row).subarray(0, 30), Buffer.alloc(0)]) {
      const { status, text } = await zipped(body)
      assert.equal(status, 400, text)
      assert.match(text, /not valid gzip/)
    }
  })

  it('answers 415 to any other encoding, and says which it reads', async () => {
    for (const encoding of ['br', 'zstd', 'gzip, gzip', 'nonsense']) {
      const { status, headers, text } = await zipped(deflateSync(row), encoding)
      assert.equal(status, 415)
      assert.equal(headers['accept-encoding'], 'gzip, deflate')
      assert.ok(text.includes(encoding))
    }
  })
})

describe('pages of other origins', () => {
  const ORIGIN = 'https://app.example'
  const key = 'app-key-0123456789abcdef'
  let server: SlipwayServer
  before(async () => {
    server = await serveExamples(['churn'], {
      cors: `${ORIGIN}, http://localhost:3000`,
      serving: { instances: 1 },
      environment: { SLIPWAY_API_KEYS: `app=${key}` },
    })
  })
  after(() => server.close())

  const preflight = (path: string, origin = ORIGIN) =>
    ask(server.url + path, {
      method: 'OPTIONS',
      headers: {
        origin,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'authorization,content-type,slipway-unit',
      },
    })

  it('are told what they may send, without a key and without a body', async () => {
    const { status, headers, text } = await preflight('/predict')
    assert.equal(status, 204)
    assert.equal(text, '')
    assert.equal(headers['content-length'], undefined)
    assert.equal(headers['access-control-allow-origin'], ORIGIN)
    assert.equal(headers['access-control-allow-methods'], 'POST')
    assert.equal(headers['access-control-allow-headers'], 'authorization,content-type,slipway-unit')
    assert.match(headers.vary ?? '', /origin/i)
  })

  it('that are not in the list are refused, and unknown addresses are not found', async () => {
    for (const origin of ['https://evil.example', 'http://app.example', 'https://app.example.evil.example', 'null']) {
      const { status, headers } = await preflight('/predict', origin)
      assert.equal(status, 403)
      assert.equal(headers['access-control-allow-origin'], undefined)
    }
    assert.equal((await preflight('/nowhere')).status, 401)
  })

  it('may read answers, the headers of ours, and refusals', async () => {
    const headers = { ...JSON_TYPE, origin: ORIGIN, authorization: `Bearer ${key}` }
    const answer = await ask(`${server.url}/predict`, { headers, body: row })
    assert.equal(answer.status, 200)
    assert.equal(answer.headers['access-control-allow-origin'], ORIGIN)
    assert.match(answer.headers.vary ?? '', /origin/i)
    const exposed = (answer.headers['access-control-expose-headers'] ?? '').split(', ')
    for (const name of ['x-request-id', 'inference-header-content-length', 'slipway-model', 'slipway-version'])
      assert.ok(exposed.includes(name), name)
    const refusal = await ask(`${server.url}/predict`, { headers: { origin: ORIGIN }, body: row })
    assert.equal(refusal.status, 401)
    assert.equal(refusal.headers['access-control-allow-origin'], ORIGIN)
  })

  it('get answers that tell caches of the origin, whoever asks', async () => {
    for (const headers of [{}, { origin: 'https://evil.example' }] as Record<string, string>[]) {
      const answer = await ask(`${server.url}/ready`, { headers })
      assert.equal(answer.headers['access-control-allow-origin'], undefined)
      assert.match(answer.headers.vary ?? '', /origin/i)
    }
  })

  it('may all come where * says so', async () => {
    await using everybody = await serveExamples(['churn'], { cors: '*', serving: { instances: 1 }, environment: {} })
    const answer = await ask(`${everybody.url}/ready`, { headers: { origin: 'https://anybody.example' } })
    assert.equal(answer.headers['access-control-allow-origin'], '*')
  })
})
