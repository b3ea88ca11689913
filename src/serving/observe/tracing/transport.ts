/** Result of one export. */
export type Outcome =
  | { readonly kind: 'accepted'; readonly rejectedSpans: number; readonly reason: string }
  /** Worth another try, no earlier than `retryAfterMs` from now where the collector said so. */
  | { readonly kind: 'retry'; readonly reason: string; readonly retryAfterMs: number | undefined }
  | { readonly kind: 'refused'; readonly reason: string }

/** Client of a collector. */
export interface Transport {
  /**
   * Sends one ExportTraceServiceRequest.
   * @throws when there is no answer: no connection, a broken one, or the signal; all worth another try
   */
  send(request: Uint8Array, signal: AbortSignal): Promise<Outcome>
  /** Closes its connections. */
  close(): void
}

/** Limit of an answer: longer ones are discarded. */
export const ANSWER_BYTES_MAX = 65_536
