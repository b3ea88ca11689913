import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { planeInProcess, push } from './in-plane.ts'

const sample = async (name: string): Promise<Buffer> => await readFile(join(import.meta.dirname, '../model/trees/samples', name))

it('versions of XGBoost, LightGBM and CatBoost are looked at, tried and can be served; what is none is told as before', async () => {
  await using plane = await planeInProcess()
  await plane.ask('POST', '/models', { name: 'churn' })
  const pushed = async (files: Readonly<Record<string, Uint8Array>>) => (await push(plane, 'churn', files)).body
  for (const [files, objective] of [
    [{ 'churn.ubj': await sample('churn.ubj') }, /XGBoost.*binary:logistic: 3 trees/],
    [{ 'model.json': await sample('churn.json'), 'notes.json': Buffer.from('{"by": "anna"}') }, /XGBoost/],
    [
      { 'model.lgb': await sample('churn.txt'), MLmodel: Buffer.from('flavors: { lightgbm: { lgb_version: 4.7.0, data: model.lgb } }\n') },
      /LightGBM/,
    ],
    [{ 'model.json': await sample('churn-cat.json') }, /CatBoost.*Logloss/],
  ] as const) {
    const { servable, servableReason, signature, scan } = await pushed(files)
    assert.equal(servable, 'yes', servableReason)
    assert.equal(signature.task, 'classification')
    assert.equal(signature.features[0].name, 'usage')
    assert.match(scan.find(({ check }: { check: string }) => check === 'model').detail, objective)
    assert.ok(scan.every(({ passed }: { passed: boolean }) => passed))
  }
  const linear = await pushed({ 'model.txt': await sample('linear.txt') })
  assert.deepEqual([linear.servable, /linear_tree/.test(linear.servableReason)], ['no', true])
  const notes = await pushed({ 'notes.txt': Buffer.from('tree of life') })
  assert.deepEqual([notes.servable, notes.servableReason], ['no', 'it has no model.onnx'])
})
