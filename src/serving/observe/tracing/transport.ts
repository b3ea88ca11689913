/** What became of one export. */
export type Outcome =
  | { readonly kind: 'accepted'; readonly rejectedSpans: number; readonly reason: string }
  /** Worth another try, no earlier than `retryAfterMs` from now where the collector said so. */
  | { readonly kind: 'retry'; readonly reason: string; readonly retryAfterMs: number | undefined }
  | { readonly kind: 'refused'; readonly reason: string }

/** A way to a collector. */
export interface Transport {
  /**
   * Sends one ExportTraceServiceRequest.
   * @throws when there is no answer: no connection, a broken one, or the signal; all worth another try
   */
  send(request: Uint8Array, signal: AbortSignal): Promise<Outcome>
  /** Ends its connections. */
  close(): void
}

/** Of an answer: no collector has more to say. */
export const ANSWER_BYTES_MAX = 65_536
