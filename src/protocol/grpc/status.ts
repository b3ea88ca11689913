import type { SlipwayError } from '../../core/errors.ts'

/** Numbers of the codes that `core/errors` names (gRPC, "Status codes"). */
export const STATUS: Readonly<Record<string, number>> = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
}

export function statusOf(error: SlipwayError): number {
  return STATUS[error.kind.grpc] ?? 2
}

/** Characters, as encoded, beyond which a message is cut: it goes into trailers, whose size clients limit (8 KiB by default, all together). */
const MESSAGE_MAX = 4000

/** A text as `grpc-message` has it: UTF-8, percent-encoded where it is not printable ASCII. */
export function encodeStatusMessage(message: string): string {
  if (message.length <= MESSAGE_MAX && !UNSAFE.test(message)) return message
  let text = ''
  for (const character of message.toWellFormed()) {
    const encoded = encodeCharacter(character)
    if (text.length + encoded.length > MESSAGE_MAX) return text + CUT
    text += encoded
  }
  return text
}

function encodeCharacter(character: string): string {
  if (!UNSAFE.test(character)) return character
  let text = ''
  for (const byte of Buffer.from(character)) text += `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
  return text
}

const UNSAFE = /[^\x20-\x7e]|%/
/** An ellipsis. */
const CUT = '%E2%80%A6'
