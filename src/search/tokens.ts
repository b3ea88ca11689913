/**
 * The words of a filter or an order. MLflow splits them with the `sqlparse` package, so the rules of that package for SQL decide which
 * signs end a name, what a number looks like, and how far a quoted string goes.
 */
export interface Token {
  /**
   * `name` is a whole dotted name, quotes included (`` params.`a b` ``; a string in double quotes is one too); `loose` is a name with
   * arithmetic signs inside (`metrics.val-loss`); `list` is everything from a bracket to its closing bracket; `other` has no meaning here.
   */
  readonly kind: 'name' | 'loose' | 'string' | 'number' | 'operator' | 'list' | 'other'
  readonly text: string
  /** Tokens within the brackets of a list. */
  readonly items: readonly Token[]
}

const SPACE = /\s+/y
/** Comparisons that are words count as operators; unsupported ones are refused by name. */
const WORD_OPERATOR = /(?:NOT\s+)?(?:LIKE|ILIKE|RLIKE|REGEXP)\b/iy
const OPERATOR = /[<>=~!]+/y
const NUMBER = /-?\d+(?:\.\d+)?e-?\d+|-?(?:\d+\.\d*|\.\d+)(?![_a-zà-ü])|-?\d+(?![_a-zà-ü])/iy
const STRING = /'(?:''|\\'|[^'])*'/y
const QUOTED = /`(?:``|[^`])*`|"(?:""|\\"|[^"])*"/y
const WORD = /[\p{L}\p{N}_]+/uy
const JOINT = /[-+/%^&|@](?!\d)/y

export function tokensOf(text: string): readonly Token[] {
  const [tokens] = read(text, 0, false)
  return tokens
}

/** @returns the tokens up to the end, or up to the bracket that closes the list; and the place behind them */
function read(text: string, from: number, inList: boolean): readonly [tokens: readonly Token[], end: number] {
  const tokens: Token[] = []
  let at = from
  while (at < text.length) {
    const space = match(SPACE, text, at)
    if (space !== '') {
      at += space.length
      continue
    }
    if (inList && text[at] === ')') return [tokens, at + 1]
    // Lists do not nest, so that no filter can overflow the stack.
    if (!inList && text[at] === '(') {
      const [items, end] = read(text, at + 1, true)
      const closed = text[end - 1] === ')' && end > at + 1
      tokens.push({ kind: closed ? 'list' : 'other', text: text.slice(at, end), items })
      at = end
      continue
    }
    const token = next(text, at)
    tokens.push(token)
    at += token.text.length
  }
  return [tokens, at]
}

function next(text: string, at: number): Token {
  const word = match(WORD_OPERATOR, text, at)
  if (word !== '') return { kind: 'operator', text: word, items: [] }
  const number = match(NUMBER, text, at)
  if (number !== '') return { kind: 'number', text: number, items: [] }
  const string = match(STRING, text, at)
  if (string !== '') return { kind: 'string', text: string, items: [] }
  const operator = match(OPERATOR, text, at)
  if (operator !== '') return { kind: 'operator', text: operator, items: [] }
  return name(text, at) ?? { kind: 'other', text: String.fromCodePoint(text.codePointAt(at) ?? 0), items: [] }
}

function name(text: string, from: number): Token | undefined {
  let at = from + part(text, from).length
  if (at === from) return undefined
  let kind: Token['kind'] = 'name'
  for (;;) {
    if (text[at] === '.' && match(NUMBER, text, at) === '') {
      const length = match(NUMBER, text, at + 1) === '' ? (part(text, at + 1) || match(STRING, text, at + 1)).length : 0
      if (length === 0) break
      at += 1 + length
    } else {
      const joint = match(JOINT, text, at)
      const length = joint === '' ? 0 : part(text, at + joint.length).length
      if (length === 0) break
      kind = 'loose'
      at += joint.length + length
    }
  }
  return { kind, text: text.slice(from, at), items: [] }
}

function part(text: string, at: number): string {
  return match(WORD, text, at) || match(QUOTED, text, at)
}

function match(pattern: RegExp, text: string, at: number): string {
  pattern.lastIndex = at
  return pattern.exec(text)?.[0] ?? ''
}
