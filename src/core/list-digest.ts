import { createHash } from 'node:crypto'

interface Named {
  readonly name: string
  readonly revision: number
}

/** Tells a list of endpoints from one that lost some on its way, or came to say something else. */
export interface ListDigest {
  readonly count: number
  /** SHA-256 of a line `NAME REVISION` for each endpoint. */
  readonly digest: string
  /** SHA-256 of the endpoints and the meanings of single references, as JSON. Missing: it is of an earlier release. */
  readonly content?: string | undefined
}

export function listDigest(endpoints: readonly Named[], references: readonly unknown[] = []): ListDigest {
  const hash = createHash('sha256')
  for (const { name, revision } of endpoints) hash.update(`${name} ${revision}\n`)
  const content = createHash('sha256').update(JSON.stringify([endpoints, references]))
  return { count: endpoints.length, digest: hash.digest('hex'), content: content.digest('hex') }
}

/** Whether a list, as it was read from JSON, is the one that its digest is of. */
export function isWhole(list: ListDigest, endpoints: readonly Named[], references: readonly unknown[] = []): boolean {
  const { count, digest, content } = listDigest(endpoints, references)
  return list.count === count && list.digest === digest && (list.content === undefined || list.content === content)
}
