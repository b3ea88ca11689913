import { SlipwayError } from '../../core/errors.ts'
import { skipped } from './blobs.ts'
import { ATTEMPTS, isPassing } from './transport.ts'
import type { Descriptor, Digest } from '../oci.ts'
import type { Answer, Transport } from './transport.ts'

export interface Upload {
  readonly transport: Transport
  readonly repository: string
  readonly descriptor: Descriptor
  readonly bytes: () => AsyncIterable<Uint8Array>
  /** Bytes in one request; undefined: all in one. */
  readonly chunkBytes: number | undefined
  /** Repositories of the registry that may have the blob. */
  readonly mountFrom: readonly string[]
  readonly scope: string
  readonly has: (digest: Digest) => Promise<boolean>
  /** @param sent bytes of the blob that the registry has */
  readonly onSent: (sent: number) => void
}

/** An upload that the registry knows. */
interface Session {
  location: URL
  offset: number
}

const OCTETS = { 'content-type': 'application/octet-stream' } as const
/** A blob up to here goes in one request with its digest. */
const SMALL_BYTES = 1024 * 1024
const PIECE_BYTES = 256 * 1024

/**
 * Sends a blob (distribution-spec 1.1.1, "Pushing Blobs"): mounted from another repository where it is there, else in one request, or in
 * chunks. After a connection that broke, the registry is asked what it has, and the rest is sent; where it has forgotten, all is sent again.
 */
export async function uploadBlob(upload: Upload): Promise<void> {
  const { transport, descriptor, has } = upload
  let session: Session | undefined
  let furthest = 0
  for (let failures = 1; ; failures++) {
    try {
      session ??= await begin(upload)
      if (session === undefined) return
      await send(upload, session)
      return
    } catch (error) {
      if (session !== undefined && session.offset > furthest) {
        furthest = session.offset
        failures = 1
      }
      if (!isPassing(error)) throw error
      if (failures === ATTEMPTS)
        throw new SlipwayError(
          error.code,
          `${error.message}; after ${ATTEMPTS} attempts to send ${descriptor.digest}${upload.chunkBytes === undefined ? ' (where a proxy limits the size of a request, --chunk-size 32MiB may do)' : ''}`,
          { cause: error },
        )
      await transport.rest(failures, error.retryAfterMs)
      // The answer alone may be lost.
      if (await has(descriptor.digest)) return
      session = session === undefined ? undefined : await resumed(upload, session)
    }
  }
}

/** @returns undefined where the blob was mounted */
async function begin({ transport, repository, descriptor, mountFrom, scope }: Upload): Promise<Session | undefined> {
  const uploads = `${repository}/blobs/uploads/`
  const what = `take an upload into ${repository}`
  for (const from of mountFrom) {
    const query = new URLSearchParams({ mount: descriptor.digest, from })
    const both = `${scope} repository:${from}:pull`
    const answer = await transport
      .ask({
        method: 'POST',
        at: `${uploads}?${query.toString()}`,
        headers: { 'content-length': '0' },
        expect: [201, 202],
        what,
        scope: both,
      })
      .catch((error: unknown) => {
        // Whoever may not read the other repository sends the blob.
        if (error instanceof SlipwayError && ['SLW_UNAUTHENTICATED', 'SLW_FORBIDDEN', 'SLW_NOT_FOUND'].includes(error.code))
          return undefined
        throw error
      })
    await answer?.discard()
    if (answer?.status === 201) return undefined
  }
  const answer = await transport.ask({ method: 'POST', at: uploads, headers: { 'content-length': '0' }, expect: [202], what, scope })
  await answer.discard()
  return { location: locationOf(transport, answer), offset: 0 }
}

async function send(upload: Upload, session: Session): Promise<void> {
  const { transport, descriptor, scope, onSent } = upload
  const { size, digest } = descriptor
  const what = `take the blob ${digest}`
  if (session.offset === 0 && size <= SMALL_BYTES) {
    const body = Buffer.concat(await Array.fromAsync(upload.bytes()))
    await (
      await transport.ask({
        method: 'PUT',
        at: withDigest(session.location, digest),
        headers: OCTETS,
        body,
        once: true,
        expect: [201],
        what,
        scope,
      })
    ).discard()
    onSent(size)
    return
  }
  if (upload.chunkBytes === undefined) await sendRest(upload, session)
  else await sendChunks(upload, session, upload.chunkBytes)
  const done = {
    method: 'PUT',
    at: withDigest(session.location, digest),
    headers: { ...OCTETS, 'content-length': '0' },
    once: true,
    expect: [201],
    what,
    scope,
  } as const
  await (await transport.ask(done)).discard()
}

/** Sends what is from the session's place up to `end`, in one attempt: what a registry has of a request that broke, only it can say. */
async function sendPart(
  { transport, descriptor: { digest }, scope }: Upload,
  session: Session,
  { end, body, ranged }: { readonly end: number; readonly body: ReturnType<typeof pieces>; readonly ranged: boolean },
): Promise<void> {
  const { offset, location } = session
  const answer = await transport.ask({
    method: 'PATCH',
    at: location,
    headers: { ...OCTETS, 'content-length': String(end - offset), ...(ranged && { 'content-range': `${offset}-${end - 1}` }) },
    body,
    once: true,
    expect: [202, 204],
    what: `take the blob ${digest}`,
    scope,
  })
  await answer.discard()
  session.location = locationOf(transport, answer)
  session.offset = end
}

/** All that is missing in one request, as it comes. */
async function sendRest(upload: Upload, session: Session): Promise<void> {
  const { bytes, onSent, descriptor } = upload
  const { offset } = session
  if (offset === descriptor.size) return
  const body = counted(skipped(bytes(), offset), offset, onSent)
  await sendPart(upload, session, { end: descriptor.size, body, ranged: offset > 0 })
}

/** In pieces that are kept in memory, each until the registry has it. */
async function sendChunks(upload: Upload, session: Session, chunkBytes: number): Promise<void> {
  const { bytes, onSent, descriptor } = upload
  for await (const chunk of chunksOf(skipped(bytes(), session.offset), chunkBytes)) {
    const end = session.offset + chunk.length
    if (end > descriptor.size)
      throw new SlipwayError('SLW_STORE_CORRUPT', `the blob ${descriptor.digest} has more than its ${descriptor.size} bytes`)
    await sendPart(upload, session, { end, body: pieces(chunk), ranged: true })
    onSent(end)
  }
}

/** Where the registry says to go on; undefined where it has forgotten. */
async function resumed({ transport, descriptor, scope }: Upload, { location }: Session): Promise<Session | undefined> {
  const what = 'say how much of an upload it has'
  const answer = await transport.ask({ method: 'GET', at: location, expect: [204], once: true, what, scope }).catch(() => undefined)
  if (answer === undefined) return undefined
  await answer.discard()
  const [, end] = /^(?:bytes=)?0-([0-9]+)$/.exec(answer.headers.get('range') ?? '') ?? []
  if (end === undefined) return undefined
  // "0-0" is said of nothing and of one byte: such an upload is begun again.
  const offset = Number(end) + 1
  if (offset <= 1 || offset > descriptor.size) return undefined
  return { location: answer.headers.has('location') ? locationOf(transport, answer) : location, offset }
}

function locationOf({ host }: Transport, { headers, url }: Answer): URL {
  const location = headers.get('location')
  if (location === null || !URL.canParse(location, url.href))
    throw new SlipwayError(
      'SLW_ANSWER_INVALID',
      `the registry ${host} began an upload and did not say where; expected is the header Location`,
    )
  const next = new URL(location, url)
  if (next.protocol !== 'https:' && next.protocol !== url.protocol)
    throw new SlipwayError('SLW_ANSWER_INVALID', `the registry ${host} wants an upload without TLS, at ${next.host}; that is not done`)
  return next
}

function withDigest(location: URL, digest: Digest): URL {
  const url = new URL(location)
  url.searchParams.set('digest', digest)
  return url
}

/** Small, so that it is seen that the connection takes them. */
async function* pieces(chunk: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < chunk.length; at += PIECE_BYTES) yield chunk.subarray(at, at + PIECE_BYTES)
}

async function* counted(bytes: AsyncIterable<Uint8Array>, offset: number, onSent: (sent: number) => void): AsyncGenerator<Uint8Array> {
  let sent = offset
  for await (const part of bytes) {
    yield part
    sent += part.length
    onSent(sent)
  }
}

async function* chunksOf(bytes: AsyncIterable<Uint8Array>, size: number): AsyncGenerator<Uint8Array> {
  let parts: Uint8Array[] = []
  let held = 0
  for await (let part of bytes) {
    while (held + part.length >= size) {
      const taken = part.subarray(0, size - held)
      yield Buffer.concat([...parts, taken])
      part = part.subarray(taken.length)
      parts = []
      held = 0
    }
    if (part.length > 0) parts.push(part)
    held += part.length
  }
  if (held > 0) yield Buffer.concat(parts)
}
