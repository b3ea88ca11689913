/** The models of the benchmark and the requests that are sent to them. */
import { existsSync } from 'node:fs'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { cacheFolder } from '../scripts/python-env.ts'
import { run } from './children.ts'

export type ModelName = 'churn' | 'mlp' | 'conv'
export const MODELS: readonly ModelName[] = ['churn', 'mlp', 'conv']

/** How a request carries its tensor: as JSON, or as raw FP32 after a JSON header (the binary tensor data extension). */
export type Encoding = 'json' | 'binary'

export interface RequestBody {
  readonly file: string
  readonly headers: Readonly<Record<string, string>>
}

const YARDSTICKS = join(import.meta.dirname, 'yardsticks')

/** The folder of the models, made by the yardsticks' script if need be. */
export async function obtainModels(python: string): Promise<string> {
  const folder = join(cacheFolder(), 'bench-models')
  if (MODELS.every((name) => ['.onnx', '.json', '.bin'].every((extension) => existsSync(join(folder, name + extension))))) return folder
  const making = `${folder}.${process.pid}`
  await run(python, [join(YARDSTICKS, 'make_models.py'), making])
  await rm(folder, { recursive: true, force: true })
  await rename(making, folder)
  return folder
}

interface JsonRequest {
  readonly inputs: readonly { readonly name: string; readonly datatype: string; readonly shape: readonly number[] }[]
}

/** The body of one request as a file, as the load generator reads it. */
export async function requestBody(models: string, model: ModelName, encoding: Encoding, scratch: string): Promise<RequestBody> {
  const jsonFile = join(models, `${model}.json`)
  if (encoding === 'json') return { file: jsonFile, headers: { 'Content-Type': 'application/json' } }
  const [input] = (JSON.parse(await readFile(jsonFile, 'utf8')) as JsonRequest).inputs
  if (input === undefined) throw new Error(`${jsonFile} has no input`)
  const raw = await readFile(join(models, `${model}.bin`))
  const header = Buffer.from(
    JSON.stringify({
      inputs: [{ name: input.name, datatype: input.datatype, shape: input.shape, parameters: { binary_data_size: raw.length } }],
    }),
  )
  const file = join(scratch, `${model}.binary-request`)
  await mkdir(scratch, { recursive: true })
  await writeFile(file, Buffer.concat([header, raw]))
  return { file, headers: { 'Content-Type': 'application/octet-stream', 'Inference-Header-Content-Length': String(header.length) } }
}
