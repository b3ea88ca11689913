import { isSlipwayError, SlipwayError } from '../../core/errors.ts'
import { MEDIA_TYPES } from '../oci.ts'
import { getManifest, JSON_BYTES_MAX, putManifest } from './repository.ts'
import type { Descriptor, Digest, Index } from '../oci.ts'
import type { Repository } from './repository.ts'
import type { Answer } from './transport.ts'

const LISTED_MAX = 10_000
const PAGES_MAX = 100
/** Updates of the fallback's tag that somebody else has overwritten. */
const RACES_MAX = 5
const EMPTY_INDEX: Index = { schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests: [] }

/** Tags of a repository, at most 10,000. */
export async function listTags({ transport, host, path, read }: Repository): Promise<readonly string[]> {
  const tags: string[] = []
  let at: string | URL | undefined = `${path}/tags/list`
  for (let pages = 0; at !== undefined && pages < PAGES_MAX && tags.length < LISTED_MAX; pages++) {
    const answer: Answer = await transport.ask({ method: 'GET', at, expect: [200], what: `list the tags of ${host}/${path}`, scope: read })
    const { tags: found } = objectOf<{ readonly tags?: unknown }>(await answer.bytes(JSON_BYTES_MAX)) ?? {}
    if (Array.isArray(found)) tags.push(...found.filter((tag) => typeof tag === 'string'))
    at = nextPage(answer)
  }
  return tags.slice(0, LISTED_MAX)
}

/** What hangs on a manifest, by the API of referrers or the tag of its fallback; at most 10,000. */
export async function listReferrers(repository: Repository, subject: Digest): Promise<readonly Descriptor[]> {
  const { transport, path, read } = repository
  const found: Descriptor[] = []
  let at: string | URL | undefined = `${path}/referrers/${subject}`
  for (let pages = 0; at !== undefined && pages < PAGES_MAX && found.length < LISTED_MAX; pages++) {
    const answer: Answer = await transport.ask({
      method: 'GET',
      at,
      expect: [200, 400, 404, 405, 406],
      what: `list what hangs on ${subject}`,
      scope: read,
    })
    // Some know no referrers, and say so in another way, or with a page for people.
    if (answer.status !== 200 || !/^application\/(?:vnd\.oci\.image\.index\.v1\+)?json\b/.test(answer.headers.get('content-type') ?? '')) {
      await answer.discard()
      found.push(...(await indexOfFallback(repository, subject)).manifests)
      break
    }
    found.push(...indexOf(await answer.bytes(JSON_BYTES_MAX)).manifests)
    at = nextPage(answer)
  }
  const all = found.slice(0, LISTED_MAX)
  for (const [index, referrer] of all.entries())
    // Some say of a document that it is what its configuration is, which is of no kind: what it is says its manifest.
    if (referrer.artifactType === MEDIA_TYPES.empty)
      all[index] = { ...referrer, ...(await getManifest(repository, referrer.digest)).descriptor }
  return all
}

/** For registries without the API of referrers (distribution-spec 1.1.1, "Referrers Tag Schema"); others may do the same meanwhile. */
export async function addToFallback(repository: Repository, subject: Digest, referrer: Descriptor): Promise<void> {
  for (let races = 0; races < RACES_MAX; races++) {
    const before = await indexOfFallback(repository, subject)
    if (before.manifests.some(({ digest }) => digest === referrer.digest)) return
    const bytes = Buffer.from(JSON.stringify({ ...before, manifests: [...before.manifests, referrer] }))
    await putManifest(repository, fallbackTag(subject), MEDIA_TYPES.index, bytes)
  }
  throw new SlipwayError(
    'SLW_CONFLICT',
    `others write the list of what hangs on ${subject} in ${repository.host}/${repository.path} at the same time; try again`,
  )
}

async function indexOfFallback(repository: Repository, subject: Digest): Promise<Index> {
  const found = await getManifest(repository, fallbackTag(subject)).catch((error: unknown) => {
    if (isSlipwayError(error) && error.code === 'SLW_NOT_FOUND') return undefined
    throw error
  })
  // GitLab takes the tag for the digest, and gives the subject itself.
  return found === undefined || found.descriptor.digest === subject ? EMPTY_INDEX : indexOf(found.bytes)
}

/** Tag under which registries without the API of referrers have them. */
function fallbackTag(subject: Digest): string {
  return subject.replace(':', '-')
}

/** The index in an answer; an empty one for anything else. */
function indexOf(bytes: Buffer): Index {
  const index = objectOf<Partial<Index>>(bytes)
  return Array.isArray(index?.manifests) ? { ...EMPTY_INDEX, ...index, manifests: index.manifests } : EMPTY_INDEX
}

function objectOf<T>(bytes: Buffer): T | undefined {
  try {
    const value = JSON.parse(bytes.toString('utf8')) as T | null
    return typeof value === 'object' && value !== null ? value : undefined
  } catch {
    return undefined
  }
}

/** Address of the next part of a list (RFC 8288); undefined at its end, or where it leads to another host. */
function nextPage({ headers, url }: Answer): URL | undefined {
  const [, target] = /<([^>]+)>\s*;\s*rel="?next"?/i.exec(headers.get('link') ?? '') ?? []
  if (target === undefined || !URL.canParse(target, url.href)) return undefined
  const next = new URL(target, url)
  return next.origin === url.origin ? next : undefined
}
