/** The options that the benchmarks have in common. */
import { parseArgs } from 'node:util'

/** A whole number that may be given, what it is otherwise, and the least it may be. */
interface NumberOption {
  readonly value: number
  readonly least: number
}

export interface BenchOptions<Name extends string> {
  readonly numbers: Readonly<Record<Name, number>>
  /** Whether a row or figure of this id was asked for. */
  readonly wanted: (id: string) => boolean
  /** File to write what was found to. */
  readonly json: string | undefined
  readonly fromSource: boolean
}

/** @returns undefined where --help or --list was all that was wanted, and has been printed */
export function readBenchOptions<Name extends string>(
  usage: string,
  ids: readonly string[],
  known: Readonly<Record<Name, NumberOption>>,
): BenchOptions<Name> | undefined {
  const names = Object.keys(known) as Name[]
  const { values } = parseArgs({
    options: {
      ...Object.fromEntries(names.map((name) => [name, { type: 'string' as const, default: String(known[name].value) }])),
      only: { type: 'string' },
      json: { type: 'string' },
      'from-source': { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help || values.list) {
    console.log(values.help ? usage : ids.join('\n'))
    return undefined
  }
  const given = values as Readonly<Record<string, string | boolean | undefined>>
  const number = (name: Name): number => {
    const value = Number(given[name])
    const { least } = known[name]
    if (!Number.isInteger(value) || value < least) throw new Error(`--${name} ${given[name]}: expected a whole number from ${least} on`)
    return value
  }
  const texts = values.only?.split(',').filter((text) => text !== '')
  return {
    numbers: Object.fromEntries(names.map((name) => [name, number(name)])) as Record<Name, number>,
    wanted: (id) => texts === undefined || texts.some((text) => id.includes(text)),
    json: values.json,
    fromSource: values['from-source'],
  }
}
