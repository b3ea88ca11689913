/** All formats of models, the fallback last. A new one is a file beside this, and a line here. */
import { onnx } from './onnx.ts'
import { sklearn } from './sklearn.ts'
import type { ModelFormat } from './format.ts'

export const FORMATS: readonly ModelFormat[] = [sklearn, onnx]
