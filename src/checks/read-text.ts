import { AskError } from './answer.ts'
import type { IncomingMessage } from 'node:http'

/** What an answer may have; one number needs little, all names of metrics more. */
const BYTES_MAX = 8 * 1024 * 1024

/** The body of an answer. @throws AskError where it has more than it should; what the connection throws */
export async function readText(response: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = []
  let bytes = 0
  for await (const piece of response as AsyncIterable<Buffer>) {
    bytes += piece.byteLength
    if (bytes > BYTES_MAX) throw new AskError(`the answer has more than ${BYTES_MAX / 1024 / 1024} MiB, where a number was expected`)
    pieces.push(piece)
  }
  return Buffer.concat(pieces).toString('utf8')
}
