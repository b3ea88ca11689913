/** What monitoring of others says of the new version of a rollout. */
import { ask } from '../checks/checks.ts'
import { messageOf } from '../core/errors.ts'
import { nameBeside } from '../delivery/routing-document.ts'
import type { AskedCheck } from '../contract/rollout-api.ts'
import type { DeclaredEndpoint } from '../delivery/read-endpoints.ts'
import type { Secrets } from '../security/secrets/secrets.ts'
import type { RolloutState } from './rollout.ts'

/** Others are asked so often, milliseconds: what they know is no newer. */
const ASK_EVERY_MS = 10_000
/** However long a check may take by itself: other rollouts wait for the look. */
const LIMIT_MS = 5000

export interface Outside {
  readonly secrets: Secrets
  /** Whether they may be at addresses of this machine or its network. */
  readonly allowInside: boolean
}

/** Asks the checks of a rollout; answers that are new enough stand. */
export async function askOthers(
  outside: Outside,
  { name, environment, revision }: DeclaredEndpoint,
  { rollout, nowMs, signal }: { readonly rollout: RolloutState; readonly nowMs: number; readonly signal: AbortSignal },
): Promise<AskedCheck[]> {
  const { checks } = rollout.strategy
  const known = rollout.evidence?.checks ?? []
  const isNew = known.length === checks.length && known.every(({ askedAt }) => nowMs - askedAt < ASK_EVERY_MS)
  if (isNew) return known
  const variant = nameBeside(revision.variants[0]!.name, rollout.to.revision)
  const subject = { endpoint: name, variant, version: rollout.to.version, environment }
  return await Promise.all(
    checks.map(async (check): Promise<AskedCheck> => {
      const answer = ask(check, subject, { ...outside, now: nowMs, signal: AbortSignal.any([signal, AbortSignal.timeout(LIMIT_MS)]) })
      const { verdict, value, sentence, query } = await answer.catch((error: unknown) => {
        signal.throwIfAborted()
        return {
          verdict: 'error' as const,
          value: undefined,
          sentence: `no answer within ${LIMIT_MS / 1000} s: ${messageOf(error)}`,
          query: check.name,
        }
      })
      return {
        name: check.name,
        askedAt: nowMs,
        role: check.role ?? 'guardrail',
        verdict: verdict === 'no_data' ? 'no data' : verdict,
        ...(value !== undefined && { value }),
        sentence,
        query,
      }
    }),
  )
}
