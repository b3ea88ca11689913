import { SlipwayError } from '../core/errors.ts'
import { formatBytes } from '../core/units.ts'
import { DATATYPES } from '../tensor/datatype.ts'
import type { Tensor, TensorSpec } from '../tensor/tensor.ts'

/** An output whose size follows from the shapes of the inputs. */
interface Sized {
  readonly name: string
  readonly bytes: number
  /** Dimensions of inputs that it is as long as, by input and axis. */
  readonly dims: readonly (readonly [input: number, axis: number])[]
}

/** Refuses requests whose answers are known, by the names that a model gives to free dimensions, to be larger than allowed. */
export class OutputSizes {
  readonly #sized: readonly Sized[]
  readonly #bytesMax: number

  constructor(inputs: readonly TensorSpec[], outputs: readonly TensorSpec[], bytesMax: number) {
    this.#bytesMax = bytesMax
    const places = new Map<string, readonly [number, number]>()
    for (const [index, { dimensionNames }] of inputs.entries())
      for (const [axis, name] of dimensionNames.entries()) if (name !== undefined && !places.has(name)) places.set(name, [index, axis])
    this.#sized = outputs.flatMap(({ name, datatype, shape, dimensionNames, anyRank }) => {
      let { bytes } = DATATYPES[datatype]
      const dims: (readonly [number, number])[] = []
      for (const [axis, size] of shape.entries()) {
        const place = size >= 0 ? undefined : places.get(dimensionNames[axis] ?? '')
        if (size >= 0) bytes *= size
        else if (place === undefined) return []
        else dims.push(place)
      }
      return anyRank === true || dims.length === 0 ? [] : [{ name, bytes, dims }]
    })
  }

  /** @throws SLW_OUTPUT_TOO_LARGE */
  require(inputs: readonly Tensor[], outputs: readonly string[]): void {
    let sum = 0
    for (const { name, bytes, dims } of this.#sized) {
      let size = bytes
      for (const [input, axis] of dims) size *= inputs[input]!.shape[axis] ?? 0
      if (size > 0 && outputs.includes(name)) sum += size
    }
    if (sum > this.#bytesMax)
      throw new SlipwayError(
        'SLW_OUTPUT_TOO_LARGE',
        `an answer to inputs of these shapes has ${formatBytes(sum)}, ${formatBytes(this.#bytesMax)} are allowed (maxOutputBytes)`,
      )
  }
}
