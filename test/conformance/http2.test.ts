/** The HTTP/2 under gRPC, tried section by section by h2spec, and against clients that take more than their share. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { promisify } from 'node:util'
import { h2spec } from '../../scripts/grpc-tools.ts'
import { Connection } from '../../src/protocol/http2/connection.ts'
import { FLAG, FRAME, frame, numberFrame, PREFACE, REASON, SETTING, settingsFrame } from '../../src/protocol/http2/frames.ts'
import { encodeHeaders, HeaderDecoder } from '../../src/protocol/http2/hpack.ts'
import { startServer } from '../../src/server/start-server.ts'
import { addingModel } from '../adding-models.ts'
import { until } from '../fixtures.ts'
import { adding, grpcClient } from '../grpc-client.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { AddressInfo, Socket } from 'node:net'
import type { SlipwayServer } from '../../src/server/start-server.ts'
import type { TemporaryFolder } from '../temporary-folder.ts'

let folder: TemporaryFolder
let server: SlipwayServer

before(async () => {
  folder = await temporaryFolder()
  await folder.write('one.onnx', addingModel(1))
  server = await startServer({ models: [{ path: `${folder.path}/one.onnx` }], port: 0, serving: { instances: 1 }, environment: {} })
})
after(async () => {
  await server.close()
  await folder[Symbol.asyncDispose]()
})

it('header blocks are those of RFC 7541, C.4.1 and C.6.1', () => {
  const read = (hex: string): unknown =>
    new HeaderDecoder().decode(Buffer.from(hex, 'hex'), 1000)?.map(({ name, value }) => `${name}: ${value}`)
  assert.deepEqual(read('828684418cf1e3c2e5f23a6ba0ab90f4ff'), [':method: GET', ':scheme: http', ':path: /', ':authority: www.example.com'])
  assert.deepEqual(read('488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3'), [
    ':status: 302',
    'cache-control: private',
    'date: Mon, 21 Oct 2013 20:13:21 GMT',
    'location: https://www.example.com',
  ])
})

it('every section of HTTP/2 and HPACK is kept, as h2spec finds', async () => {
  // Answers with data, as several sections want it; a server of gRPC has none for what is not gRPC.
  const plain = createServer({ allowHalfOpen: true }, (socket) => {
    const connection = new Connection(socket, {
      limits: { headerBytes: 16_384, streams: 100 },
      begin(stream) {
        const answer = (): void =>
          stream.answer(encodeHeaders([[':status', '200']]), Buffer.from('hello'), encodeHeaders([['done', 'yes']]))
        stream.taker = { data() {}, end: answer, gone() {} }
      },
      foreign: (foreign) => foreign.destroy(),
      failed: (error) => assert.fail(String(error)),
      nowMs: () => performance.now(),
    })
    socket.once('close', () => connection.abort())
  })
  await once(plain.listen(0, '127.0.0.1'), 'listening')
  const { port } = plain.address() as AddressInfo
  const { stdout } = await promisify(execFile)(await h2spec(), ['-h', '127.0.0.1', '-p', String(port), '-o', '5'], {
    timeout: 100_000,
  }).catch((error: { stdout: string }) => error)
  plain.close()
  const [, total, passed, skipped, failed] = /(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed/.exec(stdout) ?? []
  assert.equal(failed, '0', stdout.slice(-3000))
  assert.equal(Number(passed) + Number(skipped), Number(total))
  assert.ok(Number(passed) > 140, stdout)
})

const HEADERS = Buffer.from(
  encodeHeaders([
    [':method', 'POST'],
    [':scheme', 'http'],
    [':path', '/inference.GRPCInferenceService/ServerLive'],
    ['content-type', 'application/grpc'],
  ]),
  'latin1',
)

describe('a client that takes more than its share', () => {
  const repeated = (one: Buffer, count: number): Buffer => Buffer.concat(Array.from({ length: count }, () => one))
  const opened = (count: number, then: (id: number) => Buffer): Buffer =>
    Buffer.concat(
      Array.from({ length: count }, (_, index) => {
        const id = 2 * index + 1
        return Buffer.concat([frame(FRAME.headers, FLAG.endHeaders, id, HEADERS), then(id)])
      }),
    )
  const floods: Readonly<Record<string, Buffer>> = {
    'begins calls and takes them back at once': opened(5000, (id) => numberFrame(FRAME.reset, id, REASON.cancel)),
    'begins calls and breaks them, so that they are ended': opened(5000, (id) => numberFrame(FRAME.windowUpdate, id, 0)),
    'begins calls with priorities that are cut off': opened(5000, (id) => frame(FRAME.priority, 0, id, Buffer.alloc(4))),
    'sends pings': repeated(frame(FRAME.ping, 0, 0, Buffer.alloc(8)), 50_000),
    'sends settings': repeated(settingsFrame([[SETTING.streams, 1]]), 50_000),
    'sends empty data': Buffer.concat([
      frame(FRAME.headers, FLAG.endHeaders, 1, HEADERS),
      repeated(frame(FRAME.data, 0, 1, Buffer.alloc(0)), 50_000),
    ]),
    'sends a header without an end': Buffer.concat([
      frame(FRAME.headers, 0, 1, HEADERS),
      repeated(frame(FRAME.continuation, 0, 1, Buffer.alloc(1000, 0x82)), 1000),
    ]),
    'sends continuations of nothing': Buffer.concat([
      frame(FRAME.headers, 0, 1, HEADERS),
      repeated(frame(FRAME.continuation, 0, 1, Buffer.alloc(0)), 50_000),
    ]),
  }
  for (const [what, bytes] of Object.entries(floods))
    it(`${what}: its connection is ended, and others are answered`, async () => {
      const [host, port] = server.grpc!.split(':')
      const socket = connect(Number(port), host)
      socket.on('error', () => {})
      const received = collected(socket)
      socket.write(Buffer.concat([Buffer.from(PREFACE), settingsFrame([]), bytes]))
      if (!socket.closed) await once(socket, 'close')
      const goAway = framesIn(await received).find(({ type }) => type === FRAME.goAway)
      assert.equal(goAway?.payload.readUInt32BE(4), REASON.calm)
      await using client = grpcClient(server.grpc!)
      assert.equal((await client.call('ModelInfer', adding('one'))).status, 0)
    })

  it('asks for a thousand answers and reads none: what waits for it has a limit', async () => {
    const [host, port] = server.grpc!.split(':')
    const socket = connect(Number(port), host)
    socket.on('error', () => {})
    socket.pause()
    socket.write(Buffer.concat([Buffer.from(PREFACE), settingsFrame([[SETTING.window, 0]])]))
    socket.write(opened(900, (id) => frame(FRAME.data, FLAG.endStream, id, Buffer.alloc(5))))
    await using client = grpcClient(server.grpc!)
    assert.equal((await client.call('ModelInfer', adding('one'))).status, 0)
    socket.destroy()
  })
})

it('a client that tells of each answer what it has read, and measures its line, as those of C++ do, may go on for ever', async () => {
  const [host, port] = server.grpc!.split(':')
  const socket = connect(Number(port), host)
  let seen: Buffer = Buffer.alloc(0)
  let answered = 0
  socket.on('data', (chunk: Buffer) => {
    seen = Buffer.concat([seen, chunk])
    for (; seen.length >= 9 && seen.length >= 9 + seen.readUIntBE(0, 3); seen = seen.subarray(9 + seen.readUIntBE(0, 3)))
      if (seen[3] === FRAME.headers && (seen[4]! & FLAG.endStream) !== 0) answered++
  })
  socket.on('error', () => {})
  socket.write(Buffer.concat([Buffer.from(PREFACE), settingsFrame([])]))
  const call = (id: number): Buffer =>
    Buffer.concat([
      frame(FRAME.headers, FLAG.endHeaders, id, HEADERS),
      frame(FRAME.data, FLAG.endStream, id, Buffer.alloc(5)),
      numberFrame(FRAME.windowUpdate, 0, 10),
      frame(FRAME.ping, 0, 0, Buffer.alloc(8)),
    ])
  for (let round = 0; round < 100; round++) {
    socket.write(Buffer.concat(Array.from({ length: 200 }, (_, index) => call(2 * (200 * round + index) + 1))))
    await until(() => socket.destroyed || answered === 200 * (round + 1), 'they are answered', 30_000)
    assert.ok(!socket.destroyed, `ended after ${answered} answers`)
  }
  socket.destroy()
})

async function collected(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  await once(socket, 'close')
  return Buffer.concat(chunks)
}

function framesIn(bytes: Buffer): { readonly type: number; readonly payload: Buffer }[] {
  const frames: { type: number; payload: Buffer }[] = []
  for (let at = 0; at + 9 <= bytes.length;) {
    const length = bytes.readUIntBE(at, 3)
    frames.push({ type: bytes[at + 3]!, payload: bytes.subarray(at + 9, at + 9 + length) })
    at += 9 + length
  }
  return frames
}
