import { create, toBinary } from '@bufbuild/protobuf'
import { ExportTraceServiceRequestSchema } from './generated/opentelemetry/proto/collector/trace/v1/trace_service_pb.js'
import { Span_SpanKind, SpanFlags, Status_StatusCode } from './generated/opentelemetry/proto/trace/v1/trace_pb.js'
import type { MessageInitShape } from '@bufbuild/protobuf'
import type { KeyValueSchema } from './generated/opentelemetry/proto/common/v1/common_pb.js'
import type { SpanSchema } from './generated/opentelemetry/proto/trace/v1/trace_pb.js'
import type { TraceIds } from './trace-ids.ts'
import type { RequestTrace } from './request-trace.ts'

/** Limit of an error message in a span. The log has the whole message. */
const MESSAGE_CHARACTERS = 500

type Span = MessageInitShape<typeof SpanSchema>
type Attribute = MessageInitShape<typeof KeyValueSchema>

/** The server that exports the traces. */
export interface TraceSource {
  readonly serviceName: string
  readonly version: string
  /** Drawn at each start: tells replicas apart. */
  readonly instanceId: string
}

/**
 * One ExportTraceServiceRequest (OTLP 1.x) with the spans of these requests.
 * @param epochOffsetMs to add to monotonic times of the events for times since the Unix epoch
 */
export function encodeTraces(
  traces: readonly RequestTrace[],
  { serviceName, version, instanceId }: TraceSource,
  ids: TraceIds,
  epochOffsetMs: number,
): Uint8Array {
  const attributes = [text('service.name', serviceName), text('service.version', version), text('service.instance.id', instanceId)]
  const spans = traces.flatMap((trace) => spansOf(trace, ids, epochOffsetMs))
  const request = create(ExportTraceServiceRequestSchema, {
    resourceSpans: [{ resource: { attributes }, scopeSpans: [{ scope: { name: 'slipway', version }, spans }] }],
  })
  return toBinary(ExportTraceServiceRequestSchema, request)
}

function spansOf({ event, flags, parentSpanId, parts, traceId }: RequestTrace, ids: TraceIds, epochOffsetMs: number): Span[] {
  // Copies: `ids` and the trace go on using their memory.
  const rootId = Uint8Array.from(ids.spanId())
  const trace = Uint8Array.from(traceId)
  // A server's span is an error where the server is at fault; a refused request is the caller's (semantic conventions).
  const status = event.status >= 500 ? { status: errorStatus(event.errorMessage) } : {}
  const root: Span = {
    traceId: trace,
    spanId: rootId,
    ...(parentSpanId !== undefined && { parentSpanId: Uint8Array.from(parentSpanId) }),
    name: 'model_inference',
    kind: Span_SpanKind.SERVER,
    // Summed in the same order as for the parts, so that rounding leaves them inside.
    ...times(epochOffsetMs + event.startedMs, epochOffsetMs + (event.startedMs + event.durationMs)),
    attributes: rootAttributes(event),
    flags: flagsOf(flags, parentSpanId !== undefined),
    ...status,
  }
  const children = parts.map((part): Span => ({
    traceId: trace,
    spanId: Uint8Array.from(ids.spanId()),
    parentSpanId: rootId,
    name: part.name,
    kind: Span_SpanKind.INTERNAL,
    ...times(epochOffsetMs + part.startMs, epochOffsetMs + part.endMs),
    attributes: part.failed && event.errorCode !== undefined ? [text('error.type', event.errorCode)] : [],
    flags: flagsOf(flags, false),
    ...(part.failed && status),
  }))
  return [root, ...children]
}

function rootAttributes(event: RequestTrace['event']): Attribute[] {
  const { decision, subject } = event
  return [
    ...(subject === undefined
      ? []
      : [
          text('slipway.endpoint', subject.endpoint),
          text('slipway.variant', subject.variant),
          text('slipway.model', subject.model),
          text('slipway.version', subject.version),
        ]),
    ...(decision === undefined ? [] : [integer('slipway.segment', decision.segment), text('slipway.assignment', decision.assignment)]),
    text('slipway.protocol', event.protocol),
    integer('slipway.rows', event.rows),
    text('slipway.prediction_id', event.predictionId),
    text('slipway.request_id', event.requestId),
    integer('http.response.status_code', event.status),
    ...(event.errorCode === undefined ? [] : [text('error.type', event.errorCode)]),
  ]
}

function text(key: string, value: string): Attribute {
  return { key, value: { value: { case: 'stringValue', value } } }
}

function integer(key: string, value: number): Attribute {
  return { key, value: { value: { case: 'intValue', value: BigInt(value) } } }
}

function errorStatus(message: string | undefined): Span['status'] {
  return { code: Status_StatusCode.ERROR, ...(message !== undefined && { message: message.slice(0, MESSAGE_CHARACTERS) }) }
}

/** The W3C flags, and that it is known whether the parent is of another process. */
function flagsOf(flags: number, remoteParent: boolean): number {
  return flags | SpanFlags.CONTEXT_HAS_IS_REMOTE_MASK | (remoteParent ? SpanFlags.CONTEXT_IS_REMOTE_MASK : 0)
}

function times(startMs: number, endMs: number): Pick<Span, 'startTimeUnixNano' | 'endTimeUnixNano'> {
  return { startTimeUnixNano: nanoseconds(startMs), endTimeUnixNano: nanoseconds(endMs) }
}

/** Whole microseconds, the precision of a double for the time since 1970. */
function nanoseconds(epochMs: number): bigint {
  return BigInt(Math.round(epochMs * 1000)) * 1000n
}
