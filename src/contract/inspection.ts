import type { SignatureDocument } from './signature-document.ts'

/** One check made when a version was registered. */
export interface ScanCheck {
  readonly check: 'content' | 'model' | 'run' | 'sandbox'
  readonly passed: boolean
  /** Finding of the check. */
  readonly detail: string
}

/** Result of inspecting the files of a version. */
export interface Inspection {
  /** Whether a server would serve the version. */
  readonly servable: boolean
  /** Reason why it would not. */
  readonly reason?: string
  readonly signature?: SignatureDocument
  /** Rows that show what to send, and golden examples with their expected answers. */
  readonly examples?: { readonly rows: readonly unknown[]; readonly golden: readonly unknown[] }
  readonly scan: readonly ScanCheck[]
}
