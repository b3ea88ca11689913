/** A server that does what a script says, request by request, on a real socket: the other side of clients/behaviour.json. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** What one request meets. Default: 200 with a prediction. */
export interface Step {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: unknown
  /** Instead of `body`, as it is. */
  readonly text?: string
  readonly delayMs?: number
  /**
   * `reset`: the connection breaks before the answer, `cut`: in the middle of it; `hang`: nothing comes, `trickle`: the answer comes
   * without end.
   */
  readonly do?: 'reset' | 'cut' | 'hang' | 'trickle'
}

export interface Seen {
  readonly requestId: string
  readonly timeoutMs: number
  readonly authorization: string | undefined
  /** The client went away before it was answered. */
  givenUp: boolean
}

export interface ScriptedServer extends AsyncDisposable {
  readonly url: string
  /** Begins anew. */
  script(steps: readonly Step[]): void
  readonly seen: readonly Seen[]
}

/** `POST /script` and `GET /seen` are for runners in other processes. */
export async function scriptedServer(): Promise<ScriptedServer> {
  let steps: readonly Step[] = []
  let seen: Seen[] = []
  const begin = (script: readonly Step[]): void => {
    steps = script
    seen = []
  }
  const server = createServer((request, response) => {
    void bodyOf(request).then((body) => {
      if (request.url === '/script') {
        begin(JSON.parse(body) as Step[])
        response.end('{}')
      } else if (request.url === '/seen') response.end(JSON.stringify(seen))
      else answer(request, response)
    })
  })
  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    const { headers } = request
    const one: Seen = {
      requestId: String(headers['x-request-id']),
      timeoutMs: Number(headers['slipway-timeout-ms']),
      authorization: headers.authorization,
      givenUp: false,
    }
    const step = steps[seen.length] ?? {}
    seen.push(one)
    response.once('close', () => (one.givenUp = !response.writableFinished && step.do !== 'reset' && step.do !== 'cut'))
    setTimeout(() => perform(step, response), step.delayMs ?? 0)
  }
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    script: begin,
    get seen() {
      return seen
    },
    [Symbol.asyncDispose]: () => closed(server),
  }
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let body = ''
  for await (const chunk of request) body += String(chunk)
  return body
}

function perform(step: Step, response: ServerResponse): void {
  const text = step.text ?? JSON.stringify(step.body ?? { prediction: 'stays' })
  switch (step.do) {
    case 'reset':
      response.socket?.resetAndDestroy()
      return
    case 'hang':
      return
    case 'cut':
      response.writeHead(200, { 'content-length': text.length })
      response.write(text.slice(0, 5), () => response.socket?.destroy())
      return
    case 'trickle': {
      response.writeHead(200)
      const timer = setInterval(() => response.write(' '), 20)
      response.once('close', () => clearInterval(timer))
      return
    }
    case undefined:
      response.writeHead(step.status ?? 200, { 'content-type': 'application/json', ...step.headers }).end(text)
  }
}

async function closed(server: Server): Promise<void> {
  server.close()
  server.closeAllConnections()
  await once(server, 'close')
}
