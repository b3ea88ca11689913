import { readFileSync } from 'node:fs'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startServer } from '../src/server/start-server.ts'
import type { SlipwayServer, StartServerOptions } from '../src/server/start-server.ts'

export const ROOT: string = fileURLToPath(new URL('..', import.meta.url))

export function example(name: string): string {
  return join(ROOT, 'examples', name)
}

/** A row that the churn example accepts. */
export const CUSTOMER = {
  tenure_months: 2,
  monthly_charges: 95.5,
  support_calls: 6,
  plan: 'basic',
  contract: 'month-to-month',
  paperless: true,
} as const

/** A server on a free loopback port; `await using` ends it. */
export function serveExamples(names: readonly string[], options: StartServerOptions = {}): Promise<SlipwayServer> {
  return startServer({ models: names.map((name) => ({ path: example(name) })), port: 0, ...options })
}

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly body: Record<string, unknown>
}

export async function post(url: string, body: unknown, headers: Record<string, string> = {}): Promise<Answer> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body),
  })
  return { status: response.status, headers: response.headers, body: (await response.json()) as Record<string, unknown> }
}

/** Processes that a process has started. */
export function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number)
}

/** Whether a process goes on. */
export function alive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** Waits until a fact holds; fails after `limitMs`. */
export async function until(fact: () => boolean | Promise<boolean>, what: string, limitMs = 20_000): Promise<void> {
  const end = Date.now() + limitMs
  while (!(await fact())) {
    if (Date.now() > end) throw new Error(`still not so after ${limitMs} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/**
 * A port that was free a moment ago, for programs that cannot tell which one they took. None of those that systems give to whoever
 * listens on port 0 (Linux: from 32768 on): another test would be given it before the program takes it.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(20_000, 30_000)
    const server = createServer()
    try {
      await once(server.listen(port, '127.0.0.1'), 'listening')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') continue
      throw error
    }
    server.close()
    await once(server, 'close')
    return port
  }
}
