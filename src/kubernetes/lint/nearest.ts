const DISTANCE_MAX = 3

/** Edits from one word to another (V. Levenshtein, 1966), counted up to `limit`. */
function distance(one: string, other: string, limit: number): number {
  if (Math.abs(one.length - other.length) > limit) return limit + 1
  let row = Array.from({ length: other.length + 1 }, (_, index) => index)
  for (let i = 1; i <= one.length; i++) {
    const next = [i]
    for (let j = 1; j <= other.length; j++)
      next.push(Math.min(next[j - 1]! + 1, row[j]! + 1, row[j - 1]! + (one[i - 1] === other[j - 1] ? 0 : 1)))
    row = next
  }
  return row[other.length]!
}

/** The word of a list that was probably meant; undefined where none is near. */
export function nearest(word: string, words: readonly string[]): string | undefined {
  if (word.length > 100) return undefined
  const limit = Math.min(DISTANCE_MAX, Math.floor(word.length / 2))
  const found = words
    .map((other) => ({ other, edits: distance(word.toLowerCase(), other.toLowerCase(), limit) }))
    .filter(({ edits }) => edits <= limit)
    .toSorted((a, b) => a.edits - b.edits)[0]
  return found?.other
}
