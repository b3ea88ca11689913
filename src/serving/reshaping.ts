import { reshaped } from '../model/triton/tensors.ts'
import type { Instance, RunResult } from '../engine/instance.ts'
import type { Reshapes } from '../model/formats/format.ts'
import type { Tensor } from '../tensor/tensor.ts'

/** An instance whose model takes and gives the same elements in other shapes. @param reshapes undefined: it is left as it is */
export function reshaping(instance: Instance, reshapes: Reshapes | undefined): Instance {
  if (reshapes === undefined) return instance
  const outOf = (result: RunResult): RunResult => ({ ...result, outputs: withShapes(result.outputs, reshapes.outputs) })
  return {
    kind: instance.kind,
    run: async (inputs, outputs) => outOf(await instance.run(withShapes(inputs, reshapes.inputs), outputs)),
    ...(instance.stream !== undefined && {
      stream: async (inputs, outputs, onPart) =>
        outOf(await instance.stream!(withShapes(inputs, reshapes.inputs), outputs, (part) => onPart(withShapes(part, reshapes.outputs)))),
    }),
    ...(instance.poll !== undefined && { poll: () => instance.poll!() }),
    ...(instance.serve !== undefined && { serve: () => instance.serve!() }),
    get busy() {
      return instance.busy
    },
    idle: () => instance.idle(),
    ended: instance.ended,
    memoryBytes: () => instance.memoryBytes(),
    close: () => instance.close(),
  }
}

/** Tensors in the shapes that a model has for them. The elements are the same. */
export function withShapes(tensors: readonly Tensor[], reshapes: Reshapes['inputs']): readonly Tensor[] {
  if (reshapes.size === 0) return tensors
  return tensors.map((tensor) => {
    const reshape = reshapes.get(tensor.name)
    return reshape === undefined ? tensor : { ...tensor, shape: reshaped(tensor.shape, reshape) }
  })
}
