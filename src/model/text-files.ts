import { createHash } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { SlipwayError } from '../core/errors.ts'
import { formatBytes } from '../core/units.ts'
import { PACKAGE_FILE } from './package-file.ts'
import type { ModelPackageDocument } from '../contract/model-package.ts'
import type { TensorSpec } from '../tensor/tensor.ts'

/** What lies beside a model of texts, as Hugging Face, optimum and sentence-transformers write it. */
export interface TextFiles {
  readonly tokenizer: TokenizerFile
  /** Contents of the files that describe the model, by path. */
  readonly described: Readonly<Record<string, unknown>>
  /** Whether slipway.yaml says that the model takes texts; else it was found by its files. */
  readonly declared: boolean
  /** Paths of the files, as seen from the folder of the model file. */
  readonly paths: readonly string[]
}

/** A tokenizer.json: in memory that threads share, so that it is there once, and stays as it was when the model was loaded. */
export interface TokenizerFile {
  readonly bytes: SharedArrayBuffer
  /** SHA-256, hexadecimal. */
  readonly digest: string
}

const TOKENIZER_FILE = 'tokenizer.json'
/** The largest vocabularies in use, of a quarter of a million tokens, take half of it. */
const TOKENIZER_BYTES_MAX = 64 * 1024 * 1024
const DESCRIBED_BYTES_MAX = 4 * 1024 * 1024
/** Files that say how a tokenizer and an encoder are used. */
const DESCRIBED = ['tokenizer_config.json', 'config.json', 'sentence_bert_config.json', 'modules.json', '1_Pooling/config.json']

/**
 * Reads what makes a model one of texts; undefined where nothing says so: slipway.yaml has no `text`, and no tokenizer.json lies beside a
 * graph that takes `input_ids`.
 * @throws SLW_PACKAGE_INVALID for a tokenizer that slipway.yaml asks for and that is not there, and for files that are too large
 */
export async function readTextFiles(
  folder: string,
  modelPath: string,
  inputs: readonly TensorSpec[],
  document: ModelPackageDocument,
): Promise<TextFiles | undefined> {
  const declared = document.text !== undefined
  if (!declared && (document.features !== undefined || document.image !== undefined || !inputs.some(({ name }) => name === 'input_ids')))
    return undefined
  const named = document.text?.tokenizer
  const places = named === undefined ? [join(dirname(modelPath), TOKENIZER_FILE), join(folder, TOKENIZER_FILE)] : [join(folder, named)]
  if (named !== undefined && relative(folder, places[0]!).startsWith('..'))
    throw new SlipwayError('SLW_PACKAGE_INVALID', `${join(folder, PACKAGE_FILE)}: text: tokenizer: "${named}" is outside the package`)
  let path: string | undefined
  for (const place of places) if (path === undefined && (await stat(place).catch(() => undefined))?.isFile() === true) path = place
  if (path === undefined) {
    if (!declared) return undefined
    throw new SlipwayError('SLW_PACKAGE_INVALID', `${folder}: ${named ?? TOKENIZER_FILE} is not there, and text needs it`)
  }
  const contents = await readLimited(path, TOKENIZER_BYTES_MAX)
  const bytes = new SharedArrayBuffer(contents.length)
  new Uint8Array(bytes).set(contents)
  const beside = dirname(path)
  const paths = [path]
  const described: Record<string, unknown> = {}
  for (const name of DESCRIBED) {
    const file = join(beside, name)
    if ((await stat(file).catch(() => undefined))?.isFile() !== true) continue
    try {
      described[name] = JSON.parse((await readLimited(file, DESCRIBED_BYTES_MAX)).toString('utf8'))
      paths.push(file)
    } catch (error) {
      if (error instanceof SyntaxError) throw new SlipwayError('SLW_PACKAGE_INVALID', `${file}: ${error.message}`)
      throw error
    }
  }
  return {
    tokenizer: { bytes, digest: createHash('sha256').update(contents).digest('hex') },
    described,
    declared,
    paths: paths.map((file) => relative(dirname(modelPath), file)),
  }
}

/** The files that would be read beside a model file, whether they are there or not. */
export function textFilesBeside(modelPath: string): readonly string[] {
  return [TOKENIZER_FILE, ...DESCRIBED].map((name) => join(dirname(modelPath), name))
}

async function readLimited(path: string, bytesMax: number): Promise<Buffer> {
  const { size } = await stat(path)
  if (size > bytesMax)
    throw new SlipwayError('SLW_PACKAGE_INVALID', `${path}: ${formatBytes(size)}; at most ${formatBytes(bytesMax)} are read`)
  return await readFile(path)
}
