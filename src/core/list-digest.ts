import { createHash } from 'node:crypto'

/** Count of endpoints, and SHA-256 of a line `NAME REVISION` for each of them. */
export function listDigest(endpoints: readonly { readonly name: string; readonly revision: number }[]): { count: number; digest: string } {
  const hash = createHash('sha256')
  for (const { name, revision } of endpoints) hash.update(`${name} ${revision}\n`)
  return { count: endpoints.length, digest: hash.digest('hex') }
}
