import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { createServer as createHttp2Server } from 'node:http2'
import { describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { silentLogger } from '../../src/core/log.ts'
import { resolveTracing } from '../../src/serving/observe/tracing/options.ts'
import { Tracing } from '../../src/serving/observe/tracing/tracing.ts'
import { ManualClock } from '../core/manual-clock.ts'
import { until } from '../fixtures.ts'
import type { IncomingHttpHeaders } from 'node:http'
import type { AddressInfo, Server, Socket } from 'node:net'
import type { RequestEvent } from '../../src/serving/observe/events.ts'
import type { ExporterLimits } from '../../src/serving/observe/tracing/exporter.ts'

/** An answered request: a trace of five spans. */
const EVENT: RequestEvent = {
  requestId: 'r',
  predictionId: 'p',
  protocol: 'predict',
  subject: undefined,
  decision: undefined,
  status: 200,
  errorCode: undefined,
  errorMessage: undefined,
  startedMs: 1,
  durationMs: 5,
  receiveMs: 1,
  prepareMs: 1,
  queueMs: 1,
  batchWaitMs: 0,
  computeMs: 1,
  rows: 1,
  cache: undefined,
  cacheMs: 0,
  traceparent: undefined,
}
const SPANS = 5

/** How a collector answers: `status` of HTTP, or of gRPC in its trailers; `hang up` closes the connection. Undefined: never. */
interface Reply {
  readonly status: number | 'hang up'
  readonly headers?: Record<string, string>
  readonly body?: Uint8Array
}

interface Scripted extends AsyncDisposable {
  readonly endpoint: string
  readonly requests: IncomingHttpHeaders[]
}

async function listening(server: Server, requests: IncomingHttpHeaders[], end: () => void): Promise<Scripted> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    endpoint: `http://127.0.0.1:${port}`,
    requests,
    async [Symbol.asyncDispose]() {
      end()
      server.close()
      await once(server, 'close')
    },
  }
}

/** A collector that answers as it is told, one reply after the other, and 200 after the last. */
async function httpCollector(replies: readonly (Reply | undefined)[]): Promise<Scripted> {
  const requests: IncomingHttpHeaders[] = []
  const server = createServer((request, response) => {
    const index = requests.push(request.headers) - 1
    request.resume().once('end', () => {
      const reply = index < replies.length ? replies[index] : { status: 200 }
      if (reply?.status === 'hang up') request.socket.end()
      else if (reply !== undefined) response.writeHead(reply.status, reply.headers).end(reply.body)
    })
  })
  return await listening(server, requests, () => server.closeAllConnections())
}

async function grpcCollector(replies: readonly (Reply | undefined)[]): Promise<Scripted> {
  const requests: IncomingHttpHeaders[] = []
  const sockets = new Set<Socket>()
  const server = createHttp2Server()
  server.on('connection', (socket: Socket) => sockets.add(socket))
  server.on('stream', (stream, headers) => {
    stream.on('error', () => {})
    const index = requests.push(headers) - 1
    stream.resume().once('end', () => {
      const reply = index < replies.length ? replies[index] : { status: 0 }
      if (reply === undefined) return
      if (reply.status === 'hang up') {
        sockets.forEach((socket) => socket.end())
        return
      }
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
      stream.once('wantTrailers', () => stream.sendTrailers({ 'grpc-status': String(reply.status), ...reply.headers }))
      const body = reply.body ?? new Uint8Array()
      const prefix = Buffer.alloc(5)
      prefix.writeUInt32BE(body.length, 1)
      stream.end(Buffer.concat([prefix, body]))
    })
  })
  return await listening(server, requests, () => sockets.forEach((socket) => socket.destroy()))
}

interface Traced {
  readonly tracing: Tracing
  readonly clock: ManualClock
  readonly warnings: object[]
  readonly count: (name: string, reason?: string) => number
}

function tracingTo(endpoint: string, protocol: 'http' | 'grpc', limits: Partial<ExporterLimits> = {}): Traced {
  const clock = new ManualClock()
  const warnings: object[] = []
  const log = { ...silentLogger, warn: (fields: object) => void warnings.push(fields) }
  const config = resolveTracing({ endpoint, protocol, sampleRatio: 1, headers: { Authorization: 'Bearer secret' } })
  const tracing = new Tracing({ ...config, endpoint: config.endpoint ?? '' }, { clock, log, limits })
  const count = (name: string, reason?: string): number =>
    Number(
      tracing
        .families()
        .find((family) => family.name === `slipway_trace_spans_${name}_total`)
        ?.samples.find(({ labels }) => labels['reason'] === reason)?.value,
    )
  return { tracing, clock, warnings, count }
}

function partialSuccess(rejected: number): Uint8Array {
  const writer = new BinaryWriter().tag(1, WireType.LengthDelimited).fork()
  return writer.tag(1, WireType.Varint).int64(rejected).tag(2, WireType.LengthDelimited).string('too old').join().finish()
}

/** `google.rpc.Status` with a RetryInfo, as it goes into a trailer. */
function retryInfo(seconds: number): string {
  const delay = new BinaryWriter().tag(1, WireType.LengthDelimited).fork().tag(1, WireType.Varint).int64(seconds).join().finish()
  const writer = new BinaryWriter().tag(1, WireType.Varint).int32(8).tag(3, WireType.LengthDelimited).fork()
  writer.tag(1, WireType.LengthDelimited).string('type.googleapis.com/google.rpc.RetryInfo')
  return Buffer.from(writer.tag(2, WireType.LengthDelimited).bytes(delay).join().finish()).toString('base64')
}

const SECONDS = 1000

const ways = [
  {
    protocol: 'http',
    open: httpCollector,
    later: [
      { status: 503, headers: { 'retry-after': '70' } },
      { status: 429, headers: { 'retry-after': '70' } },
    ],
    refusal: { status: 401 },
    partial: { status: 200, body: partialSuccess(2) },
    path: undefined,
  },
  {
    protocol: 'grpc',
    open: grpcCollector,
    later: [
      { status: 14, headers: { 'grpc-status-details-bin': retryInfo(70) } },
      { status: 8, headers: { 'grpc-status-details-bin': retryInfo(70) } },
    ],
    refusal: { status: 16 },
    partial: { status: 0, body: partialSuccess(2) },
    path: '/opentelemetry.proto.collector.trace.v1.TraceService/Export',
  },
] as const

for (const { protocol, open, later, refusal, partial, path } of ways) {
  describe(`exporting over ${protocol}`, () => {
    it('comes back when the collector says so, no sooner, and tells the log once a minute', async () => {
      for (const reply of later) {
        await using collector = await open([reply, reply])
        const { tracing, clock, warnings, count } = tracingTo(collector.endpoint, protocol)
        await using _ = tracing
        tracing.request(EVENT)
        clock.advance(1 * SECONDS)
        await until(() => warnings.length === 1, 'the failure is told')
        clock.advance(69 * SECONDS)
        // Long enough for a request that should not be made.
        await delay(50)
        assert.equal(collector.requests.length, 1)
        clock.advance(1 * SECONDS)
        await until(() => warnings.length === 2, 'the next failure is told, more than a minute later')
        assert.equal(collector.requests.length, 2)
        clock.advance(70 * SECONDS)
        await until(() => count('exported') === SPANS, 'the spans are taken at last')
        assert.equal(collector.requests[2]?.authorization, 'Bearer secret')
        assert.equal(collector.requests[2]?.[':path'], path)
        assert.doesNotMatch(JSON.stringify(warnings), /secret/)
      }
    })

    it('does not come back with what was refused, and counts what was refused in part', async () => {
      await using collector = await open([refusal, partial])
      const { tracing, clock, count } = tracingTo(collector.endpoint, protocol)
      await using _ = tracing
      tracing.request(EVENT)
      clock.advance(1 * SECONDS)
      await until(() => count('dropped', 'rejected') === SPANS, 'the refusal is counted')
      tracing.request(EVENT)
      await until(() => {
        clock.advance(1 * SECONDS)
        return count('exported') === SPANS - 2
      }, 'the rest is taken')
      assert.equal(count('dropped', 'rejected'), SPANS + 2)
      assert.equal(collector.requests.length, 2)
    })

    it('tries again when the connection is closed in the place of an answer', async () => {
      await using collector = await open([{ status: 'hang up' }, { status: 'hang up' }])
      const { tracing, clock, count } = tracingTo(collector.endpoint, protocol)
      await using _ = tracing
      tracing.request(EVENT)
      await until(() => {
        clock.advance(1 * SECONDS)
        return count('exported') === SPANS
      }, 'the spans are taken')
      assert.equal(collector.requests.length, 3)
    })

    it('gives a batch up in the end, and takes the next', async () => {
      await using collector = await open([later[0]])
      const { tracing, clock, warnings, count } = tracingTo(collector.endpoint, protocol, { giveUpMs: 60 * SECONDS })
      await using _ = tracing
      tracing.request(EVENT)
      clock.advance(1 * SECONDS)
      await until(() => count('dropped', 'undeliverable') === SPANS, 'it is given up: the collector wants it too late')
      assert.equal(warnings.length, 1)
      tracing.request(EVENT)
      await until(() => {
        clock.advance(1 * SECONDS)
        return count('exported') === SPANS
      }, 'the next is taken')
    })

    it('holds no more than the buffer while a collector does not answer, drops the newest, and ends within its limit', async () => {
      await using collector = await open([undefined])
      const limits = { batchSpans: 2 * SPANS, bufferSpans: 10 * SPANS }
      const { tracing, clock, warnings, count } = tracingTo(collector.endpoint, protocol, limits)
      for (let index = 0; index < 2; index++) tracing.request(EVENT)
      await until(() => collector.requests.length === 1, 'a full batch is sent without waiting')
      for (let index = 0; index < 25; index++) tracing.request(EVENT)
      assert.equal(count('dropped', 'buffer_full'), 15 * SPANS)
      const closed = tracing[Symbol.asyncDispose]()
      clock.advance(5 * SECONDS)
      await closed
      assert.equal(count('dropped', 'shutdown'), 12 * SPANS, 'what it held and what was under way')
      assert.equal(count('exported'), 0)
      assert.match(JSON.stringify(warnings.at(-1)), /"spans":60/)
      tracing.request(EVENT)
      assert.equal(count('dropped', 'shutdown'), 13 * SPANS)
    })
  })
}
