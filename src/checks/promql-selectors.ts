/** The selectors of a query in PromQL: what it reads, whatever it makes of it. */
export interface Selectors {
  /** Each once, without range and offset. */
  readonly selectors: readonly Selector[]
  /** The longest range that is read, in seconds; 0: only instants. */
  readonly rangeSeconds: number
}

export interface Selector {
  /** As it is written: `requests_total{job="a"}`. */
  readonly text: string
  /** Undefined: it is selected by labels alone. */
  readonly metric: string | undefined
  /** Labels that it matches on. */
  readonly labels: readonly string[]
}

/** https://github.com/prometheus/prometheus/blob/main/promql/parser/lex.go: blanks, comments, strings, words, numbers and durations, the rest. */
const TOKEN = /\s+|#[^\n]*|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`|[A-Za-z_:][\w:]*|\d[\w.]*|[^]/g
const WORD = /^[A-Za-z_:]/
/** Followed by a list of labels. */
const GROUPING = new Set(['by', 'without', 'on', 'ignoring', 'group_left', 'group_right'])
const WORDS = new Set(['and', 'or', 'unless', 'bool', 'offset', 'inf', 'nan', 'atan2', 'start', 'end'])

export function selectorsOf(query: string): Selectors {
  const tokens = query.match(TOKEN)?.filter((token) => !/^[\s#]/.test(token)) ?? []
  const found = new Map<string, Selector>()
  let rangeSeconds = 0
  for (let at = 0; at < tokens.length; at++) {
    const token = tokens[at]!
    const next = tokens[at + 1]
    if (token === '[') {
      rangeSeconds = Math.max(rangeSeconds, secondsOf(next ?? ''))
      at = closing(tokens, at, ']')
    } else if (GROUPING.has(token.toLowerCase()) && next === '(') at = closing(tokens, at + 1, ')')
    else if (token === '{' || (WORD.test(token) && isMetric(token, next))) {
      const brace = token === '{' ? at : at + 1
      const last = tokens[brace] === '{' ? closing(tokens, brace, '}') : at
      const selector = selectorOf(tokens.slice(at, last + 1))
      found.set(selector.text, selector)
      at = last
    }
  }
  return { selectors: [...found.values()], rangeSeconds }
}

function isMetric(word: string, next: string | undefined): boolean {
  if (next === '{') return true
  // `sum(` and `sum by (...) (` are no metrics.
  if (next === '(' || (next !== undefined && ['by', 'without'].includes(next.toLowerCase()))) return false
  return !WORDS.has(word.toLowerCase()) && !GROUPING.has(word.toLowerCase())
}

function closing(tokens: readonly string[], from: number, closer: string): number {
  const at = tokens.indexOf(closer, from)
  return at < 0 ? tokens.length - 1 : at
}

function selectorOf(tokens: readonly string[]): Selector {
  const named = tokens[0] === '{' ? undefined : tokens[0]
  const matched = tokens.flatMap((token, index) =>
    WORD.test(token) && ['=', '!'].includes(tokens[index + 1] ?? '') ? [{ label: token, index }] : [],
  )
  const name = matched.find(({ label, index }) => label === '__name__' && /^["'`]/.test(tokens[index + 2] ?? ''))
  return {
    text: tokens.join(''),
    metric: named ?? (name === undefined ? undefined : tokens[name.index + 2]!.slice(1, -1)),
    labels: [...new Set(matched.map(({ label }) => label))].filter((label) => label !== '__name__'),
  }
}

const UNIT_SECONDS: Readonly<Record<string, number>> = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86_400, w: 604_800, y: 31_536_000 }

/** `1h30m` */
function secondsOf(duration: string): number {
  return [...duration.matchAll(/(\d+)(ms|[smhdwy])/g)].reduce((sum, [, count, unit]) => sum + Number(count) * UNIT_SECONDS[unit!]!, 0)
}
