import { SlipwayError } from '../../core/errors.ts'

/** Ids joined with `/`. Neither `..` nor an empty name can be among them, and no `_`, which file names use for `/`. */
const KEY = /^[A-Za-z0-9-]+(?:\/[A-Za-z0-9-]+)*$/
const KEY_START = /^(?:[A-Za-z0-9-]+\/)*[A-Za-z0-9-]*$/
/** In characters; file names of most file systems have up to 255. */
const KEY_LENGTH_MAX = 200

/** Whether a name in the folder or bucket is a key: others do not belong to the store. */
export function isKey(name: string): boolean {
  return KEY.test(name) && name.length <= KEY_LENGTH_MAX
}

/** @throws SLW_INPUT_INVALID for what is no key */
export function checkKey(key: string): void {
  if (isKey(key)) return
  throw new SlipwayError(
    'SLW_INPUT_INVALID',
    `"${key.slice(0, KEY_LENGTH_MAX)}" is no key of an object: expected names of letters, digits and "-" joined with "/", up to ${KEY_LENGTH_MAX} characters`,
  )
}

/** @throws SLW_INPUT_INVALID for what no key begins with */
export function checkKeyStart(prefix: string): void {
  if (KEY_START.test(prefix)) return
  throw new SlipwayError('SLW_INPUT_INVALID', `no key of an object begins with "${prefix}": they have letters, digits, "-" and "/"`)
}
