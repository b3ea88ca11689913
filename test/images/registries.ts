import { createPrivateKey, sign } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { readFile } from 'node:fs/promises'
import { createServer as createTcpServer, connect } from 'node:net'
import { crane, referrersRegistry } from '../../scripts/image-tools.ts'
import { debianBinary } from '../../scripts/debian-package.ts'
import { authority } from '../certificates.ts'
import { freePort } from '../fixtures.ts'
import { startChild } from '../observe/child.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { AddressInfo, Socket } from 'node:net'

/** A registry of somebody else, on this machine. */
export interface TestRegistry extends AsyncDisposable {
  /** Host and port. */
  readonly host: string
  readonly port: number
  said(): string
}

export const USER = 'slipway'
export const PASSWORD = 'correct horse'
/** Of the password, by bcrypt, which is all that the registry takes. */
const HTPASSWD = 'slipway:$2y$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2\n'

export type Access = 'open' | 'basic' | { readonly realm: string; readonly certificate: string }

/** Debian's docker-registry (distribution 2.8), which knows no referrers. */
export async function startDockerRegistry(access: Access = 'open'): Promise<TestRegistry> {
  await using opened = new AsyncDisposableStack()
  const binary = await debianBinary('docker-registry')
  const folder = opened.use(await temporaryFolder())
  const port = await freePort()
  const passwords = await folder.write('htpasswd', HTPASSWD)
  const auth =
    access === 'open'
      ? {}
      : access === 'basic'
        ? { htpasswd: { realm: 'test', path: passwords } }
        : { token: { realm: access.realm, service: 'registry', issuer: ISSUER, rootcertbundle: access.certificate } }
  const config = {
    version: '0.1',
    log: { level: 'warn' },
    storage: { filesystem: { rootdirectory: folder.path } },
    http: { addr: `127.0.0.1:${port}`, secret: 'of the test' },
    ...(access !== 'open' && { auth }),
  }
  const file = await folder.write('config.json', JSON.stringify(config))
  const child = opened.use(await startChild(binary, ['serve', file], () => listens(`http://127.0.0.1:${port}/v2/`)))
  const held = opened.move()
  return { host: `127.0.0.1:${port}`, port, said: () => child.said(), [Symbol.asyncDispose]: () => held.disposeAsync() }
}

/** The registry of go-containerregistry, which keeps all in memory. @param referrers whether it has the API of referrers */
export async function startGoRegistry(referrers: boolean): Promise<TestRegistry> {
  const port = await freePort()
  const address = `127.0.0.1:${port}`
  const [binary, args] = referrers ? [await referrersRegistry(), [address]] : [await crane(), ['registry', 'serve', '--address', address]]
  const child = await startChild(binary, args, () => listens(`http://${address}/v2/`))
  return { host: address, port, said: () => child.said(), [Symbol.asyncDispose]: () => child[Symbol.asyncDispose]() }
}

async function listens(url: string): Promise<boolean> {
  return await fetch(url).then(
    async (response) => {
      await response.arrayBuffer()
      return true
    },
    () => false,
  )
}

const ISSUER = 'tokens of the test'

export interface TokenServer extends AsyncDisposable {
  readonly realm: string
  /** Path of the certificate that registries believe. */
  readonly certificate: string
  /** Requests for tokens: `GET` or `POST`, and the scopes. */
  readonly asked: { readonly how: string; readonly scopes: readonly string[] }[]
}

/** A server of tokens as distribution describes it (docs/spec/auth/jwt.md): for USER, everything that is asked for. */
export async function startTokenServer(): Promise<TokenServer> {
  await using opened = new AsyncDisposableStack()
  const folder = opened.use(await temporaryFolder())
  const root = await authority(folder.path)
  const { cert, key } = await root.issue('tokens', 2, ['keyUsage=digitalSignature'])
  const leaf = (await readFile(cert, 'utf8')).replace(/-----[^-]+-----|\s/g, '')
  const privateKey = createPrivateKey(await readFile(key))
  const asked: { how: string; scopes: string[] }[] = []
  const server = createServer((request, response) => {
    let text = ''
    request.on('data', (part: Buffer) => (text += part.toString()))
    request.on('end', () => {
      const form = request.method === 'POST' ? new URLSearchParams(text) : new URL(request.url!, 'http://x').searchParams
      const scopes = form.getAll('scope').flatMap((one) => one.split(' '))
      asked.push({ how: request.method!, scopes })
      const basic = `Basic ${Buffer.from(`${USER}:${PASSWORD}`).toString('base64')}`
      const isKnown = request.method === 'POST' ? form.get('refresh_token') === PASSWORD : request.headers.authorization === basic
      if (!isKnown) return response.writeHead(401).end('{}')
      const now = Math.floor(Date.now() / 1000)
      const access = scopes.map((one) => {
        const [type, name, actions] = one.split(':')
        return { type, name, actions: actions!.split(',') }
      })
      const head = { typ: 'JWT', alg: 'ES256', x5c: [leaf] }
      const claims = {
        iss: ISSUER,
        sub: USER,
        aud: form.get('service'),
        exp: now + 600,
        nbf: now - 10,
        iat: now,
        jti: String(asked.length),
        access,
      }
      const body = [head, claims].map((one) => Buffer.from(JSON.stringify(one)).toString('base64url')).join('.')
      const signature = sign('sha256', Buffer.from(body), { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')
      response.end(JSON.stringify({ token: `${body}.${signature}`, expires_in: 600 }))
    })
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  opened.defer(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  const held = opened.move()
  const { port } = server.address() as AddressInfo
  return { realm: `http://127.0.0.1:${port}/token`, certificate: root.cert, asked, [Symbol.asyncDispose]: () => held.disposeAsync() }
}

export interface CuttingProxy extends AsyncDisposable {
  readonly host: string
  /** Bytes that clients have sent through it. */
  readonly sent: number
  /** How often it has cut. */
  readonly cuts: number
}

/**
 * Passes connections on to a port, and cuts them.
 * @param up whether a connection is cut, told the bytes that its client sends next and the text so far; before these are passed on
 * @param down the same of what the server answers
 */
export async function startCuttingProxy(
  port: number,
  up: (part: Buffer, cuts: number) => boolean,
  down: (part: Buffer, cuts: number) => boolean = () => false,
): Promise<CuttingProxy> {
  const sockets = new Set<Socket>()
  let sent = 0
  let cuts = 0
  const server = createTcpServer((client) => {
    const far = connect(port, '127.0.0.1')
    const end = (): void => {
      client.destroy()
      far.destroy()
    }
    for (const socket of [client, far]) {
      sockets.add(socket)
      socket.on('error', end)
      socket.on('close', () => {
        sockets.delete(socket)
        end()
      })
    }
    const pass = (to: Socket, cut: (part: Buffer, cuts: number) => boolean) => (part: Buffer) => {
      if (cut(part, cuts)) {
        cuts++
        client.resetAndDestroy()
        far.destroy()
        return
      }
      if (to === far) sent += part.length
      to.write(part)
    }
    client.on('data', pass(far, up))
    far.on('data', pass(client, down))
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port: own } = server.address() as AddressInfo
  return {
    host: `127.0.0.1:${own}`,
    get sent() {
      return sent
    },
    get cuts() {
      return cuts
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
