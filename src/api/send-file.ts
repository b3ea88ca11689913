import { Readable } from 'node:stream'
import { SlipwayError } from '../core/errors.ts'
import { attachmentOf, mediaTypeOf } from './media-types.ts'
import type { FastifyReply } from 'fastify'
import type { Contents } from '../files/contents.ts'
import type { ByteRange } from '../storage/objects/object-store.ts'

/**
 * Answers with the bytes of a file, or of the requested range, each chunk checked before it is sent.
 * @param sent.attachment name under which a browser keeps it, which also decides its media type. Default: bytes without a name
 * @throws SLW_RANGE_INVALID
 */
export async function sendFile(
  sent: {
    readonly contents: Contents
    readonly file: { readonly contentId: string; readonly size: number }
    readonly range: string | undefined
    readonly attachment?: string
  },
  reply: FastifyReply,
): Promise<FastifyReply> {
  const { contents, file, range: header, attachment } = sent
  const range = rangeOf(header, file.size)
  const body = await contents.open(file.contentId, range)
  void reply
    .header('content-length', range?.length ?? file.size)
    .header('accept-ranges', 'bytes')
    .header('etag', `"${file.contentId}"`)
    // Browsers must not run uploaded files.
    .header('x-content-type-options', 'nosniff')
    .type(attachment === undefined ? 'application/octet-stream' : mediaTypeOf(attachment))
  if (attachment !== undefined) void reply.header('content-disposition', attachmentOf(attachment))
  if (range !== undefined)
    void reply.code(206).header('content-range', `bytes ${range.offset}-${range.offset + range.length - 1}/${file.size}`)
  return reply.send(Readable.from(body, { objectMode: false }))
}

/** One range of bytes (RFC 9110, section 14); anything else is answered with the whole file. */
function rangeOf(header: string | undefined, size: number): Required<ByteRange> | undefined {
  const match = header === undefined ? null : /^bytes=(\d*)-(\d*)$/.exec(header.trim())
  if (match === null || (match[1] === '' && match[2] === '')) return undefined
  const [first, last] = [match[1]!, match[2]!]
  const offset = first === '' ? Math.max(0, size - Number(last)) : Number(first)
  const end = first === '' || last === '' ? size - 1 : Math.min(Number(last), size - 1)
  if (offset >= size || end < offset) throw new SlipwayError('SLW_RANGE_INVALID', `the file has ${size} bytes, asked for ${header ?? ''}`)
  return { offset, length: end - offset + 1 }
}
