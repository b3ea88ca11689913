import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { Agent, request } from 'node:https'
import { join } from 'node:path'
import { ROOT, until } from '../fixtures.ts'

/** `slipway metrics-adapter` as a process of its own; `await using` ends it. */
export interface ChildAdapter extends AsyncDisposable {
  readonly url: string
  readonly port: number
  said(): string
  /** Ends it as a machine that fails does. */
  kill(): Promise<void>
}

/** @param port of an adapter that was there before, say. Default: a free one */
export async function adapterInChild(args: readonly string[], port = 0): Promise<ChildAdapter> {
  const words = [join(ROOT, 'bin/slipway'), 'metrics-adapter', ...args, '--host', '127.0.0.1', '--port', String(port)]
  const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (said += chunk.toString()))
  const exit = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  await until(() => said.includes('the metrics API is at') || child.exitCode !== null, 'the metrics adapter starts', 60_000).catch(
    (error: unknown) => {
      child.kill('SIGKILL')
      throw error
    },
  )
  const url = /the metrics API is at (https:\/\/[\w.]+:(\d+)):/.exec(said)
  if (url === null) throw new Error(`the metrics adapter did not start: ${said}`)
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    child.kill(signal)
    await exit
  }
  return {
    url: url[1]!,
    port: Number(url[2]),
    said: () => said,
    kill: () => end('SIGKILL'),
    [Symbol.asyncDispose]: () => end('SIGKILL'),
  }
}

/** Files of a client, and the authority by which it knows the server; without one it believes any. */
export interface Client {
  readonly cert?: string
  readonly key?: string
  readonly ca?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly method?: string
  /** Name by which the server is asked. */
  readonly serverName?: string
}

export interface Told {
  readonly status: number
  readonly type: string | undefined
  readonly body: any
}

/** Asks over TLS, as kube-apiserver does. */
export function askOver(url: string, { cert, key, ca, headers = {}, method = 'GET', serverName }: Client = {}): Promise<Told> {
  const pem = (file: string | undefined) => (file === undefined ? undefined : readFileSync(file))
  const agent = new Agent({
    keepAlive: false,
    rejectUnauthorized: ca !== undefined,
    cert: pem(cert),
    key: pem(key),
    ca: pem(ca),
    ...(serverName !== undefined && { servername: serverName }),
  })
  return new Promise((resolve, reject) => {
    const asked = request(url, { agent, headers, method, timeout: 20_000 }, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (part: string) => (text += part))
      response.once('error', reject)
      response.once('end', () => {
        const { statusCode: status = 0, headers: told } = response
        resolve({ status, type: told['content-type'], body: text === '' ? undefined : JSON.parse(text) })
      })
    })
    asked.once('error', reject)
    asked.once('timeout', () => asked.destroy(new Error('no answer')))
    asked.end()
  })
}
