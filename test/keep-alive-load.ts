import { Agent, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { readFileSync } from 'node:fs'
import type { OutgoingHttpHeaders } from 'node:http'

/** What became of one question to an adding model (test/adding-models). */
export interface Answered {
  readonly model: string
  /** 0: there was no answer. */
  readonly status: number
  /** Of the error table; the code of the socket where there was no answer. */
  readonly code: string | undefined
  /** What the version that answered adds. */
  readonly added: number | undefined
  readonly version: string | undefined
  /** What the answer said of the connection. */
  readonly connection: string | undefined
  readonly text: string
}

export interface Asking {
  readonly headers?: OutgoingHttpHeaders
  /** First number of the question; the others count up from it. Default: 1. */
  readonly first?: number
}

/** Asks one question over the agent's connection; never throws. */
export function askAdding(agent: Agent, url: string, model: string, { headers = {}, first = 1 }: Asking = {}): Promise<Answered> {
  const body = JSON.stringify([first, first + 1, first + 2, first + 3])
  return new Promise((resolve) => {
    const failed = (error: NodeJS.ErrnoException): void =>
      resolve({
        model,
        status: 0,
        code: error.code,
        added: undefined,
        version: undefined,
        connection: undefined,
        text: `${error.message} ${String(question.reusedSocket)}`,
      })
    const question = request(
      `${url}/models/${model}/predict`,
      { method: 'POST', agent, headers: { 'content-type': 'application/json', 'content-length': body.length, ...headers } },
      (response) => {
        let text = ''
        response.setEncoding('utf8')
        response.on('data', (chunk: string) => (text += chunk))
        response.once('error', failed)
        response.once('end', () => {
          const said = parse(text)
          const right = said.prediction?.length === 4 && said.prediction.every((value, index) => value - index === said.prediction?.[0])
          resolve({
            model,
            status: response.statusCode ?? 0,
            code: said.code,
            added: right ? said.prediction![0]! - first : undefined,
            version: response.headers['slipway-version'] as string | undefined,
            connection: response.headers.connection,
            text: text.slice(0, 300),
          })
        })
      },
    )
    question.once('error', failed)
    question.end(body)
  })
}

function parse(text: string): { prediction?: number[]; code?: string } {
  try {
    return JSON.parse(text) as { prediction?: number[]; code?: string }
  } catch {
    return {}
  }
}

export interface Load extends AsyncDisposable {
  readonly answers: readonly Answered[]
  /** Ends when every client has its last answer. */
  stop(): Promise<readonly Answered[]>
}

/** So many keep-alive clients ask the models in turn, one question at a time each, until stopped. */
export function keepAliveLoad(url: string, models: readonly string[], { clients = 6, pauseMs = 2 } = {}): Load {
  const answers: Answered[] = []
  const stopped = new AbortController()
  const loops = Array.from({ length: clients }, async (_, client) => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    for (let turn = client; !stopped.signal.aborted; turn++) {
      answers.push(await askAdding(agent, url, models[turn % models.length]!))
      if (pauseMs > 0) await sleep(pauseMs)
    }
    agent.destroy()
  })
  const stop = async (): Promise<readonly Answered[]> => {
    stopped.abort()
    await Promise.all(loops)
    return answers
  }
  return {
    answers,
    stop,
    [Symbol.asyncDispose]: async () => void (await stop()),
  }
}

/** Resident memory of a process, megabytes. */
export function residentMb(pid: number): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024
}
