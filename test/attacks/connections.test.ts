import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { describe, it } from 'node:test'
import { contentIdOf, planeInProcess } from '../api/in-plane.ts'
import { example, until } from '../fixtures.ts'
import { startServer } from '../../src/server/start-server.ts'
import { LONG } from './long.ts'
import type { Socket } from 'node:net'
import type { Plane } from '../api/in-plane.ts'

interface Client extends Disposable {
  readonly socket: Socket
  readonly said: () => string
  readonly closed: Promise<void>
}

/** @param from an address of this machine */
async function clientOf(plane: Pick<Plane, 'url'>, from = '127.0.0.1'): Promise<Client> {
  const socket = connect({ host: '127.0.0.1', port: Number(new URL(plane.url).port), localAddress: from })
  let said = ''
  socket.on('data', (bytes) => (said += bytes.toString()))
  socket.on('error', () => {})
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
  await new Promise<void>((resolve) => {
    socket.once('connect', resolve)
    socket.once('close', () => resolve())
  })
  return { socket, said: () => said, closed, [Symbol.dispose]: () => void socket.destroy() }
}

/** Sends a byte again and again until the connection is closed. */
async function drip(client: Client, everyMs: number): Promise<number> {
  const began = performance.now()
  const timer = setInterval(() => client.socket.write('x'), everyMs)
  await client.closed
  clearInterval(timer)
  return performance.now() - began
}

const QUICK = { headerMs: 500, graceMs: 500, bytesPerSecond: 1000, sweepMs: 50, stallMs: 300 }
const HEAD = 'POST /api/v1/models HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n'

describe('a client of the control plane that sends slowly', () => {
  for (const [what, begin] of [
    ['a header', 'POST /api/v1/models HTTP/1.1\r\nx-a: '],
    ['a body', `${HEAD}content-length: 1000000\r\n\r\n{`],
    ['a body in chunks', `${HEAD}transfer-encoding: chunked\r\n\r\nfffff\r\n`],
    ['the second header of a connection', 'GET /health HTTP/1.1\r\nhost: localhost\r\n\r\nGET /health HTTP/1.1\r\nx-a:'],
  ] as const)
    it(`${what} is ended in time, and told why`, { timeout: 20_000 }, async () => {
      await using plane = await planeInProcess({ connections: QUICK })
      using client = await clientOf(plane)
      client.socket.write(begin)
      const ms = await drip(client, 20)
      assert.ok(ms > 400 && ms < 8000, `${ms} ms`)
      assert.match(client.said(), /408 Request Timeout/)
    })

  it('a body that nobody may send is ended too, though its answer is out', { timeout: 20_000 }, async () => {
    await using plane = await planeInProcess({ connections: QUICK })
    assert.equal((await plane.ask('POST', '/keys', { name: 'root', scopes: ['admin'] })).status, 201)
    using client = await clientOf(plane)
    client.socket.write(`${HEAD}content-length: 1000000\r\n\r\n{`)
    const ms = await drip(client, 20)
    assert.ok(ms < 8000, `${ms} ms`)
    assert.match(client.said(), /401 Unauthorized/)
  })

  it('steadily, and fast enough, is waited for', { timeout: 20_000 }, async () => {
    await using plane = await planeInProcess({ connections: QUICK })
    using client = await clientOf(plane)
    const body = JSON.stringify({ name: 'slowly', description: 'x'.repeat(6000) })
    client.socket.write(`${HEAD}content-length: ${body.length}\r\n\r\n`)
    for (let at = 0; at < body.length; at += 100) {
      client.socket.write(body.slice(at, at + 100))
      await new Promise((resolve) => setTimeout(resolve, 40))
    }
    await until(() => client.said().includes('201'), 'it is taken')
    // An idle connection stays.
    await new Promise((resolve) => setTimeout(resolve, 1500))
    client.socket.write('GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n')
    await until(() => client.said().includes('HTTP/1.1 200'), 'and asked again')
  })
})

it('a client that does not read its answer is ended, though it goes on sending', { timeout: 30_000 }, async () => {
  await using plane = await planeInProcess({ connections: QUICK })
  const bytes = Buffer.alloc(64 * 1024 * 1024)
  const id = contentIdOf(bytes)
  assert.equal((await plane.ask('PUT', `/contents/${id}`, bytes)).status, 200)
  await plane.ask('POST', '/models', { name: 'm' })
  assert.equal((await plane.ask('POST', '/models/m/versions', { files: [{ path: 'big.bin', contentId: id }] })).status, 201)
  using client = await clientOf(plane)
  client.socket.pause()
  client.socket.write('GET /api/v1/models/m/versions/1/files/big.bin HTTP/1.1\r\nhost: localhost\r\n\r\n')
  const timer = setInterval(() => client.socket.write('x'), 50)
  const gone = new Promise<void>((resolve) => client.socket.once('error', () => resolve()))
  await gone
  clearInterval(timer)
})

for (const [what, begin] of [
  ['the control plane', HEAD],
  ['a server', 'POST /models/churn/predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n'],
] as const)
  it(
    `thousands of clients that send a byte now and then keep nobody from being answered by ${what}, and are ended`,
    { timeout: 180_000 },
    async () => {
      const count = LONG ? 5000 : 400
      await using opened = new AsyncDisposableStack()
      const url =
        what === 'a server'
          ? opened.use(
              await startServer({ models: [{ path: example('churn'), name: 'churn' }], port: 0, limits: { bodyTimeoutMs: 6000 } } as never),
            ).url
          : opened.use(await planeInProcess({ connections: { ...QUICK, graceMs: 3000, perAddress: 10_000 } })).url
      const clients: Client[] = []
      using _all = { [Symbol.dispose]: () => clients.forEach((client) => client[Symbol.dispose]()) }
      for (let batch = 0; batch < count; batch += 100)
        clients.push(...(await Promise.all(Array.from({ length: 100 }, (_, index) => clientOf({ url }, `127.0.0.${2 + (index % 5)}`)))))
      for (const { socket } of clients) socket.write(`${begin}content-length: 100000\r\n\r\n{`)
      const open = (): number => clients.filter(({ socket }) => !socket.closed).length
      const times: number[] = []
      const end = Date.now() + 120_000
      while (open() > 0 && Date.now() < end) {
        for (const { socket } of clients) if (!socket.destroyed) socket.write(' ')
        const began = performance.now()
        assert.equal((await fetch(`${url}/health`)).status, 200)
        times.push(performance.now() - began)
        await new Promise((resolve) => setTimeout(resolve, 500))
      }
      assert.equal(open(), 0, 'all are ended')
      assert.ok(Math.max(...times) < 5000, `the slowest answer took ${Math.max(...times)} ms`)
    },
  )

it('one address has no more than its share of the connections, and others are answered', { timeout: 30_000 }, async () => {
  await using plane = await planeInProcess({ connections: { perAddress: 50 } })
  const clients: Client[] = []
  using _all = { [Symbol.dispose]: () => clients.forEach((client) => client[Symbol.dispose]()) }
  for (let opened = 0; opened < 80; opened++) clients.push(await clientOf(plane, '127.0.0.2'))
  await until(() => clients.filter((client) => client.said().includes('429 Too Many Requests')).length === 30, 'thirty are refused')
  assert.equal((await plane.ask('GET', '/models', undefined)).status, 200)
  clients.slice(0, 50).forEach((client) => client[Symbol.dispose]())
  await until(async () => {
    using again = await clientOf(plane, '127.0.0.2')
    again.socket.write('GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n')
    await new Promise((resolve) => setTimeout(resolve, 100))
    return again.said().includes('HTTP/1.1 200')
  }, 'whoever closes some may open others')
})

it(
  'closing waits neither for a connection on which nothing was ever asked nor for one that may be used again',
  { timeout: 20_000 },
  async () => {
    const plane = await planeInProcess()
    using silent = await clientOf(plane)
    using idle = await clientOf(plane)
    idle.socket.write('GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n')
    await until(() => idle.said().includes('200'), 'it was answered')
    using half = await clientOf(plane)
    half.socket.write('GET /health HT')
    const began = performance.now()
    await plane[Symbol.asyncDispose]()
    assert.ok(performance.now() - began < 5000)
    await Promise.all([silent.closed, idle.closed, half.closed])
  },
)
