/** A connection of HTTP/2 whose client does what is allowed and rare, or costs more than it seems. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { describe, it } from 'node:test'
import { Connection } from '../../src/protocol/http2/connection.ts'
import { FLAG, FRAME, frame, numberFrame, PREFACE, REASON, SETTING, settingsFrame } from '../../src/protocol/http2/frames.ts'
import { encodeHeaders } from '../../src/protocol/http2/hpack.ts'
import { until } from '../fixtures.ts'
import type { AddressInfo, Socket } from 'node:net'
import type { Stream } from '../../src/protocol/http2/stream.ts'

const HEADERS = Buffer.from(
  encodeHeaders([
    [':method', 'POST'],
    [':scheme', 'http'],
    [':path', '/'],
  ]),
  'latin1',
)
const HEAD = encodeHeaders([[':status', '200']])
const TRAILERS = encodeHeaders([['done', 'yes']])

interface Frame {
  readonly type: number
  readonly flags: number
  readonly stream: number
  readonly payload: Buffer
}

interface Line extends AsyncDisposable {
  readonly connection: Connection
  readonly socket: Socket
  /** What the server has sent. */
  readonly frames: Frame[]
  send(...bytes: readonly Buffer[]): void
  /** Waits until the server has taken in all that was sent. */
  taken(): Promise<void>
}

/** A connection of a server that gives each whole request to `answer`. */
async function lineTo(answer: (stream: Stream) => void): Promise<Line> {
  let connection: Connection | undefined
  const server = createServer({ allowHalfOpen: true }, (accepted) => {
    connection = new Connection(accepted, {
      limits: { headerBytes: 16_384, streams: 1000 },
      begin: (stream) => (stream.taker = { data() {}, end: () => answer(stream), gone() {} }),
      foreign: (foreign) => foreign.destroy(),
      failed: (error) => assert.fail(String(error)),
      nowMs: () => performance.now(),
    })
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  socket.on('error', () => {})
  const frames: Frame[] = []
  let rest: Buffer = Buffer.alloc(0)
  socket.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk])
    let at = 0
    for (; at + 9 <= rest.length && at + 9 + rest.readUIntBE(at, 3) <= rest.length; at += 9 + rest.readUIntBE(at, 3))
      frames.push({
        type: rest[at + 3]!,
        flags: rest[at + 4]!,
        stream: rest.readUInt32BE(at + 5),
        payload: rest.subarray(at + 9, at + 9 + rest.readUIntBE(at, 3)),
      })
    rest = rest.subarray(at)
  })
  const send = (...bytes: readonly Buffer[]): void => void socket.write(Buffer.concat(bytes))
  send(Buffer.from(PREFACE), settingsFrame([]))
  await until(() => frames.length > 0, 'the server has begun')
  let pings = 0
  return {
    connection: connection!,
    socket,
    frames,
    send,
    async taken() {
      const payload = Buffer.alloc(8)
      payload.writeUInt32BE(++pings, 4)
      send(frame(FRAME.ping, 0, 0, payload))
      const isAnswer = (one: Frame): boolean => one.type === FRAME.ping && one.payload.equals(payload)
      await until(() => socket.closed || frames.some(isAnswer), 'the ping is answered')
    },
    async [Symbol.asyncDispose]() {
      connection?.abort()
      socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function request(id: number): Buffer {
  return Buffer.concat([frame(FRAME.headers, FLAG.endHeaders, id, HEADERS), frame(FRAME.data, FLAG.endStream, id, Buffer.alloc(4))])
}

function requests(count: number, first = 1): Buffer {
  return Buffer.concat(Array.from({ length: count }, (_, index) => request(first + 2 * index)))
}

function repeated(one: Buffer, count: number): Buffer {
  return Buffer.concat(Array.from({ length: count }, () => one))
}

/** Milliseconds of CPU time of this process. */
async function cpuOf(act: () => Promise<void>): Promise<number> {
  const before = process.cpuUsage()
  await act()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000
}

describe('a connection', () => {
  it('that ends answers what it has, and refuses a request that crosses its last word', async () => {
    let waiting: Stream | undefined
    await using line = await lineTo((stream) => (waiting = stream))
    line.send(request(1))
    await until(() => waiting !== undefined, 'the request has come')
    line.connection.close()
    line.send(request(3))
    await line.taken()
    const refused = line.frames.find(({ type, stream }) => type === FRAME.reset && stream === 3)
    assert.equal(refused?.payload.readUInt32BE(0), REASON.refused)
    waiting!.answer(HEAD, Buffer.from('hello'), TRAILERS)
    await until(() => line.socket.closed || line.frames.some(({ stream, flags }) => stream === 1 && flags === 5), 'it is answered')
    const goAways = line.frames.filter(({ type }) => type === FRAME.goAway)
    assert.deepEqual(
      goAways.map(({ payload }) => [payload.readUInt32BE(0), payload.readUInt32BE(4)]),
      [[1, REASON.none]],
    )
    assert.ok(line.frames.some(({ type, stream }) => type === FRAME.data && stream === 1))
  })

  it('goes on where each answer is followed by a ping and a window, as grpc-go does', async () => {
    await using line = await lineTo((stream) => stream.answer(HEAD, Buffer.from('hello'), TRAILERS))
    const each = Buffer.concat([numberFrame(FRAME.windowUpdate, 0, 5), frame(FRAME.ping, 0, 0, Buffer.alloc(8))])
    for (let sent = 0; sent < 20_000; sent += 500) {
      line.send(...Array.from({ length: 500 }, (_, index) => Buffer.concat([request(2 * (sent + index) + 1), each])))
      await line.taken()
    }
    assert.equal(
      line.frames.find(({ type }) => type === FRAME.goAway),
      undefined,
    )
    assert.equal(line.frames.filter(({ type }) => type === FRAME.data).length, 20_000)
  })

  it('goes on where half of what is asked is taken back, as by clients that hedge', async () => {
    await using line = await lineTo((stream) => {
      if (stream.id % 4 === 1) stream.answer(HEAD, Buffer.from('hello'), TRAILERS)
    })
    for (let sent = 0; sent < 6000; sent += 300) {
      const pair = (id: number): Buffer => Buffer.concat([request(id), request(id + 2), numberFrame(FRAME.reset, id + 2, REASON.cancel)])
      line.send(...Array.from({ length: 300 }, (_, index) => pair(4 * (sent + index) + 1)))
      await line.taken()
    }
    assert.ok(!line.frames.some(({ type }) => type === FRAME.goAway))
    assert.equal(line.frames.filter(({ type }) => type === FRAME.data).length, 6000)
  })

  it('answers many in turn through a window that is opened bit by bit', async () => {
    await using line = await lineTo((stream) => stream.answer(HEAD, Buffer.alloc(100, stream.id), TRAILERS))
    line.send(settingsFrame([[SETTING.window, 10]]), requests(50))
    await line.taken()
    assert.equal(line.frames.filter(({ type }) => type === FRAME.data).length, 50)
    line.send(settingsFrame([[SETTING.window, 60]]))
    for (let id = 1; id < 100; id += 2) line.send(numberFrame(FRAME.windowUpdate, id, 40))
    await line.taken()
    for (let id = 1; id < 100; id += 2) {
      const data = line.frames.filter(({ type, stream }) => type === FRAME.data && stream === id)
      assert.deepEqual(Buffer.concat(data.map(({ payload }) => payload)), Buffer.alloc(100, id))
      assert.ok(line.frames.some(({ type, stream, flags }) => type === FRAME.headers && stream === id && flags === 5))
    }
  })

  const answering = (stream: Stream): void => stream.answer(HEAD, Buffer.alloc(60_000), TRAILERS)
  const costs: Readonly<Record<string, { readonly first: Buffer; readonly next: Buffer }>> = {
    'a window that is opened byte by byte': { first: settingsFrame([]), next: repeated(numberFrame(FRAME.windowUpdate, 0, 1), 4000) },
    'a window of the connection, where that of the streams is shut': {
      first: settingsFrame([[SETTING.window, 0]]),
      next: repeated(numberFrame(FRAME.windowUpdate, 0, 1), 4000),
    },
    'settings that say the same thing again and again': {
      first: settingsFrame([[SETTING.window, 0]]),
      next: repeated(settingsFrame(Array.from({ length: 2000 }, (_, index) => [SETTING.window, index % 2] as const)), 20),
    },
  }
  for (const [what, { first, next }] of Object.entries(costs))
    it(`takes ${what} without a look at each of many answers that wait`, async () => {
      const costOf = async (count: number): Promise<number> => {
        await using line = await lineTo(answering)
        line.send(first, requests(count))
        await line.taken()
        return await cpuOf(async () => {
          line.send(next)
          await line.taken()
        })
      }
      await costOf(2)
      const few = await costOf(2)
      const many = await costOf(900)
      assert.ok(many < 8 * Math.max(few, 10), `${many} ms of CPU where 900 answers wait, ${few} ms where 2 do`)
    })
})
