import { broken, flagAt, listAt, textAt, typeOf, unsupported } from './component.ts'
import { behaviorOf, patternOf, splitBy } from './patterns.ts'
import { LETTER, NUMBER, NUMERIC, PUNCTUATION, WORD } from './unicode-tables.ts'
import { classOf, isAscii, WHITE_SPACE } from './unicode.ts'
import type { Component } from './component.ts'

/** @param first whether the text is the beginning of what was asked */
export type PreTokenize = (text: string, first: boolean) => string[]

const letter = classOf(LETTER)
const number = classOf(NUMBER)
const word = classOf(WORD)
const whiteSpace = new RegExp(`${WHITE_SPACE}+`, 'gu')
const punctuation = new RegExp(`[${classOf(PUNCTUATION)}]`, 'gu')
const digit = new RegExp(`[${classOf(NUMERIC)}]`, 'gu')
const words = new RegExp(`[${word}]+|[^${word}\\p{White_Space}]+`, 'gu')
/** Words, and marks one by one. */
const bertWords = new RegExp(`[${classOf(PUNCTUATION)}]|[^${classOf(PUNCTUATION)}\\p{White_Space}]+`, 'gu')
const bertWordsOfAscii = /[!-/:-@[-`{-~]|[^!-/:-@[-`{-~\t-\r ]+/g
/** The pattern of GPT-2 (https://github.com/openai/gpt-2/blob/master/src/encoder.py). */
const gpt2 = new RegExp(
  `'s|'t|'re|'ve|'m|'ll|'d| ?[${letter}]+| ?[${number}]+| ?[^\\p{White_Space}${letter}${number}]+|\\p{White_Space}+(?!\\P{White_Space})|\\p{White_Space}+`,
  'gu',
)

/**
 * The pre-tokenizer of a tokenizer (tokenizers/src/pre_tokenizers).
 * @throws SLW_MODEL_UNSUPPORTED naming one that is not known
 */
export function preTokenizerOf(component: unknown): PreTokenize {
  const type = typeOf(component, 'pre_tokenizer')
  if (type === undefined) return (text) => [text]
  const settings = component as Component
  switch (type) {
    case 'Sequence': {
      const all = listAt(settings, 'pretokenizers').map(preTokenizerOf)
      return (text, first) =>
        all.reduce<string[]>((parts, split) => parts.flatMap((part, index) => split(part, first && index === 0)), [text])
    }
    case 'BertPreTokenizer':
      return (text) => text.match(isAscii(text) ? bertWordsOfAscii : bertWords) ?? []
    case 'Whitespace':
      return (text) => text.match(words) ?? []
    case 'WhitespaceSplit':
      return (text) => splitBy(text, whiteSpace, 'Removed')
    case 'Punctuation': {
      const behavior = behaviorOf({ behavior: 'Isolated', ...settings })
      return (text) => splitBy(text, punctuation, behavior)
    }
    case 'Digits': {
      const behavior = flagAt(settings, 'individual_digits') ? 'Isolated' : 'Contiguous'
      return (text) => splitBy(text, digit, behavior)
    }
    case 'Split': {
      const [pattern, behavior, invert] = [patternOf(settings), behaviorOf(settings), flagAt(settings, 'invert')]
      return (text) => splitBy(text, pattern, behavior, invert)
    }
    case 'CharDelimiterSplit': {
      const pattern = patternOf({ pattern: { String: textAt(settings, 'delimiter') } })
      return (text) => splitBy(text, pattern, 'Removed')
    }
    case 'ByteLevel':
      return byteLevel(settings)
    case 'Metaspace':
      return metaspace(settings)
    default:
      return unsupported(`the pre-tokenizer ${type}`)
  }
}

/** Each byte as a visible character (bytes_to_unicode of GPT-2): itself where it is one, else the next one from U+0100 on. */
const CHARACTERS = ((): readonly string[] => {
  let next = 0x1_00
  return Array.from({ length: 256 }, (_, byte) => {
    const visible = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae
    return String.fromCharCode(visible ? byte : next++)
  })
})()

function byteLevel(settings: Component): PreTokenize {
  const [prefixed, split] = [flagAt(settings, 'add_prefix_space', true), flagAt(settings, 'use_regex', true)]
  return (text) => {
    const whole = prefixed && !text.startsWith(' ') ? ` ${text}` : text
    return (split ? (whole.match(gpt2) ?? []) : [whole]).map(asCharacters)
  }
}

function asCharacters(text: string): string {
  let now = ''
  for (const byte of Buffer.from(text)) now += CHARACTERS[byte]!
  return now
}

function metaspace(settings: Component): PreTokenize {
  const replacement = textAt(settings, 'replacement', '▁')
  const added = flagAt(settings, 'add_prefix_space', true)
  const scheme = textAt(settings, 'prepend_scheme', added ? 'always' : 'never')
  if (scheme !== 'always' && scheme !== 'first' && scheme !== 'never') unsupported(`the prepend_scheme "${scheme}"`)
  if (!/^.$/u.test(replacement)) broken('replacement: expected one character')
  const split = flagAt(settings, 'split', true)
  const pattern = patternOf({ pattern: { String: replacement } })
  return (text, first) => {
    const replaced = text.replaceAll(' ', () => replacement)
    const prepends = scheme === 'always' || (scheme === 'first' && first)
    const whole = prepends && !replaced.startsWith(replacement) ? replacement + replaced : replaced
    return split ? splitBy(whole, pattern, 'MergedWithNext') : [whole]
  }
}
