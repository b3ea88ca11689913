import { Readable } from 'node:stream'
import type { FastifyRequest } from 'fastify'

/** JSON beyond this is refused; files have no limit. */
export const JSON_BYTES_MAX = 32 * 1024 * 1024

/** The bytes of a request whose body nobody has read. */
export function streamOf({ body }: FastifyRequest): Readable {
  return (body ?? Readable.from([])) as Readable
}
