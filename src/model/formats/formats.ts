/** All formats of models, the fallback last. A new one is a file beside this, and a line here. */
import { basename } from 'node:path'
import { onnx } from './onnx.ts'
import { sklearn } from './sklearn.ts'
import { catboost, lightgbm, xgboost } from './trees/trees.ts'
import type { ModelFormat } from './format.ts'

export const FORMATS: readonly ModelFormat[] = [xgboost, lightgbm, catboost, sklearn, onnx]

const EXTENSIONS = new Set(FORMATS.flatMap(({ extensions }) => extensions))

/** Whether a file is a model by itself, in any format. */
export async function isModelFile(path: string): Promise<boolean> {
  for (const format of FORMATS) if (await format.isFile(path)) return true
  return false
}

/** Whether a file may be a model by its name; one that ends in `.onnx` is, the others have to be looked at. */
export function mayBeModel(name: string): boolean {
  return extensionOf(name) !== undefined
}

/** The name of a file or folder without the extension of a model. */
export function nameWithoutExtension(path: string): string {
  return basename(path, extensionOf(path))
}

function extensionOf(name: string): string | undefined {
  return [...EXTENSIONS].find((extension) => name.endsWith(extension))
}
