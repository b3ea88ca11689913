/**
 * JSON whose numbers are whole: integers beyond 2^53 are bigints, and what JSON has no form for (NaN, the infinities) is a bare word, as
 * the server reads and writes them.
 */

/** Begins texts that stand for a number; no text of JSON can hold it, as it is half of a character. */
const MARK = '\uD800n:'

const SPECIAL = /"[^"\\]*(?:\\.[^"\\]*)*"|-?Infinity|NaN|-?\d{16,}(?![\d.eE])/g

export function parseExact(text: string): unknown {
  if (!/NaN|Infinity|\d{16}/.test(text)) return JSON.parse(text)
  const marked = text.replaceAll(SPECIAL, (found) => (found.startsWith('"') ? found : `"${MARK}${found}"`))
  return JSON.parse(marked, (_, value: unknown) => (typeof value === 'string' && value.startsWith(MARK) ? numberOf(value) : value))
}

function numberOf(marked: string): number | bigint {
  const text = marked.slice(MARK.length)
  const number = Number(text)
  return Number.isSafeInteger(number) || !/^-?\d+$/.test(text) ? number : BigInt(text)
}

export function writeExact(value: unknown): string {
  let any = false
  const text = JSON.stringify(value, (_, member: unknown) => {
    const special = typeof member === 'bigint' || (typeof member === 'number' && !Number.isFinite(member))
    if (!special) return member
    any = true
    return `${MARK}${member}`
  })
  // JSON writes half a character as an escape.
  return any ? text.replaceAll(/"\\ud800n:(NaN|-?Infinity|-?\d+)"/g, '$1') : text
}
