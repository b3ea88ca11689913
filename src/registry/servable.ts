import type { TreeFile } from './trees.ts'

/** Whether a server would take these files. */
export interface Servable {
  readonly servable: boolean
  /** Why not. */
  readonly reason?: string
}

/** Files that run code when they are read, and what wrote them. */
const CODE: readonly (readonly [ending: RegExp, what: string])[] = [
  [/\.(pkl|pickle|cloudpickle)$/i, 'a pickle'],
  [/\.joblib$/i, 'a joblib pickle'],
  [/\.skops$/i, 'a skops archive of scikit-learn'],
  [/\.(pt|pth|bin|ckpt)$/i, 'a PyTorch checkpoint'],
  [/\.(h5|keras)$/i, 'a Keras model'],
]

/** By the names of its files: what they hold is looked at when a server loads them. */
export function judgeServable(files: readonly TreeFile[] | undefined): Servable {
  if (files === undefined)
    return { servable: false, reason: 'its files are not with this registry, so that no server can take them from here' }
  if (files.length === 0) return { servable: false, reason: 'it has no files' }
  if (files.some(({ path }) => path.toLowerCase().endsWith('.onnx'))) return { servable: true }
  for (const { path } of files) {
    const what = CODE.find(([ending]) => ending.test(path))?.[1]
    if (what !== undefined)
      return {
        servable: false,
        reason: `${path} is ${what}, which runs code when it is loaded; convert the model to ONNX and register that`,
      }
  }
  return { servable: false, reason: 'it has no model.onnx' }
}
