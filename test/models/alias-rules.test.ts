/** Who may point an alias where: every rule by itself, and what is left when it says no. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { asksForApproval, whyNotServable } from '../../src/models/policies.ts'
import { requireAlias, requireModelName } from '../../src/models/names.ts'
import { addFile, ANNA, eachRegistry, NOBODY, OWNER } from './in-registry.ts'
import type { Registry } from './registry.ts'
import type { Database } from '../../src/storage/sql/database.ts'

async function models(registry: Registry, database: Database, count = 2): Promise<void> {
  await registry.models.create(ANNA, { name: 'm' })
  const run = await registry.runs.create(ANNA, { experimentId: '0' })
  for (let version = 1; version <= count; version++) {
    await addFile(database, `run:${run.id}`, `v${version}/model.onnx`, `bytes ${version}`)
    await registry.versions.create(ANNA, 'm', { source: `runs:/${run.id}/v${version}` })
  }
}

/** Actions on aliases, as the record has them. */
async function recorded(database: Database): Promise<string[]> {
  const rows = await database.read.selectFrom('events').select(['name', 'action']).where('kind', '=', 'alias').orderBy('sequence').execute()
  return rows.map(({ name, action }) => `${action} ${name}`)
}

eachRegistry('an alias moves only from where the caller has seen it', async (registry, database) => {
  await models(registry, database)
  const set = (version: string, expected?: number | 'none') =>
    registry.aliases.set(ANNA, 'm', { alias: 'live', version, ...(expected !== undefined && { expected }) }, NOBODY)
  await assert.rejects(set('1', 1), { code: 'SLW_PRECONDITION_FAILED', message: /alias "live" is not set, expected version 1/ })
  await set('1', 'none')
  await assert.rejects(set('2', 'none'), { code: 'SLW_PRECONDITION_FAILED', message: /points to version 1, expected that it is not set/ })
  await assert.rejects(set('2', 2), { code: 'SLW_PRECONDITION_FAILED', message: /points to version 1, expected version 2/ })
  await set('2', 1)
  const remove = (expected?: number) =>
    registry.aliases.remove(ANNA, 'm', { alias: 'live', ...(expected !== undefined && { expected }) }, NOBODY)
  await assert.rejects(remove(1), { code: 'SLW_PRECONDITION_FAILED', message: /points to version 2, expected version 1/ })
  await remove(2)
  await remove()
  assert.equal(await registry.aliases.resolve(ANNA, 'm', 'live'), undefined)
  await assert.rejects(registry.aliases.resolve(ANNA, 'nobody', 'live'), { code: 'SLW_NOT_FOUND' })
  // What was not there is not deleted twice, and refused moves leave no trace.
  assert.deepEqual(await recorded(database), ['created m@live', 'updated m@live', 'deleted m@live'])
})

eachRegistry('names that cannot be are refused wherever an alias is given', async (registry, database) => {
  await models(registry, database)
  for (const alias of ['', 'a b', 'a/b', '../x', 'x'.repeat(256)]) {
    await assert.rejects(registry.aliases.set(ANNA, 'm', { alias, version: '1' }, OWNER), { code: 'SLW_INPUT_INVALID' }, alias)
    await assert.rejects(registry.aliases.remove(ANNA, 'm', { alias }, OWNER), { code: 'SLW_INPUT_INVALID' }, alias)
    await assert.rejects(registry.aliases.resolve(ANNA, 'm', alias), { code: 'SLW_INPUT_INVALID' }, alias)
    await assert.rejects(registry.models.update(ANNA, 'm', { policy: { gatedAliases: [alias] } }), { code: 'SLW_INPUT_INVALID' }, alias)
  }
  for (const alias of ['latest', 'Latest', 'v1', 'V22'])
    await assert.rejects(registry.aliases.set(ANNA, 'm', { alias, version: '1' }, OWNER), { message: /reserved/ }, alias)
  await assert.rejects(registry.models.update(ANNA, 'm', { policy: { signedBy: ['nobody'] } }), {
    code: 'SLW_NOT_FOUND',
    message: /slipway signer add nobody/,
  })
  await assert.rejects(registry.models.update(ANNA, 'm', { policy: { signedBy: ['x'.repeat(5000)] } }), { code: 'SLW_INPUT_INVALID' })
})

test('names of models and aliases are checked by themselves', () => {
  for (const name of ['', '  ', 'a/b', 'a:b', '..', 'x'.repeat(1001)])
    assert.throws(() => requireModelName(name), { code: 'SLW_INPUT_INVALID' }, name)
  for (const name of ['churn', 'Größe 2', 'x'.repeat(1000)]) requireModelName(name)
  for (const alias of ['champion', 'größe_2', 'v', 'vv1', 'x'.repeat(255)]) requireAlias(alias)
})

test('a version is served where it can be, or where the policy lets it into the sandbox and it fits there', () => {
  const policy = (sandbox?: boolean) => ({ policy: JSON.stringify(sandbox === undefined ? {} : { sandbox }) })
  const scan = (...checks: [check: string, passed: boolean][]) => JSON.stringify(checks.map(([check, passed]) => ({ check, passed })))
  const version = (servable: number, scanned: string | null, reason: string | null = 'it is a pickle') => ({
    servable,
    servable_reason: reason,
    scan: scanned,
  })
  assert.equal(whyNotServable(policy(), version(1, null)), undefined)
  assert.equal(whyNotServable(policy(), version(0, null)), 'it is a pickle')
  assert.equal(whyNotServable(policy(), version(0, null, null)), 'no reason was noted')
  assert.equal(whyNotServable(policy(true), version(0, scan(['bytes', true], ['sandbox', true]))), undefined)
  for (const [sandbox, scanned] of [
    [true, null],
    [true, scan(['sandbox', false])],
    [true, scan(['bytes', true])],
    [false, scan(['sandbox', true])],
    [undefined, scan(['sandbox', true])],
  ] as const)
    assert.equal(whyNotServable(policy(sandbox), version(0, scanned)), 'it is a pickle', `${sandbox} ${scanned}`)
})

test('versions wait for an approval where one is asked for, for an alias', () => {
  const asks = (policy: object): boolean => asksForApproval({ policy: JSON.stringify(policy) })
  assert.deepEqual(
    [{}, { approval: true }, { gatedAliases: ['a'] }, { approval: true, gatedAliases: [] }, { approval: true, gatedAliases: ['a'] }].map(
      asks,
    ),
    [false, false, false, false, true],
  )
})

eachRegistry(
  'a policy without a gated alias holds nothing up; one that asks for an approval says what the version has instead',
  async (registry, database) => {
    await models(registry, database)
    await registry.models.update(ANNA, 'm', { policy: { approval: true } })
    await registry.aliases.set(ANNA, 'm', { alias: 'live', version: '1' }, NOBODY)
    await registry.models.update(ANNA, 'm', { policy: { approval: true, gatedAliases: ['live'] } })
    const move = () => registry.aliases.set(ANNA, 'm', { alias: 'live', version: '2' }, NOBODY)
    await assert.rejects(move(), { code: 'SLW_POLICY_REFUSED', message: /m\/2 is not approved: slipway model approve m\/2/ })
    await registry.versions.judge(ANNA, 'm', '2', { approval: 'rejected', reason: 'no' })
    await assert.rejects(move(), { code: 'SLW_POLICY_REFUSED', message: /m\/2 is rejected/ })
    // An alias that is not gated is nobody's business.
    await registry.aliases.set(ANNA, 'm', { alias: 'other', version: '2' }, NOBODY)
  },
)
