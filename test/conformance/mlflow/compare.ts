/**
 * Compares the recording of a server with that of the reference, step by step.
 *
 *     scripts/node test/conformance/mlflow/compare.ts REFERENCE.json SUBJECT.json
 *
 * A refusal counts as equal by its code, its class in the client and its status. Its words are compared by themselves:
 * people read them, and only those of `LOOKED_FOR` are looked for by programs.
 */
import { readFile } from 'node:fs/promises'
import { INTENDED } from './differences.ts'
import { isList, normalise } from './normalise.ts'
import type { Json, Recording, Step } from './normalise.ts'

/** What clients, and programs on top of them, look for in the message of a refusal. */
const LOOKED_FOR = [
  'Changing param values is not allowed',
  'Missing value for required parameter',
  'Multipart upload is not supported',
  'Invalid clause(s) in filter string',
  /Registered model alias \S+ not found/,
  /Version alias name '\S+' is reserved/,
] as const
const SHOWN_MAX = 600

export interface Difference {
  readonly script: string
  readonly step: string
  /** Where in the value of the step: `$.run.info.status`. */
  readonly at: string
  readonly reference: Json | undefined
  readonly subject: Json | undefined
}

/** A difference that is wanted, and why. */
export interface IntendedDifference {
  readonly reason: string
  covers(difference: Difference): boolean
}

export interface Comparison {
  /** What must not be. */
  readonly differences: readonly Difference[]
  readonly intended: readonly Difference[]
  /** Refusals that say the same in other words. */
  readonly words: readonly Difference[]
  readonly stepCount: number
}

export interface CompareOptions {
  readonly script: string
  readonly intended: readonly IntendedDifference[]
}

export function compare(reference: Recording, subject: Recording, { script, intended }: CompareOptions): Comparison {
  const found: Difference[] = []
  const words: Difference[] = []
  const expected = normalise(reference)
  const given = new Map(normalise(subject).map((step) => [step.name, step]))
  for (const step of expected) {
    const other = given.get(step.name)
    given.delete(step.name)
    const place = { script, step: step.name }
    for (const { wording, ...difference } of stepDifferences(step, other)) (wording ? words : found).push({ ...place, ...difference })
  }
  for (const step of given.values()) found.push({ script, step: step.name, at: '$', reference: undefined, subject: step.value })
  const isIntended = (difference: Difference): boolean => intended.some((one) => one.covers(difference))
  return {
    differences: found.filter((difference) => !isIntended(difference)),
    intended: found.filter(isIntended),
    words,
    stepCount: expected.length,
  }
}

interface Found {
  readonly at: string
  readonly reference: Json | undefined
  readonly subject: Json | undefined
  readonly wording: boolean
}

function stepDifferences(reference: Step, subject: Step | undefined): Found[] {
  // A step that fails at the reference is a mistake of the script, and shows nothing.
  if (reference.failed !== undefined || subject === undefined || subject.failed !== undefined)
    return [{ at: '$', reference: reference.failed ?? reference.value, subject: subject?.failed ?? subject?.value, wording: false }]
  return valueDifferences('$', reference.value, subject.value)
}

function valueDifferences(at: string, reference: Json | undefined, subject: Json | undefined): Found[] {
  if (reference === undefined || subject === undefined) return reference === subject ? [] : [{ at, reference, subject, wording: false }]
  if (isObject(reference) && isObject(subject)) {
    if ('refused' in reference || 'refused' in subject) return refusalDifferences(at, reference, subject)
    const keys = new Set([...Object.keys(reference), ...Object.keys(subject)])
    return [...keys].flatMap((key) => valueDifferences(`${at}.${key}`, reference[key], subject[key]))
  }
  if (isList(reference) && isList(subject)) {
    const together =
      reference.length !== subject.length || [...reference, ...subject].every((entry) => entry === null || typeof entry !== 'object')
    if (!together) return reference.flatMap((entry, index) => valueDifferences(`${at}[${index}]`, entry, subject[index]))
  }
  return canonical(reference) === canonical(subject) ? [] : [{ at, reference, subject, wording: false }]
}

function refusalDifferences(at: string, reference: Readonly<Record<string, Json>>, subject: Readonly<Record<string, Json>>): Found[] {
  const expected = message(reference)
  const given = message(subject)
  const bare = canonical(withoutMessage(reference)) === canonical(withoutMessage(subject))
  const found = { at, reference, subject }
  if (!bare) return [{ ...found, wording: false }]
  if (expected === given) return []
  return [{ ...found, wording: !LOOKED_FOR.some((words) => has(expected, words) && !has(given, words)) }]
}

function has(text: string, words: string | RegExp): boolean {
  return typeof words === 'string' ? text.includes(words) : words.test(text)
}

function message(answer: Readonly<Record<string, Json>>): string {
  const refusal = answer['refused']
  const text = refusal !== undefined && isObject(refusal) ? refusal['message'] : undefined
  return typeof text === 'string' ? text : ''
}

function withoutMessage(answer: Readonly<Record<string, Json>>): Json {
  const refusal = answer['refused']
  return refusal !== undefined && isObject(refusal) ? { ...answer, refused: { ...refusal, message: '' } } : answer
}

function isObject(value: Json): value is { readonly [key: string]: Json } {
  return value !== null && typeof value === 'object' && !isList(value)
}

/** JSON with sorted keys, so that equal values have equal texts. */
function canonical(value: Json): string {
  return JSON.stringify(value, (_, entry: Json) =>
    isObject(entry) ? Object.fromEntries(Object.entries(entry).toSorted(([one], [other]) => (one < other ? -1 : 1))) : entry,
  )
}

/** The differences for a person to read: a paragraph for each step. */
export function report(differences: readonly Difference[]): string {
  const lines: string[] = []
  let heading = ''
  for (const { script, step, at, reference, subject } of differences) {
    if (heading !== `${script}: ${step}`) {
      heading = `${script}: ${step}`
      lines.push(heading)
    }
    lines.push(`  at ${at}`, `    reference ${shown(reference)}`, `    subject   ${shown(subject)}`)
  }
  return lines.join('\n')
}

function shown(value: Json | undefined): string {
  if (value === undefined) return 'nothing'
  const text = JSON.stringify(value)
  return text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}... (${text.length} characters)` : text
}

if (import.meta.main) {
  const [reference = '', subject = ''] = process.argv.slice(2)
  const read = async (file: string): Promise<Recording> => JSON.parse(await readFile(file, 'utf8')) as Recording
  const compared = compare(await read(reference), await read(subject), { script: subject, intended: INTENDED })
  console.log(report(compared.differences))
  const { differences, intended, words, stepCount } = compared
  console.log(`${differences.length} differences, ${intended.length} intended, ${words.length} other words, in ${stepCount} steps`)
  if (differences.length > 0) process.exitCode = 1
}
