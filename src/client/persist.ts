import { pauseMs } from './backoff.ts'
import { isOutage, SlipwayClientError } from './client-error.ts'
import type { Breaker, Permit } from './breaker.ts'
import type { Budget } from './budget.ts'
import type { Latencies } from './latencies.ts'
import type { Rules } from './options.ts'

/** What the calls of one model share. */
export interface Standing {
  readonly rules: Pick<Rules, 'retry' | 'random'>
  readonly budget: Budget
  readonly breaker: Breaker
  readonly latencies: Latencies
  /** What is asked, for messages: `churn at http://127.0.0.1:8470`. */
  readonly subject: string
}

/** Sends one request and reads its answer. @throws SlipwayClientError, and whatever the platform throws once the signal is aborted */
export type Attempt<T> = (limit: { readonly signal: AbortSignal; readonly leftMs: number }) => Promise<T>

export interface Done<T> {
  readonly value: T
  readonly attempts: number
  /** Whether it is the answer to a second request, which was sent while the first one was not answered. */
  readonly hedged: boolean
}

const monotonicMs = (): number => performance.now()

/**
 * Makes a call of one or several requests: within its deadline, within the budget of the client, and only while the breaker lets it.
 * @throws SlipwayClientError: that of the last request, SLW_DEADLINE_EXCEEDED, SLW_CANCELLED or SLW_CIRCUIT_OPEN
 */
export async function persist<T>(
  attempt: Attempt<T>,
  standing: Standing,
  { deadlineMs, signal }: { readonly deadlineMs: number; readonly signal: AbortSignal | undefined },
): Promise<Done<T>> {
  const { rules, budget, breaker, subject } = standing
  const endMs = monotonicMs() + deadlineMs
  const whole = new AbortController()
  const cancel = (): void =>
    whole.abort(new SlipwayClientError('SLW_CANCELLED', `the request to ${subject} was cancelled`, { cause: signal?.reason }))
  const timer = setTimeout(() => whole.abort(late(subject, deadlineMs)), deadlineMs)
  if (signal?.aborted === true) cancel()
  signal?.addEventListener('abort', cancel, { once: true })
  budget.earn(monotonicMs())
  const course = { attempts: 0, hedged: false }
  let last: SlipwayClientError | undefined
  try {
    for (;;) {
      whole.signal.throwIfAborted()
      const permit = breaker.permit(monotonicMs())
      if (permit === undefined) throw last ?? open(subject)
      try {
        return { value: await round(attempt, { standing, permit, whole: whole.signal, endMs, course }), ...course }
      } catch (thrown) {
        last = thrown as SlipwayClientError
        const pause = pauseMs(course.attempts, rules.random(), rules.retry, last.retryAfterMs)
        const inTime = monotonicMs() + pause < endMs
        if (!last.retryable || course.attempts >= rules.retry.attempts || !inTime || !budget.take(monotonicMs())) throw last
        await sleep(pause, whole.signal)
      }
    }
  } catch (thrown) {
    const error = thrown as SlipwayClientError
    error.attempts = course.attempts
    throw error
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', cancel)
  }
}

const late = (subject: string, deadlineMs: number): SlipwayClientError =>
  new SlipwayClientError('SLW_DEADLINE_EXCEEDED', `${subject} has not answered within ${deadlineMs} ms`, { retryable: true })

const open = (subject: string): SlipwayClientError =>
  new SlipwayClientError('SLW_CIRCUIT_OPEN', `${subject} failed too often a moment ago, and is not asked for the time being`, {
    retryable: true,
  })

interface Round {
  readonly standing: Standing
  readonly permit: Permit
  readonly whole: AbortSignal
  readonly endMs: number
  readonly course: { attempts: number; hedged: boolean }
}

/** One request, or two where the first is slow. */
async function round<T>(attempt: Attempt<T>, { standing, permit, whole, endMs, course }: Round): Promise<T> {
  const { latencies, budget, breaker, rules } = standing
  const send = (leave: Permit): Sent<T> => {
    course.attempts++
    return begin(attempt, { standing, permit: leave, whole, endMs })
  }
  const afterMs = latencies.hedgeAfterMs()
  const first = send(permit)
  if (afterMs === undefined || rules.retry.attempts < 2) return await first.answer
  const waiting = new AbortController()
  const slow = sleep(afterMs, waiting.signal).then(
    () => true,
    () => false,
  )
  const isSlow = await Promise.race([slow, first.settled])
  waiting.abort()
  const leave = isSlow && !whole.aborted ? breaker.permit(monotonicMs()) : undefined
  if (leave === undefined) return await first.answer
  if (!budget.take(monotonicMs())) {
    leave.released()
    return await first.answer
  }
  const second = send(leave)
  try {
    const value = await firstOf(first.answer, second.answer)
    course.hedged = value.second
    return value.value
  } finally {
    first.giveUp()
    second.giveUp()
  }
}

/** The first answer. An error counts once both have failed, or where it says that the request is wrong. */
function firstOf<T>(first: Promise<T>, second: Promise<T>): Promise<{ readonly value: T; readonly second: boolean }> {
  return new Promise((resolve, reject) => {
    let failed = 0
    for (const one of [first, second])
      one.then(
        (value) => resolve({ value, second: one === second }),
        (error: SlipwayClientError) => {
          if (++failed === 2 || !error.retryable) reject(error)
        },
      )
  })
}

interface Sent<T> {
  readonly answer: Promise<T>
  /** Resolves to false once it has been answered or has failed. */
  readonly settled: Promise<false>
  giveUp(): void
}

function begin<T>(attempt: Attempt<T>, { standing, permit, whole, endMs }: Omit<Round, 'course'>): Sent<T> {
  const own = new AbortController()
  const abort = (): void => own.abort(whole.reason)
  whole.addEventListener('abort', abort, { once: true })
  const startedMs = monotonicMs()
  const run = async (): Promise<T> => {
    try {
      const value = await attempt({ signal: own.signal, leftMs: Math.max(1, endMs - startedMs) })
      permit.succeeded(monotonicMs())
      standing.latencies.add(monotonicMs() - startedMs)
      return value
    } catch (thrown) {
      const error: SlipwayClientError = own.signal.aborted ? (own.signal.reason as SlipwayClientError) : (thrown as SlipwayClientError)
      if (error.code === 'SLW_CANCELLED') permit.released()
      else if (isOutage(error) && error.status !== 429) permit.failed(monotonicMs())
      else permit.succeeded(monotonicMs())
      throw error
    } finally {
      whole.removeEventListener('abort', abort)
    }
  }
  const answer = run()
  return {
    answer,
    settled: answer.then(
      () => false,
      () => false,
    ),
    giveUp: () => own.abort(new SlipwayClientError('SLW_CANCELLED', 'another request was answered first')),
  }
}

/** @throws the reason of the signal */
function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = (): void => {
      clearTimeout(timer)
      reject(signal.reason as Error)
    }
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', end)
      resolve()
    }, ms)
    if (signal.aborted) end()
    else signal.addEventListener('abort', end, { once: true })
  })
}
