/** The two versions of a rollout, as evidence is looked for. */
import { nameBeside, nameOfCopy } from '../delivery/routing-document.ts'
import type { RoutingSegment } from '../delivery/delivery.ts'
import type { Compared } from '../monitoring/evidence.ts'
import type { RolloutState } from './rollout.ts'

export interface JudgingQuery {
  readonly environment: string
  readonly endpoint: string
  readonly rollout: RolloutState
  readonly segments: readonly RoutingSegment[]
  /** Name of the variant of the version in force. */
  readonly variant: string
  readonly nowMs: number
  /** First segments with a share of all walks of the endpoint, and when they began. */
  readonly firsts: readonly { readonly segment: number; readonly at: number }[]
}

export interface Arms {
  readonly base: Compared
  readonly candidate: Compared
}

/** Both versions of a rollout, wherever they are called what. */
export function armsOf({ from, to, strategy }: RolloutState, variant: string): Arms {
  const ofModel = ({ model, version }: Compared): Compared => ({ model, version })
  // One version with other settings is told apart by the variant alone.
  const isOne = from.model === to.model && from.version === to.version
  const besides = nameBeside(variant, to.revision)
  return {
    base: { ...ofModel(from), ...(strategy.baseline ? { variant: nameOfCopy(variant) } : isOne && { variant }) },
    candidate: { ...ofModel(to), ...(isOne && { variant: besides }) },
  }
}
