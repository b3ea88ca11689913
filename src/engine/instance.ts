/** Engine runs models: one port, an instance, and its kinds - inline, in a thread, in a process, in a sandbox. */
import type { ErrorCode } from '../core/errors.ts'
import type { ExternalFile } from '../onnx/safety.ts'
import type { Tensor, TensorSpec } from '../tensor/tensor.ts'

/** Source that the runtime loads a model from: a file with the files that hold its weights, or bytes when the file had to be rewritten. */
export type ModelSource = ({ readonly path: string } | { readonly bytes: Uint8Array }) & { readonly external?: readonly ExternalFile[] }

/** Everything that an instance needs to load a model. Plain data, as it is sent to threads and processes. */
export interface InstanceSpec {
  /** `endpoint/variant#n`, for messages. */
  readonly name: string
  readonly source: ModelSource
  readonly inputs: readonly TensorSpec[]
  readonly outputs: readonly TensorSpec[]
  /** Intra-op threads. */
  readonly threads: number
  /** Bytes that the outputs of a run may have. Default: no limit. */
  readonly outputBytesMax?: number
  /** The call of a model that is a Python object; see engine/python. Undefined: an ONNX graph. */
  readonly python?: PythonObject
}

export interface PythonObject {
  readonly format: 'pickle' | 'skops'
  /** Name of the method that is called with the inputs. */
  readonly method: string
  /** Whether the method takes a table, with one column for each input, or one array. */
  readonly columns: boolean
  readonly sklearnVersion: string
}

export interface RunResult {
  /** The requested outputs, in the order asked for. */
  readonly outputs: readonly Tensor[]
  /** Time inside the runtime. */
  readonly computeUs: number
  /** Memory that the instance grew by, where the run was one of the largest and that was measured; others of the process count too. */
  readonly grownBytes?: number | undefined
}

/** One loaded copy of a model. The port between scheduling and running: it knows nothing of requests. One run at a time. */
export interface Instance {
  readonly kind: 'inline' | 'thread' | 'process'
  /**
   * Runs one batch. Takes ownership of the tensors: their memory may be transferred and must not be used afterwards.
   * @throws SLW_RUN_REJECTED, SLW_RUN_FAILED when the model refuses the inputs or fails: the instance stays usable
   * @throws SLW_RUN_TIMEOUT past the time limit; `busy` says whether the run still goes on
   * @throws SLW_INSTANCE_FAILED when the instance ended: see `ended`
   */
  run(inputs: readonly Tensor[], outputs: readonly string[]): Promise<RunResult>
  /**
   * As `run`, for a model that answers in several parts: `onPart` gets each part as it comes, and the result contains none of them.
   * Default: the model answers at once.
   */
  stream?(inputs: readonly Tensor[], outputs: readonly string[], onPart: (outputs: readonly Tensor[]) => void): Promise<RunResult>
  /** Takes a result that has already arrived, instead of waiting until the event loop has handled everything before it. */
  poll?(): void
  /** Called when loading and warming are over and requests will come: ends the low priority of a gentle load. */
  serve?(): void
  /** Whether a run is in progress, including one whose caller has already been given a time-out. */
  readonly busy: boolean
  /** Settles when a timed-out run has ended; at once when there is none. */
  idle(): Promise<void>
  /** Resolves once, with the reason, if the instance ends by itself. */
  readonly ended: Promise<InstanceEnd>
  /** Memory of the instance in bytes: of a process, as it is now; of a thread or inline, as measured at opening. */
  memoryBytes(): number | undefined
  /** Waits for the run in progress; a process that does not end in time is killed. Closing twice is fine. */
  close(): Promise<void>
}

export interface InstanceEnd {
  /** Whether the run in progress alone is to blame. Default: false. */
  readonly byRun?: boolean
  readonly reason: 'error' | 'heap exhausted' | 'killed' | 'exited' | 'memory limit' | 'hang'
  readonly message: string
  /** Signal that ended the process, if one did. */
  readonly signal?: NodeJS.Signals | undefined
}

/** Time limit for loading an instance. */
export const LOAD_TIMEOUT_MS = 300_000

/** An error as it is sent between threads and processes. */
export interface WireError {
  readonly code: ErrorCode
  readonly message: string
}
