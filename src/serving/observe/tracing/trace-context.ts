/**
 * W3C Trace Context (level 2, section 3.2): `VERSION-TRACEID-PARENTID-FLAGS` in lower-case hexadecimal. Later versions are
 * read as far as version 00 goes, as the recommendation asks.
 */
const LENGTH = 55
const TRACE_ID = 3
const PARENT_ID = 36
const FLAGS = 53
const DASH = 0x2d
const SAMPLED = 1

/** Decision of a caller: its trace is sampled, or is not, or there is no valid trace. */
export type Decision = 'sampled' | 'not sampled' | 'none'

/** Reads the decision of a `traceparent` header and allocates nothing, as it is called for every request. */
export function decisionOf(traceparent: string): Decision {
  const { length } = traceparent
  if (length < LENGTH) return 'none'
  const version = hexAt(traceparent, 0, 2)
  if (version < 0 || version === 0xff) return 'none'
  // Version 00 ends here; a later one may go on after a dash.
  if (length > LENGTH && (version === 0 || traceparent.charCodeAt(LENGTH) !== DASH)) return 'none'
  if (traceparent.charCodeAt(TRACE_ID - 1) !== DASH || traceparent.charCodeAt(PARENT_ID - 1) !== DASH) return 'none'
  if (traceparent.charCodeAt(FLAGS - 1) !== DASH) return 'none'
  const flags = hexAt(traceparent, FLAGS, LENGTH)
  if (flags < 0 || !isId(traceparent, TRACE_ID, PARENT_ID - 1) || !isId(traceparent, PARENT_ID, FLAGS - 1)) return 'none'
  return (flags & SAMPLED) === SAMPLED ? 'sampled' : 'not sampled'
}

/** The parts of a `traceparent` that {@link decisionOf} found valid. */
export function readTraceparent(traceparent: string): { traceId: Buffer; parentSpanId: Buffer; flags: number } {
  return {
    traceId: Buffer.from(traceparent.slice(TRACE_ID, PARENT_ID - 1), 'hex'),
    parentSpanId: Buffer.from(traceparent.slice(PARENT_ID, FLAGS - 1), 'hex'),
    flags: hexAt(traceparent, FLAGS, LENGTH),
  }
}

/** Hexadecimal digits, not all of them zero. */
function isId(text: string, start: number, end: number): boolean {
  let any = 0
  for (let at = start; at < end; at++) {
    const digit = hexDigit(text.charCodeAt(at))
    if (digit < 0) return false
    any |= digit
  }
  return any !== 0
}

/** Value of a few hexadecimal digits; -1 where a character is not one. */
function hexAt(text: string, start: number, end: number): number {
  let value = 0
  for (let at = start; at < end; at++) {
    const digit = hexDigit(text.charCodeAt(at))
    if (digit < 0) return -1
    value = value * 16 + digit
  }
  return value
}

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30
  return code >= 0x61 && code <= 0x66 ? code - 0x57 : -1
}
