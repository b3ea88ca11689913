import { createServer } from 'node:http'
import { once } from 'node:events'
import { json } from 'node:stream/consumers'
import { otelCollector } from '../../scripts/otel-collector.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { freePort } from '../fixtures.ts'
import { startChild } from './child.ts'
import type { AddressInfo } from 'node:net'

/** A span as a collector read it, its attributes as plain values. */
export interface Span {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId: string
  readonly name: string
  readonly kind: number
  readonly flags: number
  readonly startNs: bigint
  readonly endNs: bigint
  readonly attributes: Readonly<Record<string, string | number>>
  readonly status: { readonly code?: number; readonly message?: string }
  readonly resource: Readonly<Record<string, string | number>>
}

export interface Collector extends AsyncDisposable {
  readonly httpPort: number
  readonly grpcPort: number
  /** Everything that it received so far. */
  readonly spans: readonly Span[]
}

interface KeyValue {
  readonly key: string
  readonly value: { readonly stringValue?: string; readonly intValue?: string }
}
interface Exported {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly KeyValue[] }
    readonly scopeSpans: readonly {
      readonly spans: readonly (Omit<Span, 'attributes' | 'parentSpanId' | 'startNs' | 'endNs' | 'resource'> & {
        readonly parentSpanId?: string
        readonly startTimeUnixNano: string
        readonly endTimeUnixNano: string
        readonly attributes?: readonly KeyValue[]
      })[]
    }[]
  }[]
}

function plain(attributes: readonly KeyValue[] = []): Record<string, string | number> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, value.stringValue ?? Number(value.intValue)]))
}

export async function freePorts(): Promise<{ httpPort: number; grpcPort: number }> {
  return { httpPort: await freePort(), grpcPort: await freePort() }
}

/** A real OpenTelemetry Collector, which hands what it receives to this process as JSON before it answers. */
export async function startCollector(ports?: { httpPort: number; grpcPort: number }): Promise<Collector> {
  await using opened = new AsyncDisposableStack()
  const binary = await otelCollector()
  const { httpPort, grpcPort } = ports ?? (await freePorts())
  const folder = opened.use(await temporaryFolder())
  const spans: Span[] = []
  const sink = createServer((request, response) => {
    void json(request).then((body) => {
      for (const { resource, scopeSpans } of (body as Exported).resourceSpans)
        for (const span of scopeSpans.flatMap((scope) => scope.spans)) {
          const [startNs, endNs] = [BigInt(span.startTimeUnixNano), BigInt(span.endTimeUnixNano)]
          const { parentSpanId = '' } = span
          spans.push({ ...span, parentSpanId, startNs, endNs, attributes: plain(span.attributes), resource: plain(resource.attributes) })
        }
      response.setHeader('content-type', 'application/json').end('{}')
    })
  }).listen(0, '127.0.0.1')
  await once(sink, 'listening')
  opened.defer(() => {
    sink.closeAllConnections()
    sink.close()
  })
  const config = await folder.write(
    'collector.yaml',
    JSON.stringify({
      receivers: { otlp: { protocols: { grpc: { endpoint: `127.0.0.1:${grpcPort}` }, http: { endpoint: `127.0.0.1:${httpPort}` } } } },
      exporters: {
        otlphttp: {
          traces_endpoint: `http://127.0.0.1:${(sink.address() as AddressInfo).port}/`,
          encoding: 'json',
          compression: 'none',
          sending_queue: { enabled: false },
          retry_on_failure: { enabled: false },
        },
      },
      service: {
        telemetry: { metrics: { level: 'none' } },
        pipelines: { traces: { receivers: ['otlp'], exporters: ['otlphttp'] } },
      },
    }),
  )
  const listens = (): Promise<boolean> =>
    fetch(`http://127.0.0.1:${httpPort}/`).then(
      () => true,
      () => false,
    )
  opened.use(await startChild(binary, ['--config', `file:${config}`], listens))
  const held = opened.move()
  return { httpPort, grpcPort, spans, [Symbol.asyncDispose]: () => held.disposeAsync() }
}
