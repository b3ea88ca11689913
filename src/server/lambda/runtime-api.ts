/** The runtime API of AWS Lambda (developer guide, "Using the Lambda runtime API", version 2018-06-01), as a program in a function uses it. */
import { Agent, request } from 'node:http'
import { messageOf, SlipwayError } from '../../core/errors.ts'
import type { ClientRequest, IncomingHttpHeaders, IncomingMessage } from 'node:http'

const VERSION = '/2018-06-01/runtime'
/** Largest event: a buffered one has 6 MB, and what is around it. */
const EVENT_BYTES_MAX = 32 * 1024 * 1024

/** One call of the function. */
export interface Invocation {
  readonly id: string
  readonly event: Buffer
  /** Milliseconds since 1970 at which Lambda gives the call up; undefined where it does not say. */
  readonly deadlineMs: number | undefined
  /** The trace of X-Ray, as its header has it. */
  readonly trace: string | undefined
}

/** An error as Lambda shows it to the caller of a function. */
export interface FunctionError {
  readonly errorType: string
  readonly errorMessage: string
}

export interface RuntimeApi extends Disposable {
  /**
   * Waits for the next call, as long as it takes: the process may be frozen meanwhile.
   * `signal` ends the waiting; a call of which a part has come is read to its end, as nobody else will be given it.
   * @throws SLW_UNREACHABLE, also when `signal` comes
   */
  next(signal: AbortSignal): Promise<Invocation>
  /** Answers a call. @throws SLW_OUTPUT_TOO_LARGE where Lambda does not take so much; SLW_UNREACHABLE */
  respond(id: string, type: string, body: string | Buffer): Promise<void>
  /** Begins an answer that comes in parts. */
  stream(id: string, type: string): ResponseStream
  fail(id: string, error: FunctionError): Promise<void>
  /** Says that the function cannot start. */
  failStart(error: FunctionError): Promise<void>
}

export interface ResponseStream {
  /** Resolves when more may be written. */
  write(part: string | Buffer): Promise<void>
  end(): Promise<void>
  /** Ends the answer half-way, with an error. */
  fail(error: FunctionError): Promise<void>
}

/** @param address as AWS_LAMBDA_RUNTIME_API has it: host and port */
export function openRuntimeApi(address: string): RuntimeApi {
  const agent = new Agent({ keepAlive: true })
  const { hostname, port } = new URL(`http://${address}`)
  const send = (method: string, path: string, headers: Record<string, string | number> = {}): ClientRequest =>
    request({ agent, hostname, port, method, path: VERSION + path, headers })
  const post = async (path: string, body: string | Buffer, headers: Record<string, string>): Promise<void> => {
    const asked = send('POST', path, { ...headers, 'content-length': Buffer.byteLength(body) })
    asked.end(body)
    await requireAccepted(path, answerTo(asked, path))
  }
  return {
    async next(signal) {
      const path = '/invocation/next'
      const asked = send('GET', path)
      asked.end()
      const { status, headers, body } = await whileWaiting(asked, signal, answerTo(asked, path))
      const id = headerOf(headers, 'lambda-runtime-aws-request-id')
      if (status !== 200 || id === undefined)
        throw new SlipwayError('SLW_UNREACHABLE', `${address}${path} answers ${status}: ${body.toString().slice(0, 500)}`)
      const deadline = Number(headerOf(headers, 'lambda-runtime-deadline-ms'))
      return {
        id,
        event: body,
        deadlineMs: Number.isFinite(deadline) ? deadline : undefined,
        trace: headerOf(headers, 'lambda-runtime-trace-id'),
      }
    },
    respond: (id, type, body) => post(`/invocation/${id}/response`, body, { 'content-type': type }),
    stream: (id, type) => openStream(send, `/invocation/${id}/response`, type),
    fail: (id, error) => post(`/invocation/${id}/error`, errorBody(error), errorHeaders(error)),
    failStart: (error) => post('/init/error', errorBody(error), errorHeaders(error)),
    [Symbol.dispose]: () => agent.destroy(),
  }
}

const ERROR_TYPE = 'Lambda-Runtime-Function-Error-Type'
const ERROR_BODY = 'Lambda-Runtime-Function-Error-Body'

/** Answers in parts: chunks, and an error that comes half-way as trailers. */
function openStream(
  send: (method: string, path: string, headers: Record<string, string>) => ClientRequest,
  path: string,
  type: string,
): ResponseStream {
  const asked = send('POST', path, {
    'content-type': type,
    'Lambda-Runtime-Function-Response-Mode': 'streaming',
    'transfer-encoding': 'chunked',
    trailer: `${ERROR_TYPE}, ${ERROR_BODY}`,
  })
  const answered = answerTo(asked, path)
  // The answer may fail long before anybody waits for it.
  answered.catch(() => {})
  asked.flushHeaders()
  const end = async (): Promise<void> => {
    asked.end()
    await requireAccepted(path, answered)
  }
  return {
    async write(part) {
      if (asked.write(part)) return
      await Promise.race([new Promise((resolve) => asked.once('drain', resolve)), answered])
    },
    end,
    async fail(error) {
      asked.addTrailers({ [ERROR_TYPE]: error.errorType, [ERROR_BODY]: Buffer.from(errorBody(error)).toString('base64') })
      await end()
    },
  }
}

function errorBody({ errorType, errorMessage }: FunctionError): string {
  return JSON.stringify({ errorType, errorMessage, stackTrace: [] })
}

function errorHeaders({ errorType }: FunctionError): Record<string, string> {
  return { 'content-type': 'application/vnd.aws.lambda.error+json', [ERROR_TYPE]: errorType }
}

/** Gives a request up when the signal comes, unless its answer has begun. */
async function whileWaiting<T>(asked: ClientRequest, signal: AbortSignal, answer: Promise<T>): Promise<T> {
  let begun = false
  asked.once('response', () => (begun = true))
  // What has arrived is read first: an answer may lie in the socket when the signal comes.
  const giveUp = (): void => void setImmediate(() => setImmediate(() => begun || asked.destroy()))
  if (signal.aborted) giveUp()
  signal.addEventListener('abort', giveUp, { once: true })
  try {
    return await answer
  } finally {
    signal.removeEventListener('abort', giveUp)
  }
}

interface ApiAnswer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

async function requireAccepted(path: string, answering: Promise<ApiAnswer>): Promise<void> {
  const { status, body } = await answering
  if (status >= 200 && status < 300) return
  const said = body.toString().slice(0, 500)
  if (status === 413) throw new SlipwayError('SLW_OUTPUT_TOO_LARGE', `Lambda does not take the answer: ${said}`)
  throw new SlipwayError('SLW_UNREACHABLE', `the runtime API answers ${status} to ${path}: ${said}`)
}

function answerTo(asked: ClientRequest, path: string): Promise<ApiAnswer> {
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void =>
      reject(new SlipwayError('SLW_UNREACHABLE', `the runtime API does not answer ${path}: ${messageOf(error)}`, { cause: error }))
    asked.once('error', fail)
    asked.once('response', (response: IncomingMessage) => {
      const chunks: Buffer[] = []
      let size = 0
      response.on('data', (chunk: Buffer) => {
        size += chunk.length
        if (size > EVENT_BYTES_MAX) response.destroy(new Error(`more than ${EVENT_BYTES_MAX} bytes`))
        else chunks.push(chunk)
      })
      response.once('error', fail)
      response.once('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }))
    })
  })
}

function headerOf(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name]
  return Array.isArray(value) ? value[0] : value
}
