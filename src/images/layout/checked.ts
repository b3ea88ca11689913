import { createHash } from 'node:crypto'
import { SlipwayError } from '../../core/errors.ts'
import type { Descriptor } from '../oci.ts'

/** A manifest, an index or a configuration that is larger is not read into memory. Registries take manifests of 4 MB. */
export const JSON_BYTES_MAX = 8 * 1024 * 1024

/** Passes bytes on, and looks at their end whether they are those of the descriptor. @throws SLW_STORE_CORRUPT */
export async function* checked(
  bytes: AsyncIterable<Uint8Array>,
  { digest, size }: Pick<Descriptor, 'digest' | 'size'>,
  place: string,
): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256')
  let count = 0
  for await (const part of bytes) {
    hash.update(part)
    count += part.length
    if (count > size)
      throw new SlipwayError('SLW_STORE_CORRUPT', `${place}: ${digest} has more than the ${size} bytes that its descriptor says`)
    yield part
  }
  const found = `sha256:${hash.digest('hex')}`
  if (count !== size || found !== digest)
    throw new SlipwayError('SLW_STORE_CORRUPT', `${place}: ${digest} (${size} bytes) came as ${found} (${count} bytes)`)
}

/** All of a small blob. @throws SLW_STORE_CORRUPT */
export async function readSmall(bytes: AsyncIterable<Uint8Array>, { digest, size }: Descriptor, place: string): Promise<Buffer> {
  if (size > JSON_BYTES_MAX)
    throw new SlipwayError('SLW_STORE_CORRUPT', `${place}: ${digest} has ${size} bytes, and a document has at most ${JSON_BYTES_MAX}`)
  const parts: Uint8Array[] = []
  for await (const part of bytes) parts.push(part)
  return Buffer.concat(parts)
}
