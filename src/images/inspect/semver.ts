/** A version by https://semver.org/spec/v2.0.0.html. */
interface Semver {
  readonly numbers: readonly [string, string, string]
  readonly prerelease: readonly string[]
}

const FORM =
  /^v?(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?(?:\+[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*)?$/
const LENGTH_MAX = 256

export function isSemver(text: string): boolean {
  return text.length <= LENGTH_MAX && FORM.test(text)
}

/** Which of two versions comes first (Semantic Versioning 2.0.0, section 11): below 0 where it is `a`. Both have to be `isSemver`. */
export function compareSemver(a: string, b: string): number {
  const [left, right] = [parse(a), parse(b)]
  for (const [at, number] of left.numbers.entries()) {
    const order = byNumber(number, right.numbers[at] ?? '0')
    if (order !== 0) return order
  }
  const [one, other] = [left.prerelease, right.prerelease]
  if (one.length === 0 || other.length === 0) return other.length - one.length
  for (let at = 0; at < Math.min(one.length, other.length); at++) {
    const order = byIdentifier(one[at]!, other[at]!)
    if (order !== 0) return order
  }
  return one.length - other.length
}

function parse(text: string): Semver {
  const [, major = '0', minor = '0', patch = '0', prerelease] = FORM.exec(text) ?? []
  return { numbers: [major, minor, patch], prerelease: prerelease === undefined ? [] : prerelease.split('.') }
}

/** Digits without zeros before them, of any length. */
function byNumber(a: string, b: string): number {
  return a.length === b.length ? (a < b ? -1 : a === b ? 0 : 1) : a.length - b.length
}

function byIdentifier(a: string, b: string): number {
  const [isNumber, isOther] = [/^\d+$/.test(a), /^\d+$/.test(b)]
  if (isNumber && isOther) return byNumber(a, b)
  if (isNumber !== isOther) return isNumber ? -1 : 1
  return a < b ? -1 : a === b ? 0 : 1
}
