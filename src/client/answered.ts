import { isOutage, SlipwayClientError } from './client-error.ts'
import { deadlineOf } from './options.ts'
import { persist } from './persist.ts'
import type { CallOptions } from './options.ts'
import type { Attempt, Done, Standing } from './persist.ts'

/** Takes the place of an answer that cannot be had: a value, or what makes one of the error and of what was asked. */
export type Fallback<Asked, Answer> = Answer | ((error: SlipwayClientError, asked: Asked) => Answer | Promise<Answer>)

export interface PredictOptions extends CallOptions {
  /** Whom the request is for: the same unit always meets the same variant. Default: nobody. */
  readonly unit?: string | undefined
  /** A tester's choice of a variant. Default: the server's. */
  readonly variant?: string | undefined
  /** From 1, the most urgent, to 9. Default: that of the server. */
  readonly priority?: number | undefined
  /** Id of the request in the log of the server, up to 128 printable characters. Default: one that is made up. */
  readonly requestId?: string | undefined
}

/** Where an answer comes from. */
export interface Provenance {
  /** Names the prediction in feedback; the rows of one request share one. Undefined where the server gives none. */
  readonly predictionId: string | undefined
  readonly requestId: string
  readonly model: string | undefined
  readonly version: string | undefined
  /** The variant that answered. */
  readonly variant: string | undefined
  /** The variant that was meant, where another one answered. */
  readonly assigned: string | undefined
  /** Undefined: the model has no cache. */
  readonly cache: 'hit' | 'miss' | 'shared' | undefined
  /** What guards have warned of. */
  readonly warnings: string | undefined
  /** Requests that were sent for it. */
  readonly attempts: number
  /** Whether a second request was answered while the first one was not. */
  readonly hedged: boolean
}

/** An answer of the service, or what takes its place: `fallback` says which, and then `reason` says why. */
export type Predicted<Answer> =
  | (Provenance & { readonly answer: Answer; readonly fallback: false; readonly reason: undefined })
  | (Provenance & { readonly answer: Answer; readonly fallback: true; readonly reason: SlipwayClientError })

export async function instead<Asked, Answer>(fallback: Fallback<Asked, Answer>, error: SlipwayClientError, asked: Asked): Promise<Answer> {
  return typeof fallback === 'function'
    ? await (fallback as (error: SlipwayClientError, asked: Asked) => Answer | Promise<Answer>)(error, asked)
    : fallback
}

/** An answer; what is missing is in the headers. */
export interface Read<T> {
  readonly answer: T
  readonly model?: string | undefined
  readonly version?: string | undefined
}

export interface Asking<T> {
  readonly options: PredictOptions
  readonly fallback: ((error: SlipwayClientError) => Promise<T>) | undefined
}

/** Sends one request with the headers of a call. */
export type Ask<T> = (
  headers: Readonly<Record<string, string>>,
  limit: Parameters<Attempt<T>>[0],
) => Promise<Read<T> & { readonly headers: Headers }>

/** Makes a call, and has the fallback answer where the service does not. @throws SlipwayClientError */
export async function answered<T>(
  ask: Ask<T>,
  { deadlineMs: byDefault, standing, rest }: { readonly deadlineMs: number; readonly standing: Standing; readonly rest: Asking<T> },
): Promise<Predicted<T>> {
  const { options, fallback } = rest
  // One id for all requests of a call: where no unit is named it decides the variant, which a repeat should meet again.
  const requestId = options.requestId ?? idOf()
  const headers = { ...headersOf(options), 'x-request-id': requestId }
  const deadlineMs = deadlineOf({ deadlineMs: byDefault }, options.deadlineMs)
  try {
    const done = await persist((limit) => ask(headers, limit), standing, { deadlineMs, signal: options.signal })
    const { answer, headers: given, model, version } = done.value
    const from = provenance(given, requestId, done)
    return { ...from, model: model ?? from.model, version: version ?? from.version, answer, fallback: false, reason: undefined }
  } catch (error) {
    if (fallback === undefined || !(error instanceof SlipwayClientError) || !isOutage(error)) throw error
    const { attempts } = error
    const nothing = provenance(new Headers(), requestId, { attempts, hedged: false })
    return { ...nothing, answer: await fallback(error), fallback: true, reason: error }
  }
}

function headersOf({ unit, variant, priority, headers }: PredictOptions): Record<string, string> {
  return {
    ...headers,
    ...(unit !== undefined && { 'slipway-unit': unit }),
    ...(variant !== undefined && { 'slipway-variant': variant }),
    ...(priority !== undefined && { 'slipway-priority': String(priority) }),
  }
}

function provenance(headers: Headers, requestId: string, { attempts, hedged }: Omit<Done<unknown>, 'value'>): Provenance {
  const header = (name: string): string | undefined => headers.get(name) ?? undefined
  return {
    predictionId: header('slipway-prediction-id'),
    requestId: header('x-request-id') ?? requestId,
    model: header('slipway-model'),
    version: header('slipway-version'),
    variant: header('slipway-variant'),
    assigned: header('slipway-assigned'),
    cache: header('slipway-cache') as Provenance['cache'],
    warnings: header('slipway-warnings'),
    attempts,
    hedged,
  }
}

/** A random id of 128 bits. Pages that did not come over TLS have no `crypto.randomUUID`. */
function idOf(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('')
}
