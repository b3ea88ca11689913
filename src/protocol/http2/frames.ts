/** Frames of HTTP/2 (RFC 9113, sections 4 to 7). */

/** How a connection of a client begins (section 3.4). */
export const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'

export const FRAME = {
  data: 0x0,
  headers: 0x1,
  priority: 0x2,
  reset: 0x3,
  settings: 0x4,
  pushPromise: 0x5,
  ping: 0x6,
  goAway: 0x7,
  windowUpdate: 0x8,
  continuation: 0x9,
} as const

export const FLAG = { endStream: 0x1, ack: 0x1, endHeaders: 0x4, padded: 0x8, priority: 0x20 } as const

export const SETTING = {
  headerTableBytes: 0x1,
  push: 0x2,
  streams: 0x3,
  window: 0x4,
  frameBytes: 0x5,
  headerListBytes: 0x6,
} as const

/** Why a stream or a connection ends (section 7). */
export const REASON = {
  none: 0x0,
  protocol: 0x1,
  internal: 0x2,
  flowControl: 0x3,
  streamClosed: 0x5,
  frameSize: 0x6,
  refused: 0x7,
  cancel: 0x8,
  compression: 0x9,
  calm: 0xb,
} as const
export type Reason = (typeof REASON)[keyof typeof REASON]

export const HEAD_BYTES = 9
/** Largest payload of a frame, where the other side has not offered more. */
export const FRAME_BYTES = 16_384
export const FRAME_BYTES_MOST = 2 ** 24 - 1
export const WINDOW_BYTES = 65_535
export const WINDOW_MOST = 2 ** 31 - 1

/** Writes the head of a frame. @returns where its payload begins */
export function writeHead(into: Buffer, at: number, head: { length: number; type: number; flags: number; stream: number }): number {
  into[at] = head.length >>> 16
  into[at + 1] = head.length >>> 8
  into[at + 2] = head.length
  into[at + 3] = head.type
  into[at + 4] = head.flags
  into[at + 5] = head.stream >>> 24
  into[at + 6] = head.stream >>> 16
  into[at + 7] = head.stream >>> 8
  into[at + 8] = head.stream
  return at + HEAD_BYTES
}

export function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(HEAD_BYTES + payload.length)
  payload.copy(bytes, writeHead(bytes, 0, { length: payload.length, type, flags, stream }))
  return bytes
}

/** A frame whose payload is one number of four bytes: `reset`, `windowUpdate`. */
export function numberFrame(type: number, stream: number, value: number): Buffer {
  const bytes = Buffer.allocUnsafe(HEAD_BYTES + 4)
  bytes.writeUInt32BE(value, writeHead(bytes, 0, { length: 4, type, flags: 0, stream }))
  return bytes
}

export function settingsFrame(settings: readonly (readonly [setting: number, value: number])[]): Buffer {
  const payload = Buffer.allocUnsafe(6 * settings.length)
  for (const [index, [setting, value]] of settings.entries()) {
    payload.writeUInt16BE(setting, 6 * index)
    payload.writeUInt32BE(value, 6 * index + 2)
  }
  return frame(FRAME.settings, 0, 0, payload)
}

/** @param lastStream number of the last stream that is answered. @param text for people: clients of gRPC show it */
export function goAwayFrame(lastStream: number, reason: Reason, text: string): Buffer {
  const words = Buffer.from(text)
  const payload = Buffer.allocUnsafe(8 + words.length)
  payload.writeUInt32BE(lastStream, 0)
  payload.writeUInt32BE(reason, 4)
  words.copy(payload, 8)
  return frame(FRAME.goAway, 0, 0, payload)
}

/** Headers, in as many frames as they need. @param block see `encodeHeaders` */
export function headerFrames(stream: number, block: string, ends: boolean): Buffer {
  const count = Math.max(1, Math.ceil(block.length / FRAME_BYTES))
  const bytes = Buffer.allocUnsafe(block.length + count * HEAD_BYTES)
  let at = 0
  for (let index = 0; index < count; index++) {
    const part = count === 1 ? block : block.slice(index * FRAME_BYTES, (index + 1) * FRAME_BYTES)
    const flags = (index === count - 1 ? FLAG.endHeaders : 0) | (index === 0 && ends ? FLAG.endStream : 0)
    at = writeHead(bytes, at, { length: part.length, type: index === 0 ? FRAME.headers : FRAME.continuation, flags, stream })
    at += bytes.write(part, at, 'latin1')
  }
  return bytes
}
