import { isSlipwayError, SlipwayError } from '../../core/errors.ts'
import { tokenizerOf } from './tokenizers.ts'
import type { ModelPackageDocument } from '../../contract/model-package.ts'
import type { TextFiles, TokenizerFile } from '../../model/text-files.ts'
import type { Padding, Tokenizer, TruncationStrategy } from '../../tokenizer/tokenizer.ts'
import type { TensorSpec } from '../../tensor/tensor.ts'

/** How texts become the inputs of a model. Plain data, as it is sent to threads. */
export interface TextInputs {
  readonly tokenizer: TokenizerFile
  /** What each input of the model takes, in their order. */
  readonly roles: readonly Role[]
  readonly maxLength: number
  readonly truncation: TruncationStrategy | 'refuse'
  readonly truncationSide: 'left' | 'right'
  readonly padding: Padding
  /** Tokens that the graph takes, no more and no fewer. Undefined: any number. */
  readonly fixedLength: number | undefined
  readonly bytesMax: number
}

/** Token ids, which of them count, which of two texts each is of, and their places. */
export type Role = 'ids' | 'mask' | 'types' | 'positions'

/** Names of inputs as Hugging Face's exporters give them. */
const ROLES: Readonly<Record<string, Role>> = {
  input_ids: 'ids',
  attention_mask: 'mask',
  token_type_ids: 'types',
  position_ids: 'positions',
}
const DEFAULT_MAX_LENGTH = 512
const DEFAULT_BYTES_MAX = 1024 * 1024
/** Tokenizers whose models have no limit say an absurd one. */
const SENSIBLE_LENGTH = 1_000_000

export interface FoundText {
  readonly text: TextInputs | undefined
  /** Why a model that has a tokenizer takes tensors alone. */
  readonly refused: string | undefined
}

/**
 * Finds out how a model takes texts. One that was found by its files, and whose tokenizer or inputs are not understood, takes tensors.
 * @throws SLW_PACKAGE_INVALID, SLW_MODEL_UNSUPPORTED where slipway.yaml declares `text`
 */
export function textInputs(
  files: TextFiles | undefined,
  inputs: readonly TensorSpec[],
  document: ModelPackageDocument,
  source: string,
): FoundText {
  if (files === undefined) return { text: undefined, refused: undefined }
  try {
    return { text: planText(files, inputs, document), refused: undefined }
  } catch (error) {
    if (!isSlipwayError(error)) throw error
    if (files.declared) throw new SlipwayError(error.code, `${source}: ${error.message}`)
    return { text: undefined, refused: `the model takes token ids, and no texts: ${error.message}` }
  }
}

function planText({ tokenizer: file, described }: TextFiles, inputs: readonly TensorSpec[], document: ModelPackageDocument): TextInputs {
  const spec = document.text ?? {}
  const tokenizer = tokenizerOf(file)
  const roles = inputs.map((input) => {
    const role = ROLES[input.name]
    if (role === undefined)
      throw invalid(`text: the model has the input "${input.name}", and texts give ${Object.keys(ROLES).join(', ')}: send tensors instead`)
    const fits = input.anyRank !== true && input.shape.length === 2 && input.shape[0] === -1
    if (!fits || (input.datatype !== 'INT64' && input.datatype !== 'INT32'))
      throw invalid(`text: input "${input.name}" is ${input.datatype} [${input.shape.join(', ')}], expected INT64 or INT32 [-1, -1]`)
    return role
  })
  if (!roles.includes('ids')) throw invalid('text: the model has no input "input_ids"')
  const fixed = inputs.map(({ shape }) => shape[1]!).filter((length) => length !== -1)
  if (fixed.some((length) => length !== fixed[0])) throw invalid('text: the inputs have different lengths')
  const said = lengthSaid(described, tokenizer)
  const most = Math.min(spec.maxLength ?? said ?? DEFAULT_MAX_LENGTH, fixed[0] ?? Number.POSITIVE_INFINITY)
  return {
    tokenizer: file,
    roles,
    maxLength: most,
    truncation: spec.truncation ?? tokenizer.truncation?.strategy ?? 'longest_first',
    truncationSide: tokenizer.truncation?.side ?? sideAt(described, 'truncation_side'),
    padding: paddingOf(described, tokenizer),
    fixedLength: fixed[0],
    bytesMax: spec.bytesMax ?? DEFAULT_BYTES_MAX,
  }
}

function invalid(message: string): SlipwayError {
  return new SlipwayError('SLW_PACKAGE_INVALID', message)
}

/** A value in one of the files beside a model; undefined where it is not there. */
export function saidIn(described: TextFiles['described'], file: string, key: string): unknown {
  const content = described[file]
  return content !== null && typeof content === 'object' && !Array.isArray(content) ? (content as Record<string, unknown>)[key] : undefined
}

function lengthSaid(described: TextFiles['described'], tokenizer: Tokenizer): number | undefined {
  const positions = saidIn(described, 'config.json', 'max_position_embeddings')
  const padId = saidIn(described, 'config.json', 'pad_token_id')
  // RoBERTa and its relatives begin to count behind the id of the padding.
  const shifted = /^(?:xlm-)?roberta|camembert/.test(String(saidIn(described, 'config.json', 'model_type')))
  const lengths = [
    saidIn(described, 'sentence_bert_config.json', 'max_seq_length'),
    tokenizer.truncation?.maxLength,
    saidIn(described, 'tokenizer_config.json', 'model_max_length'),
    typeof positions === 'number' ? positions - (shifted && typeof padId === 'number' ? padId + 1 : 0) : undefined,
  ]
  const found = lengths.find((length) => typeof length === 'number' && Number.isInteger(length) && length > 0 && length < SENSIBLE_LENGTH)
  return found as number | undefined
}

function sideAt(described: TextFiles['described'], key: string): 'left' | 'right' {
  return saidIn(described, 'tokenizer_config.json', key) === 'left' ? 'left' : 'right'
}

function paddingOf(described: TextFiles['described'], tokenizer: Tokenizer): Padding {
  if (tokenizer.padding !== undefined) return tokenizer.padding
  const token = saidIn(described, 'tokenizer_config.json', 'pad_token')
  const name = token !== null && typeof token === 'object' ? (token as { content?: unknown }).content : token
  const configured = saidIn(described, 'config.json', 'pad_token_id')
  const id = (typeof name === 'string' ? tokenizer.idOf(name) : undefined) ?? (typeof configured === 'number' ? configured : undefined)
  return { id: id ?? tokenizer.idOf('[PAD]') ?? tokenizer.idOf('<pad>') ?? 0, typeId: 0, side: sideAt(described, 'padding_side') }
}
