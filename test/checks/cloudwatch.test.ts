import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { startMoto } from '../storage/s3-server.ts'
import { askAws } from '../../src/security/aws-request.ts'
import { freePort } from '../fixtures.ts'
import { answering, asked } from './asked.ts'
import type { AskOptions, CheckAnswer } from '../../src/checks/checks.ts'
import type { Check } from '../../src/contract/outside-check.ts'
import type { S3Server } from '../storage/s3-server.ts'

const REGION = 'eu-central-1'
const MINUTE_MS = 60_000

const metric = (given: object, rest: Partial<Check> = {}): Check => ({
  name: 'errors',
  cloudwatch: { region: REGION, namespace: 'Shop', metric: 'ErrorShare', ...given },
  failWhen: '> 0.01',
  ...rest,
})

describe('CloudWatch, as moto has it', { timeout: 300_000 }, () => {
  let moto: S3Server
  /** A moment at which a minute has been over for ten seconds. */
  const now = Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS + 10_000
  const at = (check: Check, options: Partial<AskOptions> = {}): Promise<CheckAnswer> =>
    asked(check, { environment: { AWS_ENDPOINT_URL_CLOUDWATCH: moto.endpoint }, now, ...options })

  const tell = async (operation: string, input: object): Promise<void> => {
    const response = await askAws({
      service: 'monitoring',
      setting: 'CLOUDWATCH',
      region: REGION,
      headers: { 'content-type': 'application/x-amz-json-1.0', 'x-amz-target': `GraniteServiceVersion20100801.${operation}` },
      body: JSON.stringify(input),
      timeoutMs: 20_000,
      environment: { AWS_ENDPOINT_URL: moto.endpoint },
    })
    const text = (await response.toArray()).join('')
    assert.equal(response.statusCode, 200, text)
  }
  const put = (version: string, value: number, minutesAgo: number): Promise<void> =>
    tell('PutMetricData', {
      Namespace: 'Shop',
      MetricData: [
        {
          MetricName: 'ErrorShare',
          Dimensions: [{ Name: 'version', Value: version }],
          Timestamp: (now - 10_000 - minutesAgo * MINUTE_MS) / 1000 + 5,
          Value: value,
        },
      ],
    })
  const alarm = (name: string, rest: object = {}): Promise<void> =>
    tell('PutMetricAlarm', {
      AlarmName: name,
      Namespace: 'Shop',
      MetricName: 'ErrorShare',
      Period: 60,
      EvaluationPeriods: 1,
      Threshold: 1,
      ComparisonOperator: 'GreaterThanThreshold',
      Statistic: 'Average',
      ...rest,
    })

  before(async () => {
    moto = await startMoto()
    await put('7', 0.001, 1)
    await put('7', 0.5, 4)
    await put('8', 0.3, 1)
    await put('9', 0.001, 6)
    await put('10', 0.001, 0)
    await alarm('churn-errors')
    await alarm('quiet', { TreatMissingData: 'notBreaching' })
  })
  after(() => moto[Symbol.asyncDispose]())

  it('passes and fails by the newest value whose period is over', async () => {
    const pass = await at(metric({ dimensions: { version: '{{version}}' } }))
    assert.deepEqual(pass, {
      query: 'Average of Shop ErrorShare{version="7"} over 60 s in eu-central-1',
      verdict: 'pass',
      value: 0.001,
      at: now - 10_000,
      age: 10,
      sentence: 'the value is 0.001, which is not > 0.01 (10 s old)',
    })
    const fail = await at(metric({ dimensions: { version: '8' }, statistic: 'Maximum' }))
    assert.deepEqual([fail.verdict, fail.value], ['fail', 0.3])
  })

  it('decides nothing by what is old, unfinished, or not there, and says which dimensions there are', async () => {
    const old = await at(metric({ dimensions: { version: '9' } }))
    assert.equal(old.verdict, 'no_data')
    assert.match(old.sentence, /the value is 0.001, and 5 min old, where at most 2 min count/)
    const unfinished = await at(metric({ dimensions: { version: '10' } }))
    assert.equal(unfinished.verdict, 'no_data')
    assert.match(unfinished.sentence, /no value of a whole period yet/)
    const nothing = await at(metric({ dimensions: { version: '99' } }))
    assert.equal(nothing.verdict, 'no_data')
    assert.match(
      nothing.sentence,
      /no value of ErrorShare with \{version="99"\}; in Shop it has that metric with \{version="7"\}, \{version="8"\}/,
    )
    assert.match((await at(metric({ metric: 'Errors' }))).sentence, /with no dimensions, and in Shop it has no metric of that name at all/)
  })

  it('an alarm passes when it is OK, fails in ALARM, and else decides nothing', async () => {
    const check: Check = { name: 'alarm', cloudwatch: { region: REGION, alarm: '{{endpoint}}-errors' } }
    const state = (StateValue: string): Promise<void> =>
      tell('SetAlarmState', { AlarmName: 'churn-errors', StateValue, StateReason: `it is ${StateValue}` })
    await state('INSUFFICIENT_DATA')
    assert.equal((await at(check)).verdict, 'no_data')
    await state('OK')
    const ok = await at(check)
    assert.deepEqual([ok.verdict, ok.query, ok.value], ['pass', 'alarm churn-errors in eu-central-1', undefined])
    assert.equal(ok.sentence, 'the alarm churn-errors is OK: it is OK')
    assert.ok(Math.abs(ok.at! - Date.now()) < 120_000)
    await state('ALARM')
    assert.deepEqual([(await at(check)).verdict, (await at(check)).sentence], ['fail', 'the alarm churn-errors is ALARM: it is ALARM'])
    await tell('SetAlarmState', { AlarmName: 'quiet', StateValue: 'OK', StateReason: 'r' })
    assert.match((await at({ ...check, cloudwatch: { region: REGION, alarm: 'quiet' } })).sentence, /also OK where there are no data/)
    const unknown = await at({ ...check, cloudwatch: { region: REGION, alarm: 'churn-eror' } })
    assert.equal(unknown.verdict, 'error')
    assert.match(unknown.sentence, /there is no alarm churn-eror in eu-central-1; there are churn-errors, quiet/)
  })

  it('is an error where it refuses, fails, is something else, or does not answer', async () => {
    await using server = await answering((request, response) => {
      const answers: Record<string, [number, string]> = {
        '/denied': [403, '{"__type":"com.amazonaws#AccessDeniedException","Message":"not you"}'],
        '/broken': [500, 'oops'],
        '/page': [200, '<html>'],
        '/null': [200, 'null'],
        '/odd': [200, '{"MetricDataResults":[{"Timestamps":[1],"Values":[]}]}'],
      }
      const [status, body] = answers[request.url!] ?? [0, '']
      if (status !== 0) response.writeHead(status).end(body)
    })
    const from = (endpoint: string): Promise<CheckAnswer> => at(metric({ timeoutMs: 400 }), { environment: { AWS_ENDPOINT_URL: endpoint } })
    const sentences = {
      '/denied': /CloudWatch answers 403 to GetMetricData: AccessDeniedException: not you/,
      '/broken': /CloudWatch answers 500 to GetMetricData: "oops"/,
      '/page': /answers 200 to GetMetricData: "<html>"/,
      '/null': /answers 200 to GetMetricData/,
      '/odd': /no number/,
      '/silent': /CloudWatch in eu-central-1 cannot be asked: no answer within 0.4 s/,
    }
    for (const [path, sentence] of Object.entries(sentences)) {
      const answer = await from(server.url + path)
      assert.ok(['error', 'no_data'].includes(answer.verdict), JSON.stringify(answer))
      assert.match(answer.sentence, sentence)
    }
    assert.match((await from(`http://127.0.0.1:${await freePort()}`)).sentence, /cannot be asked: .*ECONNREFUSED/)
  })
})
