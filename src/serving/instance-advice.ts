import type { InstanceEnd } from '../engine/instance.ts'

/** Reasons why an instance cannot run: the ways in which it ends, and those that its slot adds. */
export type KnownReason = InstanceEnd['reason'] | 'run timeout' | 'restart failed' | 'load failed'

/** Advice for each reason that `/health` may give, one sentence each. */
const ADVICE = {
  'heap exhausted':
    'The JavaScript heap of the thread was full: send fewer rows in one request, or lower maxBatchSize; with isolation: process the instance has a whole process to itself.',
  killed:
    'A signal ended the process, most often the kernel for want of memory (see dmesg) or a crash in a native operator: give the machine or container more memory, use fewer instances, or lower maxBatchSize.',
  'memory limit':
    'The process held more than memoryLimitMb: raise it, lower maxBatchSize, or send smaller requests; if it grows without an end, the model leaks.',
  hang: 'A run or a load did not end in time and the process was killed: raise runTimeoutMs if such runs are expected, else find the request that causes it in the log.',
  'run timeout':
    'A run took longer than runTimeoutMs and its thread is left to finish it: raise runTimeoutMs, send fewer rows, or use isolation: process, where such a run can be ended.',
  'restart failed':
    'The instance could not be started again and is tried after a pause that doubles up to 5 min: the message says why; check that the model file is still there and that memory is left.',
  'load failed':
    'The model could not be loaded: the message says why; correct the file or slipway.yaml (slipway inspect FILE shows more) and start the server again.',
  exited: 'The thread or process ended by itself: its last words are in the message; slipway predict with the same input may show more.',
  error: 'An error outside of a run ended the instance: the message says what; please report it if it is not the model or the machine.',
} as const satisfies Record<KnownReason, string>

/** Advice for a reason; undefined for an unknown reason, as from a newer server. */
export function adviceFor(reason: string | undefined): string | undefined {
  return reason !== undefined && Object.hasOwn(ADVICE, reason) ? ADVICE[reason as KnownReason] : undefined
}
