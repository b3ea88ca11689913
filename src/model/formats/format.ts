import type { ModelPackageDocument } from '../../contract/model-package.ts'
import type { Rewrite } from '../../onnx/rewrite.ts'
import type { TensorSpec } from '../../tensor/tensor.ts'

/** What a model says of itself, whatever format it is in. */
export interface ModelFile {
  /** `onnx`, `pickle`, ... */
  readonly format: string
  /** As the Open Inference Protocol names it. */
  readonly platform: string
  readonly inputs: readonly TensorSpec[]
  readonly outputs: readonly TensorSpec[]
  /** Class labels that the model carries, if any. */
  readonly classLabels: readonly (string | number)[] | undefined
  readonly rewrite: Rewrite
  /** The model to load where the file cannot be used as it is. */
  readonly rewrittenBytes: Uint8Array | undefined
  /** Files beside the model that belong to it, relative to its folder. */
  readonly externalFiles: readonly string[]
  /** Of those, what describes it. */
  readonly describedBy: readonly string[]
  /** How it is asked, of a model that is an object of Python and runs code when it is loaded. Undefined: it is data. */
  readonly python: PythonCall | undefined
  /** One line, for a record of what was looked at. */
  readonly summary: string
  /** What people may want to know, by name. */
  readonly about: Readonly<Record<string, string | number>>
}

export interface PythonCall {
  readonly format: 'pickle' | 'skops'
  /** What is called with the inputs, such as `predict_proba`. */
  readonly method: string
  /** Whether it takes a table, of one column for each input, or one array. */
  readonly columns: boolean
  readonly sklearnVersion: string
}

/** A folder that may hold a model. */
export interface Candidate {
  readonly folder: string
  /** What lies in it. */
  readonly names: readonly string[]
  /** Its slipway.yaml. */
  readonly document: ModelPackageDocument
}

/** A way in which models are written down. */
export interface ModelFormat {
  readonly name: string
  /** What bare files of it end in; none where it is always a folder. */
  readonly extensions: readonly string[]
  /** Whether a folder with such names is likely to be a model of it, for whoever looks for models among folders. */
  holds(names: readonly string[]): boolean
  /** Whether a package is of it. The first format that says so reads it. */
  recognises(candidate: Candidate): boolean
  /** The path of the file that the model is in. @throws SLW_PACKAGE_INVALID, SLW_MODEL_UNSUPPORTED */
  locate(candidate: Candidate): Promise<string>
  /** Reads and checks it; nothing in it is run. @throws SLW_MODEL_INVALID, SLW_MODEL_UNSAFE, SLW_MODEL_UNSUPPORTED */
  read(path: string): Promise<ModelFile>
}
