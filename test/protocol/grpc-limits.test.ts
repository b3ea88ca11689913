/** What a client of gRPC may take, and how long. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import http2 from 'node:http2'
import { connect } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { systemClock } from '../../src/core/clock.ts'
import { healthService } from '../../src/protocol/grpc/health-service.ts'
import { readInferRequest } from '../../src/protocol/grpc/inference/infer-request.ts'
import { HEALTH } from '../../src/protocol/grpc/proto/health.ts'
import { INFERENCE } from '../../src/protocol/grpc/proto/inference.ts'
import { REFLECTION } from '../../src/protocol/grpc/proto/reflection.ts'
import { decode, encode } from '../../src/protocol/grpc/proto/schema.ts'
import { GrpcServer } from '../../src/protocol/grpc/server.ts'
import { encodeStatusMessage } from '../../src/protocol/grpc/status.ts'
import { decompress } from '../../src/protocol/http/content-coding.ts'
import { HTTP_LIMIT_DEFAULTS } from '../../src/protocol/http/options.ts'
import { PREFACE, SETTING, settingsFrame } from '../../src/protocol/http2/frames.ts'
import { startServer } from '../../src/server/start-server.ts'
import { addingModel } from '../adding-models.ts'
import { listeningLogger } from '../asking.ts'
import { until } from '../fixtures.ts'
import { adding, answerOf, framed, grpcClient, numbersOf } from '../grpc-client.ts'
import { liveMemory } from '../live-memory.ts'
import { buildModel, node, value, weights } from '../onnx/build-model.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { ClientHttp2Stream } from 'node:http2'
import type { SlipwayServer } from '../../src/server/start-server.ts'
import type { ProtoMessage } from '../../src/protocol/grpc/proto/schema.ts'
import type { GrpcClient } from '../grpc-client.ts'
import type { TemporaryFolder } from '../temporary-folder.ts'

let folder: TemporaryFolder
let server: SlipwayServer
let client: GrpcClient

before(async () => {
  folder = await temporaryFolder()
  await folder.write('one.onnx', addingModel(1))
  await folder.write('slow.onnx', slowModel())
  await folder.write('echo.onnx', echoModel())
  server = await startServer({
    models: ['one', 'slow', 'echo'].map((name) => ({ path: `${folder.path}/${name}.onnx` })),
    port: 0,
    serving: { instances: 1 },
    limits: { bodyBytes: 4 * 1024 * 1024 },
    logger: listeningLogger(),
    environment: {},
  })
  client = grpcClient(server.grpc!)
})
after(async () => {
  await client[Symbol.asyncDispose]()
  await server.close()
  await folder[Symbol.asyncDispose]()
})

const streamed = (bytes: Buffer): ProtoMessage => decode(INFERENCE, 'ModelStreamInferResponse', bytes)

describe('time', () => {
  it('a client may wait longer than a timer of Node does', async () => {
    for (const timeout of ['99999999H', '700H']) {
      const one = await client.call('ModelInfer', adding('one'), { 'grpc-timeout': timeout })
      assert.equal(one.status, 0, one.message)
      const stream = client.open('ModelStreamInfer', { 'grpc-timeout': timeout })
      stream.write(framed(encode(INFERENCE, 'ModelInferRequest', adding('one'))))
      await Promise.race([once(stream, 'data'), once(stream, 'end')])
      await sleep(20)
      stream.end(framed(encode(INFERENCE, 'ModelInferRequest', adding('one'))))
      const { status, message } = await answerOf(stream, streamed)
      assert.equal(status, 0, message)
    }
  })
})

it('a connection that begins byte by byte is ended', async () => {
  await using hasty = await startServer({
    models: [{ path: `${folder.path}/one.onnx` }],
    port: 0,
    serving: { instances: 1 },
    limits: { bodyTimeoutMs: 300 },
    logger: listeningLogger(),
    environment: {},
  })
  const [host, port] = hasty.grpc!.split(':')
  const socket = connect(Number(port), host)
  socket.on('error', () => {})
  const bytes = Buffer.concat([Buffer.from(PREFACE), settingsFrame(Array.from({ length: 100 }, () => [SETTING.push, 0] as const))])
  let sent = 0
  const timer = setInterval(() => socket.write(bytes.subarray(sent, ++sent)), 50)
  await once(socket, 'close')
  clearInterval(timer)
  assert.ok(sent < bytes.length)
})

describe('memory', () => {
  it('of a stream of inferences does not grow with the requests that it has had', async () => {
    const message = framed(
      encode(
        INFERENCE,
        'ModelInferRequest',
        adding(
          'one',
          Array.from({ length: 16_384 }, () => 1),
        ),
      ),
    )
    const stream = client.open('ModelStreamInfer')
    let received = 0
    let wanted = 0
    let enough = (): void => {}
    stream.on('data', (chunk: Buffer) => {
      received += chunk.length
      if (received > wanted) enough()
    })
    const send = async (count: number): Promise<void> => {
      for (let index = 0; index < count; index++) {
        wanted += 4 * 16_384
        stream.write(message)
        await new Promise<void>((resolve) => (enough = resolve))
      }
    }
    await send(50)
    const { live } = liveMemory()
    await send(300)
    const grown = liveMemory().live - live
    stream.close()
    assert.ok(grown < 12, `${grown.toFixed(1)} MiB more after 300 requests of 64 KiB on one stream`)
  })

  it('is not taken for compressed messages that come faster than they are read', async () => {
    const bomb = framed(gzipSync(Buffer.alloc(4 * 1024 * 1024)), true)
    const stream = client.open('ModelStreamInfer', { 'grpc-encoding': 'gzip' })
    stream.on('error', () => {})
    const count = 1000
    for (let index = 0; index < count; index++) stream.write(bomb)
    await sleep(300)
    assert.ok(
      stream.writableLength > (count * bomb.length) / 2,
      `${stream.writableLength} bytes of ${count * bomb.length} wait with the client`,
    )
    stream.close()
  })

  it('is taken for a few compressed bodies at a time, however many come', async () => {
    const mebibytes = 4
    const bomb = gzipSync(Buffer.alloc(mebibytes * 1024 * 1024))
    const { external } = process.memoryUsage()
    let most = 0
    const sizes = await Promise.all(
      Array.from(
        { length: 100 },
        () =>
          new Promise<number>((resolve, reject) => {
            decompress(bomb, { coding: 'gzip', limit: 2 ** 26 }, (error, { length }) => {
              most = Math.max(most, process.memoryUsage().external - external)
              if (error === undefined) resolve(length)
              else reject(error)
            })
          }),
      ),
    )
    assert.deepEqual(new Set(sizes), new Set([mebibytes * 1024 * 1024]))
    assert.ok(most < 150 * 1024 * 1024, `${(most / 1024 / 1024).toFixed()} MiB for 100 bodies of ${mebibytes} MiB`)
  })

  it('is not taken for answers that their client does not read: it is heard later', async () => {
    await using asks = grpcClient(server.grpc!, { schema: REFLECTION[0]!, service: 'grpc.reflection.v1.ServerReflection' })
    const request = framed(encode(REFLECTION[0]!, 'ServerReflectionRequest', { file_by_filename: 'inference.proto' }))
    const stream = asks.open('ServerReflectionInfo')
    const count = 6000
    stream.write(Buffer.concat(Array.from({ length: count }, () => request)))
    stream.end()
    const { live } = liveMemory()
    await once(stream, 'response')
    await sleep(300)
    const grown = liveMemory().live - live
    assert.ok(grown < 16, `${grown.toFixed(1)} MiB wait for the client`)
    const { status, messages } = await answerOf(stream, () => ({}))
    assert.deepEqual([status, messages.length], [0, count])
  })
})

/** Takes a second or two: the answers to what comes after it on a stream wait for it. */
function slowModel(): Uint8Array {
  const names = ['x', ...Array.from({ length: LAYERS - 1 }, (_, index) => `layer_${index}`), 'y']
  return buildModel({
    input: [value('x', 'FP32', [SIDE, SIDE])],
    output: [value('y', 'FP32', [SIDE, SIDE])],
    node: names.slice(1).map((name, index) => node('MatMul', [names[index]!, 'weight'], [name])),
    initializer: [weights('weight', 'FP32', [SIDE, SIDE], new Float32Array(SIDE * SIDE).fill(1 / SIDE))],
  })
}
const SIDE = 960
const LAYERS = 24

function echoModel(): Uint8Array {
  return buildModel({
    input: [value('x', 'FP32', ['rows', SIDE])],
    output: [value('y', 'FP32', ['rows', SIDE])],
    node: [node('Identity', ['x'], ['y'])],
  })
}

describe('a stream', () => {
  it('may have large answers that wait for the first, and go out as fast as they are read', async () => {
    const square = (model: string): Buffer =>
      framed(
        encode(INFERENCE, 'ModelInferRequest', {
          model_name: model,
          inputs: [{ name: 'x', datatype: 'FP32', shape: [SIDE, SIDE] }],
          raw_input_contents: [Buffer.alloc(4 * SIDE * SIDE)],
        }),
      )
    const session = http2.connect(`http://${server.grpc}`, { maxSessionMemory: 1000 })
    const stream = session.request({
      ':method': 'POST',
      ':path': '/inference.GRPCInferenceService/ModelStreamInfer',
      'content-type': 'application/grpc',
      te: 'trailers',
    })
    const answers = answerOf(stream, streamed)
    stream.write(square('slow'))
    const count = 24
    const echo = square('echo')
    for (let index = 0; index < count; index++) stream.write(echo)
    stream.end()
    const { status, messages } = await answers
    session.close()
    assert.deepEqual([status, messages.length], [0, count + 1])
  })

  it('of compressed and plain messages is answered in their order, also where it ends at once', async () => {
    const stream = client.open('ModelStreamInfer', { 'grpc-encoding': 'gzip' })
    const count = 400
    for (let index = 0; index < count; index++) {
      const message = encode(INFERENCE, 'ModelInferRequest', adding('one', [index, 0, 0, 0]))
      stream.write(index % 3 === 0 ? framed(gzipSync(message), true) : framed(message))
    }
    stream.end()
    const { status, messages } = await answerOf(stream, streamed)
    assert.equal(status, 0)
    assert.deepEqual(
      messages.map((message) => numbersOf(message['infer_response'] as ProtoMessage)[0]),
      Array.from({ length: count }, (_, index) => index + 1),
    )
  })
})

describe('a message', () => {
  it('to a method that takes no tensors is small', async () => {
    const stream = client.open('ServerLive')
    stream.end(framed(Buffer.alloc(2 * 1024 * 1024, 0x78)))
    const { status, message } = await answerOf(stream, () => ({}))
    assert.equal(status, 8)
    assert.match(message, /the limit of \/inference\.GRPCInferenceService\/ServerLive is 1048576/)
  })

  it('has so many fields, and a shape so many dimensions', () => {
    const many = Buffer.concat(Array.from({ length: 300_000 }, () => Buffer.from([0x22, 6, 0x0a, 0, 0x12, 2, 0x08, 1])))
    assert.throws(() => readInferRequest(many), { code: 'SLW_LIMIT_EXCEEDED', message: /more than 200000 fields/ })
    const shape = { name: 'x', datatype: 'FP32', shape: Array.from({ length: 100_000 }, () => 1) }
    const message = encode(INFERENCE, 'ModelInferRequest', { model_name: 'one', inputs: [shape] })
    assert.throws(() => readInferRequest(message), { code: 'SLW_LIMIT_EXCEEDED', message: /more than 64 dimensions/ })
  })
})

it('a status message is cut by what it takes as it is sent', () => {
  assert.equal(encodeStatusMessage('100 % ü'), '100 %25 %C3%BC')
  for (const text of ['漢', '👍', 'a', '%']) {
    const sent = encodeStatusMessage(text.repeat(10_000))
    assert.ok(sent.length <= 4020, `${sent.length}`)
    assert.match(decodeURIComponent(sent), new RegExp(`^(?:${text})+…$`, 'u'))
  }
})

it('what is of browsers, or in JSON, is refused as no gRPC; parameters of the type change nothing', async () => {
  const statusOf = async (type: string): Promise<unknown> => {
    const stream = client.open('ServerLive', { 'content-type': type })
    stream.end(framed(Buffer.alloc(0)))
    const [headers] = (await once(stream, 'response')) as [Record<string, unknown>]
    stream.resume()
    return headers[':status']
  }
  for (const type of ['application/grpc', 'application/grpc+proto', 'application/grpc; charset=utf-8'])
    assert.equal(await statusOf(type), 200)
  for (const type of ['application/grpc-web', 'application/grpc-web+proto', 'application/grpc+json', 'application/grpcx'])
    assert.equal(await statusOf(type), 415, type)
})

describe('those who watch health', () => {
  it('ask for something', async () => {
    await using health = grpcClient(server.grpc!, { schema: HEALTH, service: 'grpc.health.v1.Health' })
    const nothing = await health.call('Watch', [])
    assert.equal(nothing.status, 3)
    assert.match(nothing.message, /takes one message, none came/)
  })

  it('cost one look together, and none once they are gone', async () => {
    let looks = 0
    let ready = true
    const changed = new Set<() => void>()
    const service = healthService(
      {
        notReady: () => {
          looks++
          return ready ? undefined : 'loading'
        },
        watch: (tell) => {
          changed.add(tell)
          return () => changed.delete(tell)
        },
      },
      [],
    )
    let ids = 0
    await using watched = await GrpcServer.listen({
      address: { host: '127.0.0.1', port: 0 },
      tls: undefined,
      access: {},
      limits: HTTP_LIMIT_DEFAULTS,
      clock: systemClock,
      log: listeningLogger(),
      nextId: () => String(++ids),
      services: [service],
    })
    await using health = grpcClient(watched.target, { schema: HEALTH, service: 'grpc.health.v1.Health' })
    const told: string[] = []
    const streams: ClientHttp2Stream[] = []
    for (let index = 0; index < 200; index++) {
      const stream = health.open('Watch')
      stream.on('data', (chunk: Buffer) => told.push(chunk.toString('hex')))
      stream.end(framed(Buffer.alloc(0)))
      streams.push(stream)
    }
    await until(() => told.length === 200, 'all are told')
    looks = 0
    ready = false
    for (const tell of changed) tell()
    await until(() => told.length === 400, 'all are told of the change')
    assert.ok(looks < 20, `${looks} looks for 200 who watch`)
    for (const stream of streams) stream.close(8)
    await until(() => changed.size === 0, 'nobody watches')
  })
})
