import type { ExternalFile } from '../../onnx/safety.ts'
import type { FeatureSpec, ModelPackageDocument } from '../../contract/model-package.ts'
import type { OpenEnded } from '../../onnx/open-ended.ts'
import type { Rewrite } from '../../onnx/rewrite.ts'
import type { Reshape } from '../triton/tensors.ts'
import type { TensorSpec } from '../../tensor/tensor.ts'

/** Description of a model, independent of its format. */
export interface ModelFile {
  /** `onnx`, `pickle`, ... */
  readonly format: string
  /** Name of the platform in the Open Inference Protocol. */
  readonly platform: string
  readonly inputs: readonly TensorSpec[]
  readonly outputs: readonly TensorSpec[]
  /** Class labels that the model carries, if any. */
  readonly classLabels: readonly (string | number)[] | undefined
  /** Named columns in the order of the only input, where the file names them. */
  readonly features?: readonly FeatureSpec[] | undefined
  /** Names of the elements of a row of an output, by output, where a file beside the model has them. Default: none. */
  readonly outputLabels?: ReadonlyMap<string, readonly string[]>
  /** Shapes that the model itself takes and gives, where they are others than those above. Default: none. */
  readonly reshapes?: Reshapes
  readonly rewrite: Rewrite
  /** The operator in which rows of a batch are not independent, and why; undefined if none is known. */
  readonly rowCoupling: string | undefined
  /** What values of a request may draw out. */
  readonly openEnded: OpenEnded
  /** The model to load where the file cannot be used as it is. */
  readonly rewrittenBytes: Uint8Array | undefined
  /** Files beside the model with values of its tensors. */
  readonly externalFiles: readonly ExternalFile[]
  /** Files beside the model that describe it. */
  readonly describedBy: readonly string[]
  /** The call of a model that is a Python object and runs code when it is loaded. Undefined: the model is data. */
  readonly python: PythonCall | undefined
  /** One line, for the record of an inspection. */
  readonly summary: string
  /** Facts for people, by name. */
  readonly about: Readonly<Record<string, string | number>>
}

/** Changes of shape on the way into a model and out of it, by tensor. */
export interface Reshapes {
  readonly inputs: ReadonlyMap<string, Reshape>
  readonly outputs: ReadonlyMap<string, Reshape>
}

export interface PythonCall {
  readonly format: 'pickle' | 'skops'
  /** Method that is called with the inputs, such as `predict_proba`. */
  readonly method: string
  /** Whether the method takes a table, with one column for each input, or one array. */
  readonly columns: boolean
  readonly sklearnVersion: string
}

/** A folder that may hold a model. */
export interface Candidate {
  readonly folder: string
  /** Names of the files and folders in it. */
  readonly names: readonly string[]
  /** Its slipway.yaml. */
  readonly document: ModelPackageDocument
}

/** A file format of models. */
export interface ModelFormat {
  readonly name: string
  /** Extensions of files in this format; empty where a model is always a folder. */
  readonly extensions: readonly string[]
  /** Whether a file is a model of this format by itself. */
  isFile(path: string): Promise<boolean>
  /** Whether a folder with these names is likely to hold a model of this format, for the search among folders. */
  holds(names: readonly string[], folder: string): boolean | Promise<boolean>
  /** Whether a package is in this format. The first format that returns true reads it. */
  recognises(candidate: Candidate): boolean | Promise<boolean>
  /** Path of the model file. @throws SLW_PACKAGE_INVALID, SLW_MODEL_UNSUPPORTED */
  locate(candidate: Candidate): Promise<string>
  /** Reads and checks a model; no code in it is run. @throws SLW_MODEL_INVALID, SLW_MODEL_UNSAFE, SLW_MODEL_UNSUPPORTED */
  read(path: string): Promise<ModelFile>
}
