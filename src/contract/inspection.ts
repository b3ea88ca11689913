import type { SignatureDocument } from './signature-document.ts'

/** One thing that was looked at when a version was registered. */
export interface ScanCheck {
  readonly check: 'content' | 'model' | 'run' | 'sandbox'
  readonly passed: boolean
  /** What was found. */
  readonly detail: string
}

/** What was found out about the files of a version. */
export interface Inspection {
  /** Whether a server would take it. */
  readonly servable: boolean
  /** Why not. */
  readonly reason?: string
  readonly signature?: SignatureDocument
  /** Rows that show what to send, and answers that must come. */
  readonly examples?: { readonly rows: readonly unknown[]; readonly golden: readonly unknown[] }
  readonly scan: readonly ScanCheck[]
}
