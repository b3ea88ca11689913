/** What a folder of Triton says in its config.pbtxt, which is not acted on here: people are told line by line. */
import { readFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { mayBeModel } from './formats/formats.ts'

const FILE = 'config.pbtxt'

/** Where what a field says is said here; fields that only describe what the model file says itself have no entry. */
const HERE: ReadonlyMap<string, string> = new Map(
  Object.entries({
    max_batch_size: '"serving: { maxBatchSize: ... }" in slipway.yaml, or --max-batch-size',
    instance_group: '"serving: { instances: ... }" in slipway.yaml, or --instances',
    dynamic_batching: 'batches are formed by themselves; "serving: { maxDelayUs: ..., preferredBatchSizes: [...] }" in slipway.yaml',
    version_policy: '--versions latest, all, or 1,3',
    response_cache: '"serving: { cacheMb: ... }" in slipway.yaml',
    model_warmup: '"warmup:" and "examples:" in slipway.yaml',
    default_model_filename: '"model:" in slipway.yaml',
    optimization: '"serving: { threads: ... }" in slipway.yaml',
    parameters: '"serving:" in slipway.yaml has what can be set',
    ensemble_scheduling: 'ensembles are not offered',
    sequence_batching: 'sequences are not offered',
  }),
)

/** Fields that say what the model file says, too. */
const SAID_BY_MODEL = new Set(['name', 'platform', 'backend', 'input', 'output'])

/** A field at the top of a config.pbtxt. */
interface Field {
  readonly name: string
  readonly line: number
}

/** Fields at the top of a message in text format: names before `:`, `{` or `[` outside of every bracket, comment and string. */
function fieldsOf(text: string): Field[] {
  const fields: Field[] = []
  let depth = 0
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.replaceAll(/(["'])(?:(?!\1)[^\\]|\\.)*\1/g, '""').replace(/#.*$/, '')
    for (const [, name, sign] of line.matchAll(/([A-Za-z_]\w*)?\s*([:{}[\]])/g)) {
      if (name !== undefined && depth === 0 && (sign === ':' || sign === '{' || sign === '[')) fields.push({ name, line: index + 1 })
      if (sign === '{' || sign === '[') depth++
      if (sign === '}' || sign === ']') depth--
    }
  }
  return fields
}

/**
 * Says which lines of a config.pbtxt beside a model are not acted on, and where the same is said here.
 * @param path of the package: a file, a folder, or a numbered version
 * @returns undefined where there is no such file, or it says nothing beyond the model file
 */
export async function ignoredTritonConfig(path: string): Promise<string | undefined> {
  const folder = /^\d+$/.test(basename(path)) || mayBeModel(path) ? dirname(path) : path
  const file = join(/^\d+$/.test(basename(folder)) ? dirname(folder) : folder, FILE)
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined
    throw error
  })
  if (text === undefined) return undefined
  const seen = new Set<string>()
  const ignored = fieldsOf(text).filter(({ name }) => !SAID_BY_MODEL.has(name) && !seen.has(name) && seen.add(name))
  if (ignored.length === 0) return undefined
  const told = ignored.map(({ name, line }) => `line ${line}, ${name}: ${HERE.get(name) ?? 'nothing here does the same'}`)
  return `${file} is not acted on. ${told.join('. ')}`
}
