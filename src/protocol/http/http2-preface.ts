/** What clients of gRPC and HTTP/2 are told on a port that speaks HTTP/1.1. */
import type { Socket } from 'node:net'

/** How a connection of HTTP/2 begins, with no HTTP/1.1 before it (RFC 9113, 3.4). */
const PREFACE = 'PRI * HTTP/2.0\r\n'
const SETTINGS = 0x4
const GOAWAY = 0x7
/** HTTP_1_1_REQUIRED (RFC 9113, 7). */
const HTTP_1_1_REQUIRED = 0xd

/** Whether the first bytes of a connection are those of HTTP/2. */
export function isHttp2(bytes: Uint8Array | undefined): boolean {
  return bytes !== undefined && Buffer.from(bytes.subarray(0, PREFACE.length)).toString('latin1') === PREFACE
}

/** Ends a connection of HTTP/2 in its own words: clients of gRPC show the text of a GOAWAY. */
export function refuseHttp2(socket: Socket): void {
  const text = Buffer.from(
    'this port speaks HTTP/1.1; gRPC has a port of its own (--grpc-port, 8471 unless another is chosen), and over HTTP there is POST /v2/models/NAME/infer',
  )
  const payload = Buffer.alloc(8)
  payload.writeUInt32BE(HTTP_1_1_REQUIRED, 4)
  socket.end(Buffer.concat([frame(SETTINGS, Buffer.alloc(0)), frame(GOAWAY, Buffer.concat([payload, text]))]))
}

/** A frame of stream 0 without flags (RFC 9113, 4.1). */
function frame(type: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(9)
  header.writeUIntBE(payload.length, 0, 3)
  header.writeUInt8(type, 3)
  return Buffer.concat([header, payload])
}
