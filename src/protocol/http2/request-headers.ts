import type { Header } from './hpack.ts'

/** What belongs to one connection of HTTP/1.1, and never into HTTP/2 (RFC 9113, section 8.2.2). */
const OF_HTTP1 = new Set(['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade'])
const PSEUDO = [':method', ':scheme', ':path'] as const

/** What is malformed in the headers of a request (RFC 9113, sections 8.2 and 8.3); undefined where nothing is. */
export function requestIssue(headers: readonly Header[]): string | undefined {
  let regular = false
  let found = 0
  for (const { name, value, valid } of headers) {
    if (!valid) return `the header "${name}" has characters that are not allowed`
    if (name.charCodeAt(0) === COLON) {
      if (regular) return `${name} follows a header`
      const index = PSEUDO.indexOf(name as (typeof PSEUDO)[number])
      if (index < 0 && name !== ':authority') return `${name} is none of a request`
      const bit = 1 << (index + 1)
      if ((found & bit) !== 0) return `${name} is given twice`
      if (value === '' && index >= 0) return `${name} is empty`
      found |= bit
    } else {
      regular = true
      if (OF_HTTP1.has(name)) return `${name} belongs to HTTP/1.1`
      if (name === 'te' && value !== 'trailers') return `te: ${value}`
    }
  }
  return (found & REQUIRED) === REQUIRED ? undefined : `one of ${PSEUDO.join(', ')} is missing`
}

const COLON = 58
/** The bits of {@link PSEUDO}; bit 0 is that of `:authority`. */
const REQUIRED = 0b1110
