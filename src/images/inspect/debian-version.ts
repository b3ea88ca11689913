/**
 * Which of two versions of Debian comes first: `[epoch:]upstream[-revision]`, by the algorithm of deb-version(7), "Sorting algorithm".
 * @returns below 0 where it is `a`, 0 where neither is
 */
export function compareDebian(a: string, b: string): number {
  const [one, other] = [parse(a), parse(b)]
  return byDigits(one.epoch, other.epoch) || byParts(one.upstream, other.upstream) || byParts(one.revision, other.revision)
}

function parse(text: string): { readonly epoch: string; readonly upstream: string; readonly revision: string } {
  const colon = text.indexOf(':')
  const rest = text.slice(colon + 1)
  const dash = rest.lastIndexOf('-')
  return {
    epoch: colon < 0 ? '0' : text.slice(0, colon),
    upstream: dash < 0 ? rest : rest.slice(0, dash),
    revision: dash < 0 ? '' : rest.slice(dash + 1),
  }
}

/** What are no digits, then digits, then what are none, and so on. */
function byParts(a: string, b: string): number {
  let [at, beside] = [0, 0]
  while (at < a.length || beside < b.length) {
    while ((at < a.length && !isDigit(a[at]!)) || (beside < b.length && !isDigit(b[beside]!))) {
      const order = weight(a[at]) - weight(b[beside])
      if (order !== 0) return order
      at++
      beside++
    }
    const [from, besideFrom] = [at, beside]
    while (at < a.length && isDigit(a[at]!)) at++
    while (beside < b.length && isDigit(b[beside]!)) beside++
    const order = byDigits(a.slice(from, at), b.slice(besideFrom, beside))
    if (order !== 0) return order
  }
  return 0
}

function byDigits(a: string, b: string): number {
  const [one, other] = [a.replace(/^0+/, ''), b.replace(/^0+/, '')]
  return one.length === other.length ? (one < other ? -1 : one === other ? 0 : 1) : one.length - other.length
}

const isDigit = (character: string): boolean => character >= '0' && character <= '9'

/** A tilde before the end, the end and digits before letters, letters before all else. */
function weight(character: string | undefined): number {
  if (character === undefined || isDigit(character)) return 0
  if (character === '~') return -1
  return /[A-Za-z]/.test(character) ? character.charCodeAt(0) : character.charCodeAt(0) + 256
}
