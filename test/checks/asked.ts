import { once } from 'node:events'
import { createServer } from 'node:http'
import { ask } from '../../src/checks/checks.ts'
import { Secrets } from '../../src/security/secrets/secrets.ts'
import type { AskOptions, CheckAnswer } from '../../src/checks/checks.ts'
import type { Check, CheckSubject } from '../../src/contract/outside-check.ts'
import type { RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'

export const SUBJECT: CheckSubject = { endpoint: 'churn', variant: 'main', version: '7', environment: 'default' }

/** Asks a check now. */
export function asked(check: Check, options: Partial<AskOptions & { secrets: Secrets }> = {}): Promise<CheckAnswer> {
  const { signal } = new AbortController()
  return ask(check, SUBJECT, { signal, now: Date.now(), secrets: new Secrets(), allowInside: true, ...options })
}

/** Somebody who answers HTTP on this machine; ended at the end of the block. */
export async function answering(listener: RequestListener): Promise<AsyncDisposable & { readonly url: string; readonly port: number }> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
