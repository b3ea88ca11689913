/**
 * The runtime API of AWS Lambda as its documents have it, and strictly: a call is given to one who asks for it, and answered once, by whom it
 * was given to. For one execution environment.
 */
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Answered {
  readonly kind: 'response' | 'error'
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
  readonly trailers: NodeJS.Dict<string>
}

export interface Emulator extends AsyncDisposable {
  /** Value of AWS_LAMBDA_RUNTIME_API. */
  readonly address: string
  /** Most calls that were given out at a time. */
  readonly most: number
  /** What went against the contract. */
  readonly faults: readonly string[]
  /** The error with which the function did not start. */
  readonly initError: Promise<Answered>
  invoke(event: unknown, more?: { readonly deadlineMs?: number; readonly trace?: string }): Promise<Answered>
  /** Ends the environment: whoever waits is told no more. */
  abort(): void
}

interface Call {
  readonly id: string
  readonly event: Buffer
  readonly deadlineMs: number
  readonly trace: string | undefined
  readonly answered: PromiseWithResolvers<Answered>
}

const PREFIX = '/2018-06-01/runtime'
const RESPONSE_BYTES_MAX = 6 * 1024 * 1024

export async function lambdaEmulator(): Promise<Emulator> {
  const waiting: Call[] = []
  const askers: ServerResponse[] = []
  const out = new Map<string, Call>()
  const faults: string[] = []
  const init = Promise.withResolvers<Answered>()
  let most = 0

  const give = (): void => {
    while (waiting.length > 0 && askers.length > 0) {
      const call = waiting.shift()!
      const asker = askers.shift()!
      out.set(call.id, call)
      most = Math.max(most, out.size)
      asker.writeHead(200, {
        'content-type': 'application/json',
        'lambda-runtime-aws-request-id': call.id,
        'lambda-runtime-deadline-ms': String(call.deadlineMs),
        'lambda-runtime-invoked-function-arn': 'arn:aws:lambda:eu-central-1:123456789012:function:churn',
        ...(call.trace !== undefined && { 'lambda-runtime-trace-id': call.trace }),
      })
      asker.end(call.event)
    }
  }
  const refuse = (response: ServerResponse, status: number, message: string): void => {
    faults.push(message)
    response
      .writeHead(status, { 'content-type': 'application/json' })
      .end(JSON.stringify({ errorMessage: message, errorType: 'InvalidRequest' }))
  }
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    void (async () => {
      const path = request.url ?? ''
      if (request.method === 'GET' && path === `${PREFIX}/invocation/next`) {
        askers.push(response)
        give()
        return
      }
      const chunks: Buffer[] = []
      for await (const chunk of request) chunks.push(chunk as Buffer)
      const answered = { headers: request.headers, body: Buffer.concat(chunks), trailers: request.trailers }
      if (request.method === 'POST' && path === `${PREFIX}/init/error`) {
        init.resolve({ ...answered, kind: 'error' })
        response.writeHead(202).end('{"status":"OK"}')
        return
      }
      const [, id = '', kind = ''] = new RegExp(`^${PREFIX}/invocation/([^/]+)/(response|error)$`).exec(path) ?? []
      const call = out.get(id)
      if (request.method !== 'POST' || kind === '') refuse(response, 404, `${request.method} ${path}: no such route`)
      else if (call === undefined) refuse(response, 400, `${path}: no call of that id is to be answered`)
      else if (
        kind === 'response' &&
        request.headers['lambda-runtime-function-response-mode'] === undefined &&
        answered.body.length > RESPONSE_BYTES_MAX
      )
        response.writeHead(413).end('{"errorType":"RequestEntityTooLarge"}')
      else {
        if (kind === 'error' && request.headers['lambda-runtime-function-error-type'] === undefined)
          faults.push(`${path}: an error without its type`)
        out.delete(id)
        response.writeHead(202, { 'content-type': 'application/json' }).end('{"status":"OK"}')
        call.answered.resolve({ ...answered, kind: kind as Answered['kind'] })
      }
    })()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    get most() {
      return most
    },
    faults,
    initError: init.promise,
    invoke(event, { deadlineMs = Date.now() + 60_000, trace } = {}) {
      const answered = Promise.withResolvers<Answered>()
      answered.promise.catch(() => {})
      waiting.push({
        id: randomUUID(),
        event: Buffer.from(typeof event === 'string' ? event : JSON.stringify(event)),
        deadlineMs,
        trace,
        answered,
      })
      give()
      return answered.promise
    },
    abort: () => server.closeAllConnections(),
    async [Symbol.asyncDispose]() {
      for (const call of [...waiting, ...out.values()]) call.answered.reject(new Error(`call ${call.id} was not answered`))
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
