/**
 * The clients of MLflow 2 and 3, as they come from PyPI, run the same scripts against MLflow's own server and against the
 * control plane, and are answered the same. What may differ, and why, stands in mlflow/differences.ts.
 */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { compare, report } from './mlflow/compare.ts'
import { PLACES, startControlPlane } from './mlflow/control-plane.ts'
import { INTENDED } from './mlflow/differences.ts'
import { RECORDINGS, recordServer } from './mlflow/record.ts'
import { startReferenceServer } from './mlflow/reference-server.ts'
import type { Comparison } from './mlflow/compare.ts'
import type { Recording } from './mlflow/normalise.ts'

/** Fewer steps mean that a script ended early. */
const STEPS_MIN = 90
/** A status of 5xx as `wire.py` records it and as the clients raise it. */
const SERVER_FAILED = /"status":5\d\d|too many 5\d\d error responses/

type Recordings = ReadonlyMap<string, Recording>

let expected: Recordings
const found = new Map<string, Recordings>()
const stack = new AsyncDisposableStack()

before(
  async () => {
    const reference = stack.use(await startReferenceServer())
    const planes = []
    for (const place of PLACES) planes.push({ place, uri: stack.use(await startControlPlane(place)).uri })
    const recordings = await Promise.all([recordServer(reference.uri), ...planes.map(({ uri }) => recordServer(uri))])
    expected = recordings[0]!
    for (const [index, { place }] of planes.entries()) found.set(place, recordings[index + 1]!)
  },
  { timeout: 900_000 },
)
after(() => stack.disposeAsync())

for (const place of PLACES)
  describe(`the clients of MLflow, unmodified, on ${place}`, () => {
    for (const script of RECORDINGS) {
      it(`are answered as MLflow's own server answers: ${script}`, (t) => {
        const { differences, intended, words, stepCount } = compared(place, script)
        t.diagnostic(`${stepCount} steps; ${intended.length} intended differences, ${words.length} refusals in other words`)
        assert.equal(differences.length, 0, report(differences))
        assert.ok(stepCount >= STEPS_MIN, `only ${stepCount} steps`)
      })
    }

    it('are never told that the server failed', () => {
      const failures = [...found.get(place)!].flatMap(([script, { steps }]) =>
        steps.filter((step) => SERVER_FAILED.test(JSON.stringify(step))).map(({ name }) => `${script}: ${name}`),
      )
      assert.deepEqual(failures, [])
    })

    it('meet every difference that is intended, so that none of them is out of date', () => {
      const met = RECORDINGS.flatMap((script) => compared(place, script).intended)
      const stale = INTENDED.filter((one) => !met.some((difference) => one.covers(difference)))
      assert.deepEqual(
        stale.map(({ reason }) => reason),
        [],
      )
    })
  })

function compared(place: string, script: string): Comparison {
  const [reference, subject] = [expected.get(script), found.get(place)?.get(script)]
  assert.ok(reference !== undefined && subject !== undefined, `no recording of ${script}`)
  return compare(reference, subject, { script, intended: INTENDED })
}
