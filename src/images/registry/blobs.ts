import { createHash } from 'node:crypto'
import { SlipwayError } from '../../core/errors.ts'
import { lied } from './repository.ts'
import { ATTEMPTS, isPassing } from './transport.ts'
import type { Descriptor, Digest } from '../oci.ts'
import type { Repository } from './repository.ts'
import type { Answer } from './transport.ts'

export async function hasBlob({ transport, path, write }: Repository, digest: Digest): Promise<boolean> {
  const what = `say whether it has ${digest}`
  const answer = await transport.ask({ method: 'HEAD', at: `${path}/blobs/${digest}`, expect: [200, 404], what, scope: write })
  await answer.discard()
  return answer.status === 200
}

/**
 * All bytes of a blob. After a connection that broke, only what is missing is asked for.
 * @throws SLW_STORE_CORRUPT at the end, for other bytes than the digest is of
 */
export async function* openBlob(repository: Repository, descriptor: Descriptor): AsyncGenerator<Uint8Array> {
  const { transport, host, onProgress } = repository
  const { digest, size } = descriptor
  const hash = createHash('sha256')
  let got = 0
  for (let failures = 1; ; failures++) {
    const before = got
    try {
      for await (const part of await blobFrom(repository, digest, got)) {
        got += part.length
        if (got > size) throw new SlipwayError('SLW_STORE_CORRUPT', `${digest} of the registry ${host} has more than its ${size} bytes`)
        hash.update(part)
        onProgress(descriptor, got)
        yield part
      }
      break
    } catch (error) {
      if (got > before) failures = 1
      if (!isPassing(error) || failures === ATTEMPTS) throw error
      await transport.rest(failures, error.retryAfterMs)
    }
  }
  const real = `sha256:${hash.digest('hex')}`
  if (got !== size || real !== digest) throw lied(host, digest, got === size ? real : `${got} bytes instead of ${size}`)
}

async function blobFrom({ transport, host, path, read }: Repository, digest: Digest, offset: number): Promise<AsyncIterable<Uint8Array>> {
  const request = { method: 'GET', at: `${path}/blobs/${digest}`, what: `give ${digest}`, scope: read } as const
  if (offset === 0) return (await transport.ask({ ...request, expect: [200] })).body
  const answer: Answer = await transport.ask({ ...request, headers: { range: `bytes=${offset}-` }, expect: [200, 206] })
  if (answer.status === 200) return skipped(answer.body, offset)
  if (answer.headers.get('content-range')?.startsWith(`bytes ${offset}-`) === true) return answer.body
  throw new SlipwayError('SLW_ANSWER_INVALID', `the registry ${host} gave another part of ${digest} than was asked`)
}

/** Without the first bytes. */
export async function* skipped(bytes: AsyncIterable<Uint8Array>, count: number): AsyncGenerator<Uint8Array> {
  let left = count
  for await (const part of bytes) {
    const start = Math.min(left, part.length)
    left -= start
    if (start < part.length) yield part.subarray(start)
  }
}
