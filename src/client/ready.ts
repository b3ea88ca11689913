import { noBreaker } from './breaker.ts'
import { SlipwayClientError } from './client-error.ts'
import { deadlineOf } from './options.ts'
import { persist } from './persist.ts'
import { send } from './send.ts'
import type { CallOptions, Rules } from './options.ts'
import type { Standing } from './persist.ts'

/** Whether a health route answers with success; asked once, whatever the breaker says. @throws SLW_CANCELLED */
export async function isReady(
  rules: Rules,
  standing: Standing,
  { path, call = {} }: { readonly path: string; readonly call?: CallOptions | undefined },
): Promise<boolean> {
  const once: Standing = { ...standing, breaker: noBreaker(), rules: { ...rules, retry: { ...rules.retry, attempts: 1 } } }
  const { signal, headers = {} } = call
  const deadlineMs = deadlineOf(rules, call.deadlineMs)
  try {
    await persist((limit) => send(rules, { method: 'GET', path, headers }, limit), once, { deadlineMs, signal })
    return true
  } catch (error) {
    if (error instanceof SlipwayClientError && error.code === 'SLW_CANCELLED') throw error
    return false
  }
}
