import { SlipwayError } from '../../core/errors.ts'
import type { Digest } from '../oci.ts'

/** The name of an image in a registry. */
export interface Reference {
  /** Host, and port where it is given: `docker.io`, `127.0.0.1:5000`. */
  readonly host: string
  /** Path of the repository, without the host: `library/debian`. */
  readonly repository: string
  readonly tag?: string
  readonly digest?: Digest
}

/** Where a reference without a host is. */
const DEFAULT_HOST = 'docker.io'
/** Its API is at another name. */
const DEFAULT_API = 'registry-1.docker.io'

const PART = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*'
const LABEL = '(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])'
const HOST = `(?:${LABEL}(?:\\.${LABEL})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]{1,5})?`
const REPOSITORY = new RegExp(`^${PART}(?:/${PART})*$`)
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/
const DIGEST = /^sha256:[0-9a-f]{64}$/
const REPOSITORY_MAX = 255
const REFERENCE_MAX = 1024

/**
 * Reads `[HOST[:PORT]/]NAME[:TAG][@DIGEST]`, by the grammar of https://github.com/distribution/reference (reference.go). The first part is
 * a host if it has a dot or a colon, or is `localhost`; without one it is Docker Hub, whose names of one part begin with `library/`.
 * @throws SLW_USAGE
 */
export function parseReference(text: string): Reference {
  const refuse = (why: string): never => {
    throw new SlipwayError(
      'SLW_USAGE',
      `${JSON.stringify(text.slice(0, 200))} is no name of an image: ${why}; expected HOST[:PORT]/NAME[:TAG][@sha256:DIGEST], in small letters`,
    )
  }
  if (text.length > REFERENCE_MAX) refuse(`it is longer than ${REFERENCE_MAX} characters`)
  if (/^[a-z+]+:\/\//i.test(text)) refuse('it begins with a scheme')
  const at = text.indexOf('@')
  const digest = at < 0 ? undefined : text.slice(at + 1)
  if (digest !== undefined && !DIGEST.test(digest)) refuse('what follows @ is no digest of SHA-256')
  const named = at < 0 ? text : text.slice(0, at)
  const colon = named.lastIndexOf(':')
  const hasTag = colon > named.lastIndexOf('/')
  const tag = hasTag ? named.slice(colon + 1) : undefined
  if (tag !== undefined && !TAG.test(tag))
    refuse('its tag is not of 1 to 128 letters, digits, "_", "." and "-", beginning with neither of the last two')
  const { host, repository } = hostOf(hasTag ? named.slice(0, colon) : named)
  if (!new RegExp(`^${HOST}$`).test(host)) refuse(`${JSON.stringify(host)} is no host`)
  if (!REPOSITORY.test(repository) || repository.length > REPOSITORY_MAX)
    refuse('the name is of small letters and digits, with ".", "_", "-" between them and "/" between its parts')
  return { host, repository, ...(tag !== undefined && { tag }), ...(digest !== undefined && { digest: digest as Digest }) }
}

function hostOf(name: string): { readonly host: string; readonly repository: string } {
  const slash = name.indexOf('/')
  const first = name.slice(0, Math.max(0, slash))
  const isHost = slash > 0 && (/[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase())
  const host = isHost ? first.replace(/^(index|registry-1)\.docker\.io$/, DEFAULT_HOST) : DEFAULT_HOST
  const rest = isHost ? name.slice(slash + 1) : name
  return { host, repository: host === DEFAULT_HOST && !rest.includes('/') ? `library/${rest}` : rest }
}

/** The name in full: what `parseReference` reads the same from. */
export function referenceText({ host, repository, tag, digest }: Reference): string {
  return `${host}/${repository}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`
}

/** Under what a reference is asked for: its digest, else its tag, else `latest`. */
export function nameInRegistry({ tag, digest }: Reference): string {
  return digest ?? tag ?? 'latest'
}

/**
 * Where the API of the registry begins, with `/v2/` at its end. Registries of this machine are asked over HTTP.
 * @param plainHttp whether any other is, too
 */
export function apiOf({ host }: Pick<Reference, 'host'>, plainHttp: boolean): URL {
  const api = host === DEFAULT_HOST ? DEFAULT_API : host
  return new URL(`${plainHttp || isLoopback(api) ? 'http' : 'https'}://${api}/v2/`)
}

/** Whether a host is this machine. */
export function isLoopback(host: string): boolean {
  return /^(localhost|127(\.[0-9]{1,3}){3}|\[::1\])(:[0-9]+)?$/i.test(host)
}
