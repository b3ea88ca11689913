import { flagAt, listAt, textAt, typeOf, unsupported } from './component.ts'
import { patternOf } from './patterns.ts'
import { precompiledOf } from './precompiled.ts'
import { CONTROL } from './unicode-tables.ts'
import { classOf, isAscii, lowercase, normalForm, WHITE_SPACE, withoutAccents, withoutMarks } from './unicode.ts'
import type { Component } from './component.ts'
import type { Normalize } from './unicode.ts'

const control = new RegExp(`[\\0\\ufffd${classOf(CONTROL)}]+`, 'gu')
const whiteSpace = new RegExp(WHITE_SPACE, 'gu')
const atStart = new RegExp(`^${WHITE_SPACE}+`, 'u')
const atEnd = new RegExp(`(?<!${WHITE_SPACE})${WHITE_SPACE}+$`, 'u')
/** `is_chinese_char` of tokenizers: without Extension E's first blocks, as there. */
const chinese = /[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u{20000}-\u{2a6df}\u{2a700}-\u{2b81f}\u{2b920}-\u{2ceaf}\u{2f800}-\u{2fa1f}]/gu
const nmtGone = new RegExp(`[${classOf('1-8 b e-1f 7f 8f 9f')}]`, 'gu')
const nmtSpace = new RegExp(`[${classOf('9 a c d 1680 200b-200f 2028 2029 2581 feff fffd')}]`, 'gu')

/**
 * The normalizer of a tokenizer (tokenizers/src/normalizers).
 * @throws SLW_MODEL_UNSUPPORTED naming one that is not known
 */
export function normalizerOf(component: unknown): Normalize {
  const type = typeOf(component, 'normalizer')
  if (type === undefined) return (text) => text
  const settings = component as Component
  switch (type) {
    case 'Sequence': {
      const all = listAt(settings, 'normalizers').map(normalizerOf)
      return (text) => all.reduce((now, normalize) => normalize(now), text)
    }
    case 'BertNormalizer':
      return bert(settings)
    case 'NFC':
    case 'NFD':
    case 'NFKC':
    case 'NFKD':
      return (text) => normalForm(text, type)
    case 'Lowercase':
      return lowercase
    case 'StripAccents':
      return withoutMarks
    case 'Strip': {
      const [left, right] = [flagAt(settings, 'strip_left'), flagAt(settings, 'strip_right')]
      return (text) => {
        const begun = left ? text.replace(atStart, '') : text
        return right ? begun.replace(atEnd, '') : begun
      }
    }
    case 'Prepend': {
      const prefix = textAt(settings, 'prepend')
      return (text) => (text === '' ? text : prefix + text)
    }
    case 'Replace': {
      const [pattern, content] = [patternOf(settings), textAt(settings, 'content')]
      return (text) => text.replace(pattern, () => content)
    }
    case 'Nmt':
      return (text) => text.replace(nmtGone, '').replace(nmtSpace, ' ')
    case 'Precompiled':
      return precompiledOf(textAt(settings, 'precompiled_charsmap'))
    default:
      return unsupported(`the normalizer ${type}`)
  }
}

function bert(settings: Component): Normalize {
  const [clean, spaced, lower] = [
    flagAt(settings, 'clean_text', true),
    flagAt(settings, 'handle_chinese_chars', true),
    flagAt(settings, 'lowercase', true),
  ]
  const strip = flagAt({ strip_accents: settings['strip_accents'] ?? lower }, 'strip_accents')
  return (text) => {
    let now = clean ? text.replace(control, '').replace(whiteSpace, ' ') : text
    if (!isAscii(now)) {
      if (spaced) now = now.replace(chinese, ' $& ')
      if (strip) now = withoutAccents(now)
    }
    return lower ? lowercase(now) : now
  }
}
