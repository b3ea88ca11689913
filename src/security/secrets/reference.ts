import { SlipwayError } from '../../core/errors.ts'

/** The place of a secret, and not the secret itself. */
export type SecretReference =
  | { readonly kind: 'env'; readonly name: string }
  | { readonly kind: 'file'; readonly path: string }
  /** KV version 2: the path begins with the mount. */
  | { readonly kind: 'vault'; readonly mount: string; readonly path: string; readonly field: string }
  /** AWS Secrets Manager; without a field the whole text. */
  | { readonly kind: 'aws-sm'; readonly id: string; readonly field: string | undefined }

const SCHEME = /^(env|file|vault|aws-sm):/

/**
 * Reads `env:NAME`, `file:PATH`, `vault:MOUNT/PATH#FIELD` or `aws-sm:NAME[#FIELD]`.
 * @param setting for the message, which does not repeat the text: it may be the secret itself, given by mistake
 * @throws SLW_CONFIG_INVALID
 */
export function secretReference(setting: string, text: string): SecretReference {
  const [, kind] = SCHEME.exec(text) ?? []
  const rest = text.slice((kind?.length ?? 0) + 1)
  const refuse = (why: string): never => {
    throw new SlipwayError(
      'SLW_CONFIG_INVALID',
      `${setting}: ${why}; expected env:NAME, file:PATH, vault:MOUNT/PATH#FIELD or aws-sm:NAME#FIELD, and never the secret itself`,
    )
  }
  const hash = rest.lastIndexOf('#')
  const [place, field] = hash < 0 ? [rest, undefined] : [rest.slice(0, hash), rest.slice(hash + 1)]
  switch (kind) {
    case 'env':
      return /^[A-Za-z_][A-Za-z0-9_]*$/.test(rest) ? { kind, name: rest } : refuse('env: is followed by the name of a variable')
    case 'file':
      return rest === '' ? refuse('file: is followed by a path') : { kind, path: rest }
    case 'vault': {
      const [, mount, path] = /^([^/]+)\/(.+)$/.exec(place) ?? []
      if (mount === undefined || path === undefined || field === undefined || field === '')
        return refuse('vault: is followed by a mount, a path and a field')
      if (path.split('/').some((part) => part === '' || part === '.' || part === '..')) return refuse('the path of vault: has empty parts')
      return { kind, mount, path, field }
    }
    case 'aws-sm':
      return place === '' || field === '' ? refuse('aws-sm: is followed by a name') : { kind, id: place, field }
    default:
      return refuse('it is no reference to a secret')
  }
}

/** The place of a secret, for messages. */
export function placeOfSecret(reference: SecretReference): string {
  switch (reference.kind) {
    case 'env':
      return `env:${reference.name}`
    case 'file':
      return `file:${reference.path}`
    case 'vault':
      return `vault:${reference.mount}/${reference.path}#${reference.field}`
    default:
      return `aws-sm:${reference.id}${reference.field === undefined ? '' : `#${reference.field}`}`
  }
}

/** One field of a secret that is an object. @throws where the field is missing; the error does not show the others */
export function fieldOf(secret: Readonly<Record<string, unknown>> | null | undefined, field: string): string {
  const value = secret?.[field]
  if (value === undefined || value === null) throw new Error(`it has no field "${field}"`)
  return typeof value === 'string' ? value : JSON.stringify(value)
}
