import { messageOf } from '../core/errors.ts'
import { isClose } from '../engine/probe.ts'
import { encodeRows } from '../signature/encode.ts'
import { exampleRow } from '../signature/example.ts'
import { fillingOf } from '../signature/text/padding.ts'
import { copyTensor } from '../tensor/tensor.ts'
import { cutTokens, joinFilled } from './scheduler/ragged.ts'
import type { Instance } from '../engine/instance.ts'
import type { Signature } from '../signature/signature.ts'
import type { Tensor } from '../tensor/tensor.ts'
import type { RowPadding } from './scheduler/ragged.ts'

/** Tokens by which the example is filled up. */
const MORE = 5

export interface ProbedPadding {
  readonly padding: RowPadding
  /** Why texts of different lengths share no run. Undefined: they do. */
  readonly reason: string | undefined
}

/**
 * Finds out by running whether a text is answered alike whether it is filled up or not, as a model that heeds its mask does, and which
 * outputs are for each token.
 * @param batchable whether rows share runs at all
 * @returns undefined for a model that takes no texts, or always the same number of tokens
 */
export async function probePadding(
  instance: Pick<Instance, 'run'>,
  signature: Signature,
  outputs: readonly string[],
  batchable: { readonly batchable: boolean; readonly reason: string },
): Promise<ProbedPadding | undefined> {
  const { text } = signature
  if (text?.fixedLength !== undefined || text === undefined) return undefined
  const { side } = text.padding
  const base = { fillings: text.roles.map((role) => fillingOf(role, text.padding)), side }
  const none = (perToken: Iterable<string>, reason: string): ProbedPadding => ({
    padding: { ...base, perToken: new Set(perToken), pads: false },
    reason,
  })
  const few = Math.max(1, Math.floor(text.maxLength / 2))
  const short = { ...signature, text: { ...text, maxLength: few, truncation: 'longest_first' as const } }
  try {
    const { inputs } = encodeRows(short, [exampleRow({ ...signature, examples: [] })], 'examples')
    const length = inputs[0]!.shape[1]!
    const longer = Math.min(length + MORE, text.maxLength)
    // A row of the length to be reached makes the other one as long.
    const filler = inputs.map((tensor) => ({ ...tensor, shape: [0, longer], data: tensor.data.slice(0, 0) }))
    const filled = joinFilled([inputs, filler], { ...base, perToken: new Set(), pads: true })
    const run = async (tensors: readonly Tensor[]): Promise<readonly Tensor[]> =>
      (await instance.run(tensors.map(copyTensor), outputs)).outputs
    const [alone, together] = [await run(inputs), await run(filled)]
    const perToken = new Set<string>()
    for (const [index, output] of together.entries())
      if (
        output.shape.length > 1 &&
        output.shape[1] !== alone[index]!.shape[1] &&
        output.shape[1]! - longer === alone[index]!.shape[1]! - length
      )
        perToken.add(output.name)
    if (!batchable.batchable) return none(perToken, batchable.reason)
    for (const [index, output] of together.entries()) {
      const cut = perToken.has(output.name) ? cutTokens(output, alone[index]!.shape[1]!, side) : output
      if (cut.shape.join() !== alone[index]!.shape.join() || !isClose(alone[index]!, cut))
        return none(perToken, `output "${output.name}" changes with the tokens that fill up a text, whatever the mask says`)
    }
    return { padding: { ...base, perToken, pads: true }, reason: undefined }
  } catch (error) {
    return none([], `the probe failed (${messageOf(error)})`)
  }
}
