import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { chmod } from 'node:fs/promises'
import { connect } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { isSlipwayError } from '../../src/core/errors.ts'
import { createIds } from '../../src/core/ids.ts'
import { silentLogger } from '../../src/core/log.ts'
import { systemClock } from '../../src/core/clock.ts'
import { HTTP_LIMIT_DEFAULTS } from '../../src/protocol/http/options.ts'
import { HttpServer } from '../../src/protocol/http/server.ts'
import { AdminToken } from '../../src/security/admin-token.ts'
import { ApiKeys } from '../../src/security/api-keys.ts'
import { ask, listeningLogger } from '../asking.ts'
import { CUSTOMER, serveExamples } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { AccessOptions } from '../../src/protocol/http/access.ts'
import type { ListenerOptions } from '../../src/protocol/http/listener.ts'
import type { Route } from '../../src/protocol/http/routes.ts'
import type { SlipwayServer } from '../../src/server/start-server.ts'
import type { TemporaryFolder } from '../temporary-folder.ts'

const APP = 'app-key-0123456789abcdef'
const SCRAPER = 'scraper-key-0123456789abcdef'
const NARROW = 'narrow-key-0123456789abcdef'
const TOKEN = 'admin-token-0123456789'

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')
const bearer = (key: string): { authorization: string } => ({ authorization: `Bearer ${key}` })
const row = JSON.stringify(CUSTOMER)

const KEYS_FILE = `keys:
  - { name: app, key: ${APP} }
  - { name: scraper, sha256: ${sha256(SCRAPER).toUpperCase()}, scopes: [metrics] }
  - { name: narrow, key: ${NARROW}, scopes: [predict, metrics], models: [recommend] }
`

describe('a server with API keys', () => {
  let folder: TemporaryFolder
  let file: string
  let server: SlipwayServer
  const log = listeningLogger()
  before(async () => {
    folder = await temporaryFolder()
    file = await folder.write('keys.yaml', KEYS_FILE)
    await chmod(file, 0o600)
    server = await serveExamples(['churn', 'recommend'], {
      apiKeysFile: file,
      defaultModel: 'churn',
      serving: { instances: 1 },
      log: { access: true },
      logger: log,
      environment: {},
    })
  })
  after(async () => {
    await server.close()
    await folder[Symbol.asyncDispose]()
  })

  const predict = (headers: Record<string, string>, path = '/predict') => ask(server.url + path, { headers, body: row })

  it('takes a key as a bearer token, in either case of the word, and as X-API-Key', async () => {
    assert.equal((await predict(bearer(APP))).status, 200)
    assert.equal((await predict({ authorization: `bearer ${APP}` })).status, 200)
    assert.equal((await predict({ 'x-api-key': APP })).status, 200)
    // A proxy's own credentials do not hide the key.
    assert.equal((await predict({ authorization: 'Basic cHJveHk6cHJveHk=', 'x-api-key': APP })).status, 200)
  })

  it('answers 401 without a key and with a wrong one, asks for a bearer token, and repeats no key', async () => {
    for (const headers of [{}, bearer('not-the-key-0123456789'), bearer(sha256(APP)), { 'x-api-key': `${APP}x` }, bearer('')]) {
      const { status, headers: answered, text } = await predict(headers)
      assert.equal(status, 401)
      assert.match(answered['www-authenticate'] ?? '', /^Bearer/)
      assert.equal((JSON.parse(text) as { code: string }).code, 'SLW_UNAUTHENTICATED')
      assert.doesNotMatch(text, /not-the-key|app-key/)
    }
  })

  it('words a refusal as the dialect of the route does', async () => {
    const { status, text } = await ask(`${server.url}/v2/models/churn/infer`, { body: '{}' })
    assert.equal(status, 401)
    assert.deepEqual(Object.keys(JSON.parse(text) as object), ['error'])
    const forbidden = await ask(`${server.url}/v2/models/churn/infer`, { body: '{}', headers: bearer(SCRAPER) })
    assert.equal(forbidden.status, 403)
    assert.deepEqual(Object.keys(JSON.parse(forbidden.text) as object), ['error'])
  })

  it('keeps health and readiness open, and nothing else, not even which routes there are', async () => {
    for (const path of ['/health', '/ready', '/v2/health/live', '/v2/health/ready'])
      assert.equal((await ask(server.url + path)).status, 200, path)
    for (const path of [
      '/metrics',
      '/docs',
      '/docs/start.js',
      '/openapi.json',
      '/v2',
      '/v2/models/churn',
      '/v2/models/churn/ready',
      '/models/churn/example',
      '/predict',
      '/nowhere',
    ])
      assert.equal((await ask(server.url + path)).status, 401, path)
    assert.equal((await ask(`${server.url}/v2/repository/index`, { body: '' })).status, 401)
    assert.equal((await ask(`${server.url}/nowhere`, { headers: bearer(APP) })).status, 404)
    assert.equal((await ask(`${server.url}/predict`, { headers: bearer(APP) })).status, 405)
  })

  it('holds a key to its scopes', async () => {
    assert.equal((await ask(`${server.url}/metrics`, { headers: bearer(SCRAPER) })).status, 200)
    const metrics = await ask(`${server.url}/metrics`, { headers: bearer(APP) })
    assert.equal(metrics.status, 403)
    assert.match(metrics.text, /"app\\" has not the scope metrics; it has predict/)
    const { status, text } = await predict(bearer(SCRAPER))
    assert.equal(status, 403)
    assert.equal((JSON.parse(text) as { code: string }).code, 'SLW_FORBIDDEN')
  })

  it('holds a key to its models, by name, by default and in lists, and says the same of models that do not exist', async () => {
    const example = await ask(`${server.url}/models/recommend/example`, { headers: bearer(NARROW) })
    assert.equal((await ask(`${server.url}/models/recommend/predict`, { headers: bearer(NARROW), body: example.text })).status, 200)
    for (const path of [
      '/predict',
      '/models/churn/predict',
      '/models/churn/versions/1/predict',
      '/v2/models/churn/infer',
      '/v2/models/nowhere/infer',
    ])
      assert.equal((await predict(bearer(NARROW), path)).status, 403, path)
    for (const path of [
      '/models/churn/example',
      ...['', '/ready', '/config', '/stats', '/trace/setting'].map((of) => `/v2/models/churn${of}`),
    ])
      assert.equal((await ask(server.url + path, { headers: bearer(NARROW) })).status, 403, path)
    const index = await ask(`${server.url}/v2/repository/index`, { headers: bearer(NARROW), body: '' })
    assert.deepEqual(
      (JSON.parse(index.text) as { name: string }[]).map(({ name }) => name),
      ['recommend'],
    )
    const statistics = await ask(`${server.url}/v2/models/stats`, { headers: bearer(NARROW) })
    assert.deepEqual(
      (JSON.parse(statistics.text) as { model_stats: { name: string }[] }).model_stats.map(({ name }) => name),
      ['recommend'],
    )
    const openApi = await ask(`${server.url}/openapi.json`, { headers: bearer(NARROW) })
    assert.doesNotMatch(openApi.text, /churn/)
    assert.match(openApi.text, /"securitySchemes"/)
  })

  it('refuses before it reads the body', async () => {
    const heard = await new Promise<string>((resolve) => {
      const socket = connect(server.port, '127.0.0.1', () =>
        socket.write('POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: 500\r\n\r\n{"a":'),
      )
      socket.once('data', (chunk) => {
        socket.destroy()
        resolve(chunk.toString())
      })
    })
    assert.match(heard, /^HTTP\/1\.1 401/)
  })

  it('logs the name of a key, and never a key', async () => {
    await predict(bearer(APP))
    await predict(bearer('not-the-key-0123456789'))
    const all = log.lines.join('\n')
    assert.match(all, /"caller":"app"/)
    assert.doesNotMatch(all, /app-key|scraper-key|narrow-key|not-the-key/)
    assert.ok(!all.includes(sha256(APP)))
  })

  it('reads the file again when told: a new key works, a removed one does not', async () => {
    await folder.write('keys.yaml', `keys: [{ name: other, key: other-key-0123456789abcdef }]`)
    assert.deepEqual(await server.security.reload(), [])
    assert.equal((await predict(bearer('other-key-0123456789abcdef'))).status, 200)
    assert.equal((await predict(bearer(APP))).status, 401)
    await folder.write('keys.yaml', KEYS_FILE)
    assert.deepEqual(await server.security.reload(), [])
    assert.equal((await predict(bearer(APP))).status, 200)
  })

  it('keeps the old keys where the file is broken, says why, and shows nothing of it', async () => {
    for (const broken of [
      'keys: [',
      `keys: []`,
      `keys: [{ name: x, key: secret-in-a-broken-file, scope: [predict] }]`,
      `secret-in-a-broken-file`,
      'keys: *secret-in-a-broken-file',
    ]) {
      await folder.write('keys.yaml', broken)
      const [failure, ...others] = await server.security.reload()
      assert.equal(others.length, 0)
      assert.equal(failure?.code, 'SLW_CONFIG_INVALID')
      assert.match(failure.message, /keys\.yaml:\d+:\d+: /)
      assert.doesNotMatch(failure.message, /secret-in/)
      assert.equal((await predict(bearer(APP))).status, 200)
    }
    assert.ok(log.lines.some((line) => /error going on with the old API keys: .*unknown key; did you mean "scopes"\?/.test(line)))
    await folder.write('keys.yaml', KEYS_FILE)
  })
})

describe('where keys come from', () => {
  it('the variable holds name=key for both scopes, and = may stand in a key', async () => {
    const keys = await ApiKeys.open({ file: undefined, environment: { SLIPWAY_API_KEYS: 'a=first=key, b=second-key' }, log: silentLogger })
    assert.deepEqual(keys?.names, ['a', 'b'])
    assert.deepEqual([...(keys?.caller('first=key')?.scopes ?? [])], ['predict', 'metrics', 'feedback', 'test'])
    assert.equal(keys?.caller('second-key')?.name, 'b')
    assert.equal(keys?.caller('second'), undefined)
  })

  it('there are none where neither file nor variable is given, and everybody is let in', async () => {
    assert.equal(await ApiKeys.open({ file: undefined, environment: { SLIPWAY_API_KEYS: '' }, log: silentLogger }), undefined)
    await using server = await serveExamples(['churn'], { serving: { instances: 1 }, environment: {} })
    assert.equal((await ask(`${server.url}/predict`, { body: row, headers: bearer('whatever') })).status, 200)
    assert.equal((await ask(`${server.url}/metrics`)).status, 200)
  })

  it('a file that others can read is warned of, a short key too', async () => {
    await using folder = await temporaryFolder()
    const file = await folder.write('keys.yaml', 'keys: [{ name: a, key: short }]')
    await chmod(file, 0o644)
    const log = listeningLogger()
    await ApiKeys.open({ file, environment: {}, log })
    assert.ok(log.lines.some((line) => /^warn apiKeysFile .*keys\.yaml can be read by others than its owner: chmod 600/.test(line)))
    assert.ok(log.lines.some((line) => line.startsWith('warn the API key "a" is short')))
    await chmod(file, 0o600)
    const quiet = listeningLogger()
    await ApiKeys.open({ file, environment: { SLIPWAY_API_KEYS: 'b=a-key-of-many-letters' }, log: quiet })
    assert.equal(quiet.lines.length, 1)
  })

  it('what makes no sense is told with its place, without the key', async () => {
    await using folder = await temporaryFolder()
    const cases: readonly (readonly [text: string, says: RegExp])[] = [
      ['keys: [{ name: a }]', /"a" needs either key or sha256/],
      [`keys: [{ name: a, key: sesame-open, sha256: ${sha256('x')} }]`, /"a" needs either key or sha256/],
      ['keys: [{ name: a, key: sesame-open }, { name: a, key: sesame-close }]', /two keys are named "a"/],
      [`keys: [{ name: a, key: sesame-open }, { name: b, sha256: ${sha256('sesame-open')} }]`, /"a" and "b" are the same key/],
      ['keys: [{ name: a, key: sesame open }]', /keys\[0\]\.key/],
      ['keys: [{ name: a, key: sesame-open, scopes: [root] }]', /scopes\[0\]: must be one of \["predict","metrics","feedback","test"\]/],
    ]
    for (const [text, says] of cases) {
      const file = await folder.write('keys.yaml', text)
      await assert.rejects(ApiKeys.open({ file, environment: {}, log: silentLogger }), (error) => {
        assert.ok(isSlipwayError(error) && error.code === 'SLW_CONFIG_INVALID')
        assert.match(error.message, says)
        assert.doesNotMatch(error.message, /sesame/)
        return true
      })
    }
    await assert.rejects(
      ApiKeys.open({ file: undefined, environment: { SLIPWAY_API_KEYS: 'a=sesame-open,sesame-close' }, log: silentLogger }),
      (error) => isSlipwayError(error) && /entry 2 is not name=key/.test(error.message) && !error.message.includes('sesame'),
    )
    await assert.rejects(
      ApiKeys.open({ file: '/nowhere/keys.yaml', environment: {}, log: silentLogger }),
      /apiKeysFile \/nowhere\/keys\.yaml cannot be read/,
    )
  })
})

describe('routes for who administers', () => {
  const routes = (access: Route['access']): Route[] => [
    { method: 'POST', path: '/admin/stop', access, handle: (exchange) => exchange.json(200, '{"stopped":true}') },
  ]
  const loopback = { host: '127.0.0.1', port: 0 }
  const serve = (access: AccessOptions, listeners: readonly ListenerOptions[] = [{ address: loopback, routes: routes('admin') }]) =>
    HttpServer.listen({
      listeners,
      access,
      limits: HTTP_LIMIT_DEFAULTS,
      clock: systemClock,
      nextId: createIds(),
      dialects: [],
    })
  const stop = (url: string, headers: Record<string, string> = {}) => ask(`${url}/admin/stop`, { method: 'POST', headers })
  const keys = () => ApiKeys.open({ file: undefined, environment: { SLIPWAY_API_KEYS: `app=${APP}` }, log: silentLogger })

  it('are closed to everybody while no token is set', async () => {
    await using server = await serve({})
    const { status, text } = await stop(server.url, bearer(TOKEN))
    assert.equal(status, 403)
    assert.match(text, /SLIPWAY_ADMIN_TOKEN/)
  })

  it('take the admin token and nothing else, API keys neither', async () => {
    const adminGuard = await AdminToken.open({ file: undefined, environment: { SLIPWAY_ADMIN_TOKEN: TOKEN }, log: silentLogger })
    await using server = await serve({ adminGuard, keys: await keys() })
    assert.equal((await stop(server.url, bearer(TOKEN))).status, 200)
    for (const headers of [{}, bearer(APP), { 'x-api-key': TOKEN }, bearer(`${TOKEN}x`), bearer(TOKEN.slice(1))]) {
      const { status, headers: answered } = await stop(server.url, headers)
      assert.equal(status, 401)
      assert.match(answered['www-authenticate'] ?? '', /^Bearer/)
    }
  })

  it('the token is read from its file, again when told, and a token too short is refused and not used', async () => {
    await using folder = await temporaryFolder()
    const file = await folder.write('token', `${TOKEN}\n`)
    const token = await AdminToken.open({ file, environment: { SLIPWAY_ADMIN_TOKEN: 'weaker-than-the-file' }, log: silentLogger })
    token?.check(`Bearer ${TOKEN}`)
    assert.throws(() => token?.check('Bearer weaker-than-the-file'), { code: 'SLW_UNAUTHENTICATED' })
    await folder.write('token', 'too-short-to-use')
    await token?.reload()
    token?.check('Bearer too-short-to-use')
    await folder.write('token', '15-is-too-short')
    await assert.rejects(
      async () => token?.reload(),
      (error) => isSlipwayError(error) && /at least 16/.test(error.message) && !error.message.includes('15-is-too'),
    )
    token?.check('Bearer too-short-to-use')
    assert.equal(await AdminToken.open({ file: undefined, environment: {}, log: silentLogger }), undefined)
  })

  it('several listeners of one server have routes of their own, and close together', async () => {
    const server = await serve({}, [
      { address: loopback, routes: [] },
      { address: loopback, routes: routes('open') },
    ])
    const [first, second] = server.urls
    assert.equal((await stop(first ?? '')).status, 404)
    assert.equal((await stop(second ?? '')).status, 200)
    await server.close()
    await assert.rejects(stop(second ?? ''), { code: 'ECONNREFUSED' })
  })

  it('one request costs one look-up of its key', async () => {
    let lookUps = 0
    const open = await keys()
    const counting: AccessOptions['keys'] = {
      caller(key) {
        lookUps++
        return open?.caller(key)
      },
    }
    await using server = await serve({ keys: counting }, [{ address: loopback, routes: routes('predict') }])
    assert.equal((await stop(server.url, bearer(APP))).status, 200)
    assert.equal(lookUps, 1)
    assert.equal((await stop(server.url)).status, 401)
    assert.equal(lookUps, 1)
  })
})
