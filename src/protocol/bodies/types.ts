import type { Signature } from '../../signature/signature.ts'
import type { RequestLimits } from '../limits.ts'
import type { BatchForm } from './instances.ts'

/** All that a reader needs. */
export interface Reading {
  readonly body: Buffer
  /** The header that says how the body is to be read. */
  readonly header: string | undefined
  readonly signature: Signature
  readonly limits: RequestLimits
  /** What a body of rows or columns may have: for `batch`. */
  readonly form?: BatchForm
}

/** What a writer makes. */
export interface Written {
  readonly body: string | Buffer
  /** Length of the JSON part, where raw tensors follow it. */
  readonly headerLength: number | undefined
}
