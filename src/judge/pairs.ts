/**
 * Shadow traffic: both versions answer the same request, and what counts are requests on which one of them is wrong and the other is not. Where
 * neither is worse, such a request is the candidate's fault as often as the base's.
 */
import { logBetter, logWorse } from './event-share.ts'
import type { Events } from './event-share.ts'

/** Requests on which the versions differ. */
export interface Discordant {
  /** Only the candidate was wrong. */
  readonly candidate: number
  /** Only the base was wrong. */
  readonly base: number
}

function eventsOf({ candidate, base }: Discordant): Events[] {
  return [{ share: 0.5, k: candidate, n: candidate + base }]
}

/** ln of the evidence that the candidate alone is wrong more than `ratio` times as often as the base alone. */
export function logWorseInPairs(discordant: Discordant, ratio: number): number {
  return logWorse(eventsOf(discordant), ratio)
}

/** ln of the evidence that it is less. */
export function logBetterInPairs(discordant: Discordant, ratio: number): number {
  return logBetter(eventsOf(discordant), ratio)
}
