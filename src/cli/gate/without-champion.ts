import type { Plan } from '../../gates/gates.ts'

/** Bounds that a check may have beside those against the champion. */
interface Bounds {
  readonly name?: string
  readonly metric?: string
  readonly min?: number
  readonly max?: number
  readonly drop?: number
  readonly change?: number
  readonly relative?: number
}

/**
 * A plan for the first version of a model: what is only about the champion is left out. What has bounds of its own is held to these.
 * @returns the plan, and names of the checks that were left out
 */
export function withoutChampion(plan: Plan): { readonly plan: Plan; readonly dropped: readonly string[] } {
  const dropped: string[] = plan.comparisons.map(
    ({ name, test, metric }) => name ?? `comparison (${[test, metric].filter(Boolean).join(', ')})`,
  )
  const own = <T extends Bounds>(kind: string, checks: readonly T[]): T[] =>
    checks.filter(({ name, metric, min, max, drop, change, relative }) => {
      const compares = change !== undefined || relative !== undefined
      const stays = !compares || min !== undefined || max !== undefined || drop !== undefined
      if (!stays) dropped.push(name ?? `${kind} (${metric})`)
      return stays
    })
  const budget = <T extends { readonly name?: string; readonly relative?: number }>(
    kind: string,
    check: T | undefined,
    max: number | undefined,
  ): T | undefined => {
    if (check?.relative === undefined || max !== undefined) return check
    dropped.push(check.name ?? kind)
    return undefined
  }
  const left: Plan = {
    ...plan,
    comparisons: [],
    metrics: own('metric', plan.metrics),
    slices: own('slices', plan.slices),
    latency: budget('latency', plan.latency, plan.latency?.p99Ms),
    memory: budget('memory', plan.memory, plan.memory?.maxMb),
  }
  return { plan: left, dropped }
}
