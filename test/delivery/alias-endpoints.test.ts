/** On one machine nothing has to be declared: the alias `champion` makes an endpoint, and takes it away. */
import assert from 'node:assert/strict'
import { AliasEndpoints } from '../../src/delivery/alias-endpoints.ts'
import { silentLogger } from '../../src/core/log.ts'
import { ANNA } from '../models/in-registry.ts'
import { declared, eachDelivery } from './in-delivery.ts'
import type { World } from './in-delivery.ts'

function open({ delivery, registry }: World): { aliases: AliasEndpoints; said: string[] } {
  const said: string[] = []
  const log = { ...silentLogger, warn: (_: object, message: string) => void said.push(message) }
  return { aliases: new AliasEndpoints({ ground: registry.ground, delivery, environment: 'default', log }), said }
}

async function endpoints({ delivery }: World): Promise<string[]> {
  return [...(await delivery.endpoints.managers(ANNA)).entries()]
    .map(([name, by]) => `${name} ${by?.name ?? by?.kind ?? 'by hand'}`)
    .toSorted()
}

eachDelivery('an alias makes an endpoint that follows it, and takes it away again; what people declare is theirs', async (world) => {
  const { delivery, registry, set, version } = world
  const { aliases, said } = open(world)
  assert.equal(await aliases.follow(), false)
  for (const model of ['one', 'two', 'own']) {
    await version(model)
    await set(`${model}@champion`, 1)
  }
  await version('other')
  await set('other@live', 1)
  await delivery.endpoints.apply(ANNA, declared('own', 'own/1'))
  await delivery.endpoints.apply(ANNA, declared('unrelated', 'other/1'))
  assert.equal(await aliases.follow(), true)
  const all = ['one alias champion', 'own by hand', 'two alias champion', 'unrelated by hand']
  assert.deepEqual(await endpoints(world), all)
  assert.equal((await delivery.endpoints.get(ANNA, 'one')).revision.variants[0]?.version, 1)
  assert.equal(await aliases.follow(), true, 'nothing has changed')
  assert.deepEqual(await endpoints(world), all)
  await registry.aliases.remove(ANNA, 'two', { alias: 'champion' }, { protect: true })
  await registry.aliases.remove(ANNA, 'own', { alias: 'champion' }, { protect: true })
  await aliases.follow()
  assert.deepEqual(await endpoints(world), ['one alias champion', 'own by hand', 'unrelated by hand'])
  // What somebody takes over is no longer the alias's to delete.
  await delivery.endpoints.apply(ANNA, declared('one', 'one/1'))
  await registry.aliases.remove(ANNA, 'one', { alias: 'champion' }, { protect: true })
  await aliases.follow()
  assert.deepEqual(await endpoints(world), ['one by hand', 'own by hand', 'unrelated by hand'])
  for (const name of ['one', 'own', 'unrelated']) await delivery.endpoints.delete(ANNA, name)
  assert.equal(await aliases.follow(), false)
  assert.deepEqual(said, [])
})

eachDelivery('an endpoint that somebody deleted stays away until the alias is set anew', async (world) => {
  const { delivery, set, version } = world
  const { aliases } = open(world)
  await version('m')
  await version('m')
  await set('m@champion', 1)
  await aliases.follow()
  await delivery.endpoints.delete(ANNA, 'm')
  await aliases.follow()
  assert.deepEqual(await endpoints(world), [])
  await set('m@champion', 2)
  await aliases.follow()
  assert.deepEqual(await endpoints(world), ['m alias champion'])
})

eachDelivery('a version that must not be served is told once, with the reason, and its state is that', async (world) => {
  const { registry, set, version } = world
  const { aliases, said } = open(world)
  await version('pickle', 0)
  await set('pickle@champion', 1)
  await version('no address')
  await set('no address@champion', 1)
  await version('gated')
  await set('gated@champion', 1)
  await registry.models.update(ANNA, 'gated', { policy: { gatedAliases: ['champion'], approval: true } })
  await version('good')
  await set('good@champion', 1)
  for (let turn = 0; turn < 3; turn++) {
    await aliases.follow()
    // Something happens, so that it is looked at again.
    await version('good')
  }
  assert.deepEqual(said.toSorted(), [
    'version gated/1 is not served: gated/1 is not approved: slipway model approve gated/1',
    'version no address/1 is not served: its name is none that an address can hold',
    'version pickle/1 is not served: it is a pickle',
  ])
  assert.deepEqual(await endpoints(world), ['good alias champion'])
  assert.deepEqual(
    (await aliases.served())
      .map(({ model, reason, state, version: number }) => [model, number, state, reason] as const)
      .toSorted(([one], [other]) => (one < other ? -1 : 1)),
    [
      ['gated', 1, 'refused', 'gated/1 is not approved: slipway model approve gated/1'],
      ['good', 1, 'waiting', undefined],
      ['no address', 1, 'refused', 'its name is none that an address can hold'],
      ['pickle', 1, 'refused', 'it is a pickle'],
    ],
  )
})

eachDelivery('the state of a version is that which live servers report of it', async (world) => {
  const { delivery, set, version } = world
  const { aliases } = open(world)
  await version('m')
  await version('m')
  await set('m@champion', 2)
  await aliases.follow()
  const { revision } = await delivery.endpoints.get(ANNA, 'm')
  const [variant] = revision.variants
  const report = async (
    server: string,
    state: 'ready' | 'failed' | 'loading',
    number: number,
    serves: boolean,
    reason?: string,
  ): Promise<void> => {
    const told = {
      variant: 'main',
      model: 'm',
      version: number,
      digest: variant!.digest,
      state,
      serves,
      ...(reason !== undefined && { reason }),
    }
    await delivery.servers.report(
      ANNA,
      server,
      {
        apiVersion: 'slipway/v1',
        bootId: server,
        release: '0',
        sentAt: Date.now(),
        staleSeconds: 0,
        expiresInMs: 60_000,
        endpoints: [{ name: 'm', revision: revision.number, versions: [told] }],
      } as never,
      undefined,
    )
  }
  const state = async (): Promise<unknown[]> => (await aliases.served()).map(({ reason, state: now }) => [now, reason])
  assert.deepEqual(await state(), [['waiting', undefined]])
  await report('one', 'ready', 1, true)
  assert.deepEqual(await state(), [['waiting', undefined]], 'another version is no answer')
  await report('one', 'loading', 2, false)
  assert.deepEqual(await state(), [['waiting', undefined]])
  await report('two', 'failed', 2, false, 'it does not load')
  assert.deepEqual(await state(), [['refused', 'it does not load']])
  await report('one', 'ready', 2, true)
  assert.deepEqual(await state(), [['ready', undefined]], 'one server that answers is enough')
})
