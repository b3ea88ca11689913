import { SlipwayError } from '../../core/errors.ts'
import { requireModel } from './access.ts'
import type { DataPlane } from '../../serving/data-plane.ts'
import type { RequestContext } from '../../serving/context.ts'
import type { Subject } from '../../serving/observe/events.ts'
import type { Loaded, Variant } from '../../serving/variant.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import type { Exchange } from './exchange.ts'

/** What a dialect makes of a body. */
export interface Prepared {
  readonly inputs: readonly Tensor[]
  readonly rows: number
  readonly outputs: readonly string[]
  readonly warnings: readonly string[]
  readonly timeoutMs?: number | undefined
  /** Of request parameters that change a run. */
  readonly parametersKey?: string | undefined
}

export interface Done {
  readonly outputs: readonly Tensor[]
  readonly subject: Subject
  /** Of the answer. */
  readonly headers: Record<string, string> | undefined
}

/** The context of a request, from its headers and the variant it goes to. */
function contextOf(exchange: Exchange, variant: Variant, timeoutMs: number, unitKey: string | undefined): RequestContext {
  const { startedMs } = exchange
  return {
    protocol: exchange.protocol,
    requestId: exchange.requestId,
    predictionId: exchange.predictionId,
    endpoint: variant.subject.endpoint,
    variant: variant.subject.variant,
    unitKey,
    deadlineMs: startedMs + timeoutMs,
    priority: 0,
    traceparent: exchange.header('traceparent'),
    startedMs,
  }
}

/** What is special to a dialect on the way of a request. */
export interface Dialect {
  /** Makes tensors of the body. @throws what the client is told */
  prepare(body: Buffer, variant: Variant, loaded: Loaded): Prepared | Promise<Prepared>
  /** Answers. */
  respond(done: Done, loaded: Loaded): void
}

/**
 * The way of every inference over HTTP, whatever the dialect: find the variant, hold a place in its queue, take the body
 * in, let the dialect make tensors of it, run, let the dialect answer. In callbacks: five promises per request were a
 * tenth of the time of a small one.
 * @throws what goes wrong before the body is read; everything later is answered here
 */
export function runRequest(
  exchange: Exchange,
  dataPlane: DataPlane,
  target: { name: string; version: string | undefined },
  dialect: Dialect,
): void {
  exchange.observed = true
  if (exchange.caller !== undefined) requireModel(exchange.caller, target.name)
  const unitKey = exchange.header('slipway-unit')
  const variant = dataPlane.endpoint(target.name).route(target.version, unitKey)
  exchange.subject = variant.subject
  const loaded = variant.requireReady()
  const context = contextOf(exchange, variant, loaded.serving.requestTimeoutMs, unitKey)
  exchange.context = context
  // Decided before the body is taken in: a full queue costs the client one round trip and us nothing.
  const release = loaded.scheduler.reserve()
  const { clock } = dataPlane
  const submit = (prepared: Prepared): void => {
    release()
    exchange.preparedMs = clock.monotonicMs()
    const deadlineMs = Math.min(context.deadlineMs, context.startedMs + (prepared.timeoutMs ?? Number.POSITIVE_INFINITY))
    const { inputs, rows, outputs } = prepared
    const cancel = variant.submit(
      { inputs, rows, outputs, priority: context.priority, deadlineMs, parametersKey: prepared.parametersKey },
      (error, result) => {
        if (result === undefined) {
          exchange.fail(error)
          return
        }
        exchange.work = result
        exchange.rows = rows
        guarded(exchange, () =>
          dialect.respond({ outputs: result.outputs, subject: variant.subject, headers: warningHeader(prepared.warnings) }, loaded),
        )
      },
    )
    exchange.onDisconnect(cancel)
  }
  const fail = (error: unknown): void => {
    release()
    exchange.fail(error)
  }
  try {
    exchange.collectBody((error, body) => {
      if (error !== undefined) {
        fail(error)
        return
      }
      exchange.receivedMs = clock.monotonicMs()
      try {
        const prepared = dialect.prepare(body, variant, loaded)
        if (prepared instanceof Promise) prepared.then(submit).catch(fail)
        else submit(prepared)
      } catch (thrown) {
        fail(thrown)
      }
    })
  } catch (error) {
    release()
    throw error
  }
}

function guarded(exchange: Exchange, act: () => void): void {
  try {
    act()
  } catch (error) {
    exchange.fail(error)
  }
}

function warningHeader(warnings: readonly string[]): Record<string, string> | undefined {
  return warnings.length === 0
    ? undefined
    : {
        'slipway-warnings': warnings
          .slice(0, 3)
          .join('; ')
          .replaceAll(/[^\x20-\x7e]/g, '?'),
      }
}

/** @throws SLW_BAD_REQUEST naming the models, when there are several and none is the default */
export function soleEndpoint(dataPlane: DataPlane, defaultModel: string | undefined): string {
  if (defaultModel !== undefined) return defaultModel
  const names = [...dataPlane.endpoints.keys()]
  const [only] = names
  if (names.length === 1 && only !== undefined) return only
  throw new SlipwayError(
    'SLW_BAD_REQUEST',
    `${names.length} models are served (${names.slice(0, 10).join(', ')}): POST /models/NAME/predict, or set defaultModel`,
  )
}
