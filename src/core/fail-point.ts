import { unlinkSync } from 'node:fs'

interface FailPoint {
  readonly action: string
  /** File without which the point does not fire, and which firing removes: once for each time a test creates it. */
  readonly trigger: string | undefined
}

/**
 * Fault injection for tests: `SLIPWAY_FAIL_POINTS=run:throw@/tmp/now` arms the place `run` with the action `throw`.
 * Nothing is armed without the variable, and a place then costs one property read.
 */
const armed = new Map<string, FailPoint>()
for (const entry of (process.env['SLIPWAY_FAIL_POINTS'] ?? '').split(',')) {
  const match = /^([^:@]+):([^@]+)(?:@(.+))?$/.exec(entry)
  if (match?.[1] !== undefined && match[2] !== undefined) armed.set(match[1], { action: match[2], trigger: match[3] })
}

/** The action that is armed at this place and fires now, or undefined. */
export function failPoint(place: string): string | undefined {
  if (armed.size === 0) return undefined
  const point = armed.get(place)
  if (point?.trigger === undefined) return point?.action
  try {
    unlinkSync(point.trigger)
    return point.action
  } catch {
    return undefined
  }
}

/** Every step of a change of the served models at which a test may end the process or make it fail. */
export const CHANGE_STEPS = [
  'load.begin',
  'load.read',
  'load.warmed',
  'load.checked',
  'switch.begin',
  'switch.done',
  'drain.done',
  'unload.begin',
  'unload.done',
] as const

/** Every step of the registry after which a test may end the process or make it fail. */
export const REGISTRY_STEPS = [
  'upload.begun',
  'upload.stored',
  'upload.referred',
  'upload.done',
  'parts.noted',
  'parts.begun',
  'parts.joined',
  'parts.forgotten',
  'version.numbered',
  'version.copied',
  'alias.set',
  'event.recorded',
  'trash.purged',
  'collect.marked',
  'collect.dropped',
  'collect.deleted',
  'collect.orphan',
  'restore.read',
  'restore.object',
  'restore.table',
  'restore.filled',
  'import.object',
  'import.file',
] as const

/** Every step of declaring endpoints and receiving server reports after which a test may end the process or make it fail. */
export const DELIVERY_STEPS = [
  'endpoint.declared',
  'endpoint.suspended',
  'endpoint.deleted',
  'revision.added',
  'revision.routed',
  'promote.numbered',
  'promote.copied',
  'cron.set',
  'report.server',
  'report.endpoint',
  'window.keyed',
  'window.merged',
  'window.swept',
] as const

/** Every step of keeping, compacting and forgetting records after which a test may end the process or make it fail. */
export const RECORD_STEPS = [
  'records.spooled',
  'records.sent',
  'records.arrived',
  'records.kept',
  'records.partition',
  'records.compacted',
  'records.rewritten',
  'records.let-go',
] as const

/** Every step of a rollout after which a test may end the process or make it fail. */
export const ROLLOUT_STEPS = ['rollout.begun', 'rollout.routed', 'rollout.back', 'rollout.forced', 'rollout.noted'] as const

/** Every step of background work at which a test may end the process or make it fail. */
export const WORK_STEPS = ['work.claimed', 'work.completed', 'work.ended'] as const

/** Every step inside the transaction of a migration at which a test may end the process or make it fail. */
export const MIGRATION_STEPS = ['migration.statement', 'migration.noted'] as const

/** Every step of a server that follows a control plane at which a test may end the process or make it fail. */
export const FOLLOW_STEPS = ['store.chunk', 'store.file', 'store.placed', 'document.kept', 'windows.kept', 'windows.sent'] as const

/** Every step of labels on their way to the control plane at which a test may end the process or make it fail. */
export const FEEDBACK_STEPS = ['feedback.kept', 'feedback.sent'] as const

/**
 * Runs the fault armed at a step: `kill` ends the process as the kernel would, `throw` fails the step, `pause` waits a second, `pause=MS`
 * as long.
 */
export async function faultPoint(
  step: (
    | typeof CHANGE_STEPS
    | typeof REGISTRY_STEPS
    | typeof DELIVERY_STEPS
    | typeof MIGRATION_STEPS
    | typeof FEEDBACK_STEPS
    | typeof FOLLOW_STEPS
    | typeof RECORD_STEPS
    | typeof ROLLOUT_STEPS
    | typeof WORK_STEPS
  )[number],
): Promise<void> {
  const action = failPoint(step)
  if (action === 'kill') process.kill(process.pid, 'SIGKILL')
  else if (action === 'throw') throw new Error(`injected: ${step} failed`)
  else if (action?.startsWith('pause') === true) await new Promise((resolve) => setTimeout(resolve, Number(action.split('=')[1] ?? 1000)))
}
