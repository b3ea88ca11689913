import { isSlipwayError, messageOf } from '../core/errors.ts'
import { dueRollouts, lookAt } from '../rollouts/look.ts'
import { Rollouts } from '../rollouts/rollouts.ts'
import type { Logger } from '../core/log.ts'
import type { RolloutGround } from '../rollouts/rollouts.ts'
import type { WorkKind } from '../storage/work/worker.ts'

/** Interval of looking at rollouts. */
const LOOK_EVERY_MS = 500

/** Looks at the rollouts that are due, each of them beside the others. */
export function rolloutWork(ground: RolloutGround, log: Logger): WorkKind {
  return {
    kind: 'rollouts',
    standing: { key: 'rollouts', schedule: { everyMs: LOOK_EVERY_MS }, dueInMs: 0 },
    isWanted: async () => (await dueRollouts(ground)).length > 0,
    async run({ database }, signal) {
      const fenced = { ...ground, database }
      const rollouts = new Rollouts(fenced)
      const looks = (await dueRollouts(fenced)).map(async (id) => {
        try {
          await lookAt(fenced, { rollouts, signal }, id)
        } catch (error) {
          // One that cannot be looked at holds up none of the others; the next look tries again.
          if (signal.aborted || (isSlipwayError(error) && error.code === 'SLW_LEASE_LOST')) throw error
          log.warn({ rollout: id }, `the rollout could not be looked at: ${messageOf(error)}`)
        }
      })
      await Promise.all(looks)
    },
  }
}
