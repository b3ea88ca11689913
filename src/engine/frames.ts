import { deserialize, serialize } from 'node:v8'
import type { Duplex } from 'node:stream'

const HEADER_BYTES = 4
/** Largest frame: a larger one is a broken stream, not a tensor. */
const FRAME_BYTES_MAX = 2 ** 31 - 1

/**
 * Messages over a pipe between processes: a 4-byte little-endian length, then the message in V8's serialisation, which carries typed arrays
 * as raw bytes.
 * @param onBroken called when the stream holds no valid messages
 * @returns a function that sends a message
 */
export function openFrames<In, Out>(
  pipe: Duplex,
  receive: (message: In) => void,
  onBroken: (error: unknown) => void,
): (message: Out) => void {
  let chunks: Buffer[] = []
  let buffered = 0
  let needed = HEADER_BYTES
  let length = -1
  const take = (chunk: Buffer): void => {
    chunks.push(chunk)
    buffered += chunk.length
    while (buffered >= needed) {
      const joined = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, buffered)
      const frame = joined.subarray(0, needed)
      const rest = joined.subarray(needed)
      chunks = rest.length > 0 ? [rest] : []
      buffered = rest.length
      if (length < 0) {
        length = frame.readUInt32LE(0)
        if (length > FRAME_BYTES_MAX) throw new RangeError(`frame of ${length} bytes`)
        needed = length
      } else {
        length = -1
        needed = HEADER_BYTES
        receive(deserialize(frame) as In)
      }
    }
  }
  pipe.on('data', (chunk: Buffer) => {
    try {
      take(chunk)
    } catch (error) {
      onBroken(error)
    }
  })
  return (message) => {
    const body = serialize(message)
    const header = Buffer.allocUnsafe(HEADER_BYTES)
    header.writeUInt32LE(body.length)
    pipe.cork()
    pipe.write(header)
    pipe.write(body)
    pipe.uncork()
  }
}
