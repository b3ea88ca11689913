import { Readable } from 'node:stream'
import type { FastifyRequest } from 'fastify'

/** Upper limit of a JSON body; files have no limit. */
export const JSON_BYTES_MAX = 32 * 1024 * 1024

/** The bytes of a request whose body was not read yet. */
export function streamOf({ body }: FastifyRequest): Readable {
  return (body ?? Readable.from([])) as Readable
}
