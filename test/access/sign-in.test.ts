import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { planeInProcess } from '../api/in-plane.ts'
import { slipway } from '../cli/slipway.ts'
import { freePort, ROOT, until } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { Browser, startIssuer } from './issuer.ts'
import type { Plane } from '../api/in-plane.ts'
import type { Issuer } from './issuer.ts'

interface World extends AsyncDisposable {
  readonly plane: Plane
  readonly issuer: Issuer
}

async function world(): Promise<World> {
  await using opened = new AsyncDisposableStack()
  const port = await freePort()
  const issuer = opened.use(await startIssuer(`http://127.0.0.1:${port}/auth/callback`))
  const { url, clientId, clientSecret } = issuer
  const signIn = { issuer: url, clientId, clientSecret: async () => clientSecret, admins: ['root@example.org'] }
  const plane = opened.use(await planeInProcess({ port, signIn }))
  const held = opened.move()
  return { plane, issuer, [Symbol.asyncDispose]: () => held.disposeAsync() }
}

async function signedIn(url: string, name: string, browser = new Browser()): Promise<{ browser: Browser; csrf: string }> {
  const { response } = await browser.visit(`${url}/auth/login?return=/auth/session`, name)
  assert.equal(response.status, 200)
  const session = (await (await browser.ask(`${url}/auth/session`)).json()) as { csrfToken: string; name: string }
  assert.equal(session.name, `${name}@example.org`)
  return { browser, csrf: session.csrfToken }
}

it('people sign in with a browser, have the roles that they and their groups were given, and sign out', { timeout: 60_000 }, async () => {
  await using all = await world()
  const { url } = all.plane
  assert.equal((await fetch(`${url}/api/v1/models`)).status, 401, 'where people sign in nothing is open')
  const root = await signedIn(url, 'root')
  const change = async (who: { browser: Browser; csrf: string }, method: string, path: string, body: object): Promise<Response> =>
    await who.browser.ask(`${url}${path}`, {
      method,
      headers: { 'content-type': 'application/json', 'x-csrf-token': who.csrf },
      body: JSON.stringify(body),
    })
  assert.equal((await change(root, 'POST', '/api/v1/environments', { name: 'production' })).status, 201)
  const anna = await signedIn(url, 'anna')
  const look = async (path: string): Promise<number> => (await anna.browser.ask(`${url}${path}`)).status
  assert.equal(await look('/api/v1/models'), 403, 'who has no role sees nothing')
  assert.equal((await change(root, 'POST', '/api/v1/roles', { kind: 'group', name: 'data-science', role: 'developer' })).status, 201)
  assert.equal(await look('/api/v1/models'), 200, 'the next request knows')
  assert.equal(await look('/env/production/api/v1/models'), 403)
  assert.equal((await change(anna, 'POST', '/api/v1/models', { name: 'm' })).status, 201)
  const given = (await (
    await change(root, 'POST', '/env/production/api/v1/roles', { kind: 'user', name: 'anna@example.org', role: 'viewer' })
  ).json()) as { id: string }
  assert.equal(await look('/env/production/api/v1/models'), 200)
  assert.equal((await change(anna, 'POST', '/env/production/api/v1/models', { name: 'm' })).status, 403)
  await root.browser.ask(`${url}/api/v1/roles/${given.id}`, { method: 'DELETE', headers: { 'x-csrf-token': root.csrf } })
  assert.equal(await look('/env/production/api/v1/models'), 403)
  const who = (await (await anna.browser.ask(`${url}/api/v1/whoami`)).json()) as { name: string; kind: string }
  assert.deepEqual([who.name, who.kind], ['anna@example.org', 'person'])
  assert.equal((await change(anna, 'POST', '/auth/logout', {})).status, 204)
  assert.equal(await look('/api/v1/models'), 401)
})

it('what would let others in is refused: a session that was there before, a page elsewhere, a link of somebody else, a name that leads here', async () => {
  await using all = await world()
  const { url } = all.plane
  // Session fixation: the cookie that somebody slipped in is not the one of the session.
  const victim = new Browser()
  victim.cookies(url).set('slipway_session', 'known-to-others')
  const { csrf } = await signedIn(url, 'root', victim)
  const own = victim.cookies(url).get('slipway_session')!
  assert.notEqual(own, 'known-to-others')
  assert.equal((await fetch(`${url}/api/v1/models`, { headers: { cookie: 'slipway_session=known-to-others' } })).status, 401)
  // CSRF: a cookie alone changes nothing, nor does one from a page elsewhere.
  const send = async (headers: Record<string, string>): Promise<number> =>
    (
      await fetch(`${url}/api/v1/models`, {
        method: 'POST',
        headers: { cookie: `slipway_session=${own}`, 'content-type': 'application/json', ...headers },
        body: '{"name":"m"}',
      })
    ).status
  assert.equal(await send({}), 403)
  assert.equal(await send({ 'x-csrf-token': 'guessed' }), 403)
  assert.equal(await send({ 'x-csrf-token': csrf, origin: 'https://evil.example' }), 403)
  assert.equal(await send({ 'x-csrf-token': csrf, origin: 'null' }), 403)
  assert.equal(await send({ 'x-csrf-token': csrf, origin: url }), 201)
  // DNS rebinding: a name of somebody else that leads to this machine. A browser sends it as the host.
  const { request } = await import('node:http')
  const rebound = await new Promise<number>((resolve, reject) => {
    request(`${url}/api/v1/models`, { headers: { host: 'evil.example', cookie: `slipway_session=${own}` } }, (response) => {
      response.resume()
      resolve(response.statusCode ?? 0)
    })
      .once('error', reject)
      .end()
  })
  assert.equal(rebound, 403)
  // A sign-in that was begun elsewhere is not finished here.
  const attacker = new Browser()
  const begun = await attacker.ask(`${url}/auth/login`)
  const state = new URL(begun.headers.get('location')!).searchParams.get('state')!
  assert.equal((await fetch(`${url}/auth/callback?code=x&state=${state}`, { redirect: 'manual' })).status, 401)
  assert.equal((await attacker.ask(`${url}/auth/callback?code=x&state=${state}`)).status, 401, 'a code that the issuer does not know')
  assert.equal((await attacker.ask(`${url}/auth/callback?code=x&state=${state}`)).status, 401, 'and it is over then')
  // Nobody is sent elsewhere afterwards.
  for (const elsewhere of [
    'https://evil.example/',
    '//evil.example/',
    '/\\evil.example',
    '/..//evil.example',
    '/a/../..//evil.example/x',
    '/%2e%2e//evil.example',
  ]) {
    const browser = new Browser()
    const { url: last } = await browser.visit(`${url}/auth/login?return=${encodeURIComponent(elsewhere)}`, 'root')
    assert.equal(new URL(last).host, new URL(url).host)
  }
  const cookieOf = (await attacker.ask(`${url}/auth/login`)).headers.getSetCookie().join()
  assert.match(cookieOf, /HttpOnly; SameSite=Lax/)
})

it('slipway login signs in with a code on another device; whoami, token and logout follow', { timeout: 120_000 }, async () => {
  await using all = await world()
  await using folder = await temporaryFolder()
  const { url } = all.plane
  const environment = { SLIPWAY_HOME: folder.path, SLIPWAY_URL: url }
  const nobody = await slipway(['whoami'], '', environment)
  assert.equal(nobody.code, 5, nobody.stderr)
  const child = spawn(process.execPath, [join(ROOT, 'bin/slipway'), 'login'], {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  child.stdout.on('data', (piece: Buffer) => (said += piece.toString()))
  child.stderr.on('data', (piece: Buffer) => (said += piece.toString()))
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve))
  await until(() => /http:\S+user_code=\S+/.test(said), 'the address is shown')
  // eslint-disable-next-line no-control-regex
  const address = /http:\S+user_code=[\w-]+/.exec(said.replaceAll(/\u001B\[\d+m/g, ''))![0]
  await new Browser().visit(address, 'root')
  assert.equal(await ended, 0, said)
  assert.match(said, /signed in to .* as root@example.org/)
  assert.equal((await stat(join(folder.path, 'contexts.json'))).mode & 0o077, 0)
  const who = await slipway(['whoami'], '', environment)
  assert.equal(who.code, 0, who.stderr)
  assert.match(who.stdout, /root@example.org \(person\): admin everywhere/)
  const token = await slipway(['token', 'create', 'laptop', '--expires', '1h'], '', environment)
  assert.equal(token.code, 0, token.stderr)
  const key = token.stdout.trim()
  const asToken = (path: string): Promise<Response> => fetch(`${url}/api/v1${path}`, { headers: { authorization: `Bearer ${key}` } })
  assert.equal((await asToken('/models')).status, 200)
  const { items } = (await (await asToken('/tokens')).json()) as { items: { id: string; name: string }[] }
  assert.deepEqual(items.map(({ name }) => name).toSorted(), ['laptop', 'root@example.org (login)'])
  const revoked = await slipway(['token', 'revoke', items.find(({ name }) => name === 'laptop')!.id], '', environment)
  assert.equal(revoked.code, 0, revoked.stderr)
  assert.equal((await asToken('/models')).status, 401, 'a token that was revoked opens nothing')
  const kept = JSON.parse(await readFile(join(folder.path, 'contexts.json'), 'utf8')) as { contexts: Record<string, { key: string }> }
  const own = Object.values(kept.contexts)[0]!.key
  const out = await slipway(['logout'], '', environment)
  assert.equal(out.code, 0, out.stderr)
  assert.equal(
    (await fetch(`${url}/api/v1/models`, { headers: { authorization: `Bearer ${own}` } })).status,
    401,
    'nor does the one of login',
  )
  assert.equal((await slipway(['whoami'], '', environment)).code, 5)
})

it('where nobody signs in, login says what to do instead', async () => {
  await using plane = await planeInProcess()
  const { code, stderr } = await slipway(['login', '--url', plane.url])
  assert.equal(code, 1)
  assert.match(stderr, /--oidc-issuer, or use an API key/)
})
