import { request } from 'node:http'
import { ERRORS, isSlipwayError, messageOf, SlipwayError, toSlipwayError } from '../../core/errors.ts'
import { answerToEvent, preludeOf, requestOfEvent } from './events.ts'
import type { IncomingMessage } from 'node:http'
import type { ErrorCode } from '../../core/errors.ts'
import type { Logger } from '../../core/log.ts'
import type { EventRequest } from './events.ts'
import type { FunctionError, Invocation, RuntimeApi } from './runtime-api.ts'

export interface InvocationOptions {
  readonly api: RuntimeApi
  /** Of the server in this process, through whose routes every call goes. */
  readonly url: string
  /** Calls at a time: 1 but where Lambda lets an environment have several. */
  readonly concurrency: number
  /** Whether answers to HTTP and to direct calls are streamed: the function is then invoked in that mode. */
  readonly stream: boolean
  readonly log: Logger
  /** Ends the waiting for calls; one that has come is answered. */
  readonly signal: AbortSignal
}

/** Time before Lambda's deadline at which a call is given up, so that its caller learns why. */
const MARGIN_MS = 100
/** The type of an answer whose status and headers come before its body. */
const INTEGRATION_TYPE = 'application/vnd.awslambda.http-integration-response'
const PRELUDE_END = Buffer.alloc(8)

/**
 * Answers the calls of a function, until the signal comes or the runtime API is no more.
 * @throws SLW_UNREACHABLE when the next call cannot be asked for
 */
export async function serveInvocations(options: InvocationOptions): Promise<void> {
  await Promise.all(Array.from({ length: options.concurrency }, () => serveOneByOne(options)))
}

async function serveOneByOne(options: InvocationOptions): Promise<void> {
  const { api, log, concurrency, signal } = options
  while (!signal.aborted) {
    const invocation = await nextOf(api, signal)
    if (invocation === undefined) return
    // Where calls overlap, a variable of the process cannot say whose trace it is.
    if (concurrency === 1 && invocation.trace !== undefined) process.env['_X_AMZN_TRACE_ID'] = invocation.trace
    try {
      await answerInvocation(invocation, options)
    } catch (error) {
      log.error({ requestId: invocation.id, code: toSlipwayError(error).code }, `call not answered: ${messageOf(error)}`)
      await api.fail(invocation.id, functionErrorOf(error)).catch((second: unknown) => log.error({}, messageOf(second)))
    }
  }
}

/** Undefined once nobody waits any more. */
async function nextOf(api: RuntimeApi, signal: AbortSignal): Promise<Invocation | undefined> {
  try {
    return await api.next(signal)
  } catch (error) {
    if (signal.aborted) return undefined
    throw error
  }
}

/** An error in Lambda's words. */
export function functionErrorOf(thrown: unknown): FunctionError {
  const error = toSlipwayError(thrown)
  return { errorType: `Slipway.${error.code}`, errorMessage: error.message }
}

async function answerInvocation(invocation: Invocation, { api, url, stream }: InvocationOptions): Promise<void> {
  const asked = requestOfEvent(invocation.event)
  const response = await ask(url, asked, invocation)
  if (stream && !asked.form.startsWith('balancer')) return await streamAnswer(api, invocation, asked, response)
  const body = await bodyOf(response)
  const status = response.statusCode ?? 500
  if (asked.form === 'direct' && status >= 400) throw errorIn(status, body)
  await api.respond(invocation.id, 'application/json', answerOf(asked, { status, headers: response.headers, body }))
}

/** An answer that is too large is an error of HTTP to those who asked by HTTP. */
function answerOf(asked: EventRequest, answer: Parameters<typeof answerToEvent>[1]): string | Buffer {
  try {
    return answerToEvent(asked.form, answer)
  } catch (error) {
    if (asked.form === 'direct' || !isSlipwayError(error)) throw error
    const body = Buffer.from(JSON.stringify({ error: error.message, code: error.code, retryable: false }))
    return answerToEvent(asked.form, { status: error.kind.http, headers: { 'content-type': 'application/json' }, body })
  }
}

async function streamAnswer(api: RuntimeApi, { id }: Invocation, { form }: EventRequest, response: IncomingMessage): Promise<void> {
  const { statusCode: status = 500, headers } = response
  if (form === 'direct' && status >= 400) throw errorIn(status, await bodyOf(response))
  const answer = api.stream(id, form === 'direct' ? (headers['content-type'] ?? 'application/octet-stream') : INTEGRATION_TYPE)
  try {
    if (form !== 'direct') await answer.write(Buffer.concat([Buffer.from(JSON.stringify(preludeOf({ status, headers }))), PRELUDE_END]))
    for await (const chunk of response) await answer.write(chunk as Buffer)
  } catch (error) {
    await answer.fail(functionErrorOf(error))
    return
  }
  await answer.end()
}

/** The error of a direct call, as the server said it. */
function errorIn(status: number, body: Buffer): SlipwayError {
  let said: { error?: unknown; code?: unknown } = {}
  try {
    said = JSON.parse(body.toString()) as typeof said
  } catch {
    // The text is told as it is.
  }
  const message = typeof said.error === 'string' ? said.error : `${status}: ${body.toString().slice(0, 500)}`
  return new SlipwayError(typeof said.code === 'string' && said.code in ERRORS ? (said.code as ErrorCode) : 'SLW_INTERNAL', message)
}

/** Asks the server of this process. A connection for each call: one that was kept may have ended while the process was frozen. */
function ask(
  url: string,
  { method, target, headers, body }: EventRequest,
  { id, deadlineMs, trace }: Invocation,
): Promise<IncomingMessage> {
  const { hostname, port } = new URL(url)
  const sent: Record<string, string | string[] | number> = { 'x-request-id': id, ...headers, 'content-length': body.length }
  if (trace !== undefined) {
    sent['x-amzn-trace-id'] = trace
    const parent = traceparentOf(trace)
    if (parent !== undefined) sent['traceparent'] ??= parent
  }
  if (deadlineMs !== undefined) sent['slipway-timeout-ms'] = String(timeLeft(deadlineMs, headers['slipway-timeout-ms']))
  return new Promise((resolve, reject) => {
    const asked = request({ agent: false, hostname, port, method, path: target, headers: sent }, resolve)
    asked.once('error', reject)
    asked.end(body)
  })
}

function timeLeft(deadlineMs: number, wanted: string | string[] | undefined): number {
  const left = Math.max(1, Math.floor(deadlineMs - Date.now() - MARGIN_MS))
  const own = Number(wanted)
  return own > 0 ? Math.min(own, left) : left
}

/** The trace of X-Ray (`Root=1-TIME-ID;Parent=ID;Sampled=1`) in the form of W3C Trace Context. */
export function traceparentOf(trace: string): string | undefined {
  const root = /\bRoot=1-([0-9a-f]{8})-([0-9a-f]{24})\b/i.exec(trace)
  const parent = /\bParent=([0-9a-f]{16})\b/i.exec(trace)
  if (root === null || parent === null) return undefined
  return `00-${root[1]}${root[2]}-${parent[1]}-${/\bSampled=1\b/i.test(trace) ? '01' : '00'}`.toLowerCase()
}

async function bodyOf(response: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}
