import { createBreaker, noBreaker } from './breaker.ts'
import { createBudget } from './budget.ts'
import { createLatencies } from './latencies.ts'
import type { Rules } from './options.ts'
import type { Standing } from './persist.ts'

/** What is shared by the calls of each model; those of none have the name ''. */
export function standings(rules: Rules): (name: string) => Standing {
  const budget = createBudget(rules.budget, performance.now())
  const known = new Map<string, Standing>()
  return (name) => {
    let standing = known.get(name)
    if (standing === undefined) {
      standing = {
        rules,
        budget,
        breaker: rules.breaker === undefined ? noBreaker() : createBreaker(rules.breaker),
        latencies: createLatencies(rules.hedge),
        subject: name === '' ? rules.url : `${name} at ${rules.url}`,
      }
      known.set(name, standing)
    }
    return standing
  }
}
