import { setTimeout as pause } from 'node:timers/promises'
import { part } from '../control-plane/registry-command.ts'
import { print, style } from '../output.ts'
import { rolloutLine, rolloutText, stateText } from './views.ts'
import type { RolloutAnswer } from '../../contract/rollout-api.ts'
import type { RegistryClient } from '../control-plane/client.ts'

/** Pause between two looks. */
const REFRESH_MS = 500

/**
 * Shows a rollout until it ends: a tree that is drawn again, or a line for each change where nobody looks at a terminal.
 * @returns the rollout as it ended
 */
export async function watchRollout(
  client: RegistryClient,
  endpoint: string,
  { plain, number }: { readonly plain: boolean; readonly number?: number | undefined },
): Promise<RolloutAnswer> {
  let before = ''
  for (;;) {
    const rollout = await client.ask<RolloutAnswer>(`/endpoints/${part(endpoint)}/rollouts/${number ?? 'latest'}`)
    if (plain) {
      const { step, weight, verdict, evidence } = rollout
      const now = JSON.stringify([stateText(rollout), step, weight, verdict, evidence?.newest])
      if (now !== before) print(rolloutLine(rollout))
      before = now
    } else print(`\u001B[2J\u001B[H${rolloutText(rollout)}\n\n${style('dim', 'Ctrl-C ends the view, and not the rollout')}`)
    if (rollout.endedAt !== undefined) return rollout
    await pause(REFRESH_MS)
  }
}
