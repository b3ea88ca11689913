/** What the comparison with MLflow's own server lets pass, and what it does not. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { compare } from './mlflow/compare.ts'
import type { Comparison } from './mlflow/compare.ts'
import type { Json } from './mlflow/normalise.ts'

const RUN = 'aaaabbbbccccddddeeeeffff00001111'
const OTHER_RUN = '99998888777766665555444433332222'

function compared(reference: readonly Json[], subject: readonly Json[]): Comparison {
  const recording = (uri: string, values: readonly Json[]) => ({
    uri,
    client: '3',
    steps: values.map((value, index) => ({ name: `step ${index}`, value })),
  })
  return compare(recording('http://127.0.0.1:1', reference), recording('http://127.0.0.1:22/prefix', subject), {
    script: 's',
    intended: [],
  })
}

function run(id: string, experiment: string, atMs: number, uri: string): Json {
  return {
    run_id: id,
    experiment_id: experiment,
    start_time: atMs,
    artifact_uri: `mlflow-artifacts:/${experiment}/${id}/artifacts`,
    link: `${uri}/#/runs/${id}`,
    tags: [{ key: 'mlflow.runName', value: `calm-otter-${id.charCodeAt(0)}` }],
  }
}

const refusal = (code: string, message: string): Json => ({ status: 400, refused: { code, message } })

describe('the comparison of two recordings', () => {
  it('takes ids, times, addresses and invented names for equal where they stand for the same', () => {
    const one = run(RUN, '3', Date.now(), 'http://127.0.0.1:1')
    const other = run(OTHER_RUN, '71', Date.now() + 5000, 'http://127.0.0.1:22/prefix')
    assert.deepEqual(compared([one, RUN], [other, OTHER_RUN]).differences, [])
  })

  it('finds that a later step speaks of another run', () => {
    const found = compared([[RUN, OTHER_RUN], RUN], [[RUN, OTHER_RUN], OTHER_RUN]).differences
    assert.deepEqual(
      found.map(({ step, at }) => [step, at]),
      [['step 1', '$']],
    )
  })

  it('finds a time that the client gave and the server changed, a wrong order, a missing and a superfluous field', () => {
    const found = compared(
      [{ start_time: 1_700_000_000_000 }, ['a', 'b'], { a: { b: 1 } }, {}],
      [{ start_time: 1_700_000_000_001 }, ['b', 'a'], { a: {} }, { c: null }],
    ).differences
    assert.deepEqual(
      found.map(({ at }) => at),
      ['$.start_time', '$', '$.a.b', '$.c'],
    )
  })

  it('finds another code, and words that clients look for; other words are told apart', () => {
    const { differences, words } = compared(
      [refusal('A', 'x'), refusal('A', 'Changing param values is not allowed.'), refusal('A', 'x'), refusal('A', 'x')],
      [refusal('B', 'x'), refusal('A', 'no'), refusal('A', 'y'), { status: 200, body: {} }],
    )
    assert.deepEqual(
      [differences, words].map((found) => found.map(({ step }) => step)),
      [['step 0', 'step 1', 'step 3'], ['step 2']],
    )
  })

  it('finds a step that is missing, that failed, or that only one of them has', () => {
    const steps = (...given: readonly { name: string; value?: Json; failed?: Json }[]) => ({ uri: 'http://h', client: '3', steps: given })
    const found = compare(
      steps({ name: 'a', value: 1 }, { name: 'b', value: 1 }, { name: 'c', failed: 1 }),
      steps({ name: 'b', failed: 1 }, { name: 'c', failed: 1 }, { name: 'd', value: 1 }),
      { script: 's', intended: [] },
    ).differences
    assert.deepEqual(
      found.map(({ step }) => step),
      ['a', 'b', 'c', 'd'],
    )
  })
})
