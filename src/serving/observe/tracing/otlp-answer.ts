import { fromBinary } from '@bufbuild/protobuf'
import { durationMs } from '@bufbuild/protobuf/wkt'
import { RetryInfoSchema } from './generated/google/rpc/error_details_pb.js'
import { StatusSchema } from './generated/google/rpc/status_pb.js'
import { ExportTraceServiceResponseSchema } from './generated/opentelemetry/proto/collector/trace/v1/trace_service_pb.js'
import type { DescMessage, MessageShape } from '@bufbuild/protobuf'

/** Number of spans that an ExportTraceServiceResponse rejects, and why; an unreadable response rejects none. */
export function readPartialSuccess(bytes: Uint8Array): { rejected: number; message: string } {
  const partial = readable(ExportTraceServiceResponseSchema, bytes)?.partialSuccess
  return { rejected: Number(partial?.rejectedSpans ?? 0n), message: partial?.errorMessage ?? '' }
}

/** `google.rpc.Status`: the body of error answers, with a RetryInfo where the server says when to retry. */
export function readStatus(bytes: Uint8Array): { message: string; retryAfterMs: number | undefined } {
  const status = readable(StatusSchema, bytes)
  const detail = status?.details.find(({ typeUrl }) => typeUrl.endsWith(`/${RetryInfoSchema.typeName}`))
  const delay = detail === undefined ? undefined : readable(RetryInfoSchema, detail.value)?.retryDelay
  return { message: status?.message ?? '', retryAfterMs: delay === undefined ? undefined : durationMs(delay) }
}

/** Undefined for bytes that are no such message: a proxy's page, say. The HTTP or gRPC status beside it is enough. */
function readable<Desc extends DescMessage>(schema: Desc, bytes: Uint8Array): MessageShape<Desc> | undefined {
  try {
    return fromBinary(schema, bytes)
  } catch {
    return undefined
  }
}
