/** Configurations made by chance, in every way of writing that the text format has. */
import { ENUMS, MESSAGES, ONE_OF } from '../../../src/model/triton/config-schema.ts'
import type { Random } from '../../soak/random.ts'

const SPACES = ['', ' ', '\n', '\t', ' # "{ : a comment\n', '  \r\n']
const NAMES = ['x', 'OUTPUT_0', 'ä', '日本', '', 'a b', '"', "'", '\\', '\n', '\u0000', '😀', '#']

function quoted(random: Random, text: string): string {
  const mark = random.pick(['"', "'"])
  const parts = [...Buffer.from(text)].map((byte) => {
    const plain = byte >= 32 && byte < 127 && byte !== 92 && byte !== mark.codePointAt(0)
    if (plain && random.next() < 0.8) return String.fromCodePoint(byte)
    return random.next() < 0.5 ? `\\${byte.toString(8).padStart(3, '0')}` : `\\x${byte.toString(16).padStart(2, '0')}`
  })
  return mark + parts.join('') + mark
}

function text(random: Random): string {
  const value = random.pick(NAMES)
  if (random.next() < 0.2) return `${quoted(random, value)} ${quoted(random, random.pick(NAMES))}`
  if (random.next() < 0.2 && !/["'\\\n\0]/.test(value)) return `"${value}\\n\\t\\"\\'\\\\\\a\\u00e4\\U0001F600"`
  return quoted(random, value)
}

function integer(random: Random, kind: string): string {
  const bits = kind.endsWith('64') ? 64n : 32n
  const highest = kind.startsWith('u') ? (1n << bits) - 1n : (1n << (bits - 1n)) - 1n
  const value = random.pick([0n, 1n, 8n, 255n, highest, BigInt(Math.floor(random.next() * 2 ** 31))])
  const minus = kind.startsWith('u') || random.next() < 0.7 ? '' : '-'
  return (
    minus + random.pick([value.toString(), `0x${value.toString(16)}`, `0X${value.toString(16).toUpperCase()}`, `0${value.toString(8)}`])
  )
}

function scalar(random: Random, kind: string): string {
  switch (kind) {
    case 'string':
      return text(random)
    case 'bool':
      return random.pick(['true', 'false', 't', 'f', 'True', 'False', '0', '1'])
    case 'float':
    case 'double':
      return random.pick([
        '0',
        '1',
        '-1',
        '1.5',
        '.5',
        '5.',
        '1e3',
        '1.25E-3',
        '2f',
        '1.5F',
        'inf',
        '-inf',
        'nan',
        'infinity',
        '-0.0',
        '1e40',
      ])
    case 'int32':
    case 'uint32':
    case 'int64':
    case 'uint64':
      return integer(random, kind)
    default:
      return random.next() < 0.8 ? random.pick(ENUMS[kind]!) : String(Math.floor(random.next() * ENUMS[kind]!.length))
  }
}

function value(random: Random, type: string, depth: number): string {
  const [, key, inner] = /^map<(\w+),([\w.]+)>$/.exec(type) ?? []
  const fields = key === undefined || inner === undefined ? MESSAGES[type] : { key, value: inner }
  if (fields === undefined) return scalar(random, type)
  const [open, close] = random.pick([
    ['{', '}'],
    ['<', '>'],
  ])
  return `${open}${random.pick(SPACES)}${fieldsText(random, type, fields, depth + 1)}${close}`
}

function fieldsText(random: Random, type: string, fields: Readonly<Record<string, string>>, depth: number): string {
  const group = ONE_OF[type] ?? []
  const chosen = random.pick(['', ...group])
  const isMap = type.startsWith('map<')
  const share = isMap ? 1 : depth > 4 ? 0.1 : 0.45
  const parts: string[] = []
  const say = (name: string, kind: string): void => {
    const element = kind.replace(/\[\]$/, '')
    const isMessage = MESSAGES[element] !== undefined || element.startsWith('map<')
    const colon = isMessage ? random.pick([':', ' ', ' : ', '']) : random.pick([':', ' : ', ': '])
    const many = kind.endsWith('[]') || kind.startsWith('map<')
    const one = (): string => value(random, element, depth)
    const said = many && random.next() < 0.5 ? `[${Array.from({ length: Math.floor(random.next() * 3) }, one).join(', ')}]` : one()
    parts.push(`${name}${colon}${random.pick(SPACES)}${said}${random.pick([' ', ', ', '; ', '\n', ' # and so on\n'])}`)
  }
  for (const [name, kind] of Object.entries(fields)) {
    if (group.includes(name) ? name !== chosen : random.next() > share) continue
    say(name, kind)
    if ((kind.endsWith('[]') || kind.startsWith('map<')) && random.next() < 0.4) say(name, kind)
  }
  return parts.toSorted(() => (isMap ? 0 : random.next() - 0.5)).join('')
}

export function randomConfig(random: Random): string {
  return random.pick(['', '# first\n', '\n\n']) + fieldsText(random, 'ModelConfig', MESSAGES['ModelConfig']!, 0)
}

/** The same with one slip: a character more, less, or another. */
export function withSlip(random: Random, config: string): string {
  const at = Math.floor(random.next() * config.length)
  const sign = random.pick([
    '',
    '',
    '{',
    '}',
    '<',
    '>',
    '[',
    ']',
    ':',
    ',',
    ';',
    '"',
    "'",
    '\\',
    '-',
    '0',
    '1',
    '.',
    'e',
    'x',
    ' ',
    '\n',
    '#',
    'ä',
  ])
  return config.slice(0, at) + sign + config.slice(at + Math.floor(random.next() * 2))
}
