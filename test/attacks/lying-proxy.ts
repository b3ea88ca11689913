import { createServer, request } from 'node:http'
import { gzipSync } from 'node:zlib'
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'

/** A question of a server to its control plane, and the honest answer. */
export interface Exchange {
  readonly kind: 'follow' | 'manifest' | 'bytes' | 'other'
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
  readonly response: ServerResponse
  /** Answers of this kind before, the oldest first. */
  readonly earlier: readonly Buffer[]
}

/** Answers in place of the control plane; whatever it leaves alone is answered honestly. @returns whether it has answered */
export type Lie = (exchange: Exchange) => boolean

function say(response: ServerResponse, status: number, body: string | Buffer, headers: Record<string, string> = {}): true {
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)), ...headers })
  response.end(body)
  return true
}

/** The follow document, changed. */
function changed(change: (state: any) => void): Lie {
  return ({ kind, status, headers, body, response }) => {
    if (kind !== 'follow' || status !== 200) return false
    const state = JSON.parse(body.toString())
    change(state)
    return say(response, 200, JSON.stringify(state), { etag: headers.etag ?? '"x"' })
  }
}

function all(answer: (exchange: Exchange) => void): Lie {
  return (exchange) => {
    answer(exchange)
    return true
  }
}

/** Answers to questions about the files of a version. */
function files(answer: (exchange: Exchange) => boolean): Lie {
  return (exchange) => (exchange.kind === 'bytes' && exchange.status < 300 ? answer(exchange) : false)
}

/** What may happen on the way, by name. */
export const LIES: Readonly<Record<string, Lie>> = {
  'an empty answer': all(({ response }) => say(response, 200, '')),
  'a page for people to sign in': all(({ response }) => say(response, 200, '<html>Sign in</html>', { 'content-type': 'text/html' })),
  'half of the answer': all(({ response, body, headers }) =>
    say(response, 200, body.subarray(0, body.length >> 1), { etag: headers.etag ?? '"x"' }),
  ),
  'an answer that breaks off': all(({ response, body }) => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': String(body.length + 100) })
    response.write(body.subarray(0, body.length >> 1))
    setTimeout(() => response.destroy(), 20)
  }),
  'no answer at all': all(() => {}),
  'a connection that is reset': all(({ response }) => response.destroy()),
  'a byte now and then': all(({ response }) => {
    response.writeHead(200, { 'content-type': 'application/json' })
    const timer = setInterval(() => response.write(' '), 50)
    response.once('close', () => clearInterval(timer))
  }),
  'spaces without an end': all(({ response }) => {
    response.writeHead(200, { 'content-type': 'application/json' })
    const more = (): void => {
      while (!response.destroyed && response.write(Buffer.alloc(65_536, 32)));
    }
    response.on('drain', more)
    more()
  }),
  'an error of its own': all(({ response }) => say(response, 502, '<html>Bad Gateway</html>', { 'content-type': 'text/html' })),
  'an overload': all(({ response }) => say(response, 503, '', { 'retry-after': '999999999' })),
  'no content': all(({ response }) => response.writeHead(204).end()),
  'nothing new, at once, always': all(({ response }) => response.writeHead(304).end()),
  'a redirect to itself': all(({ response }) => response.writeHead(302, { location: '/api/v1/follow' }).end()),
  'a redirect to elsewhere': all(({ response }) => response.writeHead(307, { location: 'http://127.0.0.1:1/' }).end()),
  'that the key is wrong': all(({ response }) => say(response, 401, '{"code":"SLW_UNAUTHENTICATED","detail":"no"}')),
  'that nothing is there': all(({ response }) => say(response, 404, '{"code":"SLW_NOT_FOUND","detail":"no"}')),
  'gzip that is none': all(({ response, body }) => say(response, 200, body, { 'content-encoding': 'gzip' })),
  'gzip without being asked': all(({ response, body, headers }) =>
    say(response, 200, gzipSync(body), { 'content-encoding': 'gzip', etag: headers.etag ?? '"x"' }),
  ),
  'JSON of something else': all(({ response }) => say(response, 200, '[{"kind":"FollowedState"}]')),
  'an old document, again': ({ kind, response, earlier }) =>
    kind === 'follow' && earlier[0] !== undefined ? say(response, 200, earlier[0], { etag: '"old"' }) : false,
  'a document of another environment': changed((state) => (state.environment = 'elsewhere')),
  'a list that was emptied': changed((state) => (state.endpoints = [])),
  'a list that was emptied and does not say how long it is': changed((state) => {
    state.endpoints = []
    delete state.list
  }),
  'an endpoint that was renamed': changed((state) => {
    for (const endpoint of state.endpoints) endpoint.name = 'another'
  }),
  'the digest of another version': changed((state) => {
    for (const { variants } of state.endpoints) for (const variant of variants) variant.digest = 'f'.repeat(64)
  }),
  'the number of another database': changed((state) => {
    if (state.source !== undefined) state.source = { id: '0'.repeat(32), succeeds: [] }
  }),
  'a file with a bit flipped': files(({ response, status, body }) => {
    const bytes = Buffer.from(body)
    bytes[bytes.length >> 1]! ^= 1
    return say(response, status, bytes, { 'content-type': 'application/octet-stream' })
  }),
  'a file that is cut': files(({ response, status, body }) =>
    say(response, status, body.subarray(0, body.length - 1), { 'content-type': 'application/octet-stream' }),
  ),
  'a file that goes on': files(({ response, status, body }) =>
    say(response, status, Buffer.concat([body, body]), { 'content-type': 'application/octet-stream' }),
  ),
  'another list of files': ({ kind, status, body, response }) =>
    kind === 'manifest' && status === 200
      ? say(
          response,
          200,
          body.toString().replaceAll(/"(contentId|digest)":"[0-9a-f]/g, (text) => text.slice(0, -1) + (text.endsWith('0') ? '1' : '0')),
        )
      : false,
}

/** A proxy in front of a control plane, which may lie. */
export interface LyingProxy extends AsyncDisposable {
  readonly url: string
  /** How often it has lied. */
  readonly lies: () => number
  /** Undefined: it tells the truth from here on, and drops the connections on which it lied. */
  set(lie: Lie | undefined): void
}

export async function lyingProxy(target: string): Promise<LyingProxy> {
  let lie: Lie | undefined
  let lies = 0
  const earlier = new Map<string, Buffer[]>()
  const sockets = new Set<Socket>()
  const server = createServer((asked, response) => {
    response.on('error', () => {})
    // A lie does not wait until there is something new to lie about.
    const path = lie === undefined ? asked.url! : asked.url!.replace(/waitMs=\d+/, 'waitMs=0')
    const headers = { ...asked.headers }
    if (lie !== undefined) delete headers['if-none-match']
    const onward = request(target + path, { method: asked.method!, headers }, (answer) => void pass(answer))
    onward.on('error', () => response.destroy())
    response.once('close', () => onward.destroy())
    asked.pipe(onward)
    async function pass(answer: IncomingMessage): Promise<void> {
      try {
        const body = Buffer.concat(await answer.toArray())
        const kind = kindOf(asked)
        const before = earlier.get(kind) ?? []
        const exchange: Exchange = { kind, status: answer.statusCode!, headers: answer.headers, body, response, earlier: [...before] }
        if (answer.statusCode === 200) earlier.set(kind, [...before, body])
        if (kind !== 'other' && lie?.(exchange) === true) {
          lies++
          return
        }
        response.writeHead(answer.statusCode!, answer.headers)
        response.end(body)
      } catch {
        response.destroy()
      }
    }
  })
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const drop = (): void => {
    for (const socket of sockets) socket.destroy()
  }
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    lies: () => lies,
    set(next) {
      lie = next
      // Questions that wait are asked again, of the proxy as it is now.
      drop()
    },
    async [Symbol.asyncDispose]() {
      drop()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}

function kindOf({ method, url = '' }: IncomingMessage): Exchange['kind'] {
  if (method !== 'GET') return 'other'
  if (url.includes('/follow/versions/')) return 'manifest'
  if (url.includes('/follow/contents/')) return 'bytes'
  return url.includes('/follow?') ? 'follow' : 'other'
}
