/** Objects as templates of Helm (Go's text/template): where a value is to be inserted stands a word meanwhile, which YAML leaves as it is. */
import { Document, isScalar, visit } from 'yaml'
import type { Scalar } from 'yaml'

const WORD = 'zq0insert'

/** A text that stands for others, such as a name for that which a release will have. */
export interface Token {
  readonly text: string
  /** The action that takes its place, such as `{{ .Release.Namespace }}`. */
  readonly action: string
}

/** Lines for a place with this many spaces before it. */
type Block = (indent: number) => readonly string[]

export interface Template {
  /** For the place of a scalar: the action in its place. */
  value(action: string): string
  /** For the place of an entry of a list: whole lines. */
  item(block: Block): string
  /** For the end of an object: whole lines. */
  entries(block: Block): Readonly<Record<string, null>>
  /** The text of an object with everything inserted. */
  text(object: object, tokens: readonly Token[]): string
}

export function openTemplate(): Template {
  const actions: string[] = []
  const blocks: Block[] = []
  return {
    value: (action) => `${WORD}${actions.push(action) - 1}value`,
    item: (block) => `${WORD}${blocks.push(block) - 1}block`,
    entries: (block) => ({ [`${WORD}${blocks.push(block) - 1}block`]: null }),
    text: (object, tokens) => {
      const plain = quotedYaml(object, tokens)
        // What is no action of ours is meant as it stands.
        .replaceAll('{{', '{{ "{{" }}')
        .replaceAll(new RegExp(`"?${WORD}(\\d+)value"?`, 'g'), (_, index: string) => actions[Number(index)]!)
        .replaceAll(new RegExp(`^( *)(?:- )?${WORD}(\\d+)block(?:: null)?$`, 'gm'), (_, indent: string, index: string) =>
          blocks[Number(index)]!(indent.length)
            .map((line) => `${indent}${line}`)
            .join('\n'),
        )
      return tokens.reduce((text, token) => text.replaceAll(token.text, token.action), plain)
    },
  }
}

/** What is inserted into a text may look like another type: such texts are in quotes. */
function quotedYaml(object: object, tokens: readonly Token[]): string {
  const document = new Document(object, { aliasDuplicateObjects: false, version: '1.1' })
  const hasToken = (value: unknown): boolean => typeof value === 'string' && tokens.some(({ text }) => value.includes(text))
  visit(document, {
    Scalar: (_, node: Scalar) => {
      if (hasToken(node.value) && !String(node.value).includes('\n')) node.type = 'QUOTE_DOUBLE'
    },
    Pair: (_, pair) => {
      // Lines of an action would not fit into a text whose lines are joined.
      if (isScalar(pair.value) && hasToken(pair.value.value) && String(pair.value.value).includes('\n')) pair.value.type = 'BLOCK_LITERAL'
    },
  })
  return document.toString({ lineWidth: 0 })
}

/** A value of the chart as YAML, if there is one: under `key`, or the entries alone. */
export function optional(path: string, key?: string): Block {
  return (indent) =>
    key === undefined
      ? [`{{- with ${path} }}`, `{{- toYaml . | nindent ${indent} }}`, '{{- end }}']
      : [`{{- with ${path} }}`, `${key}:`, `  {{- toYaml . | nindent ${indent + 2} }}`, '{{- end }}']
}
