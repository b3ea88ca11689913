import { messageOf } from '../core/errors.ts'
import { firstCharacters } from '../core/text.ts'
import { askAws } from '../security/aws-request.ts'
import { AskError, firstOf, judged } from './answer.ts'
import { readText } from './read-text.ts'
import type { CheckSource, ResolvedCheck } from '../contract/outside-check.ts'
import type { AskOptions, Found } from './answer.ts'

type MetricSource = Extract<CheckSource, { kind: 'metric' }>
type AlarmSource = Extract<CheckSource, { kind: 'alarm' }>
interface Dimension {
  readonly Name: string
  readonly Value: string
}

/**
 * An operation of CloudWatch, by its JSON protocol.
 * https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_Operations.html
 */
type CloudWatch = <T>(operation: string, input: object) => Promise<T>

const TARGET = 'GraniteServiceVersion20100801'
/** Beside the age that counts: values come minutes after their period, and a newer one may be missing. */
const PERIODS_BACK = 5

/** All requests together have the time of one check. */
function cloudWatchOf({ region, timeoutMs }: MetricSource | AlarmSource, { signal, environment }: AskOptions): CloudWatch {
  const late = AbortSignal.timeout(timeoutMs)
  return async <T>(operation: string, input: object): Promise<T> => {
    try {
      const response = await askAws({
        service: 'monitoring',
        setting: 'CLOUDWATCH',
        region,
        headers: { 'content-type': 'application/x-amz-json-1.0', 'x-amz-target': `${TARGET}.${operation}` },
        body: JSON.stringify(input),
        timeoutMs,
        signal: AbortSignal.any([signal, late]),
        environment,
      })
      return answerOf(operation, response.statusCode ?? 0, await readText(response)) as T
    } catch (error) {
      signal.throwIfAborted()
      if (error instanceof AskError) throw error
      const why = late.aborted ? `no answer within ${timeoutMs / 1000} s` : messageOf(error)
      throw new AskError(`CloudWatch in ${region} cannot be asked: ${why}`)
    }
  }
}

function answerOf(operation: string, status: number, text: string): object {
  const answer = objectOf(text)
  if (status === 200 && answer !== undefined) return answer
  const { __type: type = '', message, Message = message } = (answer ?? {}) as Partial<Record<string, string>>
  const said = [type.split('#').at(-1), Message].filter((word) => word !== undefined && word !== '').join(': ')
  throw new AskError(
    `CloudWatch answers ${status} to ${operation}: ${said === '' ? JSON.stringify(firstCharacters(text, 100)) : firstCharacters(said, 500)}`,
  )
}

function objectOf(text: string): object | undefined {
  try {
    const value = JSON.parse(text) as unknown
    return typeof value === 'object' && value !== null ? value : undefined
  } catch {
    return undefined
  }
}

interface MetricData {
  readonly MetricDataResults?: readonly {
    readonly Timestamps?: readonly (number | string)[]
    readonly Values?: readonly number[]
    readonly StatusCode?: string
    readonly Messages?: readonly { readonly Value?: string }[]
  }[]
}

/** Asks for the newest value of a metric whose period is over. */
export async function askMetric(source: MetricSource, check: ResolvedCheck, options: AskOptions): Promise<Found> {
  const ask = cloudWatchOf(source, options)
  const { namespace, metric, dimensions, statistic, periodSeconds } = source
  const { now } = options
  const Dimensions = Object.entries(dimensions).map(([Name, Value]) => ({ Name, Value }))
  const stat = { Metric: { Namespace: namespace, MetricName: metric, Dimensions }, Period: periodSeconds, Stat: statistic }
  const backSeconds = check.maxAgeSeconds + PERIODS_BACK * periodSeconds
  const data = await ask<MetricData>('GetMetricData', {
    // Periods begin at multiples of their length.
    StartTime: Math.floor((now / 1000 - backSeconds) / periodSeconds) * periodSeconds,
    EndTime: Math.ceil(now / 1000),
    ScanBy: 'TimestampDescending',
    MetricDataQueries: [{ Id: 'm', MetricStat: stat, ReturnData: true }],
  })
  const [result] = data.MetricDataResults ?? []
  if (result?.StatusCode === 'Forbidden' || result?.StatusCode === 'InternalError')
    throw new AskError(
      `CloudWatch gives no values of ${metric}: ${result.StatusCode} ${result.Messages?.map(({ Value }) => Value).join('; ') ?? ''}`.trim(),
    )
  const points = (result?.Timestamps ?? []).map((time, index) => ({
    end: epochMs(time) + periodSeconds * 1000,
    value: result!.Values![index]!,
  }))
  // One whose period goes on has not seen everything: a sum of it is too small.
  const newest = points.filter(({ end }) => end <= now).toSorted((a, b) => b.end - a.end)[0]
  if (newest === undefined)
    return {
      verdict: 'no_data',
      sentence: points.length > 0 ? `${metric} has no value of a whole period yet` : await dimensionsSeen(ask, source),
    }
  if (!Number.isFinite(newest.value)) return { verdict: 'no_data', sentence: `the value is ${newest.value}: no number` }
  return judged(check, { value: newest.value, at: newest.end, age: (now - newest.end) / 1000 })
}

/** Seconds in JSON, and also text as some servers write it. */
function epochMs(time: number | string): number {
  return typeof time === 'number' ? time * 1000 : Date.parse(time)
}

async function dimensionsSeen(ask: CloudWatch, { namespace, metric, dimensions }: MetricSource): Promise<string> {
  const given = Object.entries(dimensions).map(([Name, Value]) => ({ Name, Value }))
  const nothing = `CloudWatch has no value of ${metric} with ${given.length === 0 ? 'no dimensions' : dimensionsOf(given)}`
  const { Metrics = [] } = await ask<{ Metrics?: readonly { Dimensions?: readonly Dimension[] }[] }>('ListMetrics', {
    Namespace: namespace,
    MetricName: metric,
  })
  if (Metrics.length === 0) return `${nothing}, and in ${namespace} it has no metric of that name at all`
  const seen = [...new Set(Metrics.map(({ Dimensions = [] }) => dimensionsOf(Dimensions)))]
  return `${nothing}; in ${namespace} it has that metric with ${firstOf(seen, 10)}`
}

function dimensionsOf(dimensions: readonly Dimension[]): string {
  return `{${dimensions.map(({ Name, Value }) => `${Name}=${JSON.stringify(Value)}`).join(', ')}}`
}

interface Alarm {
  readonly AlarmName?: string
  readonly StateValue?: string
  readonly StateReason?: string
  readonly StateUpdatedTimestamp?: number | string
  readonly TreatMissingData?: string
}
interface Alarms {
  readonly MetricAlarms?: readonly Alarm[]
  readonly CompositeAlarms?: readonly Alarm[]
}

const KINDS_OF_ALARM = ['MetricAlarm', 'CompositeAlarm']

/** Asks for the state of an alarm. It holds until it changes, so it has no age. */
export async function askAlarm(source: AlarmSource, options: AskOptions): Promise<Found> {
  const ask = cloudWatchOf(source, options)
  const { alarm: name, region } = source
  const [alarm] = alarmsOf(await ask<Alarms>('DescribeAlarms', { AlarmNames: [name], AlarmTypes: KINDS_OF_ALARM }))
  if (alarm === undefined) {
    const all = alarmsOf(await ask<Alarms>('DescribeAlarms', { AlarmTypes: KINDS_OF_ALARM, MaxRecords: 100 }))
    const there = all.length === 0 ? 'there are none' : `there are ${firstOf(all.map(({ AlarmName = '' }) => AlarmName))}`
    throw new AskError(`there is no alarm ${name} in ${region}; ${there}`)
  }
  const { StateValue: state, StateReason: reason = '', StateUpdatedTimestamp: time } = alarm
  const verdict = state === 'OK' ? 'pass' : state === 'ALARM' ? 'fail' : 'no_data'
  // An alarm that takes silence for health says OK where nothing is measured.
  const silence =
    state === 'OK' && alarm.TreatMissingData === 'notBreaching' ? '; it is also OK where there are no data (TreatMissingData)' : ''
  return {
    verdict,
    ...(time !== undefined && { at: Math.round(epochMs(time)) }),
    sentence: `the alarm ${name} is ${state}${reason === '' ? '' : `: ${firstCharacters(reason, 300)}`}${silence}`,
  }
}

function alarmsOf({ MetricAlarms = [], CompositeAlarms = [] }: Alarms): readonly Alarm[] {
  return [...MetricAlarms, ...CompositeAlarms]
}
