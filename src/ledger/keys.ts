/** Validation of keys: of tags, metrics, parameters, headers. */
import { posix } from 'node:path'
import { characterCount } from '../core/text.ts'
import { SlipwayError } from '../core/errors.ts'

/** In characters. */
export const KEY_LENGTH_MAX = 250

function refuse(message: string): never {
  throw new SlipwayError('SLW_INPUT_INVALID', message)
}

export function requireLength(what: string, value: string, limit: number): void {
  const count = value.length > limit ? characterCount(value) : value.length
  if (count > limit) refuse(`${what} has ${count} characters; it exceeds the maximum length of ${limit} characters`)
}

/** Keys of metrics, parameters and tags may become file names: as a path, a key must resolve to itself. @throws SLW_INPUT_INVALID */
export function requireKey(what: string, key: string): void {
  if (key === '') refuse(`${what} is empty: a key name must be provided`)
  if (!/^[/\p{L}\p{N}_.\-: ]*$/u.test(key))
    refuse(
      `${what} ${JSON.stringify(key)}: names may only contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), colon(:) and slashes (/)`,
    )
  requireOwnPath(what, key)
  requireLength(what, key, KEY_LENGTH_MAX)
}

export function requireOwnPath(what: string, name: string): void {
  const resolved = posix.normalize(name)
  if (resolved !== name || resolved === '.' || resolved.startsWith('..') || resolved.startsWith('/') || resolved.endsWith('/'))
    refuse(
      `${what} ${JSON.stringify(name)}: names may be treated as files in certain cases, and must not resolve to other names; this one ${resolved === name ? 'lies in no folder of its own' : `would resolve to ${JSON.stringify(resolved)}`}`,
    )
}
