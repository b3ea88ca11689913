import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import type { TraceIds } from './trace-ids.ts'
import type { RequestTrace } from './request-trace.ts'

/** Field numbers of OTLP 1.x (opentelemetry/proto: trace.proto, common.proto, resource.proto, trace_service.proto). */
const REQUEST = { resourceSpans: 1 } as const
const RESOURCE_SPANS = { resource: 1, scopeSpans: 2 } as const
const RESOURCE = { attributes: 1 } as const
const SCOPE_SPANS = { scope: 1, spans: 2 } as const
const SCOPE = { name: 1, version: 2 } as const
const SPAN = {
  traceId: 1,
  spanId: 2,
  parentSpanId: 4,
  name: 5,
  kind: 6,
  startTimeUnixNano: 7,
  endTimeUnixNano: 8,
  attributes: 9,
  status: 15,
  flags: 16,
} as const
const KEY_VALUE = { key: 1, value: 2 } as const
const ANY_VALUE = { string: 1, int: 3 } as const
const STATUS = { message: 2, code: 3 } as const
const KIND = { internal: 1, server: 2 } as const
const STATUS_ERROR = 2
/** Bits of `Span.flags` above the W3C flags: whether the parent is remote is known, and it is. */
const FLAG_HAS_IS_REMOTE = 0x1_00
const FLAG_IS_REMOTE = 0x2_00
/** Limit of an error message in a span. The log has the whole message. */
const MESSAGE_CHARACTERS = 500

/** The server that exports the traces. */
export interface TraceSource {
  readonly serviceName: string
  readonly version: string
  /** Drawn at each start: tells replicas apart. */
  readonly instanceId: string
}

/**
 * One ExportTraceServiceRequest with the spans of these requests.
 * @param epochOffsetMs to add to monotonic times of the events for times since the Unix epoch
 */
export function encodeTraces(traces: readonly RequestTrace[], source: TraceSource, ids: TraceIds, epochOffsetMs: number): Uint8Array {
  const writer = new BinaryWriter()
  writer.tag(REQUEST.resourceSpans, WireType.LengthDelimited).fork()
  writer.tag(RESOURCE_SPANS.resource, WireType.LengthDelimited).fork()
  writeText(writer, RESOURCE.attributes, 'service.name', source.serviceName)
  writeText(writer, RESOURCE.attributes, 'service.version', source.version)
  writeText(writer, RESOURCE.attributes, 'service.instance.id', source.instanceId)
  writer.join()
  writer.tag(RESOURCE_SPANS.scopeSpans, WireType.LengthDelimited).fork()
  writer.tag(SCOPE_SPANS.scope, WireType.LengthDelimited).fork()
  writer.tag(SCOPE.name, WireType.LengthDelimited).string('slipway')
  writer.tag(SCOPE.version, WireType.LengthDelimited).string(source.version).join()
  for (const trace of traces) writeRequest(writer, trace, ids, epochOffsetMs)
  return writer.join().join().finish()
}

function writeRequest(writer: BinaryWriter, trace: RequestTrace, ids: TraceIds, epochOffsetMs: number): void {
  const { event, traceId, parentSpanId } = trace
  // A copy: the children refer to it after `ids` has moved on.
  const rootId = Uint8Array.from(ids.spanId())
  beginSpan(writer, { traceId, spanId: rootId, parentSpanId, name: 'model_inference', kind: KIND.server })
  // Summed in the same order as for the parts, so that rounding leaves them inside.
  writeTimes(writer, epochOffsetMs + event.startedMs, epochOffsetMs + (event.startedMs + event.durationMs))
  writeRootAttributes(writer, trace)
  // A server's span is an error where the server is at fault; a refused request is the caller's (semantic conventions).
  if (event.status >= 500) writeError(writer, event.errorMessage)
  writeFlags(writer, trace.flags | FLAG_HAS_IS_REMOTE | (parentSpanId === undefined ? 0 : FLAG_IS_REMOTE))
  writer.join()
  for (const part of trace.parts) {
    beginSpan(writer, { traceId, spanId: ids.spanId(), parentSpanId: rootId, name: part.name, kind: KIND.internal })
    writeTimes(writer, epochOffsetMs + part.startMs, epochOffsetMs + part.endMs)
    if (part.failed) {
      if (event.errorCode !== undefined) writeText(writer, SPAN.attributes, 'error.type', event.errorCode)
      if (event.status >= 500) writeError(writer, event.errorMessage)
    }
    writeFlags(writer, trace.flags | FLAG_HAS_IS_REMOTE)
    writer.join()
  }
}

interface SpanHead {
  readonly traceId: Uint8Array
  readonly spanId: Uint8Array
  readonly parentSpanId: Uint8Array | undefined
  readonly name: string
  readonly kind: number
}

function beginSpan(writer: BinaryWriter, { traceId, spanId, parentSpanId, name, kind }: SpanHead): void {
  writer.tag(SCOPE_SPANS.spans, WireType.LengthDelimited).fork()
  writer.tag(SPAN.traceId, WireType.LengthDelimited).bytes(traceId)
  writer.tag(SPAN.spanId, WireType.LengthDelimited).bytes(spanId)
  if (parentSpanId !== undefined) writer.tag(SPAN.parentSpanId, WireType.LengthDelimited).bytes(parentSpanId)
  writer.tag(SPAN.name, WireType.LengthDelimited).string(name)
  writer.tag(SPAN.kind, WireType.Varint).int32(kind)
}

function writeRootAttributes(writer: BinaryWriter, { event }: RequestTrace): void {
  const { subject, decision } = event
  if (subject !== undefined) {
    writeText(writer, SPAN.attributes, 'slipway.endpoint', subject.endpoint)
    writeText(writer, SPAN.attributes, 'slipway.variant', subject.variant)
    writeText(writer, SPAN.attributes, 'slipway.model', subject.model)
    writeText(writer, SPAN.attributes, 'slipway.version', subject.version)
  }
  if (decision !== undefined) {
    writeInteger(writer, 'slipway.segment', decision.segment)
    writeText(writer, SPAN.attributes, 'slipway.assignment', decision.assignment)
  }
  writeText(writer, SPAN.attributes, 'slipway.protocol', event.protocol)
  writeInteger(writer, 'slipway.rows', event.rows)
  writeText(writer, SPAN.attributes, 'slipway.prediction_id', event.predictionId)
  writeText(writer, SPAN.attributes, 'slipway.request_id', event.requestId)
  writeInteger(writer, 'http.response.status_code', event.status)
  if (event.errorCode !== undefined) writeText(writer, SPAN.attributes, 'error.type', event.errorCode)
}

function writeText(writer: BinaryWriter, field: number, key: string, value: string): void {
  writer.tag(field, WireType.LengthDelimited).fork()
  writer.tag(KEY_VALUE.key, WireType.LengthDelimited).string(key)
  writer.tag(KEY_VALUE.value, WireType.LengthDelimited).fork()
  writer.tag(ANY_VALUE.string, WireType.LengthDelimited).string(value).join().join()
}

function writeInteger(writer: BinaryWriter, key: string, value: number): void {
  writer.tag(SPAN.attributes, WireType.LengthDelimited).fork()
  writer.tag(KEY_VALUE.key, WireType.LengthDelimited).string(key)
  writer.tag(KEY_VALUE.value, WireType.LengthDelimited).fork()
  writer.tag(ANY_VALUE.int, WireType.Varint).int64(value).join().join()
}

function writeError(writer: BinaryWriter, message: string | undefined): void {
  writer.tag(SPAN.status, WireType.LengthDelimited).fork()
  if (message !== undefined) writer.tag(STATUS.message, WireType.LengthDelimited).string(message.slice(0, MESSAGE_CHARACTERS))
  writer.tag(STATUS.code, WireType.Varint).int32(STATUS_ERROR).join()
}

function writeFlags(writer: BinaryWriter, flags: number): void {
  writer.tag(SPAN.flags, WireType.Bit32).fixed32(flags)
}

function writeTimes(writer: BinaryWriter, startMs: number, endMs: number): void {
  writeNanoseconds(writer, SPAN.startTimeUnixNano, startMs)
  writeNanoseconds(writer, SPAN.endTimeUnixNano, endMs)
}

/** Writes whole microseconds, the precision of a double for the time since 1970, as a fixed64 of nanoseconds: low half first. */
function writeNanoseconds(writer: BinaryWriter, field: number, epochMs: number): void {
  const half = 2 ** 32
  const us = Math.round(epochMs * 1000)
  const low = (us % half) * 1000
  writer
    .tag(field, WireType.Bit64)
    .fixed32(low % half)
    .fixed32(Math.floor(us / half) * 1000 + Math.floor(low / half))
}
