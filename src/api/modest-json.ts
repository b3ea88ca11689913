import { SlipwayError } from '../core/errors.ts'

/** Deeper than any body that a route takes, and more keys than one has with twenty thousand files. */
const DEPTH_MAX = 64
const KEYS_MAX = 200_000
const [QUOTE, BACKSLASH, COLON] = [0x22, 0x5c, 0x3a]
const [OPEN_BRACKET, CLOSE_BRACKET, OPEN_BRACE, CLOSE_BRACE] = [0x5b, 0x5d, 0x7b, 0x7d]

/**
 * Refuses JSON that is nested deeper, or has more keys, than any route takes, in one pass: a parser builds all of it first, and a check
 * against a schema looks at each.
 * @throws SLW_LIMIT_EXCEEDED
 */
export function requireModest(text: string): void {
  let depth = 0
  let keys = 0
  let inText = false
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (inText) {
      if (code === BACKSLASH) at++
      else if (code === QUOTE) inText = false
    } else if (code === QUOTE) inText = true
    else if (code === OPEN_BRACKET || code === OPEN_BRACE) {
      if (++depth > DEPTH_MAX) throw new SlipwayError('SLW_LIMIT_EXCEEDED', `the body is nested deeper than ${DEPTH_MAX} levels`)
    } else if (code === CLOSE_BRACKET || code === CLOSE_BRACE) depth--
    else if (code === COLON && ++keys > KEYS_MAX) throw new SlipwayError('SLW_LIMIT_EXCEEDED', `the body has more than ${KEYS_MAX} keys`)
  }
}
