import { BinaryReader } from '@bufbuild/protobuf/wire'

/** Field numbers of OTLP 1.x (trace_service.proto) and of google.rpc (status.proto, error_details.proto). */
const RESPONSE = { partialSuccess: 1 } as const
const PARTIAL_SUCCESS = { rejectedSpans: 1, errorMessage: 2 } as const
const STATUS = { message: 2, details: 3 } as const
const ANY = { typeUrl: 1, value: 2 } as const
const RETRY_INFO = { retryDelay: 1 } as const
const DURATION = { seconds: 1, nanos: 2 } as const

/** Number of spans that an ExportTraceServiceResponse rejects, and why; an unreadable response rejects none. */
export function readPartialSuccess(bytes: Uint8Array): { rejected: number; message: string } {
  const found = { rejected: 0, message: '' }
  visitFields(bytes, (field, reader) => {
    if (field !== RESPONSE.partialSuccess) return false
    visitFields(reader.bytes(), (inner, partial) => {
      if (inner === PARTIAL_SUCCESS.rejectedSpans) found.rejected = Number(partial.int64())
      else if (inner === PARTIAL_SUCCESS.errorMessage) found.message = partial.string()
      else return false
      return true
    })
    return true
  })
  return found
}

/** `google.rpc.Status`: the body of error answers, with a RetryInfo where the server says when to retry. */
export function readStatus(bytes: Uint8Array): { message: string; retryAfterMs: number | undefined } {
  const found: { message: string; retryAfterMs: number | undefined } = { message: '', retryAfterMs: undefined }
  visitFields(bytes, (field, reader) => {
    if (field === STATUS.message) found.message = reader.string()
    else if (field === STATUS.details) found.retryAfterMs = readRetryDelay(reader.bytes()) ?? found.retryAfterMs
    else return false
    return true
  })
  return found
}

/** The delay of a `google.rpc.RetryInfo` in an Any. Milliseconds; undefined where the Any holds something else. */
function readRetryDelay(any: Uint8Array): number | undefined {
  let type = ''
  let value: Uint8Array = new Uint8Array()
  visitFields(any, (field, reader) => {
    if (field === ANY.typeUrl) type = reader.string()
    else if (field === ANY.value) value = reader.bytes()
    else return false
    return true
  })
  if (!type.endsWith('/google.rpc.RetryInfo')) return undefined
  let ms = 0
  visitFields(value, (field, reader) => {
    if (field !== RETRY_INFO.retryDelay) return false
    visitFields(reader.bytes(), (inner, duration) => {
      if (inner === DURATION.seconds) ms += Number(duration.int64()) * 1000
      else if (inner === DURATION.nanos) ms += duration.int32() / 1e6
      else return false
      return true
    })
    return true
  })
  return ms
}

/** Calls `visit` for each field; fields that it does not take (false) are skipped. Stops at bytes that are not protobuf. */
function visitFields(bytes: Uint8Array, visit: (field: number, reader: BinaryReader) => boolean): void {
  try {
    const reader = new BinaryReader(bytes)
    while (reader.pos < reader.len) {
      const [field, type] = reader.tag()
      if (!visit(field, reader)) reader.skip(type, field)
    }
  } catch {
    // A proxy's page, say: the HTTP or gRPC status beside it is enough.
  }
}
