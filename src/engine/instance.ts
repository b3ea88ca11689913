/** Engine runs models: one port, an instance, and its kinds - inline, in a thread, in a process, in a sandbox. */
import type { ErrorCode } from '../core/errors.ts'
import type { Tensor, TensorSpec } from '../tensor/tensor.ts'

/** Where the runtime gets a model from: a file, or bytes when the file had to be rewritten. */
export type ModelSource = { readonly path: string } | { readonly bytes: Uint8Array }

/** All an instance needs to load a model. Plain data: it crosses threads and processes. */
export interface InstanceSpec {
  /** `endpoint/variant#n`, for messages. */
  readonly name: string
  readonly source: ModelSource
  readonly inputs: readonly TensorSpec[]
  readonly outputs: readonly TensorSpec[]
  /** Intra-op threads. */
  readonly threads: number
  /** A model that is a Python object, and how it is asked; see engine/python. Undefined: a graph of ONNX. */
  readonly python?: PythonObject
}

export interface PythonObject {
  readonly format: 'pickle' | 'skops'
  /** What is called with the inputs. */
  readonly method: string
  /** Whether it takes a table, of one column for each input, or one array. */
  readonly columns: boolean
  readonly sklearnVersion: string
}

export interface RunResult {
  /** The requested outputs, in the order asked for. */
  readonly outputs: readonly Tensor[]
  /** Time inside the runtime. */
  readonly computeUs: number
}

/**
 * One loaded copy of a model. The port between scheduling and running: it knows nothing of requests. One run at a time.
 */
export interface Instance {
  readonly kind: 'inline' | 'thread' | 'process'
  /**
   * Runs one batch. Takes ownership of the tensors: their memory may be transferred and must not be used afterwards.
   * @throws SLW_RUN_REJECTED, SLW_RUN_FAILED when the model says no: the instance goes on
   * @throws SLW_RUN_TIMEOUT past the time limit; `busy` tells whether the run still goes on
   * @throws SLW_INSTANCE_FAILED when the instance ended: see `ended`
   */
  run(inputs: readonly Tensor[], outputs: readonly string[]): Promise<RunResult>
  /**
   * The same for a model that answers in several parts: each is told as it comes, and the result has none of them.
   * Default: the model answers at once.
   */
  stream?(inputs: readonly Tensor[], outputs: readonly string[], onPart: (outputs: readonly Tensor[]) => void): Promise<RunResult>
  /** Looks for a result that has come, instead of waiting until the event loop has been through everything before it. */
  poll?(): void
  /** Loading and warming are over, requests will come: whatever was held back for the sake of others no longer is. */
  serve?(): void
  /** Whether a run is in progress, including one whose caller has already been given a time-out. */
  readonly busy: boolean
  /** Settles when a run that had timed out has come to its end; at once when none has. */
  idle(): Promise<void>
  /** Resolves once, with the reason, if the instance ends by itself. */
  readonly ended: Promise<InstanceEnd>
  /** Bytes the instance holds: of a process now, of a thread or inline as measured when it was opened. */
  memoryBytes(): number | undefined
  /** Waits for the run in progress; a process that does not end in time is killed. Closing twice is fine. */
  close(): Promise<void>
}

export interface InstanceEnd {
  readonly reason: 'error' | 'heap exhausted' | 'killed' | 'exited' | 'memory limit' | 'hang'
  readonly message: string
}

/** How long a start may take. */
export const LOAD_TIMEOUT_MS = 300_000

/** An error as it crosses a thread or process. */
export interface WireError {
  readonly code: ErrorCode
  readonly message: string
}
