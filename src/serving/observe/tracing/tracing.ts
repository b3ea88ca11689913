import { randomUUID } from 'node:crypto'
import { slipwayVersion } from '../../../core/version.ts'
import { METRICS } from '../catalog.ts'
import { Exporter } from './exporter.ts'
import { encodeTraces } from './otlp-encoding.ts'
import { grpcTransport } from './otlp-grpc.ts'
import { httpTransport } from './otlp-http.ts'
import { partsOf } from './request-trace.ts'
import { decisionOf, readTraceparent } from './trace-context.ts'
import { TraceIds } from './trace-ids.ts'
import type { Clock } from '../../../core/clock.ts'
import type { Logger } from '../../../core/log.ts'
import type { Observer, RequestEvent } from '../events.ts'
import type { Family } from '../exposition.ts'
import type { ExporterLimits } from './exporter.ts'
import type { TracingConfig } from './options.ts'

export interface TracingSurroundings {
  readonly clock: Clock
  readonly log: Logger
  readonly limits?: Partial<ExporterLimits>
}

/** Sampled, and of random id (W3C Trace Context, level 2). */
const OWN_FLAGS = 0b11
/** A wall clock that differs by more has been set; smaller differences come from reading it in whole milliseconds. */
const CLOCK_SET_MS = 20

/**
 * Exports requests to a collector, as traces. Parent-based: where the caller sends a valid traceparent its decision holds,
 * else the ratio decides. A request that is not sampled costs a look at its header or a random number, and no memory.
 */
export class Tracing implements Observer, AsyncDisposable {
  readonly #ids: TraceIds
  readonly #exporter: Exporter
  readonly #clock: Clock
  #epochOffsetMs: number

  /** @param config with an endpoint */
  constructor(config: TracingConfig & { readonly endpoint: string }, { clock, log, limits }: TracingSurroundings) {
    const { endpoint, protocol, headers } = config
    const source = { serviceName: config.serviceName, version: slipwayVersion(), instanceId: randomUUID() }
    this.#ids = new TraceIds(config.sampleRatio)
    this.#clock = clock
    this.#epochOffsetMs = clock.epochMs() - clock.monotonicMs()
    this.#exporter = new Exporter({
      transport: protocol === 'grpc' ? grpcTransport(endpoint, headers) : httpTransport(endpoint, headers),
      encode: (traces) => encodeTraces(traces, source, this.#ids, this.#epochOffset()),
      clock,
      log,
      endpoint: withoutSecrets(endpoint),
      ...(limits !== undefined && { limits }),
    })
  }

  request(event: RequestEvent): void {
    const { traceparent } = event
    const decision = traceparent === undefined ? 'none' : decisionOf(traceparent)
    if (decision === 'not sampled' || (decision === 'none' && !this.#ids.draw())) return
    const parent =
      decision === 'none' || traceparent === undefined
        ? { traceId: this.#ids.traceId(), parentSpanId: undefined, flags: OWN_FLAGS }
        : readTraceparent(traceparent)
    this.#exporter.add({ event, parts: partsOf(event), ...parent })
  }

  families(): Family[] {
    const { exportedSpans, droppedSpans } = this.#exporter
    return [
      {
        name: 'slipway_trace_spans_exported_total',
        info: METRICS.slipway_trace_spans_exported_total,
        samples: [{ labels: {}, value: exportedSpans }],
      },
      {
        name: 'slipway_trace_spans_dropped_total',
        info: METRICS.slipway_trace_spans_dropped_total,
        samples: [...droppedSpans].map(([reason, value]) => ({ labels: { reason }, value })),
      },
    ]
  }

  /** Offset of the monotonic scale from the Unix epoch, taken anew when the wall clock was set. */
  #epochOffset(): number {
    const now = this.#clock.epochMs() - this.#clock.monotonicMs()
    if (Math.abs(now - this.#epochOffsetMs) > CLOCK_SET_MS) this.#epochOffsetMs = now
    return this.#epochOffsetMs
  }

  /** Sends the waiting spans, within a limit, and ends. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#exporter.close()
  }
}

/** Removes user, password and query from a URL, as they may hold secrets. */
function withoutSecrets(endpoint: string): string {
  const { origin, pathname } = new URL(endpoint)
  return origin + pathname
}
